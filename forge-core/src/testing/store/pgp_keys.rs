//! PGP keys.

use futures::future::join_all;

use super::{
    a_user, an_address, assert_conflict, assert_not_found, at, changed, owner, random, refused,
    walked,
};
use crate::Page;
use crate::ids::{PgpKeyId, UserId};
use crate::pgp_keys::{PgpFingerprint, PgpKey, PublicPgpKey};
use crate::store::Store;
use crate::users::User;

pub(super) async fn all(store: &dyn Store) {
    a_key_comes_back_as_it_was(store).await;
    a_key_is_one_users(store).await;
    one_of_many_registers_a_key(store).await;
    keys_are_paged_newest_first(store).await;
    a_key_is_removed_once(store).await;
}

/// A key that nobody has. A store does not look into its text.
fn a_key() -> PublicPgpKey {
    PublicPgpKey {
        text: "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\u{e9}".to_owned(),
        fingerprint: PgpFingerprint(random::<20>().to_vec()),
        email: Some(an_address()),
        expiration: Some(at(123_456)),
    }
}

async fn add(store: &dyn Store, user: &User, key: &PublicPgpKey) -> PgpKey {
    changed(store, async |tx| {
        tx.insert_pgp_key(user.id, key, at(1)).await
    })
    .await
}

async fn by_fingerprint(store: &dyn Store, key: &PublicPgpKey) -> Option<PgpKey> {
    let read = store.pgp_key_by_fingerprint(&key.fingerprint).await;
    read.expect("a read")
}

async fn by_id(store: &dyn Store, user: UserId, id: PgpKeyId) -> Option<PgpKey> {
    store.pgp_key(user, id).await.expect("a read")
}

async fn a_key_comes_back_as_it_was(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let newer = PublicPgpKey {
        fingerprint: PgpFingerprint(random::<32>().to_vec()),
        email: None,
        expiration: None,
        ..a_key()
    };
    for key in [a_key(), newer] {
        assert_eq!(by_fingerprint(store, &key).await, None);
        let added = add(store, &user, &key).await;
        let expected = PgpKey {
            id: added.id,
            user: owner(&user),
            authorized: at(1),
            key: key.clone(),
        };
        assert_eq!(added, expected);
        let read = by_fingerprint(store, &key).await;
        assert_eq!(read, Some(expected.clone()));
        assert_eq!(by_id(store, user.id, added.id).await, Some(expected));
        for (user, id) in [
            (other.id, added.id),
            (user.id, PgpKeyId(i64::MAX)),
            (UserId(i64::MAX), added.id),
        ] {
            assert_eq!(by_id(store, user, id).await, None);
        }
    }
}

/// It is the fingerprint that counts: the same key can be sent as another text.
async fn a_key_is_one_users(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let key = a_key();
    let again = PublicPgpKey {
        fingerprint: key.fingerprint.clone(),
        ..a_key()
    };
    let added = add(store, &user, &key).await;
    for user in [&user, &other] {
        let error = refused(store, async |tx| {
            tx.insert_pgp_key(user.id, &again, at(2)).await
        })
        .await;
        assert_conflict(&error, "pgp-key");
    }
    assert_eq!(by_fingerprint(store, &key).await, Some(added.clone()));
    changed(store, async |tx| tx.delete_pgp_key(user.id, added.id).await).await;
    let moved = add(store, &other, &again).await;
    assert_eq!((moved.user.id, &moved.key), (other.id, &again));
    assert_ne!(moved.id, added.id, "no number is used again");
    let error = refused(store, async |tx| {
        tx.insert_pgp_key(UserId(i64::MAX), &a_key(), at(2)).await
    })
    .await;
    assert_not_found(&error);
}

async fn one_of_many_registers_a_key(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let key = a_key();
    let attempts = join_all((0..6).map(|number| {
        let (key, user) = (&key, if number % 2 == 0 { &user } else { &other });
        async move {
            let mut tx = store.begin().await?;
            tx.insert_pgp_key(user.id, key, at(1)).await?;
            tx.commit().await
        }
    }));
    let (won, lost): (Vec<_>, Vec<_>) = attempts.await.into_iter().partition(crate::Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 5));
    lost.into_iter()
        .filter_map(Result::err)
        .for_each(|error| assert_conflict(&error, "pgp-key"));
}

async fn keys_are_paged_newest_first(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(add(store, &user, &a_key()).await);
        add(store, &other, &a_key()).await;
    }
    expected.reverse();
    let seen = walked(async |page| store.pgp_keys(user.id, page).await).await;
    assert_eq!(seen, expected);
    let page = store.pgp_keys(UserId(i64::MAX), Page::default()).await;
    assert_eq!(page.expect("a page").total, 0);
}

async fn a_key_is_removed_once(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let key = a_key();
    let added = add(store, &user, &key).await;
    let kept = add(store, &user, &a_key()).await;
    for (owner, expected) in [(&other, false), (&user, true), (&user, false)] {
        let removed = changed(store, async |tx| {
            tx.delete_pgp_key(owner.id, added.id).await
        })
        .await;
        assert_eq!(removed, expected);
    }
    assert_eq!(by_id(store, user.id, added.id).await, None);
    assert_eq!(by_fingerprint(store, &key).await, None);
    assert_eq!(by_id(store, user.id, kept.id).await, Some(kept));
}
