//! Imports.
//!
//! Invariant: every change of a row asks whether it is running in the same statement, so an import that has ended stays
//! as it was. What is fetched is not known here.

use async_trait::async_trait;
use forge_core::imports::{Import, ImportReads, ImportState, ImportWrites, NewImport};
use forge_core::{Error, RepoId, Result, Timestamp, UserId};
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QuerySelect as _, UpdateMany,
};

use crate::entity::imports::{ActiveModel, Column, Entity, Model};
use crate::entity::{Micros, repos};
use crate::error::{failed, refused, unreadable};
use crate::store::{Source, Sql, Table, Transaction};

const RUNNING: &str = "running";
const DONE: &str = "done";
const FAILED: &str = "failed";

#[async_trait]
impl<S: Source> ImportReads for Sql<S> {
    async fn import(&self, repo: RepoId) -> Result<Option<Import>> {
        let row = Entity::find_by_id(repo.0).one(self.conn()).await;
        row.map_err(failed)?.map(import).transpose()
    }

    async fn running_imports(&self, owner: UserId) -> Result<u64> {
        let owned = Query::select()
            .column(repos::Column::Id)
            .from(repos::Entity)
            .and_where(Expr::col(repos::Column::OwnerId).eq(owner.0))
            .take();
        Entity::find()
            .filter(Column::State.eq(RUNNING))
            .filter(Column::RepoId.in_subquery(owned))
            .count(self.conn())
            .await
            .map_err(failed)
    }
}

#[async_trait]
impl ImportWrites for Sql<Transaction> {
    async fn insert_import(&mut self, repo: RepoId, new: &NewImport, now: Timestamp) -> Result<()> {
        let row = ActiveModel {
            repo_id: Set(repo.0),
            source: Set(new.source.clone()),
            from_repo: Set(new.from.map(|from| from.0)),
            state: Set(RUNNING.to_owned()),
            reason: Set(None),
            progress: Set(String::new()),
            attempts: Set(0),
            started: Set(now.into()),
            updated: Set(now.into()),
        };
        Entity::insert(row)
            .exec_without_returning(self.write(Table::Uncached))
            .await
            .map_err(|error| {
                refused(error, || {
                    Error::internal("a repository is imported once only")
                })
            })?;
        Ok(())
    }

    async fn begin_import(&mut self, repo: RepoId) -> Result<Option<u32>> {
        let begun = running(repo)
            .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        if begun.rows_affected == 0 {
            return Ok(None);
        }
        let attempts: Option<i64> = Entity::find_by_id(repo.0)
            .select_only()
            .column(Column::Attempts)
            .into_tuple()
            .one(self.conn())
            .await
            .map_err(failed)?;
        Ok(attempts.map(|attempts| u32::try_from(attempts).unwrap_or(u32::MAX)))
    }

    async fn note_import(&mut self, repo: RepoId, progress: &str, now: Timestamp) -> Result<bool> {
        let noted = running(repo)
            .col_expr(Column::Progress, Expr::value(progress))
            .col_expr(Column::Updated, Expr::value(Micros::from(now)))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(noted.rows_affected > 0)
    }

    async fn settle_import(
        &mut self,
        repo: RepoId,
        failure: Option<&str>,
        now: Timestamp,
    ) -> Result<bool> {
        let state = if failure.is_some() { FAILED } else { DONE };
        let settled = running(repo)
            .col_expr(Column::State, Expr::value(state))
            .col_expr(Column::Reason, Expr::value(failure))
            .col_expr(Column::Updated, Expr::value(Micros::from(now)))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(settled.rows_affected > 0)
    }
}

/// A change of the row, if it is running.
fn running(repo: RepoId) -> UpdateMany<Entity> {
    Entity::update_many()
        .filter(Column::RepoId.eq(repo.0))
        .filter(Column::State.eq(RUNNING))
}

fn import(row: Model) -> Result<Import> {
    let state = match (row.state.as_str(), row.reason) {
        (RUNNING, None) => ImportState::Running,
        (DONE, None) => ImportState::Done,
        (FAILED, Some(reason)) => ImportState::Failed(reason),
        _ => return Err(unreadable("state")),
    };
    Ok(Import {
        repo: RepoId(row.repo_id),
        source: row.source,
        from: row.from_repo.map(RepoId),
        state,
        progress: row.progress,
        started: row.started.time()?,
        updated: row.updated.time()?,
    })
}
