//! Signing in and out, with a password.

use std::net::IpAddr;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use chrono::TimeDelta;
use http::header::COOKIE;
use http::request::Parts;

use super::Session;
use crate::access::{Caller, Credentials, System};
use crate::audit::NewEntry;
use crate::identity::{Identity, Profile};
use crate::names::UserName;
use crate::oauth::{Secret, SecretHash};
use crate::{Error, Forge, Result};

/// How long a browser stays signed in.
const LIFE: TimeDelta = TimeDelta::days(30);
/// How many wrong passwords in a quarter of an hour make a name wait, and how many an address.
const WRONG_FOR_NAME: u32 = 10;
const WRONG_FOR_ADDRESS: u32 = 50;
/// The bounds of a password's length, in bytes. The upper one bounds the work of hashing.
const MIN_PASSWORD: usize = 8;
const MAX_PASSWORD: usize = 1024;

/// The name of the cookie that holds a session.
pub const COOKIE_NAME: &str = "forge_session";

/// What came of signing in.
#[derive(Debug)]
pub enum SignIn {
    /// The cookie's value, and when it ceases to work.
    Done(Secret, Session),
    /// No such user, or another password. Which of both is not told.
    Wrong,
    /// The account is suspended; the notice.
    Suspended(String),
    /// Too many wrong passwords: how many seconds to wait.
    TooOften(u64),
}

impl Forge {
    /// Who sends a request from a browser; `None` if nobody is signed in.
    ///
    /// # Errors
    /// [`Error::Forbidden`] with the notice for a suspended account; those of the host's provider.
    pub async fn signed_in(&self, request: &Parts) -> Result<Option<Caller>> {
        let profile = match self.identity() {
            Identity::Nobody => None,
            Identity::Host(host) => host.current_user(request).await?,
            Identity::Passwords => self.session_of(request).await?,
        };
        match profile {
            Some(profile) => Ok(Some(
                self.authenticate(Credentials::Session(&profile)).await?,
            )),
            None => Ok(None),
        }
    }

    /// A secret for a browser that has none, to bind the forms to that it is sent.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is no randomness.
    pub fn form_secret(&self) -> Result<Secret> {
        Secret::generate("", self.entropy())
    }

    async fn session_of(&self, request: &Parts) -> Result<Option<Profile>> {
        let Some(cookie) = cookie(request) else {
            return Ok(None);
        };
        let found = self.store().session(&SecretHash::of(cookie)).await?;
        let found = found.filter(|(session, _)| session.expires > self.now());
        Ok(found.map(|(_, user)| Profile {
            name: user.name,
            email: user.email,
        }))
    }

    /// Signs a browser in. An unknown user takes as long to refuse as a wrong password.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<SignIn> {
        let now = self.now();
        let name = name.parse::<UserName>().ok();
        // What cannot be a name is one name: else each would have guesses of its own, and take its memory.
        let by_name = format!("name {}", name.as_ref().map_or("?", UserName::as_str));
        let by_address = address.map(|address| format!("address {address}"));
        let by_address = by_address.as_deref();
        let waits = [
            self.attempts().wait(&by_name, WRONG_FOR_NAME, now),
            by_address.and_then(|name| self.attempts().wait(name, WRONG_FOR_ADDRESS, now)),
        ];
        if let Some(wait) = waits.into_iter().flatten().max() {
            let seconds = u64::try_from(wait.num_seconds()).unwrap_or(0) + 1;
            return Ok(SignIn::TooOften(seconds));
        }
        // Counted before the password is looked at: guesses at the same time count, too.
        self.attempts().fail(&by_name, now);
        if let Some(address) = by_address {
            self.attempts().fail(address, now);
        }
        let store = self.store();
        let user = match &name {
            Some(name) => store.user_by_name(name).await?,
            None => None,
        };
        let id = user.as_ref().map_or(crate::UserId(0), |user| user.id);
        let phc = store.password(id).await?;
        let is_right = verify(phc, password).await?;
        let Some(user) = user.filter(|_| is_right) else {
            return Ok(SignIn::Wrong);
        };
        self.attempts().succeed(&by_name);
        // Many people share an address; and who has a password of their own must not clear it for guessing at others'.
        if let Some(address) = by_address {
            self.attempts().take_back(address);
        }
        if let Some(notice) = user.suspended {
            return Ok(SignIn::Suspended(notice));
        }
        let cookie = Secret::generate("", self.entropy())?;
        let session = Session {
            user: user.id,
            created: now,
            expires: now + LIFE,
        };
        let mut tx = store.begin().await?;
        tx.insert_session(&cookie.hash(), &session).await?;
        let entry = NewEntry {
            ip: address,
            action: "logged in",
            details: None,
        };
        tx.insert_audit(user.id, &entry, now).await?;
        tx.commit().await?;
        Ok(SignIn::Done(cookie, session))
    }

    /// Signs a browser out: its cookie means nobody from now on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sign_out(&self, request: &Parts, address: Option<IpAddr>) -> Result<()> {
        let Some(cookie) = cookie(request).map(SecretHash::of) else {
            return Ok(());
        };
        let mut tx = self.store().begin().await?;
        let Some((session, _)) = tx.session(&cookie).await? else {
            return Ok(());
        };
        tx.delete_session(&cookie).await?;
        let entry = NewEntry {
            ip: address,
            action: "logged out",
            details: None,
        };
        tx.insert_audit(session.user, &entry, self.now()).await?;
        tx.commit().await
    }
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
        let phc = blocking(move || hash(password.as_bytes(), &salt)).await??;
        let mut tx = forge.store().begin().await?;
        let user = tx.user_by_name(name).await?.ok_or(Error::NotFound)?;
        tx.set_password(user.id, &phc).await?;
        tx.delete_sessions(user.id).await?;
        let entry = NewEntry {
            ip: None,
            action: "password reset",
            details: None,
        };
        tx.insert_audit(user.id, &entry, forge.now()).await?;
        tx.commit().await
    }
}

/// The value of the session's cookie.
fn cookie(request: &Parts) -> Option<&str> {
    let headers = request.headers.get_all(COOKIE).iter();
    let texts = headers.filter_map(|header| header.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE_NAME).then_some(value)
    })
}

fn hash(password: &[u8], salt: &[u8; 16]) -> Result<String> {
    let hashed = Argon2::default()
        .hash_password_with_salt(password, salt)
        .map_err(|error| Error::internal(error.to_string()))?;
    Ok(hashed.to_string())
}

/// Whether a password is the one of that hash. Without a hash, the same work is done for nothing.
async fn verify(phc: Option<String>, password: &str) -> Result<bool> {
    // Nobody has a longer one; the beginning is hashed all the same, so that refusing it takes as long.
    let is_short = password.len() <= MAX_PASSWORD;
    let password = password.as_bytes();
    let password = password.get(..MAX_PASSWORD).unwrap_or(password).to_vec();
    blocking(move || {
        let Some(phc) = phc else {
            hash(&password, &[0; 16])?;
            return Ok(false);
        };
        let phc = PasswordHash::new(&phc).map_err(|error| Error::internal(error.to_string()))?;
        Ok(Argon2::default().verify_password(&password, &phc).is_ok() && is_short)
    })
    .await?
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::internal)
}
