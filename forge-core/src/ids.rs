//! Typed row numbers: a repository's id cannot be passed where a user's is meant.
//!
//! Invariant: an id is never used again after its row is gone (a contract of the store, see
//! [`crate::testing`]), so caches may be keyed by it. Ids say nothing about permission.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

ids! {
    /// A user's row.
    UserId,
    /// A token's row.
    TokenId,
    /// The row of a user's SSH key.
    KeyId,
    /// The row of a repository's SSH key.
    DeployKeyId,
    /// A repository's row, and the name of its directory.
    RepoId,
    /// An access list entry's row.
    AclId,
    /// An artifact's row.
    ArtifactId,
    /// A line of an account's log.
    AuditId,
    /// The row of a user's PGP key.
    PgpKeyId,
    /// A client's row.
    ClientRow,
    /// The row of what a user has let a client do.
    AuthorizationId,
    /// The row of a scope that a service has made for itself.
    DelegatedScopeId,
    /// A queued job's row.
    JobId,
}
