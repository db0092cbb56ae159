//! Access lists: whom a repository is shared with.
//!
//! Invariant: at most one entry for a repository and a user, and none for the owner, who needs none. What an entry
//! permits is decided in [`crate::access`].

mod ops;
mod store;

pub use store::{AclReads, AclWrites};

use crate::access::Mode;
use crate::clock::Timestamp;
use crate::ids::{AclId, RepoId};
use crate::repos::Owner;

/// One entry of a repository's access list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    /// Row number.
    pub id: AclId,
    /// The repository that is shared.
    pub repo: RepoId,
    /// Whom it is shared with.
    pub user: Owner,
    /// What they may do.
    pub mode: Mode,
    /// When it was first shared with them.
    pub created: Timestamp,
    /// When the mode last changed.
    pub updated: Timestamp,
}
