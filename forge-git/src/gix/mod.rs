//! Reading repositories with gitoxide: no type of it is seen outside this directory.
//!
//! Invariant: a handle is of the directory that lies there now; one that was replaced or removed is never read through
//! an old handle. Nothing is written.

mod connectivity;
mod graph;
mod loose;
mod ls_refs;
mod objects;
mod order;
mod packed;
mod ref_query;
mod refs;
mod repo;
mod rev;
mod walk;

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::gix::hash::{Kind as Hash, Prefix};
use ::gix::odb::store::init::Slots;
use ::gix::{ObjectId, ThreadSafeRepository, open, sec};
use forge_core::objects::{Kind, Oid};
use forge_core::{Error, RepoId, Result};
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::graph::GraphFile;
use self::order::Orders;
use crate::layout::Layout;

pub(crate) use self::connectivity::is_plain;
pub(crate) use self::ls_refs::{HIDDEN, Piece};
pub(crate) use self::ref_query::Query;
pub(crate) use self::repo::Repo;

/// Repositories kept open; each holds maps of its packs.
const MAX_HANDLES: u64 = 256;
/// How long one stays open that nobody reads.
const IDLE: Duration = Duration::from_secs(600);
/// How many whole histories are computed at once: each takes a thread of those that all reading needs.
const MAX_HISTORIES: usize = 2;
/// How long one that wants another waits.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most memory that decoding one object may take at once; larger ones go through a child.
const ALLOC_LIMIT: &str = "gitoxide.objects.allocLimit=256m";

/// Runs work that waits for the disk or the processor where it holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::internal)?
}

/// The repositories that are open.
pub(crate) struct Handles {
    layout: Arc<Layout>,
    open: Cache<RepoId, Arc<Handle>>,
    orders: Orders,
    histories: Arc<Semaphore>,
}

impl Handles {
    pub(crate) fn new(layout: Arc<Layout>, order_bytes: u64) -> Self {
        Self {
            layout,
            open: Cache::builder()
                .max_capacity(MAX_HANDLES)
                .time_to_idle(IDLE)
                .build(),
            orders: Orders::new(order_bytes),
            histories: Arc::new(Semaphore::new(MAX_HISTORIES)),
        }
    }

    /// Lets the next reader look anew at what lies there.
    pub(crate) fn forget(&self, id: RepoId) {
        self.open.invalidate(&id);
    }

    /// Waits for the right to compute a whole history. Threads must not wait: they are what there are too few of.
    async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.histories).acquire_owned();
        let turn = tokio::time::timeout(PATIENCE, turn).await;
        turn.map_err(|_| Error::unavailable("too many histories are being computed"))?
            .map_err(Error::internal)
    }

    fn path(&self, id: RepoId) -> Result<PathBuf> {
        self.layout.repo(id).ok_or(Error::NotFound)
    }

    /// An open repository.
    fn get(&self, id: RepoId) -> Result<Arc<Handle>> {
        let path = self.path(id)?;
        // What is open may be of what lay there earlier; and while it is opened anew, another reader may do so too
        // and have seen yet another directory.
        for _ in 0..3 {
            let identity = identity(&path).inspect_err(|_| self.forget(id))?;
            let open = || Handle::open(&path, identity).map(Arc::new);
            let handle = self.open.try_get_with(id, open);
            let handle = handle.map_err(|e| (*e).clone())?;
            if handle.identity == identity {
                return Ok(handle);
            }
            self.forget(id);
        }
        Err(Error::unavailable("the repository is being replaced"))
    }
}

impl std::fmt::Debug for Handles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handles")
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

/// Device and number of a directory.
type Identity = (u64, u64);

fn identity(path: &Path) -> Result<Identity> {
    match path.metadata() {
        Ok(meta) => Ok((meta.dev(), meta.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::NotFound),
        Err(e) => Err(Error::internal(e)),
    }
}

/// An open repository, shared by its readers.
struct Handle {
    repo: ThreadSafeRepository,
    identity: Identity,
    /// Tells handles apart, of one repository too.
    serial: u64,
    graph: GraphFile,
}

impl Handle {
    fn open(path: &Path, identity: Identity) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let options = open::Options::isolated()
            .open_path_as_is(true)
            .with(sec::Trust::Full)
            .config_overrides([ALLOC_LIMIT, "core.useReplaceRefs=false"])
            // Packs come while it is open, and the slots cannot grow.
            .object_store_slots(Slots::AsNeededByDiskState {
                multiplier: 2.0,
                minimum: 256,
            });
        let repo = options.open(path).map_err(fault)?;
        Ok(Self {
            graph: GraphFile::of(repo.objects_dir(), repo.objects.object_hash()),
            repo,
            identity,
            serial: NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }

    fn git_dir(&self) -> &Path {
        self.repo.git_dir()
    }

    /// Which ids the repository has.
    fn hash(&self) -> Hash {
        self.repo.objects.object_hash()
    }

    fn reader(&self) -> Reader<'_> {
        Reader {
            handle: self,
            objects: ::gix::odb::Cache::from(self.repo.objects.to_handle()),
            last_try: false,
        }
    }
}

/// One thread's view of an open repository, for the length of one call.
struct Reader<'a> {
    handle: &'a Handle,
    objects: ::gix::odb::Handle,
    /// Whether a fault is one of the repository: on the first try it may be one of the handle.
    last_try: bool,
}

impl Reader<'_> {
    /// `None` for an id of a length that the repository's have not.
    fn id(&self, id: Oid) -> Option<ObjectId> {
        let id = ObjectId::try_from(id.as_bytes()).ok()?;
        (id.kind() == self.handle.hash()).then_some(id)
    }

    /// The beginning of an id; `None` if there are too few digits, or more than an id has.
    fn prefix(&self, digits: &str) -> Option<Prefix> {
        // Filled up, because gitoxide takes what is short enough for the beginning of a SHA-1 id, and then finds no
        // loose object that has a longer one.
        let full = self.handle.hash().len_in_hex();
        let id = ObjectId::from_hex(format!("{digits:0<full$}").as_bytes()).ok()?;
        let is_ours = id.kind() == self.handle.hash();
        Prefix::new(&id, digits.len()).ok().filter(|_| is_ours)
    }
}

/// A failure of gitoxide, with its causes.
fn fault(error: impl std::fmt::Debug) -> Error {
    Error::internal(format!("{error:?}"))
}

fn oid(id: &::gix::oid) -> Result<Oid> {
    Oid::from_bytes(id.as_bytes()).ok_or_else(|| Error::internal("an id of an unknown hash"))
}

fn kind(kind: ::gix::objs::Kind) -> Kind {
    match kind {
        ::gix::objs::Kind::Commit => Kind::Commit,
        ::gix::objs::Kind::Tree => Kind::Tree,
        ::gix::objs::Kind::Blob => Kind::Blob,
        ::gix::objs::Kind::Tag => Kind::Tag,
    }
}
