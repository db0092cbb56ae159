//! Repositories with SHA-256 ids are read as those with SHA-1 ids are.

use std::path::Path;
use std::sync::Arc;

use forge_core::objects::{GitBackend as _, ImportSource};
use forge_core::testing::{Fixture, git_reads, tangled_history};
use forge_core::{Oid, RepoId, RevSpec};
use forge_git::Git;

/// A repository with SHA-256 ids.
fn empty(below: &Path, name: &str) -> Fixture {
    let around = Fixture::at(below);
    around.run(&[
        "init",
        "-q",
        "--bare",
        "--object-format=sha256",
        "-b",
        "b0",
        name,
    ]);
    Fixture::at(below.join(name))
}

async fn import(git: &Git, from: &Fixture, into: i64) {
    let source = ImportSource::Path(from.path().to_owned());
    let staged = git.fetch(&source, Arc::new(|_| {})).await.expect("fetched");
    git.adopt(staged, RepoId(into)).await.expect("adopted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_in_an_import_is_read_as_git_reads_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = empty(directory.path(), "source.git");
    let git = Git::at(directory.path().join("git"));
    import(&git, &source, 1).await;
    git_reads(&*git.open(RepoId(1)).expect("opened"), &source).await;

    source.import(&tangled_history(300, 4));
    for args in [["-m", "x", "v1", "b1"], ["-m", "x", "v2", "v1"]] {
        source.run(&[&["tag", "-a"], &args[..]].concat());
    }
    source.run(&["tag", "-a", "-m", "Of a tree", "tree", "b2^{tree}"]);
    source.run(&["update-ref", "refs/other/b2", "b2"]);
    source.run(&["symbolic-ref", "refs/heads/link", "refs/heads/b1"]);
    import(&git, &source, 2).await;
    let repo = git.open(RepoId(2)).expect("opened");
    let truth = Fixture::at(directory.path().join("git/repos/00/00/02.git"));
    // What is packed, with a commit-graph.
    git_reads(&*repo, &truth).await;
    assert_eq!(truth.ask(&["rev-parse", "--show-object-format"]), "sha256");

    // What is loose, refs and objects.
    truth.import(b"blob\nmark :1\ndata 4\nnew\n\ncommit refs/heads/b0\ncommitter C <c@d> 1700000000 +0000\ndata 1\nx\nfrom refs/heads/b0^0\nM 644 :1 new\n");
    truth.run(&["repack", "-q"]);
    let blob = truth.feed(&["hash-object", "-w", "--stdin"], b"loose\n");
    let blob = String::from_utf8(blob).expect("an id").trim().to_owned();
    truth.run(&["tag", "loose", &blob]);
    git_reads(&*repo, &truth).await;
    let resolve = async |rev: &str| {
        let rev = RevSpec::new(rev).expect("a revision");
        let found = repo.resolve(&[rev]).await.expect("no fault");
        found.map(|(_, id)| id.to_string())
    };
    // The digits of a whole SHA-1 id are the beginning of an id here.
    for digits in [7, 39, 40, 41, 63, 64] {
        assert_eq!(resolve(&blob[..digits]).await.as_ref(), Some(&blob));
    }

    // Several packs and one index over them.
    truth.run(&["multi-pack-index", "write"]);
    truth.run(&["pack-refs", "--all"]);
    git.maintain(RepoId(2)).await.expect("maintained");
    git_reads(&*repo, &truth).await;
    truth.run(&["fsck", "--strict"]);
}

#[tokio::test]
async fn an_id_of_the_other_format_names_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let git = Git::at(directory.path().join("git"));
    let long = empty(directory.path(), "long.git");
    let short = Fixture::empty(directory.path(), "short.git");
    for (into, source) in [(1, &long), (2, &short)] {
        source.import(&tangled_history(20, 1));
        import(&git, source, into).await;
    }
    let tips = [&long, &short].map(|source| source.ask(&["rev-parse", "b0"]));
    for (id, other) in [(1, &tips[1]), (2, &tips[0])] {
        let repo = git.open(RepoId(id)).expect("opened");
        let oid: Oid = other.parse().expect("an id");
        let found = repo.objects(&[oid]).await.expect("no fault");
        assert!(matches!(*found, [None]));
        assert!(repo.content(oid).await.expect("no fault").is_none());
        assert!(repo.peel(oid).await.expect("no fault").is_none());
        repo.short_lengths(&[oid]).await.expect("no fault");
        for end in [4, 39, 40, 41, 64] {
            let Some(text) = other.get(..end) else {
                continue;
            };
            let rev = RevSpec::new(text).expect("a revision");
            let found = repo.resolve(&[rev]).await.expect("no fault");
            assert!(found.is_none(), "{text}");
            let prefix = text.parse().expect("a prefix");
            repo.lookup(&prefix).await.expect("no fault");
        }
    }
}
