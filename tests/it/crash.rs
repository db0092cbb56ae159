//! `kill -9` at random moments: what was acknowledged is there, what was not is there as a whole or not at all.
//!
//! Invariant: each client works in names of its own, so after a kill there is at most one operation of each of which it
//! cannot know how it ended. `FORGE_CRASH_ROUNDS` asks for more rounds than the few of a normal run. That the machine
//! itself loses power is not tested here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::fixture::{self, git_text};
use crate::support::process::{Client, Launch, Payload};
use crate::support::{Answer, Database};

/// How many clients work at once.
const CLIENTS: u64 = 4;
/// How many repositories a client has at most.
const REPOS: usize = 8;
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

/// What a client asks for.
#[derive(Clone)]
enum Op {
    Create(String),
    Rename(String, String),
    Describe(String, String),
    Delete(String),
    Upload(String, String, Bytes),
}

impl fmt::Debug for Op {
    /// Without the contents, which nobody can read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(name) => write!(f, "create {name}"),
            Self::Rename(old, new) => write!(f, "rename {old} to {new}"),
            Self::Describe(name, text) => write!(f, "describe {name} as {text:?}"),
            Self::Delete(name) => write!(f, "delete {name}"),
            Self::Upload(name, file, content) => {
                write!(f, "upload {} bytes to {name} as {file}", content.len())
            }
        }
    }
}

/// What a client believes of one of its repositories.
#[derive(Debug, Clone, Default)]
struct Repo {
    /// Whether it is a copy of the fixture, or empty.
    imported: bool,
    description: Option<String>,
    artifacts: BTreeMap<String, Bytes>,
}

/// A client, and what it believes of the server.
#[derive(Debug)]
struct Worker {
    name: String,
    rng: Rng,
    count: u64,
    repos: BTreeMap<String, Repo>,
    gone: BTreeSet<String>,
    /// The operation that was not answered.
    unsure: Option<Op>,
}

impl Worker {
    fn new(number: u64) -> Self {
        Self {
            name: format!("w{number}"),
            rng: Rng(number),
            count: 0,
            repos: BTreeMap::new(),
            gone: BTreeSet::new(),
            unsure: None,
        }
    }

    /// Works until the server goes away.
    async fn work(mut self, client: Client, killed: Arc<AtomicBool>) -> Self {
        loop {
            let op = self.choose();
            if let Err(error) = perform(&client, &op).await {
                assert!(killed.load(Ordering::Relaxed), "{op:?}: {error:?}");
                self.unsure = Some(op);
                return self;
            }
            self.apply(op);
        }
    }

    fn choose(&mut self) -> Op {
        let imported = self.repos.iter().filter(|(_, repo)| repo.imported);
        let imported: Vec<_> = imported.map(|(name, _)| name.clone()).collect();
        let name = self
            .rng
            .pick(self.repos.keys().cloned().collect::<Vec<_>>().into_iter());
        let Some(name) = name.filter(|_| self.repos.len() > 2) else {
            return Op::Create(self.unused());
        };
        let room = self.repos.len() < REPOS;
        match self.rng.below(10) {
            0..=2 if room => Op::Create(self.unused()),
            0..=3 => Op::Delete(name),
            4 | 5 => {
                let new = self.unused();
                Op::Rename(name, new)
            }
            6 => Op::Describe(name, format!("description {}", self.rng.next())),
            _ => match self.rng.pick(imported.into_iter()) {
                Some(name) => {
                    self.count += 1;
                    Op::Upload(
                        name,
                        format!("{}-{}.bin", self.name, self.count),
                        self.content(),
                    )
                }
                None => Op::Delete(name),
            },
        }
    }

    /// A name that no repository has (any more).
    fn unused(&mut self) -> String {
        let again = self.rng.below(3) == 0;
        let gone: Vec<_> = self.gone.iter().cloned().collect();
        match self.rng.pick(gone.into_iter()).filter(|_| again) {
            Some(name) => name,
            None => {
                self.count += 1;
                format!("{}-{}", self.name, self.count)
            }
        }
    }

    fn content(&mut self) -> Bytes {
        let size = match self.rng.below(16) {
            0 => 9 << 20,
            1 | 2 => 1 << 20,
            3 => 0,
            4..=9 => 1000,
            _ => 50_000,
        };
        let mut content = Vec::with_capacity(size + 8);
        while content.len() < size {
            content.extend_from_slice(&self.rng.next().to_le_bytes());
        }
        content.truncate(size);
        content.into()
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Create(name) => {
                self.gone.remove(&name);
                self.repos.insert(name, Repo::default());
            }
            Op::Rename(old, new) => {
                let repo = self.repos.remove(&old).expect("known");
                self.gone.remove(&new);
                self.gone.insert(old);
                self.repos.insert(new, repo);
            }
            Op::Describe(name, text) => {
                self.repos.get_mut(&name).expect("known").description = Some(text);
            }
            Op::Delete(name) => {
                self.repos.remove(&name).expect("known");
                self.gone.insert(name);
            }
            Op::Upload(name, file, content) => {
                let repo = self.repos.get_mut(&name).expect("known");
                repo.artifacts.insert(file, content);
            }
        }
    }

    /// Finds out how the unanswered operation ended. What did not happen is returned.
    async fn settle(&mut self, client: &Client) -> Option<Op> {
        let op = self.unsure.take()?;
        let happened = match &op {
            Op::Create(name) => exists(client, name).await,
            Op::Delete(name) => !exists(client, name).await,
            Op::Rename(old, new) => {
                let (before, after) = (exists(client, old).await, exists(client, new).await);
                assert_ne!(before, after, "{op:?}: both names, or none");
                after
            }
            Op::Describe(name, text) => {
                let now = client.get(&format!("/api/repos/{name}")).await.json();
                now["description"] == json!(text)
            }
            Op::Upload(name, file, _) => {
                let url = format!("/~you/{name}/refs/download/v1/{file}");
                found(&client.get(&url).await)
            }
        };
        if happened {
            self.apply(op);
            return None;
        }
        Some(op)
    }
}

/// Asks for it; an error if the server went away before it answered.
async fn perform(client: &Client, op: &Op) -> reqwest::Result<()> {
    let repo = |name: &str| format!("/api/repos/{name}");
    let (method, path, payload, expected) = match op {
        Op::Create(name) => {
            let json = Payload::Json(json!({ "name": name }));
            (Method::POST, "/api/repos".to_owned(), json, 201)
        }
        Op::Rename(old, new) => {
            let json = Payload::Json(json!({ "name": new }));
            (Method::PUT, repo(old), json, 200)
        }
        Op::Describe(name, text) => {
            let json = Payload::Json(json!({ "description": text }));
            (Method::PUT, repo(name), json, 200)
        }
        Op::Delete(name) => (Method::DELETE, repo(name), Payload::Nothing, 204),
        Op::Upload(name, file, content) => {
            let file = Payload::File(file.clone(), content.clone());
            (Method::POST, repo(name) + "/artifacts/v1", file, 201)
        }
    };
    let answer = client.ask(method, &path, payload).await?;
    assert_eq!(answer.status, expected, "{op:?}: {answer:?}");
    Ok(())
}

fn found(answer: &Answer) -> bool {
    match answer.status {
        StatusCode::OK => true,
        StatusCode::NOT_FOUND => false,
        _ => panic!("{answer:?}"),
    }
}

async fn exists(client: &Client, name: &str) -> bool {
    found(&client.get(&format!("/api/repos/{name}")).await)
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

/// How many commits the repository has whose import is cut off.
const COMMITS: usize = 4000;

#[tokio::test]
async fn an_import_that_is_killed_is_there_as_a_whole_or_not_at_all() {
    for database in Database::all() {
        let dir = tempfile::tempdir().expect("a directory");
        let launch = launch(dir.path(), &database).await;
        cut_imports(&launch, dir.path(), rounds(&database).div_ceil(2)).await;
        database.drop_fresh().await;
    }
}

async fn cut_imports(launch: &Launch, dir: &Path, rounds: u64) {
    let source = Source::at(fixture::import(dir, "big.git", &history()));
    let begun = Instant::now();
    let server = launch.importing("whole", &source.path).start().await;
    let usual = u64::try_from(begun.elapsed().as_millis()).expect("soon");
    assert_eq!(walk(&server.client, "whole").await, source.commits);
    server.kill9().await;

    let mut known = vec!["whole".to_owned()];
    let mut cut = 0;
    for round in 0..rounds {
        let name = format!("big-{}", known.len());
        let importing = launch.importing(&name, &source.path).spawn();
        let life = Rng(round).below(usual + usual / 8);
        tokio::time::sleep(Duration::from_millis(life)).await;
        let acknowledged = importing.env().is_some();
        importing.kill9().await;

        let server = launch.start().await;
        let mut listed = server.client.listed().await;
        let there = listed.contains(&name);
        assert!(there || !acknowledged, "{name} was acknowledged");
        if there {
            assert_eq!(walk(&server.client, &name).await, source.commits, "{name}");
            known.push(name);
        } else {
            cut += 1;
        }
        listed.sort();
        known.sort();
        assert_eq!(listed, known);
        for name in &known {
            check_repo(&server.client, name, Some(&source)).await;
        }
        server.kill9().await;
    }
    assert!(cut > 0, "no import was cut off");
    let name = format!("big-{}", known.len());
    let server = launch.importing(&name, &source.path).start().await;
    check_repo(&server.client, &name, Some(&source)).await;
    assert_eq!(walk(&server.client, &name).await, source.commits);
    server.stop().await;
}

/// How many commits the log has, over all pages.
async fn walk(client: &Client, name: &str) -> usize {
    let mut seen = BTreeSet::new();
    let mut start = String::new();
    loop {
        let page = client
            .get(&format!("/api/repos/{name}/log?start={start}"))
            .await;
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        for commit in page["results"].as_array().expect("commits") {
            seen.insert(commit["id"].as_str().expect("an id").to_owned());
        }
        match page["next"].as_str() {
            Some(next) => start = next.to_owned(),
            None => return seen.len(),
        }
    }
}

/// A history that takes git a while, with branches and tags on the way.
fn history() -> Vec<u8> {
    let mut rng = Rng(0);
    let mut stream = String::new();
    for n in 1..=COMMITS {
        let noise: String = (0..40).map(|_| format!("{:016x}\n", rng.next())).collect();
        let message = format!("Commit {n}.\n");
        write!(
            stream,
            "commit refs/heads/master\nmark :{n}\ncommitter Ada <ada@example.org> {} +0000\n\
             data {}\n{message}M 100644 inline dir{}/file{}\ndata {}\n{noise}\n",
            1_500_000_000 + n,
            message.len(),
            n % 7,
            n % 100,
            noise.len(),
        )
        .expect("text");
        if n % 100 == 0 {
            write!(stream, "reset refs/heads/at/{n}\nfrom :{n}\n\n").expect("text");
        }
        if n % 150 == 0 {
            write!(
                stream,
                "tag t{n}\nfrom :{n}\ntagger Ada <ada@example.org> {} +0000\ndata 5\nTag.\n\n",
                1_500_000_000 + n
            )
            .expect("text");
        }
    }
    stream.push_str("done\n");
    stream.into_bytes()
}
