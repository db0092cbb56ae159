//! Signing in with a password: what an application without users of its own uses.
//!
//! Invariant: neither a password nor the text of a session's cookie is stored, only their hashes. It is one
//! [`crate::identity::IdentityProvider`] among others: where the host has users, nothing here is in use.

mod attempts;
mod guesses;
mod ops;
mod password;
mod store;

use crate::clock::Timestamp;
use crate::ids::UserId;

pub(crate) use attempts::{Attempts, neighbourhood};
pub use ops::{COOKIE_NAME, ShownAgain, SignIn};
pub(crate) use password::at_once as hashes_at_once;
pub use store::{SessionReads, SessionWrites};

/// A browser that is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Who signed in.
    pub user: UserId,
    /// When.
    pub created: Timestamp,
    /// From when on it means nobody.
    pub expires: Timestamp,
}
