//! The storage contract of PGP keys.

use async_trait::async_trait;

use super::{PgpFingerprint, PgpKey, PublicPgpKey};
use crate::clock::Timestamp;
use crate::ids::{PgpKeyId, UserId};
use crate::{Page, Paged, Result};

/// Reading PGP keys.
#[async_trait]
pub trait PgpKeyReads: Send + Sync {
    /// The key of that fingerprint, whosever it is.
    async fn pgp_key_by_fingerprint(&self, fingerprint: &PgpFingerprint) -> Result<Option<PgpKey>>;
    /// One of a user's keys.
    async fn pgp_key(&self, user: UserId, id: PgpKeyId) -> Result<Option<PgpKey>>;
    /// A user's keys, newest first.
    async fn pgp_keys(&self, user: UserId, page: Page) -> Result<Paged<PgpKey>>;
}

/// Writing PGP keys.
#[async_trait]
pub trait PgpKeyWrites: Send {
    /// Adds a key. [`crate::Error::Conflict`] on field `pgp-key` if some user has it;
    /// [`crate::Error::NotFound`] if there is no such user.
    async fn insert_pgp_key(
        &mut self,
        user: UserId,
        key: &PublicPgpKey,
        now: Timestamp,
    ) -> Result<PgpKey>;
    /// Removes a user's key. `false` if the user has no such key.
    async fn delete_pgp_key(&mut self, user: UserId, id: PgpKeyId) -> Result<bool>;
}
