//! Public keys as OpenSSH writes them: one line of `authorized_keys` (`sshd(8)`, "AUTHORIZED_KEYS FILE FORMAT").
//!
//! Invariant: what parses is a key that may be used: no certificate, no DSA, no short RSA. Options before the key are
//! kept with the line and mean nothing here.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ssh_key::public::KeyData;

use crate::{Error, Result};

/// The longest line, in bytes.
const MAX_LINE: usize = 4096;
/// The longest comment, in characters.
const MAX_COMMENT: usize = 256;
/// What separates the words of a line.
const BLANKS: [char; 2] = [' ', '\t'];
/// The shortest RSA key, in bits.
const MIN_RSA_BITS: u32 = 2048;

/// A public key, and the line it was given as.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'));
        let line = line.ok_or_else(|| invalid("is required"))?;
        if line.len() > MAX_LINE {
            return Err(invalid("must have at most 4096 bytes"));
        }
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(invalid("may not hold control characters"));
        }
        let found = written(line).or_else(|| written(past_options(line)?));
        let Some((key, blob, comment)) = found else {
            return Err(invalid("is not a public key as OpenSSH writes it"));
        };
        match key {
            KeyData::Dsa(_) => return Err(invalid("is a DSA key, which is not safe any more")),
            KeyData::Rsa(rsa) if rsa.key_size() < MIN_RSA_BITS => {
                return Err(invalid("is an RSA key of fewer than 2048 bits"));
            }
            KeyData::Other(_) => return Err(invalid("is of a type that is not known here")),
            _ => {}
        }
        if comment.chars().count() > MAX_COMMENT {
            return Err(invalid("must have a comment of at most 256 characters"));
        }
        Ok(Self {
            line: line.to_owned(),
            blob,
            comment: Some(comment.to_owned()).filter(|comment| !comment.is_empty()),
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

impl TryFrom<String> for PublicKey {
    type Error = Error;

    fn try_from(line: String) -> Result<Self> {
        Self::parse(&line, "key")
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.line
    }
}

/// A key's type, its blob in base64, and a comment: the key, the blob, the comment.
fn written(text: &str) -> Option<(KeyData, Vec<u8>, &str)> {
    let (kind, rest) = text.split_once(BLANKS)?;
    let rest = rest.trim_start_matches(BLANKS);
    let (encoded, comment) = rest.split_once(BLANKS).unwrap_or((rest, ""));
    let blob = STANDARD.decode(encoded).ok()?;
    let key = ssh_key::PublicKey::from_bytes(&blob).ok()?;
    // A key that could be written in two ways would have two fingerprints.
    let is_one = key.algorithm().as_str() == kind && key.to_bytes().ok()? == blob;
    is_one.then(|| (key.key_data().clone(), blob, comment.trim_matches(BLANKS)))
}

/// What comes after the options of a line: they end at the first blank outside quotes.
fn past_options(line: &str) -> Option<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let end = line.find(|c: char| {
        let is_literal = std::mem::take(&mut is_escaped);
        match c {
            '"' if !is_literal => is_quoted = !is_quoted,
            '\\' => is_escaped = true,
            _ => {}
        }
        !is_quoted && BLANKS.contains(&c)
    })?;
    Some(line[end..].trim_start_matches(BLANKS))
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

    /// Keys of every type that OpenSSH makes, with the MD5 and SHA-256 that `ssh-keygen -l` prints.
    const KINDS: [(&str, &str, &str); 8] = [
        (
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICiGI03BBNea3NblRN3HJ+FIYwHPREIJ/hpjae6M+J2/",
            "b6:2d:19:6d:75:60:24:81:35:f2:ef:c8:bd:6c:8a:1f",
            "SHA256:Iiccul+Z0gch+vrgfZiN95QunKguAIyQ8CLOpOlDFK4",
        ),
        (
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBJ5xFDrRKMPlxgw8YffMuUkgFITJ\
         3KZy0/tjp/qMlVQvTBBaKZ5U18y9bdfYYdyglga1PN0y3FrkJWPd1kBBn84=",
            "b7:52:4d:82:92:eb:97:6e:59:f2:e0:88:a1:ad:12:ad",
            "SHA256:R5s0OCGOYE9KsG0roWlQgKnrnhqJoIEtEWTYXRgAV38",
        ),
        (
            "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBOwOmIHhSx2nASRE7GxxylBW9/aJ\
         pImo1hohxi5GArHm/HsR/2wjli+Hu6uNk0yQ8URcreUFDAb9A3aTRYjJIyaCHgxnEeQxjPiM/iN+w1xiW8CBzJ/MeFAQWMVyG2cd\
         dw==",
            "83:8d:36:d7:d1:fd:0b:95:a9:d9:3c:44:5d:94:b4:67",
            "SHA256:QTugYqTQHu4XnYEjhsdfnAhPMltwqFAqevawXSH+zSc",
        ),
        (
            "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAEADBHwS6SvM5sMZgmvbOPcF3Vk\
         PlAHAiVIVAdm4ETUOs8loE10UJBdARXM0jFVmA/ttLJ4SRz5SJtO8dyBu7TqOwHwF46KNogLRRb8a+TkbxuEy4AxIJylnpr+4M4j\
         GH4v1P63RPBPrNl3VQ/kuX2it9DMlBsOG8ed45BLjSZ9wxa02A==",
            "ab:1d:3a:40:0d:97:96:e6:a7:96:d9:d8:01:5b:2f:42",
            "SHA256:0Jel/cg5NSKYTiFIRDIvCAe7sk8VevIbxWB5khUNCps",
        ),
        (
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC0YXcTamsnGZE3T+21yb+20TnesBVX/JcMCdIY9HfQka2bj/rD3Nig6+9W9TFv\
         mBa/4NUaX7o0mHpzuQjVBl1sMyCW4MYJlcqnlSqbe+3WbhcTUL4SoM6clLPkUGUlXnIDgmRXRu/L7dM0inzxChLQDlKh2aTVdIgq\
         XL8BBB0UFkt1up1d1QRaquUK0uPCcPEkOBnwzDrrad/7Qc8KKI7EUQl2X05KAHut+RZfN0c/xphqC2hxJ6i0vLV2tmhTAUaq6q7B\
         Q1QdCPy6uNg1+B8X/ET3kXGp6kOzcQtDGolx9IVqGSYvUl8dE2hzW4WcRcYZU+Qyqk7ZtJ5zY3ukZo1j",
            "05:f3:b2:20:66:85:ab:34:3a:ab:ef:28:32:2a:53:d6",
            "SHA256:+xu0KbUl6xLaN1+6Dy4aaR3Xw1VdEyPSQ2tCRwqVt/I",
        ),
        (
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCTPAS2FLCsnK2uDSFFcIGpVcB6dOwUOOEl9XaSu41wvvHPg45+VY3vFCpw1Lsm\
         a+z6R1xTQ1ufVnrGSgkvQ4iSTtsZsIJoKhYHZ1Z73HI4Gml9oJpsYu43ODGlgijwGGOYS7fFVDW70Eh9pU+yDZYxdEo4k6FchwQU\
         9M9q+1yi5jpjNLoxlbRQBBQDefFr+s0gqHgWgeCAzfSQCPBp+6u2QKiwThk8tHluHg5tBncJHqgDU83AOUbstg6O1wIJ/FD9ohgm\
         gyH8G8KsLFmF90Dtr6Ntx5vncQ8oO6aH/IgdK3+motMDt/DmLWmG7ZY60BQ7URjw0OFKQANev3k29hDpMyw9sse4usNF71bRIbot\
         AJ5sC6gnBbKk+1gw14yvu474wj/4eelt/YvL7qKTliJyylsPydjZE9TnizrgBmglgXw0+dbu4wTUGyCBBLe4u0XzHjGFwfJAk2NV\
         S9w9nYXD1YKIWuC84qckx3NGWbaLDX0Loo+ijDEipL6hxo6cT8E=",
            "06:83:77:f9:85:d3:bf:0d:65:1e:63:31:ba:12:70:e1",
            "SHA256:qB+wB1O6MehupxvZW69m+eYZY7i7BUIXWo6qQUYqtI0",
        ),
        (
            "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAICFo/k5LU8863u66YC9eUO2170Qdu\
         ohPURkQnbLa/dczAAAABHNzaDo=",
            "82:72:2d:96:a2:2c:45:34:0d:1a:21:f3:9a:e7:69:35",
            "SHA256:6WZVJ44bqhAWLVP4Ns0TDkoSQSsZo/h2K+mEvOaNFbw",
        ),
        (
            "sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyN\
         TYAAABBBIELQJ2DgvaX1yQlKFokfWM2suuaCFI2qp0eJodHyg6O4ifxc3XpRKd1OS8dNYQtE/YjdXSrA+AOnMF5ns2Nkx4AAAAEc\
         3NoOg==",
            "1e:cd:f3:cd:99:68:3f:38:15:84:de:df:bb:c5:c1:75",
            "SHA256:UINe2WXFh3SiqwLxsBv34fBO2ei+g7uOeJJXVEK95iE",
        ),
    ];
    /// Keys that may not be used, and why.
    const REFUSED: [(&str, &str); 3] = [
        (
            "ssh-dss AAAAB3NzaC1kc3MAAACBAOPO+xwu/wFIwvRvT7Rcnksn30mj34Jttd41sibceZUF4gXDv8UNnBfn2WDXGTxVMB84epMX\
         jv92DRtykRQGn3QMbBZh42bKfM/IhX6K5g87e1LQ+iFIazZxglaOl11tOlKROMhm/4oWEaE2aFug7cNhXLRuikGqt+d/IdCkF0SZ\
         AAAAFQClZcyaL9wRIStbNOEX6POBJf+hvQAAAIBINsDSNvLW19meco9pXlGqztwbWBDU4soVT+8EIICLzvd/NgJww1udtYuo+815\
         8IjyzKzqOrzWDmgwzvCiQDPL5enOXTP7ZeejptNLhXHhgHOED1Fb5Wfews2xmpiIFodVl9P71XTIMNut4U4nLHD5Rg2F2RcXn2cK\
         3KrJuYQWYwAAAIEAxmzuFxzYXZmZUvjXBoBDiBG/LYT8IoSKAjT6iM4AO3YFGNAyR8iGsJszv3P18EPM6GmBL5+ENpOOkoS11Fc7\
         GNekbHKV1rQvZ41ixOFKgO3zpyPQoWcQCbM0ue++KzRDDmhLXHtWzLXVbXjW2ZbSXo8SmQ20ZDrxF/5l5oF54Yg=",
            "ssh-key is a DSA key, which is not safe any more",
        ),
        (
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDGQCHz5fHDq585226B7B51M93qgAnG8fIdiC1/yxmst+ZiW2lmJv1oWrG6BshE\
         JVKnPh1jEE94zbRdgs91eQdnynQZAlDrBEVFwIDuwQswv8vIadkzJwYS1Zq8MQYZjBatiROzMXJ9IqWwsnaLnVC8+nITSgqy0HHO\
         9ILzyvQ/mQ==",
            "ssh-key is an RSA key of fewer than 2048 bits",
        ),
        (
            "name@example.com AAAAEG5hbWVAZXhhbXBsZS5jb20AAAAgiI8k7het/tAJHmfkhfuYRM/tYHLKwdBjkOQAX1AVtE8=",
            "ssh-key is of a type that is not known here",
        ),
    ];
    const CERTIFICATE: &str = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIAYkJPGaYen7NK8\
         MwZwWmNAyRaFNsc86AU9NObU2cM2uAAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqtiAAAAAAAAAAAAAAACAAAAB2V\
         kMjU1MTkAAAAUAAAAEGhvc3QuZXhhbXBsZS5jb20AAAAAYkx3NwAAAAB8DuY3AAAAAAAAAAAAAAAAAAAAMwAAAAtzc2gtZWQyNTU\
         xOQAAACCzPq7zfqLffKoBDe/eo04kH2XxtSmk9D7RQyf1xUqrYgAAAFMAAAALc3NoLWVkMjU1MTkAAABApVXBNiYPlPoa1BYH5G4\
         NP9XtjTMZlm7HO5GdbLSvvAw5Vdob7Ka+23hB7isJKHYtzFGGSKXAqxp/Zi8REbCaAw==";

    fn parse(line: &str) -> Result<PublicKey> {
        PublicKey::parse(line, "ssh-key")
    }

    fn refusal(line: &str) -> String {
        match parse(line).expect_err(line) {
            Error::Invalid(faults) => faults[0].reason.clone(),
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn every_type_of_key_that_is_safe_is_known() {
        for (line, md5, sha256) in KINDS {
            let key = parse(line).expect(line);
            assert_eq!(key.line(), line);
            assert_eq!(key.comment(), None);
            assert_eq!(key.md5(), md5, "{line}");
            assert_eq!(key.fingerprint().to_string(), sha256, "{line}");
        }
    }

    #[test]
    fn keys_that_are_not_safe_are_refused_with_the_reason() {
        for (line, why) in REFUSED {
            assert_eq!(refusal(line), why, "{line}");
        }
    }

    #[test]
    fn options_end_at_the_first_blank_outside_quotes() {
        let plain = parse(ED25519).expect("a key");
        for options in [
            "no-pty",
            "restrict,pty \t",
            "command=\"echo hi\",no-pty",
            r#"command="say \"a b\" \\" ssh-rsa" "#,
            "environment=\"A=ssh-ed25519 AAAA\"",
        ] {
            let key = parse(&format!("{options} {ED25519}")).expect(options);
            assert_eq!(key.fingerprint(), plain.fingerprint(), "{options}");
            assert_eq!(key.comment(), plain.comment(), "{options}");
        }
        for bad in ["command=\"echo hi", "no-pty no-pty", "command=\"a\"b c"] {
            assert!(parse(&format!("{bad} {ED25519}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_comment_is_what_remains_of_the_line() {
        let (key, _) = ED25519.rsplit_once(' ').expect("a comment");
        for (written, comment) in [
            ("", None),
            (" ", None),
            ("  a  b ", Some("a  b")),
            ("\t\u{e9}va's key # 1", Some("\u{e9}va's key # 1")),
        ] {
            let key = parse(&format!("{key}{written}")).expect(written);
            assert_eq!(key.comment(), comment, "{written:?}");
        }
        let long = format!("{key} {}", "\u{e9}".repeat(MAX_COMMENT));
        assert!(parse(&long).is_ok());
        assert_eq!(
            refusal(&format!("{long}x")),
            "ssh-key must have a comment of at most 256 characters"
        );
        assert_eq!(
            refusal(&format!("{key} {}", "x".repeat(MAX_LINE))),
            "ssh-key must have at most 4096 bytes"
        );
        assert_eq!(
            refusal(&format!("{key} a\u{7}b")),
            "ssh-key may not hold control characters"
        );
    }

    #[test]
    fn a_blob_of_another_type_or_with_more_behind_it_is_no_key() {
        let (_, blob) = ED25519.split_once(' ').expect("a type");
        assert!(parse(&format!("ssh-rsa {blob}")).is_err());
        let blob = blob.split(' ').next().expect("a blob");
        assert!(parse(&format!("ssh-ed25519 {blob}AAAA")).is_err());
    }

    #[test]
    fn a_line_is_kept_as_it_was_written() {
        let key = parse(&format!("\n# mine\n  {ED25519}  \nsecond")).expect("a key");
        assert_eq!(key.line(), ED25519);
        assert_eq!(key.comment(), Some("bob@home"));
        assert_eq!(key.md5().len(), 47);
        let with_options = format!("no-pty,command=\"echo hi\" {ED25519}");
        let same = parse(&with_options).expect("a key");
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
            CERTIFICATE,
        ] {
            let error = parse(bad).expect_err(bad);
            assert!(
                matches!(&error, Error::Invalid(all) if all[0].field == Some("ssh-key")),
                "{bad:?}: {error:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_the_parser(text in any::<String>(), tail in "[A-Za-z0-9+/=]{0,80}") {
            let _ = parse(&text);
            let _ = parse(&format!("ssh-rsa {tail}"));
            let _ = parse(&format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{tail}"));
            let _ = parse(&format!("{text} {ED25519}"));
        }
    }
}
