//! The account's log.
//!
//! Invariant: a line is written once and removed by age, or with its account. How long its details may be is looked after
//! elsewhere.

use async_trait::async_trait;
use forge_core::audit::{AuditReads, AuditWrites, Entry, NewEntry};
use forge_core::{AuditId, Error, Page, Paged, Result, Timestamp, UserId};
use sea_orm::{ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use super::{page, paged};
use crate::entity::Micros;
use crate::entity::audit::{ActiveModel, Column, Entity, Model};
use crate::error::{failed, refused, unreadable};
use crate::store::{Source, Sql, Table, Transaction};

#[async_trait]
impl<S: Source> AuditReads for Sql<S> {
    async fn audit_log(&self, user: UserId, of: Page) -> Result<Paged<Entry>> {
        let rows = Entity::find().filter(Column::UserId.eq(user.0));
        let found = page(self.conn(), rows, Column::Id, of).await?;
        paged(found, of, entry, |entry| entry.id.0)
    }
}

#[async_trait]
impl AuditWrites for Sql<Transaction> {
    async fn insert_audit(
        &mut self,
        users: &[UserId],
        new: &NewEntry,
        now: Timestamp,
    ) -> Result<()> {
        let rows = users.iter().map(|user| ActiveModel {
            user_id: Set(user.0),
            created: Set(now.into()),
            ip: Set(new.ip.map(|ip| ip.to_string())),
            action: Set(new.action.to_owned()),
            details: Set(new.details.clone()),
            ..ActiveModel::default()
        });
        if users.is_empty() {
            return Ok(());
        }
        Entity::insert_many(rows)
            .exec_without_returning(self.write(Table::Uncached))
            .await
            .map_err(|error| refused(error, || Error::internal("two lines have one number")))?;
        Ok(())
    }

    async fn purge_audit(&mut self, before: Timestamp) -> Result<()> {
        Entity::delete_many()
            .filter(Column::Created.lt(Micros::from(before)))
            .exec(self.write(Table::Uncached))
            .await
            .map_err(failed)?;
        Ok(())
    }
}

fn entry(row: Model) -> Result<Entry> {
    let ip = row.ip.map(|ip| ip.parse());
    Ok(Entry {
        id: AuditId(row.id),
        created: row.created.time()?,
        ip: ip.transpose().map_err(|_| unreadable("address"))?,
        action: row.action,
        details: row.details,
    })
}
