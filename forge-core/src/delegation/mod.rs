//! What a network's other services leave to the meta service: their scopes, the question whose a token is, and hearing when
//! it ends.
//!
//! Invariant: a service that has verified a token is told when the token ends before its time, however that comes about: the
//! telling is queued in the transaction that ends it. Which client is such a service, an operator says
//! ([`crate::System::trust_client`]).
//! It does not know how services are reached: see [`Courier`].

mod courier;
mod ops;
mod store;

pub use courier::Courier;
pub use ops::{Verified, Wanted};
pub use store::{DelegationReads, DelegationWrites};

use std::fmt;

use sha2::{Digest as _, Sha512};

use crate::access::{Delegated, ScopeName};
use crate::clock::Timestamp;
use crate::ids::{ClientRow, TokenId, UserId};

/// A scope that a service has made for itself. It never changes; one that is made anew is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegatedScope {
    /// Its number, its name, and whose it is.
    pub scope: Delegated,
    /// What users are told that service is called.
    pub service: String,
    /// When it was made.
    pub created: Timestamp,
    /// What users are told it is.
    pub description: String,
    /// Whether there is anything to write.
    pub is_writable: bool,
}

/// A scope to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelegatedScope {
    /// Its name, unique among its service's.
    pub name: ScopeName,
    /// What users are told it is: one line of 1 to 512 characters.
    pub description: String,
    /// Whether there is anything to write.
    pub is_writable: bool,
}

/// A token's text as services know it: its SHA-512.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest(pub [u8; 64]);

impl TokenDigest {
    /// The digest of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha512::digest(text.as_bytes()).into())
    }

    /// The digest in hex digits.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

/// Who wants to be told of a token's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWatch {
    /// Of which one's.
    pub token: TokenId,
    /// Which service.
    pub client: ClientRow,
    /// Where.
    pub url: String,
    /// How it knows the token.
    pub digest: TokenDigest,
}

/// What there is to tell a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Where.
    pub url: String,
    /// Which token has ended.
    pub digest: TokenDigest,
}

/// Whose tokens may have ended by a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A user's, and those of the clients that the user has registered.
    OfUser(UserId),
    /// Those of one client.
    OfClient(ClientRow),
}
