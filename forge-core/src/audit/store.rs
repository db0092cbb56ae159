//! The storage contract of the account's log.

use async_trait::async_trait;

use super::{Entry, NewEntry};
use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::{Page, Paged, Result};

/// Reading the log.
#[async_trait]
pub trait AuditReads: Send + Sync {
    /// A user's log, newest first.
    async fn audit_log(&self, user: UserId, page: Page) -> Result<Paged<Entry>>;
}

/// Writing the log.
#[async_trait]
pub trait AuditWrites: Send {
    /// Adds a line, as it is, for each of these users. [`crate::Error::NotFound`] if one of them is not there.
    async fn insert_audit(
        &mut self,
        users: &[UserId],
        new: &NewEntry,
        now: Timestamp,
    ) -> Result<()>;
    /// Removes every line written before that moment.
    async fn purge_audit(&mut self, before: Timestamp) -> Result<()>;
}
