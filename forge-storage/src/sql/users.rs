//! Users.
//!
//! Invariant: a name is written once and never changed, so it may be joined into any other row.

use async_trait::async_trait;
use forge_core::names::UserName;
use forge_core::users::{NewUser, User, UserReads, UserWrites};
use forge_core::{Error, Result, Timestamp, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use super::stored;
use crate::entity::Micros;
use crate::entity::users::{ActiveModel, Column, Entity, Model};
use crate::error::{failed, refused};
use crate::store::{Source, Sql, Table, Transaction};

#[async_trait]
impl<S: Source> UserReads for Sql<S> {
    async fn user_by_name(&self, name: &UserName) -> Result<Option<User>> {
        let row = Entity::find().filter(Column::Name.eq(name.as_str()));
        let row = row.one(self.conn()).await.map_err(failed)?;
        row.map(user).transpose()
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
            refused(error, || {
                Error::conflict("username", "a user of this name already exists")
            })
        })?)
    }

    async fn set_suspension(
        &mut self,
        id: UserId,
        notice: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        Entity::update_many()
            .col_expr(Column::Suspended, Expr::value(notice.map(str::to_owned)))
            .col_expr(Column::Updated, Expr::value(Micros::from(now)))
            .filter(Column::Id.eq(id.0))
            .exec(self.write(Table::Cached))
            .await
            .map_err(failed)?;
        Ok(())
    }
}

pub(super) fn user(row: Model) -> Result<User> {
    Ok(User {
        id: UserId(row.id),
        created: row.created.time()?,
        updated: row.updated.time()?,
        name: stored(&row.name, "user name")?,
        email: row.email,
        url: row.url,
        location: row.location,
        bio: row.bio,
        suspended: row.suspended,
    })
}
