//! Repositories and the names they had.
//!
//! Invariant: a name that a repository takes stops leading elsewhere in the same transaction. The order of the
//! statements matters with PostgreSQL: taking the name comes first, since it waits for whoever is giving that name up
//! and leaving a redirect there, and only a later statement sees that redirect.

use async_trait::async_trait;
use forge_core::names::{RepoName, RepoPath};
use forge_core::repos::{
    Listing, NewRepo, RepoChange, RepoOrRedirect, RepoReads, RepoWrites, Repository, Visibility,
};
use forge_core::{Actor, Error, Page, Paged, RepoId, Result, Timestamp, UserId};
use sea_orm::sea_query::{Expr, ExprTrait as _, LockType, OnConflict, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, Condition, ConnectionTrait, DatabaseTransaction,
    EntityTrait as _, FromQueryResult, IdenStatic as _, JoinType, QueryFilter as _,
    QuerySelect as _, RelationTrait as _, Select,
};

use super::users::hold;
use super::{owner, page, paged, stored};
use crate::entity::repos::{ActiveModel, Column, Entity, Relation};
use crate::entity::{Micros, acls, redirects, users};
use crate::error::{failed, refused};
use crate::store::{Source, Sql, Table, Transaction};

/// A repository with its owner's name, without its README.
#[derive(FromQueryResult)]
struct Row {
    id: i64,
    created: Micros,
    updated: Micros,
    owner_id: i64,
    owner: String,
    name: String,
    description: Option<String>,
    visibility: String,
}

const COLUMNS: [Column; 7] = [
    Column::Id,
    Column::Created,
    Column::Updated,
    Column::OwnerId,
    Column::Name,
    Column::Description,
    Column::Visibility,
];
/// The owner's name in a [`Row`].
const OWNER: &str = "owner";
/// The name of the repository that a redirect leads to.
const MOVED_TO: &str = "moved_to";
/// The name of that repository's owner.
const HELD_BY: &str = "held_by";

fn rows() -> Select<Entity> {
    Entity::find()
        .select_only()
        .columns(COLUMNS)
        .column_as(users::Column::Name, OWNER)
        .join(JoinType::InnerJoin, Relation::Owner.def())
}

fn repository(row: Row) -> Result<Repository> {
    Ok(Repository {
        id: RepoId(row.id),
        created: row.created.time()?,
        updated: row.updated.time()?,
        owner: owner(row.owner_id, &row.owner)?,
        name: stored(&row.name, "repository name")?,
        description: row.description,
        visibility: stored(&row.visibility, "visibility")?,
    })
}

#[async_trait]
impl<S: Source> RepoReads for Sql<S> {
    async fn repo_by_path(
        &self,
        path: &RepoPath,
        asker: Option<Actor>,
    ) -> Result<Option<RepoOrRedirect>> {
        let read = repo_by_path(self.conn(), path, asker);
        match (self.cache(), asker) {
            // Whoever holds one deploy key is not told from who holds another.
            (None, _) | (_, None | Some(Actor::DeployKey)) => read.await,
            (Some(cache), Some(asker)) => cache.repo(path, asker, read).await,
        }
    }

    async fn repos_of(
        &self,
        owner: UserId,
        listing: Listing,
        of: Page,
    ) -> Result<Paged<Repository>> {
        let public = Column::Visibility.eq(Visibility::Public.as_str());
        let rows = rows().filter(Column::OwnerId.eq(owner.0));
        let rows = match listing {
            Listing::All => rows,
            Listing::Public => rows.filter(public),
            Listing::VisibleTo(user) => {
                let shared = Query::select()
                    .expr(Expr::val(1))
                    .from(acls::Entity)
                    .and_where(
                        Expr::col((acls::Entity, acls::Column::RepoId))
                            .equals((Entity, Column::Id)),
                    )
                    .and_where(acls::Column::UserId.eq(user.0))
                    .take();
                rows.filter(Condition::any().add(public).add(Expr::exists(shared)))
            }
        };
        let found = page::<_, Row>(self.conn(), rows, Column::Id, of).await?;
        paged(found, of, repository, |repo| repo.id.0)
    }

    async fn repo(&self, id: RepoId) -> Result<Option<Repository>> {
        by_id(self.conn(), id.0).await
    }

    async fn existing_repos(&self, ids: &[RepoId]) -> Result<Vec<RepoId>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found: Vec<i64> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::Id.is_in(ids.iter().map(|id| id.0)))
            .into_tuple()
            .all(self.conn())
            .await
            .map_err(failed)?;
        Ok(found.into_iter().map(RepoId).collect())
    }

    async fn readme(&self, id: RepoId) -> Result<Option<String>> {
        let readme: Option<Option<String>> = Entity::find_by_id(id.0)
            .select_only()
            .column(Column::Readme)
            .into_tuple()
            .one(self.conn())
            .await
            .map_err(failed)?;
        Ok(readme.flatten())
    }
}

/// One statement, so that a repository on its way from one name to the other is always seen at one of them.
async fn repo_by_path(
    conn: &impl ConnectionTrait,
    path: &RepoPath,
    asker: Option<Actor>,
) -> Result<Option<RepoOrRedirect>> {
    let is_there = |table: &'static str| match asker {
        // Left out here, not afterwards: reading a row takes its time.
        Some(Actor::Anonymous) => {
            Expr::col((table, Column::Visibility)).ne(Visibility::Private.as_str())
        }
        _ => Expr::value(true),
    };
    let (named, target, holder) = ("named", "target", "holder");
    let of_name = |table: &'static str| {
        Expr::col((table, Column::OwnerId))
            .equals((users::Entity, users::Column::Id))
            .and(Expr::col((table, Column::Name)).eq(path.name.as_str()))
    };
    let query = Query::select()
        .columns(COLUMNS.map(|column| (named, column)))
        .expr_as(Expr::col((users::Entity, users::Column::Name)), OWNER)
        .expr_as(Expr::col((target, Column::Name)), MOVED_TO)
        .expr_as(Expr::col((holder, users::Column::Name)), HELD_BY)
        .from(users::Entity)
        .join_as(
            JoinType::LeftJoin,
            Entity,
            named,
            of_name(named).and(is_there(named)),
        )
        .join_as(
            JoinType::LeftJoin,
            redirects::Entity,
            "redirect",
            // Not even looked for if there is a repository of that name.
            Expr::col((named, Column::Id))
                .is_null()
                .and(of_name("redirect")),
        )
        .join_as(
            JoinType::LeftJoin,
            Entity,
            target,
            Expr::col((target, Column::Id))
                .equals(("redirect", redirects::Column::RepoId))
                .and(is_there(target)),
        )
        .join_as(
            JoinType::LeftJoin,
            users::Entity,
            holder,
            Expr::col((holder, users::Column::Id)).equals((target, Column::OwnerId)),
        )
        .and_where(users::Column::Name.eq(path.owner.as_str()))
        .take();
    let Some(row) = conn.query_one(&query).await.map_err(failed)? else {
        return Ok(None);
    };
    let id: Option<i64> = row.try_get("", Column::Id.as_str()).map_err(failed)?;
    if id.is_some() {
        let row = Row::from_query_result(&row, "").map_err(failed)?;
        return Ok(Some(RepoOrRedirect::Repository(repository(row)?)));
    }
    let name: Option<String> = row.try_get("", MOVED_TO).map_err(failed)?;
    let holder: Option<String> = row.try_get("", HELD_BY).map_err(failed)?;
    let (Some(name), Some(holder)) = (name, holder) else {
        return Ok(None);
    };
    Ok(Some(RepoOrRedirect::Moved(RepoPath {
        owner: stored(&holder, "user name")?,
        name: stored(&name, "repository name")?,
    })))
}

#[async_trait]
impl RepoWrites for Sql<Transaction> {
    async fn insert_repo(
        &mut self,
        owner: UserId,
        new: &NewRepo,
        now: Timestamp,
    ) -> Result<Repository> {
        let tx = self.write(Table::Cached);
        hold(tx, owner, LockType::Share).await?;
        let row = ActiveModel {
            created: Set(now.into()),
            updated: Set(now.into()),
            owner_id: Set(owner.0),
            name: Set(new.name.to_string()),
            description: Set(new.description.clone()),
            visibility: Set(new.visibility.as_str().to_owned()),
            ..ActiveModel::default()
        };
        let inserted = Entity::insert(row).exec(tx).await;
        let inserted = inserted.map_err(|error| refused(error, taken))?;
        remove_redirect(tx, owner.0, &new.name).await?;
        let made = by_id(tx, inserted.last_insert_id).await?;
        made.ok_or(Error::NotFound)
    }

    async fn update_repo(
        &mut self,
        id: RepoId,
        change: &RepoChange,
        now: Timestamp,
    ) -> Result<Repository> {
        let tx = self.write(Table::Cached);
        let before = match &change.name {
            Some(_) => Some(locked_name(tx, id).await?),
            None => None,
        };
        let mut update = Entity::update_many()
            .col_expr(Column::Updated, Expr::value(Micros::from(now)))
            .filter(Column::Id.eq(id.0));
        if let Some(name) = &change.name {
            update = update.col_expr(Column::Name, Expr::value(name.as_str()));
        }
        if let Some(description) = &change.description {
            update = update.col_expr(Column::Description, Expr::value(description.clone()));
        }
        if let Some(visibility) = change.visibility {
            update = update.col_expr(Column::Visibility, Expr::value(visibility.as_str()));
        }
        if let Some(readme) = &change.readme {
            update = update.col_expr(Column::Readme, Expr::value(readme.clone()));
        }
        let updated = update.exec(tx).await;
        if updated
            .map_err(|error| refused(error, taken))?
            .rows_affected
            == 0
        {
            return Err(Error::NotFound);
        }
        if let (Some((owner, old)), Some(new)) = (before, &change.name)
            && old != new.as_str()
        {
            remove_redirect(tx, owner, new).await?;
            leave_redirect(tx, owner, old, id).await?;
        }
        by_id(tx, id.0).await?.ok_or(Error::NotFound)
    }

    async fn give_repo(
        &mut self,
        id: RepoId,
        owner: UserId,
        name: &RepoName,
        now: Timestamp,
    ) -> Result<Repository> {
        let tx = self.write(Table::Cached);
        let (old_owner, old_name) = locked_name(tx, id).await?;
        Entity::update_many()
            .col_expr(Column::OwnerId, Expr::value(owner.0))
            .col_expr(Column::Name, Expr::value(name.as_str()))
            .col_expr(Column::Updated, Expr::value(Micros::from(now)))
            .filter(Column::Id.eq(id.0))
            .exec(tx)
            .await
            .map_err(|error| refused(error, taken))?;
        remove_redirect(tx, owner.0, name).await?;
        if (old_owner, old_name.as_str()) != (owner.0, name.as_str()) {
            leave_redirect(tx, old_owner, old_name, id).await?;
        }
        acls::Entity::delete_many()
            .filter(acls::Column::RepoId.eq(id.0))
            .filter(acls::Column::UserId.eq(owner.0))
            .exec(tx)
            .await
            .map_err(failed)?;
        by_id(tx, id.0).await?.ok_or(Error::NotFound)
    }

    async fn touch_repo(&mut self, id: RepoId, now: Timestamp) -> Result<Option<Repository>> {
        let tx = self.write(Table::Cached);
        Entity::update_many()
            .col_expr(Column::Updated, Expr::value(Micros::from(now)))
            .filter(Column::Id.eq(id.0))
            .exec(tx)
            .await
            .map_err(failed)?;
        by_id(tx, id.0).await
    }

    async fn delete_repo(&mut self, id: RepoId) -> Result<bool> {
        let deleted = Entity::delete_by_id(id.0)
            .exec(self.write(Table::Cached))
            .await
            .map_err(failed)?;
        Ok(deleted.rows_affected > 0)
    }
}

fn taken() -> Error {
    Error::conflict("name", "a repository of this name already exists")
}

async fn by_id(conn: &impl ConnectionTrait, id: i64) -> Result<Option<Repository>> {
    let row = rows().filter(Column::Id.eq(id)).into_model::<Row>();
    let row = row.one(conn).await.map_err(failed)?;
    row.map(repository).transpose()
}

/// Owner and name, which stay as they are until the transaction ends.
async fn locked_name(tx: &DatabaseTransaction, id: RepoId) -> Result<(i64, String)> {
    let row: Option<(i64, String)> = Entity::find_by_id(id.0)
        .select_only()
        .columns([Column::OwnerId, Column::Name])
        .lock_exclusive()
        .into_tuple()
        .one(tx)
        .await
        .map_err(failed)?;
    row.ok_or(Error::NotFound)
}

async fn remove_redirect(tx: &DatabaseTransaction, owner: i64, name: &RepoName) -> Result<()> {
    redirects::Entity::delete_by_id((owner, name.to_string()))
        .exec(tx)
        .await
        .map_err(failed)?;
    Ok(())
}

async fn leave_redirect(
    tx: &DatabaseTransaction,
    owner: i64,
    name: String,
    to: RepoId,
) -> Result<()> {
    let row = redirects::ActiveModel {
        owner_id: Set(owner),
        name: Set(name),
        repo_id: Set(to.0),
    };
    redirects::Entity::insert(row)
        .on_conflict(
            OnConflict::columns([redirects::Column::OwnerId, redirects::Column::Name])
                .update_column(redirects::Column::RepoId)
                .to_owned(),
        )
        .exec_without_returning(tx)
        .await
        .map_err(failed)?;
    Ok(())
}
