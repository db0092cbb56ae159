//! The storage contract of SSH keys.

use async_trait::async_trait;

use super::{DeployKey, Fingerprint, PublicKey, SshKey};
use crate::access::Mode;
use crate::clock::Timestamp;
use crate::ids::{DeployKeyId, KeyId, RepoId, UserId};
use crate::users::User;
use crate::{Page, Paged, Result};

/// Reading SSH keys.
#[async_trait]
pub trait KeyReads: Send + Sync {
    /// The user's key of that fingerprint, with its user, in good standing or not.
    async fn ssh_key_by_fingerprint(
        &self,
        fingerprint: &Fingerprint,
    ) -> Result<Option<(SshKey, User)>>;
    /// One of a user's keys.
    async fn ssh_key(&self, user: UserId, id: KeyId) -> Result<Option<SshKey>>;
    /// A user's keys, newest first.
    async fn ssh_keys(&self, user: UserId, page: Page) -> Result<Paged<SshKey>>;
    /// Whether any repository has this deploy key.
    async fn is_deploy_key(&self, fingerprint: &Fingerprint) -> Result<bool>;
    /// A repository's deploy key of that fingerprint.
    async fn deploy_key(
        &self,
        repo: RepoId,
        fingerprint: &Fingerprint,
    ) -> Result<Option<DeployKey>>;
    /// A repository's deploy keys, newest first.
    async fn deploy_keys(&self, repo: RepoId, page: Page) -> Result<Paged<DeployKey>>;
}

/// Writing SSH keys.
#[async_trait]
pub trait KeyWrites: Send {
    /// Adds a user's key. [`crate::Error::Conflict`] on field `ssh-key` if some user has it.
    async fn insert_ssh_key(
        &mut self,
        user: UserId,
        key: &PublicKey,
        now: Timestamp,
    ) -> Result<SshKey>;
    /// Sets when a user's key was last used. `false` if the user has no such key.
    async fn touch_ssh_key(&mut self, user: UserId, id: KeyId, now: Timestamp) -> Result<bool>;
    /// Removes a user's key. `false` if the user has no such key.
    async fn delete_ssh_key(&mut self, user: UserId, id: KeyId) -> Result<bool>;
    /// Adds a deploy key. [`crate::Error::Conflict`] on field `key` if the repository has it.
    async fn insert_deploy_key(
        &mut self,
        repo: RepoId,
        key: &PublicKey,
        mode: Mode,
        now: Timestamp,
    ) -> Result<DeployKey>;
    /// Sets when a deploy key was last used. `false` if the repository has no such key.
    async fn touch_deploy_key(
        &mut self,
        repo: RepoId,
        id: DeployKeyId,
        now: Timestamp,
    ) -> Result<bool>;
    /// Removes a deploy key. `false` if the repository has no such key.
    async fn delete_deploy_key(&mut self, repo: RepoId, id: DeployKeyId) -> Result<bool>;
}
