//! The storage contract of pushes.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Push, PushState};
use crate::Result;
use crate::clock::Timestamp;
use crate::ids::RepoId;

/// Reading pushes.
#[async_trait]
pub trait PushReads: Send + Sync {
    /// A push and how far it has come.
    async fn push(&self, id: Uuid) -> Result<Option<(Push, PushState)>>;
    /// Up to `max` pushes that were recorded or renewed before a moment, and are committing; oldest first.
    async fn unsettled_pushes(&self, before: Timestamp, max: u64) -> Result<Vec<Push>>;
    /// The pushes to a repository that were recorded after another one and not dropped, oldest first.
    async fn pushes_after(&self, repo: RepoId, id: Uuid) -> Result<Vec<Push>>;
    /// Whether a push to a repository was recorded and not dropped.
    async fn was_pushed_to(&self, repo: RepoId) -> Result<bool>;
}

/// Writing pushes.
#[async_trait]
pub trait PushWrites: Send {
    /// Adds a push that is committing from `now` on. [`crate::Error::NotFound`] if its repository is gone.
    async fn insert_push(&mut self, push: &Push, now: Timestamp) -> Result<()>;
    /// Says that a push is still committing at `now`. `false`, and no change, if it is not.
    async fn renew_push(&mut self, id: Uuid, now: Timestamp) -> Result<bool>;
    /// Ends a push. `false`, and no change, if it is done already, or gone with its repository.
    async fn settle_push(&mut self, id: Uuid, state: PushState) -> Result<bool>;
}
