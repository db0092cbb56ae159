//! The capabilities on a repository, and the one function that says who gets which.
//!
//! Invariant: "may not see" is [`Error::NotFound`] and "may see but not do" is [`Error::Forbidden`], decided here and
//! nowhere else. The operations themselves live with their nouns.

use std::ops::Deref;
use std::sync::Arc;

use super::{Actor, Caller, Mode, Scope};
use crate::objects::GitRepo;
use crate::repos::{Owner, Repository, Visibility};
use crate::store::Tx;
use crate::{Error, Forge, RepoId, Result, UserId};

/// What somebody may do with a repository; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// See it, clone it.
    Read,
    /// Push to it.
    Write,
    /// Change what it is, share it, delete it.
    Manage,
}

/// The whole rule. `acl` is the caller's entry in the repository's access list, or the mode of the deploy key that the
/// caller has for it.
fn level(actor: Actor, repo: &Repository, acl: Option<Mode>) -> Option<Level> {
    match (actor, acl, repo.visibility) {
        (Actor::User(id), _, _) if id == repo.owner.id => Some(Level::Manage),
        (Actor::User(_), Some(Mode::Write), _) => Some(Level::Write),
        (Actor::User(_), Some(Mode::Read), _) => Some(Level::Read),
        (Actor::DeployKey, Some(Mode::Write), _) => Some(Level::Write),
        (Actor::DeployKey, Some(Mode::Read), _) => Some(Level::Read),
        // It opens one repository; any other does not exist for it, public or not.
        (Actor::DeployKey, None, _) => None,
        (_, _, Visibility::Public | Visibility::Unlisted) => Some(Level::Read),
        (_, _, Visibility::Private) => None,
    }
}

impl Forge {
    /// Whether a user may see a repository by now: for what they asked for and is done without them.
    pub(crate) async fn may_see(&self, user: UserId, repo: &Repository) -> Result<bool> {
        let acl = self.store().acl_mode(repo.id, user).await?;
        Ok(level(Actor::User(user), repo, acl).is_some())
    }
}

/// A repository that the caller may see: what it is called, what it says about itself.
#[derive(Debug, Clone)]
#[must_use]
pub struct ReadRepo {
    caller: Caller,
    repo: Arc<Repository>,
    level: Level,
}

impl ReadRepo {
    pub(super) async fn check(caller: &Caller, repo: Repository) -> Result<Self> {
        let acl = caller.mode_on(caller.forge.store(), &repo).await?;
        let level = level(caller.actor(), &repo, acl).ok_or(Error::NotFound)?;
        Ok(Self {
            caller: caller.clone(),
            repo: Arc::new(repo),
            level,
        })
    }

    /// Only for the operation that has just made the repository for this caller.
    pub(super) fn made(caller: &Caller, repo: Repository) -> ManageRepo {
        ManageRepo(Self {
            caller: caller.clone(),
            repo: Arc::new(repo),
            level: Level::Manage,
        })
    }

    /// The repository as it was when the capability was given.
    #[must_use]
    pub fn get(&self) -> &Repository {
        &self.repo
    }

    /// The repository's row number.
    #[must_use]
    pub fn id(&self) -> RepoId {
        self.repo.id
    }

    /// What the caller may do with it.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Its objects, refs and artifacts. Needs `OBJECTS:RO`.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the scope.
    pub fn objects(&self) -> Result<Objects> {
        self.caller.require(Scope::Objects, Mode::Read)?;
        let git = self.forge().git().open(self.repo.id)?;
        Ok(Objects {
            repo: self.clone(),
            git,
        })
    }

    /// Who was given it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.caller.actor()
    }

    /// Notes that the key with which the caller came in was used, to the minute. Not knowing it is no reason to refuse.
    pub async fn note_key_use(&self) {
        if let Err(error) = self.caller.note_key_use(self.repo.id).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the use of a key is not noted"
            );
        }
    }

    pub(super) fn write(self) -> Result<WriteRepo> {
        if self.level < Level::Write {
            return Err(Error::forbidden("access denied"));
        }
        Ok(WriteRepo(self))
    }

    pub(super) fn manage(self) -> Result<ManageRepo> {
        if self.level < Level::Manage {
            return Err(Error::forbidden(
                "only the owner of a repository may do this",
            ));
        }
        Ok(ManageRepo(self))
    }

    pub(crate) fn forge(&self) -> &Forge {
        &self.caller.forge
    }

    pub(crate) fn require(&self, scope: Scope, mode: Mode) -> Result<()> {
        self.caller.require(scope, mode)
    }
}

/// A repository's objects, refs and artifacts.
#[derive(Debug, Clone)]
#[must_use]
pub struct Objects {
    repo: ReadRepo,
    git: Arc<dyn GitRepo>,
}

impl Objects {
    /// The repository they belong to.
    #[must_use]
    pub fn repo(&self) -> &Repository {
        self.repo.get()
    }

    /// Who was given them.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.repo.actor()
    }

    /// As [`ReadRepo::note_key_use`].
    pub async fn note_key_use(&self) {
        self.repo.note_key_use().await;
    }

    /// The repository together with the objects of a push that is asked for.
    pub(crate) fn quarantined(repo: &WriteRepo, git: Arc<dyn GitRepo>) -> Self {
        Self {
            repo: repo.0.clone(),
            git,
        }
    }

    pub(crate) fn forge(&self) -> &Forge {
        self.repo.forge()
    }

    pub(crate) fn git(&self) -> &dyn GitRepo {
        &*self.git
    }
}

/// A repository to push to.
#[derive(Debug, Clone)]
#[must_use]
pub struct WriteRepo(ReadRepo);

impl WriteRepo {
    /// Makes the access decision once more, with the rows that a transaction sees.
    pub(crate) async fn still_holds(&self, rows: &dyn Tx) -> Result<()> {
        let repo = rows.repo(self.id()).await?.ok_or(Error::NotFound)?;
        let caller = &self.0.caller;
        if !caller.is_still_good(rows).await? {
            return Err(Error::forbidden("access denied"));
        }
        let acl = caller.mode_on(rows, &repo).await?;
        match level(caller.actor(), &repo, acl) {
            Some(level) if level >= Level::Write => Ok(()),
            Some(_) => Err(Error::forbidden("access denied")),
            None => Err(Error::NotFound),
        }
    }

    /// Whom a push is said to come from; the repository's owner for a deploy key.
    pub(crate) fn pusher(&self) -> Owner {
        let user = self.0.caller.user().ok();
        user.map_or_else(
            || self.get().owner.clone(),
            |user| Owner {
                id: user.id,
                name: user.name.clone(),
            },
        )
    }
}

impl Deref for WriteRepo {
    type Target = ReadRepo;

    fn deref(&self) -> &ReadRepo {
        &self.0
    }
}

/// A repository to change: everything an owner may do.
#[derive(Debug, Clone)]
#[must_use]
pub struct ManageRepo(ReadRepo);

impl Deref for ManageRepo {
    type Target = ReadRepo;

    fn deref(&self) -> &ReadRepo {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::repos::Owner;

    #[test]
    fn the_rule_is_this_table() {
        let owner = Owner {
            id: UserId(1),
            name: "alice".parse().expect("a name"),
        };
        let now = DateTime::UNIX_EPOCH;
        let mut repo = Repository {
            id: RepoId(1),
            created: now,
            updated: now,
            owner,
            name: "hello".parse().expect("a name"),
            description: None,
            visibility: Visibility::Public,
        };
        let (alice, bob) = (Actor::User(UserId(1)), Actor::User(UserId(2)));
        for (visibility, strangers) in [
            (Visibility::Public, Some(Level::Read)),
            (Visibility::Unlisted, Some(Level::Read)),
            (Visibility::Private, None),
        ] {
            repo.visibility = visibility;
            assert_eq!(level(alice, &repo, None), Some(Level::Manage));
            assert_eq!(level(bob, &repo, None), strangers);
            assert_eq!(level(bob, &repo, Some(Mode::Read)), Some(Level::Read));
            assert_eq!(level(bob, &repo, Some(Mode::Write)), Some(Level::Write));
            assert_eq!(level(Actor::Anonymous, &repo, None), strangers);
            assert_eq!(level(Actor::DeployKey, &repo, None), None);
            for (mode, given) in [(Mode::Read, Level::Read), (Mode::Write, Level::Write)] {
                assert_eq!(level(Actor::DeployKey, &repo, Some(mode)), Some(given));
            }
        }
    }
}
