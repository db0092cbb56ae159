//! What is done with the account's log.

use chrono::TimeDelta;

use super::Entry;
use crate::access::{Account, Mode, Scope};
use crate::{Forge, Page, Paged, Result};

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
    /// Removes what is kept for a while only: lines of the log, and what has ended of sessions and tokens.
    pub(crate) async fn purge(&self) -> Result<()> {
        let now = self.now();
        let mut tx = self.store().begin().await?;
        tx.purge_audit(now - self.limits().audit_kept()).await?;
        tx.purge_sessions(now - GRACE).await?;
        tx.purge_oauth(now - GRACE).await?;
        tx.commit().await
    }
}
