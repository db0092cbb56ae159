//! Who acts, and what they show for it.
//!
//! Invariant: an [`Actor`] comes out of verified credentials alone. It carries no rights.

use crate::identity::Profile;
use crate::ids::UserId;
use crate::keys::Fingerprint;

/// Whoever makes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Actor {
    /// Nobody in particular: may read what is public or unlisted, where a transport admits them at all.
    Anonymous,
    /// A user of this forge, in good standing.
    User(UserId),
    /// Whoever holds a repository's deploy key: nobody, except to that repository.
    DeployKey,
}

/// What a request shows to prove who makes it.
#[non_exhaustive]
pub enum Credentials<'a> {
    /// Nothing.
    None,
    /// The text of a token.
    Token(&'a str),
    /// An SSH key whose signature was verified.
    SshKey(Fingerprint),
    /// A browser that an [`crate::IdentityProvider`] knows. Good for pages, never for an API.
    Session(&'a Profile),
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(..)",
            Self::SshKey(_) => "SshKey(..)",
            Self::Session(_) => "Session(..)",
        })
    }
}
