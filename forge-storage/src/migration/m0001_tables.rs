//! The first tables.

use sea_orm_migration::prelude::*;

use super::columns::{id, moment, reference, to_repo, to_user};

pub(super) struct Tables;

impl MigrationName for Tables {
    fn name(&self) -> &str {
        "m0001_tables"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Tables {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let id = || id(manager.get_database_backend());
        let tables = [
            Table::create()
                .table("forge_user")
                .col(id())
                .col(moment("created"))
                .col(moment("updated"))
                .col(ColumnDef::new("name").text().not_null().unique_key())
                .col(ColumnDef::new("email").text())
                .col(ColumnDef::new("url").text())
                .col(ColumnDef::new("location").text())
                .col(ColumnDef::new("bio").text())
                .col(ColumnDef::new("suspended").text())
                .take(),
            Table::create()
                .table("forge_token")
                .col(id())
                .col(reference("user_id"))
                .col(ColumnDef::new("hash").blob().not_null().unique_key())
                .col(moment("issued"))
                .col(moment("expires"))
                .col(ColumnDef::new("grants").text().not_null())
                .col(ColumnDef::new("comment").text())
                .foreign_key(&mut to_user("user_id"))
                .take(),
            Table::create()
                .table("forge_repository")
                .col(id())
                .col(moment("created"))
                .col(moment("updated"))
                .col(reference("owner_id"))
                .col(ColumnDef::new("name").text().not_null())
                .col(ColumnDef::new("description").text())
                .col(ColumnDef::new("visibility").text().not_null())
                // The last column: SQLite reads a row only as far as it must, and this one fills pages.
                .col(ColumnDef::new("readme").text())
                .foreign_key(&mut to_user("owner_id"))
                .index(Index::create().unique().col("owner_id").col("name"))
                .take(),
            Table::create()
                .table("forge_redirect")
                .col(reference("owner_id"))
                .col(ColumnDef::new("name").text().not_null())
                .col(reference("repo_id"))
                .primary_key(Index::create().col("owner_id").col("name"))
                .foreign_key(&mut to_user("owner_id"))
                .foreign_key(&mut to_repo())
                .take(),
            Table::create()
                .table("forge_acl")
                .col(id())
                .col(reference("repo_id"))
                .col(reference("user_id"))
                .col(ColumnDef::new("mode").text().not_null())
                .col(moment("created"))
                .col(moment("updated"))
                .foreign_key(&mut to_repo())
                .foreign_key(&mut to_user("user_id"))
                .index(Index::create().unique().col("repo_id").col("user_id"))
                .take(),
            Table::create()
                .table("forge_artifact")
                .col(id())
                .col(reference("repo_id"))
                .col(moment("created"))
                .col(ColumnDef::new("commit").text().not_null())
                .col(ColumnDef::new("filename").text().not_null())
                .col(ColumnDef::new("size").big_integer().not_null())
                .col(ColumnDef::new("sha256").blob().not_null())
                .col(ColumnDef::new("key").text().not_null())
                .foreign_key(&mut to_repo())
                .index(Index::create().unique().col("repo_id").col("filename"))
                .take(),
            Table::create()
                .table("forge_job")
                .col(id())
                .col(ColumnDef::new("key").text().unique_key())
                .col(moment("run_at"))
                .col(ColumnDef::new("attempt").big_integer().not_null())
                .col(ColumnDef::new("lease_until").big_integer())
                .col(ColumnDef::new("dead").boolean().not_null())
                .col(ColumnDef::new("task").text().not_null())
                .take(),
            Table::create()
                .table("forge_plugin_migration")
                .col(ColumnDef::new("plugin").text().not_null())
                .col(ColumnDef::new("id").text().not_null())
                .primary_key(Index::create().col("plugin").col("id"))
                .take(),
        ];
        for table in tables {
            manager.create_table(table).await?;
        }
        // Unique constraints serve the other look-ups.
        for (name, table, columns) in [
            (
                "forge_repository_page",
                "forge_repository",
                &["owner_id", "id"][..],
            ),
            ("forge_redirect_repo", "forge_redirect", &["repo_id"]),
            ("forge_acl_page", "forge_acl", &["repo_id", "id"]),
            ("forge_artifact_key", "forge_artifact", &["key"]),
            ("forge_job_due", "forge_job", &["dead", "run_at", "id"]),
        ] {
            let mut index = Index::create();
            index.name(name).table(table);
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }
}
