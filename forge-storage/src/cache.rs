//! What the two most frequent reads found, for as long as nothing was committed since. SQLite only.
//!
//! Every request looks up a token and a repository; a commit that changes either is rare. An entry is the answer to a
//! read, tagged with the generation that was current *before* the read began. A commit makes the generation odd before
//! it starts and even again, one higher, when its outcome is known. A reader that finds an odd generation asks the
//! database; a reader that finds an even one may use an entry with the same tag, because then no commit has so much as
//! started since before the entry's read.
//!
//! Invariant: an answer from here is the one the database would have given at the moment the generation was looked at.
//! That rests on seeing every commit, hence on the lock beside the database file: with PostgreSQL other processes write,
//! so there is no cache. Of repositories it keeps what is not there, too, and all for each asker alone: how fast an answer
//! comes tells nobody what others have asked. Tokens that are not there are not kept, lest guesses fill it.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use forge_core::names::RepoPath;
use forge_core::oauth::{SecretHash, Token};
use forge_core::repos::RepoOrRedirect;
use forge_core::users::User;
use forge_core::{Actor, Result, Timestamp};

/// The most entries of either kind; a few MiB together.
const ENTRIES: u64 = 4096;

type Entries<K, V> = moka::sync::Cache<K, (u64, Arc<V>)>;

/// Answers to reads.
pub(crate) struct Cache {
    generation: AtomicU64,
    tokens: Entries<SecretHash, (Token, User)>,
    repos: Entries<(RepoPath, Actor), Option<RepoOrRedirect>>,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self {
            generation: AtomicU64::new(0),
            tokens: Entries::new(ENTRIES),
            repos: Entries::new(ENTRIES),
        }
    }

    /// The answer to `token_by_hash` at that moment, from `read` if there is none here.
    pub(crate) async fn token(
        &self,
        hash: &SecretHash,
        now: Timestamp,
        read: impl Future<Output = Result<Option<(Token, User)>>>,
    ) -> Result<Option<(Token, User)>> {
        let lasts = |(token, _): &(Token, User)| token.expires > now;
        self.answer(&self.tokens, hash, lasts, read).await
    }

    /// The answer to `repo_by_path`, from `read` if there is none here.
    pub(crate) async fn repo(
        &self,
        path: &RepoPath,
        asker: Actor,
        read: impl Future<Output = Result<Option<RepoOrRedirect>>>,
    ) -> Result<Option<RepoOrRedirect>> {
        let key = (path.clone(), asker);
        // `Some` is what is kept. Clients ask as nobody before they say who they are, so what is not there for nobody is
        // not kept: the next one would learn that somebody uses it.
        let read = async {
            let found = read.await?;
            Ok(Some(found).filter(|found| asker != Actor::Anonymous || found.is_some()))
        };
        let kept = self.answer(&self.repos, &key, |_| true, read).await?;
        Ok(kept.flatten())
    }

    async fn answer<K, V>(
        &self,
        entries: &Entries<K, V>,
        key: &K,
        holds: impl FnOnce(&V) -> bool,
        read: impl Future<Output = Result<Option<V>>>,
    ) -> Result<Option<V>>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let generation = self.generation.load(Ordering::SeqCst);
        if is_odd(generation) {
            return read.await;
        }
        if let Some((tag, value)) = entries.get(key)
            && tag == generation
            && holds(&value)
        {
            return Ok(Some((*value).clone()));
        }
        let found = read.await?;
        if let Some(value) = &found {
            entries.insert(key.clone(), (generation, Arc::new(value.clone())));
        }
        Ok(found)
    }

    /// A commit is about to begin: entries are of no use until [`Cache::changed`]. One at a time.
    pub(crate) fn changing(&self) {
        self.generation.fetch_or(1, Ordering::SeqCst);
    }

    /// The commit's outcome is known, whichever it is. A commit that is never heard of again leaves the generation odd,
    /// so the cache rests until the next one.
    pub(crate) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

fn is_odd(generation: u64) -> bool {
    generation & 1 == 1
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use forge_core::UserId;

    use super::*;

    fn path(text: &str) -> RepoPath {
        text.parse().expect("a good path")
    }

    async fn ask(cache: &Cache, answer: &str) -> String {
        let read = ready(Ok(Some(RepoOrRedirect::Moved(path(answer)))));
        match cache
            .repo(&path("~ann/a"), Actor::User(UserId(9)), read)
            .await
        {
            Ok(Some(RepoOrRedirect::Moved(path))) => path.name.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_answer_is_kept_until_a_commit() {
        let cache = Cache::new();
        assert_eq!(ask(&cache, "~ann/one").await, "one");
        assert_eq!(ask(&cache, "~ann/two").await, "one");
        cache.changing();
        assert_eq!(
            ask(&cache, "~ann/three").await,
            "three",
            "a commit is under way"
        );
        cache.changed();
        assert_eq!(ask(&cache, "~ann/four").await, "four");
        assert_eq!(ask(&cache, "~ann/five").await, "four");
    }

    #[tokio::test]
    async fn an_answer_read_before_a_commit_is_not_used_after_it() {
        let cache = Cache::new();
        let slow = async {
            cache.changing();
            cache.changed();
            Ok(Some(RepoOrRedirect::Moved(path("~ann/old"))))
        };
        assert!(
            cache
                .repo(&path("~ann/a"), Actor::Anonymous, slow)
                .await
                .is_ok()
        );
        assert_eq!(ask(&cache, "~ann/new").await, "new");
    }

    #[tokio::test]
    async fn a_commit_without_outcome_rests_the_cache_until_the_next() {
        let cache = Cache::new();
        cache.changing();
        assert_eq!(ask(&cache, "~ann/one").await, "one");
        assert_eq!(ask(&cache, "~ann/two").await, "two");
        cache.changing();
        cache.changed();
        assert_eq!(ask(&cache, "~ann/three").await, "three");
        assert_eq!(ask(&cache, "~ann/four").await, "three");
    }

    #[tokio::test]
    async fn what_one_has_asked_is_not_there_for_another() {
        let cache = Cache::new();
        for (asker, answer) in [
            (Actor::User(UserId(3)), None),
            (
                Actor::User(UserId(1)),
                Some(RepoOrRedirect::Moved(path("~ann/b"))),
            ),
            (Actor::User(UserId(2)), None),
        ] {
            for given in [answer.clone(), Some(RepoOrRedirect::Moved(path("~ann/c")))] {
                let kept = cache.repo(&path("~ann/a"), asker, ready(Ok(given))).await;
                assert!(kept.is_ok_and(|kept| kept == answer), "{asker:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_there_for_nobody_is_not_kept() {
        let cache = Cache::new();
        for answer in [None, Some(RepoOrRedirect::Moved(path("~ann/two")))] {
            let read = ready(Ok(answer.clone()));
            let found = cache.repo(&path("~ann/a"), Actor::Anonymous, read).await;
            assert!(found.is_ok_and(|found| found == answer));
        }
    }

    #[tokio::test]
    async fn the_absence_of_a_token_is_not_kept() {
        let cache = Cache::new();
        let hash = SecretHash([7; 32]);
        assert!(matches!(
            cache
                .token(&hash, Timestamp::MIN_UTC, ready(Ok(None)))
                .await,
            Ok(None)
        ));
        cache.tokens.run_pending_tasks();
        assert_eq!(cache.tokens.entry_count(), 0);
    }
}
