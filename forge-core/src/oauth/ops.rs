//! What is done with tokens.

use chrono::TimeDelta;

use super::{NewToken, Secret, Token, TokenOrigin};
use crate::access::System;
use crate::ids::{TokenId, UserId};
use crate::{Forge, Result};

/// What the texts of tokens begin with.
pub(crate) const TOKEN_PREFIX: &str = "forge_";
/// How many characters of a token's text its owner is shown again.
const HINT: usize = 8;
/// How long a token's last use is not noted again.
const NOTED: TimeDelta = TimeDelta::hours(1);

/// A new token's text and where it comes from.
pub(crate) fn new_text(forge: &Forge) -> Result<(Secret, TokenOrigin)> {
    let text = Secret::generate(TOKEN_PREFIX, forge.entropy())?;
    let digits = text.expose().get(TOKEN_PREFIX.len()..).unwrap_or_default();
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

impl System {
    /// Makes a token for a user. Its text is returned this once and not kept.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn issue_token(&self, user: UserId, new: &NewToken) -> Result<(Token, Secret)> {
        let (text, origin) = new_text(self.forge())?;
        let mut tx = self.forge().store().begin().await?;
        let token = tx
            .insert_token(user, &text.hash(), new, &origin, self.forge().now())
            .await?;
        tx.commit().await?;
        Ok((token, text))
    }

    /// Revokes a token; effective on the next request, in every process.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn revoke_token(&self, id: TokenId) -> Result<()> {
        let mut tx = self.forge().store().begin().await?;
        tx.expire_token(id, self.forge().now()).await?;
        tx.commit().await
    }
}
