//! The storage contract of tokens.

use async_trait::async_trait;

use super::{NewToken, Token, TokenHash};
use crate::Result;
use crate::clock::Timestamp;
use crate::ids::{TokenId, UserId};
use crate::users::User;

/// Reading tokens.
#[async_trait]
pub trait OauthReads: Send + Sync {
    /// The token of that hash with its user, expired or not.
    async fn token_by_hash(&self, hash: &TokenHash) -> Result<Option<(Token, User)>>;
}

/// Writing tokens.
#[async_trait]
pub trait OauthWrites: Send {
    /// Adds a token.
    async fn insert_token(
        &mut self,
        user: UserId,
        hash: &TokenHash,
        new: &NewToken,
        now: Timestamp,
    ) -> Result<Token>;
    /// Ends a token's life at `now`, if it lasts longer.
    async fn expire_token(&mut self, id: TokenId, now: Timestamp) -> Result<()>;
}
