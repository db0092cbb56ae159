//! `kill -9` at random moments: what was acknowledged is there, what was not is there as a whole or not at all.
//!
//! Invariant: each client works in names of its own, so after a kill there is at most one operation of each of which it
//! cannot know how it ended. `FORGE_CRASH_ROUNDS` asks for more rounds than the few of a normal run. That the machine
//! itself loses power is not tested here.

mod deletion;
mod import;
mod push;
mod worker;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use self::worker::{Repo, Worker, exists, perform};
use crate::support::Database;
use crate::support::fixture::{self, git_text};
use crate::support::process::{Client, Launch};

/// How many clients work at once.
const CLIENTS: u64 = 4;
/// The longest time from the first operation to the kill, in milliseconds.
const LIFE: u64 = 300;

fn rounds(database: &Database) -> u64 {
    let asked = std::env::var("FORGE_CRASH_ROUNDS").ok();
    match (asked, database) {
        (Some(asked), _) => asked.parse().expect("a number in FORGE_CRASH_ROUNDS"),
        (None, Database::Sqlite) => 25,
        (None, Database::Postgres { .. }) => 8,
    }
}

/// SplitMix64: the same moments and choices in each run.
#[derive(Debug)]
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T>(&mut self, from: impl ExactSizeIterator<Item = T>) -> Option<T> {
        let mut from = from;
        let count = from.len() as u64;
        let at = (count > 0).then(|| self.below(count))?;
        from.nth(usize::try_from(at).expect("small"))
    }
}

/// What git says of a repository.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    refs: BTreeMap<String, String>,
    head: String,
    commits: usize,
}

impl Source {
    fn at(path: PathBuf) -> Self {
        let refs = git_text(
            &path,
            &["for-each-ref", "--format=%(refname) %(objectname)"],
        );
        let refs = refs.lines().map(|line| {
            let (name, id) = line.split_once(' ').expect("name and id");
            (name.to_owned(), id.to_owned())
        });
        Self {
            refs: refs.collect(),
            head: git_text(&path, &["rev-parse", "HEAD"]),
            commits: git_text(&path, &["rev-list", "--count", "HEAD"])
                .parse()
                .expect("a number"),
            path,
        }
    }
}

/// A repository can be read, and is what it should be: a copy of `source`, or empty.
async fn check_repo(client: &Client, name: &str, source: Option<&Source>) -> Value {
    let read = async |what: &str| client.get(&format!("/api/repos/{name}{what}")).await;
    let (repo, refs, log, tree) = (
        read("").await,
        read("/refs").await,
        read("/log").await,
        read("/tree").await,
    );
    for answer in [&repo, &refs, &log] {
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }
    let refs = refs.json();
    let there: BTreeMap<_, _> = refs["results"]
        .as_array()
        .expect("refs")
        .iter()
        .map(|it| {
            (
                it["name"].as_str().expect("text").to_owned(),
                it["target"].as_str().expect("text").to_owned(),
            )
        })
        .collect();
    let commits = log.json();
    match source {
        Some(source) => {
            assert_eq!(there, source.refs, "{name}");
            assert_eq!(commits["results"][0]["id"], json!(source.head), "{name}");
            assert_eq!(tree.status, 200, "{name}: {tree:?}");
        }
        None => {
            assert!(there.is_empty(), "{name}: {there:?}");
            assert_eq!(commits["results"], json!([]), "{name}");
            assert_eq!(tree.status, 404, "{name}: {tree:?}");
        }
    }
    refs
}

/// Everything is as the workers believe, and nothing else is there.
async fn check(client: &Client, workers: &[Worker], source: &Source) {
    let mut listed = client.listed().await;
    listed.sort();
    let known = workers
        .iter()
        .flat_map(|worker| worker.repos.keys().cloned());
    let mut known: Vec<_> = known.collect();
    known.sort();
    assert_eq!(listed, known);
    for worker in workers {
        for (name, repo) in &worker.repos {
            let row = client.get(&format!("/api/repos/{name}")).await.json();
            assert_eq!(row["name"], json!(name));
            assert_eq!(row["description"], json!(repo.description), "{name}");
            let refs = check_repo(client, name, repo.imported.then_some(source)).await;
            check_artifacts(client, name, repo, &refs).await;
        }
        for name in &worker.gone {
            assert!(!exists(client, name).await, "{name} is there again");
        }
    }
}

async fn check_artifacts(client: &Client, name: &str, repo: &Repo, refs: &Value) {
    let tag = refs["results"].as_array().expect("refs").iter();
    let tag = tag.filter(|it| it["name"] == "refs/tags/v1");
    let listed: BTreeMap<_, _> = tag
        .flat_map(|tag| tag["artifacts"].as_array().expect("artifacts"))
        .map(|artifact| (artifact["filename"].as_str().expect("a name"), artifact))
        .collect();
    let names: Vec<_> = listed.keys().copied().collect();
    let known: Vec<_> = repo.artifacts.keys().map(String::as_str).collect();
    assert_eq!(names, known, "artifacts of {name}");
    for (file, content) in &repo.artifacts {
        let artifact = listed[file.as_str()];
        assert_eq!(artifact["size"], json!(content.len()), "{name}/{file}");
        assert_eq!(
            artifact["checksum"],
            json!(format!("sha256:{}", sha256(content)))
        );
        let download = client
            .get(&format!("/~you/{name}/refs/download/v1/{file}"))
            .await;
        assert_eq!(download.status, 200, "{name}/{file}");
        assert!(
            download.body == content,
            "{name}/{file} is not what was uploaded"
        );
    }
}

/// By another implementation than the server's.
fn sha256(content: &[u8]) -> String {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let suite = suite.tls13().expect("a suite of TLS 1.3");
    let hash = suite.common.hash_provider.hash(content);
    hash.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[tokio::test]
async fn what_is_acknowledged_survives_kill_9_and_nothing_is_half_done() {
    for database in Database::all() {
        let dir = tempfile::tempdir().expect("a directory");
        let launch = launch(dir.path(), &database).await;
        survive(&launch, dir.path(), rounds(&database)).await;
        database.drop_fresh().await;
    }
}

async fn launch(dir: &Path, database: &Database) -> Launch {
    let launch = Launch::new(dir, "forge");
    drop(database.fresh().await);
    match database.url() {
        Some(url) => launch.with(["--database", &url]),
        None => launch,
    }
}

async fn survive(launch: &Launch, dir: &Path, rounds: u64) {
    let source = Source::at(fixture::small(dir));
    let mut workers: Vec<_> = (0..CLIENTS).map(Worker::new).collect();
    for round in 0..rounds {
        let mut rng = Rng(round);
        let imports = [format!("i{round}-a"), format!("i{round}-b")];
        let with_imports = imports.iter().fold(launch.clone(), |launch, name| {
            launch.importing(name, &source.path)
        });
        if rng.below(3) == 0 {
            let starting = with_imports.spawn();
            tokio::time::sleep(Duration::from_millis(rng.below(LIFE))).await;
            starting.kill9().await;
        }
        let server = with_imports.start().await;
        adopt(&mut workers, round, imports);
        check_after(&server.client, &mut workers, &source).await;

        let killed = Arc::new(AtomicBool::new(false));
        let work = workers
            .drain(..)
            .map(|worker| tokio::spawn(worker.work(server.client.clone(), Arc::clone(&killed))));
        let work: Vec<_> = work.collect();
        tokio::time::sleep(Duration::from_millis(rng.below(LIFE))).await;
        killed.store(true, Ordering::Relaxed);
        server.kill9().await;
        for worker in work {
            workers.push(worker.await.expect("a worker"));
        }
    }
    let server = launch.start().await;
    check_after(&server.client, &mut workers, &source).await;
    server.stop().await;
}

/// Gives what was imported at the start of a round to two of the workers.
fn adopt(workers: &mut [Worker], round: u64, imports: [String; 2]) {
    let imported = Repo {
        imported: true,
        ..Repo::default()
    };
    for (name, number) in imports.into_iter().zip(round..) {
        let worker = usize::try_from(number % CLIENTS).expect("small");
        workers[worker].repos.insert(name, imported.clone());
    }
}

/// What the workers could not know is found out, everything is looked at, and what did not happen is done again.
async fn check_after(client: &Client, workers: &mut [Worker], source: &Source) {
    let mut again = Vec::new();
    for worker in workers.iter_mut() {
        again.push(worker.settle(client).await);
    }
    check(client, workers, source).await;
    for (worker, op) in workers.iter_mut().zip(again) {
        if let Some(op) = op {
            let done = perform(client, &op).await;
            done.unwrap_or_else(|error| panic!("{op:?}: {error:?}"));
            worker.apply(op);
        }
    }
}
