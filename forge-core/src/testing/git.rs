//! What [`GitBackend`] and [`crate::objects::GitRepo`] promise, checked against the installed git.

mod fixture;
mod reads;

use std::path::Path;
use std::sync::{Arc, Mutex};

use chrono::DateTime;

pub use fixture::{Fixture, tangled_history};
use reads::{all_objects, oid, whole};
pub use reads::{git_reads, git_walks};

use crate::objects::{GitBackend, GitRepo, ImportSource, Object, Oid, Walk};
use crate::repos::Progress;
use crate::{Error, RefName, RepoId, RevSpec, Timestamp};

/// Checks a backend that keeps no repositories yet. Fixtures are made below `scratch`.
///
/// # Panics
/// Where a promise is broken.
pub async fn git(backend: &dyn GitBackend, scratch: &Path) {
    absent_repositories_are_not_found(backend).await;
    new_repositories_are_empty(backend).await;
    imports_hold_all_of_the_source(backend, scratch).await;
    odd_commits_are_read(backend, scratch).await;
    large_blobs_are_streamed(backend, scratch).await;
    failed_imports_leave_nothing(backend, scratch).await;
    numbers_can_be_taken_again(backend, scratch).await;
    removal_is_final(backend).await;
    sweeping_names_what_is_old(backend, scratch).await;
    recovery_leaves_what_is_in_use(backend, scratch).await;
    maintenance_changes_nothing_that_is_read(backend, scratch).await;
}

fn name(text: &str) -> RefName {
    RefName::new(text).expect("a ref name")
}

fn silent() -> Progress {
    Arc::new(|_| ())
}

fn open(backend: &dyn GitBackend, id: i64) -> Arc<dyn GitRepo> {
    backend.open(RepoId(id)).expect("opening does nothing")
}

async fn import(backend: &dyn GitBackend, from: &Fixture, id: i64) -> Arc<dyn GitRepo> {
    let source = ImportSource::Path(from.path().to_owned());
    let staged = backend.fetch(&source, silent()).await.expect("fetched");
    backend
        .adopt(staged, RepoId(id))
        .await
        .expect("given a number");
    open(backend, id)
}

async fn assert_absent(repo: &dyn GitRepo) {
    fn absent<T>(result: &Result<T, Error>) {
        assert!(matches!(result, Err(Error::NotFound)));
    }
    let id = oid(&"1".repeat(40));
    let prefix = "1111".parse().expect("digits");
    let walk = Walk {
        tip: id,
        start: None,
        count: 1,
    };
    absent(&repo.head().await);
    absent(&repo.refs().await);
    absent(&repo.find_ref(&name("HEAD")).await);
    absent(&repo.resolve(&[RevSpec::head()]).await);
    absent(&repo.peel(id).await);
    absent(&repo.objects(&[id]).await);
    absent(&repo.objects(&[id, id]).await);
    absent(&repo.short_lengths(&[id]).await);
    absent(&repo.lookup(&prefix).await);
    absent(&repo.walk(&walk).await);
    absent(&repo.content(id).await);
    absent(&repo.objects_version().await);
}

async fn assert_empty(repo: &dyn GitRepo, head: &str) {
    assert_eq!(repo.head().await.expect("HEAD"), Some(name(head)));
    assert_eq!(repo.refs().await.expect("refs"), []);
    assert_eq!(repo.find_ref(&name("HEAD")).await.expect("no fault"), None);
    assert_eq!(repo.resolve(&[RevSpec::head()]).await.expect("none"), None);
    let id = oid(&"1".repeat(40));
    assert!(repo.objects(&[id]).await.expect("none")[0].is_none());
    assert_eq!(repo.short_lengths(&[id]).await.expect("lengths"), [7]);
}

async fn absent_repositories_are_not_found(backend: &dyn GitBackend) {
    assert_absent(&*open(backend, 1)).await;
    backend.remove(RepoId(1)).await.expect("nothing to do");
}

async fn new_repositories_are_empty(backend: &dyn GitBackend) {
    // Opened before it is there.
    let repo = open(backend, 1);
    let main = name("refs/heads/main");
    backend.create(RepoId(1), &main).await.expect("made");
    assert_empty(&*repo, "refs/heads/main").await;
    // A crashed attempt is replaced.
    let other = name("refs/heads/ot/her");
    backend.create(RepoId(1), &other).await.expect("made");
    assert_empty(&*repo, "refs/heads/ot/her").await;
    assert_absent(&*open(backend, 2)).await;
}

/// A repository with every kind of ref and many shapes of history.
fn everything(scratch: &Path) -> Fixture {
    let source = Fixture::empty(scratch, "everything");
    source.import(&tangled_history(260, 4));
    source.run(&["symbolic-ref", "HEAD", "refs/heads/b1"]);
    source.run(&["tag", "light", "b0"]);
    source.run(&["tag", "-a", "-m", "A tag", "v1", "b1"]);
    source.run(&["tag", "-a", "-m", "Of a tag", "v2", "v1"]);
    source.run(&["tag", "-a", "-m", "Of a tree", "tree", "b2^{tree}"]);
    source.run(&["tag", "-a", "-m", "Of a file", "file", "b2:d1/e1/always"]);
    // The same short name for two.
    source.run(&["update-ref", "refs/tags/b2", "refs/heads/b3"]);
    source.run(&["update-ref", "refs/other/tagged", "v2"]);
    // Packs the refs, and removes commits that no branch has kept.
    source.run(&["gc", "--quiet", "--prune=now"]);
    let tip = source.ask(&["rev-parse", "b0"]);
    let mut updates = String::new();
    for n in 0..300 {
        updates += &format!("create refs/changes/{:02}/{n} {tip}\n", n % 100);
    }
    updates += &format!("create refs/remotes/origin/HEAD {tip}\n");
    updates += &format!("update refs/heads/b3 {tip}\n");
    let _ = source.feed(&["update-ref", "--stdin"], updates.as_bytes());
    // Not UTF-8.
    let latin = [b"create refs/heads/caf\xe9 ", tip.as_bytes(), b"\n"].concat();
    let _ = source.feed(&["update-ref", "--stdin"], &latin);
    source
}

async fn imports_hold_all_of_the_source(backend: &dyn GitBackend, scratch: &Path) {
    let source = everything(scratch);
    let told = Arc::new(Mutex::new(Vec::new()));
    let progress: Progress = {
        let told = Arc::clone(&told);
        Arc::new(move |line: &str| {
            told.lock().expect("unpoisoned").push(line.to_owned());
        })
    };
    let from = ImportSource::Path(source.path().to_owned());
    let staged = backend.fetch(&from, progress).await.expect("fetched");
    assert_absent(&*open(backend, 2)).await;
    backend.adopt(staged, RepoId(2)).await.expect("adopted");
    let told = told.lock().expect("unpoisoned").clone();
    assert!(!told.is_empty(), "progress is told");
    assert!(told.iter().all(|line| !line.contains(char::is_control)));
    git_reads(&*open(backend, 2), &source).await;

    let empty = Fixture::empty(scratch, "nothing");
    let repo = import(backend, &empty, 3).await;
    assert_empty(&*repo, "refs/heads/main").await;

    // HEAD names a commit that no ref reaches.
    source.import(b"commit refs/heads/gone\ncommitter C <c@d> 7 +0000\ndata 1\nx\n");
    let id = oid(&source.ask(&["rev-parse", "gone"]));
    source.run(&["update-ref", "--no-deref", "HEAD", &id.to_string()]);
    source.run(&["update-ref", "-d", "refs/heads/gone"]);
    let repo = import(backend, &source, 4).await;
    assert_eq!(repo.head().await.expect("HEAD"), None);
    let head = repo.resolve(&[RevSpec::head()]).await.expect("HEAD");
    assert_eq!(head, Some((0, id)));
}

async fn commit(repo: &dyn GitRepo, id: Oid) -> Arc<crate::objects::Commit> {
    match repo.objects(&[id]).await.expect("an object").pop() {
        Some(Some(Object::Commit(commit))) => commit,
        other => panic!("no commit: {other:?}"),
    }
}

async fn odd_commits_are_read(backend: &dyn GitBackend, scratch: &Path) {
    let source = Fixture::empty(scratch, "odd");
    let tree = oid(&source.ask(&["mktree"]));
    let people = "author A <a@b> 1500000000 +0000\ncommitter C <c@d> 1500000001 +0000\n";
    let signature = "-----BEGIN PGP SIGNATURE-----\n \n abc\n -----END PGP SIGNATURE-----";
    let signed =
        format!("tree {tree}\n{people}gpgsig {signature}\nx-more 1\n 2\n\nsigned\n\nbody\n");
    let latin = [
        format!("tree {tree}\n{people}encoding ISO-8859-1\n\n").as_bytes(),
        b"\xdcber\n",
    ]
    .concat();
    let mut ids = Vec::new();
    for (branch, raw) in [("signed", signed.as_bytes()), ("latin", &latin)] {
        let written = source.feed(&["hash-object", "-t", "commit", "-w", "--stdin"], raw);
        let id = String::from_utf8_lossy(&written).trim().to_owned();
        source.run(&["update-ref", &format!("refs/heads/{branch}"), &id]);
        ids.push(oid(&id));
    }
    let repo = import(backend, &source, 5).await;
    let latin = commit(&*repo, ids[1]).await;
    assert_eq!(
        (latin.message.as_str(), &latin.signature),
        ("\u{dc}ber\n", &None)
    );

    // What git gives to the verifier is what was signed.
    let out = scratch.join("verifier");
    std::fs::create_dir_all(&out).expect("made");
    let script = "#!/bin/sh\nfor a; do sig=$last; last=$a; done\ncd \"$(dirname \"$0\")\" || exit\n\
                  cp \"$sig\" sig; cat >data\n";
    let program = out.join("verify");
    std::fs::write(&program, script).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("executable");
    let setting = format!("gpg.program={}", program.display());
    let id = ids[0].to_string();
    let _ = source.try_ask(&[b"-c", setting.as_bytes(), b"verify-commit", id.as_bytes()]);
    let found = commit(&*repo, ids[0]).await;
    let found = found.signature.as_ref().expect("signed");
    let read = |name| std::fs::read(out.join(name)).expect("the verifier was run");
    assert_eq!(
        (&found.signature, &found.data),
        (&read("sig"), &read("data"))
    );
}

async fn large_blobs_are_streamed(backend: &dyn GitBackend, scratch: &Path) {
    let source = Fixture::empty(scratch, "large");
    // Noise does not get smaller, trying to takes long.
    source.run(&["config", "core.compression", "0"]);
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(20 << 17)
    .flatten()
    .collect();
    let written = source.feed(&["hash-object", "-w", "--stdin"], &noise);
    let id = String::from_utf8_lossy(&written).trim().to_owned();
    source.run(&["update-ref", "refs/blobs/large", &id]);
    let repo = import(backend, &source, 6).await;
    for _ in 0..2 {
        let content = repo.content(oid(&id)).await.expect("read").expect("there");
        assert!(content.head.len() < noise.len(), "memory is bounded");
        assert!(whole(content).await == noise, "the same bytes");
    }
    // A reader that goes away early leaves nothing behind that the next one would trip over.
    drop(repo.content(oid(&id)).await.expect("read"));
    let content = repo.content(oid(&id)).await.expect("read").expect("there");
    assert!(whole(content).await == noise, "the same bytes");
}

async fn failed_imports_leave_nothing(backend: &dyn GitBackend, scratch: &Path) {
    let before = backend.sweep(Timestamp::MAX_UTC).await.expect("swept");
    let broken = Fixture::empty(scratch, "broken");
    broken.import(&tangled_history(5, 1));
    broken.run(&["update-ref", "refs/heads/main", "b0"]);
    let tree = broken.ask(&["rev-parse", "main^{tree}"]);
    let object = format!("objects/{}/{}", &tree[..2], &tree[2..]);
    std::fs::remove_file(broken.path().join(object)).expect("a loose object");
    let no_repository = scratch.join("no-repository");
    std::fs::create_dir_all(&no_repository).expect("made");
    for path in [scratch.join("missing"), no_repository, broken.path().into()] {
        let failed = backend.fetch(&ImportSource::Path(path), silent()).await;
        match failed.expect_err("it cannot be read") {
            Error::Invalid(why) => {
                assert_eq!(why[0].field, Some("source"));
                assert!(!why[0].reason.contains(char::is_control), "{why:?}");
                assert!(!why[0].reason.is_empty());
            }
            other => panic!("{other:?}"),
        }
    }
    let url = "http://127.0.0.1:1/none".parse().expect("a source");
    let failed = backend.fetch(&url, silent()).await;
    assert!(matches!(failed, Err(Error::Invalid(_))), "{failed:?}");
    // Fetched, and not wanted after all.
    let source = ImportSource::Path(scratch.join("odd"));
    drop(backend.fetch(&source, silent()).await.expect("fetched"));
    // Not even waited for.
    let fetching = backend.fetch(&source, silent());
    let soon = std::time::Duration::from_millis(3);
    drop(tokio::time::timeout(soon, fetching).await);
    let mut after = backend.sweep(Timestamp::MAX_UTC).await.expect("swept");
    let mut before = before;
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(before, after);
}

async fn numbers_can_be_taken_again(backend: &dyn GitBackend, scratch: &Path) {
    let first = Fixture::at(scratch.join("everything"));
    let repo = import(backend, &first, 7).await;
    let ids: Vec<_> = all_objects(&first).into_keys().collect();
    assert!(
        repo.objects(&ids)
            .await
            .expect("objects")
            .iter()
            .all(Option::is_some)
    );
    // The row was never committed: another attempt gets the number.
    let second = Fixture::at(scratch.join("odd"));
    import(backend, &second, 7).await;
    let kept = all_objects(&second);
    let found = repo.objects(&ids).await.expect("objects");
    for (id, object) in ids.iter().zip(found) {
        assert_eq!(object.is_some(), kept.contains_key(id), "{id}");
        let content = repo.content(*id).await.expect("no fault");
        assert_eq!(content.is_some(), kept.contains_key(id), "{id}");
    }
    git_reads(&*repo, &second).await;
    let head = name("refs/heads/main");
    backend.create(RepoId(7), &head).await.expect("made");
    assert_empty(&*repo, "refs/heads/main").await;
}

async fn removal_is_final(backend: &dyn GitBackend) {
    let repo = open(backend, 2);
    let refs = repo.refs().await.expect("it is there");
    let ids: Vec<_> = refs.iter().map(|found| found.peeled).collect();
    repo.objects(&ids).await.expect("objects");
    for _ in 0..2 {
        backend.remove(RepoId(2)).await.expect("removed");
        assert_absent(&*repo).await;
        assert!(matches!(repo.objects(&ids).await, Err(Error::NotFound)));
        assert_absent(&*open(backend, 2)).await;
    }
}

async fn sweeping_names_what_is_old(backend: &dyn GitBackend, scratch: &Path) {
    let epoch = DateTime::UNIX_EPOCH;
    assert_eq!(backend.sweep(epoch).await.expect("swept"), []);
    let mut old = backend.sweep(Timestamp::MAX_UTC).await.expect("swept");
    old.sort_unstable();
    assert_eq!(old, [1, 3, 4, 5, 6, 7].map(RepoId));
    // A sweep names, it does not remove.
    assert_empty(&*open(backend, 1), "refs/heads/ot/her").await;

    // What is being fetched is younger than the sweep that comes by.
    let source = ImportSource::Path(scratch.join("odd"));
    let staged = backend.fetch(&source, silent()).await.expect("fetched");
    backend.sweep(epoch).await.expect("swept");
    backend.adopt(staged, RepoId(8)).await.expect("adopted");
    git_reads(&*open(backend, 8), &Fixture::at(scratch.join("odd"))).await;
}

async fn recovery_leaves_what_is_in_use(backend: &dyn GitBackend, scratch: &Path) {
    let source = ImportSource::Path(scratch.join("odd"));
    let staged = backend.fetch(&source, silent()).await.expect("fetched");
    for _ in 0..2 {
        backend.recover().await.expect("recovered");
    }
    backend.adopt(staged, RepoId(9)).await.expect("adopted");
    backend.recover().await.expect("recovered");
    git_reads(&*open(backend, 9), &Fixture::at(scratch.join("odd"))).await;
}

async fn maintenance_changes_nothing_that_is_read(backend: &dyn GitBackend, scratch: &Path) {
    let source = Fixture::at(scratch.join("everything"));
    let repo = import(backend, &source, 10).await;
    git_reads(&*repo, &source).await;
    for _ in 0..2 {
        backend.maintain(RepoId(10)).await.expect("maintained");
        git_reads(&*repo, &source).await;
        git_reads(&*open(backend, 10), &source).await;
    }
    let head = name("refs/heads/main");
    backend.create(RepoId(11), &head).await.expect("made");
    backend.maintain(RepoId(11)).await.expect("nothing to do");
    assert_empty(&*open(backend, 11), "refs/heads/main").await;
    let absent = backend.maintain(RepoId(12)).await;
    assert!(matches!(absent, Err(Error::NotFound)), "{absent:?}");
}
