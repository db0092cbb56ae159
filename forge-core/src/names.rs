//! Names people type: users, repositories, refs, revisions, paths. Parsed once, valid forever.
//!
//! Invariant: a value of these types keeps the rules written on it, so nothing inward checks again.
//! A name says nothing about whether the thing exists.

use std::fmt;
use std::str::FromStr;

use bstr::{BStr, BString, ByteSlice as _};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The longest revision expression, ref name or path accepted, in bytes.
pub const MAX_PATH: usize = 4096;

macro_rules! text_name {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

/// A user's name without the tilde: 2 to 30 lower-case letters, digits, `_` or `-`, the first a letter or `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

text_name!(UserName);

impl UserName {
    /// The canonical form, `~name`.
    #[must_use]
    pub fn canonical(&self) -> String {
        format!("~{self}")
    }

    /// Reads the canonical form; `None` without the tilde or with a bad name after it.
    #[must_use]
    pub fn from_canonical(text: &str) -> Option<Self> {
        text.strip_prefix('~')?.parse().ok()
    }
}

impl FromStr for UserName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = |why| Err(Error::invalid("username", why));
        if !(2..=30).contains(&text.len()) {
            return invalid("username must have 2 to 30 characters");
        }
        if !text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') {
            return invalid("username must start with a lower-case letter or an underscore");
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
        {
            return invalid(
                "username may hold lower-case letters, digits, underscores and dashes only",
            );
        }
        Ok(Self(text.to_owned()))
    }
}

/// A repository's name: 1 to 256 letters, digits, `.`, `_` or `-`; not `.`, `..`, `.git` or `.hg`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoName(String);

text_name!(RepoName);

impl RepoName {
    /// The longest name, in bytes.
    pub(crate) const MAX: usize = 256;
}

impl FromStr for RepoName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = |why| Err(Error::invalid("name", why));
        if text.is_empty() {
            return invalid("name is required");
        }
        if text.len() > Self::MAX {
            return invalid("name must have at most 256 characters");
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        {
            return invalid("name may hold letters, digits, dots, underscores and dashes only");
        }
        if matches!(text, "." | ".." | ".git" | ".hg") {
            return invalid("name is reserved");
        }
        Ok(Self(text.to_owned()))
    }
}

/// Where a repository is found: `~owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepoPath {
    /// The owner's name.
    pub owner: UserName,
    /// The repository's name.
    pub name: RepoName,
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "~{}/{}", self.owner, self.name)
    }
}

impl FromStr for RepoPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (owner, name) = text
            .split_once('/')
            .ok_or_else(|| Error::malformed("a repository is named ~owner/name"))?;
        let owner = owner
            .strip_prefix('~')
            .ok_or_else(|| Error::malformed("the owner needs a tilde: ~owner/name"))?;
        Ok(Self {
            owner: owner.parse()?,
            name: name.parse()?,
        })
    }
}

/// A full ref name, `refs/…` or `HEAD`, as `git check-ref-format` allows it. Not necessarily UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefName(BString);

impl TryFrom<String> for RefName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl From<RefName> for String {
    /// As [`RefName`] prints: a name that is not UTF-8 does not come back.
    fn from(name: RefName) -> Self {
        name.to_string()
    }
}

impl RefName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Error::Invalid`] for field `ref`.
    pub fn new(name: impl Into<BString>) -> Result<Self> {
        let name = name.into();
        if name == "HEAD" || (name.starts_with(b"refs/") && is_ref_format(name.as_bstr())) {
            Ok(Self(name))
        } else {
            Err(Error::invalid(
                "ref",
                format!("{name:?} is not a full ref name"),
            ))
        }
    }

    /// The name's bytes.
    #[must_use]
    pub fn as_bstr(&self) -> &BStr {
        self.0.as_bstr()
    }
}

impl fmt::Display for RefName {
    /// The name as UTF-8, with replacement characters where it is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The rules of `git check-ref-format` (its manual numbers them 1 to 10), one-level names excluded.
fn is_ref_format(name: &BStr) -> bool {
    name.len() <= MAX_PATH
        && !name.ends_with(b".")
        && !name.contains_str("..")
        && !name.contains_str("@{")
        && name
            .bytes()
            .all(|b| b > 0x20 && b != 0x7f && !b"~^:?*[\\".contains(&b))
        && name
            .split_str("/")
            .all(|part| !part.is_empty() && !part.starts_with(b".") && !part.ends_with(b".lock"))
}

/// A revision expression (`gitrevisions(7)`) that names one object: an id or a prefix of one, a ref, `v1~2^{tree}`.
///
/// Ranges and searches through history (`a..b`, `:/text`, `^{/text}`) are refused: the first name no single object,
/// the second cost too much.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RevSpec(BString);

impl RevSpec {
    /// The commit that HEAD names.
    #[must_use]
    pub fn head() -> Self {
        Self("HEAD".into())
    }

    /// Checks an expression.
    ///
    /// # Errors
    /// [`Error::Invalid`] for field `ref`.
    pub fn new(text: impl Into<BString>) -> Result<Self> {
        let text = text.into();
        let invalid = |why: &str| Err(Error::invalid("ref", why));
        if text.is_empty() {
            return invalid("ref is required");
        }
        if text.len() > MAX_PATH {
            return invalid("ref is too long");
        }
        if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return invalid("ref may not hold control characters");
        }
        if text.starts_with(b"-") || text.starts_with(b":") || text.starts_with(b"^") {
            return invalid("ref is not a revision that names one object");
        }
        if text.contains_str("..")
            || text.contains_str("^{/")
            || text.contains_str("^!")
            || text.contains_str("^@")
        {
            return invalid("ref is not a revision that names one object");
        }
        Ok(Self(text))
    }

    /// The expression's bytes.
    #[must_use]
    pub fn as_bstr(&self) -> &BStr {
        self.0.as_bstr()
    }
}

impl From<crate::Oid> for RevSpec {
    fn from(id: crate::Oid) -> Self {
        Self(id.to_string().into())
    }
}

/// A path below a tree's root: entry names, none of them empty, `.`, `..` or holding a NUL. Not necessarily UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TreePath(Vec<BString>);

impl TreePath {
    /// Splits a path at its slashes. An empty text is the root.
    ///
    /// # Errors
    /// [`Error::Invalid`] for field `path`.
    pub fn new(text: impl AsRef<[u8]>) -> Result<Self> {
        let text = text.as_ref();
        let invalid = |why: &str| Err(Error::invalid("path", why));
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.len() > MAX_PATH {
            return invalid("path is too long");
        }
        let mut parts = Vec::new();
        for part in text.split_str("/") {
            match part {
                b"" => return invalid("path may not hold empty parts"),
                b"." | b".." => return invalid("path may not hold `.` or `..`"),
                part if part.contains(&0) => return invalid("path may not hold NUL"),
                part => parts.push(BString::from(part)),
            }
        }
        Ok(Self(parts))
    }

    /// The entry names from the root down.
    #[must_use]
    pub fn parts(&self) -> &[BString] {
        &self.0
    }

    /// Whether it is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last entry's name.
    #[must_use]
    pub fn file_name(&self) -> Option<&BStr> {
        self.0.last().map(|name| name.as_bstr())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_users_keep_the_rules() {
        for good in [
            "al",
            "_x",
            "alice",
            "a-b_9",
            "abcdefghijklmnopqrstuvwxyz0123",
        ] {
            assert_eq!(
                good.parse::<UserName>().map(String::from).ok().as_deref(),
                Some(good)
            );
        }
        for bad in [
            "",
            "a",
            "Alice",
            "9lives",
            "-a",
            "a b",
            "é2",
            "abcdefghijklmnopqrstuvwxyz01234",
            "a\0",
        ] {
            assert!(bad.parse::<UserName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_of_repositories_keep_the_rules() {
        for good in [
            "a",
            "0",
            "-",
            "...",
            "hello.git",
            "A_b-c.9",
            &"x".repeat(256),
        ] {
            assert!(good.parse::<RepoName>().is_ok(), "{good:?}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".git",
            ".hg",
            "a/b",
            "a b",
            "ä",
            "a\n",
            &"x".repeat(257),
        ] {
            assert!(bad.parse::<RepoName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paths_cannot_climb() {
        for bad in ["..", "a/..", "a//b", "/a", "a/", "./a", "a\0b"] {
            assert!(TreePath::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            TreePath::new("a/b c/\u{e9}").map(|p| p.parts().len()).ok(),
            Some(3)
        );
        assert!(TreePath::new("").is_ok_and(|p| p.is_root()));
    }

    proptest! {
        #[test]
        fn no_input_panics_a_parser(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let text = String::from_utf8_lossy(&bytes);
            let _ = (text.parse::<UserName>(), text.parse::<RepoName>(), text.parse::<RepoPath>());
            let _ = (RefName::new(bytes.clone()), RevSpec::new(bytes.clone()), TreePath::new(&bytes));
        }

        #[test]
        fn what_parses_prints_back(text in "~[a-z_][a-z0-9_-]{1,29}/[A-Za-z0-9_-][A-Za-z0-9._-]{0,40}") {
            let path: RepoPath = text.parse().expect("the pattern is the rule");
            prop_assert_eq!(path.to_string(), text);
        }
    }
}
