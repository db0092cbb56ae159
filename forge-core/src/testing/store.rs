//! The conformance suite of [`Store`].
//!
//! Invariant: each guarantee is tried with users of its own, so one database does for all of them, and for many runs.
//! Only the queue and the list of unsettled pushes are shared: both must be empty, and nobody else may be working on them.
//! Durability is not tried here, since that takes killing the process.

mod accounts;
mod imports;
mod keys;
mod pushes;
mod queue;
mod repos;
mod shared;
mod transactions;

use crate::access::{Actor, Grants};
use crate::clock::Timestamp;
use crate::names::{RepoName, RepoPath, UserName};
use crate::oauth::{NewToken, Token, TokenHash};
use crate::repos::{NewRepo, RepoOrRedirect, Repository, Visibility};
use crate::store::{Store, Tx};
use crate::users::{NewUser, User};
use crate::{Entropy as _, Error, Result, SystemEntropy};

/// Tries everything that [`Store`] promises on a store whose tables are up to date.
///
/// # Panics
/// If a promise is broken.
pub async fn store(store: &dyn Store) {
    Box::pin(accounts::all(store)).await;
    Box::pin(repos::all(store)).await;
    Box::pin(shared::all(store)).await;
    Box::pin(keys::all(store)).await;
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

fn a_hash() -> TokenHash {
    TokenHash(random())
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

async fn a_repo(store: &dyn Store, owner: &User, name: &str) -> Repository {
    let new = new_repo(name, Visibility::Public);
    changed(store, async |tx| {
        tx.insert_repo(owner.id, &new, at(0)).await
    })
    .await
}

async fn a_token(store: &dyn Store, user: &User, hash: &TokenHash, expires: Timestamp) -> Token {
    let new = new_token(expires);
    changed(store, async |tx| {
        tx.insert_token(user.id, hash, &new, at(0)).await
    })
    .await
}

/// What a path leads to.
async fn found(store: &dyn Store, path: &RepoPath) -> Option<RepoOrRedirect> {
    store
        .repo_by_path(path, Actor::Anonymous)
        .await
        .expect("the path is read")
}

/// The token of that hash.
async fn token(store: &dyn Store, hash: &TokenHash) -> Option<(Token, User)> {
    store.token_by_hash(hash).await.expect("the token is read")
}
