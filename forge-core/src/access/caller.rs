//! The authenticated request.
//!
//! Invariant: a [`Caller`] is made by [`Forge::authenticate`] alone, of credentials that hold at that moment and of a
//! user who is not suspended. It permits nothing by itself; it hands out capabilities.

use std::sync::Arc;

use super::{Account, Actor, Credentials, Grants, ManageRepo, Mode, Objects, ReadRepo, Scope};
use crate::names::{RepoPath, UserName};
use crate::oauth::TokenHash;
use crate::repos::{Listing, RepoOrRedirect, Repository};
use crate::users::User;
use crate::{Error, Forge, Page, Paged, Result};

/// One authenticated request.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) forge: Forge,
    user: Option<Arc<User>>,
    grants: Grants,
}

impl Forge {
    /// Finds out who is calling.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the token is unknown, expired or revoked; [`Error::Forbidden`] with the notice if
    /// its user is suspended.
    pub async fn authenticate(&self, given: Credentials<'_>) -> Result<Caller> {
        let text = match given {
            Credentials::None => {
                return Ok(Caller {
                    forge: self.clone(),
                    user: None,
                    grants: Grants::nothing(),
                });
            }
            Credentials::Token(text) => text,
        };
        let (token, user) = self
            .store()
            .token_by_hash(&TokenHash::of(text))
            .await?
            .ok_or(Error::Unauthenticated)?;
        if token.expires <= self.now() {
            return Err(Error::Unauthenticated);
        }
        if let Some(notice) = &user.suspended {
            return Err(Error::forbidden(format!(
                "this account is suspended: {notice}"
            )));
        }
        Ok(Caller {
            forge: self.clone(),
            user: Some(Arc::new(user)),
            grants: token.grants,
        })
    }
}

impl Caller {
    /// Who it is.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.user
            .as_ref()
            .map_or(Actor::Anonymous, |user| Actor::User(user.id))
    }

    /// The user who is calling.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for an anonymous caller.
    pub fn user(&self) -> Result<&User> {
        self.user.as_deref().ok_or(Error::Unauthenticated)
    }

    /// The forge that is called.
    #[must_use]
    pub fn forge(&self) -> &Forge {
        &self.forge
    }

    /// Whether the credentials cover a scope. An anonymous caller may read repositories and their objects, as far as
    /// the repository itself permits it.
    ///
    /// # Errors
    /// [`Error::Forbidden`], naming the scope that is missing; [`Error::Unauthenticated`] for an anonymous caller.
    pub fn require(&self, scope: Scope, mode: Mode) -> Result<()> {
        if self.user.is_none() {
            let open = mode == Mode::Read && matches!(scope, Scope::Repositories | Scope::Objects);
            return if open {
                Ok(())
            } else {
                Err(Error::Unauthenticated)
            };
        }
        if self.grants.allow(scope, mode) {
            return Ok(());
        }
        Err(Error::forbidden(format!(
            "this token lacks the scope {}",
            scope.describe(mode)
        )))
    }

    /// A repository's description, if this caller may see the repository. Needs `REPOSITORIES:RO`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it does not exist or may not be seen; old names are not followed.
    pub async fn read_repo(&self, path: &RepoPath) -> Result<ReadRepo> {
        self.require(Scope::Repositories, Mode::Read)?;
        self.see(path).await
    }

    /// A repository's objects, refs and artifacts, if this caller may see the repository. Needs `OBJECTS:RO`.
    ///
    /// # Errors
    /// As [`Caller::read_repo`].
    pub async fn objects(&self, path: &RepoPath) -> Result<Objects> {
        self.require(Scope::Objects, Mode::Read)?;
        self.see(path).await?.objects()
    }

    /// A repository to change or delete: its owner alone. `scope` is what the change will need written; it is asked
    /// first, so that a token without it learns nothing about the repository.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it may not be seen, [`Error::Forbidden`] if it may be seen but not managed.
    pub async fn manage_repo(&self, path: &RepoPath, scope: Scope) -> Result<ManageRepo> {
        self.require(scope, Mode::Write)?;
        self.see(path).await?.manage()
    }

    /// The repositories of a user that this caller may list: all of one's own; of others, those that are public or
    /// shared with the caller by an access list. Needs `REPOSITORIES:RO`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such user.
    pub async fn repos_of(&self, owner: &UserName, page: Page) -> Result<Paged<Repository>> {
        self.require(Scope::Repositories, Mode::Read)?;
        let owner = self
            .forge
            .store()
            .user_by_name(owner)
            .await?
            .ok_or(Error::NotFound)?;
        let listing = match self.actor() {
            Actor::User(id) if id == owner.id => Listing::All,
            Actor::User(id) => Listing::VisibleTo(id),
            Actor::Anonymous => Listing::Public,
        };
        self.forge.store().repos_of(owner.id, listing, page).await
    }

    /// The caller's own account.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for an anonymous caller.
    pub fn account(&self) -> Result<Account> {
        let user = self.user.clone().ok_or(Error::Unauthenticated)?;
        Ok(Account::of(self.clone(), user))
    }

    async fn see(&self, path: &RepoPath) -> Result<ReadRepo> {
        match self.forge.store().repo_by_path(path).await? {
            Some(RepoOrRedirect::Repository(repo)) => ReadRepo::check(self, repo).await,
            Some(RepoOrRedirect::Moved(_)) | None => Err(Error::NotFound),
        }
    }
}
