//! Authorization codes.
//!
//! Invariant: a code that is spent leads to one authorization, and to that for as long as it is kept. Who may show it is
//! decided elsewhere.

use forge_core::oauth::{Code, NewCode, Redeemed, SecretHash};
use forge_core::{AuthorizationId, ClientRow, Error, Result, Timestamp, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _,
    QuerySelect as _,
};

use super::{authorizations, bytes, grants};
use crate::entity::Micros;
use crate::entity::codes::{ActiveModel, Column, Entity, Model};
use crate::error::{failed, refused};

pub(super) async fn insert(
    tx: &DatabaseTransaction,
    hash: &SecretHash,
    new: &NewCode,
) -> Result<()> {
    let row = ActiveModel {
        hash: Set(bytes(hash)),
        client_id: Set(new.client.0),
        user_id: Set(new.user.0),
        grants: Set(new.grants.stored_text()),
        redirect_uri: Set(new.redirect_uri.clone()),
        challenge: Set(new.challenge.clone()),
        expires: Set(new.expires.into()),
        is_spent: Set(false),
        authorization_id: Set(None),
    };
    Entity::insert(row)
        .exec_without_returning(tx)
        .await
        .map_err(|error| refused(error, || Error::internal("two codes have the same text")))?;
    Ok(())
}

pub(super) async fn redeem(
    tx: &DatabaseTransaction,
    hash: &SecretHash,
    now: Timestamp,
) -> Result<Redeemed> {
    let found = Entity::find_by_id(bytes(hash)).one(tx).await;
    let Some(found) = found.map_err(failed)? else {
        return Ok(Redeemed::Unknown);
    };
    let code = code(found)?;
    // User and client before the code: whoever deletes them takes them in that order.
    let is_whole = code.expires > now
        && authorizations::hold_both(tx, code.user, code.client).await?
        && spend(tx, hash, now).await?;
    if !is_whole {
        let led_to: Option<Option<i64>> = Entity::find_by_id(bytes(hash))
            .select_only()
            .column(Column::AuthorizationId)
            .into_tuple()
            .one(tx)
            .await
            .map_err(failed)?;
        return Ok(match led_to.flatten() {
            Some(id) => Redeemed::Reused(AuthorizationId(id)),
            None => Redeemed::Unknown,
        });
    }
    let authorization =
        authorizations::insert(tx, code.user, code.client, &code.grants, now).await?;
    Entity::update_many()
        .col_expr(Column::AuthorizationId, Expr::value(authorization.id.0))
        .filter(Column::Hash.eq(bytes(hash)))
        .exec(tx)
        .await
        .map_err(failed)?;
    Ok(Redeemed::Fresh(Box::new(Code {
        code,
        authorization,
    })))
}

/// Whether it was whole. Whoever is second waits here for the first.
async fn spend(tx: &DatabaseTransaction, hash: &SecretHash, now: Timestamp) -> Result<bool> {
    let spent = Entity::update_many()
        .col_expr(Column::IsSpent, Expr::value(true))
        .filter(Column::Hash.eq(bytes(hash)))
        .filter(Column::IsSpent.eq(false))
        .filter(Column::Expires.gt(Micros::from(now)))
        .exec(tx)
        .await
        .map_err(failed)?;
    Ok(spent.rows_affected > 0)
}

pub(super) async fn purge(tx: &DatabaseTransaction, before: Timestamp) -> Result<()> {
    Entity::delete_many()
        .filter(Column::Expires.lt(Micros::from(before)))
        .exec(tx)
        .await
        .map_err(failed)?;
    Ok(())
}

fn code(row: Model) -> Result<NewCode> {
    Ok(NewCode {
        client: ClientRow(row.client_id),
        user: UserId(row.user_id),
        grants: grants(&row.grants)?,
        redirect_uri: row.redirect_uri,
        challenge: row.challenge,
        expires: row.expires.time()?,
    })
}
