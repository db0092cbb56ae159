//! What is done with artifacts.

use std::time::Duration;

use chrono::TimeDelta;
use futures::StreamExt as _;

use super::{Artifact, NewArtifact, file_name};
use crate::access::{ManageRepo, Mode, Objects, Scope};
use crate::blobs::ByteStream;
use crate::events::{NewJob, Task};
use crate::names::RevSpec;
use crate::objects::{Kind, Oid};
use crate::{Error, Result};

/// How long an upload may take.
const DEADLINE: Duration = Duration::from_secs(6 * 60 * 60);
/// When content without a row counts as abandoned; long after the deadline.
const ABANDONED: TimeDelta = TimeDelta::days(1);

impl ManageRepo {
    /// Attaches a file to the commit that `rev` names, through as many tags as it takes. Needs `OBJECTS:RW`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if `rev` names nothing; [`Error::Invalid`] for field `ref` if that is no commit, or for
    /// field `file` if the name is unusable; [`Error::Conflict`] on field `file` if the repository has one of that
    /// name; [`Error::Limit`] if the content is too large.
    pub async fn attach(
        &self,
        rev: &RevSpec,
        filename: &str,
        content: ByteStream,
    ) -> Result<Artifact> {
        self.require(Scope::Objects, Mode::Write)?;
        let forge = self.forge();
        let commit = self.commit_to_attach_to(rev).await?;
        let filename = file_name(filename)
            .ok_or_else(|| Error::invalid("file", "the file needs a usable name"))?;
        let taken = || Error::conflict("file", "an artifact of this name already exists");
        if forge
            .store()
            .artifact_by_name(self.id(), &filename)
            .await?
            .is_some()
        {
            return Err(taken());
        }
        let key = format!("artifacts/{}/{}", self.id(), forge.uuid()?.simple());
        // Should we die between the content and its row, this job removes the content.
        let mut tx = forge.store().begin().await?;
        tx.enqueue(NewJob::at(
            forge.now() + ABANDONED,
            Task::CollectBlob(key.clone()),
        ))
        .await?;
        tx.commit().await?;

        let content = limited(content, forge.limits().artifact_bytes);
        let stored = tokio::time::timeout(DEADLINE, forge.blobs().put(&key, content)).await;
        let stored = stored.map_err(|_| Error::invalid("file", "the upload took too long"))??;
        let new = NewArtifact {
            repo: self.id(),
            commit,
            filename,
            size: stored.size,
            sha256: stored.sha256,
            key: key.clone(),
        };
        let mut tx = forge.store().begin().await?;
        match tx.insert_artifact(&new, forge.now()).await {
            Ok(artifact) => {
                tx.commit().await?;
                Ok(artifact)
            }
            Err(error) => {
                drop(tx);
                forge.blobs().delete(&key).await?;
                Err(error)
            }
        }
    }

    async fn commit_to_attach_to(&self, rev: &RevSpec) -> Result<Oid> {
        let git = self.forge().git().open(self.id())?;
        let (_, id) = git
            .resolve(std::slice::from_ref(rev))
            .await?
            .ok_or(Error::NotFound)?;
        match git.peel(id).await? {
            Some((commit, Kind::Commit)) => Ok(commit),
            Some(_) => Err(Error::invalid("ref", "ref does not name a commit")),
            None => Err(Error::NotFound),
        }
    }
}

impl Objects {
    /// All artifacts of the repository, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn artifacts(&self) -> Result<Vec<Artifact>> {
        self.forge().store().artifacts_of(self.repo().id).await
    }

    /// An artifact of the commit that `rev` names, and its content.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the revision, or a file of that name on its commit, does not exist.
    pub async fn artifact(&self, rev: &RevSpec, filename: &str) -> Result<(Artifact, ByteStream)> {
        let commit = self.commit_of(rev).await?.ok_or(Error::NotFound)?;
        let artifact = self
            .forge()
            .store()
            .artifact_by_name(self.repo().id, filename)
            .await?;
        let artifact = artifact
            .filter(|artifact| artifact.commit == commit)
            .ok_or(Error::NotFound)?;
        let content = self.forge().blobs().get(&artifact.key).await?;
        // The row vouches for the content, so its absence is a fault of ours.
        let content = content
            .ok_or_else(|| Error::internal(format!("artifact {} has no content", artifact.id)))?;
        Ok((artifact, content))
    }
}

/// The stream, failing once it yields more than `most` bytes.
fn limited(content: ByteStream, most: u64) -> ByteStream {
    let mut left = most;
    content
        .map(move |piece| {
            let piece = piece?;
            left = left
                .checked_sub(piece.len() as u64)
                .ok_or(Error::Limit { what: "file" })?;
            Ok(piece)
        })
        .boxed()
}
