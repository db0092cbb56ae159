//! Deleting a user, and what is theirs.
//!
//! Invariant: from the request on, the account is suspended; the rest is one job whose every step is a transaction of its
//! own, and which begins anew with what is left. So it may be killed at any moment and is done all the same.
//! It does not free the name: nobody is to be taken for who had it.

use super::User;
use crate::access::{Account, System};
use crate::delegation::Ended;
use crate::events::{EventKind, NewJob, Task};
use crate::names::{RepoName, RepoPath, UserName};
use crate::repos::{Listing, Repository};
use crate::{Error, Forge, Page, Result, UserId};

/// What a user is told who comes while their account is deleted.
const NOTICE: &str = "this account is being deleted";
/// How many names are tried for a repository whose name the heir has already.
const MAX_SUFFIX: u32 = 1_000;

impl Account {
    /// Deletes the account with all its repositories. It is closed when this returns; the rest is done in the background.
    /// For pages: no token is good for that.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn delete(self) -> Result<()> {
        self.require_session()?;
        self.forge().begin_deletion(self.user(), None).await
    }
}

impl System {
    /// Deletes a user. Their repositories go to `heir`, or with `None` are deleted, too.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such user; [`Error::Invalid`] for field `heir` if there is no such heir.
    pub async fn delete_user(&self, name: &UserName, heir: Option<&UserName>) -> Result<()> {
        let store = self.forge().store();
        let user = store.user_by_name(name).await?.ok_or(Error::NotFound)?;
        let heir = match heir {
            Some(heir) => {
                let heir = store.user_by_name(heir).await?;
                let heir = heir.filter(|heir| heir.id != user.id);
                Some(
                    heir.ok_or_else(|| Error::invalid("heir", "heir must be another user"))?
                        .id,
                )
            }
            None => None,
        };
        self.forge().begin_deletion(&user, heir).await
    }
}

impl Forge {
    async fn begin_deletion(&self, user: &User, heir: Option<UserId>) -> Result<()> {
        let now = self.now();
        let mut tx = self.store().begin().await?;
        let user = user.id;
        tx.set_suspension(user, Some(NOTICE), now).await?;
        tx.delete_sessions(user).await?;
        self.tell_ended(&mut *tx, Ended::OfUser(user)).await?;
        tx.enqueue(NewJob {
            run_at: now,
            // Whoever asks twice is deleted once; what becomes of the repositories stays as it was said first.
            key: Some(format!("delete-user:{user}")),
            task: Task::DeleteUser { user, heir },
        })
        .await?;
        tx.commit().await?;
        self.wake();
        Ok(())
    }

    pub(crate) async fn run_delete_user(&self, user: UserId, heir: Option<UserId>) -> Result<()> {
        let Some(found) = self.store().user(user).await? else {
            return Ok(());
        };
        if found.suspended.is_none() {
            // An operator has lifted it, which does not call the deletion off.
            let mut tx = self.store().begin().await?;
            tx.set_suspension(user, Some(NOTICE), self.now()).await?;
            self.tell_ended(&mut *tx, Ended::OfUser(user)).await?;
            tx.commit().await?;
        }
        let heir = match heir {
            Some(heir) => {
                let found = self.store().user(heir).await?;
                // Deleting what was to be kept is no way out: a person must look at it.
                Some(found.ok_or_else(|| Error::internal("the heir is gone"))?)
            }
            None => None,
        };
        loop {
            let page = self
                .store()
                .repos_of(user, Listing::All, Page::default())
                .await?;
            if page.results.is_empty() {
                break;
            }
            for repo in page.results {
                match &heir {
                    Some(heir) => self.hand_over(&repo, heir).await?,
                    // Gone already is as good.
                    None => drop(self.remove_repo(&repo).await?),
                }
            }
        }
        let mut tx = self.store().begin().await?;
        // Once more: it may have been lifted since, and a service have asked.
        tx.set_suspension(user, Some(NOTICE), self.now()).await?;
        self.tell_ended(&mut *tx, Ended::OfUser(user)).await?;
        tx.delete_user(user, self.now()).await?;
        tx.commit().await?;
        tracing::info!(user.id = user.0, "a user was deleted");
        Ok(())
    }

    /// Gives a repository to the heir, under the first name that neither a repository nor a redirect of theirs has.
    async fn hand_over(&self, repo: &Repository, heir: &User) -> Result<()> {
        for suffix in 1..=MAX_SUFFIX {
            let name = suffixed(&repo.name, suffix)?;
            let path = RepoPath {
                owner: heir.name.clone(),
                name,
            };
            if self.store().repo_by_path(&path, None).await?.is_some() {
                continue;
            }
            let mut tx = self.store().begin().await?;
            let given = match tx.give_repo(repo.id, heir.id, &path.name, self.now()).await {
                Ok(given) => given,
                // Deleted meanwhile, by a request that was under way.
                Err(Error::NotFound) => return Ok(()),
                // Taken meanwhile.
                Err(Error::Conflict { .. }) => continue,
                Err(error) => return Err(error),
            };
            tx.emit(self.event(EventKind::RepoUpdated(given))?).await?;
            tx.commit().await?;
            self.wake();
            return Ok(());
        }
        Err(Error::internal("the heir has every name"))
    }
}

/// The name itself, then `name-2`, `name-3`; cut where it would become too long.
fn suffixed(name: &RepoName, number: u32) -> Result<RepoName> {
    if number == 1 {
        return Ok(name.clone());
    }
    let suffix = format!("-{number}");
    let name = name.as_str();
    let end = name.len().min(RepoName::MAX - suffix.len());
    // Names are ASCII, so any byte ends a character.
    format!("{}{suffix}", &name[..end]).parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_fit_the_longest_name() {
        let name = |text: &str| text.parse::<RepoName>().expect("a name");
        assert_eq!(suffixed(&name("a"), 1).ok(), Some(name("a")));
        assert_eq!(suffixed(&name("a"), 2).ok(), Some(name("a-2")));
        let long = name(&"x".repeat(256));
        let cut = name(&format!("{}-12", "x".repeat(253)));
        assert_eq!(suffixed(&long, 12).ok(), Some(cut));
    }
}
