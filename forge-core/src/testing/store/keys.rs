//! SSH keys: of users, and of repositories.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;

use super::{a_repo, a_user, assert_conflict, assert_not_found, at, changed, random, refused};
use crate::access::Mode;
use crate::clock::Timestamp;
use crate::ids::{DeployKeyId, KeyId, RepoId, UserId};
use crate::keys::{DeployKey, PublicKey, SshKey};
use crate::repos::Owner;
use crate::store::Store;
use crate::users::User;
use crate::{Page, Result};

pub(super) async fn all(store: &dyn Store) {
    a_key_is_found_with_its_user(store).await;
    a_suspended_users_key_is_found_too(store).await;
    a_key_is_one_users(store).await;
    one_of_many_registers_a_key(store).await;
    keys_are_paged_newest_first(store).await;
    a_keys_use_is_noted(store).await;
    a_key_is_removed_once(store).await;
    a_deploy_key_is_found_at_its_repository(store).await;
    a_repository_has_a_deploy_key_once(store).await;
    deploy_keys_are_paged_newest_first(store).await;
    a_deploy_keys_use_is_noted(store).await;
    a_deploy_key_is_removed_once(store).await;
    deploy_keys_go_with_their_repository(store).await;
}

/// A key that nobody has, as a line with something before it and something after it.
fn a_key() -> PublicKey {
    written(&random(), "no-pty ", " \u{e9}va@home of hers")
}

fn written(point: &[u8; 32], before: &str, after: &str) -> PublicKey {
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0 ".to_vec();
    blob.extend(point);
    let line = format!("{before}ssh-ed25519 {}{after}", STANDARD.encode(blob));
    PublicKey::parse(&line, "ssh-key").expect("a key")
}

async fn add(store: &dyn Store, user: &User, key: &PublicKey) -> SshKey {
    changed(store, async |tx| {
        tx.insert_ssh_key(user.id, key, at(1)).await
    })
    .await
}

async fn add_deploy_key(store: &dyn Store, repo: RepoId, key: &PublicKey) -> DeployKey {
    changed(store, async |tx| {
        tx.insert_deploy_key(repo, key, Mode::Write, at(1)).await
    })
    .await
}

async fn by_fingerprint(store: &dyn Store, key: &PublicKey) -> Option<(SshKey, User)> {
    let read = store.ssh_key_by_fingerprint(&key.fingerprint()).await;
    read.expect("a read")
}

async fn by_id(store: &dyn Store, user: UserId, id: KeyId) -> Option<SshKey> {
    store.ssh_key(user, id).await.expect("a read")
}

async fn deploy_key(store: &dyn Store, repo: RepoId, key: &PublicKey) -> Option<DeployKey> {
    let read = store.deploy_key(repo, &key.fingerprint()).await;
    read.expect("a read")
}

async fn is_deploy_key(store: &dyn Store, key: &PublicKey) -> bool {
    let read = store.is_deploy_key(&key.fingerprint()).await;
    read.expect("a read")
}

async fn a_key_is_found_with_its_user(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let key = a_key();
    assert!(by_fingerprint(store, &key).await.is_none());
    let added = changed(store, async |tx| {
        tx.insert_ssh_key(user.id, &key, at(123_456)).await
    })
    .await;
    let expected = SshKey {
        id: added.id,
        user: Owner {
            id: user.id,
            name: user.name.clone(),
        },
        authorized: at(123_456),
        last_used: None,
        key: key.clone(),
    };
    assert_eq!(added, expected);
    let read = by_id(store, user.id, added.id).await;
    assert_eq!(read, Some(expected.clone()));
    let read = by_fingerprint(store, &key).await;
    assert!(read == Some((expected, user.clone())), "with its user");
    for (user, id) in [
        (other.id, added.id),
        (user.id, KeyId(i64::MAX)),
        (UserId(i64::MAX), added.id),
    ] {
        assert_eq!(by_id(store, user, id).await, None);
    }
    assert!(by_fingerprint(store, &a_key()).await.is_none());
}

async fn a_suspended_users_key_is_found_too(store: &dyn Store) {
    let user = a_user(store).await;
    let key = a_key();
    let added = add(store, &user, &key).await;
    for notice in [Some("spam"), None] {
        changed(store, async |tx| {
            tx.set_suspension(user.id, notice, at(2)).await
        })
        .await;
        let (read, found) = by_fingerprint(store, &key).await.expect("the key");
        assert_eq!((read, found.suspended.as_deref()), (added.clone(), notice));
    }
}

/// It is the key itself that counts, not what is written around it.
async fn a_key_is_one_users(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let point = random();
    let (key, again) = (written(&point, "", ""), written(&point, "", " other words"));
    let added = add(store, &user, &key).await;
    for user in [&user, &other] {
        let error = refused(store, async |tx| {
            tx.insert_ssh_key(user.id, &again, at(2)).await
        })
        .await;
        assert_conflict(&error, "ssh-key");
    }
    let read = by_fingerprint(store, &again).await;
    assert!(read == Some((added.clone(), user.clone())), "the first one");
    changed(store, async |tx| tx.delete_ssh_key(user.id, added.id).await).await;
    let moved = add(store, &other, &again).await;
    assert_eq!((moved.user.id, &moved.key), (other.id, &again));
    assert_ne!(moved.id, added.id, "no number is used again");
    let error = refused(store, async |tx| {
        tx.insert_ssh_key(UserId(i64::MAX), &a_key(), at(2)).await
    })
    .await;
    assert_not_found(&error);
}

async fn one_of_many_registers_a_key(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let (key, repo) = (a_key(), a_repo(store, &user, "a").await);
    let attempts = join_all((0..6).map(|number| {
        let (key, user) = (&key, if number % 2 == 0 { &user } else { &other });
        async move {
            let mut tx = store.begin().await?;
            tx.insert_ssh_key(user.id, key, at(1)).await?;
            tx.commit().await
        }
    }));
    assert_one_won(attempts.await, "ssh-key");
    let key = a_key();
    let attempts = join_all((0..6).map(async |_| {
        let mut tx = store.begin().await?;
        tx.insert_deploy_key(repo.id, &key, Mode::Read, at(1))
            .await?;
        tx.commit().await
    }));
    assert_one_won(attempts.await, "key");
}

fn assert_one_won(attempts: Vec<Result<()>>, field: &str) {
    let (won, lost): (Vec<_>, Vec<_>) = attempts.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 5));
    lost.into_iter()
        .filter_map(Result::err)
        .for_each(|error| assert_conflict(&error, field));
}

async fn keys_are_paged_newest_first(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(add(store, &user, &a_key()).await);
        add(store, &other, &a_key()).await;
    }
    expected.reverse();
    let (mut seen, mut start) = (Vec::new(), None);
    loop {
        let page = store.ssh_keys(user.id, Page { start, size: 2 }).await;
        let page = page.expect("a page");
        assert_eq!(page.total, 5);
        seen.extend(page.results);
        start = page.next;
        if start.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected);
    let page = store.ssh_keys(UserId(i64::MAX), Page::default()).await;
    let page = page.expect("a page");
    assert_eq!((page.results, page.next, page.total), (vec![], None, 0));
}

async fn a_keys_use_is_noted(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let (mut key, kept) = (
        add(store, &user, &a_key()).await,
        add(store, &user, &a_key()).await,
    );
    let touch = async |user, id, now: Timestamp| {
        changed(store, async |tx| tx.touch_ssh_key(user, id, now).await).await
    };
    for now in [at(123_456), at(5_000_001), at(7)] {
        assert!(touch(user.id, key.id, now).await);
        key.last_used = Some(now);
        assert_eq!(by_id(store, user.id, key.id).await, Some(key.clone()));
    }
    for (user, id) in [(other.id, key.id), (user.id, KeyId(i64::MAX))] {
        assert!(!touch(user, id, at(9)).await, "no such key");
    }
    assert_eq!(by_id(store, user.id, key.id).await, Some(key));
    let read = by_id(store, user.id, kept.id).await;
    assert_eq!(read, Some(kept), "others are unchanged");
}

async fn a_key_is_removed_once(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let key = a_key();
    let (added, kept) = (
        add(store, &user, &key).await,
        add(store, &user, &a_key()).await,
    );
    for (owner, expected) in [(&other, false), (&user, true), (&user, false)] {
        let removed = changed(store, async |tx| {
            tx.delete_ssh_key(owner.id, added.id).await
        })
        .await;
        assert_eq!(removed, expected);
    }
    assert_eq!(by_id(store, user.id, added.id).await, None);
    assert!(by_fingerprint(store, &key).await.is_none());
    assert!(
        !changed(store, async |tx| tx
            .touch_ssh_key(user.id, added.id, at(2))
            .await)
        .await
    );
    assert_eq!(by_id(store, user.id, kept.id).await, Some(kept));
}

async fn a_deploy_key_is_found_at_its_repository(store: &dyn Store) {
    let owner = a_user(store).await;
    let (repo, other) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "b").await,
    );
    for mode in [Mode::Read, Mode::Write] {
        let key = a_key();
        assert!(!is_deploy_key(store, &key).await);
        let added = changed(store, async |tx| {
            tx.insert_deploy_key(repo.id, &key, mode, at(123_456)).await
        })
        .await;
        let expected = DeployKey {
            id: added.id,
            repo: repo.id,
            mode,
            created: at(123_456),
            last_used: None,
            key: key.clone(),
        };
        assert_eq!(added, expected);
        assert_eq!(deploy_key(store, repo.id, &key).await, Some(expected));
        assert!(is_deploy_key(store, &key).await);
        assert_eq!(deploy_key(store, other.id, &key).await, None);
        assert_eq!(deploy_key(store, RepoId(0), &key).await, None);
        assert!(by_fingerprint(store, &key).await.is_none(), "no user's");
    }
    let key = a_key();
    add(store, &owner, &key).await;
    assert!(!is_deploy_key(store, &key).await, "a user's");
}

async fn a_repository_has_a_deploy_key_once(store: &dyn Store) {
    let owner = a_user(store).await;
    let (repo, other) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "b").await,
    );
    let point = random();
    let (key, again) = (written(&point, "", ""), written(&point, "", " other words"));
    for repo in [&repo, &other] {
        let added = add_deploy_key(store, repo.id, &key).await;
        let error = refused(store, async |tx| {
            tx.insert_deploy_key(repo.id, &again, Mode::Read, at(2))
                .await
        })
        .await;
        assert_conflict(&error, "key");
        assert_eq!(deploy_key(store, repo.id, &again).await, Some(added));
    }
    let error = refused(store, async |tx| {
        tx.insert_deploy_key(RepoId(i64::MAX), &key, Mode::Read, at(2))
            .await
    })
    .await;
    assert_not_found(&error);
}

async fn deploy_keys_are_paged_newest_first(store: &dyn Store) {
    let owner = a_user(store).await;
    let (repo, other) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "b").await,
    );
    let mut expected = Vec::new();
    for _ in 0..5 {
        let key = a_key();
        expected.push(add_deploy_key(store, repo.id, &key).await);
        add_deploy_key(store, other.id, &key).await;
    }
    expected.reverse();
    let (mut seen, mut start) = (Vec::new(), None);
    loop {
        let page = store.deploy_keys(repo.id, Page { start, size: 2 }).await;
        let page = page.expect("a page");
        assert_eq!(page.total, 5);
        seen.extend(page.results);
        start = page.next;
        if start.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected);
}

async fn a_deploy_keys_use_is_noted(store: &dyn Store) {
    let owner = a_user(store).await;
    let (repo, other) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "b").await,
    );
    let key = a_key();
    let mut added = add_deploy_key(store, repo.id, &key).await;
    let kept = add_deploy_key(store, other.id, &key).await;
    let touch = async |repo, id, now: Timestamp| {
        changed(store, async |tx| tx.touch_deploy_key(repo, id, now).await).await
    };
    for now in [at(123_456), at(5_000_001)] {
        assert!(touch(repo.id, added.id, now).await);
        added.last_used = Some(now);
        let read = deploy_key(store, repo.id, &key).await;
        assert_eq!(read, Some(added.clone()));
    }
    for (repo, id) in [(other.id, added.id), (repo.id, DeployKeyId(i64::MAX))] {
        assert!(!touch(repo, id, at(9)).await, "no such key");
    }
    assert_eq!(deploy_key(store, repo.id, &key).await, Some(added));
    assert_eq!(deploy_key(store, other.id, &key).await, Some(kept));
}

async fn a_deploy_key_is_removed_once(store: &dyn Store) {
    let owner = a_user(store).await;
    let (repo, other) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "b").await,
    );
    let key = a_key();
    let added = add_deploy_key(store, repo.id, &key).await;
    let kept = add_deploy_key(store, other.id, &key).await;
    for (repo, expected) in [(&other, false), (&repo, true), (&repo, false)] {
        let removed = changed(store, async |tx| {
            tx.delete_deploy_key(repo.id, added.id).await
        })
        .await;
        assert_eq!(removed, expected);
    }
    assert_eq!(deploy_key(store, repo.id, &key).await, None);
    assert!(is_deploy_key(store, &key).await, "the other one's");
    let removed = changed(store, async |tx| {
        tx.delete_deploy_key(other.id, kept.id).await
    })
    .await;
    assert!(removed && !is_deploy_key(store, &key).await);
    let anew = add_deploy_key(store, repo.id, &key).await;
    assert!(
        ![added.id, kept.id].contains(&anew.id),
        "no number is used again"
    );
}

async fn deploy_keys_go_with_their_repository(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await;
    let key = a_key();
    add_deploy_key(store, repo.id, &key).await;
    let users = add(store, &owner, &a_key()).await;
    changed(store, async |tx| tx.delete_repo(repo.id).await).await;
    assert_eq!(deploy_key(store, repo.id, &key).await, None);
    assert!(!is_deploy_key(store, &key).await);
    let page = store.deploy_keys(repo.id, Page::default()).await;
    assert_eq!(page.expect("a page").total, 0);
    let read = by_id(store, owner.id, users.id).await;
    assert_eq!(read, Some(users), "users keep theirs");
}
