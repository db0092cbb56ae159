//! The queue.
//!
//! Invariant: a lease is told by the job's number and attempt, so whoever lost it can neither renew nor settle. A job
//! that this version cannot read is leased like the others but not handed out: a newer worker finds it when the lease
//! ends, and meanwhile it blocks nobody.

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use forge_core::events::{EventWrites, Job, NewJob, Outcome};
use forge_core::{Error, JobId, Result, Timestamp};
use sea_orm::sea_query::{Expr, ExprTrait as _, LockBehavior, LockType};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use crate::entity::Micros;
use crate::entity::jobs::{ActiveModel, Column, Entity, Model};
use crate::error::failed;
use crate::store::{Sql, Table, Transaction};

#[async_trait]
impl EventWrites for Sql<Transaction> {
    async fn enqueue(&mut self, job: NewJob) -> Result<()> {
        let row = ActiveModel {
            key: Set(job.key),
            run_at: Set(job.run_at.into()),
            attempt: Set(0),
            lease_until: Set(None),
            dead: Set(false),
            task: Set(serde_json::to_string(&job.task).map_err(Error::internal)?),
            ..ActiveModel::default()
        };
        Entity::insert(row)
            .on_conflict_do_nothing_on([Column::Key])
            .exec_without_returning(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn claim(&mut self, now: Timestamp, lease: Duration, max: u64) -> Result<Vec<Job>> {
        let until = TimeDelta::from_std(lease)
            .ok()
            .and_then(|lease| now.checked_add_signed(lease))
            .ok_or_else(|| Error::internal("a lease has no end"))?;
        let tx = self.write(Table::Uncached);
        loop {
            let rows = lease_due(tx, now.into(), until.into(), max).await?;
            let jobs: Vec<Job> = rows.iter().filter_map(job).collect();
            // Again only after a whole batch of unreadable ones, all of which are leased by now.
            if rows.is_empty() || !jobs.is_empty() {
                return Ok(jobs);
            }
        }
    }

    async fn renew(&mut self, job: &Job, until: Timestamp) -> Result<bool> {
        let renewed = Entity::update_many()
            .col_expr(Column::LeaseUntil, Expr::value(Micros::from(until)))
            .filter(held(job))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(renewed.rows_affected > 0)
    }

    async fn settle(&mut self, job: &Job, outcome: Outcome) -> Result<bool> {
        let tx = self.write(Table::Uncached);
        let free = Entity::update_many()
            .col_expr(Column::LeaseUntil, Expr::value(None::<i64>))
            .filter(held(job));
        let rows = match outcome {
            Outcome::Done => {
                let done = Entity::delete_many().filter(held(job)).exec(tx).await;
                done.map_err(failed)?.rows_affected
            }
            Outcome::Again(at) => {
                let again = free.col_expr(Column::RunAt, Expr::value(Micros::from(at)));
                again.exec(tx).await.map_err(failed)?.rows_affected
            }
            Outcome::Dead => {
                let dead = free
                    .col_expr(Column::Dead, Expr::value(true))
                    // So that the same work may be queued anew.
                    .col_expr(Column::Key, Expr::value(None::<String>));
                dead.exec(tx).await.map_err(failed)?.rows_affected
            }
        };
        Ok(rows > 0)
    }

    async fn due(&mut self, now: Timestamp) -> Result<u64> {
        Entity::find()
            .filter(Column::Dead.eq(false))
            .filter(Column::RunAt.lte(Micros::from(now)))
            .count(self.write(Table::Uncached))
            .await
            .map_err(failed)
    }
}

/// Leases what is due, the longest due first. Rows that another transaction is leasing are passed over.
async fn lease_due(
    tx: &DatabaseTransaction,
    now: Micros,
    until: Micros,
    max: u64,
) -> Result<Vec<Model>> {
    let mut rows = Entity::find()
        .filter(Column::Dead.eq(false))
        .filter(Column::RunAt.lte(now))
        .filter(
            Condition::any()
                .add(Column::LeaseUntil.is_null())
                .add(Column::LeaseUntil.lte(now)),
        )
        .order_by_asc(Column::RunAt)
        .order_by_asc(Column::Id)
        .limit(Ord::min(max, i64::MAX as u64))
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(tx)
        .await
        .map_err(failed)?;
    if rows.is_empty() {
        return Ok(rows);
    }
    Entity::update_many()
        .col_expr(Column::Attempt, Expr::col(Column::Attempt).add(1))
        .col_expr(Column::LeaseUntil, Expr::value(until))
        .filter(Column::Id.is_in(rows.iter().map(|row| row.id)))
        .exec(tx)
        .await
        .map_err(failed)?;
    for row in &mut rows {
        row.attempt += 1;
    }
    Ok(rows)
}

/// The row of a job, if the lease is still that one.
fn held(job: &Job) -> Condition {
    Condition::all()
        .add(Column::Id.eq(job.id.0))
        .add(Column::Attempt.eq(i64::from(job.attempt)))
        .add(Column::LeaseUntil.is_not_null())
}

fn job(row: &Model) -> Option<Job> {
    match serde_json::from_str(&row.task) {
        Ok(task) => Some(Job {
            id: JobId(row.id),
            attempt: u32::try_from(row.attempt).unwrap_or(u32::MAX),
            task,
        }),
        Err(error) => {
            tracing::error!(
                job.id = row.id,
                error = &error as &dyn std::error::Error,
                "a job cannot be read; it stays queued"
            );
            None
        }
    }
}
