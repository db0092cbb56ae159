//! Tokens.

use chrono::TimeDelta;

use super::{
    a_client, a_hash, a_token, a_token_under, a_user, an_authorization, at, changed, listed,
    new_token, some_grants, token, token_at, walked,
};
use crate::Page;
use crate::access::Grants;
use crate::clock::Timestamp;
use crate::ids::{TokenId, UserId};
use crate::oauth::{NewToken, Token, TokenOrigin};
use crate::store::Store;

pub(super) async fn all(store: &dyn Store) {
    a_token_is_found_with_its_user(store).await;
    a_token_keeps_its_grants(store).await;
    a_token_keeps_where_it_comes_from(store).await;
    an_expired_token_is_found_too(store).await;
    a_token_can_only_be_shortened(store).await;
    times_come_back_as_they_were(store).await;
    a_tokens_use_is_noted(store).await;
    personal_tokens_are_paged_newest_first(store).await;
    personal_tokens_are_listed_while_they_last(store).await;
    a_token_is_ended_once(store).await;
    a_token_is_halted_while_its_clients_owner_is_suspended(store).await;
    a_token_is_there_until_its_end(store).await;
}

async fn a_token_is_found_with_its_user(store: &dyn Store) {
    let (user, hash) = (a_user(store).await, a_hash());
    let new = NewToken {
        comment: Some("for the build".to_owned()),
        ..new_token(at(1_000))
    };
    let made = changed(store, async |tx| {
        tx.insert_token(user.id, &hash, &new, &TokenOrigin::default(), at(3))
            .await
    })
    .await;
    assert_eq!(
        (made.user, made.issued, made.expires),
        (user.id, at(3), at(1_000))
    );
    assert_eq!(made.comment, new.comment);
    let read = token(store, &hash).await;
    assert!(read == Some((made, user)), "the token is read as inserted");
    assert!(
        token(store, &a_hash()).await.is_none(),
        "no other hash is found"
    );
}

async fn a_token_keeps_its_grants(store: &dyn Store) {
    let user = a_user(store).await;
    for grants in [Grants::everything(), some_grants(), Grants::nothing()] {
        let hash = a_hash();
        let new = NewToken {
            grants: grants.clone(),
            ..new_token(at(1_000))
        };
        changed(store, async |tx| {
            tx.insert_token(user.id, &hash, &new, &TokenOrigin::default(), at(0))
                .await
        })
        .await;
        let (read, _) = token(store, &hash).await.expect("the token");
        assert_eq!(read.grants, grants);
    }
}

async fn an_expired_token_is_found_too(store: &dyn Store) {
    let (user, hash) = (a_user(store).await, a_hash());
    let made = a_token(store, &user, &hash, at(-1_000_000)).await;
    let (read, _) = token(store, &hash).await.expect("the token");
    assert_eq!(read, made);
}

async fn a_token_can_only_be_shortened(store: &dyn Store) {
    let (user, hash, other) = (a_user(store).await, a_hash(), a_hash());
    let made = a_token(store, &user, &hash, at(1_000)).await;
    let kept = a_token(store, &user, &other, at(1_000)).await;
    for (now, expected) in [(2_000, 1_000), (500, 500), (501, 500), (499, 499)] {
        changed(store, async |tx| tx.expire_token(made.id, at(now)).await).await;
        let (read, _) = token(store, &hash).await.expect("the token");
        assert_eq!(read.expires, at(expected), "expired at {now}");
    }
    let (read, _) = token(store, &other).await.expect("the token");
    assert_eq!(read, kept, "other tokens are unchanged");
    changed(store, async |tx| {
        tx.expire_token(TokenId(i64::MAX), at(0)).await
    })
    .await;
}

async fn times_come_back_as_they_were(store: &dyn Store) {
    let user = a_user(store).await;
    let far = at(0) + TimeDelta::days(365 * 20_000);
    let early = Timestamp::from_timestamp_micros(-1).expect("a moment before the epoch");
    for time in [
        at(0),
        at(1),
        at(999_999),
        at(500_000),
        at(123_456),
        early,
        far,
    ] {
        let hash = a_hash();
        let made = a_token(store, &user, &hash, time).await;
        let (read, _) = token(store, &hash).await.expect("the token");
        assert_eq!((made.expires, read.expires), (time, time));
    }
    // A token that is as good as endless can be ended.
    let hash = a_hash();
    let made = a_token(store, &user, &hash, far).await;
    changed(store, async |tx| tx.expire_token(made.id, at(0)).await).await;
    let (read, _) = token(store, &hash).await.expect("the token");
    assert_eq!(read.expires, at(0));
}

async fn a_token_keeps_where_it_comes_from(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let under = an_authorization(store, &user, &client, at(0)).await;
    for (is_legacy, authorization) in [(false, None), (true, None), (true, Some(under.id))] {
        let hash = a_hash();
        let origin = TokenOrigin {
            hint: "0123abcd".to_owned(),
            is_legacy,
            authorization,
        };
        let new = new_token(at(1_000));
        let made = changed(store, async |tx| {
            tx.insert_token(user.id, &hash, &new, &origin, at(0)).await
        })
        .await;
        assert_eq!(
            (made.hint.as_str(), made.is_legacy, made.authorization),
            ("0123abcd", is_legacy, authorization)
        );
        assert_eq!(made.last_used, None);
        let (read, _) = token(store, &hash).await.expect("the token");
        assert_eq!(read, made);
    }
}

/// Each read is made twice, since a store may remember the answer.
async fn a_tokens_use_is_noted(store: &dyn Store) {
    let (user, hash, other) = (a_user(store).await, a_hash(), a_hash());
    let mut made = a_token(store, &user, &hash, at(1_000)).await;
    let kept = a_token(store, &user, &other, at(1_000)).await;
    for now in [at(123_456), at(5_000_001)] {
        changed(store, async |tx| tx.touch_token(made.id, now).await).await;
        made.last_used = Some(now);
        for _ in 0..2 {
            let (read, _) = token(store, &hash).await.expect("the token");
            assert_eq!(read, made);
        }
    }
    changed(store, async |tx| {
        tx.touch_token(TokenId(i64::MAX), at(9)).await
    })
    .await;
    let (read, _) = token(store, &other).await.expect("the token");
    assert_eq!(read, kept, "others are unchanged");
}

async fn personal_tokens_are_paged_newest_first(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(a_token(store, &user, &a_hash(), at(1_000)).await);
        a_token(store, &other, &a_hash(), at(1_000)).await;
    }
    expected.reverse();
    let seen = walked(async |page| store.personal_tokens(user.id, at(0), page).await).await;
    assert_eq!(seen, expected);
}

async fn personal(store: &dyn Store, user: UserId, now: Timestamp) -> Vec<Token> {
    listed(store.personal_tokens(user, now, Page::default())).await
}

async fn personal_tokens_are_listed_while_they_last(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let under = an_authorization(store, &user, &client, at(0)).await;
    a_token_under(store, &under, &a_hash()).await;
    let made = a_token(store, &user, &a_hash(), at(1_000)).await;
    assert_eq!(personal(store, user.id, at(999)).await, [made]);
    assert_eq!(personal(store, user.id, at(1_000)).await, []);
    assert_eq!(personal(store, UserId(i64::MAX), at(0)).await, []);
}

async fn a_token_is_ended_once(store: &dyn Store) {
    let user = a_user(store).await;
    let (hash, kept_hash) = (a_hash(), a_hash());
    let made = a_token(store, &user, &hash, at(1_000)).await;
    let kept = a_token(store, &user, &kept_hash, at(1_000)).await;
    for (id, now, expected) in [
        (TokenId(i64::MAX), 5, None),
        (made.id, 1_000, None),
        (made.id, 500, Some(made.clone())),
        (made.id, 500, None),
        (made.id, 501, None),
    ] {
        let ended = changed(store, async |tx| tx.expire_token(id, at(now)).await).await;
        assert_eq!(ended, expected, "{id} at {now}");
    }
    let (read, _) = token(store, &hash).await.expect("the token");
    assert_eq!(read.expires, at(500));
    let (read, _) = token(store, &kept_hash).await.expect("the token");
    assert_eq!(read, kept, "others are unchanged");
}

async fn a_token_is_halted_while_its_clients_owner_is_suspended(store: &dyn Store) {
    let (user, owner) = (a_user(store).await, a_user(store).await);
    let client = a_client(store, &owner).await;
    let under = an_authorization(store, &user, &client, at(0)).await;
    let (hash, own_hash) = (a_hash(), a_hash());
    a_token_under(store, &under, &hash).await;
    a_token(store, &owner, &own_hash, at(1_000)).await;
    for notice in [None, Some("unpaid"), None] {
        changed(store, async |tx| {
            tx.set_suspension(owner.id, notice, at(1)).await
        })
        .await;
        assert_eq!(token(store, &hash).await.is_none(), notice.is_some());
        let own = token(store, &own_hash).await;
        assert!(own.is_some(), "a personal token is no client's");
    }
}

async fn a_token_is_there_until_its_end(store: &dyn Store) {
    let user = a_user(store).await;
    let hash = a_hash();
    let made = a_token(store, &user, &hash, at(1_000)).await;
    let is_there = async |now: i64| token_at(store, &hash, at(now)).await.is_some();
    for (now, expected) in [(0, true), (999, true), (1_000, false), (0, true)] {
        assert_eq!(is_there(now).await, expected, "{now}");
    }
    changed(store, async |tx| tx.expire_token(made.id, at(500)).await).await;
    assert!(is_there(499).await && !is_there(500).await);
}
