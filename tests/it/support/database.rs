//! The databases that tests run on: SQLite always, PostgreSQL where `DATABASE_URL` says there is one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use forge::SqlStore;
use sea_orm::ConnectionTrait as _;

/// A kind of database, and the one made for a test.
#[derive(Debug)]
pub(crate) enum Database {
    Sqlite,
    Postgres {
        server: String,
        name: Mutex<Option<String>>,
    },
}

impl Database {
    /// All that there are here.
    #[expect(clippy::print_stderr, reason = "a skipped test says so loudly")]
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Sqlite];
        match std::env::var("DATABASE_URL") {
            Ok(server) => all.push(Self::Postgres {
                server,
                name: Mutex::new(None),
            }),
            Err(_) => {
                assert!(
                    std::env::var_os("FORGE_TEST_STRICT").is_none(),
                    "DATABASE_URL is not set"
                );
                eprintln!("SKIPPED on PostgreSQL: DATABASE_URL is not set; ./test starts one");
            }
        }
        all
    }

    /// A store over an empty database; `None` for the default in the data directory.
    pub(crate) async fn fresh(&self) -> Option<SqlStore> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Self::Postgres { server, name } = self else {
            return None;
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let fresh = format!("forge_it_{}_{count}", std::process::id());
        admin(server, &format!("CREATE DATABASE {fresh}")).await;
        let url = url_of(server, &fresh);
        *name.lock().unwrap() = Some(fresh);
        Some(SqlStore::connect(&url).await.expect("PostgreSQL"))
    }

    /// Where the database made by [`Database::fresh`] is.
    pub(crate) fn url(&self) -> Option<String> {
        let Self::Postgres { server, name } = self else {
            return None;
        };
        Some(url_of(server, name.lock().unwrap().as_deref()?))
    }

    /// Removes it.
    pub(crate) async fn drop_fresh(&self) {
        let Self::Postgres { server, name } = self else {
            return;
        };
        let Some(name) = name.lock().unwrap().take() else {
            return;
        };
        admin(server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    }
}

fn url_of(server: &str, database: &str) -> String {
    let (base, _) = server.rsplit_once('/').expect("a database in DATABASE_URL");
    format!("{base}/{database}")
}

async fn admin(server: &str, statement: &str) {
    let connection = sea_orm::Database::connect(server)
        .await
        .expect("PostgreSQL");
    connection
        .execute_unprepared(statement)
        .await
        .expect("administration");
    connection.close().await.expect("closing");
}
