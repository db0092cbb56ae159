//! The storage contract of users.

use async_trait::async_trait;

use super::{NewUser, User};
use crate::Result;
use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::names::UserName;

/// Reading users.
#[async_trait]
pub trait UserReads: Send + Sync {
    /// The user of that exact name.
    async fn user_by_name(&self, name: &UserName) -> Result<Option<User>>;
}

/// Writing users.
#[async_trait]
pub trait UserWrites: Send {
    /// Adds a user. [`crate::Error::Conflict`] on field `username` if the name is taken.
    async fn insert_user(&mut self, new: &NewUser, now: Timestamp) -> Result<User>;
    /// Suspends a user with a notice, or with `None` lifts the suspension. No user of that id: no change.
    async fn set_suspension(
        &mut self,
        id: UserId,
        notice: Option<&str>,
        now: Timestamp,
    ) -> Result<()>;
}
