//! The conformance suite of [`Store`].
//!
//! Invariant: each guarantee is tried with users of its own, so one database does for all of them, and for many runs.
//! Only the queue and the list of unsettled pushes are shared: both must be empty, and nobody else may be working on them.
//! What is purged is older than anything else here.
//! Durability is not tried here, since that takes killing the process.

mod accounts;
mod audit;
mod authorizations;
mod clients;
mod codes;
mod delegation;
mod deletion;
mod devices;
mod imports;
mod keys;
mod pgp_keys;
mod profiles;
mod pushes;
mod queue;
mod repos;
mod sessions;
mod shared;
mod tokens;
mod transactions;

use crate::access::Grants;
use crate::clock::Timestamp;
use crate::names::{RepoName, RepoPath, UserName};
use crate::oauth::{
    Authorization, Client, ClientId, ClientKind, NewClient, NewToken, SecretHash, Token,
    TokenOrigin,
};
use crate::repos::{NewRepo, Owner, RepoOrRedirect, Repository, Visibility};
use crate::store::{Store, Tx};
use crate::users::{NewUser, User};
use crate::{Entropy as _, Error, Page, Paged, Result, SystemEntropy};

/// Tries everything that [`Store`] promises on a store whose tables are up to date.
///
/// # Panics
/// If a promise is broken.
pub async fn store(store: &dyn Store) {
    Box::pin(accounts::all(store)).await;
    Box::pin(profiles::all(store)).await;
    Box::pin(sessions::all(store)).await;
    Box::pin(audit::all(store)).await;
    Box::pin(tokens::all(store)).await;
    Box::pin(clients::all(store)).await;
    Box::pin(authorizations::all(store)).await;
    Box::pin(codes::all(store)).await;
    Box::pin(devices::all(store)).await;
    Box::pin(delegation::all(store)).await;
    Box::pin(deletion::all(store)).await;
    Box::pin(repos::all(store)).await;
    Box::pin(shared::all(store)).await;
    Box::pin(keys::all(store)).await;
    Box::pin(pgp_keys::all(store)).await;
    Box::pin(imports::all(store)).await;
    Box::pin(pushes::all(store)).await;
    Box::pin(transactions::all(store)).await;
    Box::pin(queue::all(store)).await;
}

/// Some moment, that many microseconds after a fixed one.
fn at(micros: i64) -> Timestamp {
    Timestamp::from_timestamp_micros(1_700_000_000_000_000 + micros).expect("a moment of our time")
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemEntropy.fill(&mut bytes).expect("randomness");
    bytes
}

/// A name that nobody has.
fn a_name() -> UserName {
    format!("t-{:016x}", u64::from_le_bytes(random()))
        .parse()
        .expect("a good name")
}

fn a_hash() -> SecretHash {
    SecretHash(random())
}

/// An address that nobody has.
fn an_address() -> String {
    format!("\u{e9}va+{}@example.org", a_name())
}

/// A public name that no client has.
fn a_client_id() -> ClientId {
    format!("{:016x}", u64::from_le_bytes(random()))
        .parse()
        .expect("a good name")
}

fn owner(user: &User) -> Owner {
    Owner {
        id: user.id,
        name: user.name.clone(),
    }
}

fn repo_name(name: &str) -> RepoName {
    name.parse().expect("a good name")
}

fn path(owner: &User, name: &str) -> RepoPath {
    RepoPath {
        owner: owner.name.clone(),
        name: repo_name(name),
    }
}

fn new_repo(name: &str, visibility: Visibility) -> NewRepo {
    NewRepo {
        name: repo_name(name),
        description: None,
        visibility,
    }
}

fn new_token(expires: Timestamp) -> NewToken {
    NewToken {
        grants: Grants::everything(),
        comment: None,
        expires,
    }
}

async fn begin(store: &dyn Store) -> Box<dyn Tx> {
    store.begin().await.expect("a transaction begins")
}

/// What the change returns, once it is committed.
async fn changed<T>(store: &dyn Store, change: impl AsyncFnOnce(&mut dyn Tx) -> Result<T>) -> T {
    let mut tx = begin(store).await;
    let value = change(&mut *tx).await.expect("the change is made");
    tx.commit().await.expect("the change is committed");
    value
}

/// Why the change is refused.
async fn refused<T: std::fmt::Debug>(
    store: &dyn Store,
    change: impl AsyncFnOnce(&mut dyn Tx) -> Result<T>,
) -> Error {
    let mut tx = begin(store).await;
    change(&mut *tx).await.expect_err("the change is refused")
}

fn assert_conflict(error: &Error, field: &str) {
    assert!(
        matches!(error, Error::Conflict { field: Some(found), .. } if *found == field),
        "a conflict on {field}, not {error:?}"
    );
}

fn assert_not_found(error: &Error) {
    assert!(matches!(error, Error::NotFound), "not found, not {error:?}");
}

async fn a_user(store: &dyn Store) -> User {
    let new = NewUser {
        name: a_name(),
        email: None,
    };
    changed(store, async |tx| tx.insert_user(&new, at(0)).await).await
}

async fn a_client(store: &dyn Store, owner: &User) -> Client {
    let new = NewClient {
        kind: ClientKind::Confidential,
        name: "a client".to_owned(),
        description: None,
        url: None,
        redirect_uri: "https://example.org/back".to_owned(),
    };
    changed(store, async |tx| {
        let secret = a_hash();
        tx.insert_client(owner.id, &a_client_id(), Some(&secret), &new, at(0))
            .await
    })
    .await
}

async fn an_authorization(
    store: &dyn Store,
    user: &User,
    client: &Client,
    now: Timestamp,
) -> Authorization {
    let grants = some_grants();
    changed(store, async |tx| {
        tx.insert_authorization(user.id, client.id, &grants, now)
            .await
    })
    .await
}

fn some_grants() -> Grants {
    Grants::parse_oauth2("git.sr.ht/OBJECTS:RW meta.sr.ht/PROFILE").expect("grants")
}

/// A token that lasts until a second after [`at`]'s zero.
async fn a_token_under(store: &dyn Store, under: &Authorization, hash: &SecretHash) -> Token {
    let (new, origin) = (new_token(at(1_000_000)), origin(under));
    changed(store, async |tx| {
        tx.insert_token(under.user, hash, &new, &origin, at(0))
            .await
    })
    .await
}

fn origin(under: &Authorization) -> TokenOrigin {
    TokenOrigin {
        authorization: Some(under.id),
        ..TokenOrigin::default()
    }
}

async fn a_repo(store: &dyn Store, owner: &User, name: &str) -> Repository {
    let new = new_repo(name, Visibility::Public);
    changed(store, async |tx| {
        tx.insert_repo(owner.id, &new, at(0)).await
    })
    .await
}

async fn a_token(store: &dyn Store, user: &User, hash: &SecretHash, expires: Timestamp) -> Token {
    let new = new_token(expires);
    changed(store, async |tx| {
        tx.insert_token(user.id, hash, &new, &TokenOrigin::default(), at(0))
            .await
    })
    .await
}

/// What a path leads to.
async fn found(store: &dyn Store, path: &RepoPath) -> Option<RepoOrRedirect> {
    store
        .repo_by_path(path, None)
        .await
        .expect("the path is read")
}

/// The token of that hash, whenever it ended.
async fn token(store: &dyn Store, hash: &SecretHash) -> Option<(Token, User)> {
    token_at(store, hash, Timestamp::MIN_UTC).await
}

/// The token of that hash, if it is in force then.
async fn token_at(store: &dyn Store, hash: &SecretHash, now: Timestamp) -> Option<(Token, User)> {
    let read = store.token_by_hash(hash, now).await;
    read.expect("the token is read")
}

/// A list of five, walked through by twos.
async fn walked<T>(list: impl AsyncFn(Page) -> Result<Paged<T>>) -> Vec<T> {
    let (mut seen, mut start) = (Vec::new(), None);
    loop {
        let page = list(Page { start, size: 2 }).await.expect("a page");
        assert_eq!(page.total, 5);
        assert!(page.results.len() <= 2);
        seen.extend(page.results);
        start = page.next;
        if start.is_none() {
            return seen;
        }
    }
}

/// The one list of a user, which is short.
async fn listed<T>(page: impl Future<Output = Result<Paged<T>>>) -> Vec<T> {
    let page = page.await.expect("a page");
    assert_eq!(page.total, page.results.len() as u64);
    assert_eq!(page.next, None);
    page.results
}
