//! Clients: the applications that ask users for authorizations (RFC 6749 2).
//!
//! Invariant: a client's id is never used again, and a client that was revoked stays so. Who registered it has no more
//! rights than its users give.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::SecretHash;
use crate::clock::Timestamp;
use crate::ids::{ClientRow, UserId};
use crate::{Error, Result};

/// How many characters of a client's name are in a log.
const LOGGED_NAME: usize = 64;

/// The public name of a client: a UUID, or, in the older scheme, 16 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ClientId(String);

impl ClientId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> Self {
        id.0
    }
}

impl TryFrom<String> for ClientId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClientId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_hex = |c: u8| c.is_ascii_digit() || matches!(c, b'a'..=b'f');
        let fits = match text.len() {
            16 => text.bytes().all(is_hex),
            36 => text.bytes().all(|c| is_hex(c) || c == b'-'),
            _ => false,
        };
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::invalid(
                "client_id",
                "client_id is not that of a client",
            ))
        }
    }
}

/// What a client can keep to itself, and which scheme it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// OAuth 2.0; has a secret.
    Confidential,
    /// OAuth 2.0; runs where its users can look into it, so it has no secret and must use PKCE.
    Public,
    /// SourceHut's older scheme; has a secret.
    Legacy,
}

/// A client.
#[derive(Clone, PartialEq, Eq)]
pub struct Client {
    /// Row number.
    pub id: ClientRow,
    /// Its public name.
    pub client_id: ClientId,
    /// Who registered it.
    pub owner: UserId,
    /// What it is.
    pub kind: ClientKind,
    /// What users are told it is called.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Where users find out about it.
    pub url: Option<String>,
    /// Where users are sent back to.
    pub redirect_uri: String,
    /// The hash of its secret; `None` for a public client.
    pub secret: Option<SecretHash>,
    /// When it was registered.
    pub created: Timestamp,
    /// When it was revoked; `None` while it is in force.
    pub revoked: Option<Timestamp>,
    /// Whether an operator has said that it is a service of the forge's own network, which may make scopes for itself and
    /// ask about tokens. Its users are asked as any other client's.
    pub is_first_party: bool,
}

impl Client {
    /// How accounts' logs call it: name and id. A name may be long, and must not push what follows out of the line.
    pub(crate) fn in_log(&self) -> String {
        let mut name: String = self.name.chars().take(LOGGED_NAME).collect();
        if name.len() < self.name.len() {
            name.push('…');
        }
        format!("{name} ({})", self.client_id)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("client_id", &self.client_id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A client to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClient {
    /// What it is.
    pub kind: ClientKind,
    /// What users are told it is called: 1 to 256 characters.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Where users find out about it.
    pub url: Option<String>,
    /// Where users are sent back to: an absolute URI without fragment.
    pub redirect_uri: String,
}
