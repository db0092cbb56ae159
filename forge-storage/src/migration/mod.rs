//! The tables: ours, numbered, then each plugin's.
//!
//! Invariant: a migration and the record of it are one transaction, and one process migrates at a time. A migration
//! that was released never changes; the next one does what it forgot. There is no way back.

mod columns;
mod m0001_tables;
mod m0002_transport;
mod m0003_imports;
mod m0004_accounts;
mod m0005_delegation;
mod plugins;

use forge_core::{Migration, Result};
use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DbBackend, DynIden, Statement, TransactionTrait as _,
};
use sea_orm_migration::sea_query::IntoIden as _;
use sea_orm_migration::{MigrationTrait, MigratorTrait};

use crate::error::failed;

/// The key of PostgreSQL's advisory lock: "forge" and a number, in ASCII.
const LOCK: i64 = i64::from_be_bytes(*b"forge\0\0\x01");

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_tables::Tables),
            Box::new(m0002_transport::Transport),
            Box::new(m0003_imports::Imports),
            Box::new(m0004_accounts::Accounts),
            Box::new(m0005_delegation::Delegation),
        ]
    }

    /// A host may run migrations of its own in the same database, recorded under the usual name.
    fn migration_table_name() -> DynIden {
        "forge_migration".into_iden()
    }
}

/// Brings all tables up to date. One call at a time in a process.
pub(crate) async fn migrate(
    db: &DatabaseConnection,
    plugins: &[(&'static str, &[Migration])],
) -> Result<()> {
    // Held on a connection of its own while the migrations run, and let go with it, even by a crash.
    let lock = if db.get_database_backend() == DbBackend::Postgres {
        let lock = db.begin().await.map_err(failed)?;
        lock.execute_raw(Statement::from_sql_and_values(
            DbBackend::Postgres,
            "SELECT pg_advisory_xact_lock($1)",
            [LOCK.into()],
        ))
        .await
        .map_err(failed)?;
        Some(lock)
    } else {
        None
    };
    Migrator::up(db, None).await.map_err(failed)?;
    plugins::migrate(db, plugins).await?;
    if let Some(lock) = lock {
        lock.rollback().await.map_err(failed)?;
    }
    Ok(())
}
