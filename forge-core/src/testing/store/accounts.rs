//! Users and tokens.

use chrono::TimeDelta;

use super::{
    a_hash, a_name, a_token, a_user, assert_conflict, at, changed, new_token, refused, token,
};
use crate::access::Grants;
use crate::clock::Timestamp;
use crate::ids::{TokenId, UserId};
use crate::oauth::{NewToken, TokenOrigin};
use crate::store::Store;
use crate::users::{NewUser, User};

pub(super) async fn all(store: &dyn Store) {
    a_user_is_found_by_the_exact_name(store).await;
    a_name_is_taken_once(store).await;
    a_suspension_is_set_and_lifted(store).await;
    a_token_is_found_with_its_user(store).await;
    a_token_keeps_its_grants(store).await;
    an_expired_token_is_found_too(store).await;
    a_token_can_only_be_shortened(store).await;
    times_come_back_as_they_were(store).await;
}

async fn a_user_is_found_by_the_exact_name(store: &dyn Store) {
    let new = NewUser {
        name: a_name(),
        email: Some("someone@example.org".to_owned()),
    };
    let user = changed(store, async |tx| tx.insert_user(&new, at(1)).await).await;
    let expected = User {
        id: user.id,
        created: at(1),
        updated: at(1),
        name: new.name.clone(),
        email: new.email.clone(),
        url: None,
        location: None,
        bio: None,
        pgp_key: None,
        suspended: None,
    };
    assert!(user == expected, "the user is what was asked for");
    let read = store.user_by_name(&new.name).await.expect("a read");
    assert!(read == Some(expected), "the user is read as inserted");
    let other = store.user_by_name(&a_name()).await.expect("a read");
    assert_eq!(other, None);
}

async fn a_name_is_taken_once(store: &dyn Store) {
    let user = a_user(store).await;
    let again = NewUser {
        name: user.name.clone(),
        email: Some("other@example.org".to_owned()),
    };
    let error = refused(store, async |tx| tx.insert_user(&again, at(2)).await).await;
    assert_conflict(&error, "username");
    let read = store.user_by_name(&user.name).await.expect("a read");
    assert!(read == Some(user), "the first user is unchanged");
}

async fn a_suspension_is_set_and_lifted(store: &dyn Store) {
    let (user, bystander) = (a_user(store).await, a_user(store).await);
    for (notice, time) in [
        (Some("spam"), at(5)),
        (Some("more spam"), at(6)),
        (None, at(7)),
    ] {
        changed(store, async |tx| {
            tx.set_suspension(user.id, notice, time).await
        })
        .await;
        let read = store.user_by_name(&user.name).await.expect("a read");
        let expected = User {
            suspended: notice.map(str::to_owned),
            updated: time,
            ..user.clone()
        };
        assert!(read == Some(expected), "the notice is {notice:?}");
    }
    let read = store.user_by_name(&bystander.name).await.expect("a read");
    assert!(read == Some(bystander), "others are unchanged");
    changed(store, async |tx| {
        tx.set_suspension(UserId(i64::MAX), Some("nobody"), at(8))
            .await
    })
    .await;
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
    let some = Grants::parse_oauth2("git.sr.ht/OBJECTS:RW meta.sr.ht/PROFILE").expect("grants");
    for grants in [Grants::everything(), some, Grants::nothing()] {
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
