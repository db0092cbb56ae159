//! Keeping a repository quick to read: few packs with a bitmap, packed refs, an index of its history.
//!
//! Invariant: nothing that can be read before cannot be read after; objects that no ref reaches stay too. It is done by
//! git's own commands, which readers and pushes survive, by one process at a time for each repository. What is in order
//! is left alone, at the cost of a look.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use forge_core::{Error, Result};

use crate::child::Git;
use crate::gix::blocking;

/// From how many packs on they are merged; each push adds one.
const MANY_PACKS: usize = 16;
/// From how many objects outside of packs on they are packed.
const MANY_OBJECTS: usize = 512;
/// From how many refs in files of their own on they are packed: reading ten thousand takes a tenth of a second.
const MANY_REFS: usize = 64;
/// From how many bytes of packs on a bitmap is worth the while.
const LARGE: u64 = 4 << 20;
/// The longest that one step may take.
const MAX_TIME: Duration = Duration::from_hours(2);
/// Locks are held for moments, and temporary files for the length of a step. Older ones belong to nobody.
const OLD_LOCK: Duration = Duration::from_hours(1);
const OLD_FILE: Duration = Duration::from_hours(24);

/// What there is to do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    repack: bool,
    pack_refs: bool,
    graph: bool,
}

/// Does what is worth the while; whether packs have changed. [`Error::NotFound`] if there is no repository.
pub(crate) async fn maintain(repo: &Path) -> Result<bool> {
    let path = repo.to_owned();
    let look = move || {
        let lock = match File::open(&path) {
            Ok(directory) => directory,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::NotFound),
            Err(e) => return Err(Error::internal(e)),
        };
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            // Without locks, git's own keep two of its processes apart.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        clear(&path).map_err(Error::internal)?;
        let wanted = look(&path).map_err(Error::internal)?;
        Ok(Some((lock, wanted)))
    };
    let Some((_lock, wanted)) = blocking(look).await? else {
        return Ok(false);
    };
    tracing::debug!(?wanted, "maintenance");
    let work = async {
        if wanted.pack_refs {
            let git = Git::new(repo, "pack-refs").arg("--all").spared();
            run(git.config("core.packedRefsTimeout", "10000")).await?;
        }
        if wanted.repack {
            let git = Git::new(repo, "repack")
                .arg("--geometric=2")
                .arg("-d")
                .arg("-q")
                .arg("--write-midx")
                .arg("--write-bitmap-index");
            run(git).await?;
        }
        if wanted.graph || wanted.repack {
            let git = Git::new(repo, "commit-graph").arg("write");
            run(git.arg("--reachable").arg("--split")).await?;
        }
        Ok(())
    };
    match work.await {
        // It was removed meanwhile, or replaced.
        Err(_) if !repo.exists() => Err(Error::NotFound),
        done => done.map(|()| wanted.repack),
    }
}

async fn run(git: Git) -> Result<()> {
    let running = tokio::time::timeout(MAX_TIME, git.low().run(|_| ()));
    let output = running.await;
    let output = output.map_err(|_| Error::internal("maintenance takes too long"))?;
    output?.expect_success().map(drop)
}

fn look(repo: &Path) -> io::Result<Wanted> {
    let (mut packs, mut bytes, mut has_bitmap, mut newest) = (0, 0, false, None);
    for entry in entries(&repo.join("objects/pack"))? {
        let path = entry.path();
        let ending = path.extension().unwrap_or_default();
        has_bitmap |= ending == "bitmap";
        if ending == "pack" {
            let meta = entry.metadata()?;
            packs += 1;
            bytes += meta.len();
            newest = newest.max(meta.modified().ok());
        }
    }
    let mut objects = 0;
    for entry in entries(&repo.join("objects"))? {
        if entry.file_name().len() == 2 {
            objects += entries(&entry.path())?.len();
        }
    }
    let mut refs = 0;
    files_below(&repo.join("refs"), &mut |_| refs += 1)?;
    let graphs = ["commit-graph", "commit-graphs/commit-graph-chain"];
    let graphs = graphs.map(|name| modified(&repo.join("objects/info").join(name)));
    Ok(Wanted {
        repack: packs >= MANY_PACKS || objects >= MANY_OBJECTS || (!has_bitmap && bytes >= LARGE),
        pack_refs: refs >= MANY_REFS,
        graph: newest > graphs.into_iter().max().flatten(),
    })
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|meta| meta.modified()).ok()
}

/// Removes what processes left that were killed in the middle.
fn clear(repo: &Path) -> io::Result<()> {
    let is_old = |path: &Path, age| {
        let modified = modified(path).and_then(|time| time.elapsed().ok());
        modified.is_some_and(|elapsed| elapsed > age)
    };
    let mut left = Vec::new();
    let mut lock = |path: &Path| {
        if path.extension().is_some_and(|ending| ending == "lock") && is_old(path, OLD_LOCK) {
            left.push(path.to_owned());
        }
    };
    files_below(&repo.join("refs"), &mut lock)?;
    for name in ["HEAD.lock", "packed-refs.lock"] {
        lock(&repo.join(name));
    }
    for entry in entries(&repo.join("objects/pack"))? {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_temporary = name.starts_with("tmp_") || name.starts_with(".tmp-");
        if is_temporary && is_old(&entry.path(), OLD_FILE) {
            left.push(entry.path());
        }
    }
    for path in left {
        tracing::warn!(path = %path.display(), "left by a process that was killed");
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// What is in a directory; nothing, if it is missing.
fn entries(directory: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.collect(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

fn files_below(directory: &Path, each: &mut impl FnMut(&Path)) -> io::Result<()> {
    for entry in entries(directory)? {
        if entry.file_type()?.is_dir() {
            files_below(&entry.path(), each)?;
        } else {
            each(&entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use forge_core::testing::{Fixture, tangled_history};

    use super::*;

    fn repo() -> (tempfile::TempDir, Fixture) {
        let directory = tempfile::tempdir().expect("a directory");
        let repo = Fixture::empty(directory.path(), "repo.git");
        repo.run(&["config", "fastimport.unpackLimit", "0"]);
        (directory, repo)
    }

    #[tokio::test]
    async fn what_is_in_order_is_left_alone() {
        let (_directory, repo) = repo();
        assert_eq!(look(repo.path()).expect("looked"), Wanted::default());
        repo.import(&tangled_history(30, 3));
        let expected = Wanted {
            graph: true,
            ..Wanted::default()
        };
        assert_eq!(look(repo.path()).expect("looked"), expected);
        assert!(!maintain(repo.path()).await.expect("maintained"));
        assert_eq!(look(repo.path()).expect("looked"), Wanted::default());
        let missing = maintain(Path::new("/nonexistent")).await;
        assert!(matches!(missing, Err(Error::NotFound)));
    }

    #[tokio::test]
    async fn many_packs_become_few_and_nothing_is_lost() {
        let (_directory, repo) = repo();
        for n in 0..20 {
            let commit = format!(
                "commit refs/heads/n{n}\ncommitter C <c@d> {n} +0000\ndata 1\nx\n\
                 M 644 inline f{n}\ndata 2\n{n:02}\n"
            );
            repo.import(commit.as_bytes());
        }
        let dangling = repo.feed(&["hash-object", "-w", "--stdin"], b"nobody's");
        let dangling = String::from_utf8_lossy(&dangling).trim().to_owned();
        repo.run(&["update-ref", "-d", "refs/heads/n7"]);
        let count = |repo: &Fixture| {
            let format = [
                "cat-file",
                "--batch-all-objects",
                "--batch-check=%(objectname)",
            ];
            repo.ask(&format).lines().count()
        };
        let before = count(&repo);
        assert!(maintain(repo.path()).await.expect("maintained"));
        assert_eq!(count(&repo), before);
        assert_eq!(repo.ask(&["cat-file", "-p", &dangling]), "nobody's");
        repo.run(&["fsck", "--strict"]);
        repo.run(&["multi-pack-index", "verify"]);
        repo.run(&["commit-graph", "verify"]);
        let listed = entries(&repo.path().join("objects/pack")).expect("listed");
        let with = |ending: &str| {
            let files = listed.iter().map(fs::DirEntry::path);
            files
                .filter(|path| path.extension().is_some_and(|e| e == ending))
                .count()
        };
        assert_eq!((with("bitmap"), with("pack") < 3), (1, true));
        assert_eq!(look(repo.path()).expect("looked"), Wanted::default());
    }

    #[tokio::test]
    async fn refs_are_packed_when_there_are_many() {
        let (_directory, repo) = repo();
        repo.import(&tangled_history(3, 1));
        let tip = repo.ask(&["rev-parse", "b0"]);
        let updates: String = (0..100)
            .map(|n| format!("create refs/tags/{n} {tip}\n"))
            .collect();
        let _ = repo.feed(&["update-ref", "--stdin"], updates.as_bytes());
        let before = repo.ask(&["for-each-ref"]);
        maintain(repo.path()).await.expect("maintained");
        assert_eq!(repo.ask(&["for-each-ref"]), before);
        assert_eq!(look(repo.path()).expect("looked"), Wanted::default());
    }

    #[tokio::test]
    async fn only_one_at_a_time_and_only_old_locks_go() {
        let (_directory, repo) = repo();
        repo.import(&tangled_history(3, 1));
        let old = SystemTime::UNIX_EPOCH;
        let file = |name: &str, time: Option<SystemTime>| {
            let path = repo.path().join(name);
            let file = File::create(&path).expect("made");
            if let Some(time) = time {
                file.set_modified(time).expect("set back");
            }
            path
        };
        let young = [
            file("refs/heads/b0.lock", None),
            file("objects/pack/tmp_a", None),
        ];
        let stale = [
            file("packed-refs.lock", Some(old)),
            file("refs/tags/x.lock", Some(old)),
            file("objects/pack/tmp_b", Some(old)),
        ];
        let lock = File::open(repo.path()).expect("opened");
        lock.lock().expect("locked");
        maintain(repo.path()).await.expect("nothing done");
        assert!(
            stale.iter().all(|path| path.exists()),
            "somebody else is at it"
        );
        drop(lock);
        maintain(repo.path()).await.expect("maintained");
        assert!(young.iter().all(|path| path.exists()));
        assert!(stale.iter().all(|path| !path.exists()));
    }
}
