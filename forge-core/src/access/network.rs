//! Requests that the network's servers have signed: Ed25519 over the body and the digits of a nonce after it (SourceHut's
//! `X-Payload-Signature` and `X-Payload-Nonce`).
//!
//! Invariant: a [`Network`] is had for one request, signed with the key that the forge was given, whose nonce was not seen
//! before. What is signed names neither method nor path, and users are sent webhooks that are signed alike: nothing may hang
//! on it that matters. A nonce has exactly 16 digits: what is signed has no mark between body and nonce, so with any other length the
//! same signature would fit a body that ends elsewhere, under a nonce that is new.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use ed25519_dalek::{Signature, VerifyingKey};

use crate::{Error, Forge, Result};

/// How many hex digits a nonce has.
const NONCE: usize = 16;
/// How long a nonce is remembered, as on meta.sr.ht.
pub(crate) const NONCES_KEPT: TimeDelta = TimeDelta::days(90);

/// The public key with which the network's servers sign: base64 of 32 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkKey(VerifyingKey);

impl FromStr for NetworkKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = |why: &str| Error::invalid("network_key", format!("network_key {why}"));
        let bytes = STANDARD
            .decode(text)
            .map_err(|_| invalid("must be base64"))?;
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| invalid("must be 32 bytes long"))?;
        let key = VerifyingKey::from_bytes(&bytes).ok();
        let key = key.filter(|key| !key.is_weak());
        Ok(Self(key.ok_or_else(|| {
            invalid("must be a public key of Ed25519")
        })?))
    }
}

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkKey")
    }
}

impl NetworkKey {
    fn has_signed(&self, given: &Signed<'_>) -> bool {
        let signature = STANDARD.decode(given.signature).ok();
        let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
        let message = [given.body, given.nonce.as_bytes()].concat();
        signature.is_some_and(|signature| self.0.verify_strict(&message, &signature).is_ok())
    }
}

/// A request with its signature.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The body, whole.
    pub body: &'a [u8],
    /// 16 hex digits, lower-case, new with each request.
    pub nonce: &'a str,
    /// Base64 of 64 bytes.
    pub signature: &'a str,
}

/// A server of the network, for one request.
#[derive(Debug)]
#[must_use]
pub struct Network(Forge);

impl Forge {
    /// Finds out whether one of the network's servers is calling. The nonce is used up by that.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the forge was given no key, the signature does not fit, or the nonce was seen in the last
    /// 90 days.
    pub async fn authenticate_network(&self, given: &Signed<'_>) -> Result<Network> {
        let refused = || Error::forbidden("this request is not signed, or was seen before");
        let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        let key = self.network_key().ok_or_else(refused)?;
        let is_nonce = given.nonce.len() == NONCE && given.nonce.bytes().all(is_digit);
        if !is_nonce || !key.has_signed(given) {
            return Err(refused());
        }
        let mut tx = self.store().begin().await?;
        if !tx.remember_nonce(given.nonce, self.now()).await? {
            return Err(refused());
        }
        tx.commit().await?;
        Ok(Network(self.clone()))
    }
}

impl Network {
    pub(crate) fn forge(&self) -> &Forge {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    #[test]
    fn a_network_key_is_the_base64_of_a_public_key() {
        let key = SigningKey::from_bytes(&[7; 32]).verifying_key();
        assert!(
            STANDARD
                .encode(key.as_bytes())
                .parse::<NetworkKey>()
                .is_ok()
        );
        for bad in [
            String::new(),
            "not base64".to_owned(),
            STANDARD.encode([7; 31]),
            STANDARD.encode([7; 33]),
            // No point of the curve, and one of small order.
            STANDARD.encode([2; 32]),
            STANDARD.encode([0; 32]),
        ] {
            assert!(bad.parse::<NetworkKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn body_and_nonce_are_signed() {
        let secret = SigningKey::from_bytes(&[7; 32]);
        let key = NetworkKey(secret.verifying_key());
        let signature = STANDARD.encode(secret.sign(b"{}0123456789abcdef").to_bytes());
        let given = Signed {
            body: b"{}",
            nonce: "0123456789abcdef",
            signature: &signature,
        };
        assert!(key.has_signed(&given));
        for wrong in [
            Signed {
                body: b"{ }",
                ..given
            },
            Signed {
                nonce: "0123456789abcdee",
                ..given
            },
            Signed {
                signature: "",
                ..given
            },
            Signed {
                signature: &signature[4..],
                ..given
            },
        ] {
            assert!(!key.has_signed(&wrong), "{wrong:?}");
        }
        let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
        assert!(!NetworkKey(other).has_signed(&given));
    }
}
