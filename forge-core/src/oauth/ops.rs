//! What is done with tokens.

use super::{NewToken, Token, TokenHash, TokenText};
use crate::Result;
use crate::access::System;
use crate::ids::{TokenId, UserId};

impl System {
    /// Makes a token for a user. Its text is returned this once and not kept.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn issue_token(&self, user: UserId, new: &NewToken) -> Result<(Token, TokenText)> {
        let text = TokenText::generate(self.forge().entropy())?;
        let mut tx = self.forge().store().begin().await?;
        let token = tx
            .insert_token(user, &TokenHash::of(text.expose()), new, self.forge().now())
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
