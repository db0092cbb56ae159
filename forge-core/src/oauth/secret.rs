//! Secrets that the forge makes: the texts of tokens, codes, cookies and client secrets.
//!
//! Invariant: a text exists in memory when it is made and when it is shown back; only its hash is stored. Passwords,
//! which people choose, are not among them: a fast hash would not do.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::Result;
use crate::clock::Entropy;

/// A secret text, shown once.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A new text: `prefix`, by which scanners for leaked secrets can tell it, and 256 random bits in hex digits, which
    /// need no escape in a URL: `git push https://name:token@host/…`.
    pub(crate) fn generate(prefix: &str, entropy: &dyn Entropy) -> Result<Self> {
        let mut secret = [0; 32];
        entropy.fill(&mut secret)?;
        let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(format!("{prefix}{digits}")))
    }

    /// The text, to hand to its owner and to nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What is stored of a secret: its SHA-256. The text holds 256 random bits, so no salt and no slow hash is needed, and
/// finding a row by its hash tells an onlooker nothing about other texts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// The hash of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// The hash in hex digits, for a place where it may be seen.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a text is [`SecretHash::hex`] of this hash; how far it is takes no part in how long that takes.
    #[must_use]
    pub fn is_hex(&self, text: &str) -> bool {
        self.hex().as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}
