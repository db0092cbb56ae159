//! Users: who owns repositories and acts on them.
//!
//! Invariant: a user's name never changes and is unique. Passwords, keys and sessions are not here.

mod deletion;
mod ops;
mod profile;
mod store;

use serde::{Deserialize, Serialize};

pub use profile::ProfileEdit;
pub use store::{UserReads, UserWrites};

use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::names::UserName;
use crate::pgp_keys::PgpFingerprint;

/// A user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Row number.
    pub id: UserId,
    /// When the account was made.
    pub created: Timestamp,
    /// When the profile last changed.
    pub updated: Timestamp,
    /// The name, without tilde.
    pub name: UserName,
    /// E-mail address; for the user's own eyes.
    pub email: Option<String>,
    /// Home page.
    pub url: Option<String>,
    /// Where they say they are.
    pub location: Option<String>,
    /// What they say about themselves, in Markdown.
    pub bio: Option<String>,
    /// The PGP key that mail to them is to be encrypted to.
    pub pgp_key: Option<PgpFingerprint>,
    /// The notice shown to a suspended user; `None` for a user in good standing.
    pub suspended: Option<String>,
}

impl std::fmt::Debug for User {
    /// Name and number: the rest is personal, and logs are no place for it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A change of a profile: what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileChange {
    /// Home page; `Some(None)` clears it.
    pub url: Option<Option<String>>,
    /// Where they say they are.
    pub location: Option<Option<String>>,
    /// What they say about themselves.
    pub bio: Option<Option<String>>,
    /// The PGP key that mail is encrypted to.
    pub pgp_key: Option<Option<PgpFingerprint>>,
}

/// A user to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// The name, without tilde.
    pub name: UserName,
    /// E-mail address, if known.
    pub email: Option<String>,
}
