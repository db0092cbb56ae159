//! Signing in and out, with a password.

use std::net::IpAddr;

use chrono::TimeDelta;
use http::request::Parts;

use super::{Session, neighbourhood};
use crate::access::{Caller, Credentials};
use crate::http::cookie;
use crate::identity::{Identity, Profile};
use crate::names::UserName;
use crate::oauth::{Secret, SecretHash};
use crate::{Forge, Result};

/// How long a browser stays signed in.
const LIFE: TimeDelta = TimeDelta::days(30);
/// How many wrong passwords in a quarter of an hour make a name wait, and how many an address.
const WRONG_FOR_NAME: u32 = 10;
const WRONG_FOR_ADDRESS: u32 = 50;

/// The name of the cookie that holds a session, see [`crate::http::Origin::cookie_name`].
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
    /// [`crate::Error::Forbidden`] with the notice for a suspended account; those of the host's provider.
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
    /// [`crate::Error::Internal`] if there is no randomness.
    pub fn form_secret(&self) -> Result<Secret> {
        Secret::generate("", self.entropy())
    }

    async fn session_of(&self, request: &Parts) -> Result<Option<Profile>> {
        let Some(cookie) = self.session_cookie(request) else {
            return Ok(None);
        };
        let found = self.store().session(&cookie).await?;
        let found = found.filter(|(session, _)| session.expires > self.now());
        Ok(found.map(|(_, user)| Profile {
            name: user.name,
            email: user.email,
        }))
    }

    /// The hash of the session's cookie, if the browser sends one.
    fn session_cookie(&self, request: &Parts) -> Option<SecretHash> {
        let name = self.meta_origin().cookie_name(COOKIE_NAME);
        cookie(&request.headers, &name).map(SecretHash::of)
    }

    /// Signs a browser in; the session that it had before ends. An unknown user takes as long to refuse as a wrong
    /// password.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`] if too many passwords are looked at; those of the store.
    pub async fn sign_in(
        &self,
        request: &Parts,
        name: &str,
        password: &str,
        address: Option<IpAddr>,
    ) -> Result<SignIn> {
        let now = self.now();
        let name = name.parse::<UserName>().ok();
        // What cannot be a name is one name: else each would have guesses of its own, and take its memory.
        let by_name = format!("name {}", name.as_ref().map_or("?", UserName::as_str));
        let by_address = address.map(|address| format!("address {}", neighbourhood(address)));
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
        let is_right = self.verify_password(phc.clone(), password).await?;
        let Some(user) = user.filter(|_| is_right) else {
            return Ok(SignIn::Wrong);
        };
        self.attempts().succeed(&by_name);
        // Many people share an address; and who has a password of their own must not clear it for guessing at others'.
        if let Some(address) = by_address {
            self.attempts().take_back(address);
        }
        let cookie = Secret::generate("", self.entropy())?;
        let session = Session {
            user: user.id,
            created: now,
            expires: now + LIFE,
        };
        let mut tx = store.begin().await?;
        if let Some(before) = self.session_cookie(request) {
            tx.delete_session(&before).await?;
        }
        tx.insert_session(&cookie.hash(), &session).await?;
        // Looked at again, now that nobody can change it: hashing takes its time.
        match tx.user(user.id).await? {
            Some(user) if user.suspended.is_none() => {}
            Some(user) => return Ok(SignIn::Suspended(user.suspended.unwrap_or_default())),
            None => return Ok(SignIn::Wrong),
        }
        if tx.password(user.id).await? != phc {
            return Ok(SignIn::Wrong);
        }
        self.note(&mut *tx, user.id, address, "logged in", None)
            .await?;
        tx.commit().await?;
        Ok(SignIn::Done(cookie, session))
    }

    /// Signs a browser out: its cookie means nobody from now on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sign_out(&self, request: &Parts, address: Option<IpAddr>) -> Result<()> {
        let Some(cookie) = self.session_cookie(request) else {
            return Ok(());
        };
        let mut tx = self.store().begin().await?;
        let Some((session, _)) = tx.session(&cookie).await? else {
            return Ok(());
        };
        tx.delete_session(&cookie).await?;
        self.note(&mut *tx, session.user, address, "logged out", None)
            .await?;
        tx.commit().await
    }
}
