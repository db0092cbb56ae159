//! What fetching and pushing need: keys, and the record of pushes.

use sea_orm_migration::prelude::*;

use super::columns::{id, moment, reference, to_repo, to_user};

pub(super) struct Transport;

impl MigrationName for Transport {
    fn name(&self) -> &str {
        "m0002_transport"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Transport {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let id = || id(manager.get_database_backend());
        let fingerprint = || ColumnDef::new("fingerprint").blob().not_null().take();
        let tables = [
            Table::create()
                .table("forge_ssh_key")
                .col(id())
                .col(reference("user_id"))
                .col(fingerprint().unique_key())
                .col(moment("created"))
                .col(ColumnDef::new("last_used").big_integer())
                .col(ColumnDef::new("line").text().not_null())
                .foreign_key(to_user("user_id").on_delete(ForeignKeyAction::Cascade))
                .take(),
            Table::create()
                .table("forge_deploy_key")
                .col(id())
                .col(reference("repo_id"))
                .col(fingerprint())
                .col(ColumnDef::new("mode").text().not_null())
                .col(moment("created"))
                .col(ColumnDef::new("last_used").big_integer())
                .col(ColumnDef::new("line").text().not_null())
                .foreign_key(&mut to_repo())
                .index(Index::create().unique().col("repo_id").col("fingerprint"))
                .take(),
            Table::create()
                .table("forge_push")
                // The order in which pushes were recorded: their ids have that of the moments when they began.
                .col(id())
                .col(ColumnDef::new("push_id").blob().not_null().unique_key())
                .col(reference("repo_id"))
                .col(ColumnDef::new("state").text().not_null())
                .col(moment("recorded"))
                .col(ColumnDef::new("data").text().not_null())
                .foreign_key(&mut to_repo())
                .take(),
        ];
        for table in tables {
            manager.create_table(table).await?;
        }
        for (name, table, columns) in [
            ("forge_ssh_key_page", "forge_ssh_key", &["user_id", "id"]),
            (
                "forge_deploy_key_page",
                "forge_deploy_key",
                &["repo_id", "id"],
            ),
            ("forge_push_late", "forge_push", &["state", "recorded"]),
            ("forge_push_later", "forge_push", &["repo_id", "id"]),
        ] {
            let mut index = Index::create();
            index.name(name).table(table);
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        let holders = Index::create()
            .name("forge_deploy_key_fingerprint")
            .table("forge_deploy_key")
            .col("fingerprint")
            .take();
        manager.create_index(holders).await
    }
}
