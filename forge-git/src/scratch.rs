//! Directories for work in progress, and making what is in them durable.
//!
//! Invariant: a [`Scratch`] that is dropped takes its directory with it, whichever way the work ends; what a crash
//! leaves, the sweep removes. Nothing here knows what a repository is.

use std::fs::{self, DirBuilder, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use forge_core::objects::Staged;

/// How often removing a directory is tried when a dying child still writes into it.
const REMOVALS: u32 = 5;

/// A directory that nobody else has.
#[derive(Debug)]
#[must_use = "dropping it removes the directory"]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one below `parent`.
    pub(crate) fn below(parent: &Path) -> io::Result<Self> {
        loop {
            let path = unused(parent)?;
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Moves a directory out of the way; `None` if there is none.
    pub(crate) fn of(directory: &Path, parent: &Path) -> io::Result<Option<Self>> {
        let path = unused(parent)?;
        match fs::rename(directory, &path) {
            Ok(()) => Ok(Some(Self { path })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Removes it and waits for that.
    pub(crate) fn remove(mut self) {
        remove(&std::mem::take(&mut self.path));
    }
}

impl Staged for Scratch {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        if path.as_os_str().is_empty() || !path.exists() {
            return;
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove(&path))),
            Err(_) => remove(&path),
        }
    }
}

/// Removes a directory and all below it; a missing one is fine.
fn remove(path: &Path) {
    for attempt in 1.. {
        match fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(error) if attempt == REMOVALS => {
                tracing::warn!(
                    %error,
                    "a scratch directory stays until the next sweep"
                );
                return;
            }
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    }
}

/// A path below `parent` that nobody else has. Two processes may have the same number in two containers, and moving a
/// directory onto an empty one replaces that without a word, so chance has to tell them apart. It decides nothing
/// but a name, so the seed of the standard library's hash maps will do.
fn unused(parent: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    make_dirs(parent)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let chance = RandomState::new().hash_one(number);
    let name = format!("{}-{number}-{chance:016x}", std::process::id());
    Ok(parent.join(name))
}

/// Makes a directory and those above it, durably.
pub(crate) fn make_dirs(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        make_dirs(parent)?;
        match DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        sync_dir(parent)?;
    }
    Ok(())
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes a directory and everything below it durable.
pub(crate) fn sync_all(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(path)
}
