//! SSH keys: those of users, and those that open one repository alone.
//!
//! Invariant: a key belongs to one user, or to repositories, never to both: whoever shows it is one or the other. What
//! a key permits is decided in [`crate::access`]; the signature it made is verified by the transport.

mod ops;
mod public;
mod store;

use serde::{Deserialize, Serialize};

pub use public::{Fingerprint, PublicKey};
pub use store::{KeyReads, KeyWrites};

use crate::access::Mode;
use crate::clock::Timestamp;
use crate::ids::{DeployKeyId, KeyId, RepoId};
use crate::repos::Owner;

/// A user's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKey {
    /// Row number.
    pub id: KeyId,
    /// Whose it is.
    pub user: Owner,
    /// When it was added.
    pub authorized: Timestamp,
    /// When it last opened something; told to the minute.
    pub last_used: Option<Timestamp>,
    /// The key itself.
    pub key: PublicKey,
}

/// A key that opens one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployKey {
    /// Row number.
    pub id: DeployKeyId,
    /// What it opens.
    pub repo: RepoId,
    /// Fetching, or fetching and pushing.
    pub mode: Mode,
    /// When it was added.
    pub created: Timestamp,
    /// When it last opened the repository; told to the minute.
    pub last_used: Option<Timestamp>,
    /// The key itself.
    pub key: PublicKey,
}
