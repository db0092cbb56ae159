//! The storage port: reads go through [`Store`], writes exist only on [`Tx`].
//!
//! It is the sum of the nouns' contracts (`users/store.rs`, `repos/store.rs`, …); the conformance suite in
//! [`crate::testing`] holds them all.

use async_trait::async_trait;

use crate::Result;
use crate::acls::{AclReads, AclWrites};
use crate::artifacts::{ArtifactReads, ArtifactWrites};
use crate::audit::{AuditReads, AuditWrites};
use crate::delegation::{DelegationReads, DelegationWrites};
use crate::events::EventWrites;
use crate::imports::{ImportReads, ImportWrites};
use crate::keys::{KeyReads, KeyWrites};
use crate::oauth::{OauthReads, OauthWrites};
use crate::pgp_keys::{PgpKeyReads, PgpKeyWrites};
use crate::plugin::Migration;
use crate::push::{PushReads, PushWrites};
use crate::repos::{RepoReads, RepoWrites};
use crate::sessions::{SessionReads, SessionWrites};
use crate::users::{UserReads, UserWrites};

/// Everything that can be read.
pub trait Reads:
    AclReads
    + ArtifactReads
    + AuditReads
    + DelegationReads
    + ImportReads
    + KeyReads
    + OauthReads
    + PgpKeyReads
    + PushReads
    + RepoReads
    + SessionReads
    + UserReads
{
}
impl<T> Reads for T where
    T: AclReads
        + ArtifactReads
        + AuditReads
        + DelegationReads
        + ImportReads
        + KeyReads
        + OauthReads
        + PgpKeyReads
        + PushReads
        + RepoReads
        + SessionReads
        + UserReads
{
}

/// Everything that can be written.
pub trait Writes:
    AclWrites
    + ArtifactWrites
    + AuditWrites
    + DelegationWrites
    + EventWrites
    + ImportWrites
    + KeyWrites
    + OauthWrites
    + PgpKeyWrites
    + PushWrites
    + RepoWrites
    + SessionWrites
    + UserWrites
{
}
impl<T> Writes for T where
    T: AclWrites
        + ArtifactWrites
        + AuditWrites
        + DelegationWrites
        + EventWrites
        + ImportWrites
        + KeyWrites
        + OauthWrites
        + PgpKeyWrites
        + PushWrites
        + RepoWrites
        + SessionWrites
        + UserWrites
{
}

/// The rows.
///
/// Guarantees an implementation gives:
/// 1. A committed transaction survives the process being killed.
/// 2. A read sees every transaction that was committed before it began, by whichever process.
/// 3. Timestamps come back as they were given: whole microseconds, UTC.
/// 4. Row numbers are never used again for a row that was committed once.
/// 5. Names and keys that must be unique are so by constraint, not by looking first.
#[async_trait]
pub trait Store: Reads + 'static {
    /// Starts a transaction. A SQLite store has one at a time; others wait.
    async fn begin(&self) -> Result<Box<dyn Tx>>;
    /// Brings the schema up to date: the forge's own tables, then each plugin's.
    async fn migrate(&self, plugins: &[(&'static str, &[Migration])]) -> Result<()>;
}

/// A transaction. Dropped without `commit`, it changes nothing.
#[async_trait]
pub trait Tx: Reads + Writes {
    /// Makes the changes durable and visible.
    async fn commit(self: Box<Self>) -> Result<()>;
}
