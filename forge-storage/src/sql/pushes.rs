//! Pushes.
//!
//! Invariant: a push that is done stays done, and its row stays as it was recorded. What the refs say is not known here.

use async_trait::async_trait;
use forge_core::push::{Push, PushReads, PushState, PushWrites};
use forge_core::{Error, RepoId, Result, Timestamp};
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;

use crate::entity::Micros;
use crate::entity::pushes::{ActiveModel, Column, Entity};
use crate::error::{failed, refused, unreadable};
use crate::store::{Source, Sql, Table, Transaction};

#[async_trait]
impl<S: Source> PushReads for Sql<S> {
    async fn push(&self, id: Uuid) -> Result<Option<(Push, PushState)>> {
        let row = Entity::find().filter(Column::PushId.eq(bytes(id)));
        let Some(row) = row.one(self.conn()).await.map_err(failed)? else {
            return Ok(None);
        };
        Ok(Some((push(&row.data)?, state(&row.state)?)))
    }

    async fn unsettled_pushes(&self, before: Timestamp, max: u64) -> Result<Vec<Push>> {
        let rows: Vec<String> = Entity::find()
            .select_only()
            .column(Column::Data)
            .filter(Column::State.eq(state_text(PushState::Committing)))
            .filter(Column::Recorded.lt(Micros::from(before)))
            .order_by_asc(Column::Recorded)
            .order_by_asc(Column::Id)
            // Databases count in signed numbers.
            .limit(Ord::min(max, i64::MAX as u64))
            .into_tuple()
            .all(self.conn())
            .await
            .map_err(failed)?;
        rows.iter().map(|data| push(data)).collect()
    }

    async fn pushes_after(&self, repo: RepoId, id: Uuid) -> Result<Vec<Push>> {
        let given = Query::select()
            .column(Column::Id)
            .from(Entity)
            .and_where(Expr::col(Column::PushId).eq(bytes(id)))
            .take();
        let rows: Vec<String> = Entity::find()
            .select_only()
            .column(Column::Data)
            .filter(Column::RepoId.eq(repo.0))
            .filter(Column::State.ne(state_text(PushState::Dropped)))
            .filter(Expr::col((Entity, Column::Id)).gt(given))
            .order_by_asc(Column::Id)
            .into_tuple()
            .all(self.conn())
            .await
            .map_err(failed)?;
        rows.iter().map(|data| push(data)).collect()
    }

    async fn was_pushed_to(&self, repo: RepoId) -> Result<bool> {
        let row: Option<i64> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::RepoId.eq(repo.0))
            .filter(Column::State.ne(state_text(PushState::Dropped)))
            .limit(1)
            .into_tuple()
            .one(self.conn())
            .await
            .map_err(failed)?;
        Ok(row.is_some())
    }
}

#[async_trait]
impl PushWrites for Sql<Transaction> {
    async fn insert_push(&mut self, push: &Push, now: Timestamp) -> Result<()> {
        let row = ActiveModel {
            push_id: Set(bytes(push.id)),
            repo_id: Set(push.repository.id.0),
            state: Set(state_text(PushState::Committing).to_owned()),
            recorded: Set(now.into()),
            data: Set(serde_json::to_string(push).map_err(Error::internal)?),
            ..ActiveModel::default()
        };
        Entity::insert(row)
            .exec_without_returning(self.write(Table::Uncached))
            .await
            .map_err(|error| refused(error, || Error::internal("two pushes have the same id")))?;
        Ok(())
    }

    async fn renew_push(&mut self, id: Uuid, now: Timestamp) -> Result<bool> {
        let renewed = Entity::update_many()
            .col_expr(Column::Recorded, Expr::value(Micros::from(now)))
            .filter(Column::PushId.eq(bytes(id)))
            .filter(Column::State.eq(state_text(PushState::Committing)))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(renewed.rows_affected > 0)
    }

    async fn settle_push(&mut self, id: Uuid, state: PushState) -> Result<bool> {
        let settled = Entity::update_many()
            .col_expr(Column::State, Expr::value(state_text(state)))
            .filter(Column::PushId.eq(bytes(id)))
            .filter(Column::State.ne(state_text(PushState::Done)))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(settled.rows_affected > 0)
    }
}

fn bytes(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

fn push(data: &str) -> Result<Push> {
    serde_json::from_str(data).map_err(|_| unreadable("push"))
}

fn state_text(state: PushState) -> &'static str {
    match state {
        PushState::Committing => "committing",
        PushState::Done => "done",
        PushState::Dropped => "dropped",
    }
}

fn state(text: &str) -> Result<PushState> {
    [PushState::Committing, PushState::Done, PushState::Dropped]
        .into_iter()
        .find(|state| state_text(*state) == text)
        .ok_or_else(|| unreadable("state"))
}
