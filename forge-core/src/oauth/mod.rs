//! Tokens: what a program shows instead of a password.
//!
//! Invariant: the text of a token exists in memory when it is made and when it is shown back; only its hash is stored.
//! The shape is what SourceHut's clients accept: letters, digits, `+`, `/` and `_`, more than 32 of them.

mod ops;
mod store;

use std::fmt;

use sha2::{Digest as _, Sha256};

pub use store::{OauthReads, OauthWrites};

use crate::Result;
use crate::access::Grants;
use crate::clock::{Entropy, Timestamp};
use crate::ids::{TokenId, UserId};

/// A token, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Row number.
    pub id: TokenId,
    /// Whose it is.
    pub user: UserId,
    /// When it was made.
    pub issued: Timestamp,
    /// From when on it means nobody.
    pub expires: Timestamp,
    /// What it may do.
    pub grants: Grants,
    /// What its owner calls it.
    pub comment: Option<String>,
}

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What it may do.
    pub grants: Grants,
    /// What its owner calls it.
    pub comment: Option<String>,
    /// From when on it means nobody.
    pub expires: Timestamp,
}

/// The text of a token, shown once.
#[derive(Clone)]
pub struct TokenText(String);

impl TokenText {
    /// A new text: a prefix by which scanners for leaked secrets can tell it, and 256 random bits in hex digits,
    /// which need no escape in a URL: `git push https://name:token@host/…`.
    pub(crate) fn generate(entropy: &dyn Entropy) -> Result<Self> {
        let mut secret = [0; 32];
        entropy.fill(&mut secret)?;
        let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(format!("forge_{digits}")))
    }

    /// The text, to hand to the token's owner and to nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}

/// What is stored of a token's text: its SHA-256. The text holds 256 random bits, so no salt and no slow hash is needed,
/// and finding a row by its hash tells an onlooker nothing about other texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The hash of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}
