//! Scopes that other services of a network have made for themselves, as grants hold them.
//!
//! Invariant: a grant holds a scope by its number, too: one that is made later under the same name is another. What such a
//! scope lets anybody do is its service's affair; the forge hands it out and tells of it.

use std::fmt;
use std::str::FromStr;

use crate::ids::DelegatedScopeId;
use crate::oauth::ClientId;
use crate::{Error, Result};

/// The name of a scope that a service has made: 1 to 64 lower-case letters and underscores.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeName(String);

impl ScopeName {
    /// The longest name. meta.sr.ht has no limit but its column's, which is longer.
    pub const MAX: usize = 64;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScopeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ScopeName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_good = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        if (1..=Self::MAX).contains(&text.len()) && text.bytes().all(is_good) {
            return Ok(Self(text.to_owned()));
        }
        let reason = "name must be 1 to 64 lower-case letters and underscores";
        Err(Error::invalid("name", reason))
    }
}

/// A service's scope as text names it: `0123456789abcdef/lists`. There need not be such a scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Named {
    /// Which service's it is.
    pub client: ClientId,
    /// What that service calls it.
    pub name: ScopeName,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.client, self.name)
    }
}

impl FromStr for Named {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (client, name) = text
            .split_once('/')
            .ok_or_else(|| Error::invalid("scopes", format!("{text:?} is not a scope")))?;
        Ok(Self {
            client: client.parse()?,
            name: name.parse()?,
        })
    }
}

/// A service's scope as it was granted. It may be gone by now.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Delegated {
    /// Its name.
    pub named: Named,
    /// Its row.
    pub id: DelegatedScopeId,
}
