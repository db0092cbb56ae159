//! Access lists.
//!
//! Invariant: one entry for a repository and a user; giving it another mode keeps its number and its age.

use async_trait::async_trait;
use forge_core::acls::{Acl, AclReads, AclWrites};
use forge_core::{AclId, Error, Mode, Page, Paged, RepoId, Result, Timestamp, UserId};
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait as _, FromQueryResult, JoinType,
    QueryFilter as _, QuerySelect as _, RelationTrait as _, Select,
};

use super::{mode, mode_text, owner, page, paged};
use crate::entity::acls::{ActiveModel, Column, Entity, Relation};
use crate::entity::{Micros, users};
use crate::error::{failed, refused};
use crate::store::{Source, Sql, Table, Transaction};

/// An entry with its user's name.
#[derive(FromQueryResult)]
struct Row {
    id: i64,
    repo_id: i64,
    user_id: i64,
    user: String,
    mode: String,
    created: Micros,
    updated: Micros,
}

fn rows() -> Select<Entity> {
    Entity::find()
        .column_as(users::Column::Name, "user")
        .join(JoinType::InnerJoin, Relation::User.def())
}

fn acl(row: &Row) -> Result<Acl> {
    Ok(Acl {
        id: AclId(row.id),
        repo: RepoId(row.repo_id),
        user: owner(row.user_id, &row.user)?,
        mode: mode(&row.mode)?,
        created: row.created.time()?,
        updated: row.updated.time()?,
    })
}

#[async_trait]
impl<S: Source> AclReads for Sql<S> {
    async fn acl_mode(&self, repo: RepoId, user: UserId) -> Result<Option<Mode>> {
        let found: Option<String> = Entity::find()
            .select_only()
            .column(Column::Mode)
            .filter(Column::RepoId.eq(repo.0))
            .filter(Column::UserId.eq(user.0))
            .into_tuple()
            .one(self.conn())
            .await
            .map_err(failed)?;
        found.as_deref().map(mode).transpose()
    }

    async fn acls(&self, repo: RepoId, of: Page) -> Result<Paged<Acl>> {
        let rows = rows().filter(Column::RepoId.eq(repo.0));
        let found = page::<_, Row>(self.conn(), rows, Column::Id, of).await?;
        paged(found, of, |row| acl(&row), |acl| acl.id.0)
    }
}

#[async_trait]
impl AclWrites for Sql<Transaction> {
    async fn put_acl(
        &mut self,
        repo: RepoId,
        user: UserId,
        mode: Mode,
        now: Timestamp,
    ) -> Result<Acl> {
        let tx = self.write(Table::Uncached);
        let row = ActiveModel {
            repo_id: Set(repo.0),
            user_id: Set(user.0),
            mode: Set(mode_text(mode).to_owned()),
            created: Set(now.into()),
            updated: Set(now.into()),
            ..ActiveModel::default()
        };
        // `updated` tells of another mode; saying the same again is no change.
        let updated = Expr::case(
            Expr::col((Entity, Column::Mode)).ne(mode_text(mode)),
            Micros::from(now),
        )
        .finally(Expr::col((Entity, Column::Updated)));
        Entity::insert(row)
            .on_conflict(
                OnConflict::columns([Column::RepoId, Column::UserId])
                    .update_column(Column::Mode)
                    .value(Column::Updated, updated)
                    .to_owned(),
            )
            .exec_without_returning(tx)
            .await
            .map_err(|error| refused(error, || Error::NotFound))?;
        let row = rows()
            .filter(Column::RepoId.eq(repo.0))
            .filter(Column::UserId.eq(user.0))
            .into_model::<Row>()
            .one(tx)
            .await
            .map_err(failed)?;
        acl(&row.ok_or(Error::NotFound)?)
    }

    async fn delete_acl(&mut self, repo: RepoId, user: UserId) -> Result<bool> {
        let deleted = Entity::delete_many()
            .filter(Column::RepoId.eq(repo.0))
            .filter(Column::UserId.eq(user.0))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(deleted.rows_affected > 0)
    }
}
