//! What is done with SSH keys.

use std::net::IpAddr;

use super::{DeployKey, Fingerprint, PublicKey, SshKey};
use crate::access::{Account, Caller, ManageRepo, Mode, Network, Scope, System};
use crate::events::EventKind;
use crate::ids::{DeployKeyId, KeyId, UserId};
use crate::names::UserName;
use crate::repos::Owner;
use crate::store::Tx;
use crate::{Error, Forge, Page, Paged, Result};

/// How many SSH keys a user may add, so that the list of them stays one that can be sent.
const MAX_KEYS: u64 = 256;

impl Account {
    /// The account's SSH keys, newest first. Needs `SSH_KEYS:RO`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn ssh_keys(&self, page: Page) -> Result<Paged<SshKey>> {
        self.require(Scope::SshKeys, Mode::Read)?;
        self.forge().store().ssh_keys(self.user().id, page).await
    }

    /// One of the account's SSH keys. Needs `SSH_KEYS:RO`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has no such key.
    pub async fn ssh_key(&self, id: KeyId) -> Result<SshKey> {
        self.require(Scope::SshKeys, Mode::Read)?;
        let key = self.forge().store().ssh_key(self.user().id, id).await?;
        key.ok_or(Error::NotFound)
    }

    /// Adds an SSH key. Needs `SSH_KEYS:RW`.
    ///
    /// # Errors
    /// On field `ssh-key`: [`Error::Conflict`] if the key is known already, to whomever; [`Error::Invalid`] if the account
    /// has 256 keys.
    pub async fn add_ssh_key(&self, key: &PublicKey) -> Result<SshKey> {
        self.require(Scope::SshKeys, Mode::Write)?;
        let keys = self
            .forge()
            .store()
            .ssh_keys(self.user().id, Page::COUNT)
            .await?;
        if keys.total >= MAX_KEYS {
            let reason = "an account may have at most 256 SSH keys";
            return Err(Error::invalid("ssh-key", reason));
        }
        let address = self.caller().address();
        let tx = self.begin().await?;
        let added = add(self.forge(), tx, self.user().id, key, address).await?;
        let what = format!(
            "The SSH key {} was added to your account: whoever has it can act for you.",
            key.md5()
        );
        let subject = "An SSH key was added to your account";
        self.forge().notify(self.user(), subject, &what).await;
        Ok(added)
    }

    /// Notes that an SSH key was used now. Needs `SSH_KEYS:RO`, as seed 003 says.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has no such key.
    pub async fn touch_ssh_key(&self, id: KeyId) -> Result<SshKey> {
        self.require(Scope::SshKeys, Mode::Read)?;
        let user = self.user().id;
        let mut tx = self.forge().store().begin().await?;
        if !tx.touch_ssh_key(user, id, self.forge().now()).await? {
            return Err(Error::NotFound);
        }
        let key = tx.ssh_key(user, id).await?.ok_or(Error::NotFound)?;
        tx.commit().await?;
        Ok(key)
    }

    /// Removes an SSH key; it opens nothing from the next connection on. Needs `SSH_KEYS:RW`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has no such key.
    pub async fn remove_ssh_key(&self, id: KeyId) -> Result<()> {
        self.require(Scope::SshKeys, Mode::Write)?;
        let (forge, user) = (self.forge(), self.user());
        let mut tx = forge.store().begin().await?;
        let key = tx.ssh_key(user.id, id).await?.ok_or(Error::NotFound)?;
        if !tx.delete_ssh_key(user.id, id).await? {
            return Err(Error::NotFound);
        }
        let fingerprint = key.key.md5();
        let details = format!("SSH key {fingerprint} removed");
        self.note(&mut *tx, "SSH key removed", details).await?;
        let user = Owner {
            id: user.id,
            name: user.name.clone(),
        };
        tx.emit(forge.event(EventKind::SshKeyRemoved { user, id })?)
            .await?;
        tx.commit().await?;
        forge.wake();
        let what = format!("The SSH key {fingerprint} was removed from your account.");
        let subject = "An SSH key was removed from your account";
        forge.notify(self.user(), subject, &what).await;
        Ok(())
    }
}

impl Caller {
    /// Whose key that is: public, as on meta.sr.ht, so that other services can tell who signed.
    ///
    /// # Errors
    /// [`Error::NotFound`] if no user has it.
    pub async fn find_ssh_key(&self, fingerprint: &Fingerprint) -> Result<SshKey> {
        let store = self.forge().store();
        let found = store.ssh_key_by_fingerprint(fingerprint).await?;
        Ok(found.ok_or(Error::NotFound)?.0)
    }

    /// All SSH keys of a user, newest first: public, as on meta.sr.ht, so that others can let the user in.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such user.
    pub async fn ssh_keys_of(&self, user: &UserName) -> Result<Vec<SshKey>> {
        let store = self.forge().store();
        let user = store.user_by_name(user).await?.ok_or(Error::NotFound)?;
        let all = Page {
            start: None,
            size: u64::MAX,
        };
        Ok(store.ssh_keys(user.id, all).await?.results)
    }
}

impl Network {
    /// Notes that an SSH key was used now: another server of the network has let its user in by it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if no user has it.
    pub async fn touch_ssh_key(&self, fingerprint: &Fingerprint) -> Result<SshKey> {
        let mut tx = self.forge().store().begin().await?;
        let found = tx.ssh_key_by_fingerprint(fingerprint).await?;
        let (key, user) = found.ok_or(Error::NotFound)?;
        let now = self.forge().now();
        if !tx.touch_ssh_key(user.id, key.id, now).await? {
            return Err(Error::NotFound);
        }
        tx.commit().await?;
        Ok(SshKey {
            last_used: Some(now),
            ..key
        })
    }
}

impl ManageRepo {
    /// The repository's deploy keys, newest first. Needs `ACLS:RO`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn deploy_keys(&self, page: Page) -> Result<Paged<DeployKey>> {
        self.require(Scope::Acls, Mode::Read)?;
        self.forge().store().deploy_keys(self.id(), page).await
    }

    /// Adds a key that opens this repository and no other. Needs `ACLS:RW`.
    ///
    /// # Errors
    /// [`Error::Conflict`] on field `key` if the repository has it, or a user.
    pub async fn add_deploy_key(&self, key: &PublicKey, mode: Mode) -> Result<DeployKey> {
        self.require(Scope::Acls, Mode::Write)?;
        let forge = self.forge();
        let mut tx = forge.store().begin().await?;
        let found = tx.ssh_key_by_fingerprint(&key.fingerprint()).await?;
        if found.is_some() {
            return Err(Error::conflict("key", "this key is a user's"));
        }
        let added = tx
            .insert_deploy_key(self.id(), key, mode, forge.now())
            .await?;
        tx.commit().await?;
        Ok(added)
    }

    /// Removes a deploy key. Needs `ACLS:RW`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository has no such key.
    pub async fn remove_deploy_key(&self, id: DeployKeyId) -> Result<()> {
        self.require(Scope::Acls, Mode::Write)?;
        let mut tx = self.forge().store().begin().await?;
        if !tx.delete_deploy_key(self.id(), id).await? {
            return Err(Error::NotFound);
        }
        tx.commit().await
    }
}

impl System {
    /// Gives a user an SSH key; the one there is if the user has it already.
    ///
    /// # Errors
    /// [`Error::Conflict`] on field `ssh-key` if somebody else has it.
    pub async fn ensure_ssh_key(&self, user: UserId, key: &PublicKey) -> Result<SshKey> {
        let tx = self.forge().store().begin().await?;
        let error = match add(self.forge(), tx, user, key, None).await {
            Err(error @ Error::Conflict { .. }) => error,
            outcome => return outcome,
        };
        let store = self.forge().store();
        let found = store.ssh_key_by_fingerprint(&key.fingerprint()).await?;
        match found {
            Some((found, owner)) if owner.id == user => Ok(found),
            _ => Err(error),
        }
    }
}

async fn add(
    forge: &Forge,
    mut tx: Box<dyn Tx>,
    user: UserId,
    key: &PublicKey,
    address: Option<IpAddr>,
) -> Result<SshKey> {
    if tx.is_deploy_key(&key.fingerprint()).await? {
        return Err(Error::conflict("ssh-key", "this key is a deploy key"));
    }
    let now = forge.now();
    let added = tx.insert_ssh_key(user, key, now).await?;
    let details = format!("SSH key {} added", key.md5());
    forge
        .note(&mut *tx, user, address, "SSH key added", details)
        .await?;
    tx.emit(forge.event(EventKind::SshKeyAdded(added.clone()))?)
        .await?;
    tx.commit().await?;
    forge.wake();
    Ok(added)
}
