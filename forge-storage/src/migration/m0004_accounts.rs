//! What accounts need: the log, PGP keys, sessions and passwords, and what clients are let do.

use sea_orm_migration::prelude::*;

use super::columns::{id, moment, reference, to_user};

pub(super) struct Accounts;

impl MigrationName for Accounts {
    fn name(&self) -> &str {
        "m0004_accounts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Accounts {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, columns) in [("forge_user", of_users()), ("forge_token", of_tokens())] {
            for column in columns {
                // SQLite adds one at a time.
                let alter = Table::alter().table(table).add_column(column).take();
                manager.alter_table(alter).await?;
            }
        }
        // Nothing kept two users from having the same address. It stays with whoever came first.
        let first = "UPDATE forge_user SET email = NULL WHERE email IS NOT NULL \
            AND id NOT IN (SELECT min(id) FROM forge_user GROUP BY email)";
        manager.get_connection().execute_unprepared(first).await?;
        for table in of_users_own(manager).into_iter().chain(of_clients(manager)) {
            manager.create_table(table).await?;
        }
        for (table, column) in [
            ("forge_user", "email"),
            ("forge_user", "parked_code"),
            ("forge_device", "user_code_hash"),
        ] {
            let mut unique = index(table, &[column]);
            manager.create_index(unique.unique().take()).await?;
        }
        for (table, columns) in [
            ("forge_acl", &["user_id"][..]),
            ("forge_audit", &["user_id", "id"]),
            ("forge_audit", &["created"]),
            ("forge_authorization", &["user_id", "id"]),
            (
                "forge_authorization",
                &["client_id", "is_untold", "user_id"],
            ),
            ("forge_authorization", &["created"]),
            ("forge_authorization", &["ended"]),
            ("forge_code", &["authorization_id"]),
            ("forge_code", &["client_id"]),
            ("forge_code", &["user_id"]),
            ("forge_code", &["expires"]),
            ("forge_device", &["client_id"]),
            ("forge_device", &["user_id"]),
            ("forge_device", &["expires"]),
            ("forge_oauth_client", &["owner_id", "id"]),
            ("forge_pgp_key", &["user_id", "id"]),
            ("forge_refresh_token", &["authorization_id"]),
            ("forge_refresh_token", &["expires"]),
            ("forge_session", &["user_id"]),
            ("forge_session", &["expires"]),
            ("forge_token", &["user_id", "id"]),
            ("forge_token", &["authorization_id"]),
            ("forge_token", &["expires"]),
        ] {
            manager.create_index(index(table, columns)).await?;
        }
        Ok(())
    }
}

fn of_users() -> Vec<ColumnDef> {
    vec![
        text("pgp_key"),
        text("parked_email"),
        ColumnDef::new("parked_code").blob().take(),
        some_moment("parked"),
        some_moment("deleted"),
    ]
}

fn of_tokens() -> Vec<ColumnDef> {
    vec![
        some_moment("last_used"),
        text("hint").not_null().default("").take(),
        flag("is_legacy"),
        // SQLite cannot add a reference: whoever removes an authorization removes its tokens.
        ColumnDef::new("authorization_id").big_integer().take(),
    ]
}

fn of_users_own(manager: &SchemaManager<'_>) -> [TableCreateStatement; 4] {
    let id = || id(manager.get_database_backend());
    [
        Table::create()
            .table("forge_audit")
            .col(id())
            .col(reference("user_id"))
            .col(moment("created"))
            .col(text("ip"))
            .col(text("action").not_null())
            .col(text("details"))
            .foreign_key(&mut to_user("user_id"))
            .take(),
        Table::create()
            .table("forge_pgp_key")
            .col(id())
            .col(reference("user_id"))
            .col(hash("fingerprint").unique_key())
            .col(moment("created"))
            .col(some_moment("expiration"))
            .col(text("email"))
            .col(text("text").not_null())
            .foreign_key(&mut to_user("user_id"))
            .take(),
        Table::create()
            .table("forge_session")
            .col(hash("hash").primary_key())
            .col(reference("user_id"))
            .col(moment("created"))
            .col(moment("expires"))
            .foreign_key(&mut to_user("user_id"))
            .take(),
        Table::create()
            .table("forge_password")
            .col(reference("user_id").primary_key())
            .col(text("phc").not_null())
            .foreign_key(&mut to_user("user_id"))
            .take(),
    ]
}

fn of_clients(manager: &SchemaManager<'_>) -> [TableCreateStatement; 5] {
    let id = || id(manager.get_database_backend());
    [
        Table::create()
            .table("forge_oauth_client")
            .col(id())
            .col(text("client_id").not_null().unique_key())
            .col(reference("owner_id"))
            .col(text("kind").not_null())
            .col(text("name").not_null())
            .col(text("description"))
            .col(text("url"))
            .col(text("redirect_uri").not_null())
            .col(ColumnDef::new("secret").blob())
            .col(moment("created"))
            .col(some_moment("revoked"))
            .foreign_key(&mut to_user("owner_id"))
            .take(),
        Table::create()
            .table("forge_authorization")
            .col(id())
            .col(reference("user_id"))
            .col(reference("client_id"))
            .col(text("grants").not_null())
            .col(moment("created"))
            .col(some_moment("ended"))
            .col(flag("is_untold"))
            .foreign_key(&mut to_user("user_id"))
            .foreign_key(&mut owned_by("forge_oauth_client", "client_id"))
            .take(),
        Table::create()
            .table("forge_code")
            .col(hash("hash").primary_key())
            .col(reference("client_id"))
            .col(reference("user_id"))
            .col(text("grants").not_null())
            .col(text("redirect_uri"))
            .col(text("challenge"))
            .col(moment("expires"))
            .col(flag("is_spent"))
            .col(ColumnDef::new("authorization_id").big_integer())
            .foreign_key(&mut owned_by("forge_oauth_client", "client_id"))
            .foreign_key(&mut to_user("user_id"))
            .foreign_key(&mut owned_by("forge_authorization", "authorization_id"))
            .take(),
        Table::create()
            .table("forge_refresh_token")
            .col(hash("hash").primary_key())
            .col(reference("authorization_id"))
            .col(moment("expires"))
            .col(some_moment("spent"))
            .foreign_key(&mut owned_by("forge_authorization", "authorization_id"))
            .take(),
        Table::create()
            .table("forge_device")
            .col(hash("device_hash").primary_key())
            .col(hash("user_code_hash"))
            .col(reference("client_id"))
            .col(text("grants").not_null())
            .col(moment("expires"))
            .col(ColumnDef::new("interval").big_integer().not_null())
            .col(some_moment("polled"))
            .col(text("state").not_null())
            .col(ColumnDef::new("user_id").big_integer())
            .col(text("approved_grants"))
            .foreign_key(&mut owned_by("forge_oauth_client", "client_id"))
            .foreign_key(&mut to_user("user_id"))
            .take(),
    ]
}

fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().take()
}

fn hash(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).blob().not_null().take()
}

fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name)
        .boolean()
        .not_null()
        .default(false)
        .take()
}

fn some_moment(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().take()
}

/// A reference to a row with which this one goes.
fn owned_by(table: &'static str, column: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from_col(column)
        .to(table, "id")
        .on_delete(ForeignKeyAction::Cascade)
        .take()
}

/// Named after the table and the columns; [`crate::error::is_taken`] knows unique ones by that.
fn index(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index
        .name(format!("{table}_{}", columns.join("_")))
        .table(table);
    for column in columns {
        index.col(*column);
    }
    index
}
