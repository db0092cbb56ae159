//! What is done with tokens that users make for their own programs.

use chrono::TimeDelta;

use super::super::{NewToken, Secret, Token, TokenOrigin};
use crate::access::{Account, System};
use crate::delegation::Ended;
use crate::ids::{TokenId, UserId};
use crate::{Error, Forge, Page, Paged, Result};

/// What the texts of tokens begin with.
const PREFIX: &str = "forge_";
/// How many characters of a token's text its owner is shown again.
const HINT: usize = 8;
/// How long a token's last use is not noted again.
const NOTED: TimeDelta = TimeDelta::hours(1);
/// The longest comment, in characters (meta.sr.ht's limit).
const MAX_COMMENT: usize = 128;
/// How many personal tokens an account may have.
const MAX_TOKENS: u64 = 256;

/// How the log calls a personal token.
fn in_log(token: &Token) -> String {
    format!("personal token {}…", token.hint)
}

/// A new token's text and where it comes from.
pub(super) fn new_text(forge: &Forge) -> Result<(Secret, TokenOrigin)> {
    let text = Secret::generate(PREFIX, forge.entropy())?;
    let digits = text.expose().get(PREFIX.len()..).unwrap_or_default();
    let origin = TokenOrigin {
        hint: digits.chars().take(HINT).collect(),
        ..TokenOrigin::default()
    };
    Ok((text, origin))
}

impl Forge {
    pub(crate) async fn note_token_use(&self, token: &Token) -> Result<()> {
        let now = self.now();
        if token.last_used.is_some_and(|last| now - last < NOTED) {
            return Ok(());
        }
        let mut tx = self.store().begin().await?;
        tx.touch_token(token.id, now).await?;
        tx.commit().await
    }
}

impl Account {
    /// Makes a personal token. Its text is returned this once and not kept. For pages: a token that could make tokens
    /// would outlive its own end.
    ///
    /// # Errors
    /// [`Error::Invalid`] on field `comment`, `expires`, or `token` if there are 256 already.
    pub async fn issue_token(&self, new: &NewToken) -> Result<(Token, Secret)> {
        self.require_session()?;
        let comment = new.comment.as_deref().unwrap_or_default();
        if comment.chars().count() > MAX_COMMENT || comment.contains(char::is_control) {
            let reason = "comment must be one line of at most 128 characters";
            return Err(Error::invalid("comment", reason));
        }
        let now = self.forge().now();
        if new.expires <= now {
            return Err(Error::invalid("expires", "expires must be in the future"));
        }
        let (store, user) = (self.forge().store(), self.user().id);
        let count = store.personal_tokens(user, now, Page::COUNT).await?;
        if count.total >= MAX_TOKENS {
            let reason = "an account may have at most 256 personal tokens";
            return Err(Error::invalid("token", reason));
        }
        let (text, origin) = new_text(self.forge())?;
        let mut tx = self.begin().await?;
        let token = tx
            .insert_token(user, &text.hash(), new, &origin, now)
            .await?;
        self.note(&mut *tx, "OAuth 2.0 token issued", in_log(&token))
            .await?;
        tx.commit().await?;
        Ok((token, text))
    }

    /// The account's personal tokens that still work, newest first. For pages.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tokens(&self, page: Page) -> Result<Paged<Token>> {
        self.require_session()?;
        let (store, now) = (self.forge().store(), self.forge().now());
        store.personal_tokens(self.user().id, now, page).await
    }

    /// Revokes a personal token; effective on the next request, in every process. For pages.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the account has no such token that still works.
    pub async fn revoke_token(&self, id: TokenId) -> Result<()> {
        self.require_session()?;
        let now = self.forge().now();
        let mut tx = self.forge().store().begin().await?;
        let token = tx.expire_token(id, now).await?.ok_or(Error::NotFound)?;
        if token.user != self.user().id || token.authorization.is_some() {
            return Err(Error::NotFound);
        }
        let forge = self.forge();
        forge
            .tell_ended(&mut *tx, Ended::OfUser(token.user))
            .await?;
        self.note(&mut *tx, "OAuth 2.0 token revoked", in_log(&token))
            .await?;
        tx.commit().await
    }
}

impl System {
    /// Makes a token for a user. Its text is returned this once and not kept.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn issue_token(&self, user: UserId, new: &NewToken) -> Result<(Token, Secret)> {
        let forge = self.forge();
        let (text, origin) = new_text(forge)?;
        let mut tx = forge.store().begin().await?;
        let token = tx
            .insert_token(user, &text.hash(), new, &origin, forge.now())
            .await?;
        forge
            .note(
                &mut *tx,
                user,
                None,
                "OAuth 2.0 token issued",
                in_log(&token),
            )
            .await?;
        tx.commit().await?;
        Ok((token, text))
    }

    /// Revokes a token; effective on the next request, in every process.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn revoke_token(&self, id: TokenId) -> Result<()> {
        let forge = self.forge();
        let mut tx = forge.store().begin().await?;
        if let Some(token) = tx.expire_token(id, forge.now()).await? {
            forge
                .tell_ended(&mut *tx, Ended::OfUser(token.user))
                .await?;
            let details = match token.authorization {
                Some(_) => "a token of an application".to_owned(),
                None => in_log(&token),
            };
            forge
                .note(
                    &mut *tx,
                    token.user,
                    None,
                    "OAuth 2.0 token revoked",
                    details,
                )
                .await?;
        }
        tx.commit().await
    }
}
