//! The storage contract of imports.

use async_trait::async_trait;

use super::{Import, NewImport};
use crate::Result;
use crate::clock::Timestamp;
use crate::ids::{RepoId, UserId};

/// Reading imports.
#[async_trait]
pub trait ImportReads: Send + Sync {
    /// The import of a repository; `None` if it was made otherwise.
    async fn import(&self, repo: RepoId) -> Result<Option<Import>>;
    /// How many imports into an owner's repositories are running.
    async fn running_imports(&self, owner: UserId) -> Result<u64>;
}

/// Writing imports. An import that has ended, or went with its repository, is never changed again.
#[async_trait]
pub trait ImportWrites: Send {
    /// Adds an import that is running from `now` on. [`crate::Error::NotFound`] if its repository is gone.
    async fn insert_import(&mut self, repo: RepoId, new: &NewImport, now: Timestamp) -> Result<()>;
    /// Notes that somebody begins to fetch: the how manieth time that is, counted from 1. `None` if it is not running.
    async fn begin_import(&mut self, repo: RepoId) -> Result<Option<u32>>;
    /// Notes how it is getting on. `false` if it is not running.
    async fn note_import(&mut self, repo: RepoId, progress: &str, now: Timestamp) -> Result<bool>;
    /// Ends it: for a reason if it has failed, without one if it is done. `false` if it is not running.
    async fn settle_import(
        &mut self,
        repo: RepoId,
        failure: Option<&str>,
        now: Timestamp,
    ) -> Result<bool>;
}
