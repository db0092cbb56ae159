//! What is inside a repository: ids, objects, refs, and the port that reads them.
//!
//! Invariant: an object is what its id says, forever; so everything keyed by an id may be cached. Refs and revisions
//! are not, and are read anew each time. Writing (pushes) is not here.

mod commit;
mod ops;
mod port;
mod tree;

use std::fmt;
use std::str::FromStr;

use bstr::BString;
use serde::{Deserialize, Serialize};

pub use commit::{Commit, Person, Signature};
pub use ops::{At, CommitPage};
pub use port::{BlobContent, GitBackend, GitRepo, ImportSource, Lookup, Staged, Walk, WalkPage};
pub use tree::{Entry, EntryKind, Tree};

use crate::names::RefName;
use crate::{Error, Result};

/// An object's id: 20 bytes of SHA-1 or 32 of SHA-256, printed as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Oid {
    len: u8,
    bytes: [u8; 32],
}

impl Oid {
    /// An id of 20 or 32 bytes; `None` for any other number.
    #[must_use]
    pub fn from_bytes(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        let len = match id.len() {
            20 => 20,
            32 => 32,
            _ => return None,
        };
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        Some(Self { len, bytes })
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        // `len` is 20 or 32.
        self.bytes
            .get(..usize::from(self.len))
            .unwrap_or(&self.bytes)
    }
}

impl TryFrom<String> for Oid {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Oid> for String {
    fn from(id: Oid) -> Self {
        id.to_string()
    }
}

impl FromStr for Oid {
    type Err = Error;

    /// Reads 40 or 64 hex digits of either case.
    fn from_str(text: &str) -> Result<Self> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        let invalid = || Error::invalid("id", "id must be a full object id");
        if !matches!(digits.len(), 40 | 64) {
            return Err(invalid());
        }
        for (pair, byte) in digits.chunks_exact(2).zip(&mut bytes) {
            let digit = |b: u8| {
                char::from(b)
                    .to_digit(16)
                    .and_then(|d| u8::try_from(d).ok())
            };
            let (high, low) = (
                digit(pair[0]).ok_or_else(invalid)?,
                digit(pair[1]).ok_or_else(invalid)?,
            );
            *byte = high << 4 | low;
        }
        Ok(Self {
            len: if digits.len() == 40 { 20 } else { 32 },
            bytes,
        })
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (byte, pair) in self.as_bytes().iter().zip(text.chunks_exact_mut(2)) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        let text = &text[..usize::from(self.len) * 2];
        f.pad(std::str::from_utf8(text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

/// The beginning of an object's id: 4 to 64 hex digits, lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OidPrefix(String);

impl OidPrefix {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OidPrefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if !(4..=64).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::invalid("id", "id must have 4 to 64 hex digits"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A commit.
    Commit,
    /// A tree.
    Tree,
    /// A blob.
    Blob,
    /// An annotated tag.
    Tag,
}

impl Kind {
    /// Git's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

/// A ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    /// Its full name.
    pub name: RefName,
    /// The object it names: of an annotated tag, the tag itself. Symbolic refs are followed.
    pub target: Oid,
    /// What remains when tags are followed; the target itself if that is no tag.
    pub peeled: Oid,
    /// The ref it stands for, if it is symbolic.
    pub symbolic: Option<RefName>,
}

/// An object, decoded. Blobs are not among them: they are streamed, see [`GitRepo::content`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Object {
    /// A commit.
    Commit(std::sync::Arc<Commit>),
    /// A tree.
    Tree(std::sync::Arc<Tree>),
    /// A blob of that many bytes.
    Blob(u64),
    /// An annotated tag.
    Tag(std::sync::Arc<Tag>),
}

impl Object {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Commit(_) => Kind::Commit,
            Self::Tree(_) => Kind::Tree,
            Self::Blob(_) => Kind::Blob,
            Self::Tag(_) => Kind::Tag,
        }
    }
}

/// An annotated tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its own id.
    pub id: Oid,
    /// The object it names, which may be another tag.
    pub target: Oid,
    /// What that object is.
    pub target_kind: Kind,
    /// The name inside the object.
    pub name: BString,
    /// Who made it, if it says so.
    pub tagger: Option<Person>,
    /// The text, without a signature after it.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_print_as_they_parse(text in "[0-9a-f]{40}|[0-9a-f]{64}") {
            let id: Oid = text.parse().expect("the pattern is the rule");
            prop_assert_eq!(id.to_string(), text);
            prop_assert_eq!(Oid::from_bytes(id.as_bytes()), Some(id));
        }

        #[test]
        fn no_text_panics_the_parsers(text in ".{0,70}") {
            let _ = (text.parse::<Oid>(), text.parse::<OidPrefix>());
        }
    }

    #[test]
    fn an_id_pads_and_cuts_like_text() {
        let id: Oid = "0123456789abcdef0123456789abcdef01234567"
            .parse()
            .expect("an id");
        assert_eq!(format!("{id:.7}"), "0123456");
    }
}
