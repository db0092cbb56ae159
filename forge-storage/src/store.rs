//! The store and its transactions.
//!
//! Invariant: one SQLite transaction at a time, begun as a writing one; those who wait are served in order. A commit,
//! once begun, is carried through whatever becomes of the caller. What is read and written is in `sql/`.

use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use forge_core::store::{Store, Tx};
use forge_core::{Error, Migration, Result};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode,
    TransactionOptions, TransactionTrait as _,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::cache::Cache;
use crate::connect::{Connected, connect};
use crate::error::failed;
use crate::migration;

/// How long a transaction waits for those before it.
const TURN: Duration = Duration::from_secs(30);

/// The rows of a forge, in SQLite or PostgreSQL; a cheap handle to clone.
///
/// ```no_run
/// # async fn example() -> forge_core::Result<()> {
/// use forge_core::store::Store;
/// use forge_storage::SqlStore;
///
/// let store = SqlStore::connect("sqlite:forge.db").await?;
/// store.migrate(&[]).await?;
/// # Ok(())
/// # }
/// ```
pub type SqlStore = Sql<Pool>;

/// The statements, run on a pool ([`SqlStore`]) or in a transaction.
#[derive(Clone)]
pub struct Sql<S>(pub(crate) S);

impl<S> fmt::Debug for Sql<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sql")
    }
}

/// Where statements run.
pub(crate) trait Source: Send + Sync {
    type Conn: ConnectionTrait;

    fn conn(&self) -> &Self::Conn;

    /// Answers known already; none inside a transaction, which sees its own changes.
    fn cache(&self) -> Option<&Cache> {
        None
    }
}

/// A pool of connections.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    db: DatabaseConnection,
    /// Whoever has it may write. With PostgreSQL it only keeps a process from migrating twice at once.
    turn: Arc<Mutex<()>>,
    cache: Option<Cache>,
    _lock: Option<File>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

impl Source for Pool {
    type Conn = DatabaseConnection;

    fn conn(&self) -> &DatabaseConnection {
        &self.0.db
    }

    fn cache(&self) -> Option<&Cache> {
        self.0.cache.as_ref()
    }
}

impl SqlStore {
    /// Opens `sqlite:PATH`, creating the file if there is none, or connects to `postgres://…`.
    ///
    /// A SQLite database belongs to this store alone while it lives: other processes may read the file but not write
    /// to it.
    ///
    /// # Errors
    /// On field `database`: [`Error::Invalid`] for a bad URL or an unusable file, [`Error::Conflict`] if another store
    /// has the file. [`Error::Unavailable`] if PostgreSQL cannot be reached.
    pub async fn connect(url: &str) -> Result<Self> {
        let Connected { db, lock } = connect(url).await?;
        let cache = (db.get_database_backend() == DbBackend::Sqlite).then(Cache::new);
        Ok(Self(Pool(Arc::new(Shared {
            db,
            turn: Arc::new(Mutex::new(())),
            cache,
            _lock: lock,
        }))))
    }

    /// The connections, for a host's own tables. Tables named `forge_…` are to be left alone: what is written to them
    /// past [`Store::begin`] may go unnoticed.
    #[must_use]
    pub fn connection(&self) -> &DatabaseConnection {
        &self.0.0.db
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn begin(&self) -> Result<Box<dyn Tx>> {
        Ok(Box::new(Sql(self.0.begin().await?)))
    }

    async fn migrate(&self, plugins: &[(&'static str, &[Migration])]) -> Result<()> {
        let _turn = self.0.turn().await?;
        let cache = self.cache();
        if let Some(cache) = cache {
            cache.changing();
        }
        let migrated = migration::migrate(self.connection(), plugins).await;
        if let Some(cache) = cache {
            cache.changed();
        }
        migrated
    }
}

impl Pool {
    fn is_sqlite(&self) -> bool {
        self.0.db.get_database_backend() == DbBackend::Sqlite
    }

    async fn turn(&self) -> Result<OwnedMutexGuard<()>> {
        tokio::time::timeout(TURN, Arc::clone(&self.0.turn).lock_owned())
            .await
            .map_err(Error::unavailable)
    }

    async fn begin(&self) -> Result<Transaction> {
        let turn = if self.is_sqlite() {
            Some(self.turn().await?)
        } else {
            None
        };
        let options = TransactionOptions {
            sqlite_transaction_mode: turn.is_some().then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let tx = self
            .0
            .db
            .begin_with_options(options)
            .await
            .map_err(failed)?;
        Ok(Transaction {
            tx: Some(tx),
            turn,
            pool: self.clone(),
            is_cache_touched: false,
        })
    }
}

/// A transaction that is open.
pub(crate) struct Transaction {
    /// Taken by `commit` and `drop`, which end it.
    tx: Option<DatabaseTransaction>,
    turn: Option<OwnedMutexGuard<()>>,
    pool: Pool,
    is_cache_touched: bool,
}

/// Whether a written table is one whose reads are cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// Users, tokens, repositories, redirects.
    Cached,
    /// The others.
    Uncached,
}

impl Source for Transaction {
    type Conn = DatabaseTransaction;

    fn conn(&self) -> &DatabaseTransaction {
        self.tx
            .as_ref()
            .expect("only commit and drop take it, and both consume the transaction")
    }
}

impl Sql<Transaction> {
    /// The connection, to write with.
    pub(crate) fn write(&mut self, table: Table) -> &DatabaseTransaction {
        self.0.is_cache_touched |= table == Table::Cached;
        self.0.conn()
    }
}

#[async_trait]
impl Tx for Sql<Transaction> {
    async fn commit(mut self: Box<Self>) -> Result<()> {
        let transaction = &mut self.0;
        let Some(tx) = transaction.tx.take() else {
            return Ok(());
        };
        let (turn, pool) = (transaction.turn.take(), transaction.pool.clone());
        let is_cache_touched = transaction.is_cache_touched;
        // A task of its own: were the caller dropped in the middle, nobody would learn that the rows have changed.
        let commit = tokio::spawn(async move {
            let cache = pool.cache().filter(|_| is_cache_touched);
            if let Some(cache) = cache {
                cache.changing();
            }
            let committed = tx.commit().await;
            if let Some(cache) = cache {
                cache.changed();
            }
            drop(turn);
            committed
        });
        commit.await.map_err(Error::internal)?.map_err(failed)
    }
}

impl Drop for Transaction {
    /// Rolls back. The next one's turn comes when that is done, or it would find the file busy.
    fn drop(&mut self) {
        let (Some(tx), Some(turn)) = (self.tx.take(), self.turn.take()) else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let pool = self.pool.clone();
        runtime.spawn(async move {
            if let Err(error) = tx.rollback().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a transaction could not be rolled back"
                );
            }
            drop((turn, pool));
        });
    }
}
