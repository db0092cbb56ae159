//! Public PGP keys as they are sent: armored (RFC 9580 6.2).
//!
//! Invariant: a [`PublicPgpKey`] holds one public key with a user id and, when it was parsed, a (sub)key in force that
//! can be encrypted to. Its text is the one that was sent.

use std::fmt;

use crate::clock::Timestamp;

/// The longest text accepted, in bytes (meta.sr.ht's limit).
pub const MAX_TEXT: usize = 32_768;

/// The fingerprint of a primary key: 20 bytes for version 4, 32 for version 6. Printed in upper-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PgpFingerprint(pub Vec<u8>);

impl PgpFingerprint {
    /// Reads 40 or 64 hex digits of either case; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if !matches!(text.len(), 40 | 64) {
            return None;
        }
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        let pairs = text.as_bytes().chunks_exact(2);
        let bytes = pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
        bytes.collect::<Option<_>>().map(Self)
    }
}

impl fmt::Display for PgpFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicPgpKey {
    /// The armored text, as it was sent.
    pub text: String,
    /// The primary key's fingerprint.
    pub fingerprint: PgpFingerprint,
    /// The e-mail address of the first user id that has one.
    pub email: Option<String>,
    /// When it ceases to be encrypted to, if that is known.
    pub expiration: Option<Timestamp>,
}
