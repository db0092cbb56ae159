//! Tokens, and the refresh tokens that get the next ones.
//!
//! Invariant: a token's end only comes nearer, and a refresh token that was spent stays so. What a token may do is not known
//! here.

use forge_core::oauth::{NewToken, RefreshToken, Refreshed, SecretHash, Token, TokenOrigin};
use forge_core::users::User;
use forge_core::{AuthorizationId, Error, Page, Paged, Result, Timestamp, TokenId, UserId};
use sea_orm::sea_query::{Expr, ExprTrait as _, LockType, SelectStatement};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, DatabaseTransaction, EntityTrait as _,
    QueryFilter as _, UpdateMany,
};

use super::{authorizations, bytes, grants};
use crate::entity::tokens::{ActiveModel, Column, Entity, Model};
use crate::entity::{Micros, refresh_tokens, users};
use crate::error::{failed, refused, unreadable};
use crate::sql::users::{hold, user as user_of};
use crate::sql::{page, paged};

pub(super) async fn by_hash(
    conn: &impl ConnectionTrait,
    hash: &SecretHash,
    now: Timestamp,
) -> Result<Option<(Token, User)>> {
    let is_halted = authorizations::is_halted((Entity, Column::AuthorizationId));
    let row = Entity::find()
        .filter(Column::Hash.eq(bytes(hash)))
        .filter(Column::Expires.gt(Micros::from(now)))
        .filter(is_halted.not())
        .find_also_related(users::Entity)
        .filter(users::Column::Deleted.is_null())
        .one(conn)
        .await
        .map_err(failed)?;
    let Some((found, owner)) = row else {
        return Ok(None);
    };
    let owner = owner.ok_or_else(|| unreadable("token's owner"))?;
    Ok(Some((token(found)?, user_of(owner)?)))
}

pub(super) async fn personal(
    conn: &impl ConnectionTrait,
    user: UserId,
    now: Timestamp,
    of: Page,
) -> Result<Paged<Token>> {
    let rows = Entity::find()
        .filter(Column::UserId.eq(user.0))
        .filter(Column::AuthorizationId.is_null())
        .filter(Column::Expires.gt(Micros::from(now)));
    let found = page(conn, rows, Column::Id, of).await?;
    paged(found, of, token, |token| token.id.0)
}

pub(super) async fn refresh_by_hash(
    conn: &impl ConnectionTrait,
    hash: &SecretHash,
    now: Timestamp,
) -> Result<Option<RefreshToken>> {
    let row = refresh_tokens::Entity::find_by_id(bytes(hash))
        .filter(refresh_tokens::Column::Expires.gt(Micros::from(now)))
        .find_also_related(crate::entity::authorizations::Entity)
        .one(conn)
        .await
        .map_err(failed)?;
    let Some((found, under)) = row else {
        return Ok(None);
    };
    let under = under.ok_or_else(|| unreadable("refresh token's authorization"))?;
    Ok(Some(RefreshToken {
        authorization: authorizations::authorization(&under)?,
        expires: found.expires.time()?,
        is_spent: found.spent.is_some(),
    }))
}

pub(super) async fn insert(
    tx: &DatabaseTransaction,
    user: UserId,
    hash: &SecretHash,
    new: &NewToken,
    origin: &TokenOrigin,
    now: Timestamp,
) -> Result<Token> {
    // The user before the authorization: whoever deletes both takes them in that order.
    hold(tx, user, LockType::Share).await?;
    if let Some(authorization) = origin.authorization {
        let held = authorizations::hold(tx, authorization).await?;
        held.ok_or(Error::NotFound)?;
    }
    let row = ActiveModel {
        user_id: Set(user.0),
        hash: Set(bytes(hash)),
        issued: Set(now.into()),
        expires: Set(new.expires.into()),
        grants: Set(new.grants.stored_text()),
        comment: Set(new.comment.clone()),
        last_used: Set(None),
        hint: Set(origin.hint.clone()),
        is_legacy: Set(origin.is_legacy),
        authorization_id: Set(origin.authorization.map(|id| id.0)),
        ..ActiveModel::default()
    };
    let row = Entity::insert(row).exec_with_returning(tx).await;
    token(row.map_err(|error| refused(error, || Error::internal("two tokens have the same text")))?)
}

pub(super) async fn expire(
    tx: &DatabaseTransaction,
    id: TokenId,
    now: Timestamp,
) -> Result<Option<Token>> {
    let found = Entity::find_by_id(id.0).one(tx).await.map_err(failed)?;
    let expired = expiry(now).filter(Column::Id.eq(id.0)).exec(tx).await;
    let is_expired = expired.map_err(failed)?.rows_affected > 0;
    found.filter(|_| is_expired).map(token).transpose()
}

/// Ends the tokens of these authorizations.
pub(super) async fn expire_under(
    tx: &DatabaseTransaction,
    authorizations: SelectStatement,
    now: Timestamp,
) -> Result<()> {
    let expiry = expiry(now).filter(Column::AuthorizationId.in_subquery(authorizations));
    expiry.exec(tx).await.map_err(failed)?;
    Ok(())
}

/// Ends what lasts longer.
fn expiry(now: Timestamp) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(Column::Expires, Expr::value(Micros::from(now)))
        .filter(Column::Expires.gt(Micros::from(now)))
}

pub(super) async fn touch(tx: &DatabaseTransaction, id: TokenId, now: Timestamp) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::LastUsed, Expr::value(Micros::from(now)))
        .filter(Column::Id.eq(id.0))
        .exec(tx)
        .await
        .map_err(failed)?;
    Ok(())
}

pub(super) async fn insert_refresh(
    tx: &DatabaseTransaction,
    hash: &SecretHash,
    authorization: AuthorizationId,
    expires: Timestamp,
) -> Result<()> {
    let row = refresh_tokens::ActiveModel {
        hash: Set(bytes(hash)),
        authorization_id: Set(authorization.0),
        expires: Set(expires.into()),
        spent: Set(None),
    };
    refresh_tokens::Entity::insert(row)
        .exec_without_returning(tx)
        .await
        .map_err(|error| refused(error, || Error::internal("two tokens have the same text")))?;
    Ok(())
}

pub(super) async fn spend_refresh(
    tx: &DatabaseTransaction,
    hash: &SecretHash,
    now: Timestamp,
) -> Result<Refreshed> {
    let row = refresh_tokens::Entity::find_by_id(bytes(hash))
        .filter(refresh_tokens::Column::Expires.gt(Micros::from(now)))
        .one(tx)
        .await
        .map_err(failed)?;
    let Some(row) = row else {
        return Ok(Refreshed::Unknown);
    };
    let id = AuthorizationId(row.authorization_id);
    let Some(authorization) = authorizations::hold(tx, id).await? else {
        return Ok(Refreshed::Unknown);
    };
    let spent = refresh_tokens::Entity::update_many()
        .col_expr(
            refresh_tokens::Column::Spent,
            Expr::value(Micros::from(now)),
        )
        .filter(refresh_tokens::Column::Hash.eq(bytes(hash)))
        .filter(refresh_tokens::Column::Spent.is_null())
        .exec(tx)
        .await
        .map_err(failed)?;
    if spent.rows_affected == 0 {
        return Ok(Refreshed::Reused(id));
    }
    Ok(Refreshed::Spent(authorization))
}

pub(super) async fn purge(tx: &DatabaseTransaction, before: Timestamp) -> Result<()> {
    Entity::delete_many()
        .filter(Column::Expires.lt(Micros::from(before)))
        .exec(tx)
        .await
        .map_err(failed)?;
    refresh_tokens::Entity::delete_many()
        .filter(refresh_tokens::Column::Expires.lt(Micros::from(before)))
        .exec(tx)
        .await
        .map_err(failed)?;
    Ok(())
}

fn token(row: Model) -> Result<Token> {
    Ok(Token {
        id: TokenId(row.id),
        user: UserId(row.user_id),
        issued: row.issued.time()?,
        expires: row.expires.time()?,
        last_used: row.last_used.map(Micros::time).transpose()?,
        grants: grants(&row.grants)?,
        comment: row.comment,
        hint: row.hint,
        is_legacy: row.is_legacy,
        authorization: row.authorization_id.map(AuthorizationId),
    })
}
