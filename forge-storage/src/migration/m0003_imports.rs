//! Where repositories are imported from, and how far that has come.

use sea_orm_migration::prelude::*;

use super::columns::{moment, reference, to_repo};

pub(super) struct Imports;

impl MigrationName for Imports {
    fn name(&self) -> &str {
        "m0003_imports"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Imports {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("forge_import")
            .col(reference("repo_id").primary_key())
            .col(ColumnDef::new("source").text().not_null())
            // Not a reference: the row tells where the objects came from after that repository is gone.
            .col(ColumnDef::new("from_repo").big_integer())
            .col(ColumnDef::new("state").text().not_null())
            .col(ColumnDef::new("reason").text())
            .col(ColumnDef::new("progress").text().not_null())
            .col(ColumnDef::new("attempts").big_integer().not_null())
            .col(moment("started"))
            .col(moment("updated"))
            .foreign_key(&mut to_repo())
            .take();
        manager.create_table(table).await
    }
}
