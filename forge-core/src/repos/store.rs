//! The storage contract of repositories.

use async_trait::async_trait;

use super::{NewRepo, RepoChange, RepoOrRedirect, Repository};
use crate::access::Actor;
use crate::clock::Timestamp;
use crate::ids::{RepoId, UserId};
use crate::names::{RepoName, RepoPath};
use crate::{Page, Paged, Result};

/// Which of an owner's repositories to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// All of them.
    All,
    /// The public ones, and those with an access list entry for this user.
    VisibleTo(UserId),
    /// The public ones.
    Public,
}

/// Reading repositories.
#[async_trait]
pub trait RepoReads: Send + Sync {
    /// The repository of that name, else the one that had it last and where it is now, as far as there is one for `asker`:
    /// for [`Actor::Anonymous`], none is private. `None` is the forge itself. What a store remembers, it remembers for each
    /// asker alone, and what is not there like what is: else the time of an answer would tell what others ask.
    async fn repo_by_path(
        &self,
        path: &RepoPath,
        asker: Option<Actor>,
    ) -> Result<Option<RepoOrRedirect>>;
    /// One owner's repositories, newest first.
    async fn repos_of(
        &self,
        owner: UserId,
        listing: Listing,
        page: Page,
    ) -> Result<Paged<Repository>>;
    /// The repository of that number.
    async fn repo(&self, id: RepoId) -> Result<Option<Repository>>;
    /// Those of `ids` that exist.
    async fn existing_repos(&self, ids: &[RepoId]) -> Result<Vec<RepoId>>;
    /// The custom README, which is too large to come with every row.
    async fn readme(&self, id: RepoId) -> Result<Option<String>>;
}

/// Writing repositories.
#[async_trait]
pub trait RepoWrites: Send {
    /// Adds a repository. Takes its name over from a redirect.
    /// [`crate::Error::Conflict`] on field `name` if the owner has a repository of that name.
    async fn insert_repo(
        &mut self,
        owner: UserId,
        new: &NewRepo,
        now: Timestamp,
    ) -> Result<Repository>;
    /// Changes a repository and sets `updated`. A new name leaves a redirect under the old one, and takes its own over
    /// from a redirect. [`crate::Error::NotFound`] if it is gone; [`crate::Error::Conflict`] on field `name` if taken.
    async fn update_repo(
        &mut self,
        id: RepoId,
        change: &RepoChange,
        now: Timestamp,
    ) -> Result<Repository>;
    /// Gives a repository to another owner, under that name, and sets `updated`. Where it was it leaves a redirect, those
    /// to it stay; it takes its name over from a redirect. The new owner's entry in its access list goes.
    /// [`crate::Error::NotFound`] if it is gone; [`crate::Error::Conflict`] on field `name` if taken.
    async fn give_repo(
        &mut self,
        id: RepoId,
        owner: UserId,
        name: &RepoName,
        now: Timestamp,
    ) -> Result<Repository>;
    /// Sets `updated`: its refs have changed. `None` if it is gone.
    async fn touch_repo(&mut self, id: RepoId, now: Timestamp) -> Result<Option<Repository>>;
    /// Removes a repository with its access list, deploy keys, pushes, redirects and artifacts' rows. `false` if it was
    /// gone already.
    async fn delete_repo(&mut self, id: RepoId) -> Result<bool>;
}
