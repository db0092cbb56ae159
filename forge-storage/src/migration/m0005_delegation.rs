//! What other services leave to the forge: their scopes, whom to tell of tokens' ends, and the nonces of their requests.

use sea_orm_migration::prelude::*;

use super::columns::{id, moment, reference};

pub(super) struct Delegation;

impl MigrationName for Delegation {
    fn name(&self) -> &str {
        "m0005_delegation"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Delegation {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut is_first_party = ColumnDef::new("is_first_party");
        is_first_party.boolean().not_null().default(false);
        let alter = Table::alter()
            .table("forge_oauth_client")
            .add_column(is_first_party)
            .take();
        manager.alter_table(alter).await?;
        for table in tables(manager) {
            manager.create_table(table).await?;
        }
        let name = Index::create()
            .name("forge_delegated_scope_client_id_name")
            .table("forge_delegated_scope")
            .col("client_id")
            .col("name")
            .unique()
            .take();
        manager.create_index(name).await?;
        for (table, column) in [("forge_token_watch", "client_id"), ("forge_nonce", "seen")] {
            let index = Index::create()
                .name(format!("{table}_{column}"))
                .table(table)
                .col(column)
                .take();
            manager.create_index(index).await?;
        }
        Ok(())
    }
}

fn tables(manager: &SchemaManager<'_>) -> [TableCreateStatement; 3] {
    let text = |name| ColumnDef::new(name).text().not_null().take();
    [
        Table::create()
            .table("forge_delegated_scope")
            .col(id(manager.get_database_backend()))
            .col(reference("client_id"))
            .col(text("name"))
            .col(text("description"))
            .col(ColumnDef::new("is_writable").boolean().not_null())
            .col(moment("created"))
            .foreign_key(&mut owned_by("forge_oauth_client", "client_id"))
            .take(),
        Table::create()
            .table("forge_token_watch")
            .col(reference("token_id"))
            .col(reference("client_id"))
            .col(text("url"))
            .col(ColumnDef::new("digest").blob().not_null())
            .primary_key(Index::create().col("token_id").col("client_id"))
            .foreign_key(&mut owned_by("forge_token", "token_id"))
            .foreign_key(&mut owned_by("forge_oauth_client", "client_id"))
            .take(),
        Table::create()
            .table("forge_nonce")
            .col(text("nonce").primary_key())
            .col(moment("seen"))
            .take(),
    ]
}

/// A reference to a row with which this one goes.
fn owned_by(table: &'static str, column: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from_col(column)
        .to(table, "id")
        .on_delete(ForeignKeyAction::Cascade)
        .take()
}
