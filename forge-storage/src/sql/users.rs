//! Users.
//!
//! Invariant: a name is written once and never changed, so it may be joined into any other row; an address is one user's.
//! A user who was deleted is a name and nothing else: no read finds them, no write changes them.

use async_trait::async_trait;
use forge_core::names::UserName;
use forge_core::oauth::SecretHash;
use forge_core::pgp_keys::PgpFingerprint;
use forge_core::users::{NewUser, ProfileChange, User, UserReads, UserWrites};
use forge_core::{Error, Result, Timestamp, UserId};
use sea_orm::sea_query::{Expr, ExprTrait as _, LockType, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, DatabaseTransaction, EntityTrait as _,
    QueryFilter as _, QuerySelect as _, Select, UpdateMany,
};

use super::{deletion, stored};
use crate::entity::Micros;
use crate::entity::users::{ActiveModel, Column, Entity, Model};
use crate::error::{failed, is_taken, refused, unreadable};
use crate::store::{Source, Sql, Table, Transaction};

fn rows() -> Select<Entity> {
    Entity::find().filter(Column::Deleted.is_null())
}

async fn one(conn: &impl ConnectionTrait, rows: Select<Entity>) -> Result<Option<User>> {
    let row = rows.one(conn).await.map_err(failed)?;
    row.map(user).transpose()
}

/// Holds a user until the transaction ends: whoever is held is not deleted, nor, by others, suspended. Many may hold with
/// [`LockType::Share`], one with [`LockType::NoKeyUpdate`]. [`Error::NotFound`] if there is no such user.
pub(super) async fn hold(tx: &DatabaseTransaction, id: UserId, how: LockType) -> Result<()> {
    let held = rows().filter(Column::Id.eq(id.0)).lock(how).one(tx).await;
    held.map_err(failed)?.map(|_| ()).ok_or(Error::NotFound)
}

/// A change of a user who is there.
fn change(id: UserId) -> UpdateMany<Entity> {
    Entity::update_many()
        .filter(Column::Id.eq(id.0))
        .filter(Column::Deleted.is_null())
}

#[async_trait]
impl<S: Source> UserReads for Sql<S> {
    async fn user_by_name(&self, name: &UserName) -> Result<Option<User>> {
        one(self.conn(), rows().filter(Column::Name.eq(name.as_str()))).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        one(self.conn(), rows().filter(Column::Id.eq(id.0))).await
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>> {
        one(self.conn(), rows().filter(Column::Email.eq(email))).await
    }
}

#[async_trait]
impl UserWrites for Sql<Transaction> {
    async fn insert_user(&mut self, new: &NewUser, now: Timestamp) -> Result<User> {
        let row = ActiveModel {
            created: Set(now.into()),
            updated: Set(now.into()),
            name: Set(new.name.to_string()),
            email: Set(new.email.clone()),
            ..ActiveModel::default()
        };
        let row = Entity::insert(row)
            .exec_with_returning(self.write(Table::Cached))
            .await;
        user(row.map_err(|error| {
            let is_email = is_email_taken(&error);
            refused(error, || {
                if is_email {
                    email_conflict()
                } else {
                    Error::conflict("username", "a user of this name already exists")
                }
            })
        })?)
    }

    async fn set_suspension(
        &mut self,
        id: UserId,
        notice: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        change(id)
            .col_expr(Column::Suspended, Expr::value(notice.map(str::to_owned)))
            .col_expr(Column::Updated, Expr::value(Micros::from(now)))
            .exec(self.write(Table::Cached))
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn update_profile(
        &mut self,
        id: UserId,
        wanted: &ProfileChange,
        now: Timestamp,
    ) -> Result<Option<User>> {
        let key = wanted.pgp_key.as_ref();
        let key = key.map(|key| key.as_ref().map(PgpFingerprint::to_string));
        let mut update = change(id).col_expr(Column::Updated, Expr::value(Micros::from(now)));
        for (column, value) in [
            (Column::Url, &wanted.url),
            (Column::Location, &wanted.location),
            (Column::Bio, &wanted.bio),
            (Column::PgpKey, &key),
        ] {
            if let Some(value) = value {
                update = update.col_expr(column, Expr::value(value.clone()));
            }
        }
        let changed = update
            .exec_with_returning(self.write(Table::Cached))
            .await
            .map_err(failed)?;
        changed.into_iter().next().map(user).transpose()
    }

    async fn park_email(
        &mut self,
        id: UserId,
        email: &str,
        code: &SecretHash,
        now: Timestamp,
    ) -> Result<()> {
        change(id)
            .col_expr(Column::ParkedEmail, Expr::value(email))
            .col_expr(Column::ParkedCode, Expr::value(code.0.to_vec()))
            .col_expr(Column::Parked, Expr::value(Micros::from(now)))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(|error| refused(error, || Error::internal("two codes have the same text")))?;
        Ok(())
    }

    async fn confirm_email(
        &mut self,
        code: &SecretHash,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<(User, String)>> {
        let tx = self.write(Table::Cached);
        // Locked, so that of two who confirm at once the second finds the code spent.
        let parked = rows().filter(Column::ParkedCode.eq(code.0.to_vec()));
        let Some(before) = parked.lock_exclusive().one(tx).await.map_err(failed)? else {
            return Ok(None);
        };
        let email = before.parked_email.clone();
        let email = email.ok_or_else(|| unreadable("parked address"))?;
        let taken = Query::select()
            .expr(Expr::val(1))
            .from_as(Entity, "other")
            .and_where(Expr::col(("other", Column::Email)).eq(email.as_str()))
            .and_where(Expr::col(("other", Column::Id)).ne(before.id))
            .take();
        let id = UserId(before.id);
        let confirmed = unparked(id)
            .col_expr(Column::Email, Expr::value(email.as_str()))
            .col_expr(Column::Updated, Expr::value(Micros::from(now)))
            .filter(Column::Parked.gte(Micros::from(since)))
            .filter(Expr::not_exists(taken))
            .exec(tx)
            .await
            // Taken a moment ago: nothing is changed, the code is still good for another try.
            .map_err(|error| refused(error, email_conflict))?;
        if confirmed.rows_affected > 0 {
            return Ok(Some((user(before)?, email)));
        }
        unparked(id).exec(tx).await.map_err(failed)?;
        Ok(None)
    }

    async fn delete_user(&mut self, id: UserId, now: Timestamp) -> Result<()> {
        let tx: &DatabaseTransaction = self.write(Table::Cached);
        deletion::delete_user(tx, id, now).await
    }
}

fn unparked(id: UserId) -> UpdateMany<Entity> {
    change(id)
        .col_expr(Column::ParkedEmail, Expr::value(None::<String>))
        .col_expr(Column::ParkedCode, Expr::value(None::<Vec<u8>>))
        .col_expr(Column::Parked, Expr::value(None::<i64>))
}

fn is_email_taken(error: &sea_orm::DbErr) -> bool {
    is_taken(error, "forge_user", "email")
}

fn email_conflict() -> Error {
    Error::conflict("email", "this address is another user's")
}

pub(super) fn user(row: Model) -> Result<User> {
    let key = row.pgp_key.map(|key| PgpFingerprint::parse(&key));
    let key = key.map(|key| key.ok_or_else(|| unreadable("fingerprint")));
    Ok(User {
        id: UserId(row.id),
        created: row.created.time()?,
        updated: row.updated.time()?,
        name: stored(&row.name, "user name")?,
        email: row.email,
        url: row.url,
        location: row.location,
        bio: row.bio,
        pgp_key: key.transpose()?,
        suspended: row.suspended,
    })
}
