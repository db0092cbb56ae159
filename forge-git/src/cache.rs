//! What was read, remembered.
//!
//! Invariant: only what an id determines is kept, and each repository's apart: an object must not be found through
//! another repository than its own. Refs, revisions and absences are never kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use forge_core::objects::{
    BlobContent, GitBackend, GitRepo, ImportSource, Kind, Lookup, Object, Oid, OidPrefix, Ref,
    Staged, Walk, WalkPage,
};
use forge_core::repos::Progress;
use forge_core::{Error, RefName, RepoId, Result, RevSpec, Timestamp};
use futures::{StreamExt as _, stream};
use moka::{future, sync};

/// The largest content kept, in bytes.
const MAX_CONTENT: u64 = 64 << 10;
/// The most commits of a page that is kept.
const MAX_PAGE: usize = 200;
/// How many repositories are told apart at once; what is kept of others is found no more.
const MAX_REPOS: u64 = 1 << 16;
/// What an entry takes beside its value, in bytes.
const ENTRY: usize = 200;

/// A backend that remembers what was read from the one below.
#[derive(Debug)]
pub struct Cached<B> {
    inner: B,
    memory: Memory,
}

impl<B: GitBackend> Cached<B> {
    /// Remembers at most about so many bytes.
    #[must_use]
    pub fn new(inner: B, bytes: u64) -> Self {
        let memory = Memory {
            entries: future::Cache::builder()
                .max_capacity(bytes)
                .weigher(|_, value: &Value| u32::try_from(value.weight()).unwrap_or(u32::MAX))
                .build(),
            lives: sync::Cache::new(MAX_REPOS),
            next_life: Arc::default(),
        };
        Self { inner, memory }
    }
}

/// What is remembered of all repositories.
#[derive(Debug, Clone)]
struct Memory {
    entries: future::Cache<Key, Value>,
    /// A number for each repository that is never used again. Forgetting it forgets everything of the repository.
    lives: sync::Cache<RepoId, u64>,
    next_life: Arc<AtomicU64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    life: u64,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Object(Oid),
    Content(Oid),
    Page(Walk),
}

#[derive(Debug, Clone)]
enum Value {
    Object(Object),
    Content(Kind, Bytes),
    Page(WalkPage),
}

impl Value {
    fn weight(&self) -> usize {
        let value = match self {
            Self::Object(Object::Commit(commit)) => commit.weight(),
            Self::Object(Object::Tree(tree)) => tree.weight(),
            Self::Object(Object::Tag(tag)) => {
                size_of_val(&**tag) + tag.name.len() + tag.message.len()
            }
            Self::Object(_) => 0,
            Self::Content(_, bytes) => bytes.len(),
            Self::Page(page) => page.commits.iter().map(|commit| commit.weight()).sum(),
        };
        ENTRY + value
    }
}

/// Why nothing was found that could be kept.
enum Miss {
    Absent,
    Failed(Error),
}

impl Memory {
    /// Forgets a repository; what readers still bring in from before is never found.
    fn forget(&self, repo: RepoId) {
        self.lives.invalidate(&repo);
    }

    fn life(&self, repo: RepoId) -> u64 {
        let next = || self.next_life.fetch_add(1, Ordering::Relaxed);
        self.lives.get_with(repo, next)
    }

    /// Finds a value, or reads it once whoever asks at the same time.
    async fn find(
        &self,
        key: Key,
        read: impl Future<Output = Result<Option<Value>>>,
    ) -> Result<Option<Value>> {
        let read = async {
            match read.await {
                Ok(Some(value)) => Ok(value),
                Ok(None) => Err(Miss::Absent),
                Err(error) => Err(Miss::Failed(error)),
            }
        };
        match self.entries.try_get_with(key, read).await {
            Ok(value) => Ok(Some(value)),
            Err(miss) => match &*miss {
                Miss::Absent => Ok(None),
                Miss::Failed(error) => Err(error.clone()),
            },
        }
    }
}

#[async_trait]
impl<B: GitBackend> GitBackend for Cached<B> {
    async fn create(&self, repo: RepoId, head: &RefName) -> Result<()> {
        let made = self.inner.create(repo, head).await;
        self.memory.forget(repo);
        made
    }

    async fn fetch(&self, from: &ImportSource, progress: Progress) -> Result<Box<dyn Staged>> {
        self.inner.fetch(from, progress).await
    }

    async fn adopt(&self, staged: Box<dyn Staged>, repo: RepoId) -> Result<()> {
        let adopted = self.inner.adopt(staged, repo).await;
        self.memory.forget(repo);
        adopted
    }

    async fn remove(&self, repo: RepoId) -> Result<()> {
        let removed = self.inner.remove(repo).await;
        self.memory.forget(repo);
        removed
    }

    async fn sweep(&self, before: Timestamp) -> Result<Vec<RepoId>> {
        self.inner.sweep(before).await
    }

    async fn recover(&self) -> Result<()> {
        self.inner.recover().await
    }

    async fn maintain(&self, repo: RepoId) -> Result<()> {
        self.inner.maintain(repo).await
    }

    fn open(&self, repo: RepoId) -> Result<Arc<dyn GitRepo>> {
        Ok(Arc::new(CachedRepo {
            inner: self.inner.open(repo)?,
            memory: self.memory.clone(),
            repo,
        }))
    }
}

#[derive(Debug)]
struct CachedRepo {
    inner: Arc<dyn GitRepo>,
    memory: Memory,
    repo: RepoId,
}

impl CachedRepo {
    fn key(&self, what: What) -> Key {
        let life = self.memory.life(self.repo);
        Key { life, what }
    }

    async fn object(&self, id: Oid) -> Result<Option<Object>> {
        let read = async {
            let found = self.inner.objects(&[id]).await?.pop().flatten();
            Ok(found.map(Value::Object))
        };
        let found = self.memory.find(self.key(What::Object(id)), read).await?;
        Ok(match found {
            Some(Value::Object(object)) => Some(object),
            _ => None,
        })
    }
}

#[async_trait]
impl GitRepo for CachedRepo {
    async fn head(&self) -> Result<Option<RefName>> {
        self.inner.head().await
    }

    async fn refs(&self) -> Result<Vec<Ref>> {
        self.inner.refs().await
    }

    async fn find_ref(&self, name: &RefName) -> Result<Option<Ref>> {
        self.inner.find_ref(name).await
    }

    async fn resolve(&self, revs: &[RevSpec]) -> Result<Option<(usize, Oid)>> {
        self.inner.resolve(revs).await
    }

    async fn peel(&self, id: Oid) -> Result<Option<(Oid, Kind)>> {
        // Tags are not followed here: how far is for the other to say.
        match self.memory.entries.get(&self.key(What::Object(id))).await {
            Some(Value::Object(object)) if object.kind() != Kind::Tag => {
                Ok(Some((id, object.kind())))
            }
            _ => self.inner.peel(id).await,
        }
    }

    async fn objects(&self, ids: &[Oid]) -> Result<Vec<Option<Object>>> {
        if let [id] = ids {
            return Ok(vec![self.object(*id).await?]);
        }
        let mut found = Vec::with_capacity(ids.len());
        let mut missing = Vec::new();
        for id in ids {
            let object = match self.memory.entries.get(&self.key(What::Object(*id))).await {
                Some(Value::Object(object)) => Some(object),
                _ => {
                    missing.push(*id);
                    None
                }
            };
            found.push(object);
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let keys: Vec<_> = missing
            .iter()
            .map(|id| self.key(What::Object(*id)))
            .collect();
        let mut read = self.inner.objects(&missing).await?.into_iter().zip(keys);
        for place in found.iter_mut().filter(|place| place.is_none()) {
            let Some((object, key)) = read.next() else {
                break;
            };
            if let Some(object) = &object {
                let value = Value::Object(object.clone());
                self.memory.entries.insert(key, value).await;
            }
            *place = object;
        }
        Ok(found)
    }

    async fn short_lengths(&self, ids: &[Oid]) -> Result<Vec<usize>> {
        self.inner.short_lengths(ids).await
    }

    async fn objects_version(&self) -> Result<Option<u64>> {
        self.inner.objects_version().await
    }

    async fn lookup(&self, prefix: &OidPrefix) -> Result<Lookup> {
        self.inner.lookup(prefix).await
    }

    async fn walk(&self, walk: &Walk) -> Result<Option<WalkPage>> {
        if walk.count > MAX_PAGE {
            return self.inner.walk(walk).await;
        }
        let read = async { Ok(self.inner.walk(walk).await?.map(Value::Page)) };
        let found = self.memory.find(self.key(What::Page(*walk)), read).await?;
        Ok(match found {
            Some(Value::Page(page)) => Some(page),
            _ => None,
        })
    }

    async fn content(&self, id: Oid) -> Result<Option<BlobContent>> {
        let key = self.key(What::Content(id));
        if let Some(Value::Content(kind, head)) = self.memory.entries.get(&key).await {
            return Ok(Some(BlobContent {
                kind,
                size: head.len() as u64,
                head,
                rest: stream::empty().boxed(),
            }));
        }
        let content = self.inner.content(id).await?;
        if let Some(content) = &content
            && content.size <= MAX_CONTENT
            && content.head.len() as u64 == content.size
        {
            let value = Value::Content(content.kind, content.head.clone());
            self.memory.entries.insert(key, value).await;
        }
        Ok(content)
    }
}
