//! What is done with imports: asking for one, looking at it, and the job that does it.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::watch;
use url::Url;

use super::source::{self, Own, bad};
use super::{Import, ImportState, NewImport};
use crate::access::{Account, ManageRepo, Mode, ReadRepo, Scope};
use crate::events::{NewJob, Task};
use crate::objects::{ImportSource, Staged};
use crate::repos::{NewRepo, Progress, Purpose, to_its_end};
use crate::{Error, Forge, Level, RepoId, Result};

/// How many imports one process does at once: they take minutes, and other jobs need their places.
pub(crate) const AT_ONCE: usize = 2;
/// How many imports one account has running.
const PER_ACCOUNT: u64 = 10;
/// When an import that found no place looks again.
const LATER: TimeDelta = TimeDelta::seconds(15);
/// How often fetching is begun: once more after a crash.
const ATTEMPTS: u32 = 2;
/// How often progress is written down.
const NOTED: Duration = Duration::from_secs(1);
/// The longest line that is kept, in characters.
const MAX_LINE: usize = 1000;
/// What is said of a source that does not answer as a repository does, and of one that may not be seen.
const UNREADABLE: &str = "the source cannot be read";

impl Account {
    /// Makes a repository and fetches what another one holds, its branches, tags and HEAD, in the background; see
    /// [`ReadRepo::import`]. The source is a URL, of this forge or another. Needs `REPOSITORIES:RW`, and `OBJECTS:RO`
    /// for a source that is a repository of this forge.
    ///
    /// # Errors
    /// Those of [`Account::create_repo`]; [`Error::Invalid`] on field `clone-url` for a bad URL, and for one of this
    /// forge where the caller sees no repository; [`Error::Forbidden`] if too many are running.
    pub async fn import_repo(&self, new: &NewRepo, url: &str) -> Result<ManageRepo> {
        self.require(Scope::Repositories, Mode::Write)?;
        let url = source::parse(url)?;
        let from = self.own_repo(&url).await?;
        if self.forge().store().running_imports(self.user().id).await? >= PER_ACCOUNT {
            return Err(Error::forbidden(
                "10 imports are running already; wait until one of them has ended",
            ));
        }
        let import = NewImport {
            source: url.to_string(),
            from,
        };
        self.make_repo(new, Purpose::Import(import)).await
    }

    /// The repository of this forge that a URL leads to; `None` if it leads elsewhere. What the caller may not see is as
    /// what does not exist.
    async fn own_repo(&self, url: &Url) -> Result<Option<RepoId>> {
        let Own::Paths(paths) = source::own(url, self.forge().git_origin()) else {
            return Ok(None);
        };
        for path in paths {
            match self.caller().objects(&path).await {
                Ok(objects) => return Ok(Some(objects.repo().id)),
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Err(bad(UNREADABLE))
    }
}

impl ReadRepo {
    /// Its import; `None` if it was made otherwise. The source is empty for all but its owner.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn import(&self) -> Result<Option<Import>> {
        let import = self.forge().store().import(self.id()).await?;
        // Where it came from may be a secret: another repository's name, a host of an intranet.
        Ok(import.map(|import| Import {
            source: Some(import.source)
                .filter(|_| self.level() >= Level::Manage)
                .unwrap_or_default(),
            ..import
        }))
    }
}

impl Forge {
    /// Does an import that is running, or puts it off if others have all places.
    pub(crate) async fn run_import(&self, repo: RepoId) -> Result<()> {
        let Ok(_place) = self.import_places().try_acquire() else {
            let mut tx = self.store().begin().await?;
            // A job of its own: putting off this one would count as an attempt.
            tx.enqueue(NewJob::at(self.now() + LATER, Task::Import(repo)))
                .await?;
            return tx.commit().await;
        };
        let mut tx = self.store().begin().await?;
        let Some(attempt) = tx.begin_import(repo).await? else {
            return Ok(());
        };
        tx.commit().await?;
        if attempt > ATTEMPTS {
            return self
                .fail_import(repo, "it was interrupted again and again")
                .await;
        }
        let Err(error) = Box::pin(self.fetch_import(repo)).await else {
            return Ok(());
        };
        match &error {
            Error::Invalid(faults) => {
                let words = faults.first().map_or(UNREADABLE, |fault| &fault.reason);
                self.fail_import(repo, words).await
            }
            Error::NotFound => self.fail_import(repo, UNREADABLE).await,
            _ if attempt < ATTEMPTS => Err(error),
            _ => {
                tracing::error!(
                    repo.id = repo.0,
                    error = &error as &dyn std::error::Error,
                    "an import is given up"
                );
                self.fail_import(repo, "something broke on our end").await
            }
        }
    }

    async fn fail_import(&self, repo: RepoId, reason: &str) -> Result<()> {
        let mut tx = self.store().begin().await?;
        tx.settle_import(repo, Some(&line(reason)), self.now())
            .await?;
        tx.commit().await
    }

    async fn fetch_import(&self, repo: RepoId) -> Result<()> {
        let Some(import) = self.store().import(repo).await? else {
            return Ok(());
        };
        // Nobody pushes meanwhile, so an attempt that was cut off a moment too late has put them here.
        if self.has_refs(repo).await? {
            return self.end_import(repo, None, String::new()).await;
        }
        let source = self.source_of(&import).await?;
        let (said, mut says) = watch::channel(String::new());
        let progress: Progress = Arc::new(move |text: &str| {
            said.send_replace(line(text));
        });
        let staged = tokio::select! {
            staged = self.git().fetch(&source, progress) => staged?,
            () = self.note_progress(repo, &mut says) => return Ok(()),
        };
        let last = says.borrow().clone();
        self.end_import(repo, Some(staged), last).await
    }

    async fn has_refs(&self, repo: RepoId) -> Result<bool> {
        match self.git().open(repo)?.refs().await {
            Ok(refs) => Ok(!refs.is_empty()),
            // A process died while it put what it had fetched into place.
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Where the objects are. A repository of this forge must still be one that the importing user sees.
    async fn source_of(&self, import: &Import) -> Result<ImportSource> {
        let Some(from) = import.from else {
            return Ok(ImportSource::UserUrl {
                url: Url::parse(&import.source).map_err(Error::internal)?,
                max_bytes: self.limits().push.repo_bytes,
            });
        };
        let store = self.store();
        let (Some(source), Some(target)) =
            (store.repo(from).await?, store.repo(import.repo).await?)
        else {
            return Err(Error::NotFound);
        };
        if !self.may_see(target.owner.id, &source).await? {
            return Err(Error::NotFound);
        }
        Ok(ImportSource::Repo(from))
    }

    /// Writes down what is said, until the import is not running any more: its repository was deleted.
    async fn note_progress(&self, repo: RepoId, says: &mut watch::Receiver<String>) {
        loop {
            tokio::time::sleep(NOTED).await;
            if !says.has_changed().unwrap_or(false) {
                continue;
            }
            let last = says.borrow_and_update().clone();
            let noted = async {
                let mut tx = self.store().begin().await?;
                let is_running = tx.note_import(repo, &last, self.now()).await?;
                tx.commit().await?;
                Ok::<_, Error>(is_running)
            };
            match noted.await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an import's progress is not noted"
                ),
            }
        }
    }

    /// Puts what was fetched in place of the empty repository, in one transaction with the row that says so.
    async fn end_import(
        &self,
        repo: RepoId,
        staged: Option<Box<dyn Staged>>,
        last: String,
    ) -> Result<()> {
        let forge = self.clone();
        to_its_end(async move {
            let now = forge.now();
            let mut tx = forge.store().begin().await?;
            // Its row first: whoever deletes a repository locks them in this order.
            if tx.touch_repo(repo, now).await?.is_none() {
                return Ok(());
            }
            if !last.is_empty() {
                tx.note_import(repo, &last, now).await?;
            }
            if !tx.settle_import(repo, None, now).await? {
                return Ok(());
            }
            if let Some(staged) = staged
                && !forge.has_refs(repo).await?
            {
                forge.git().adopt(staged, repo).await?;
            }
            tx.enqueue(NewJob {
                run_at: now,
                key: Some(format!("maintain:{repo}")),
                task: Task::Maintain(repo),
            })
            .await?;
            tx.commit().await?;
            forge.wake();
            Ok(())
        })
        .await
    }
}

impl Import {
    /// Whether its repository is still to be filled.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state == ImportState::Running
    }
}

/// A line to keep: what a stranger's machine says reaches people's terminals through it.
fn line(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let kept = text.chars().filter(|c| !c.is_control() && !turns(*c));
    kept.take(MAX_LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_kept_are_clean_and_short() {
        assert_eq!(line("a\u{1b}[2Jb\n\u{9b}c\0\u{202e}d"), "a[2Jbcd");
        assert_eq!(line(&"\u{e9}".repeat(5_000)).chars().count(), MAX_LINE);
    }
}
