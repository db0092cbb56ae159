//! The caller's own account.
//!
//! Invariant: an [`Account`] is the caller's own, never somebody else's. It does not imply a scope: each operation on it
//! asks for its own.

use std::sync::Arc;

use super::{Caller, ManageRepo, Mode, ReadRepo, Scope};
use crate::repos::Repository;
use crate::store::Tx;
use crate::users::User;
use crate::{Forge, Result};

/// The caller's own account.
#[derive(Debug, Clone)]
#[must_use]
pub struct Account {
    caller: Caller,
    user: Arc<User>,
}

impl Account {
    pub(super) fn of(caller: Caller, user: Arc<User>) -> Self {
        Self { caller, user }
    }

    /// The user it belongs to.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The caller whose it is, for what else the same credentials open.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(crate) fn forge(&self) -> &Forge {
        &self.caller.forge
    }

    /// Writes a line into the account's log, in the transaction of what it tells of.
    pub(crate) async fn note(
        &self,
        tx: &mut dyn Tx,
        action: &'static str,
        details: impl Into<Option<String>>,
    ) -> Result<()> {
        let from = self.caller.address();
        self.forge()
            .note(tx, self.user.id, from, action, details)
            .await
    }

    /// Refuses whoever is not signed in with a browser.
    pub(crate) fn require_session(&self) -> Result<()> {
        self.caller.require_session()
    }

    pub(crate) fn require(&self, scope: Scope, mode: Mode) -> Result<()> {
        self.caller.require(scope, mode)
    }

    /// The owner's capability on a repository that this account has just made.
    pub(crate) fn owns(&self, repo: Repository) -> ManageRepo {
        ReadRepo::made(&self.caller, repo)
    }
}
