//! The backend proper: repositories as bare directories below a root.
//!
//! Invariant: a repository appears and goes by one rename, so no reader sees half of one. It keeps nothing in memory
//! but open handles; see [`crate::cache`] for the rest.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use forge_core::objects::{GitBackend, GitRepo, ImportSource, Oid, Staged};
use forge_core::repos::Progress;
use forge_core::{Error, RefName, RepoId, Result, Timestamp};

use crate::format::Format;
use crate::gix::{Handles, Piece, Query, Repo, blocking};
use crate::import::{self, Reach};
use crate::layout::Layout;
use crate::scratch::{Scratch, make_dirs, sync_all, sync_dir};
use crate::{maintenance, quarantine};

/// Repositories below a root.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    layout: Arc<Layout>,
    handles: Arc<Handles>,
    reach: Reach,
}

impl Disk {
    pub(crate) fn new(layout: Layout, order_bytes: u64, reach: Reach) -> Self {
        let layout = Arc::new(layout);
        Self {
            handles: Arc::new(Handles::new(Arc::clone(&layout), order_bytes)),
            layout,
            reach,
        }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    fn repo(&self, id: RepoId) -> Repo {
        Repo::new(Arc::clone(&self.handles), id)
    }

    pub(crate) async fn commit_count(&self, id: RepoId, tip: Oid) -> Result<Option<usize>> {
        self.repo(id).commit_count(tip).await
    }

    /// Begins the answer to `ls-refs`; `None` if git is to give it.
    pub(crate) async fn list_refs(&self, id: RepoId, query: Query) -> Result<Option<Piece>> {
        self.repo(id).list(query).await
    }

    /// Puts a finished directory where the repository belongs.
    fn place(&self, made: &Path, id: RepoId) -> Result<()> {
        let target = self
            .layout
            .repo(id)
            .ok_or_else(|| Error::internal("a repository needs a positive number"))?;
        let parent = target.parent().unwrap_or(self.layout.root());
        make_dirs(parent).map_err(Error::internal)?;
        // A crashed attempt under a number whose row was never committed.
        let left = Scratch::of(&target, &self.layout.scratch()).map_err(Error::internal)?;
        fs::rename(made, &target).map_err(Error::internal)?;
        sync_dir(parent).map_err(Error::internal)?;
        self.handles.forget(id);
        if let Some(left) = left {
            left.remove();
        }
        Ok(())
    }
}

#[async_trait]
impl GitBackend for Disk {
    async fn create(&self, repo: RepoId, head: &RefName) -> Result<()> {
        let (this, head) = (self.clone(), head.clone());
        blocking(move || {
            let scratch = Scratch::below(&this.layout.scratch()).map_err(Error::internal)?;
            write_empty(scratch.path(), &head).map_err(Error::internal)?;
            sync_all(scratch.path()).map_err(Error::internal)?;
            this.place(scratch.path(), repo)
        })
        .await
    }

    async fn fetch(&self, from: &ImportSource, progress: Progress) -> Result<Box<dyn Staged>> {
        let layout = Arc::clone(&self.layout);
        let make = move || Scratch::below(&layout.scratch()).map_err(Error::internal);
        let scratch = blocking(make).await?;
        let into = scratch.path();
        if let Err(e) = import::fetch(into, from, &self.layout, self.reach, &progress).await {
            blocking(move || {
                scratch.remove();
                Ok(())
            })
            .await?;
            return Err(e);
        }
        // Here, not in `adopt`, which runs while a transaction is open.
        blocking(move || {
            let format = Format::at(scratch.path()).map_err(Error::internal)?;
            let config = scratch.path().join("config");
            fs::write(config, format.config()).map_err(Error::internal)?;
            sync_all(scratch.path()).map_err(Error::internal)?;
            Ok(Box::new(scratch) as Box<dyn Staged>)
        })
        .await
    }

    async fn adopt(&self, staged: Box<dyn Staged>, repo: RepoId) -> Result<()> {
        let this = self.clone();
        blocking(move || {
            if staged.path().parent() != Some(this.layout.scratch().as_path()) {
                return Err(Error::internal("fetched by another backend"));
            }
            this.place(staged.path(), repo)
        })
        .await
    }

    async fn remove(&self, repo: RepoId) -> Result<()> {
        let this = self.clone();
        blocking(move || {
            if let Some(path) = this.layout.repo(repo) {
                let gone = Scratch::of(&path, &this.layout.scratch()).map_err(Error::internal)?;
                this.handles.forget(repo);
                if let (Some(gone), Some(parent)) = (gone, path.parent()) {
                    sync_dir(parent).map_err(Error::internal)?;
                    gone.remove();
                }
            }
            Ok(())
        })
        .await
    }

    async fn sweep(&self, before: Timestamp) -> Result<Vec<RepoId>> {
        let this = self.clone();
        blocking(move || {
            let scratch = this.layout.scratch();
            if scratch.is_dir() {
                for entry in fs::read_dir(&scratch).map_err(Error::internal)? {
                    let path = entry.map_err(Error::internal)?.path();
                    if is_unused(&path, before) {
                        let left = Scratch::of(&path, &scratch).map_err(Error::internal)?;
                        if let Some(left) = left {
                            left.remove();
                        }
                    }
                }
            }
            let repos = this.layout.repos().map_err(Error::internal)?;
            let old = repos.into_iter().filter(|(_, path)| is_older(path, before));
            Ok(old.map(|(id, _)| id).collect())
        })
        .await
    }

    async fn recover(&self) -> Result<()> {
        let scratch = self.layout.scratch();
        blocking(move || {
            for left in Scratch::abandoned(&scratch).map_err(Error::internal)? {
                quarantine::complete(left.path()).map_err(Error::internal)?;
                left.remove();
            }
            Ok(())
        })
        .await
    }

    async fn maintain(&self, repo: RepoId) -> Result<()> {
        let path = self.layout.repo(repo).ok_or(Error::NotFound)?;
        if maintenance::maintain(&path).await? {
            // Open handles would keep the old packs on the disk.
            self.handles.forget(repo);
        }
        Ok(())
    }

    fn open(&self, repo: RepoId) -> Result<Arc<dyn GitRepo>> {
        Ok(Arc::new(self.repo(repo)))
    }
}

/// Whether nothing in a directory was changed since then: a long fetch changes what lies deep in it only.
fn is_unused(path: &Path, before: Timestamp) -> bool {
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        if !is_older(&path, before) {
            return false;
        }
        // Links lead elsewhere.
        if path.is_symlink() || !path.is_dir() {
            continue;
        }
        let listed = fs::read_dir(&path).and_then(|entries| {
            for entry in entries {
                left.push(entry?.path());
            }
            Ok(())
        });
        // What cannot be listed may have gone a moment ago.
        if listed.is_err() {
            return false;
        }
    }
    true
}

/// Whether it was last changed before then. What has just gone is not. The time of the last change of its state counts
/// too: it is that of the rename which put a repository there, and nobody can set it back.
fn is_older(path: &Path, before: Timestamp) -> bool {
    path.symlink_metadata().is_ok_and(|meta| {
        let nanos = u32::try_from(meta.ctime_nsec()).unwrap_or_default();
        let changed = DateTime::from_timestamp(meta.ctime(), nanos);
        let modified = meta.modified().map(DateTime::<Utc>::from);
        changed.is_some_and(|time| time < before) && modified.is_ok_and(|time| time < before)
    })
}

/// Writes a bare repository without objects, as `git init --bare` does without its samples.
fn write_empty(directory: &Path, head: &RefName) -> std::io::Result<()> {
    for sub in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        fs::create_dir_all(directory.join(sub))?;
    }
    fs::write(directory.join("config"), Format::default().config())?;
    let line = [b"ref: ", &**head.as_bstr(), b"\n"].concat();
    fs::write(directory.join("HEAD"), line)
}
