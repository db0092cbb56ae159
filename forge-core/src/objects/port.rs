//! The ports behind which repositories lie: [`GitBackend`] keeps them, [`GitRepo`] reads one.
//!
//! Neither knows users, names or permissions: a repository is its row number here.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use super::{Commit, Kind, Object, Oid, OidPrefix, Ref};
use crate::blobs::ByteStream;
use crate::names::{RefName, RevSpec};
use crate::repos::Progress;
use crate::{Error, RepoId, Result, Timestamp};

/// Where an import comes from. [`ImportSource::Url`] and [`ImportSource::Path`] are an operator's word: all that is there
/// is taken. The others may be a user's: branches, tags and HEAD are taken, objects that git would not accept from a
/// client refuse the whole, and it has half an hour.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportSource {
    /// A repository on another machine, over `https` or `http`.
    Url(Url),
    /// A repository on this machine.
    Path(PathBuf),
    /// A repository on another machine, over `https` or `http`, that a user has named: only where everybody could get
    /// it too, never within the operator's own network.
    UserUrl {
        /// Its address, without credentials.
        url: Url,
        /// The most that it may hold, in bytes on the disk.
        max_bytes: u64,
    },
    /// A repository of the same forge. Whoever asks must have seen to it that it may be read.
    Repo(RepoId),
}

impl std::fmt::Debug for ImportSource {
    /// Without what may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => write!(f, "Url({})", url.host_str().unwrap_or_default()),
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::UserUrl { url, .. } => {
                write!(f, "UserUrl({})", url.host_str().unwrap_or_default())
            }
            Self::Repo(repo) => f.debug_tuple("Repo").field(repo).finish(),
        }
    }
}

impl std::str::FromStr for ImportSource {
    type Err = Error;

    /// Reads a URL if the text has a scheme, a path else.
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid("source", "source is required"));
        }
        if !text.contains("://") {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        let url = Url::parse(text)
            .map_err(|e| Error::invalid("source", format!("source is not a URL: {e}")))?;
        match url.scheme() {
            "http" | "https" => Ok(Self::Url(url)),
            "file" => {
                let path = url.to_file_path();
                path.map(Self::Path)
                    .map_err(|()| Error::invalid("source", "source is not a path of this machine"))
            }
            scheme => Err(Error::invalid(
                "source",
                format!("{scheme:?} is not a scheme that can be imported from"),
            )),
        }
    }
}

/// A repository that was fetched but has no number yet. Dropped without [`GitBackend::adopt`], its files go.
pub trait Staged: Send + Sync + std::fmt::Debug {
    /// Where the files lie, for the backend that made it.
    fn path(&self) -> &std::path::Path;
}

/// Keeps repositories.
///
/// Guarantees an implementation gives:
/// 1. `create` and `adopt` are all or nothing, durable when they return, and replace what a crashed attempt left
///    under the same number; nothing cached from before is served afterwards.
/// 2. `remove` is idempotent; a reader that holds the repository open may see errors, but never another repository.
/// 3. `fetch` changes nothing that `open` can reach.
/// 4. `open` is cheap and does not touch the disk; reading a repository that is not there is [`Error::NotFound`].
#[async_trait]
pub trait GitBackend: Send + Sync + 'static {
    /// Makes an empty repository whose HEAD names `head`.
    async fn create(&self, repo: RepoId, head: &RefName) -> Result<()>;
    /// Fetches refs, all they reach, and HEAD, as the source's kind says. [`Error::Invalid`] for field `source`, with git's words, if it
    /// cannot be read.
    async fn fetch(&self, from: &ImportSource, progress: Progress) -> Result<Box<dyn Staged>>;
    /// Gives what was fetched a number.
    async fn adopt(&self, staged: Box<dyn Staged>, repo: RepoId) -> Result<()>;
    /// Removes a repository.
    async fn remove(&self, repo: RepoId) -> Result<()>;
    /// Removes what crashed fetches left before `before`, and names the repositories that were made before then.
    async fn sweep(&self, before: Timestamp) -> Result<Vec<RepoId>>;
    /// Removes what processes that are dead by now left half-done, whatever its age; called when a worker starts.
    async fn recover(&self) -> Result<()>;
    /// Puts a repository's files in order if that is worth the while: packs few, refs packed, history indexed. Readers
    /// and pushes go on meanwhile. [`Error::NotFound`] if there is no such repository.
    async fn maintain(&self, repo: RepoId) -> Result<()>;
    /// A handle to read a repository with.
    fn open(&self, repo: RepoId) -> Result<Arc<dyn GitRepo>>;
}

/// Which commits of a history are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Walk {
    /// The commit whose history it is.
    pub tip: Oid,
    /// The first commit to return; [`None`] starts with the tip.
    pub start: Option<Oid>,
    /// The most commits to return.
    pub count: usize,
}

/// Some commits of a history.
#[derive(Debug, Clone)]
pub struct WalkPage {
    /// The commits, in order.
    pub commits: Arc<[Arc<Commit>]>,
    /// The commit after the last one.
    pub next: Option<Oid>,
}

/// What a prefix of an id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// No object.
    None,
    /// This object.
    One(Oid),
    /// Several objects.
    Ambiguous,
}

/// A blob's, or any object's, content.
pub struct BlobContent {
    /// What it is.
    pub kind: Kind,
    /// Bytes in all.
    pub size: u64,
    /// The first bytes: 8,000, or all if there are fewer, or more.
    pub head: Bytes,
    /// What comes after `head`.
    pub rest: ByteStream,
}

impl std::fmt::Debug for BlobContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobContent")
            .field("kind", &self.kind)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Reads one repository.
///
/// Guarantees an implementation gives:
/// 1. Refs, HEAD and revisions are read anew by each call: a change is seen by the next one.
/// 2. A missing object is `None`; a damaged one is an error.
/// 3. `walk` orders by committer time, newest first, over all parents, as `git rev-list` does without options. The
///    pages of one tip together hold each commit of its history once, whatever the shape and the dates.
/// 4. Memory stays bounded whatever the size of an object: blobs are streamed, and a commit, tag or tree beyond a limit of
///    the implementation's is [`Error::Limit`].
#[async_trait]
pub trait GitRepo: Send + Sync + std::fmt::Debug {
    /// What HEAD names, whether that exists or not; `None` if HEAD names a commit directly.
    async fn head(&self) -> Result<Option<RefName>>;
    /// Every ref below `refs/` that leads to an object, by name, bytewise.
    async fn refs(&self) -> Result<Vec<Ref>>;
    /// One ref by its full name, or HEAD.
    async fn find_ref(&self, name: &RefName) -> Result<Option<Ref>>;
    /// The first of the revisions that names an object, and its place in the list. An ambiguous one names none.
    async fn resolve(&self, revs: &[RevSpec]) -> Result<Option<(usize, Oid)>>;
    /// What remains of an object when tags are followed.
    async fn peel(&self, id: Oid) -> Result<Option<(Oid, Kind)>>;
    /// Objects by their ids, each `None` if missing.
    async fn objects(&self, ids: &[Oid]) -> Result<Vec<Option<Object>>>;
    /// The lengths to which ids can be cut and still be told apart: 7 digits at least.
    async fn short_lengths(&self, ids: &[Oid]) -> Result<Vec<usize>>;
    /// A number that changes whenever objects are added; results that depend on all objects may be kept as long as it
    /// does not. `None` if that cannot be vouched for at this moment.
    async fn objects_version(&self) -> Result<Option<u64>>;
    /// What a prefix of an id stands for.
    async fn lookup(&self, prefix: &OidPrefix) -> Result<Lookup>;
    /// Some commits of a history. `None` if `tip` is no commit, or `start` is not in its history.
    async fn walk(&self, walk: &Walk) -> Result<Option<WalkPage>>;
    /// The content of an object of any kind, as git stores it without its header.
    async fn content(&self, id: Oid) -> Result<Option<BlobContent>>;
}
