//! What is done with the account's log.

use std::net::IpAddr;

use chrono::TimeDelta;

use super::{Entry, MAX_DETAILS, NewEntry};
use crate::access::{Account, Mode, NONCES_KEPT, Scope};
use crate::store::Tx;
use crate::{Forge, Page, Paged, Result, UserId};

/// How long after its end a session, a token or a code is still told from one that never was.
const GRACE: TimeDelta = TimeDelta::days(1);

impl Account {
    /// What happened to the account, newest first. Needs `AUDIT_LOG:RO`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn audit_log(&self, page: Page) -> Result<Paged<Entry>> {
        self.require(Scope::AuditLog, Mode::Read)?;
        self.forge().store().audit_log(self.user().id, page).await
    }
}

impl Forge {
    /// Writes a line into an account's log, in the transaction of what it tells of. `from` is the address of whoever did
    /// it; what is done here by an operator has none.
    pub(crate) async fn note(
        &self,
        tx: &mut dyn Tx,
        user: UserId,
        from: Option<IpAddr>,
        action: &'static str,
        details: impl Into<Option<String>>,
    ) -> Result<()> {
        self.note_all(tx, &[user], from, action, details).await
    }

    /// Writes the same line into several accounts' logs.
    pub(crate) async fn note_all(
        &self,
        tx: &mut dyn Tx,
        users: &[UserId],
        from: Option<IpAddr>,
        action: &'static str,
        details: impl Into<Option<String>>,
    ) -> Result<()> {
        let mut details: Option<String> = details.into();
        if let Some(details) = &mut details {
            details.truncate(details.floor_char_boundary(MAX_DETAILS));
        }
        let new = NewEntry {
            ip: from,
            action,
            details,
        };
        tx.insert_audit(users, &new, self.now()).await
    }

    /// Removes what is kept for a while only: lines of the log, and what has ended of sessions and tokens.
    pub(crate) async fn purge(&self) -> Result<()> {
        let now = self.now();
        let mut tx = self.store().begin().await?;
        tx.purge_audit(now - self.limits().audit_kept()).await?;
        tx.purge_sessions(now - GRACE).await?;
        tx.purge_oauth(now - GRACE).await?;
        tx.purge_nonces(now - NONCES_KEPT).await?;
        tx.commit().await
    }
}
