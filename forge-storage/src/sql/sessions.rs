//! Sessions and passwords.
//!
//! Invariant: a user has one password at most, and a cookie one session. Whether a session has expired and whether a
//! password is the right one is decided elsewhere.

use async_trait::async_trait;
use forge_core::oauth::SecretHash;
use forge_core::sessions::{Session, SessionReads, SessionWrites};
use forge_core::users::User;
use forge_core::{Error, Result, Timestamp, UserId};
use sea_orm::sea_query::{LockType, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _,
    QuerySelect as _,
};

use super::users::user;
use crate::entity::sessions::{ActiveModel, Column, Entity};
use crate::entity::{Micros, passwords, users};
use crate::error::{failed, refused, unreadable};
use crate::store::{Source, Sql, Table, Transaction};

#[async_trait]
impl<S: Source> SessionReads for Sql<S> {
    async fn session(&self, cookie: &SecretHash) -> Result<Option<(Session, User)>> {
        let row = Entity::find_by_id(cookie.0.to_vec())
            .find_also_related(users::Entity)
            .filter(users::Column::Deleted.is_null())
            .one(self.conn())
            .await
            .map_err(failed)?;
        let Some((found, owner)) = row else {
            return Ok(None);
        };
        let session = Session {
            user: UserId(found.user_id),
            created: found.created.time()?,
            expires: found.expires.time()?,
        };
        let owner = owner.ok_or_else(|| unreadable("session's user"))?;
        Ok(Some((session, user(owner)?)))
    }

    async fn password(&self, user: UserId) -> Result<Option<String>> {
        let row = passwords::Entity::find_by_id(user.0).one(self.conn()).await;
        Ok(row.map_err(failed)?.map(|row| row.phc))
    }
}

#[async_trait]
impl SessionWrites for Sql<Transaction> {
    async fn insert_session(&mut self, cookie: &SecretHash, session: &Session) -> Result<()> {
        let tx = self.write(Table::Uncached);
        hold(tx, session.user).await?.ok_or(Error::NotFound)?;
        let row = ActiveModel {
            hash: Set(cookie.0.to_vec()),
            user_id: Set(session.user.0),
            created: Set(session.created.into()),
            expires: Set(session.expires.into()),
        };
        Entity::insert(row)
            .exec_without_returning(tx)
            .await
            .map_err(|error| refused(error, || Error::internal("two sessions have one cookie")))?;
        Ok(())
    }

    async fn delete_session(&mut self, cookie: &SecretHash) -> Result<bool> {
        let deleted = Entity::delete_by_id(cookie.0.to_vec())
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(deleted.rows_affected > 0)
    }

    async fn delete_sessions(&mut self, user: UserId) -> Result<()> {
        let tx = self.write(Table::Uncached);
        hold(tx, user).await?;
        Entity::delete_many()
            .filter(Column::UserId.eq(user.0))
            .exec(tx)
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn set_password(&mut self, user: UserId, phc: &str) -> Result<()> {
        let row = passwords::ActiveModel {
            user_id: Set(user.0),
            phc: Set(phc.to_owned()),
        };
        passwords::Entity::insert(row)
            .on_conflict(
                OnConflict::column(passwords::Column::UserId)
                    .update_column(passwords::Column::Phc)
                    .to_owned(),
            )
            .exec_without_returning(self.write(Table::Uncached))
            .await
            .map_err(|error| refused(error, || Error::internal("a user has two passwords")))?;
        Ok(())
    }

    async fn purge_sessions(&mut self, before: Timestamp) -> Result<()> {
        Entity::delete_many()
            .filter(Column::Expires.lt(Micros::from(before)))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(())
    }
}

/// Holds a user until the transaction ends: sessions come, or all go, and the user is suspended, one after the other.
/// `None` if there is no such user.
async fn hold(tx: &DatabaseTransaction, user: UserId) -> Result<Option<()>> {
    let found = users::Entity::find_by_id(user.0)
        .filter(users::Column::Deleted.is_null())
        .lock(LockType::NoKeyUpdate)
        .one(tx)
        .await
        .map_err(failed)?;
    Ok(found.map(|_| ()))
}
