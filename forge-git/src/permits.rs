//! Who may transfer how much at once.
//!
//! Invariant: a permit is one place in all, one for its repository and one for its client, taken and given back together.
//! Who waits too long, or finds too many waiting, is turned away before anything was begun.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use forge_core::limits::{FetchLimits, PushLimits};
use forge_core::{Actor, Error, RepoId, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Whom a transfer counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// A user, from wherever.
    User(forge_core::UserId),
    /// Somebody at an address.
    Address(IpAddr),
    /// Nobody knows.
    Unknown,
}

impl Client {
    pub(crate) fn of(actor: Actor, address: Option<IpAddr>) -> Self {
        match (actor, address) {
            (Actor::User(id), _) => Self::User(id),
            (_, Some(address)) => Self::Address(subscriber(address)),
            (_, None) => Self::Unknown,
        }
    }
}

/// What counts as one address: with IPv6 a network of 64 bits, of which everybody has at least one.
pub(crate) fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// The places for one kind of transfer.
#[derive(Debug)]
pub(crate) struct Permits {
    all: Arc<Semaphore>,
    repos: Places<RepoId>,
    clients: Places<Client>,
    /// What partial clones fetch late.
    late: Places<Client>,
    queue: Arc<Semaphore>,
    wait: Duration,
}

/// The right to transfer; given back when it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Permit {
    _places: Vec<OwnedSemaphorePermit>,
}

impl Permits {
    pub(crate) fn for_fetches(limits: &FetchLimits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.at_once)),
            repos: Places::new(limits.per_repo),
            clients: Places::new(limits.per_client),
            late: Places::new(limits.per_client),
            queue: Arc::new(Semaphore::new(limits.queue)),
            wait: limits.wait,
        }
    }

    pub(crate) fn for_pushes(limits: &PushLimits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.at_once)),
            repos: Places::new(limits.per_repo),
            clients: Places::new(limits.per_client),
            late: Places::new(limits.per_client),
            queue: Arc::new(Semaphore::new(limits.queue)),
            wait: limits.wait,
        }
    }

    /// Waits for a permit. [`Error::Unavailable`] if that takes too long, or too many wait already.
    pub(crate) async fn take(&self, repo: RepoId, client: Client) -> Result<Permit> {
        self.take_from(&self.clients, repo, client).await
    }

    /// The same for what a partial clone fetches late: it does not count among its client's own fetches.
    pub(crate) async fn take_late(&self, repo: RepoId, client: Client) -> Result<Permit> {
        self.take_from(&self.late, repo, client).await
    }

    async fn take_from(
        &self,
        clients: &Places<Client>,
        repo: RepoId,
        client: Client,
    ) -> Result<Permit> {
        let (repos, all) = (self.repos.of(repo), Arc::clone(&self.all));
        match client {
            // Nobody knows how many they are.
            Client::Unknown => self.each([repos, all]).await,
            // The narrowest first: who waits for himself keeps no place from others.
            client => self.each([clients.of(client), repos, all]).await,
        }
    }

    async fn each<const N: usize>(&self, wanted: [Arc<Semaphore>; N]) -> Result<Permit> {
        let busy = || Error::unavailable("too many transfers are going on");
        let places = async {
            let mut places = Vec::with_capacity(N);
            for place in wanted {
                let taken = place.acquire_owned().await;
                places.push(taken.map_err(|_| Error::internal("a semaphore is closed"))?);
            }
            Ok::<_, Error>(Permit { _places: places })
        };
        tokio::pin!(places);
        let _waiting = tokio::select! {
            biased;
            permit = &mut places => return permit,
            () = std::future::ready(()) => Arc::clone(&self.queue).try_acquire_owned().map_err(|_| busy())?,
        };
        tokio::time::timeout(self.wait, places)
            .await
            .map_err(|_| busy())?
    }
}

/// Places for each of many; those that nobody uses are forgotten.
#[derive(Debug)]
struct Places<K> {
    size: usize,
    taken: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Eq + Hash> Places<K> {
    fn new(size: usize) -> Self {
        Self {
            size,
            taken: Mutex::new(HashMap::new()),
        }
    }

    fn of(&self, key: K) -> Arc<Semaphore> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Each permit and each waiter holds a share.
        if taken.len() >= 1024 {
            taken.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let new = || Arc::new(Semaphore::new(self.size));
        Arc::clone(taken.entry(key).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(all: usize, repo: usize, client: usize, queue: usize) -> FetchLimits {
        let mut limits = FetchLimits::default();
        limits.at_once = all;
        limits.per_repo = repo;
        limits.per_client = client;
        limits.queue = queue;
        limits.wait = Duration::from_millis(50);
        limits
    }

    async fn take(permits: &Permits, repo: i64, user: i64) -> Result<Permit> {
        let client = Client::User(forge_core::UserId(user));
        permits.take(RepoId(repo), client).await
    }

    #[tokio::test]
    async fn each_limit_counts_for_itself() {
        let permits = Permits::for_fetches(&limits(3, 2, 1, 8));
        let first = take(&permits, 1, 1).await.expect("room");
        assert!(take(&permits, 2, 1).await.is_err(), "one per client");
        let _second = take(&permits, 1, 2).await.expect("room");
        assert!(take(&permits, 1, 3).await.is_err(), "two per repository");
        let _third = take(&permits, 2, 3).await.expect("room");
        assert!(take(&permits, 3, 4).await.is_err(), "three in all");
        drop(first);
        let _again = take(&permits, 1, 1).await.expect("a place was given back");
    }

    #[tokio::test]
    async fn who_finds_the_queue_full_is_turned_away_at_once() {
        let permits = Arc::new(Permits::for_fetches(&limits(1, 1, 1, 1)));
        let taken = take(&permits, 1, 1).await.expect("room");
        let waiting = tokio::spawn({
            let permits = Arc::clone(&permits);
            async move { take(&permits, 1, 1).await.map(drop) }
        });
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let begun = std::time::Instant::now();
        assert!(take(&permits, 1, 1).await.is_err());
        assert!(begun.elapsed() < Duration::from_millis(40), "it waited");
        drop(taken);
        waiting.await.expect("a task").expect("its turn came");
    }
}
