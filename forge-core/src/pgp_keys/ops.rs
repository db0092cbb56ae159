//! What is done with PGP keys.

use super::{PgpFingerprint, PgpKey, PublicPgpKey};
use crate::access::{Account, Caller, Mode, Scope};
use crate::events::EventKind;
use crate::ids::PgpKeyId;
use crate::names::UserName;
use crate::repos::Owner;
use crate::users::{ProfileChange, User};
use crate::{Error, Forge, Page, Paged, Result};

/// How many PGP keys a user may add, so that the list of them stays one that can be sent.
const MAX_KEYS: u64 = 64;

impl Account {
    /// The account's PGP keys, newest first. Needs `PGP_KEYS:RO`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn pgp_keys(&self, page: Page) -> Result<Paged<PgpKey>> {
        self.require(Scope::PgpKeys, Mode::Read)?;
        self.forge().store().pgp_keys(self.user().id, page).await
    }

    /// One of the account's PGP keys. Needs `PGP_KEYS:RO`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has no such key.
    pub async fn pgp_key(&self, id: PgpKeyId) -> Result<PgpKey> {
        self.require(Scope::PgpKeys, Mode::Read)?;
        let key = self.forge().store().pgp_key(self.user().id, id).await?;
        key.ok_or(Error::NotFound)
    }

    /// Adds a PGP key. Needs `PGP_KEYS:RW`.
    ///
    /// # Errors
    /// On field `pgp-key`: [`Error::Conflict`] if the key is known already, to whomever; [`Error::Invalid`] if the account
    /// has 64 keys.
    pub async fn add_pgp_key(&self, key: &PublicPgpKey) -> Result<PgpKey> {
        self.require(Scope::PgpKeys, Mode::Write)?;
        let (forge, user) = (self.forge(), self.user());
        let mut tx = forge.store().begin().await?;
        if tx.pgp_keys(user.id, Page::COUNT).await?.total >= MAX_KEYS {
            let reason = "an account may have at most 64 PGP keys";
            return Err(Error::invalid("pgp-key", reason));
        }
        let added = tx.insert_pgp_key(user.id, key, forge.now()).await?;
        let details = format!("PGP key {} added", key.fingerprint);
        self.note(&mut *tx, "PGP key added", details).await?;
        tx.emit(forge.event(EventKind::PgpKeyAdded(added.clone()))?)
            .await?;
        tx.commit().await?;
        forge.wake();
        let what = format!("The PGP key {} was added to your account.", key.fingerprint);
        let subject = "A PGP key was added to your account";
        forge.notify(user, subject, &what).await;
        Ok(added)
    }

    /// Removes a PGP key. Needs `PGP_KEYS:RW`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has no such key; [`Error::Invalid`] if mail to the user is encrypted to it.
    pub async fn remove_pgp_key(&self, id: PgpKeyId) -> Result<()> {
        self.require(Scope::PgpKeys, Mode::Write)?;
        let (forge, user) = (self.forge(), self.user());
        let mut tx = forge.store().begin().await?;
        let key = tx.pgp_key(user.id, id).await?.ok_or(Error::NotFound)?;
        if !tx.delete_pgp_key(user.id, id).await? {
            return Err(Error::NotFound);
        }
        let fingerprint = key.key.fingerprint;
        // Read after the key is gone: whoever prefers it meanwhile looks for it after their own change.
        let now = tx.user(user.id).await?.ok_or(Error::NotFound)?;
        if now.pgp_key.as_ref() == Some(&fingerprint) {
            let reason = "this is your preferred PGP key; prefer another or none first";
            return Err(Error::malformed(reason));
        }
        let details = format!("PGP key {fingerprint} removed");
        self.note(&mut *tx, "PGP key removed", details).await?;
        let owner = Owner {
            id: user.id,
            name: user.name.clone(),
        };
        tx.emit(forge.event(EventKind::PgpKeyRemoved { user: owner, id })?)
            .await?;
        tx.commit().await?;
        forge.wake();
        let what = format!("The PGP key {fingerprint} was removed from your account.");
        let subject = "A PGP key was removed from your account";
        forge.notify(user, subject, &what).await;
        Ok(())
    }

    /// Sets to which of the account's keys mail is encrypted, or that it is not. Needs `PROFILE:RW`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has no such key.
    pub async fn prefer_pgp_key(&self, id: Option<PgpKeyId>) -> Result<User> {
        self.require(Scope::MetaProfile, Mode::Write)?;
        let (forge, user) = (self.forge(), self.user().id);
        let fingerprint = match id {
            Some(id) => {
                let key = forge.store().pgp_key(user, id).await?;
                Some(key.ok_or(Error::NotFound)?.key.fingerprint)
            }
            None => None,
        };
        let details = match &fingerprint {
            Some(fingerprint) => format!("Set default PGP key to {fingerprint}"),
            None => "Set default PGP key to none".to_owned(),
        };
        let change = ProfileChange {
            pgp_key: Some(fingerprint),
            ..ProfileChange::default()
        };
        let mut tx = forge.store().begin().await?;
        let changed = tx.update_profile(user, &change, forge.now()).await?;
        let changed = changed.ok_or(Error::NotFound)?;
        if let Some(id) = id
            && tx.pgp_key(user, id).await?.is_none()
        {
            return Err(Error::NotFound);
        }
        self.note(&mut *tx, "changed pgp key", details).await?;
        tx.emit(forge.event(EventKind::ProfileUpdated(changed.clone()))?)
            .await?;
        tx.commit().await?;
        forge.wake();
        Ok(changed)
    }
}

impl Forge {
    /// Reads an armored key as it is now. `field` is what an error names.
    ///
    /// # Errors
    /// As [`PublicPgpKey::parse`].
    pub async fn read_pgp_key(&self, text: String, field: &'static str) -> Result<PublicPgpKey> {
        let now = self.now();
        // Verifying signatures is arithmetic: on a key made to be slow, for some tenths of a second.
        let read = tokio::task::spawn_blocking(move || PublicPgpKey::parse(&text, field, now));
        read.await.map_err(Error::internal)?
    }
}

impl Caller {
    /// Whose key that is: public, as on meta.sr.ht, so that other services can tell who signed.
    ///
    /// # Errors
    /// [`Error::NotFound`] if no user has it.
    pub async fn find_pgp_key(&self, fingerprint: &PgpFingerprint) -> Result<PgpKey> {
        let store = self.forge().store();
        let found = store.pgp_key_by_fingerprint(fingerprint).await?;
        found.ok_or(Error::NotFound)
    }

    /// All PGP keys of a user, newest first: public, as on meta.sr.ht, so that others can write to them.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such user.
    pub async fn pgp_keys_of(&self, user: &UserName) -> Result<Vec<PgpKey>> {
        let store = self.forge().store();
        let user = store.user_by_name(user).await?.ok_or(Error::NotFound)?;
        let all = Page {
            start: None,
            size: MAX_KEYS,
        };
        Ok(store.pgp_keys(user.id, all).await?.results)
    }
}
