//! The authenticated request.
//!
//! Invariant: a [`Caller`] is made by [`Forge::authenticate`] alone, of credentials that hold at that moment and of a
//! user who is not suspended. It permits nothing by itself; it hands out capabilities.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::TimeDelta;

use super::{
    Account, Actor, Credentials, Grants, ManageRepo, Mode, Objects, ReadRepo, Scope, WriteRepo,
};
use crate::keys::{Fingerprint, SshKey};
use crate::names::{RepoName, RepoPath, UserName};
use crate::oauth::{SecretHash, Token};
use crate::repos::{Listing, RepoOrRedirect, Repository};
use crate::store::Reads;
use crate::users::User;
use crate::{Error, Forge, Page, Paged, RepoId, Result, Timestamp};

/// How long a key's last use is not noted again.
const NOTED: TimeDelta = TimeDelta::minutes(1);

/// One authenticated request.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(super) forge: Forge,
    who: Who,
    grants: Grants,
    /// Where the request comes from, if that is known.
    peer: Option<IpAddr>,
    /// Whether a page is used, by somebody who is signed in there.
    has_session: bool,
}

#[derive(Debug, Clone)]
enum Who {
    Anonymous,
    /// A user, and the SSH key that said so.
    User(Arc<User>, Option<Arc<SshKey>>),
    DeployKey(Fingerprint),
}

impl Forge {
    /// Finds out who is calling.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the token is unknown, expired or revoked, or the key opens nothing;
    /// [`Error::Forbidden`] with the notice if its user is suspended.
    pub async fn authenticate(&self, given: Credentials<'_>) -> Result<Caller> {
        let (who, grants) = match given {
            Credentials::None => (Who::Anonymous, Grants::nothing()),
            Credentials::Token(text) => {
                let (token, user) = self.token_in_force(text).await?;
                (Who::User(Arc::new(user), None), token.grants)
            }
            Credentials::Session(profile) => {
                let user = self.mirror(profile).await?;
                (Who::User(Arc::new(user), None), Grants::everything())
            }
            Credentials::SshKey(fingerprint) => {
                match self.store().ssh_key_by_fingerprint(&fingerprint).await? {
                    Some((key, user)) => (
                        Who::User(Arc::new(user), Some(Arc::new(key))),
                        Grants::everything(),
                    ),
                    None if self.store().is_deploy_key(&fingerprint).await? => {
                        (Who::DeployKey(fingerprint), Grants::transport())
                    }
                    None => return Err(Error::Unauthenticated),
                }
            }
        };
        if let Who::User(user, _) = &who {
            check_standing(user)?;
        }
        Ok(Caller {
            forge: self.clone(),
            who,
            grants,
            peer: None,
            has_session: matches!(given, Credentials::Session(_)),
        })
    }
}

impl Forge {
    /// The token of that text and its user, if it means somebody; it was used now.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if it is unknown, expired or revoked; [`Error::Forbidden`] if its user is suspended.
    pub(crate) async fn token_in_force(&self, text: &str) -> Result<(Token, User)> {
        let (hash, now) = (SecretHash::of(text), self.now());
        let found = self.store().token_by_hash(&hash, now).await?;
        let (token, user) = found.ok_or(Error::Unauthenticated)?;
        self.note_token_use(&token).await?;
        check_standing(&user)?;
        Ok((token, user))
    }
}

fn check_standing(user: &User) -> Result<()> {
    match &user.suspended {
        None => Ok(()),
        Some(notice) => Err(Error::forbidden(format!(
            "this account is suspended: {notice}"
        ))),
    }
}

/// Where a push may go.
#[derive(Debug)]
#[must_use]
pub enum PushTarget {
    /// A repository.
    Repo(WriteRepo),
    /// A repository of the caller's own that does not exist yet.
    New(NewPush),
}

/// The right to make a repository by pushing to it.
#[derive(Debug)]
#[must_use]
pub struct NewPush {
    account: Account,
    name: RepoName,
}

impl PushTarget {
    /// Who may push.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Repo(repo) => repo.actor(),
            Self::New(new) => Actor::User(new.account.user().id),
        }
    }
}

impl NewPush {
    /// What it will be called.
    #[must_use]
    pub fn path(&self) -> RepoPath {
        RepoPath {
            owner: self.account.user().name.clone(),
            name: self.name.clone(),
        }
    }

    /// Makes it, private. If nothing is pushed to it after all, it is to be removed with
    /// [`WriteRepo::discard_unused`]; a process that dies before that leaves it to a job.
    ///
    /// # Errors
    /// [`Error::Conflict`] on field `name` if somebody else was faster.
    pub async fn create(&self) -> Result<WriteRepo> {
        let made = self.account.create_repo_for_push(&self.name).await?;
        ReadRepo::clone(&made).write()
    }

    /// The repository of this name, if somebody else was faster.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none.
    pub async fn existing(&self) -> Result<WriteRepo> {
        match self.account.caller().push_to(&self.path()).await? {
            PushTarget::Repo(repo) => Ok(repo),
            PushTarget::New(_) => Err(Error::NotFound),
        }
    }
}

impl Caller {
    /// The same caller, known to call from this address.
    #[must_use]
    pub fn from_address(self, peer: Option<IpAddr>) -> Self {
        Self { peer, ..self }
    }

    /// The address of whoever is calling, if it is known.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Who it is.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match &self.who {
            Who::Anonymous => Actor::Anonymous,
            Who::User(user, _) => Actor::User(user.id),
            Who::DeployKey(_) => Actor::DeployKey,
        }
    }

    /// The user who is calling.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for an anonymous caller, and for a deploy key.
    pub fn user(&self) -> Result<&User> {
        match &self.who {
            Who::User(user, _) => Ok(user),
            Who::Anonymous | Who::DeployKey(_) => Err(Error::Unauthenticated),
        }
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
        if matches!(self.who, Who::Anonymous) {
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

    /// Whether a page is used: tokens and clients are made there, not by tokens and clients.
    pub(super) fn require_session(&self) -> Result<()> {
        if self.has_session {
            return Ok(());
        }
        Err(Error::forbidden(
            "this needs to be signed in with a browser",
        ))
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

    /// A repository to push to, or the right to make one by pushing: only below the caller's own name, only where
    /// there is and was none. Needs `OBJECTS:RW`, and `REPOSITORIES:RW` to make one.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it may not be seen, [`Error::Forbidden`] if it may be seen but not written to.
    pub async fn push_to(&self, path: &RepoPath) -> Result<PushTarget> {
        self.require(Scope::Objects, Mode::Write)?;
        match self.look_up(path).await? {
            Some(RepoOrRedirect::Repository(repo)) => {
                let repo = ReadRepo::check(self, repo).await?;
                Ok(PushTarget::Repo(repo.write()?))
            }
            Some(RepoOrRedirect::Moved(_)) => Err(Error::NotFound),
            None => {
                let account = self.account().map_err(|_| Error::NotFound)?;
                let may_make = self.grants.allow(Scope::Repositories, Mode::Write);
                if account.user().name != path.owner || !may_make {
                    return Err(Error::NotFound);
                }
                let name = path.name.clone();
                Ok(PushTarget::New(NewPush { account, name }))
            }
        }
    }

    /// Where a repository is now that was found here once, if this caller may see it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn moved(&self, path: &RepoPath) -> Result<Option<RepoPath>> {
        let found = self
            .forge
            .store()
            .repo_by_path(path, Some(self.actor()))
            .await?;
        let Some(RepoOrRedirect::Moved(to)) = found else {
            return Ok(None);
        };
        match self.see(&to).await {
            Ok(_) => Ok(Some(to)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
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
            Actor::Anonymous | Actor::DeployKey => Listing::Public,
        };
        self.forge.store().repos_of(owner.id, listing, page).await
    }

    /// The caller's own account.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for an anonymous caller.
    pub fn account(&self) -> Result<Account> {
        match &self.who {
            Who::User(user, _) => Ok(Account::of(self.clone(), Arc::clone(user))),
            Who::Anonymous | Who::DeployKey(_) => Err(Error::Unauthenticated),
        }
    }

    /// What the caller's entry in a repository's access list says, or their deploy key for it.
    pub(super) async fn mode_on(
        &self,
        rows: &(impl Reads + ?Sized),
        repo: &Repository,
    ) -> Result<Option<Mode>> {
        match &self.who {
            Who::User(user, _) if user.id != repo.owner.id => rows.acl_mode(repo.id, user.id).await,
            Who::User(..) | Who::Anonymous => Ok(None),
            Who::DeployKey(fingerprint) => {
                let key = rows.deploy_key(repo.id, fingerprint).await?;
                let owner = rows.user_by_name(&repo.owner.name).await?;
                // A suspended owner's keys are suspended with them.
                let holds = owner.is_some_and(|owner| owner.suspended.is_none());
                Ok(key.filter(|_| holds).map(|key| key.mode))
            }
        }
    }

    pub(super) async fn note_key_use(&self, repo: RepoId) -> Result<()> {
        let now = self.forge.now();
        let is_noted = |last: Option<Timestamp>| last.is_some_and(|last| now - last < NOTED);
        let store = self.forge.store();
        match &self.who {
            Who::User(user, Some(key)) if !is_noted(key.last_used) => {
                let mut tx = store.begin().await?;
                tx.touch_ssh_key(user.id, key.id, now).await?;
                tx.commit().await
            }
            Who::DeployKey(fingerprint) => {
                let key = store.deploy_key(repo, fingerprint).await?;
                let Some(key) = key.filter(|key| !is_noted(key.last_used)) else {
                    return Ok(());
                };
                let mut tx = store.begin().await?;
                tx.touch_deploy_key(repo, key.id, now).await?;
                tx.commit().await
            }
            Who::Anonymous | Who::User(..) => Ok(()),
        }
    }

    /// Whether the user who is calling is still in good standing.
    pub(super) async fn is_still_good(&self, rows: &(impl Reads + ?Sized)) -> Result<bool> {
        let Who::User(user, _) = &self.who else {
            return Ok(true);
        };
        let now = rows.user_by_name(&user.name).await?;
        Ok(now.is_some_and(|now| now.suspended.is_none()))
    }

    /// What a path leads to. What does not exist takes as long to find out as what may not be seen.
    async fn look_up(&self, path: &RepoPath) -> Result<Option<RepoOrRedirect>> {
        let store = self.forge.store();
        let found = store.repo_by_path(path, Some(self.actor())).await?;
        if !matches!(found, Some(RepoOrRedirect::Repository(_))) {
            match &self.who {
                Who::Anonymous => {}
                Who::User(user, _) => drop(store.acl_mode(RepoId(0), user.id).await?),
                Who::DeployKey(fingerprint) => {
                    drop(store.deploy_key(RepoId(0), fingerprint).await?);
                    drop(store.user_by_name(&path.owner).await?);
                }
            }
        }
        Ok(found)
    }

    async fn see(&self, path: &RepoPath) -> Result<ReadRepo> {
        match self.look_up(path).await? {
            Some(RepoOrRedirect::Repository(repo)) => ReadRepo::check(self, repo).await,
            Some(RepoOrRedirect::Moved(_)) | None => Err(Error::NotFound),
        }
    }
}
