//! Imports: repositories whose history is fetched, in the background, from where a user says.
//!
//! Invariant: an import is a row beside its repository from the repository's first moment on, and while it is running
//! nobody pushes there, so what the repository holds is nothing, or all of the source. It never starts again once it
//! has ended. How the objects get here is the backend's affair.

mod ops;
mod source;
mod store;

use serde::{Deserialize, Serialize};

pub(crate) use ops::AT_ONCE;
pub use store::{ImportReads, ImportWrites};

use crate::clock::Timestamp;
use crate::ids::RepoId;

/// How far an import has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ImportState {
    /// It is fetched, or waits for its turn.
    Running,
    /// The repository has what the source had.
    Done,
    /// It ended, for this reason, and the repository is as empty as it was made.
    Failed(String),
}

/// An import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The repository that is filled.
    pub repo: RepoId,
    /// Where it comes from: a URL without credentials.
    pub source: String,
    /// The repository of this forge that the source is, if it is one.
    pub from: Option<RepoId>,
    /// How far it has come.
    pub state: ImportState,
    /// The last line that git said about how it is getting on; empty at first, without control characters.
    pub progress: String,
    /// When it was asked for.
    pub started: Timestamp,
    /// When state or progress last changed.
    pub updated: Timestamp,
}

/// An import to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImport {
    /// Where it comes from: a URL without credentials.
    pub source: String,
    /// The repository of this forge that the source is, if it is one.
    pub from: Option<RepoId>,
}
