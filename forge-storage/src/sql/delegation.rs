//! What other services leave to the forge.
//!
//! Invariant: whoever is to be told of a token's end is written down while the token, its user and its client's owner are
//! held, and taken out once one of them has changed; so nobody is forgotten, whichever comes first. What has ended a token
//! is decided elsewhere.

use async_trait::async_trait;
use forge_core::access::{Delegated, Named};
use forge_core::delegation::{
    DelegatedScope, DelegationReads, DelegationWrites, Ended, NewDelegatedScope, NewWatch, Notice,
    TokenDigest,
};
use forge_core::oauth::ClientId;
use forge_core::{
    ClientRow, DelegatedScopeId, Error, Page, Paged, Result, Timestamp, TokenId, UserId,
};
use sea_orm::sea_query::{Expr, LockType, OnConflict, SelectStatement, UnionType};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, Condition, ConnectionTrait, DatabaseTransaction,
    EntityTrait as _, FromQueryResult, JoinType, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, QueryTrait as _, RelationTrait as _, Select, TryInsertResult,
};

use super::{page, paged, stored};
use crate::entity::delegated_scopes::{ActiveModel, Column, Entity, Relation};
use crate::entity::{Micros, authorizations, clients, nonces, token_watches, tokens, users};
use crate::error::{failed, refused, unreadable};
use crate::store::{Source, Sql, Table, Transaction};

/// A scope with its service's names.
#[derive(FromQueryResult)]
struct Row {
    id: i64,
    client: String,
    service: String,
    name: String,
    description: String,
    is_writable: bool,
    created: Micros,
}

fn rows() -> Select<Entity> {
    Entity::find()
        .column_as(clients::Column::ClientId, "client")
        .column_as(clients::Column::Name, "service")
        .join(JoinType::InnerJoin, Relation::Client.def())
}

fn of_client(client: ClientRow) -> Select<Entity> {
    rows().filter(Column::ClientId.eq(client.0))
}

fn scope(row: Row) -> Result<DelegatedScope> {
    Ok(DelegatedScope {
        scope: Delegated {
            named: Named {
                client: stored(&row.client, "client id")?,
                name: stored(&row.name, "scope's name")?,
            },
            id: DelegatedScopeId(row.id),
        },
        service: row.service,
        created: row.created.time()?,
        description: row.description,
        is_writable: row.is_writable,
    })
}

async fn one(
    conn: &impl ConnectionTrait,
    client: ClientRow,
    id: DelegatedScopeId,
) -> Result<Option<DelegatedScope>> {
    let row = of_client(client).filter(Column::Id.eq(id.0));
    let row = row.into_model::<Row>().one(conn).await.map_err(failed)?;
    row.map(scope).transpose()
}

#[async_trait]
impl<S: Source> DelegationReads for Sql<S> {
    async fn delegated_scopes(&self, client: ClientRow, of: Page) -> Result<Paged<DelegatedScope>> {
        let found = page::<_, Row>(self.conn(), of_client(client), Column::Id, of).await?;
        paged(found, of, scope, |scope| scope.scope.id.0)
    }

    async fn delegated_scope(
        &self,
        client: ClientRow,
        id: DelegatedScopeId,
    ) -> Result<Option<DelegatedScope>> {
        one(self.conn(), client, id).await
    }

    async fn scopes_in_force(&self, clients: &[ClientId]) -> Result<Vec<DelegatedScope>> {
        let found = rows()
            .join(JoinType::InnerJoin, clients::Relation::Owner.def())
            .filter(clients::Column::ClientId.is_in(clients.iter().map(ClientId::as_str)))
            .filter(clients::Column::IsFirstParty.eq(true))
            .filter(clients::Column::Revoked.is_null())
            .filter(users::Column::Suspended.is_null())
            .filter(users::Column::Deleted.is_null())
            .order_by_asc(Column::Id)
            .into_model::<Row>()
            .all(self.conn())
            .await
            .map_err(failed)?;
        found.into_iter().map(scope).collect()
    }
}

#[async_trait]
impl DelegationWrites for Sql<Transaction> {
    async fn insert_delegated_scope(
        &mut self,
        client: ClientRow,
        new: &NewDelegatedScope,
        now: Timestamp,
    ) -> Result<DelegatedScope> {
        let tx = self.write(Table::Uncached);
        let row = ActiveModel {
            client_id: Set(client.0),
            name: Set(new.name.to_string()),
            description: Set(new.description.clone()),
            is_writable: Set(new.is_writable),
            created: Set(now.into()),
            ..ActiveModel::default()
        };
        let made = Entity::insert(row).exec_with_returning(tx).await;
        let made = made.map_err(|error| {
            refused(error, || {
                Error::conflict("name", "there is a scope of this name already")
            })
        })?;
        let made = one(tx, client, DelegatedScopeId(made.id)).await?;
        made.ok_or(Error::NotFound)
    }

    async fn delete_delegated_scope(
        &mut self,
        client: ClientRow,
        id: DelegatedScopeId,
    ) -> Result<bool> {
        let deleted = Entity::delete_many()
            .filter(Column::ClientId.eq(client.0))
            .filter(Column::Id.eq(id.0))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(deleted.rows_affected > 0)
    }

    async fn watch_token(&mut self, new: &NewWatch, now: Timestamp) -> Result<Option<Timestamp>> {
        let tx = self.write(Table::Uncached);
        let Some(until) = hold_token(tx, new.token, now).await? else {
            return Ok(None);
        };
        let row = token_watches::ActiveModel {
            token_id: Set(new.token.0),
            client_id: Set(new.client.0),
            url: Set(new.url.clone()),
            digest: Set(new.digest.0.to_vec()),
        };
        let mut again = OnConflict::columns([
            token_watches::Column::TokenId,
            token_watches::Column::ClientId,
        ]);
        again.update_columns([token_watches::Column::Url, token_watches::Column::Digest]);
        token_watches::Entity::insert(row)
            .on_conflict(again)
            .exec_without_returning(tx)
            .await
            .map_err(|error| refused(error, || Error::NotFound))?;
        Ok(Some(until))
    }

    async fn take_watches(&mut self, of: Ended, now: Timestamp) -> Result<Vec<Notice>> {
        let tx = self.write(Table::Uncached);
        let ended = token_watches::Column::TokenId.in_subquery(ended(of, now));
        // In one order, whoever takes them.
        let found = token_watches::Entity::find()
            .filter(ended.clone())
            .filter(token_watches::Column::ClientId.in_subquery(trusted()))
            .order_by_asc(token_watches::Column::TokenId)
            .order_by_asc(token_watches::Column::ClientId)
            .lock(LockType::Update)
            .all(tx)
            .await
            .map_err(failed)?;
        token_watches::Entity::delete_many()
            .filter(ended)
            .exec(tx)
            .await
            .map_err(failed)?;
        let notices = found.into_iter().map(|row| {
            let digest = row.digest.try_into().map_err(|_| unreadable("digest"))?;
            Ok(Notice {
                url: row.url,
                digest: TokenDigest(digest),
            })
        });
        notices.collect()
    }

    async fn remember_nonce(&mut self, nonce: &str, now: Timestamp) -> Result<bool> {
        let row = nonces::ActiveModel {
            nonce: Set(nonce.to_owned()),
            seen: Set(now.into()),
        };
        let inserted = nonces::Entity::insert(row)
            .on_conflict_do_nothing_on([nonces::Column::Nonce])
            .exec_without_returning(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(matches!(inserted, TryInsertResult::Inserted(rows) if rows > 0))
    }

    async fn purge_nonces(&mut self, before: Timestamp) -> Result<()> {
        nonces::Entity::delete_many()
            .filter(nonces::Column::Seen.lt(Micros::from(before)))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(())
    }
}

/// The clients that were not revoked: nobody else is told anything.
fn trusted() -> SelectStatement {
    clients::Entity::find()
        .select_only()
        .column(clients::Column::Id)
        .filter(clients::Column::Revoked.is_null())
        .into_query()
}

/// Until when a token means somebody, if it does; that does not change before the transaction ends.
async fn hold_token(
    tx: &DatabaseTransaction,
    id: TokenId,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    let token = tokens::Entity::find_by_id(id.0).one(tx).await;
    let Some(token) = token.map_err(failed)? else {
        return Ok(None);
    };
    let mut people = vec![token.user_id];
    if let Some(authorization) = token.authorization_id {
        let owner: Option<i64> = authorizations::Entity::find_by_id(authorization)
            .select_only()
            .column(clients::Column::OwnerId)
            .join(JoinType::InnerJoin, authorizations::Relation::Client.def())
            .into_tuple()
            .one(tx)
            .await
            .map_err(failed)?;
        people.extend(owner);
    }
    people.sort_unstable();
    people.dedup();
    // Users before the token: whoever deletes them takes them in that order.
    let held = users::Entity::find()
        .filter(users::Column::Id.is_in(people.iter().copied()))
        .filter(users::Column::Suspended.is_null())
        .filter(users::Column::Deleted.is_null())
        .order_by_asc(users::Column::Id)
        .lock(LockType::Share)
        .all(tx)
        .await
        .map_err(failed)?;
    let token = tokens::Entity::find_by_id(id.0)
        .filter(tokens::Column::Expires.gt(Micros::from(now)))
        .lock(LockType::Share)
        .one(tx)
        .await
        .map_err(failed)?;
    let token = token.filter(|_| held.len() == people.len());
    token.map(|token| token.expires.time()).transpose()
}

/// The numbers of the tokens in question that mean nobody.
fn ended(of: Ended, now: Timestamp) -> SelectStatement {
    let has_expired = tokens::Column::Expires.lte(Micros::from(now));
    let rows = tokens::Entity::find()
        .select_only()
        .column(tokens::Column::Id);
    let rows = match of {
        Ended::OfClient(client) => {
            let under = authorizations::Entity::find()
                .select_only()
                .column(authorizations::Column::Id)
                .filter(authorizations::Column::ClientId.eq(client.0))
                .into_query();
            rows.filter(tokens::Column::AuthorizationId.in_subquery(under))
                .filter(has_expired)
        }
        Ended::OfUser(user) => {
            let suspended = users::Entity::find_by_id(user.0)
                .select_only()
                .expr(Expr::val(1))
                .filter(users::Column::Suspended.is_not_null())
                .into_query();
            let means_nobody = Condition::any()
                .add(has_expired)
                .add(Expr::exists(suspended));
            let rows = rows.filter(means_nobody);
            let own = rows.clone().filter(tokens::Column::UserId.eq(user.0));
            let under = tokens::Column::AuthorizationId.in_subquery(under_clients_of(user));
            // Two, so that each has its index.
            return own
                .into_query()
                .union(UnionType::Distinct, rows.filter(under).into_query())
                .take();
        }
    };
    rows.into_query()
}

/// What anybody has let the clients do that a user has registered.
fn under_clients_of(owner: UserId) -> SelectStatement {
    authorizations::Entity::find()
        .select_only()
        .column(authorizations::Column::Id)
        .join(JoinType::InnerJoin, authorizations::Relation::Client.def())
        .filter(clients::Column::OwnerId.eq(owner.0))
        .into_query()
}
