//! Plugins' migrations: statements of theirs, recorded by us.
//!
//! Invariant: a migration runs once, in the order in which its plugin names them. What the statements do is not looked
//! at.

use std::collections::HashSet;

use forge_core::{Migration, Result};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, EntityTrait as _,
    SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
};

use crate::entity::plugins;
use crate::error::failed;

pub(super) async fn migrate(
    db: &DatabaseConnection,
    plugins: &[(&'static str, &[Migration])],
) -> Result<()> {
    if plugins.iter().all(|(_, migrations)| migrations.is_empty()) {
        return Ok(());
    }
    let done: HashSet<(String, String)> = plugins::Entity::find()
        .all(db)
        .await
        .map_err(failed)?
        .into_iter()
        .map(|row| (row.plugin, row.id))
        .collect();
    for (plugin, migrations) in plugins {
        for migration in *migrations {
            if !done.contains(&((*plugin).to_owned(), migration.id.to_owned())) {
                run(db, plugin, migration).await.map_err(failed)?;
                tracing::info!(plugin, migration = migration.id, "a plugin's migration ran");
            }
        }
    }
    Ok(())
}

async fn run(db: &DatabaseConnection, plugin: &str, migration: &Migration) -> Result<(), DbErr> {
    let (statements, mode) = match db.get_database_backend() {
        DbBackend::Sqlite => (migration.sqlite, Some(SqliteTransactionMode::Immediate)),
        _ => (migration.postgres, None),
    };
    let options = TransactionOptions {
        sqlite_transaction_mode: mode,
        ..TransactionOptions::default()
    };
    let tx = db.begin_with_options(options).await?;
    tx.execute_unprepared(statements).await?;
    plugins::Entity::insert(plugins::ActiveModel {
        plugin: Set(plugin.to_owned()),
        id: Set(migration.id.to_owned()),
    })
    .exec_without_returning(&tx)
    .await?;
    tx.commit().await
}
