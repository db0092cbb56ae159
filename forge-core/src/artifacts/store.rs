//! The storage contract of artifacts' rows.

use async_trait::async_trait;

use super::{Artifact, NewArtifact};
use crate::Result;
use crate::clock::Timestamp;
use crate::ids::RepoId;

/// Reading artifacts.
#[async_trait]
pub trait ArtifactReads: Send + Sync {
    /// All artifacts of a repository, oldest first.
    async fn artifacts_of(&self, repo: RepoId) -> Result<Vec<Artifact>>;
    /// The artifact of that file name.
    async fn artifact_by_name(&self, repo: RepoId, filename: &str) -> Result<Option<Artifact>>;
    /// Whether a row refers to the content under that key.
    async fn artifact_key_used(&self, key: &str) -> Result<bool>;
}

/// Writing artifacts.
#[async_trait]
pub trait ArtifactWrites: Send {
    /// Adds an artifact. [`crate::Error::Conflict`] on field `file` if the repository has one of that file name;
    /// [`crate::Error::NotFound`] if the repository is gone.
    async fn insert_artifact(&mut self, new: &NewArtifact, now: Timestamp) -> Result<Artifact>;
}
