//! PGP keys: what a user signs and is written to with.
//!
//! Invariant: a key is public, belongs to one user, and was whole, in force and able to be encrypted to when it was
//! added. Nothing here signs, verifies or encrypts.

#[cfg(feature = "pgp")]
mod certificate;
mod ops;
mod public;
mod store;

use serde::{Deserialize, Serialize};

pub use public::{PgpFingerprint, PublicPgpKey};
pub use store::{PgpKeyReads, PgpKeyWrites};

use crate::clock::Timestamp;
use crate::ids::PgpKeyId;
use crate::repos::Owner;

/// A user's PGP key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgpKey {
    /// Row number.
    pub id: PgpKeyId,
    /// Whose it is.
    pub user: Owner,
    /// When it was added.
    pub authorized: Timestamp,
    /// The key itself.
    pub key: PublicPgpKey,
}
