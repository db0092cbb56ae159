//! Clients.
//!
//! Invariant: a client's public name is written once, and a client that was revoked is not changed any more. What its
//! users let it do is not ended here.

use forge_core::oauth::{Client, ClientId, ClientKind, NewClient, SecretHash};
use forge_core::{ClientRow, Error, Page, Paged, Result, Timestamp, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, DatabaseTransaction, EntityTrait as _,
    QueryFilter as _, UpdateMany,
};

use super::bytes;
use crate::entity::Micros;
use crate::entity::clients::{ActiveModel, Column, Entity, Model};
use crate::error::{failed, refused, unreadable};
use crate::sql::{hash, page, paged, stored};

const KINDS: [ClientKind; 3] = [
    ClientKind::Confidential,
    ClientKind::Public,
    ClientKind::Legacy,
];

fn kind_text(kind: ClientKind) -> &'static str {
    match kind {
        ClientKind::Confidential => "confidential",
        ClientKind::Public => "public",
        ClientKind::Legacy => "legacy",
    }
}

pub(super) fn client(row: Model) -> Result<Client> {
    let kind = KINDS.into_iter().find(|kind| kind_text(*kind) == row.kind);
    let secret = row.secret.as_deref().map(hash).transpose()?;
    Ok(Client {
        id: ClientRow(row.id),
        client_id: stored(&row.client_id, "client id")?,
        owner: UserId(row.owner_id),
        kind: kind.ok_or_else(|| unreadable("kind"))?,
        name: row.name,
        description: row.description,
        url: row.url,
        redirect_uri: row.redirect_uri,
        secret: secret.map(SecretHash),
        created: row.created.time()?,
        revoked: row.revoked.map(Micros::time).transpose()?,
        is_first_party: row.is_first_party,
    })
}

pub(super) async fn by_id(conn: &impl ConnectionTrait, id: &ClientId) -> Result<Option<Client>> {
    let row = Entity::find().filter(Column::ClientId.eq(id.as_str()));
    let row = row.one(conn).await.map_err(failed)?;
    row.map(client).transpose()
}

/// The hash is looked for, so the database compares it: what its time tells of a hash tells nothing of a secret.
pub(super) async fn by_secret(
    conn: &impl ConnectionTrait,
    id: &ClientId,
    secret: Option<&SecretHash>,
) -> Result<Option<Client>> {
    let is_secret = match secret {
        Some(secret) => Column::Secret.eq(bytes(secret)),
        None => Column::Secret.is_null(),
    };
    let row = Entity::find().filter(Column::ClientId.eq(id.as_str()));
    let row = row.filter(is_secret).one(conn).await.map_err(failed)?;
    row.map(client).transpose()
}

pub(super) async fn of_owner(
    conn: &impl ConnectionTrait,
    owner: UserId,
    of: Page,
) -> Result<Paged<Client>> {
    let rows = Entity::find()
        .filter(Column::OwnerId.eq(owner.0))
        .filter(Column::Revoked.is_null());
    let found = page(conn, rows, Column::Id, of).await?;
    paged(found, of, client, |client| client.id.0)
}

pub(super) async fn insert(
    tx: &DatabaseTransaction,
    owner: UserId,
    id: &ClientId,
    secret: Option<&SecretHash>,
    new: &NewClient,
    now: Timestamp,
) -> Result<Client> {
    let row = ActiveModel {
        client_id: Set(id.to_string()),
        owner_id: Set(owner.0),
        kind: Set(kind_text(new.kind).to_owned()),
        name: Set(new.name.clone()),
        description: Set(new.description.clone()),
        url: Set(new.url.clone()),
        redirect_uri: Set(new.redirect_uri.clone()),
        secret: Set(secret.map(bytes)),
        created: Set(now.into()),
        revoked: Set(None),
        is_first_party: Set(false),
        ..ActiveModel::default()
    };
    let row = Entity::insert(row).exec_with_returning(tx).await;
    client(row.map_err(|error| refused(error, || Error::internal("two clients have one name")))?)
}

pub(super) async fn set_secret(
    tx: &DatabaseTransaction,
    owner: UserId,
    id: &ClientId,
    secret: &SecretHash,
) -> Result<bool> {
    let set = in_force(owner, id)
        .col_expr(Column::Secret, Expr::value(bytes(secret)))
        .filter(Column::Secret.is_not_null())
        .exec(tx)
        .await
        .map_err(failed)?;
    Ok(set.rows_affected > 0)
}

pub(super) async fn revoke(
    tx: &DatabaseTransaction,
    owner: UserId,
    id: &ClientId,
    now: Timestamp,
) -> Result<bool> {
    let revoked = in_force(owner, id)
        .col_expr(Column::Revoked, Expr::value(Micros::from(now)))
        .exec(tx)
        .await
        .map_err(failed)?;
    Ok(revoked.rows_affected > 0)
}

pub(super) async fn trust(tx: &DatabaseTransaction, id: &ClientId) -> Result<bool> {
    let trusted = Entity::update_many()
        .col_expr(Column::IsFirstParty, Expr::value(true))
        .filter(Column::ClientId.eq(id.as_str()))
        .filter(Column::Revoked.is_null())
        .exec(tx)
        .await
        .map_err(failed)?;
    Ok(trusted.rows_affected > 0)
}

/// A change of an owner's client, if it is in force.
fn in_force(owner: UserId, id: &ClientId) -> UpdateMany<Entity> {
    Entity::update_many()
        .filter(Column::OwnerId.eq(owner.0))
        .filter(Column::ClientId.eq(id.as_str()))
        .filter(Column::Revoked.is_null())
}
