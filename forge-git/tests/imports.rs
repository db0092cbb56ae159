//! Imports that users ask for: what comes over HTTP, and from whom nothing is taken.

mod source;

use std::path::Path;
use std::sync::{Arc, Mutex};

use forge_core::objects::{GitBackend as _, ImportSource};
use forge_core::repos::Progress;
use forge_core::testing::{Fixture, tangled_history};
use forge_core::{Error, RefName, RepoId};
use forge_git::Git;
use source::{Kind, Server};

/// Room enough for what the tests fetch.
const ENOUGH: u64 = 64 << 20;

struct World {
    directory: tempfile::TempDir,
    git: Git,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let git = Git::at(directory.path().join("git")).allow_private_imports(true);
        Self { directory, git }
    }

    fn sources(&self) -> std::path::PathBuf {
        self.directory.path().join("sources")
    }

    /// A repository with branches, tags and other refs.
    fn source(&self, name: &str) -> Fixture {
        let source = Fixture::empty(&self.sources(), name);
        source.import(&tangled_history(60, 7));
        source.run(&["tag", "-a", "-m", "x", "v1", "b0"]);
        source.run(&["update-ref", "refs/notes/commits", "b0"]);
        source.run(&["update-ref", "refs/forge/internal", "b0"]);
        source.run(&["symbolic-ref", "HEAD", "refs/heads/b1"]);
        source
    }

    async fn import(&self, from: &ImportSource, into: i64) -> Result<Fixture, Error> {
        let staged = self.git.fetch(from, quiet()).await?;
        self.git.adopt(staged, RepoId(into)).await?;
        let path = format!("git/repos/00/00/{into:02}.git");
        Ok(Fixture::at(self.directory.path().join(path)))
    }

    /// Whether anything is left where fetching is done.
    async fn is_clean(&self) -> bool {
        for _ in 0..100 {
            let left = std::fs::read_dir(self.directory.path().join("git/tmp"));
            if left.is_ok_and(|mut left| left.next().is_none()) {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        false
    }
}

fn quiet() -> Progress {
    Arc::new(|_| {})
}

fn at(url: &str) -> ImportSource {
    bounded(url, ENOUGH)
}

fn bounded(url: &str, max_bytes: u64) -> ImportSource {
    ImportSource::UserUrl {
        url: url.parse().expect("a URL"),
        max_bytes,
    }
}

/// The refs that a user's import takes over, and HEAD.
fn taken(of: &Fixture) -> String {
    let refs = of.ask(&["for-each-ref", "refs/heads/", "refs/tags/"]);
    format!("{refs}\n{}", of.ask(&["symbolic-ref", "HEAD"]))
}

fn everything(of: &Fixture) -> String {
    format!(
        "{}\n{}",
        of.ask(&["for-each-ref"]),
        of.ask(&["symbolic-ref", "HEAD"])
    )
}

async fn reason(world: &World, from: &ImportSource) -> String {
    match world.git.fetch(from, quiet()).await {
        Err(Error::Invalid(faults)) => {
            assert_eq!(faults[0].field, Some("source"));
            faults[0].reason.clone()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn branches_tags_and_head_come_and_nothing_else() {
    let world = World::new();
    let source = world.source("a.git");
    source.run(&["update-server-info"]);
    let expected = taken(&source);
    let (smart, dumb) = (
        Server::start(&world.sources(), Kind::Smart).await,
        Server::start(&world.sources(), Kind::Dumb).await,
    );
    for (number, from) in [(2, at(&smart.url("a.git"))), (3, at(&dumb.url("a.git")))] {
        let copy = world.import(&from, number).await.expect("imported");
        assert_eq!(everything(&copy), expected);
        copy.run(&["fsck", "--strict"]);
        let config = std::fs::read_to_string(copy.path().join("config")).expect("read");
        assert!(!config.contains("127.0.0.1"), "{config}");
    }
    world
        .import(&ImportSource::Path(source.path().into()), 4)
        .await
        .expect("imported");
    let copy = world
        .import(&ImportSource::Repo(RepoId(4)), 5)
        .await
        .expect("imported");
    assert_eq!(
        everything(&copy),
        expected,
        "from a repository of the forge"
    );
    assert!(!copy.path().join("objects/info/alternates").exists());
    assert!(world.is_clean().await);
}

#[tokio::test]
async fn a_head_that_is_no_branch_becomes_one() {
    let world = World::new();
    let source = world.source("a.git");
    let server = Server::start(&world.sources(), Kind::Smart).await;
    let detached = source.ask(&["rev-parse", "b2"]);
    source.run(&["update-ref", "--no-deref", "HEAD", &detached]);
    let copy = world
        .import(&at(&server.url("a.git")), 1)
        .await
        .expect("imported");
    assert_eq!(copy.ask(&["symbolic-ref", "HEAD"]), "refs/heads/b2");
    let between = source.ask(&["rev-parse", "b2~1"]);
    source.run(&["update-ref", "--no-deref", "HEAD", &between]);
    let copy = world
        .import(&at(&server.url("a.git")), 2)
        .await
        .expect("imported");
    let head = copy.ask(&["symbolic-ref", "HEAD"]);
    assert!(head == "refs/heads/master" || copy.ask(&["rev-parse", &head]) == between);
}

#[tokio::test]
async fn an_empty_source_makes_an_empty_repository() {
    let world = World::new();
    let _ = Fixture::empty(&world.sources(), "empty.git");
    let server = Server::start(&world.sources(), Kind::Smart).await;
    let copy = world
        .import(&at(&server.url("empty.git")), 1)
        .await
        .expect("imported");
    assert_eq!(everything(&copy), "\nrefs/heads/main");
}

#[tokio::test]
async fn users_import_from_the_open_internet_alone() {
    let world = World::new();
    world.source("a.git");
    let server = Server::start(&world.sources(), Kind::Smart).await;
    let port = server
        .url("")
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    let git = Git::at(world.directory.path().join("other"));
    for git in [
        git.clone(),
        git.clone().cache_bytes(0),
        git.allow_private_imports(false),
    ] {
        for host in [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "[::ffff:7f00:1]",
            "0.0.0.0",
            "10.0.0.1",
        ] {
            let from = at(&format!("http://{host}:{port}a.git"));
            let error = git.fetch(&from, quiet()).await.expect_err(host);
            assert_eq!(
                error.to_string(),
                "invalid input: its host is not to be found on the internet",
                "{host}"
            );
        }
    }
    assert_eq!(server.requests(), 0);
    let named = at(&format!("http://localhost:{port}a.git"));
    world
        .import(&named, 1)
        .await
        .expect("imported, where it is allowed");
    assert!(server.requests() > 0);
}

#[tokio::test]
async fn nobody_is_followed_elsewhere() {
    let world = World::new();
    let source = world.source("a.git");
    source.run(&["update-server-info"]);
    let target = Server::start(&world.sources(), Kind::Smart).await;
    let to = target.url("").trim_end_matches('/').to_owned();
    let redirecting = Server::start(&world.sources(), Kind::Redirect(to)).await;
    let reason_given = reason(&world, &at(&redirecting.url("a.git"))).await;
    assert!(
        reason_given.starts_with("fatal: unable to"),
        "{reason_given}"
    );
    let objects = target.url("a.git/objects");
    let lending = Server::start(&world.sources(), Kind::Alternate(objects)).await;
    reason(&world, &at(&lending.url("a.git"))).await;
    assert!(lending.requests() > 2);
    assert_eq!(target.requests(), 0);
    assert!(world.is_clean().await);
}

#[tokio::test]
async fn what_is_no_repository_is_said_in_gits_words() {
    let world = World::new();
    world.source("a.git");
    let server = Server::start(&world.sources(), Kind::Smart).await;
    let url = server.url("missing.git");
    let said = reason(&world, &at(&url)).await;
    assert_eq!(said, format!("fatal: repository '{url}/' not found"));
    drop(server);
    let said = reason(&world, &at(&url)).await;
    assert!(said.contains("Failed to connect"), "{said}");
    let error = world
        .git
        .fetch(&ImportSource::Repo(RepoId(99)), quiet())
        .await;
    assert!(matches!(error, Err(Error::NotFound)), "{error:?}");
    let head = RefName::new("refs/heads/main").expect("a name");
    world.git.create(RepoId(7), &head).await.expect("made");
    let damaged = world.directory.path().join("git/repos/00/00/07.git/HEAD");
    std::fs::remove_file(damaged).expect("removed");
    let said = reason(&world, &ImportSource::Repo(RepoId(7))).await;
    assert!(
        !said.contains("07.git") && said.contains("the source"),
        "{said}"
    );
}

#[tokio::test]
async fn objects_that_a_push_could_not_bring_are_not_imported() {
    for faulty in ["evil", "harmless"] {
        let world = World::new();
        let source = world.source("a.git");
        let tree = source.ask(&["rev-parse", "b0^{tree}"]);
        let zone = if faulty == "evil" { "+0000" } else { "+051800" };
        let tree = if faulty == "evil" {
            let entry = format!("040000 tree {tree}\t.git\n");
            let made = source.feed(&["mktree"], entry.as_bytes());
            String::from_utf8(made).expect("an id").trim().to_owned()
        } else {
            tree
        };
        let commit = format!(
            "tree {tree}\nauthor A <a@b> 1500000000 {zone}\ncommitter A <a@b> 1500000000 {zone}\n\nx\n"
        );
        let made = source.feed(
            &[
                "hash-object",
                "-w",
                "--literally",
                "--stdin",
                "-t",
                "commit",
            ],
            commit.as_bytes(),
        );
        let made = String::from_utf8(made).expect("an id");
        source.run(&["update-ref", "refs/heads/faulty", made.trim()]);
        source.run(&["update-server-info"]);
        for (number, kind) in [(1, Kind::Smart), (2, Kind::Dumb)] {
            let server = Server::start(&world.sources(), kind.clone()).await;
            let from = at(&server.url("a.git"));
            if faulty == "evil" {
                let said = reason(&world, &from).await;
                assert!(said.contains("hasDotgit"), "{kind:?}: {said}");
            } else {
                let copy = world.import(&from, number).await.expect("imported");
                assert_eq!(taken(&copy), taken(&source));
            }
        }
        assert!(world.is_clean().await);
    }
}

/// A repository whose objects do not shrink.
fn large(at: &Path, name: &str, bytes: usize) -> Fixture {
    let source = Fixture::empty(at, name);
    let mut state = 1_u64;
    let mut stream = Vec::new();
    for n in 0..8 {
        let noise: Vec<u8> = (0..bytes / 8)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        let head = format!(
            "commit refs/heads/b{n}\ncommitter A <a@b> 1500000000 +0000\ndata 1\nx\n\
             M 100644 inline f\ndata {}\n",
            noise.len()
        );
        stream.extend_from_slice(head.as_bytes());
        stream.extend_from_slice(&noise);
        stream.push(b'\n');
    }
    source.import(&stream);
    source
}

#[tokio::test]
async fn a_source_that_is_too_large_is_cut_off() {
    let world = World::new();
    let source = large(&world.sources(), "large.git", 8 << 20);
    let smart = Server::start(&world.sources(), Kind::Smart).await;
    let dumb = Server::start(&world.sources(), Kind::Dumb).await;
    source.run(&["repack", "-a", "-d", "-q"]);
    source.run(&["update-server-info"]);
    for server in [&smart, &dumb] {
        let from = bounded(&server.url("large.git"), 1 << 20);
        let said = reason(&world, &from).await;
        assert_eq!(said, "it is larger than 1048576 bytes");
    }
    assert!(world.is_clean().await);
    world
        .import(&at(&smart.url("large.git")), 1)
        .await
        .expect("imported");
}

#[tokio::test]
async fn progress_is_told_and_a_fetch_that_is_dropped_is_over() {
    let world = World::new();
    world.source("a.git");
    let server = Server::start(&world.sources(), Kind::Smart).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell: Progress = {
        let told = Arc::clone(&told);
        Arc::new(move |line: &str| told.lock().expect("unpoisoned").push(line.to_owned()))
    };
    let from = at(&server.url("a.git"));
    drop(world.git.fetch(&from, tell).await.expect("fetched"));
    let told = told.lock().expect("unpoisoned").join("\n");
    assert!(told.contains("Receiving objects: 100%"), "{told}");
    server.becomes(Kind::Silent);
    let fetching = world.git.fetch(&from, quiet());
    let soon = std::time::Duration::from_millis(500);
    assert!(tokio::time::timeout(soon, fetching).await.is_err());
    assert!(world.is_clean().await);
}
