//! Passwords: how they are hashed and compared.
//!
//! Invariant: a password is kept as an argon2id hash alone (RFC 9106), and comparing takes as long where there is none.
//! Who may try one, and how often, is not decided here.

use std::thread::available_parallelism;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::time::timeout;

use crate::access::System;
use crate::names::UserName;
use crate::{Error, Forge, Result};

/// The bounds of a password's length, in bytes. The upper one bounds the work of hashing.
const MIN_PASSWORD: usize = 8;
const MAX_PASSWORD: usize = 1024;
/// How long a password waits for its turn to be hashed.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many passwords are hashed at once: each takes a processor, and 19 MiB.
pub(crate) fn at_once() -> usize {
    available_parallelism().map_or(1, Into::into)
}

impl System {
    /// Sets a user's password, and ends the user's sessions.
    ///
    /// # Errors
    /// [`Error::Invalid`] on field `password` if it is too short or too long; [`Error::NotFound`] if there is no such user.
    pub async fn set_password(&self, name: &UserName, password: &str) -> Result<()> {
        if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&password.len()) {
            let reason = "password must have 8 to 1024 bytes";
            return Err(Error::invalid("password", reason));
        }
        let forge = self.forge();
        let mut salt = [0; 16];
        forge.entropy().fill(&mut salt)?;
        let password = password.to_owned();
        let phc = forge
            .with_password(move || hash(password.as_bytes(), &salt))
            .await??;
        let mut tx = forge.store().begin().await?;
        let user = tx.user_by_name(name).await?.ok_or(Error::NotFound)?;
        tx.set_password(user.id, &phc).await?;
        tx.delete_sessions(user.id).await?;
        forge
            .note(&mut *tx, user.id, None, "password reset", None)
            .await?;
        tx.commit().await
    }
}

impl Forge {
    /// Whether a password is the one of that hash. Without a hash, the same work is done for nothing.
    pub(super) async fn verify_password(
        &self,
        phc: Option<String>,
        password: &str,
    ) -> Result<bool> {
        // Nobody has a longer one; the beginning is hashed all the same, so that refusing it takes as long.
        let is_short = password.len() <= MAX_PASSWORD;
        let password = password.as_bytes();
        let password = password.get(..MAX_PASSWORD).unwrap_or(password).to_vec();
        self.with_password(move || {
            let Some(phc) = phc else {
                hash(&password, &[0; 16])?;
                return Ok(false);
            };
            let phc =
                PasswordHash::new(&phc).map_err(|error| Error::internal(error.to_string()))?;
            Ok(Argon2::default().verify_password(&password, &phc).is_ok() && is_short)
        })
        .await?
    }

    /// Works on a password, where it does not hold others up.
    async fn with_password<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let place = timeout(PATIENCE, self.password_places().acquire()).await;
        let place = place.map_err(|_| Error::unavailable("too many passwords at once"))?;
        let _place = place.map_err(Error::internal)?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(Error::internal)
    }
}

fn hash(password: &[u8], salt: &[u8; 16]) -> Result<String> {
    let hashed = Argon2::default()
        .hash_password_with_salt(password, salt)
        .map_err(|error| Error::internal(error.to_string()))?;
    Ok(hashed.to_string())
}
