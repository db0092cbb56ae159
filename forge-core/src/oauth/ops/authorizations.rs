//! From a user's consent to a client's tokens.

use chrono::TimeDelta;

use super::super::{
    Authorization, Client, ClientKind, Code, NewCode, NewToken, Redeemed, Refreshed, Secret,
    SecretHash, Token, TokenOrigin,
};
use super::tokens::new_text;
use crate::access::{Account, ActingClient, Grants};
use crate::clock::Timestamp;
use crate::delegation::Ended;
use crate::ids::AuthorizationId;
use crate::store::Tx;
use crate::users::User;
use crate::{Error, Result, UserId};

/// How long a code lives (RFC 6749 4.1.2 recommends ten minutes at most).
const CODE_LIFE: TimeDelta = TimeDelta::minutes(5);
/// How long a code of the older scheme lives, as on meta.sr.ht.
const EXCHANGE_LIFE: TimeDelta = TimeDelta::minutes(15);
/// How long an access token lives of a client that can refresh it.
const ACCESS_LIFE: TimeDelta = TimeDelta::days(1);
/// How long a refresh token lives, unless it is used.
const REFRESH_LIFE: TimeDelta = TimeDelta::days(366);
/// How many authorizations a user has given a client at once, one for each machine say: the oldest ends for the next.
const AT_ONCE: usize = 16;
/// How long a token of the older scheme lives.
const LEGACY_LIFE: TimeDelta = TimeDelta::days(365);

/// What a user consents to.
#[derive(Debug, Clone)]
pub struct Consent<'a> {
    /// Whom the user lets.
    pub client: &'a Client,
    /// What, at most.
    pub grants: Grants,
    /// The redirect URI that the request named.
    pub redirect_uri: Option<String>,
    /// What the exchange must match (RFC 7636).
    pub challenge: Option<String>,
}

/// What a client gets.
#[derive(Debug)]
pub struct Issued {
    /// The access token.
    pub token: Secret,
    /// From when on it means nobody.
    pub expires: Timestamp,
    /// What it may do.
    pub grants: Grants,
    /// What gets the next one; `None` in the older scheme.
    pub refresh: Option<Secret>,
}

/// What there is to say of a token to a client (RFC 7662 2.2).
#[derive(Debug)]
pub struct Found {
    /// The token; of a refresh token, nothing but its times and grants is told.
    pub grants: Grants,
    /// Who authorized it.
    pub user: User,
    /// Since when; `None` for a refresh token.
    pub issued: Option<Timestamp>,
    /// Until when.
    pub expires: Timestamp,
}

impl Account {
    /// Lets a client do something: the code for it, which goes by way of the user's browser. For pages.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn consent(&self, to: Consent<'_>) -> Result<Secret> {
        self.require_session()?;
        let forge = self.forge();
        let life = match to.client.kind {
            ClientKind::Legacy => EXCHANGE_LIFE,
            ClientKind::Public | ClientKind::Confidential => CODE_LIFE,
        };
        let code = Secret::generate("", forge.entropy())?;
        let new = NewCode {
            client: to.client.id,
            user: self.user().id,
            grants: to.grants,
            redirect_uri: to.redirect_uri,
            challenge: to.challenge,
            expires: forge.now() + life,
        };
        let mut tx = self.begin().await?;
        tx.insert_code(&code.hash(), &new).await?;
        let action = match to.client.kind {
            ClientKind::Legacy => "oauth token issued",
            ClientKind::Public | ClientKind::Confidential => "OAuth 2.0 access grant issued",
        };
        self.note(&mut *tx, action, to.client.in_log()).await?;
        tx.commit().await?;
        Ok(code)
    }
}

impl ActingClient {
    /// Uses a code up. One that was used before ends what it led to: somebody else has it, too. One that was made for
    /// another client is used up as well, and `None`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn redeem(&self, code: &str) -> Result<Option<Code>> {
        let now = self.forge().now();
        let mut tx = self.forge().store().begin().await?;
        let code = match tx.redeem_code(&SecretHash::of(code), now).await? {
            Redeemed::Unknown => return Ok(None),
            Redeemed::Reused(authorization) => {
                self.end(&mut *tx, authorization, "a code was used twice")
                    .await?;
                None
            }
            Redeemed::Fresh(code) if code.code.client == self.client().id => Some(*code),
            Redeemed::Fresh(code) => {
                let why = "another application showed its code";
                self.end(&mut *tx, code.authorization.id, why).await?;
                None
            }
        };
        tx.commit().await?;
        Ok(code)
    }

    /// Ends an authorization that this client could not prove to be its own.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn discard(&self, authorization: &Authorization) -> Result<()> {
        let mut tx = self.forge().store().begin().await?;
        let why = "its code was shown with other parameters";
        self.end(&mut *tx, authorization.id, why).await?;
        tx.commit().await
    }

    /// Ends an authorization, be it another client's, and writes into its user's log why.
    async fn end(&self, tx: &mut dyn Tx, id: AuthorizationId, why: &str) -> Result<()> {
        let Some((ended, client)) = tx.authorization(id).await? else {
            return Ok(());
        };
        if !tx.end_authorization(id, self.forge().now()).await? {
            return Ok(());
        }
        self.note_end(tx, ended.user, &client, why).await
    }

    /// Tells whom it concerns that what a user let a client do has ended.
    async fn note_end(
        &self,
        tx: &mut dyn Tx,
        user: UserId,
        client: &Client,
        why: &str,
    ) -> Result<()> {
        let details = format!("{}: {why}", client.in_log());
        let (forge, from) = (self.forge(), self.address());
        forge.tell_ended(tx, Ended::OfUser(user)).await?;
        forge
            .note(tx, user, from, end_action(client.kind), details)
            .await
    }

    /// The first tokens of an authorization.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if its user is suspended.
    pub async fn issue(&self, authorization: &Authorization) -> Result<Issued> {
        let forge = self.forge();
        self.check_standing(authorization).await?;
        let mut tx = forge.store().begin().await?;
        let issued = self
            .insert(&mut *tx, authorization, authorization.grants.clone())
            .await?;
        self.make_room(&mut *tx, authorization).await?;
        tx.commit().await?;
        Ok(issued)
    }

    /// Ends what the same user let this client do before, beyond what may be at once. After the tokens are made: those hold
    /// the user first, as whoever deletes the user does.
    pub(super) async fn make_room(&self, tx: &mut dyn Tx, newest: &Authorization) -> Result<()> {
        let keep = match self.client().kind {
            // One token for each user and client, as on meta.sr.ht: the newest.
            ClientKind::Legacy => 0,
            ClientKind::Public | ClientKind::Confidential => AT_ONCE - 1,
        };
        let now = self.forge().now();
        if tx.end_earlier_authorizations(newest, keep, now).await? > 0 {
            self.note_end(tx, newest.user, self.client(), "another was given")
                .await?;
        }
        Ok(())
    }

    /// The authorization that a refresh token belongs to, if it is this client's; the token is not spent by that.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn authorization_of(&self, refresh: &str) -> Result<Option<Authorization>> {
        let (store, now) = (self.forge().store(), self.forge().now());
        let found = store.refresh_token(&SecretHash::of(refresh), now).await?;
        let found = found.map(|found| found.authorization);
        Ok(found.filter(|found| found.client == self.client().id))
    }

    /// Spends a refresh token for new tokens, the access token with fewer grants if that is asked for. A refresh token
    /// that was spent before ends its authorization, and is `None`.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if its user is suspended; [`Error::Invalid`] on field `scope` for more than was granted, and then
    /// it is not spent.
    pub async fn refresh(&self, refresh: &str, grants: Option<&Grants>) -> Result<Option<Issued>> {
        let Some(known) = self.authorization_of(refresh).await? else {
            return Ok(None);
        };
        self.check_standing(&known).await?;
        let grants = grants.unwrap_or(&known.grants).clone();
        if !known.grants.cover(&grants) {
            let reason = "scope must not hold more than was granted before";
            return Err(Error::invalid("scope", reason));
        }
        let now = self.forge().now();
        let mut tx = self.forge().store().begin().await?;
        let authorization = match tx
            .spend_refresh_token(&SecretHash::of(refresh), now)
            .await?
        {
            Refreshed::Unknown => return Ok(None),
            Refreshed::Reused(authorization) => {
                let why = "a refresh token was used twice";
                self.end(&mut *tx, authorization, why).await?;
                tx.commit().await?;
                return Ok(None);
            }
            Refreshed::Spent(authorization) => authorization,
        };
        let issued = self.insert(&mut *tx, &authorization, grants).await?;
        tx.commit().await?;
        Ok(Some(issued))
    }

    /// What there is to say of a token of this client, of either kind, that is in force; `None` of any other text.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn introspect(&self, text: &str) -> Result<Option<Found>> {
        let (store, now) = (self.forge().store(), self.forge().now());
        let hash = SecretHash::of(text);
        if let Some((token, user)) = self.own_token(&hash).await? {
            return Ok(user.suspended.is_none().then_some(Found {
                grants: token.grants,
                user,
                issued: Some(token.issued),
                expires: token.expires,
            }));
        }
        let Some(found) = store.refresh_token(&hash, now).await? else {
            return Ok(None);
        };
        let (authorization, expires) = (found.authorization, found.expires);
        let is_ours = authorization.client == self.client().id;
        if !is_ours || authorization.ended.is_some() || found.is_spent {
            return Ok(None);
        }
        let user = store.user(authorization.user).await?;
        let user = user.filter(|user| user.suspended.is_none());
        Ok(user.map(|user| Found {
            grants: authorization.grants,
            user,
            issued: None,
            expires,
        }))
    }

    /// Revokes a token of this client (RFC 7009): an access token alone, or a refresh token with all that came of its
    /// authorization. What is not this client's token is left alone.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn revoke(&self, text: &str) -> Result<()> {
        let (store, now) = (self.forge().store(), self.forge().now());
        let hash = SecretHash::of(text);
        let token = self.own_token(&hash).await?;
        let refresh = store.refresh_token(&hash, now).await?;
        let mut tx = store.begin().await?;
        if let Some((token, _)) = token {
            if tx.expire_token(token.id, now).await?.is_some() {
                let details = format!("{}: the application gave it back", self.client().in_log());
                let (forge, from, action) =
                    (self.forge(), self.address(), "OAuth 2.0 token revoked");
                forge
                    .tell_ended(&mut *tx, Ended::OfUser(token.user))
                    .await?;
                forge
                    .note(&mut *tx, token.user, from, action, details)
                    .await?;
            }
        } else if let Some(refresh) = refresh
            && refresh.authorization.client == self.client().id
        {
            let why = "the application gave it back";
            self.end(&mut *tx, refresh.authorization.id, why).await?;
        } else {
            return Ok(());
        }
        tx.commit().await
    }

    async fn own_token(&self, hash: &SecretHash) -> Result<Option<(Token, User)>> {
        let store = self.forge().store();
        let Some((token, user)) = store.token_by_hash(hash, self.forge().now()).await? else {
            return Ok(None);
        };
        let Some(authorization) = token.authorization else {
            return Ok(None);
        };
        let found = store.authorization(authorization).await?;
        let is_ours = found.is_some_and(|(_, client)| client.id == self.client().id);
        Ok(is_ours.then_some((token, user)))
    }

    async fn check_standing(&self, authorization: &Authorization) -> Result<()> {
        let user = self.forge().store().user(authorization.user).await?;
        match user {
            Some(user) if user.suspended.is_none() => Ok(()),
            _ => Err(Error::forbidden("this account is suspended")),
        }
    }

    pub(super) async fn insert(
        &self,
        tx: &mut dyn Tx,
        authorization: &Authorization,
        grants: Grants,
    ) -> Result<Issued> {
        let forge = self.forge();
        let (token, origin) = new_text(forge)?;
        let is_legacy = self.client().kind == ClientKind::Legacy;
        let origin = TokenOrigin {
            is_legacy,
            authorization: Some(authorization.id),
            ..origin
        };
        let new = NewToken {
            grants: grants.clone(),
            comment: None,
            expires: forge.now() + if is_legacy { LEGACY_LIFE } else { ACCESS_LIFE },
        };
        tx.insert_token(
            authorization.user,
            &token.hash(),
            &new,
            &origin,
            forge.now(),
        )
        .await?;
        let refresh = if is_legacy {
            None
        } else {
            let refresh = Secret::generate(REFRESH_PREFIX, forge.entropy())?;
            let expires = forge.now() + REFRESH_LIFE;
            tx.insert_refresh_token(&refresh.hash(), authorization.id, expires)
                .await?;
            Some(refresh)
        };
        Ok(Issued {
            token,
            expires: new.expires,
            grants,
            refresh,
        })
    }
}

/// How the log calls the end of what a user has let a client of that kind do.
pub(super) fn end_action(kind: ClientKind) -> &'static str {
    match kind {
        ClientKind::Legacy => "revoked oauth tokens",
        ClientKind::Public | ClientKind::Confidential => "OAuth 2.0 grant revoked",
    }
}

/// What the texts of refresh tokens begin with.
const REFRESH_PREFIX: &str = "forge_refresh_";
