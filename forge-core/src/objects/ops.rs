//! What is done with objects: reading them by revision and path.

use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice as _};

use super::{
    BlobContent, EntryKind, Kind, Lookup, Object, Oid, OidPrefix, Ref, Tree, Walk, WalkPage,
};
use crate::access::Objects;
use crate::names::{RefName, RevSpec, TreePath};
use crate::{Error, Result};

/// How many leading parts of `revision/and/path` are tried as a revision, beside the whole.
const MAX_REV_PARTS: usize = 32;

/// A place in a repository: a revision, or the default branch, and a path below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The object the revision names; tags are not followed.
    pub id: Oid,
    /// The path below it.
    pub path: TreePath,
}

/// A page of a history.
#[derive(Debug, Clone)]
pub struct CommitPage {
    /// The commits.
    pub commits: Arc<[Arc<super::Commit>]>,
    /// The commit with which the next page starts.
    pub next: Option<Oid>,
}

impl Objects {
    /// Every ref below `refs/`, by name.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn refs(&self) -> Result<Vec<Ref>> {
        self.git().refs().await
    }

    /// The branch that HEAD names, whether it exists or not.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn head(&self) -> Result<Option<RefName>> {
        self.git().head().await
    }

    /// One ref by its full name, or HEAD.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn find_ref(&self, name: &RefName) -> Result<Option<Ref>> {
        self.git().find_ref(name).await
    }

    /// The object that a revision names.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn resolve(&self, rev: &RevSpec) -> Result<Option<Oid>> {
        Ok(self
            .git()
            .resolve(std::slice::from_ref(rev))
            .await?
            .map(|(_, id)| id))
    }

    /// The commit that a revision names, through as many tags as it takes.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn commit_of(&self, rev: &RevSpec) -> Result<Option<Oid>> {
        let Some(id) = self.resolve(rev).await? else {
            return Ok(None);
        };
        self.commit_at(id).await
    }

    /// Splits `revision/and/path` where the shortest leading part that names an object ends. `None` stands for the
    /// default branch. `Ok(None)` if nothing names an object, as in a repository without commits.
    ///
    /// # Errors
    /// [`Error::Invalid`] for fields `ref` or `path`.
    pub async fn locate(&self, tail: Option<&BStr>) -> Result<Option<At>> {
        let Some(tail) = tail else {
            let id = self.resolve(&RevSpec::head()).await?;
            return Ok(id.map(|id| At {
                id,
                path: TreePath::default(),
            }));
        };
        let mut revs = Vec::new();
        let mut rests = Vec::new();
        let parts = tail.find_iter("/").take(MAX_REV_PARTS);
        for end in parts.chain([tail.len()]) {
            // A longer part can be malformed only because of what is path in truth.
            let Ok(rev) = RevSpec::new(&tail[..end]) else {
                continue;
            };
            revs.push(rev);
            rests.push(tail.get(end + 1..).unwrap_or_default());
        }
        if revs.is_empty() {
            RevSpec::new(BString::from(tail))?;
        }
        let Some((which, id)) = self.git().resolve(&revs).await? else {
            return Ok(None);
        };
        let path = TreePath::new(rests.get(which).copied().unwrap_or_default())?;
        Ok(Some(At { id, path }))
    }

    /// A tree by revision and path.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the object has no tree, or the path leads to none.
    pub async fn tree(&self, at: &At) -> Result<Arc<Tree>> {
        self.descend(at.id, at.path.parts()).await
    }

    /// A blob by revision and path; without a path, the revision must name a blob.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none.
    pub async fn blob(&self, at: &At) -> Result<(Oid, BlobContent)> {
        let id = match at.path.parts().split_last() {
            None => match self.git().peel(at.id).await? {
                Some((id, Kind::Blob)) => id,
                _ => return Err(Error::NotFound),
            },
            Some((name, parents)) => {
                let tree = self.descend(at.id, parents).await?;
                let entry = tree
                    .entry(name.as_bstr())
                    .filter(|entry| entry.kind() == EntryKind::Blob);
                entry.ok_or(Error::NotFound)?.id
            }
        };
        let content = self
            .git()
            .content(id)
            .await?
            .filter(|content| content.kind == Kind::Blob);
        Ok((id, content.ok_or(Error::NotFound)?))
    }

    /// An object of any kind as git stores it.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn content(&self, id: Oid) -> Result<Option<BlobContent>> {
        self.git().content(id).await
    }

    /// What a prefix of an id stands for.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn lookup(&self, prefix: &OidPrefix) -> Result<Lookup> {
        self.git().lookup(prefix).await
    }

    /// The lengths to which ids can be cut and still be told apart.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn short_lengths(&self, ids: &[Oid]) -> Result<Vec<usize>> {
        self.git().short_lengths(ids).await
    }

    /// See [`super::GitRepo::objects_version`].
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn objects_version(&self) -> Result<Option<u64>> {
        self.git().objects_version().await
    }

    /// The commit whose history a place has; `None` if it is in no commit.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn commit_at(&self, id: Oid) -> Result<Option<Oid>> {
        Ok(match self.git().peel(id).await? {
            Some((id, Kind::Commit)) => Some(id),
            _ => None,
        })
    }

    /// A page of a commit's history, by committer time over all parents. A start outside that history is walked for
    /// itself.
    ///
    /// # Errors
    /// [`Error::Invalid`] for field `start` if it is not a commit's id or a prefix of one.
    pub async fn log(
        &self,
        tip: Oid,
        start: Option<&OidPrefix>,
        count: usize,
    ) -> Result<CommitPage> {
        let start = match start {
            None => None,
            Some(prefix) => {
                let unknown = || Error::invalid("start", "start must be the id of a commit");
                let id = match self.git().lookup(prefix).await? {
                    Lookup::One(id) => id,
                    Lookup::None | Lookup::Ambiguous => return Err(unknown()),
                };
                Some(
                    self.commit_at(id)
                        .await?
                        .filter(|commit| *commit == id)
                        .ok_or_else(unknown)?,
                )
            }
        };
        let page = match self.git().walk(&Walk { tip, start, count }).await? {
            Some(page) => page,
            None => {
                let walk = Walk {
                    tip: start.unwrap_or(tip),
                    start: None,
                    count,
                };
                self.git().walk(&walk).await?.ok_or(Error::NotFound)?
            }
        };
        let WalkPage { commits, next } = page;
        Ok(CommitPage { commits, next })
    }

    async fn descend(&self, from: Oid, path: &[BString]) -> Result<Arc<Tree>> {
        let mut tree = self.root(from).await?;
        for name in path {
            let entry = tree
                .entry(name.as_bstr())
                .filter(|entry| entry.kind() == EntryKind::Tree);
            tree = self
                .find_tree(entry.ok_or(Error::NotFound)?.id)
                .await?
                .ok_or(Error::NotFound)?;
        }
        Ok(tree)
    }

    async fn root(&self, id: Oid) -> Result<Arc<Tree>> {
        match self.git().peel(id).await?.ok_or(Error::NotFound)? {
            (id, Kind::Tree) => self.find_tree(id).await?.ok_or(Error::NotFound),
            (id, Kind::Commit) => match self.find(id).await? {
                Some(Object::Commit(commit)) => {
                    self.find_tree(commit.tree).await?.ok_or(Error::NotFound)
                }
                _ => Err(Error::NotFound),
            },
            (_, Kind::Blob | Kind::Tag) => Err(Error::NotFound),
        }
    }

    async fn find_tree(&self, id: Oid) -> Result<Option<Arc<Tree>>> {
        Ok(match self.find(id).await? {
            Some(Object::Tree(tree)) => Some(tree),
            _ => None,
        })
    }

    async fn find(&self, id: Oid) -> Result<Option<Object>> {
        Ok(self.git().objects(&[id]).await?.pop().flatten())
    }
}
