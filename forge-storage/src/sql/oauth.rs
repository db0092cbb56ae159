//! Tokens.
//!
//! Invariant: a token's end only comes nearer. Whether it has come is decided elsewhere.

use async_trait::async_trait;
use forge_core::access::Grants;
use forge_core::oauth::{NewToken, OauthReads, OauthWrites, Token, SecretHash};
use forge_core::users::User;
use forge_core::{Error, Result, Timestamp, TokenId, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _,
};

use super::users::user;
use crate::entity::tokens::{ActiveModel, Column, Entity, Model};
use crate::entity::{Micros, users};
use crate::error::{failed, refused, unreadable};
use crate::store::{Source, Sql, Table, Transaction};

/// How [`Grants::nothing`] is stored: their own text for it is not one that parses.
const NOTHING: &str = "none";

#[async_trait]
impl<S: Source> OauthReads for Sql<S> {
    async fn token_by_hash(&self, hash: &SecretHash) -> Result<Option<(Token, User)>> {
        let read = token_by_hash(self.conn(), hash);
        match self.cache() {
            Some(cache) => cache.token(hash, read).await,
            None => read.await,
        }
    }
}

async fn token_by_hash(
    conn: &impl ConnectionTrait,
    hash: &SecretHash,
) -> Result<Option<(Token, User)>> {
    let row = Entity::find()
        .filter(Column::Hash.eq(hash.0.to_vec()))
        .find_also_related(users::Entity)
        .one(conn)
        .await
        .map_err(failed)?;
    let Some((found, owner)) = row else {
        return Ok(None);
    };
    let owner = owner.ok_or_else(|| unreadable("token's owner"))?;
    Ok(Some((token(found)?, user(owner)?)))
}

#[async_trait]
impl OauthWrites for Sql<Transaction> {
    async fn insert_token(
        &mut self,
        user: UserId,
        hash: &SecretHash,
        new: &NewToken,
        now: Timestamp,
    ) -> Result<Token> {
        let row = ActiveModel {
            user_id: Set(user.0),
            hash: Set(hash.0.to_vec()),
            issued: Set(now.into()),
            expires: Set(new.expires.into()),
            grants: Set(grants_text(&new.grants)),
            comment: Set(new.comment.clone()),
            ..ActiveModel::default()
        };
        let row = Entity::insert(row)
            .exec_with_returning(self.write(Table::Cached))
            .await;
        token(
            row.map_err(|error| {
                refused(error, || Error::internal("two tokens have the same text"))
            })?,
        )
    }

    async fn expire_token(&mut self, id: TokenId, now: Timestamp) -> Result<()> {
        Entity::update_many()
            .col_expr(Column::Expires, Expr::value(Micros::from(now)))
            .filter(Column::Id.eq(id.0))
            .filter(Column::Expires.gt(Micros::from(now)))
            .exec(self.write(Table::Cached))
            .await
            .map_err(failed)?;
        Ok(())
    }
}

fn grants_text(grants: &Grants) -> String {
    if *grants == Grants::nothing() {
        NOTHING.to_owned()
    } else {
        grants.to_string()
    }
}

fn token(row: Model) -> Result<Token> {
    let grants = if row.grants == NOTHING {
        Grants::nothing()
    } else {
        Grants::parse_oauth2(&row.grants).map_err(|_| unreadable("grant"))?
    };
    Ok(Token {
        id: TokenId(row.id),
        user: UserId(row.user_id),
        issued: row.issued.time()?,
        expires: row.expires.time()?,
        grants,
        comment: row.comment,
    })
}
