//! Directories for work in progress, and making what is in them durable.
//!
//! Invariant: a [`Scratch`] that is dropped takes its directory with it, whichever way the work ends. As long as it lives
//! its directory is locked, so what a crash leaves can be told from what is in use; where there are no locks, only its
//! age tells. Nothing here knows what a repository is.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
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
    /// Held, so that nobody takes the directory for abandoned.
    _lock: Option<File>,
}

impl Scratch {
    /// Makes one below `parent`.
    pub(crate) fn below(parent: &Path) -> io::Result<Self> {
        loop {
            let path = unused(parent)?;
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e),
            }
            // In between it looked abandoned, and may have been removed as such.
            match lock(&path)? {
                Lock::Ours(lock) => {
                    let _lock = Some(lock);
                    return Ok(Self { path, _lock });
                }
                Lock::Unsupported => return Ok(Self { path, _lock: None }),
                Lock::Theirs | Lock::Gone => {}
            }
        }
    }

    /// Moves a directory out of the way; `None` if there is none.
    pub(crate) fn of(directory: &Path, parent: &Path) -> io::Result<Option<Self>> {
        let path = unused(parent)?;
        match fs::rename(directory, &path) {
            // To be removed, by whomever.
            Ok(()) => Ok(Some(Self { path, _lock: None })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// What lies below `parent` and belongs to no process that lives.
    pub(crate) fn abandoned(parent: &Path) -> io::Result<Vec<Self>> {
        let entries = match fs::read_dir(parent) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if let Lock::Ours(lock) = lock(&path)? {
                let _lock = Some(lock);
                found.push(Self { path, _lock });
            }
        }
        Ok(found)
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

enum Lock {
    Ours(File),
    Theirs,
    /// There is no such directory any more.
    Gone,
    Unsupported,
}

fn lock(path: &Path) -> io::Result<Lock> {
    let absent = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => Ok(Lock::Gone),
        _ => Err(e),
    };
    let directory = match File::open(path) {
        Ok(directory) => directory,
        Err(e) => return absent(e),
    };
    match directory.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Lock::Theirs),
        Err(TryLockError::Error(_)) => return Ok(Lock::Unsupported),
    }
    // Whoever had the lock before may have removed what it was on.
    match path.metadata() {
        Ok(now) if now.ino() == directory.metadata()?.ino() => Ok(Lock::Ours(directory)),
        Ok(_) => Ok(Lock::Gone),
        Err(e) => absent(e),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_not_abandoned() {
        let directory = tempfile::tempdir().expect("a directory");
        let parent = directory.path().join("tmp");
        assert!(Scratch::abandoned(&parent).expect("listed").is_empty());
        let used = Scratch::below(&parent).expect("made");
        let crashed = parent.join("crashed");
        fs::create_dir_all(crashed.join("deep")).expect("made");
        let found = Scratch::abandoned(&parent).expect("listed");
        let paths: Vec<_> = found.iter().map(|found| found.path.clone()).collect();
        assert_eq!(paths, [crashed.as_path()]);
        // Two that look at once do not both remove it.
        assert!(Scratch::abandoned(&parent).expect("listed").is_empty());
        for found in found {
            found.remove();
        }
        assert!(!crashed.exists() && used.path.exists());
        let path = used.path.clone();
        used.remove();
        assert!(!path.exists());
    }
}
