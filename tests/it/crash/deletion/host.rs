//! A data directory with users in it, whose server is killed.
//!
//! Invariant: this process opens a forge on it only between two servers. What it reads while one runs, it reads of the
//! tables, which hold nobody up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use forge::access::Grants;
use forge::oauth::NewToken;
use forge::objects::ImportSource;
use forge::repos::{NewRepo, Visibility};
use forge::users::NewUser;
use forge::{App, Error, SqlStore, System};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, QueryResult, Statement};
use tempfile::TempDir;

use crate::support::process::{Launch, Standalone};
use crate::support::{Database, logs};

/// How long a server may take for what is left to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(1);
/// What a deletion consists of, and what it is told with.
const TASKS: [&str; 4] = ["delete_user", "remove_repo", "remove_blobs", "event"];

/// The directory, and the command line that serves it to the user `heir`.
pub(super) struct Host {
    dir: TempDir,
    database: Database,
    launch: Launch,
}

impl Host {
    /// One on a database of the same kind, with nothing in it.
    pub(super) async fn new(database: &Database) -> Self {
        logs::begin();
        let database = match database {
            Database::Sqlite => Database::Sqlite,
            Database::Postgres { server, .. } => Database::Postgres {
                server: server.clone(),
                name: Mutex::new(None),
            },
        };
        drop(database.fresh().await);
        let dir = tempfile::tempdir().expect("a directory");
        let launch = Launch::new(dir.path(), "forge").with(["--ssh", "off", "--user", "heir"]);
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

    pub(super) async fn end(self) {
        self.database.drop_fresh().await;
        logs::check();
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) async fn start(&self) -> Standalone {
        self.launch.start().await
    }

    /// The forge in this process. No server may run.
    async fn open(&self) -> App {
        let builder = forge::builder().data_dir(self.data());
        let builder = match self.database.url() {
            Some(url) => builder.store(SqlStore::connect(&url).await.expect("a store")),
            None => builder,
        };
        builder.build().await.expect("nobody else has it open")
    }

    /// Makes users; the token of each.
    pub(super) async fn make_users(&self, names: &[&str]) -> BTreeMap<String, String> {
        let app = self.open().await;
        let mut tokens = BTreeMap::new();
        for name in names {
            let new = NewUser {
                name: name.parse().unwrap(),
                email: None,
            };
            let user = system(&app).ensure_user(&new).await.unwrap();
            let new = NewToken {
                grants: Grants::everything(),
                comment: None,
                expires: app.forge().now() + TimeDelta::days(1),
            };
            let (_, text) = system(&app).issue_token(user.id, &new).await.unwrap();
            tokens.insert((*name).to_owned(), text.expose().to_owned());
        }
        tokens
    }

    /// Makes repositories of a user's that hold what another one holds.
    pub(super) async fn import(&self, user: &str, names: &[&str], source: &Path) {
        let app = self.open().await;
        let system = system(&app);
        for name in names {
            let new = NewRepo {
                name: name.parse().unwrap(),
                description: None,
                visibility: Visibility::Private,
            };
            let (user, source) = (user.parse().unwrap(), ImportSource::Path(source.to_owned()));
            let imported = system.import_repo(&user, &new, &source, Arc::new(|_| {}));
            imported.await.unwrap();
        }
    }

    /// Has a user deleted by the next server.
    pub(super) async fn begin_deletion(&self, user: &str, heir: Option<&str>) {
        let app = self.open().await;
        let heir = heir.map(|heir| heir.parse().unwrap());
        let user = user.parse().unwrap();
        let begun = system(&app).delete_user(&user, heir.as_ref()).await;
        begun.unwrap();
    }

    /// Nobody has this name, and nobody can have it; nor is anything left to do.
    pub(super) async fn is_gone_for_good(&self, user: &str) {
        let app = self.open().await;
        let new = NewUser {
            name: user.parse().unwrap(),
            email: None,
        };
        let again = system(&app).ensure_user(&new).await;
        assert!(matches!(again, Err(Error::Conflict { .. })), "{again:?}");
        let again = system(&app).delete_user(&new.name, None).await;
        assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
        assert_eq!(system(&app).jobs_due().await.unwrap(), 0);
    }

    async fn rows(&self) -> DatabaseConnection {
        let file = || format!("sqlite:{}", self.data().join("forge.db").display());
        let url = self.database.url().unwrap_or_else(file);
        let mut options = sea_orm::ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        let rows = sea_orm::Database::connect(options).await;
        rows.expect("the database")
    }

    /// Lets the leases of a dead worker end. No server may run.
    pub(super) async fn let_leases_end(&self) {
        let rows = self.rows().await;
        let update = "UPDATE forge_job SET lease_until = 1 WHERE lease_until IS NOT NULL";
        rows.execute_unprepared(update).await.expect("an update");
        rows.close().await.expect("closing");
    }

    /// Waits until at most so many repositories are left that are not the heir's.
    pub(super) async fn has_at_most(&self, most: usize) {
        let rows = self.rows().await;
        let begun = Instant::now();
        while left(&rows).await > most {
            assert!(begun.elapsed() < PATIENCE, "the deletion stands still");
            tokio::time::sleep(POLL).await;
        }
        rows.close().await.expect("closing");
    }

    /// How many repositories are not the heir's.
    pub(super) async fn left(&self) -> usize {
        let rows = self.rows().await;
        let left = left(&rows).await;
        rows.close().await.expect("closing");
        left
    }

    /// Waits until nothing of a deletion is to be done any more, and nothing was given up.
    pub(super) async fn is_settled(&self) {
        let rows = self.rows().await;
        let tasks = TASKS.map(|task| format!(r#"task LIKE '{{"task":"{task}"%'"#));
        let query = format!("SELECT dead FROM forge_job WHERE {}", tasks.join(" OR "));
        let begun = Instant::now();
        loop {
            let jobs = all(&rows, &query).await;
            if jobs.is_empty() {
                break;
            }
            let dead = jobs.iter().any(|job| job.try_get("", "dead").unwrap());
            assert!(!dead, "a job was given up");
            assert!(begun.elapsed() < PATIENCE, "{} jobs are left", jobs.len());
            tokio::time::sleep(POLL).await;
        }
        rows.close().await.expect("closing");
    }

    /// Every repository's number, owner and name.
    pub(super) async fn repos(&self) -> BTreeMap<i64, (String, String)> {
        let rows = self.rows().await;
        let query = "SELECT forge_repository.id, forge_user.name AS owner, forge_repository.name \
            FROM forge_repository JOIN forge_user ON forge_user.id = owner_id";
        let repos = all(&rows, query).await;
        rows.close().await.expect("closing");
        let repos = repos.iter().map(|repo| {
            let text = |column| repo.try_get::<String>("", column).unwrap();
            let id = repo.try_get("", "id").unwrap();
            (id, (text("owner"), text("name")))
        });
        repos.collect()
    }

    /// The numbers of the repositories that have a directory.
    pub(super) fn directories(&self) -> BTreeSet<i64> {
        let repos = self.data().join("repositories/repos");
        let mut found = BTreeSet::new();
        for top in names(&repos) {
            for middle in names(&repos.join(&top)) {
                for leaf in names(&repos.join(&top).join(&middle)) {
                    let leaf = leaf.strip_suffix(".git").expect("a repository");
                    let id = [&top, &middle, leaf].map(|part| part.parse::<i64>().unwrap());
                    found.insert(id[0] * 10_000 + id[1] * 100 + id[2]);
                }
            }
        }
        found
    }

    /// The numbers of the repositories to which something is attached.
    pub(super) fn with_files(&self) -> BTreeSet<i64> {
        let artifacts = self.data().join("blobs/artifacts");
        let full = |name: &String| !names(&artifacts.join(name)).is_empty();
        let repos = names(&artifacts).into_iter().filter(full);
        repos.map(|name| name.parse().unwrap()).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "tests arrange what they need")]
fn system(app: &App) -> System {
    app.forge().system()
}

async fn left(rows: &DatabaseConnection) -> usize {
    let query = "SELECT forge_repository.id FROM forge_repository \
        JOIN forge_user ON forge_user.id = owner_id WHERE forge_user.name <> 'heir'";
    all(rows, query).await.len()
}

async fn all(rows: &DatabaseConnection, query: &str) -> Vec<QueryResult> {
    let statement = Statement::from_string(rows.get_database_backend(), query);
    rows.query_all_raw(statement).await.expect("an answer")
}

/// What is in a directory; nothing if there is none.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().into_string().expect("UTF-8"))
        .collect()
}
