//! Signing in and out, with a password.

use std::net::IpAddr;

use chrono::TimeDelta;
use http::request::Parts;

use super::Session;
use super::guesses::Guess;
use crate::access::{Account, Caller, Credentials};
use crate::http::cookie;
use crate::identity::{Identity, Profile};
use crate::names::UserName;
use crate::oauth::{Secret, SecretHash};
use crate::{Error, Forge, Result};

/// How long a browser stays signed in.
const LIFE: TimeDelta = TimeDelta::days(30);

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

/// What came of showing a password once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownAgain {
    /// It is the account's.
    Right,
    /// It is another.
    Wrong,
    /// Too many wrong passwords: how many seconds to wait.
    TooOften(u64),
}

impl Account {
    /// Whether that is the account's password, for what a browser that was left alone must not be good for. Wrong ones count
    /// with those of [`Forge::sign_in`]. For pages, where [`Identity::Passwords`] is in use.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`] if too many passwords are looked at; those of the store.
    pub async fn show_password(&self, password: &str) -> Result<ShownAgain> {
        self.require_session()?;
        let (forge, user) = (self.forge(), self.user());
        let guess = Guess::new(Some(&user.name), self.caller().address());
        if let Err(seconds) = guess.begin(forge.attempts(), forge.now()) {
            return Ok(ShownAgain::TooOften(seconds));
        }
        let phc = forge.store().password(user.id).await?;
        if !forge.verify_password(phc, password).await? {
            return Ok(ShownAgain::Wrong);
        }
        guess.succeed(forge.attempts());
        Ok(ShownAgain::Right)
    }
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
        let guess = Guess::new(name.as_ref(), address);
        if let Err(seconds) = guess.begin(self.attempts(), now) {
            return Ok(SignIn::TooOften(seconds));
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
        guess.succeed(self.attempts());
        let cookie = Secret::generate("", self.entropy())?;
        let session = Session {
            user: user.id,
            created: now,
            expires: now + LIFE,
        };
        let mut tx = store.begin().await?;
        match tx.insert_session(&cookie.hash(), &session).await {
            Err(Error::NotFound) => return Ok(SignIn::Wrong),
            outcome => outcome?,
        }
        if let Some(before) = self.session_cookie(request) {
            tx.delete_session(&before).await?;
        }
        // Looked at again, now that nobody can change it: hashing takes its time.
        let user = tx.user(user.id).await?;
        let phc_now = tx.password(id).await?;
        let Some(user) = user.filter(|_| phc_now == phc) else {
            return Ok(SignIn::Wrong);
        };
        if let Some(notice) = user.suspended {
            return Ok(SignIn::Suspended(notice));
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
