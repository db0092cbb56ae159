//! Artifacts' rows.
//!
//! Invariant: a repository has one artifact of a file name. Whether the content is there is not known here.

use async_trait::async_trait;
use forge_core::artifacts::{Artifact, ArtifactReads, ArtifactWrites, NewArtifact};
use forge_core::{ArtifactId, Error, RepoId, Result, Timestamp};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::{hash, stored};
use crate::entity::artifacts::{ActiveModel, Column, Entity, Model};
use crate::error::{failed, refused, unreadable};
use crate::store::{Source, Sql, Table, Transaction};

#[async_trait]
impl<S: Source> ArtifactReads for Sql<S> {
    async fn artifacts_of(&self, repo: RepoId) -> Result<Vec<Artifact>> {
        let rows = Entity::find()
            .filter(Column::RepoId.eq(repo.0))
            .order_by_asc(Column::Id)
            .all(self.conn())
            .await
            .map_err(failed)?;
        rows.into_iter().map(artifact).collect()
    }

    async fn artifact_by_name(&self, repo: RepoId, filename: &str) -> Result<Option<Artifact>> {
        let row = Entity::find()
            .filter(Column::RepoId.eq(repo.0))
            .filter(Column::Filename.eq(filename))
            .one(self.conn())
            .await
            .map_err(failed)?;
        row.map(artifact).transpose()
    }

    async fn artifact_key_used(&self, key: &str) -> Result<bool> {
        let row: Option<i64> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::Key.eq(key))
            .into_tuple()
            .one(self.conn())
            .await
            .map_err(failed)?;
        Ok(row.is_some())
    }
}

#[async_trait]
impl ArtifactWrites for Sql<Transaction> {
    async fn insert_artifact(&mut self, new: &NewArtifact, now: Timestamp) -> Result<Artifact> {
        let row = ActiveModel {
            repo_id: Set(new.repo.0),
            created: Set(now.into()),
            commit: Set(new.commit.to_string()),
            filename: Set(new.filename.clone()),
            size: Set(i64::try_from(new.size).map_err(|_| Error::Limit { what: "file" })?),
            sha256: Set(new.sha256.to_vec()),
            key: Set(new.key.clone()),
            ..ActiveModel::default()
        };
        let row = Entity::insert(row)
            .exec_with_returning(self.write(Table::Uncached))
            .await;
        artifact(row.map_err(|error| {
            refused(error, || {
                Error::conflict("file", "an artifact of this name already exists")
            })
        })?)
    }
}

fn artifact(row: Model) -> Result<Artifact> {
    Ok(Artifact {
        id: ArtifactId(row.id),
        repo: RepoId(row.repo_id),
        created: row.created.time()?,
        commit: stored(&row.commit, "commit id")?,
        filename: row.filename,
        size: u64::try_from(row.size).map_err(|_| unreadable("size"))?,
        sha256: hash(&row.sha256)?,
        key: row.key,
    })
}
