//! Git repositories on disk: read in process with gitoxide, fetched by git itself.
//!
//! [`Git`] is the [`GitBackend`] of a forge. Invariant: a repository is its number; nothing here knows names, users or
//! permissions; [`Transport`], which serves clones and pushes of what a [`Git`] keeps, asks the forge for them.

mod cache;
mod child;
mod content;
mod decode;
mod disk;
mod format;
mod gix;
mod http;
mod import;
mod layout;
mod maintenance;
mod messages;
mod permits;
mod pkt;
mod quarantine;
mod receive_pack;
mod scratch;
#[cfg(feature = "ssh")]
mod ssh;
mod target;
mod transport;
mod update_ref;
mod upload_pack;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use forge_core::objects::{GitBackend, GitRepo, ImportSource, Oid, Staged};
use forge_core::repos::Progress;
use forge_core::{RefName, RepoId, Result, Timestamp};

pub use cache::Cached;
use disk::Disk;
pub use http::claims;
use import::Reach;
use layout::Layout;
#[cfg(feature = "ssh")]
pub use ssh::Ssh;
pub use transport::Transport;

/// Memory for what was read, in bytes, unless [`Git::cache_bytes`] says otherwise.
pub const DEFAULT_CACHE_BYTES: u64 = 64 << 20;

/// The repositories below a directory.
///
/// ```
/// let git = forge_git::Git::at("/var/lib/forge/git").cache_bytes(256 << 20);
/// # let _: &dyn forge_core::objects::GitBackend = &git;
/// ```
#[derive(Clone)]
pub struct Git {
    disk: Disk,
    reads: Arc<dyn GitBackend>,
    cache_bytes: u64,
    reach: Reach,
}

impl Git {
    /// The repositories below `root`. It is made when the first of them is; the file system needs a working `rename`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self::new(Layout::at(root.into()), DEFAULT_CACHE_BYTES, Reach::Public)
    }

    /// Keeps at most about so many bytes of what was read; 0 keeps nothing.
    #[must_use]
    pub fn cache_bytes(self, bytes: u64) -> Self {
        Self::new(self.disk.layout().clone(), bytes, self.reach)
    }

    /// Whether users may import from private networks and from this machine itself, as they would want to within an
    /// intranet, where everything that speaks HTTP may then be asked by anybody who has an account. Off unless set.
    #[must_use]
    pub fn allow_private_imports(self, allowed: bool) -> Self {
        let reach = if allowed {
            Reach::Everywhere
        } else {
            Reach::Public
        };
        Self::new(self.disk.layout().clone(), self.cache_bytes, reach)
    }

    /// How many commits the history of a commit has; `None` if there is no such commit.
    ///
    /// # Errors
    /// [`forge_core::Error::NotFound`] if there is no such repository.
    pub async fn commit_count(&self, repo: RepoId, tip: Oid) -> Result<Option<usize>> {
        self.disk.commit_count(repo, tip).await
    }

    fn new(layout: Layout, bytes: u64, reach: Reach) -> Self {
        // Orders of histories are a quarter: few of them are wanted, and each is large.
        let disk = Disk::new(layout, bytes / 4, reach);
        let reads: Arc<dyn GitBackend> = if bytes == 0 {
            Arc::new(disk.clone())
        } else {
            Arc::new(Cached::new(disk.clone(), bytes - bytes / 4))
        };
        Self {
            disk,
            reads,
            cache_bytes: bytes,
            reach,
        }
    }
}

impl std::fmt::Debug for Git {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Git")
            .field("root", &self.disk.layout().root())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl GitBackend for Git {
    async fn create(&self, repo: RepoId, head: &RefName) -> Result<()> {
        self.reads.create(repo, head).await
    }

    async fn fetch(&self, from: &ImportSource, progress: Progress) -> Result<Box<dyn Staged>> {
        self.reads.fetch(from, progress).await
    }

    async fn adopt(&self, staged: Box<dyn Staged>, repo: RepoId) -> Result<()> {
        self.reads.adopt(staged, repo).await
    }

    async fn remove(&self, repo: RepoId) -> Result<()> {
        self.reads.remove(repo).await
    }

    async fn sweep(&self, before: Timestamp) -> Result<Vec<RepoId>> {
        self.reads.sweep(before).await
    }

    async fn recover(&self) -> Result<()> {
        self.reads.recover().await
    }

    async fn maintain(&self, repo: RepoId) -> Result<()> {
        self.reads.maintain(repo).await
    }

    fn open(&self, repo: RepoId) -> Result<Arc<dyn GitRepo>> {
        self.reads.open(repo)
    }
}
