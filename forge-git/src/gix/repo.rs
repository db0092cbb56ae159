//! One repository, read.
//!
//! Invariant: each call is one hop to a blocking thread, or none; two if a whole history is computed. What a call needs
//! is opened there, so making one of these touches no disk.

use std::sync::Arc;

use async_trait::async_trait;
use forge_core::objects::{
    BlobContent, GitRepo, Kind, Lookup, Object, Oid, OidPrefix, Ref, Walk, WalkPage,
};
use forge_core::{Error, RefName, RepoId, Result, RevSpec};
use futures::{StreamExt as _, stream};

use super::objects::Content;
use super::order::{Answer, Orders};
use super::refs::Refs;
use super::rev::Revs;
use super::{Handles, Piece, Query, Reader, blocking, ls_refs, oid};
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
        self.read_history(move |reader, orders, compute| reader.count(orders, tip, compute))
            .await
    }

    /// Begins the answer to `ls-refs`; `None` if git is to give it.
    pub(crate) async fn list(&self, query: Query) -> Result<Option<Piece>> {
        let Self { handles, id } = self.clone();
        blocking(move || ls_refs::begin(handles, id, query)).await
    }

    /// Does the work without computing a whole history, or, if it must be, when it is its turn. The last argument of
    /// `work` says whether it is.
    async fn read_history<T: Send + 'static>(
        &self,
        work: impl Fn(&Reader<'_>, &Orders, bool) -> Result<Answer<T>> + Clone + Send + 'static,
    ) -> Result<T> {
        let quick = work.clone();
        let read = self.read(move |reader, handles| quick(&reader, &handles.orders, false));
        if let Answer::Done(done) = read.await? {
            return Ok(done);
        }
        let turn = self.handles.turn().await?;
        let read = self.read(move |reader, handles| {
            // The work goes on when nobody waits for it any more, so the turn belongs to it and not to who waits.
            let _turn = &turn;
            work(&reader, &handles.orders, true)
        });
        match read.await? {
            Answer::Done(done) => Ok(done),
            Answer::Costly => Err(Error::internal("a history that is never computed")),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl Fn(Reader<'_>, &Handles) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Self { handles, id } = self.clone();
        blocking(move || {
            let handle = handles.get(id)?;
            let done = work(handle.reader(), &handles);
            let Err(Error::Internal(source)) = done else {
                return done;
            };
            // It may be due to what was mapped when the handle was made: packs come and go, and a handle has room for
            // so many new ones only. A fresh one knows.
            tracing::debug!(repo.id = id.0, %source, "reading again");
            handles.forget(id);
            let handle = handles.get(id)?;
            let reader = Reader {
                last_try: true,
                ..handle.reader()
            };
            work(reader, &handles)
        })
        .await
    }
}

#[async_trait]
impl GitRepo for Repo {
    async fn head(&self) -> Result<Option<RefName>> {
        self.read(|reader, _| Refs::of(reader.handle).head()).await
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
            let Some(id) = reader.id(id) else {
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
            let objects = ids.iter().map(|id| reader.object(*id, &mut buffer));
            objects.collect()
        })
        .await
    }

    async fn short_lengths(&self, ids: &[Oid]) -> Result<Vec<usize>> {
        let ids = ids.to_vec();
        self.read(move |reader, _| reader.short_lengths(&ids)).await
    }

    async fn objects_version(&self) -> Result<Option<u64>> {
        self.read(|reader, _| Ok(reader.handle.objects_version()))
            .await
    }

    async fn lookup(&self, prefix: &OidPrefix) -> Result<Lookup> {
        let prefix = prefix.clone();
        self.read(move |reader, _| reader.lookup(&prefix)).await
    }

    async fn walk(&self, walk: &Walk) -> Result<Option<WalkPage>> {
        let walk = *walk;
        self.read_history(move |reader, orders, compute| reader.walk(orders, &walk, compute))
            .await
    }

    async fn content(&self, id: Oid) -> Result<Option<BlobContent>> {
        let read = self.read(move |reader, _| match reader.id(id) {
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
