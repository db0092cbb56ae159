//! What is done with repositories.

use std::sync::Arc;

use chrono::TimeDelta;

use super::{NewRepo, RepoChange, Repository, Visibility};
use crate::access::{Account, ManageRepo, Mode, ReadRepo, Scope, System, WriteRepo};
use crate::events::{EventKind, NewJob, Task};
use crate::imports::NewImport;
use crate::names::{RefName, RepoName, RepoPath, UserName};
use crate::objects::ImportSource;
use crate::repos::RepoOrRedirect;
use crate::{Error, Forge, Page, RepoId, Result};

/// Told, line by line, how a long operation is getting on. The lines hold no control characters.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// How long after the longest push a repository is removed that was made for a push by a process that died.
const UNUSED: TimeDelta = TimeDelta::hours(1);
/// How many keys one job removes; a bound on the size of the job's row.
const KEYS_PER_JOB: usize = 500;

/// What an empty repository is made for.
pub(crate) enum Purpose {
    /// Itself.
    Itself,
    /// To be pushed to in the same moment, or removed.
    Push,
    /// To be filled from elsewhere.
    Import(NewImport),
}

impl Account {
    /// Makes an empty repository. Needs `REPOSITORIES:RW`.
    ///
    /// # Errors
    /// [`Error::Conflict`] on field `name` if the account has one of that name, [`Error::Invalid`] for a bad
    /// description.
    pub async fn create_repo(&self, new: &NewRepo) -> Result<ManageRepo> {
        self.make_repo(new, Purpose::Itself).await
    }

    /// Makes an empty private repository for a push, to be removed again if nothing is pushed. Needs
    /// `REPOSITORIES:RW`.
    pub(crate) async fn create_repo_for_push(&self, name: &RepoName) -> Result<ManageRepo> {
        let new = NewRepo {
            name: name.clone(),
            description: None,
            visibility: Visibility::Private,
        };
        self.make_repo(&new, Purpose::Push).await
    }

    pub(crate) async fn make_repo(&self, new: &NewRepo, purpose: Purpose) -> Result<ManageRepo> {
        self.require(Scope::Repositories, Mode::Write)?;
        new.check()?;
        let (forge, owner, new) = (self.forge().clone(), self.user().id, new.clone());
        let repo = to_its_end(async move {
            let mut tx = forge.store().begin().await?;
            let repo = tx.insert_repo(owner, &new, forge.now()).await?;
            // The directory comes first: a crash leaves one that no row knows, which the sweep removes.
            forge.git().create(repo.id, &default_head()?).await?;
            match purpose {
                Purpose::Itself => {}
                Purpose::Push => {
                    // For a process that dies during the push; one that lives removes it itself.
                    let longest = TimeDelta::from_std(forge.limits().push.total);
                    let later = forge.now() + longest.unwrap_or(UNUSED) + UNUSED;
                    tx.enqueue(NewJob::at(later, Task::CollectRepo(repo.id)))
                        .await?;
                }
                Purpose::Import(import) => {
                    tx.insert_import(repo.id, &import, forge.now()).await?;
                    tx.enqueue(NewJob::at(forge.now(), Task::Import(repo.id)))
                        .await?;
                }
            }
            tx.emit(forge.event(EventKind::RepoCreated(repo.clone()))?)
                .await?;
            tx.commit().await?;
            forge.wake();
            Ok(repo)
        })
        .await?;
        Ok(self.owns(repo))
    }
}

impl WriteRepo {
    /// Removes a repository that was made for a push to which nothing was pushed in the end, whether by this caller or
    /// another.
    ///
    /// # Errors
    /// Those of the store and the backend.
    pub async fn discard_unused(&self) -> Result<()> {
        self.forge().collect_repo(self.id()).await
    }
}

impl Forge {
    /// Removes a repository without refs to which nothing was ever pushed. Whoever is pushing to it at this moment finds
    /// it gone when the push is recorded.
    pub(crate) async fn collect_repo(&self, id: RepoId) -> Result<()> {
        let refs = match self.git().open(id)?.refs().await {
            Ok(refs) => refs,
            Err(Error::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut tx = self.store().begin().await?;
        // Somebody has begun to make something of it.
        let one = Page {
            start: None,
            size: 1,
        };
        let is_shared =
            tx.acls(id, one).await?.total > 0 || tx.deploy_keys(id, one).await?.total > 0;
        let is_touched = tx
            .repo(id)
            .await?
            .is_some_and(|repo| repo.updated != repo.created);
        if is_shared || is_touched {
            return Ok(());
        }
        // Written before it is looked at: a push that is being recorded is waited for, and seen.
        let Some(repo) = tx.touch_repo(id, self.now()).await? else {
            return Ok(());
        };
        if !refs.is_empty() || tx.was_pushed_to(id).await? {
            return Ok(());
        }
        tx.delete_repo(id).await?;
        tx.enqueue(NewJob::at(self.now(), Task::RemoveRepo(id)))
            .await?;
        tx.emit(self.event(EventKind::RepoDeleted(repo))?).await?;
        tx.commit().await?;
        self.wake();
        Ok(())
    }
}

impl ReadRepo {
    /// Whether its history is still being fetched from elsewhere.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn is_being_imported(&self) -> Result<bool> {
        let import = self.import().await?;
        Ok(import.is_some_and(|import| import.is_running()))
    }

    /// The custom README, if the owner has set one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn readme(&self) -> Result<Option<String>> {
        self.forge().store().readme(self.id()).await
    }
}

impl ManageRepo {
    /// Changes the repository. Needs `REPOSITORIES:RW`.
    ///
    /// # Errors
    /// [`Error::Conflict`] on field `name` if the name is taken, [`Error::Invalid`] for bad text.
    pub async fn update(&self, change: &RepoChange) -> Result<Repository> {
        self.require(Scope::Repositories, Mode::Write)?;
        change.check()?;
        let forge = self.forge();
        let mut tx = forge.store().begin().await?;
        let repo = tx.update_repo(self.id(), change, forge.now()).await?;
        tx.emit(forge.event(EventKind::RepoUpdated(repo.clone()))?)
            .await?;
        tx.commit().await?;
        forge.wake();
        Ok(repo)
    }

    /// Deletes the repository. It is gone when this returns; its files go in the background. Needs `REPOSITORIES:RW`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if somebody else has just deleted it.
    pub async fn delete(self) -> Result<()> {
        self.require(Scope::Repositories, Mode::Write)?;
        if self.forge().remove_repo(self.get()).await? {
            Ok(())
        } else {
            Err(Error::NotFound)
        }
    }
}

impl Forge {
    /// Deletes a repository. `false` if it was gone already.
    pub(crate) async fn remove_repo(&self, repo: &Repository) -> Result<bool> {
        let now = self.now();
        let mut tx = self.store().begin().await?;
        let artifacts = tx.artifacts_of(repo.id).await?;
        let keys: Vec<_> = artifacts.into_iter().map(|artifact| artifact.key).collect();
        if !tx.delete_repo(repo.id).await? {
            return Ok(false);
        }
        tx.enqueue(NewJob::at(now, Task::RemoveRepo(repo.id)))
            .await?;
        for keys in keys.chunks(KEYS_PER_JOB) {
            tx.enqueue(NewJob::at(now, Task::RemoveBlobs(keys.to_vec())))
                .await?;
        }
        tx.emit(self.event(EventKind::RepoDeleted(repo.clone()))?)
            .await?;
        tx.commit().await?;
        self.wake();
        Ok(true)
    }
}

impl System {
    /// Makes a repository of everything that another one holds: all refs, and HEAD. The source may be a local path,
    /// so it must be the operator's word, never a caller's.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such owner; [`Error::Conflict`] on field `name` if the name is taken;
    /// [`Error::Invalid`] for field `source`, with git's words, if it cannot be read.
    pub async fn import_repo(
        &self,
        owner: &UserName,
        new: &NewRepo,
        source: &ImportSource,
        progress: Progress,
    ) -> Result<Repository> {
        new.check()?;
        let forge = self.forge();
        let user = forge
            .store()
            .user_by_name(owner)
            .await?
            .ok_or(Error::NotFound)?;
        let path = RepoPath {
            owner: owner.clone(),
            name: new.name.clone(),
        };
        if let Some(RepoOrRedirect::Repository(_)) = forge.store().repo_by_path(&path, None).await?
        {
            return Err(Error::conflict(
                "name",
                "a repository of this name already exists",
            ));
        }
        let staged = forge.git().fetch(source, progress).await?;
        let (forge, owner, new) = (forge.clone(), user.id, new.clone());
        to_its_end(async move {
            let mut tx = forge.store().begin().await?;
            let repo = tx.insert_repo(owner, &new, forge.now()).await?;
            forge.git().adopt(staged, repo.id).await?;
            tx.emit(forge.event(EventKind::RepoCreated(repo.clone()))?)
                .await?;
            tx.commit().await?;
            forge.wake();
            Ok(repo)
        })
        .await
    }

    /// The repository of that name.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find_repo(&self, path: &RepoPath) -> Result<Option<Repository>> {
        let found = self.forge().store().repo_by_path(path, None);
        Ok(match found.await? {
            Some(RepoOrRedirect::Repository(repo)) => Some(repo),
            Some(RepoOrRedirect::Moved(_)) | None => None,
        })
    }
}

/// Does work that must not be dropped in the middle when its caller hangs up: a directory that is put in place after its
/// transaction was rolled back could take the place of the next repository's, which may be given the same number.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(work).await.map_err(Error::internal)?
}

/// What HEAD names in a repository without commits; SourceHut's choice.
fn default_head() -> Result<RefName> {
    RefName::new("refs/heads/master")
}
