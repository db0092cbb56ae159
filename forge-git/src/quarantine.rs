//! The objects of a push before anybody else may see them.
//!
//! Invariant: they lie outside of the repository and go when the guard does, until they are moved in, whole packs at a
//! time, an index never before its pack. Children that are given the quarantine see old and new objects, as does the
//! view that plugins get. Nothing here knows refs or clients.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forge_core::objects::{GitRepo, Staged as _};
use forge_core::{Error, Oid, RepoId, Result};

use crate::child::Git;
use crate::format::Format;
use crate::gix::{Handles, Repo, blocking, is_plain};
use crate::layout::Layout;
use crate::scratch::{Scratch, sync_dir};

/// The number of the view, the only one below its root.
const VIEW: RepoId = RepoId(1);
/// Memory for orders of histories that plugins ask for, in bytes.
const ORDER_BYTES: u64 = 4 << 20;
/// A link to the repository that the objects are for.
const HOME: &str = "repository";
/// Files of a pack, in the order in which readers may find them: git and gitoxide look for the index.
const PARTS: [&str; 3] = ["pack", "rev", "idx"];

/// A place for the objects of one push. Dropped, it takes them along.
#[derive(Debug)]
#[must_use = "dropping it removes the objects"]
pub(crate) struct Quarantine {
    scratch: Scratch,
    repo: PathBuf,
    /// The repository's.
    format: Format,
    has_shallow: bool,
}

impl Quarantine {
    /// Makes one below a directory that is on the file system of the repository. `shallow` are the commits that the
    /// client says it holds without their parents.
    pub(crate) fn below(scratch: &Path, repo: &Path, shallow: &[Oid]) -> Result<Self> {
        let fault = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Error::NotFound,
            _ => Error::internal(error),
        };
        let repo = std::path::absolute(repo).map_err(Error::internal)?;
        let format = Format::at(&repo).map_err(fault)?;
        let scratch = std::path::absolute(scratch).map_err(Error::internal)?;
        let this = Self {
            has_shallow: !shallow.is_empty(),
            scratch: Scratch::below(&scratch).map_err(Error::internal)?,
            repo,
            format,
        };
        this.write(shallow).map_err(fault)?;
        Ok(this)
    }

    fn write(&self, shallow: &[Oid]) -> io::Result<()> {
        // Nothing more than is needed: making directories is a good part of what a small push takes.
        fs::create_dir(self.objects())?;
        fs::create_dir(self.objects().join("pack"))?;
        // By this, what a crash leaves behind knows where it belongs.
        symlink(&self.repo, self.scratch.path().join(HOME))?;
        if self.has_shallow {
            let lines: String = shallow.iter().map(|id| format!("{id}\n")).collect();
            fs::write(self.scratch.path().join("shallow"), lines)?;
        }
        Ok(())
    }

    /// Where the objects lie.
    pub(crate) fn objects(&self) -> PathBuf {
        self.scratch.path().join("objects")
    }

    /// The client's shallow commits, for git to read, if it has named some.
    pub(crate) fn shallow(&self) -> Option<PathBuf> {
        let path = self.scratch.path().join("shallow");
        self.has_shallow.then_some(path)
    }

    /// `git <subcommand>` in the repository, with the new objects beside its own; what it adds comes to them.
    pub(crate) fn git(&self, subcommand: &str) -> Git {
        let git = Git::new(&self.repo, subcommand).disposable();
        let git = git.env("GIT_OBJECT_DIRECTORY", self.objects());
        beside(git, &self.repo.join("objects"))
    }

    /// The repository as it will be when the objects are in it: another one, whose refs are links to the real ones.
    pub(crate) fn view(&self) -> Result<Arc<dyn GitRepo>> {
        let layout = Layout::at(self.scratch.path().to_owned());
        let view = layout.repo(VIEW);
        let view = view.ok_or_else(|| Error::internal("a number without a place"))?;
        self.write_view(&view).map_err(Error::internal)?;
        let handles = Arc::new(Handles::new(Arc::new(layout), ORDER_BYTES));
        Ok(Arc::new(Repo::new(handles, VIEW)))
    }

    fn write_view(&self, view: &Path) -> io::Result<()> {
        fs::create_dir_all(view.join("objects/info"))?;
        fs::create_dir(view.join("objects/pack"))?;
        let stores = [self.objects(), self.repo.join("objects")];
        let alternates = stores.map(|store| [quoted(&store).as_slice(), b"\n"].concat());
        fs::write(view.join("objects/info/alternates"), alternates.concat())?;
        for name in ["HEAD", "config"] {
            fs::write(view.join(name), fs::read(self.repo.join(name))?)?;
        }
        for name in ["refs", "packed-refs"] {
            symlink(self.repo.join(name), view.join(name))?;
        }
        Ok(())
    }

    /// Whether all that these tips reach is plainly there, given ids that refs name; `false` says nothing.
    pub(crate) async fn proves(&self, tips: Vec<Oid>, known: Vec<Oid>) -> bool {
        let (objects, repo, format) = (self.objects(), self.repo.clone(), self.format);
        if self.has_shallow {
            return false;
        }
        let proved = blocking(move || {
            // In a shallow repository, what refs name is not complete.
            let is_whole = !repo.join("shallow").exists();
            Ok(is_whole && is_plain(&objects, &repo.join("objects"), format, &tips, &known)?)
        });
        proved.await.unwrap_or_else(|error| {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "git is to say whether a push is complete"
            );
            false
        })
    }

    /// Makes the objects durable where they are: begins at once, and takes as long as the disk does.
    pub(crate) fn sync(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let packs = packs(&self.objects(), self.format);
        let files = packs.map(|packs| {
            packs
                .iter()
                .flat_map(|pack| parts(pack))
                .collect::<Vec<_>>()
        });
        let each = files.map(|files| {
            let sync = |file: PathBuf| {
                tokio::task::spawn_blocking(move || fs::File::open(file)?.sync_all())
            };
            // Side by side: a disk takes about as long for all of them as for one.
            files.into_iter().map(sync).collect::<Vec<_>>()
        });
        async move {
            for synced in each.map_err(Error::internal)? {
                let synced = synced.await.map_err(Error::internal)?;
                synced.map_err(Error::internal)?;
            }
            Ok(())
        }
    }

    /// Moves the objects into the repository. They are durable there if [`Quarantine::sync`] has come to its end.
    pub(crate) fn migrate(&self) -> io::Result<()> {
        let to = self.repo.join("objects/pack");
        let packs = packs(&self.objects(), self.format)?;
        for pack in &packs {
            let files = parts(pack);
            let name = |file: &PathBuf| to.join(file.file_name().unwrap_or_default());
            // A pack is named by its content: it is the same one.
            if files.iter().map(name).all(|target| target.exists()) {
                continue;
            }
            for file in &files {
                fs::rename(file, name(file))?;
            }
        }
        if !packs.is_empty() {
            sync_dir(&to)?;
        }
        Ok(())
    }

    /// Removes it and waits for that.
    pub(crate) fn remove(self) {
        self.scratch.remove();
    }
}

/// The packs with objects in them that lie in a directory of objects.
fn packs(objects: &Path, format: Format) -> io::Result<Vec<PathBuf>> {
    let mut packs = Vec::new();
    for entry in fs::read_dir(objects.join("pack"))? {
        let path = entry?.path();
        let is_pack = path.extension().is_some_and(|ending| ending == "pack");
        if is_pack && path.metadata()?.len() > format.empty_pack() {
            packs.push(path);
        }
    }
    Ok(packs)
}

/// The files of a pack, in the order in which they may be moved. Not every git writes all of them.
fn parts(pack: &Path) -> Vec<PathBuf> {
    let files = PARTS.map(|ending| pack.with_extension(ending));
    files.into_iter().filter(|file| file.exists()).collect()
}

/// Ends a move in which a process died, as what it left below `tmp` tells: a pack without its index is of no use, and
/// another push may be bringing the same one, so it must not be removed.
pub(crate) fn complete(left: &Path) -> io::Result<()> {
    let (Ok(home), Ok(listed)) = (
        fs::read_link(left.join(HOME)),
        fs::read_dir(left.join("objects/pack")),
    ) else {
        return Ok(());
    };
    let to = home.join("objects/pack");
    for entry in listed {
        let index = entry?.path();
        let target = to.join(index.file_name().unwrap_or_default());
        let is_index = index.extension().is_some_and(|ending| ending == "idx");
        let is_begun = target.with_extension("pack").exists() && !target.exists();
        if is_index && is_begun && !index.with_extension("pack").exists() {
            let reverse = index.with_extension("rev");
            if reverse.exists() {
                fs::rename(reverse, target.with_extension("rev"))?;
            }
            fs::rename(index, target)?;
            sync_dir(&to)?;
        }
    }
    Ok(())
}

/// Lets a child see objects that lie elsewhere.
pub(crate) fn beside(git: Git, objects: &Path) -> Git {
    let quoted = std::ffi::OsStr::from_bytes(&quoted(objects)).to_owned();
    git.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted)
}

/// A path as lists of object stores spell it: between double quotes if something in it would be misread.
fn quoted(path: &Path) -> Vec<u8> {
    let path = path.as_os_str().as_bytes();
    let is_plain = |byte: &u8| !b":\"\\#".contains(byte) && !byte.is_ascii_control();
    if path.iter().all(is_plain) {
        return path.to_owned();
    }
    let mut quoted = vec![b'"'];
    for &byte in path {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', byte]),
            byte if byte.is_ascii_control() => quoted.extend(format!("\\{byte:03o}").bytes()),
            byte => quoted.push(byte),
        }
    }
    quoted.push(b'"');
    quoted
}

#[cfg(test)]
mod tests {
    use forge_core::RefName;
    use forge_core::testing::{Fixture, tangled_history};

    use super::*;

    struct Place {
        directory: tempfile::TempDir,
        repo: Fixture,
    }

    impl Place {
        fn new(name: &str) -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let repo = Fixture::empty(&directory.path().join(name), "repo.git");
            repo.import(&tangled_history(20, 2));
            Self { directory, repo }
        }

        fn scratch(&self) -> PathBuf {
            self.directory.path().join("tmp: \"odd\"")
        }

        fn quarantine(&self) -> Quarantine {
            Quarantine::below(&self.scratch(), self.repo.path(), &[]).expect("made")
        }

        /// A pack of one commit on top of a branch, which the repository does not have; and the commit.
        async fn fill(&self, quarantine: &Quarantine) -> Oid {
            let other = Fixture::empty(self.directory.path(), "other.git");
            other.import(&tangled_history(20, 2));
            other.import(b"commit refs/heads/b0\ncommitter C <c@d> 1 +0000\ndata 1\nx\nfrom refs/heads/b0^0\nM 644 inline new\ndata 3\nnew\n");
            let pack = other.feed(
                &["pack-objects", "--revs", "--stdout", "-q"],
                b"b0\n^b0~1\n",
            );
            let index = quarantine
                .git("index-pack")
                .arg("--stdin")
                .arg("--fix-thin");
            let output = index.answer(&pack).await.expect("it runs");
            assert!(output.success, "{output:?}");
            other.ask(&["rev-parse", "b0"]).parse().expect("an id")
        }
    }

    #[tokio::test]
    async fn a_view_shows_old_and_new_objects_and_the_refs_as_they_are() {
        for name in ["plain", "odd: \"#name\\"] {
            let place = Place::new(name);
            let quarantine = place.quarantine();
            let new = place.fill(&quarantine).await;
            let view = quarantine.view().expect("made");
            let old = place.repo.ask(&["rev-parse", "b0"]).parse().expect("an id");
            let found = view.objects(&[old, new]).await.expect("read");
            assert!(found.iter().all(Option::is_some), "{name}: {found:?}");
            let branch = RefName::new("refs/heads/b0").expect("a name");
            let found = view.find_ref(&branch).await.expect("read").expect("there");
            assert_eq!(found.target, old);
            place.repo.run(&["pack-refs", "--all"]);
            assert_eq!(view.refs().await.expect("read").len(), 2);
            assert!(view.head().await.expect("read").is_some());
            let unseen = place
                .repo
                .try_ask(&[b"cat-file", b"-e", new.to_string().as_bytes()]);
            assert_eq!(unseen, None, "the repository does not see it");
            let seen = Git::new(place.repo.path(), "cat-file").arg("-e");
            let seen = beside(seen, &quarantine.objects());
            let seen = seen.operands([new.to_string()]).answer(b"").await;
            assert!(seen.expect("it runs").success);
        }
    }

    #[tokio::test]
    async fn a_move_in_which_a_process_died_is_completed() {
        let place = Place::new("repo");
        let quarantine = place.quarantine();
        let new = place.fill(&quarantine).await.to_string();
        complete(quarantine.scratch.path()).expect("nothing was begun");
        let has = |rev: &str| place.repo.try_ask(&[b"cat-file", b"-e", rev.as_bytes()]);
        assert_eq!(has(&new), None);
        let from = quarantine.objects().join("pack");
        for entry in fs::read_dir(&from).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|ending| ending == "pack") {
                let name = path.file_name().expect("a name");
                let to = place.repo.path().join("objects/pack").join(name);
                fs::rename(&path, to).expect("moved");
            }
        }
        assert_eq!(has(&new), None);
        complete(quarantine.scratch.path()).expect("completed");
        assert!(has(&new).is_some());
        place.repo.run(&["fsck", "--strict"]);
    }

    #[tokio::test]
    async fn a_quarantine_goes_with_its_guard() {
        let place = Place::new("repo");
        let quarantine = place.quarantine();
        place.fill(&quarantine).await;
        quarantine.remove();
        assert_eq!(fs::read_dir(place.scratch()).expect("listed").count(), 0);
        assert_eq!(place.repo.ask(&["rev-list", "--count", "--all"]), "20");
        place.repo.run(&["fsck", "--strict"]);
        assert!(matches!(
            Quarantine::below(&place.scratch(), Path::new("/nonexistent"), &[]),
            Err(Error::NotFound)
        ));
    }

    #[tokio::test]
    async fn migrated_objects_are_the_repositorys() {
        let place = Place::new("repo");
        for _ in 0..2 {
            let quarantine = place.quarantine();
            let new = place.fill(&quarantine).await;
            quarantine.migrate().expect("moved");
            quarantine.remove();
            let kind = place.repo.ask(&["cat-file", "-t", &new.to_string()]);
            assert_eq!(kind, "commit");
            fs::remove_dir_all(place.directory.path().join("other.git")).expect("removed");
        }
        let empty = place.quarantine();
        let other = Fixture::empty(place.directory.path(), "none.git");
        let pack = other.feed(&["pack-objects", "--stdout", "-q"], b"");
        let index = empty.git("index-pack").arg("--stdin").answer(&pack).await;
        assert!(index.expect("it runs").success);
        empty.migrate().expect("nothing to move");
        let count = place.repo.ask(&["count-objects", "-v"]);
        assert!(count.contains("packs: 2\n"), "{count}");
        place.repo.run(&["fsck", "--strict"]);
    }
}
