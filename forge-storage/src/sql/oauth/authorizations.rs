//! What users let clients do.
//!
//! Invariant: an authorization begins while its user and its client are there and in force, both held until the
//! transaction ends, and its end comes once. It ends with its tokens; refresh tokens stay, so that a late one is known. One
//! that ended with its client is kept until its user was told.

use std::collections::BTreeSet;

use forge_core::access::Grants;
use forge_core::oauth::{Authorization, Client};
use forge_core::{AuthorizationId, ClientRow, Error, Page, Paged, Result, Timestamp, UserId};
use sea_orm::sea_query::{Expr, ExprTrait as _, IntoColumnRef, LockType, Query, SelectStatement};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, Condition, ConnectionTrait, DatabaseTransaction, DbErr,
    EntityTrait, FromQueryResult, IdenStatic as _, Iterable as _, JoinType, QueryFilter as _,
    QueryOrder as _, QueryResult, QuerySelect as _, QueryTrait as _, RelationTrait as _, Select,
};

use super::clients::client;
use super::{grants, tokens};
use crate::entity::authorizations::{ActiveModel, Column, Entity, Model, Relation};
use crate::entity::{Micros, clients, codes, refresh_tokens, tokens as token_rows, users};
use crate::error::{failed, refused};
use crate::sql::{page, paged};

/// What the client's columns begin with in a [`Row`].
const CLIENT: &str = "of_client_";

/// An authorization with its client.
struct Row {
    authorization: Model,
    client: clients::Model,
}

impl FromQueryResult for Row {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        Ok(Self {
            authorization: Model::from_query_result(row, prefix)?,
            client: clients::Model::from_query_result(row, CLIENT)?,
        })
    }
}

fn rows() -> Select<Entity> {
    let rows = Entity::find().join(JoinType::InnerJoin, Relation::Client.def());
    clients::Column::iter().fold(rows, |rows, column| {
        rows.column_as(column, format!("{CLIENT}{}", column.as_str()))
    })
}

fn with_client(row: Row) -> Result<(Authorization, Client)> {
    Ok((authorization(&row.authorization)?, client(row.client)?))
}

pub(super) fn authorization(row: &Model) -> Result<Authorization> {
    Ok(Authorization {
        id: AuthorizationId(row.id),
        user: UserId(row.user_id),
        client: ClientRow(row.client_id),
        grants: grants(&row.grants)?,
        created: row.created.time()?,
        ended: row.ended.map(Micros::time).transpose()?,
    })
}

pub(super) async fn by_id(
    conn: &impl ConnectionTrait,
    id: AuthorizationId,
) -> Result<Option<(Authorization, Client)>> {
    let row = rows().filter(Column::Id.eq(id.0)).into_model::<Row>();
    let row = row.one(conn).await.map_err(failed)?;
    row.map(with_client).transpose()
}

pub(super) async fn of_user(
    conn: &impl ConnectionTrait,
    user: UserId,
    of: Page,
) -> Result<Paged<(Authorization, Client)>> {
    let rows = rows()
        .filter(Column::UserId.eq(user.0))
        .filter(Column::Ended.is_null());
    let found = page::<_, Row>(conn, rows, Column::Id, of).await?;
    paged(found, of, with_client, |(authorization, _)| {
        authorization.id.0
    })
}

/// The authorization, if it has not ended; nobody ends it before the transaction does.
pub(super) async fn hold(
    tx: &DatabaseTransaction,
    id: AuthorizationId,
) -> Result<Option<Authorization>> {
    let row = Entity::find_by_id(id.0)
        .filter(Column::Ended.is_null())
        .lock(LockType::NoKeyUpdate)
        .one(tx)
        .await
        .map_err(failed)?;
    row.as_ref().map(authorization).transpose()
}

/// Whether user and client are there and in force. Neither ends before the transaction does.
pub(super) async fn hold_both(
    tx: &DatabaseTransaction,
    user: UserId,
    client: ClientRow,
) -> Result<bool> {
    let both = Query::select()
        .column((users::Entity, users::Column::Id))
        .from(users::Entity)
        .from(clients::Entity)
        .and_where(Expr::col((users::Entity, users::Column::Id)).eq(user.0))
        .and_where(Expr::col((users::Entity, users::Column::Deleted)).is_null())
        .and_where(Expr::col((clients::Entity, clients::Column::Id)).eq(client.0))
        .and_where(Expr::col((clients::Entity, clients::Column::Revoked)).is_null())
        .lock(LockType::Share)
        .take();
    Ok(tx.query_one(&both).await.map_err(failed)?.is_some())
}

pub(super) async fn insert(
    tx: &DatabaseTransaction,
    user: UserId,
    client: ClientRow,
    grants: &Grants,
    now: Timestamp,
) -> Result<Authorization> {
    if !hold_both(tx, user, client).await? {
        return Err(Error::NotFound);
    }
    let row = ActiveModel {
        user_id: Set(user.0),
        client_id: Set(client.0),
        grants: Set(grants.stored_text()),
        created: Set(now.into()),
        ended: Set(None),
        is_untold: Set(false),
        ..ActiveModel::default()
    };
    let row = Entity::insert(row).exec_with_returning(tx).await;
    authorization(&row.map_err(|error| {
        refused(error, || {
            Error::internal("two authorizations have one number")
        })
    })?)
}

pub(super) async fn end_one(
    tx: &DatabaseTransaction,
    id: AuthorizationId,
    now: Timestamp,
) -> Result<bool> {
    let which = Condition::all().add(Column::Id.eq(id.0));
    Ok(end(tx, which, false, now).await? > 0)
}

pub(super) async fn end_of(
    tx: &DatabaseTransaction,
    client: ClientRow,
    now: Timestamp,
) -> Result<()> {
    let which = Condition::all().add(Column::ClientId.eq(client.0));
    end(tx, which, true, now).await?;
    Ok(())
}

pub(super) async fn take_untold(
    tx: &DatabaseTransaction,
    client: ClientRow,
    most: u64,
) -> Result<Vec<UserId>> {
    let untold = Condition::all()
        .add(Column::ClientId.eq(client.0))
        .add(Column::IsUntold.eq(true));
    loop {
        let next: Vec<i64> = Entity::find()
            .select_only()
            .column(Column::UserId)
            .distinct()
            .filter(untold.clone())
            .order_by_asc(Column::UserId)
            .limit(most)
            .into_tuple()
            .all(tx)
            .await
            .map_err(failed)?;
        if next.is_empty() {
            return Ok(Vec::new());
        }
        // The users before the authorizations: whoever deletes both takes them in that order.
        let there: Vec<i64> = users::Entity::find()
            .select_only()
            .column(users::Column::Id)
            .filter(users::Column::Id.is_in(next))
            .filter(users::Column::Deleted.is_null())
            .order_by_asc(users::Column::Id)
            .lock(LockType::Share)
            .into_tuple()
            .all(tx)
            .await
            .map_err(failed)?;
        let told = Entity::update_many()
            .col_expr(Column::IsUntold, Expr::value(false))
            .filter(untold.clone())
            .filter(Column::UserId.is_in(there))
            .exec_with_returning(tx)
            .await
            .map_err(failed)?;
        let told: BTreeSet<_> = told.iter().map(|row| UserId(row.user_id)).collect();
        // With none of them left, others have taken them or deleted them meanwhile; there may be more.
        if !told.is_empty() {
            return Ok(told.into_iter().collect());
        }
    }
}

pub(super) async fn end_earlier(
    tx: &DatabaseTransaction,
    than: &Authorization,
    keep: usize,
    now: Timestamp,
) -> Result<usize> {
    let ids: Vec<i64> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::UserId.eq(than.user.0))
        .filter(Column::ClientId.eq(than.client.0))
        .filter(Column::Id.lt(than.id.0))
        .filter(Column::Ended.is_null())
        .order_by_desc(Column::Id)
        .into_tuple()
        .all(tx)
        .await
        .map_err(failed)?;
    let ids = ids.get(keep..).unwrap_or_default();
    if ids.is_empty() {
        return Ok(0);
    }
    let which = Condition::all().add(Column::Id.is_in(ids.iter().copied()));
    let ended = end(tx, which, false, now).await?;
    Ok(usize::try_from(ended).unwrap_or(usize::MAX))
}

/// Whether an authorization is one that a suspended user's client was given, for a query.
pub(super) fn is_halted(authorization: impl IntoColumnRef) -> Expr {
    let halted = Entity::find()
        .select_only()
        .column(Column::Id)
        .join(JoinType::InnerJoin, Relation::Client.def())
        .join(JoinType::InnerJoin, clients::Relation::Owner.def())
        .filter(users::Column::Suspended.is_not_null())
        .filter(Expr::col((Entity, Column::Id)).eq(Expr::col(authorization)));
    Expr::exists(halted.into_query())
}

/// Ends authorizations, and then their tokens: whoever held one of them has made its token by then. `is_untold` if their
/// users are told later.
async fn end(
    tx: &DatabaseTransaction,
    which: Condition,
    is_untold: bool,
    now: Timestamp,
) -> Result<u64> {
    let ended = Entity::update_many()
        .col_expr(Column::Ended, Expr::value(Micros::from(now)))
        .col_expr(Column::IsUntold, Expr::value(is_untold))
        .filter(which.clone())
        .filter(Column::Ended.is_null())
        .exec(tx)
        .await
        .map_err(failed)?;
    let ids = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(which)
        .into_query();
    tokens::expire_under(tx, ids, now).await?;
    Ok(ended.rows_affected)
}

pub(super) async fn purge(tx: &DatabaseTransaction, before: Timestamp) -> Result<()> {
    let before = Micros::from(before);
    let unused = [
        of_this::<token_rows::Entity>(token_rows::Column::AuthorizationId),
        of_this::<refresh_tokens::Entity>(refresh_tokens::Column::AuthorizationId),
        of_this::<codes::Entity>(codes::Column::AuthorizationId),
    ]
    .into_iter()
    .fold(
        Condition::all().add(Column::Created.lt(before)),
        |unused, rows| unused.add(Expr::not_exists(rows)),
    );
    Entity::delete_many()
        .filter(Column::IsUntold.eq(false))
        .filter(Condition::any().add(Column::Ended.lt(before)).add(unused))
        .exec(tx)
        .await
        .map_err(failed)?;
    Ok(())
}

/// The rows that belong to the authorization at hand.
fn of_this<E: EntityTrait>(column: E::Column) -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from(E::default())
        .and_where(Expr::col((E::default(), column)).equals((Entity, Column::Id)))
        .take()
}
