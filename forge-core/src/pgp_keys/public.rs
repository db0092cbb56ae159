//! Public PGP keys as they are sent: armored (RFC 9580 6.2).
//!
//! Invariant: a [`PublicPgpKey`] holds one public key with a user id and, when it was parsed, a (sub)key in force that
//! can be encrypted to. Its text is the one that was sent.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::{Error, Result};

/// The longest text accepted, in bytes (meta.sr.ht's limit).
pub(super) const MAX_TEXT: usize = 32_768;

/// The fingerprint of a primary key: 20 bytes for version 4, 32 for version 6. Printed in upper-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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

impl TryFrom<String> for PgpFingerprint {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let invalid = || Error::invalid("fingerprint", "fingerprint must have 40 or 64 hex digits");
        Self::parse(&text).ok_or_else(invalid)
    }
}

impl From<PgpFingerprint> for String {
    fn from(fingerprint: PgpFingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl fmt::Display for PgpFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl PublicPgpKey {
    /// Reads one armored key as it is at `now`. `field` is what an error names.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not one public key that is signed by itself, in force, and can be encrypted to; or if
    /// the crate was built without the feature `pgp`.
    pub fn parse(text: &str, field: &'static str, now: Timestamp) -> Result<Self> {
        let invalid = |why: &str| Error::invalid(field, format!("{field} {why}"));
        // First of all, so that nothing below has more to read.
        if text.len() > MAX_TEXT {
            return Err(invalid("must have at most 32768 bytes"));
        }
        if text.trim().is_empty() {
            return Err(invalid("is required"));
        }
        if text
            .chars()
            .any(|c| c.is_control() && !matches!(c, '\r' | '\n' | '\t'))
        {
            return Err(invalid("may not hold control characters"));
        }
        read(text, now).map_err(invalid)
    }
}

#[cfg(feature = "pgp")]
use super::certificate::read;

#[cfg(not(feature = "pgp"))]
fn read(_: &str, _: Timestamp) -> Result<PublicPgpKey, &'static str> {
    Err("cannot be read: this forge was built without PGP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_in_any_case_and_printed_in_one() {
        let text = "d7ec572959d9d6ed9ca44fa0b1b577374aba3569";
        let fingerprint = PgpFingerprint::parse(text).expect("a fingerprint");
        assert_eq!(fingerprint.to_string(), text.to_uppercase());
        assert!(PgpFingerprint::parse(&"0".repeat(64)).is_some());
        for bad in [
            "",
            "0",
            &text[1..],
            &text.replace('d', "g"),
            "\u{e9}".repeat(20).as_str(),
        ] {
            assert_eq!(PgpFingerprint::parse(bad), None, "{bad:?}");
        }
    }
}
