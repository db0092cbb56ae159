//! The storage contract of users.

use async_trait::async_trait;

use super::{NewUser, ProfileChange, User};
use crate::Result;
use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::names::UserName;
use crate::oauth::SecretHash;

/// Reading users. A user who was deleted is not found.
#[async_trait]
pub trait UserReads: Send + Sync {
    /// The user of that exact name.
    async fn user_by_name(&self, name: &UserName) -> Result<Option<User>>;
    /// The user of that row number.
    async fn user(&self, id: UserId) -> Result<Option<User>>;
    /// The user of that exact e-mail address.
    async fn user_by_email(&self, email: &str) -> Result<Option<User>>;
}

/// Writing users.
#[async_trait]
pub trait UserWrites: Send {
    /// Adds a user. [`crate::Error::Conflict`] on field `username` if the name is taken, be it by a deleted user, on field
    /// `email` if the address is.
    async fn insert_user(&mut self, new: &NewUser, now: Timestamp) -> Result<User>;
    /// Suspends a user with a notice, or with `None` lifts the suspension. No such user, or a deleted one: no change.
    async fn set_suspension(
        &mut self,
        id: UserId,
        notice: Option<&str>,
        now: Timestamp,
    ) -> Result<()>;
    /// Changes a profile; `None` if there is no such user.
    async fn update_profile(
        &mut self,
        id: UserId,
        change: &ProfileChange,
        now: Timestamp,
    ) -> Result<Option<User>>;
    /// Parks an address that is not confirmed yet, in place of any parked before. No such user: no change.
    async fn park_email(
        &mut self,
        id: UserId,
        email: &str,
        code: &SecretHash,
        now: Timestamp,
    ) -> Result<()>;
    /// Makes the address that was parked under that code, not before `since`, the user's; the user as before and the new
    /// address. `None` if there is none, or the address was taken meanwhile. The code is spent in either case.
    /// [`crate::Error::Conflict`] on field `email` if it is being taken right now; then nothing is changed.
    async fn confirm_email(
        &mut self,
        code: &SecretHash,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<(User, String)>>;
    /// Leaves of a user the name alone, so that nobody else gets it. Keys, tokens, clients with what others let them do,
    /// sessions, the log and entries in access lists go; redirects stay. [`crate::Error::Conflict`] on field `user` while there
    /// are repositories. No such user, or a deleted one: no change.
    async fn delete_user(&mut self, id: UserId, now: Timestamp) -> Result<()>;
}
