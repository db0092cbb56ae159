//! Authorization codes and refresh tokens: what works once.

use futures::future::join_all;

use super::{
    a_client, a_hash, a_user, an_authorization, assert_not_found, at, changed, refused, some_grants,
};
use crate::access::Grants;
use crate::clock::Timestamp;
use crate::ids::{AuthorizationId, ClientRow, UserId};
use crate::oauth::{Authorization, Client, NewCode, Redeemed, RefreshToken, Refreshed, SecretHash};
use crate::store::Store;
use crate::users::User;

pub(super) async fn all(store: &dyn Store) {
    a_code_is_fresh_once(store).await;
    a_code_comes_back_as_it_was(store).await;
    a_code_that_is_late_is_unknown(store).await;
    a_code_needs_its_user_and_client(store).await;
    a_code_of_a_revoked_client_is_unknown(store).await;
    one_of_many_redeems_a_code(store).await;
    a_redemption_that_is_dropped_leaves_the_code_fresh(store).await;
    codes_that_expired_before_are_purged(store).await;
    a_refresh_token_is_found_while_it_lasts(store).await;
    a_refresh_token_is_spent_once(store).await;
    a_refresh_token_ends_with_its_authorization(store).await;
    one_of_many_spends_a_refresh_token(store).await;
    refresh_tokens_that_expired_before_are_purged(store).await;
}

fn new_code(user: &User, client: &Client, expires: Timestamp) -> NewCode {
    NewCode {
        client: client.id,
        user: user.id,
        grants: some_grants(),
        redirect_uri: None,
        challenge: None,
        expires,
    }
}

async fn a_code(store: &dyn Store, new: &NewCode) -> SecretHash {
    let hash = a_hash();
    changed(store, async |tx| tx.insert_code(&hash, new).await).await;
    hash
}

async fn redeem(store: &dyn Store, hash: &SecretHash, now: i64) -> Redeemed {
    changed(store, async |tx| tx.redeem_code(hash, at(now)).await).await
}

/// To what a fresh code leads.
async fn led_to(store: &dyn Store, hash: &SecretHash, now: i64) -> Authorization {
    match redeem(store, hash, now).await {
        Redeemed::Fresh(code) => code.authorization,
        other => panic!("a fresh code, not {other:?}"),
    }
}

async fn a_refresh_token(
    store: &dyn Store,
    under: AuthorizationId,
    expires: Timestamp,
) -> SecretHash {
    let hash = a_hash();
    changed(store, async |tx| {
        tx.insert_refresh_token(&hash, under, expires).await
    })
    .await;
    hash
}

async fn spend(store: &dyn Store, hash: &SecretHash, now: i64) -> Refreshed {
    changed(store, async |tx| {
        tx.spend_refresh_token(hash, at(now)).await
    })
    .await
}

async fn a_code_is_fresh_once(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let new = new_code(&user, &client, at(1_000));
    let (hash, other) = (a_code(store, &new).await, a_code(store, &new).await);
    let authorization = led_to(store, &hash, 999).await;
    let expected = Authorization {
        id: authorization.id,
        user: user.id,
        client: client.id,
        grants: new.grants,
        created: at(999),
        ended: None,
    };
    assert_eq!(authorization, expected);
    let read = store.authorization(authorization.id).await.expect("a read");
    assert!(read.is_some_and(|(read, _)| read == expected));
    // Told for as long as it is kept, beyond its own end and that of what it led to.
    for now in [999, 1_000, 5_000] {
        let again = redeem(store, &hash, now).await;
        assert_eq!(again, Redeemed::Reused(authorization.id), "at {now}");
    }
    changed(store, async |tx| {
        tx.end_authorization(authorization.id, at(999)).await
    })
    .await;
    let again = redeem(store, &hash, 999).await;
    assert_eq!(again, Redeemed::Reused(authorization.id));
    let others = led_to(store, &other, 999).await;
    assert_ne!(others.id, authorization.id, "the other one is its own");
}

async fn a_code_comes_back_as_it_was(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    for grants in [Grants::everything(), Grants::nothing()] {
        let new = NewCode {
            grants,
            redirect_uri: Some("https://example.org/\u{e9}".to_owned()),
            challenge: Some("S256:x".to_owned()),
            ..new_code(&user, &client, at(123_456))
        };
        let hash = a_code(store, &new).await;
        match redeem(store, &hash, 5).await {
            Redeemed::Fresh(code) => {
                assert_eq!(code.authorization.grants, new.grants);
                assert_eq!(code.code, new);
            }
            other => panic!("a fresh code, not {other:?}"),
        }
    }
}

async fn a_code_that_is_late_is_unknown(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let hash = a_code(store, &new_code(&user, &client, at(1_000))).await;
    for now in [1_000, 1_001] {
        assert_eq!(redeem(store, &hash, now).await, Redeemed::Unknown);
    }
    assert_eq!(redeem(store, &a_hash(), 5).await, Redeemed::Unknown);
    let made = store.authorizations(user.id, crate::Page::default()).await;
    assert_eq!(made.expect("a list").total, 0, "nothing has begun");
    // A look that comes too late does not use it up.
    led_to(store, &hash, 999).await;
}

async fn a_code_needs_its_user_and_client(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let good = new_code(&user, &client, at(1_000));
    for new in [
        NewCode {
            user: UserId(i64::MAX),
            ..good.clone()
        },
        NewCode {
            client: ClientRow(i64::MAX),
            ..good
        },
    ] {
        let error = refused(store, async |tx| tx.insert_code(&a_hash(), &new).await).await;
        assert_not_found(&error);
    }
}

async fn a_code_of_a_revoked_client_is_unknown(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let new = new_code(&user, &client, at(1_000));
    let (used, unused) = (a_code(store, &new).await, a_code(store, &new).await);
    let authorization = led_to(store, &used, 5).await;
    changed(store, async |tx| {
        tx.revoke_client(user.id, &client.client_id, at(6)).await
    })
    .await;
    assert_eq!(redeem(store, &unused, 7).await, Redeemed::Unknown);
    let again = redeem(store, &used, 7).await;
    assert_eq!(again, Redeemed::Reused(authorization.id));
}

async fn one_of_many_redeems_a_code(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let hash = a_code(store, &new_code(&user, &client, at(1_000))).await;
    let outcomes = join_all((0..6).map(|_| redeem(store, &hash, 5))).await;
    let (mut fresh, mut reused) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Redeemed::Fresh(code) => fresh.push(code.authorization.id),
            Redeemed::Reused(id) => reused.push(id),
            Redeemed::Unknown => panic!("the code is known"),
        }
    }
    assert_eq!((fresh.len(), reused.len()), (1, 5));
    assert!(reused.iter().all(|id| *id == fresh[0]));
    let made = store.authorizations(user.id, crate::Page::default()).await;
    assert_eq!(made.expect("a list").total, 1, "one authorization in all");
}

async fn a_redemption_that_is_dropped_leaves_the_code_fresh(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let hash = a_code(store, &new_code(&user, &client, at(1_000))).await;
    let mut tx = super::begin(store).await;
    let dropped = tx.redeem_code(&hash, at(5)).await.expect("a redemption");
    assert!(matches!(dropped, Redeemed::Fresh(_)));
    drop(tx);
    led_to(store, &hash, 6).await;
}

async fn codes_that_expired_before_are_purged(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let past = |micros: i64| at(micros - 3_600_000_000);
    let mut codes = Vec::new();
    for expires in [past(-1), past(0), at(1_000)] {
        let hash = a_code(store, &new_code(&user, &client, expires)).await;
        changed(store, async |tx| tx.redeem_code(&hash, past(-2)).await).await;
        codes.push(hash);
    }
    changed(store, async |tx| tx.purge_oauth(past(0)).await).await;
    assert_eq!(redeem(store, &codes[0], 5).await, Redeemed::Unknown);
    for hash in &codes[1..] {
        let again = redeem(store, hash, 5).await;
        assert!(matches!(again, Redeemed::Reused(_)), "{again:?}");
    }
}

async fn a_refresh_token_is_found_while_it_lasts(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let under = an_authorization(store, &user, &client, at(0)).await;
    let hash = a_refresh_token(store, under.id, at(1_000)).await;
    let find = async |hash: &SecretHash, now: i64| {
        store.refresh_token(hash, at(now)).await.expect("a read")
    };
    let expected = |is_spent| {
        Some(RefreshToken {
            authorization: under.clone(),
            expires: at(1_000),
            is_spent,
        })
    };
    assert_eq!(find(&hash, 999).await, expected(false));
    assert_eq!(find(&hash, 1_000).await, None);
    assert_eq!(find(&a_hash(), 5).await, None);
    let spent = spend(store, &hash, 5).await;
    assert_eq!(spent, Refreshed::Spent(under.clone()));
    assert_eq!(find(&hash, 999).await, expected(true));
}

async fn a_refresh_token_is_spent_once(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let under = an_authorization(store, &user, &client, at(0)).await;
    let hash = a_refresh_token(store, under.id, at(1_000)).await;
    let other = a_refresh_token(store, under.id, at(1_000)).await;
    assert_eq!(spend(store, &a_hash(), 5).await, Refreshed::Unknown);
    assert_eq!(spend(store, &hash, 1_000).await, Refreshed::Unknown);
    let spent = spend(store, &hash, 999).await;
    assert_eq!(spent, Refreshed::Spent(under.clone()));
    for now in [5, 999] {
        let again = spend(store, &hash, now).await;
        assert_eq!(again, Refreshed::Reused(under.id), "at {now}");
    }
    assert_eq!(spend(store, &hash, 1_000).await, Refreshed::Unknown, "late");
    let others = spend(store, &other, 5).await;
    assert_eq!(others, Refreshed::Spent(under), "the other one is its own");
}

async fn a_refresh_token_ends_with_its_authorization(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let under = an_authorization(store, &user, &client, at(0)).await;
    let kept = an_authorization(store, &user, &client, at(0)).await;
    let (spent, whole) = (
        a_refresh_token(store, under.id, at(1_000)).await,
        a_refresh_token(store, under.id, at(1_000)).await,
    );
    let others = a_refresh_token(store, kept.id, at(1_000)).await;
    assert_eq!(
        spend(store, &spent, 5).await,
        Refreshed::Spent(under.clone())
    );
    changed(store, async |tx| {
        tx.end_authorization(under.id, at(6)).await
    })
    .await;
    for hash in [&spent, &whole] {
        assert_eq!(spend(store, hash, 7).await, Refreshed::Unknown);
    }
    let read = store.refresh_token(&whole, at(7)).await.expect("a read");
    assert!(read.is_some_and(|read| read.authorization.ended == Some(at(6))));
    assert_eq!(spend(store, &others, 7).await, Refreshed::Spent(kept));
}

async fn one_of_many_spends_a_refresh_token(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let under = an_authorization(store, &user, &client, at(0)).await;
    let hash = a_refresh_token(store, under.id, at(1_000)).await;
    let outcomes = join_all((0..6).map(|_| spend(store, &hash, 5))).await;
    let (spent, reused): (Vec<_>, Vec<_>) = outcomes
        .into_iter()
        .partition(|outcome| *outcome == Refreshed::Spent(under.clone()));
    assert_eq!((spent.len(), reused.len()), (1, 5));
    let expected = Refreshed::Reused(under.id);
    assert!(reused.iter().all(|outcome| *outcome == expected));
}

async fn refresh_tokens_that_expired_before_are_purged(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let past = |micros: i64| at(micros - 3_600_000_000);
    let under = an_authorization(store, &user, &client, at(0)).await;
    let mut tokens = Vec::new();
    for expires in [past(-1), past(0), at(1_000)] {
        tokens.push(a_refresh_token(store, under.id, expires).await);
    }
    changed(store, async |tx| tx.purge_oauth(past(0)).await).await;
    let mut kept = Vec::new();
    for hash in &tokens {
        let read = store.refresh_token(hash, past(-2)).await.expect("a read");
        kept.push(read.is_some());
    }
    assert_eq!(kept, [false, true, true]);
}
