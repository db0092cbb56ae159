//! The storage contract of access lists.

use async_trait::async_trait;

use super::Acl;
use crate::access::Mode;
use crate::clock::Timestamp;
use crate::ids::{RepoId, UserId};
use crate::{Page, Paged, Result};

/// Reading access lists.
#[async_trait]
pub trait AclReads: Send + Sync {
    /// What the list grants one user.
    async fn acl_mode(&self, repo: RepoId, user: UserId) -> Result<Option<Mode>>;
    /// A repository's list, newest first.
    async fn acls(&self, repo: RepoId, page: Page) -> Result<Paged<Acl>>;
}

/// Writing access lists.
#[async_trait]
pub trait AclWrites: Send {
    /// Adds an entry, or changes the mode of the one that exists.
    async fn put_acl(
        &mut self,
        repo: RepoId,
        user: UserId,
        mode: Mode,
        now: Timestamp,
    ) -> Result<Acl>;
    /// Removes an entry. `false` if there was none.
    async fn delete_acl(&mut self, repo: RepoId, user: UserId) -> Result<bool>;
}
