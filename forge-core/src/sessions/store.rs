//! The storage contract of sessions and passwords.

use async_trait::async_trait;

use super::Session;
use crate::Result;
use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::oauth::SecretHash;
use crate::users::User;

/// Reading sessions and passwords.
#[async_trait]
pub trait SessionReads: Send + Sync {
    /// The session of that cookie with its user, expired or not, in good standing or not.
    async fn session(&self, cookie: &SecretHash) -> Result<Option<(Session, User)>>;
    /// The hash of a user's password, as a PHC string.
    async fn password(&self, user: UserId) -> Result<Option<String>>;
}

/// Writing sessions and passwords.
#[async_trait]
pub trait SessionWrites: Send {
    /// Adds a session. [`crate::Error::NotFound`] if there is no such user. From then on until this transaction ends, the user
    /// is not suspended, and nobody ends the user's sessions.
    async fn insert_session(&mut self, cookie: &SecretHash, session: &Session) -> Result<()>;
    /// Ends a session. `false` if there is none.
    async fn delete_session(&mut self, cookie: &SecretHash) -> Result<bool>;
    /// Ends all sessions of a user.
    async fn delete_sessions(&mut self, user: UserId) -> Result<()>;
    /// Sets the hash of a user's password. [`crate::Error::NotFound`] if there is no such user.
    async fn set_password(&mut self, user: UserId, phc: &str) -> Result<()>;
    /// Removes the sessions that have expired before that moment.
    async fn purge_sessions(&mut self, before: Timestamp) -> Result<()>;
}
