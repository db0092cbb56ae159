//! From a URL to a pool of connections.
//!
//! Invariant: a SQLite file has one store in the whole machine, by a lock on the file `<database>.lock` that is held as
//! long as the store lives. Nothing is created in a database here; that is `migration/`.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use forge_core::{Error, Result};
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::{ConnectOptions, Database, DatabaseConnection};

use crate::error::failed;

/// How long a request waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long SQLite waits for others who have the file open: a backup, a person with a shell.
const BUSY: Duration = Duration::from_secs(10);
/// Connections to PostgreSQL of one process.
const POSTGRES_CONNECTIONS: u32 = 16;
/// After how long without use a connection to PostgreSQL is tried out before it is used.
const IDLE: Duration = Duration::from_secs(5);

/// How often the lock of a SQLite file is tried.
const LOCK_ATTEMPTS: u32 = 20;
/// How long after each try.
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// Connections, and what must live as long as they do.
pub(crate) struct Connected {
    pub(crate) db: DatabaseConnection,
    /// Held for SQLite: nobody else writes.
    pub(crate) lock: Option<File>,
}

pub(crate) async fn connect(url: &str) -> Result<Connected> {
    if url.starts_with("sqlite:") {
        sqlite(url).await
    } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        postgres(url).await
    } else {
        Err(invalid(
            "a database's URL begins with sqlite: or postgres://",
        ))
    }
}

async fn sqlite(url: &str) -> Result<Connected> {
    let (path, create) = sqlite_path(url)?;
    let path = resolved(&path)?;
    let lock = lock_beside(&path).await?;
    let readers = std::thread::available_parallelism().map_or(4, usize::from);

    let mut options = ConnectOptions::new("sqlite:forge");
    options
        .max_connections(u32::try_from(readers.clamp(4, 16)).unwrap_or(4) + 1)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        // A connection is a thread of ours; asking it whether it is there costs as much as a read.
        .test_before_acquire(false)
        .map_sqlx_sqlite_opts(move |options| {
            options
                .filename(&path)
                .create_if_missing(create)
                .foreign_keys(true)
                .busy_timeout(BUSY)
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", "FULL")
                // The log is cut back to this after a large transaction.
                .pragma("journal_size_limit", "67108864")
        });
    let db = Database::connect(quiet(options))
        .await
        .map_err(|error| invalid(format!("the database cannot be opened: {error}")))?;
    Ok(Connected {
        db,
        lock: Some(lock),
    })
}

async fn postgres(url: &str) -> Result<Connected> {
    // Parsed here only for the error: it must not repeat the URL, which may hold a password.
    url.parse::<PgConnectOptions>()
        .map_err(|_| invalid("this is not a PostgreSQL URL"))?;
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire_if_idle_for(IDLE)
        .set_application_name("forge");
    let db = Database::connect(quiet(options)).await.map_err(failed)?;
    Ok(Connected { db, lock: None })
}

/// Statements hold hashes of tokens and what people wrote; neither belongs in a log.
fn quiet(mut options: ConnectOptions) -> ConnectOptions {
    options.sqlx_logging(false).record_stmt_in_spans(false);
    options
}

/// The file that a URL names, and whether it may be created.
fn sqlite_path(url: &str) -> Result<(PathBuf, bool)> {
    let (location, query) = url
        .split_once('?')
        .map_or((url, None), |(location, query)| (location, Some(query)));
    let create = match query {
        None | Some("mode=rwc") => true,
        Some("mode=rw") => false,
        Some(_) => {
            return Err(invalid(
                "a SQLite URL takes no parameter but mode=rwc or mode=rw",
            ));
        }
    };
    if location.contains(":memory:") {
        return Err(invalid(
            "a database in memory is not supported, since what is acknowledged must survive: name a file",
        ));
    }
    let options: SqliteConnectOptions = location
        .parse()
        .map_err(|_| invalid("this is not a SQLite URL"))?;
    let path = options.get_filename().to_owned();
    if path.file_name().is_none() {
        return Err(invalid("a SQLite URL names a file: sqlite:forge.db"));
    }
    Ok((path, create))
}

/// The path without links, so that two spellings of it meet the same lock.
fn resolved(path: &Path) -> Result<PathBuf> {
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(invalid("a SQLite URL names a file: sqlite:forge.db"));
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let parent = parent.canonicalize().map_err(|error| {
        invalid(format!(
            "the directory {} cannot be used: {error}",
            parent.display()
        ))
    })?;
    Ok(parent.join(name))
}

async fn lock_beside(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| {
            invalid(format!(
                "the lock file {} cannot be opened: {error}",
                Path::new(&name).display()
            ))
        })?;
    // A process that was killed may leave a child that has not yet let go of what it inherited.
    for _ in 0..LOCK_ATTEMPTS {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(error)) => return Err(Error::unavailable(error)),
        }
    }
    Err(Error::conflict(
        "database",
        format!("{} is in use by another process", path.display()),
    ))
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::invalid("database", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_urls_name_a_file() {
        for (url, path, create) in [
            ("sqlite:forge.db", "forge.db", true),
            ("sqlite:/var/lib/forge.db", "/var/lib/forge.db", true),
            ("sqlite:///var/lib/forge.db", "/var/lib/forge.db", true),
            ("sqlite://a/b.db?mode=rwc", "a/b.db", true),
            ("sqlite://a/b.db?mode=rw", "a/b.db", false),
            ("sqlite:a%20b%3F.db", "a b?.db", true),
        ] {
            assert_eq!(
                sqlite_path(url).ok(),
                Some((PathBuf::from(path), create)),
                "{url}"
            );
        }
        for url in [
            "sqlite:",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite:a?mode=memory",
            "sqlite:a?mode=ro",
            "sqlite:a?immutable=1",
            "sqlite:/",
        ] {
            assert!(matches!(sqlite_path(url), Err(Error::Invalid(_))), "{url}");
        }
    }
}
