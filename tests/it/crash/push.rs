//! Pushes to a process that is killed: at every step, and at random moments.
//!
//! Invariant: what a push became is asked of the bare repository, of the event log that the example `plugin` keeps, and
//! of git's own `fsck`; the server's word is taken for nothing. Its tables are touched for one thing alone: a dead
//! worker's leases are ended, which would take two minutes by themselves.

mod kills;
mod steps;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::Database;
use crate::support::process::{Client, Launch, Standalone};
use crate::support::site::{Ran, run};

/// How long recovery may take: a push is settled when it is five seconds old, by a worker that looks every five.
const RECOVERY: Duration = Duration::from_secs(30);
/// How long what a dead server started may live on.
const AGONY: Duration = Duration::from_secs(5);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(50);

/// A ref that was moved by a push.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Move {
    name: String,
    old: Option<String>,
    new: Option<String>,
}

/// A push in the log of events.
#[derive(Debug, Clone, Deserialize)]
struct Entry {
    id: String,
    refs: Vec<Move>,
    deliveries: i64,
}

/// A data directory, its database, and the command line that serves it.
struct Host {
    dir: TempDir,
    database: Database,
    launch: Launch,
}

impl Host {
    /// A host like others on the same kind of database, with nothing in it.
    async fn new(database: &Database) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let database = match database {
            Database::Sqlite => Database::Sqlite,
            Database::Postgres { server, .. } => Database::Postgres {
                server: server.clone(),
                name: Mutex::new(None),
            },
        };
        drop(database.fresh().await);
        let launch = Launch::new(dir.path(), "forge")
            .of("plugin")
            .with(["--ssh", "off"]);
        let launch = match database.url() {
            Some(url) => launch.with(["--database", &url]),
            None => launch,
        };
        Self {
            dir,
            database,
            launch,
        }
    }

    async fn start(&self) -> Standalone {
        self.launch.start().await
    }

    async fn end(self) {
        self.database.drop_fresh().await;
    }

    fn repositories(&self) -> PathBuf {
        self.dir.path().join("data/repositories")
    }

    /// Kills the server, and waits until what it started is gone, too.
    async fn kill9(&self, server: Standalone) {
        server.kill9().await;
        let begun = Instant::now();
        loop {
            let orphans = self.children();
            if orphans.is_empty() {
                return;
            }
            assert!(begun.elapsed() < AGONY, "orphans: {orphans:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// The processes that work below the data directory: only children of the server do.
    fn children(&self) -> Vec<String> {
        let data = self.dir.path().canonicalize().expect("it exists");
        let data = data.join("data");
        let mut found = Vec::new();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let process = process.path();
            if fs::read_link(process.join("cwd")).is_ok_and(|at| at.starts_with(&data)) {
                let words = fs::read(process.join("cmdline")).unwrap_or_default();
                // A zombie has no words any more.
                if !words.is_empty() {
                    found.push(String::from_utf8_lossy(&words).replace('\0', " "));
                }
            }
        }
        found
    }

    /// Nothing of what a dead server was at is left: no quarantine, no lock, no half of a pack.
    async fn is_clean(&self) {
        let begun = Instant::now();
        loop {
            let left = leftovers(&self.repositories());
            if left.is_empty() {
                return;
            }
            assert!(begun.elapsed() < RECOVERY, "left behind: {left:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Lets the leases of a dead worker end. The server must not run.
    async fn let_leases_end(&self) {
        let database = self.database().await;
        let update = "UPDATE forge_job SET lease_until = 1 WHERE lease_until IS NOT NULL";
        database
            .execute_unprepared(update)
            .await
            .expect("an update");
        database.close().await.expect("closing");
    }

    /// Waits until no push is without an end, and nobody is still to be told of one.
    async fn is_settled(&self) {
        let database = self.database().await;
        let begun = Instant::now();
        loop {
            let count = async |what: &str| {
                let query = format!("SELECT count(*) AS there FROM {what}");
                let backend = database.get_database_backend();
                let row = database.query_one_raw(Statement::from_string(backend, query));
                let row = row.await.expect("an answer").expect("a row");
                row.try_get::<i64>("", "there").expect("a number")
            };
            let dead = count("forge_job WHERE dead").await;
            assert_eq!(dead, 0, "jobs were given up");
            let pushes = count("forge_push WHERE state = 'committing'").await;
            let events = r#"task LIKE '{"task":"event"%' OR task LIKE '{"task":"tell"%'"#;
            let events = count(&format!("forge_job WHERE {events}")).await;
            if pushes + events == 0 {
                break;
            }
            assert!(
                begun.elapsed() < RECOVERY,
                "{pushes} pushes without an end, {events} events that nobody was told of"
            );
            tokio::time::sleep(POLL).await;
        }
        database.close().await.expect("closing");
    }

    async fn database(&self) -> DatabaseConnection {
        let file = || format!("sqlite:{}", self.dir.path().join("data/forge.db").display());
        let url = self.database.url().unwrap_or_else(file);
        let mut options = sea_orm::ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        let database = sea_orm::Database::connect(options).await;
        database.expect("the database")
    }

    /// Where the files of a repository lie; `None` if there is none of that name.
    async fn dir_of(&self, client: &Client, repo: &str) -> Option<PathBuf> {
        let answer = client.get(&format!("/api/repos/{repo}")).await;
        if answer.status == 404 {
            return None;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let id = answer.json()["id"].as_i64().expect("a number");
        let (top, middle, leaf) = (id / 10_000, id / 100 % 100, id % 100);
        let path = format!("repos/{top:02}/{middle:02}/{leaf:02}.git");
        Some(self.repositories().join(path))
    }
}

/// What is below the repositories' root and should not be there when nobody is at work.
fn leftovers(root: &Path) -> Vec<PathBuf> {
    let mut left = children(&root.join("tmp"));
    let mut open = children(&root.join("repos"));
    while let Some(path) = open.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let marks = [".lock", ".keep", ".tmp", ".new"];
        let has = |ending: &str| path.with_extension(ending).exists();
        let is_half = name.starts_with("pack-") && !(has("pack") && has("idx"));
        if is_half || name.starts_with("tmp_") || marks.iter().any(|mark| name.ends_with(mark)) {
            left.push(path);
        } else {
            open.extend(children(&path));
        }
    }
    left
}

/// The entries of a directory; none of what is no directory.
fn children(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Somebody's git, with nothing of the machine's configuration, that asks nobody.
#[expect(
    clippy::disallowed_methods,
    reason = "stock clients are what is tested with"
)]
fn git(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.org")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.org")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A bare repository with commits in a chain, each with a file of its own content; their ids, the oldest first.
fn chain(dir: &Path, name: &str, length: usize) -> (PathBuf, Vec<String>) {
    use std::fmt::Write as _;

    let mut stream = String::new();
    for n in 0..length {
        let (message, text) = (format!("{name} {n}\n"), format!("{name} {n}\n").repeat(20));
        let _ = write!(
            stream,
            "commit refs/heads/chain\ncommitter Ada <ada@example.org> {} +0000\ndata {}\n{message}\n\
             M 100644 inline {}.txt\ndata {}\n{text}\n",
            1_500_000_000 + n,
            message.len(),
            n % 10,
            text.len()
        );
    }
    let path = super::fixture::import(dir, &format!("{name}.git"), stream.as_bytes());
    let listed = super::git_text(&path, &["rev-list", "--reverse", "refs/heads/chain"]);
    (path, listed.lines().map(str::to_owned).collect())
}

/// Where somebody pushes who has the server's token.
fn url(server: &Standalone, repo: &str) -> String {
    // What base64 has beside letters and digits means something in a URL.
    let token = server
        .client
        .token()
        .replace('/', "%2F")
        .replace('+', "%2B");
    let authority = format!("://you:{token}@");
    let base = server.env["FORGE_GIT_URL"].replacen("://", &authority, 1);
    format!("{base}/~you/{repo}")
}

/// The refs of a repository, as they are on the disk.
fn refs(dir: &Path) -> BTreeMap<String, String> {
    let listed = super::git_text(dir, &["for-each-ref", "--format=%(refname) %(objectname)"]);
    let pair = |line: &str| {
        let (name, id) = line.split_once(' ').expect("name and id");
        (name.to_owned(), id.to_owned())
    };
    listed.lines().map(pair).collect()
}

/// Git has nothing to say against a repository. A push that was cut off may leave objects that nothing refers to, until
/// the next one or a repacking; `strictly` there are none.
async fn fsck(dir: &Path, strictly: bool) {
    let mut arguments = vec!["fsck", "--full", "--strict", "--no-progress"];
    arguments.extend((!strictly).then_some("--no-dangling"));
    let Ran { code, out, err, .. } = run(git(dir, &arguments), b"").await;
    // That a repository is empty is no fault.
    let lines = out.lines().chain(err.lines());
    let faults: Vec<_> = lines.filter(|line| !line.starts_with("notice: ")).collect();
    assert!(code == Some(0) && faults.is_empty(), "{code:?} {faults:?}");
}

/// The pushes to a repository of which there were events, the oldest first; none if there is no such repository.
async fn log(client: &Client, repo: &str) -> Vec<Entry> {
    let (all, count) = (
        client.get(&format!("/x/pushes/~you/{repo}/ids")).await,
        client.get(&format!("/x/pushes/~you/{repo}")).await,
    );
    if all.status == 404 {
        return Vec::new();
    }
    assert_eq!(all.status, 200, "{all:?}");
    let all: Vec<Entry> = serde_json::from_value(all.json()).expect("pushes");
    assert_eq!(count.text(), all.len().to_string());
    for entry in &all {
        assert!(entry.deliveries > 0 && !entry.refs.is_empty(), "{entry:?}");
    }
    all
}

async fn create(client: &Client, repo: &str) {
    let made = client.post("/api/repos", json!({ "name": repo })).await;
    assert_eq!(made.status, 201, "{made:?}");
}
