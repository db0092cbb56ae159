//! The cache of SQLite's store, as its users see it.

use chrono::TimeDelta;
use forge_core::oauth::{NewToken, OauthReads as _, SecretHash, TokenOrigin};
use forge_core::store::Store as _;
use forge_core::{Grants, Timestamp};

use crate::databases::sqlite;
use crate::shared::{add_user, now};

#[tokio::test]
async fn a_commit_is_carried_through_when_its_caller_goes() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sqlite(&dir).await;
    let (user, hash) = (add_user(&store, "alice").await, SecretHash([1; 32]));
    let new = NewToken {
        grants: Grants::everything(),
        comment: None,
        expires: now() + TimeDelta::days(1),
    };
    let mut tx = store.begin().await.expect("a transaction");
    let token = tx
        .insert_token(user, &hash, &new, &TokenOrigin::default(), now())
        .await
        .expect("a token");
    tx.commit().await.expect("a commit");
    for _ in 0..2 {
        assert!(
            store
                .token_by_hash(&hash, Timestamp::MIN_UTC)
                .await
                .is_ok_and(|token| token.is_some())
        );
    }
    let mut tx = store.begin().await.expect("a transaction");
    tx.expire_token(token.id, now()).await.expect("a change");
    let mut commit = tx.commit();
    assert!(futures::poll!(&mut commit).is_pending());
    drop(commit);
    // The next turn comes when the commit is done.
    drop(store.begin().await.expect("a transaction"));
    let (token, _) = store
        .token_by_hash(&hash, Timestamp::MIN_UTC)
        .await
        .expect("a read")
        .expect("the token");
    assert_eq!(token.expires, now());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_never_seen_alive_after_the_commit() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sqlite(&dir).await;
    let user = add_user(&store, "alice").await;
    for round in 0..50_u8 {
        let hash = SecretHash([round; 32]);
        let new = NewToken {
            grants: Grants::everything(),
            comment: None,
            expires: now() + TimeDelta::days(1),
        };
        let mut tx = store.begin().await.expect("a transaction");
        let token = tx
            .insert_token(user, &hash, &new, &TokenOrigin::default(), now())
            .await
            .expect("a token");
        tx.commit().await.expect("a commit");
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    // Time does not go back: once the token is seen ended, it stays so.
                    let mut ended = false;
                    for _ in 0..50 {
                        let (token, _) = store
                            .token_by_hash(&hash, Timestamp::MIN_UTC)
                            .await
                            .expect("a read")
                            .expect("the token");
                        assert!(!ended || token.expires == now());
                        ended = token.expires == now();
                    }
                })
            })
            .collect();
        let mut tx = store.begin().await.expect("a transaction");
        tx.expire_token(token.id, now()).await.expect("a change");
        tx.commit().await.expect("a commit");
        let (token, _) = store
            .token_by_hash(&hash, Timestamp::MIN_UTC)
            .await
            .expect("a read")
            .expect("the token");
        assert_eq!(token.expires, now());
        for reader in readers {
            reader.await.expect("no panic");
        }
    }
}
