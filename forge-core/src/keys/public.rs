//! Public keys as OpenSSH writes them: one line of `authorized_keys` (`sshd(8)`, "AUTHORIZED_KEYS FILE FORMAT").
//!
//! Invariant: what parses is a key that may be used: no certificate, no DSA, no short RSA. Options before the key are
//! kept with the line and mean nothing here.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use md5::Md5;
use sha2::{Digest as _, Sha256};
use ssh_key::authorized_keys::Entry;
use ssh_key::public::KeyData;

use crate::{Error, Result};

/// The longest line, in bytes.
const MAX_LINE: usize = 4096;
/// The longest comment, in characters.
const MAX_COMMENT: usize = 256;
/// The shortest RSA key, in bits.
const MIN_RSA_BITS: u32 = 2048;

/// A public key, and the line it was given as.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    line: String,
    blob: Vec<u8>,
    comment: Option<String>,
}

/// What a key is found by: the SHA-256 of its blob.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl PublicKey {
    /// Reads the first key of a text; empty lines and comments before it are skipped. `field` is what an error names.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no key, or one that may not be used.
    pub fn parse(text: &str, field: &'static str) -> Result<Self> {
        let invalid = |why: &str| Error::invalid(field, format!("{field} {why}"));
        let line = text.lines().map(str::trim);
        let line = line
            .into_iter()
            .find(|line| !line.is_empty() && !line.starts_with('#'));
        let line = line.ok_or_else(|| invalid("is required"))?;
        if line.len() > MAX_LINE {
            return Err(invalid("must have at most 4096 bytes"));
        }
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(invalid("may not hold control characters"));
        }
        let entry: Entry = line
            .parse()
            .map_err(|_| invalid("is not a public key as OpenSSH writes it"))?;
        let key = entry.public_key();
        match key.key_data() {
            KeyData::Dsa(_) => return Err(invalid("is a DSA key, which is not safe any more")),
            KeyData::Rsa(rsa) if rsa.key_size() < MIN_RSA_BITS => {
                return Err(invalid("is an RSA key of fewer than 2048 bits"));
            }
            KeyData::Other(_) => return Err(invalid("is of a type that is not known here")),
            _ => {}
        }
        let comment = key.comment().to_string();
        if comment.chars().count() > MAX_COMMENT {
            return Err(invalid("must have a comment of at most 256 characters"));
        }
        Ok(Self {
            line: line.to_owned(),
            blob: key.to_bytes().map_err(|_| invalid("cannot be encoded"))?,
            comment: Some(comment).filter(|comment| !comment.is_empty()),
        })
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// What its owner calls it.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// What it is found by.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.blob)
    }

    /// The fingerprint as meta.sr.ht prints it: the MD5 of the blob, 16 pairs of hex digits with colons between.
    #[must_use]
    pub fn md5(&self) -> String {
        let digest = Md5::digest(&self.blob);
        let pairs: Vec<_> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        pairs.join(":")
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl Fingerprint {
    /// Of a key's blob: what the second field of its line encodes (RFC 4253 6.6).
    #[must_use]
    pub fn of(blob: &[u8]) -> Self {
        Self(Sha256::digest(blob).into())
    }
}

impl fmt::Display for Fingerprint {
    /// As `ssh-keygen -l` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAhVsUx6WfkWmcH4ZfBu0xBYq1sDGnPUuWDxCLr bob@home";

    #[test]
    fn a_line_is_kept_as_it_was_written() {
        let key = PublicKey::parse(&format!("\n# mine\n  {ED25519}  \nsecond"), "ssh-key");
        let key = key.expect("a key");
        assert_eq!(key.line(), ED25519);
        assert_eq!(key.comment(), Some("bob@home"));
        assert_eq!(key.md5().len(), 47);
        let with_options = format!("no-pty,command=\"echo hi\" {ED25519}");
        let same = PublicKey::parse(&with_options, "ssh-key").expect("a key");
        assert_eq!(same.fingerprint(), key.fingerprint());
        assert_eq!(same.line(), with_options);
    }

    #[test]
    fn what_is_no_key_is_refused_by_the_name_of_its_field() {
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "hello world",
            "ssh-rsa !!!! x",
        ] {
            let error = PublicKey::parse(bad, "ssh-key").expect_err(bad);
            assert!(
                matches!(&error, Error::Invalid(all) if all[0].field == Some("ssh-key")),
                "{bad:?}: {error:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_the_parser(text in any::<String>(), tail in "[A-Za-z0-9+/=]{0,80}") {
            let _ = PublicKey::parse(&text, "ssh-key");
            let _ = PublicKey::parse(&format!("ssh-rsa {tail}"), "ssh-key");
            let _ = PublicKey::parse(&format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{tail}"), "ssh-key");
        }
    }
}
