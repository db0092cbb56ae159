//! One repository, read.
//!
//! Invariant: each call is one hop to a blocking thread, or none. What a call needs is opened there, so making one of
//! these touches no disk.

use std::sync::Arc;

use async_trait::async_trait;
use forge_core::objects::{
    BlobContent, GitRepo, Kind, Lookup, Object, Oid, OidPrefix, Ref, Walk, WalkPage,
};
use forge_core::{RefName, RepoId, Result, RevSpec};
use futures::{StreamExt as _, stream};

use super::objects::Content;
use super::refs::Refs;
use super::rev::Revs;
use super::{Handles, Reader, blocking, object_id, oid};
use crate::content;

/// A repository by its number.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    handles: Arc<Handles>,
    id: RepoId,
}

impl Repo {
    pub(crate) fn new(handles: Arc<Handles>, id: RepoId) -> Self {
        Self { handles, id }
    }

    /// How many commits the history of a commit has.
    pub(crate) async fn commit_count(&self, tip: Oid) -> Result<Option<usize>> {
        self.read(move |reader, handles| {
            let Some(tip) = reader.tip(tip)? else {
                return Ok(None);
            };
            Ok(Some(handles.orders.get(&reader, &tip)?.len()))
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(Reader<'_>, &Handles) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Self { handles, id } = self.clone();
        blocking(move || {
            let handle = handles.get(id)?;
            let done = work(handle.reader(), &handles);
            if let Err(forge_core::Error::Internal(_)) = done {
                // Whatever it is, it is not to stay because of what was mapped earlier.
                handles.forget(id);
            }
            done
        })
        .await
    }
}

#[async_trait]
impl GitRepo for Repo {
    async fn head(&self) -> Result<Option<RefName>> {
        self.read(|reader, _| Refs::of(reader.git_dir()).head())
            .await
    }

    async fn refs(&self) -> Result<Vec<Ref>> {
        self.read(|reader, _| reader.refs()).await
    }

    async fn find_ref(&self, name: &RefName) -> Result<Option<Ref>> {
        let name = name.clone();
        self.read(move |reader, _| reader.find_ref(&name)).await
    }

    async fn resolve(&self, revs: &[RevSpec]) -> Result<Option<(usize, Oid)>> {
        let wanted = revs.to_vec();
        self.read(move |reader, _| {
            let mut revs = Revs::of(&reader);
            for (which, rev) in wanted.iter().enumerate() {
                if let Some(id) = revs.resolve(rev.as_bstr())? {
                    return Ok(Some((which, oid(&id)?)));
                }
            }
            Ok(None)
        })
        .await
    }

    async fn peel(&self, id: Oid) -> Result<Option<(Oid, Kind)>> {
        self.read(move |reader, _| {
            let Some(id) = object_id(id) else {
                return Ok(None);
            };
            let peeled = reader.peel(id)?;
            peeled.map(|(id, kind)| Ok((oid(&id)?, kind))).transpose()
        })
        .await
    }

    async fn objects(&self, ids: &[Oid]) -> Result<Vec<Option<Object>>> {
        let ids = ids.to_vec();
        self.read(move |reader, _| {
            let mut buffer = Vec::new();
            let objects = ids.into_iter().map(|id| reader.object(id, &mut buffer));
            objects.collect()
        })
        .await
    }

    async fn short_lengths(&self, ids: &[Oid]) -> Result<Vec<usize>> {
        let ids = ids.to_vec();
        self.read(move |reader, _| reader.short_lengths(&ids)).await
    }

    fn objects_version(&self) -> Option<u64> {
        self.handles.get(self.id).ok()?.objects_version()
    }

    async fn lookup(&self, prefix: &OidPrefix) -> Result<Lookup> {
        let prefix = prefix.clone();
        self.read(move |reader, _| reader.lookup(&prefix)).await
    }

    async fn walk(&self, walk: &Walk) -> Result<Option<WalkPage>> {
        let walk = *walk;
        self.read(move |reader, handles| reader.walk(&handles.orders, &walk))
            .await
    }

    async fn content(&self, id: Oid) -> Result<Option<BlobContent>> {
        let read = self.read(move |reader, _| match object_id(id) {
            Some(id) => reader.content(&id),
            None => Ok(None),
        });
        Ok(match read.await? {
            None => None,
            Some(Content::Whole(kind, head)) => Some(BlobContent {
                kind,
                size: head.len() as u64,
                head,
                rest: stream::empty().boxed(),
            }),
            Some(Content::Large(kind, size)) => {
                let path = self.handles.path(self.id)?;
                Some(content::stream(&path, id, kind, size).await?)
            }
        })
    }
}
