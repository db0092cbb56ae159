//! What users say about themselves, and addresses that wait to be confirmed.

use futures::future::join_all;

use super::{
    a_hash, a_name, a_token, a_user, an_address, assert_conflict, at, changed, random, token,
};
use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::oauth::SecretHash;
use crate::pgp_keys::PgpFingerprint;
use crate::store::Store;
use crate::users::{NewUser, ProfileChange, User};

pub(super) async fn all(store: &dyn Store) {
    a_profile_is_changed_in_part(store).await;
    a_parked_address_is_confirmed_once(store).await;
    a_later_address_takes_the_place_of_a_parked_one(store).await;
    a_code_that_is_too_old_is_spent(store).await;
    an_address_that_was_taken_meanwhile_is_not_confirmed(store).await;
    ones_own_address_can_be_confirmed_again(store).await;
    one_of_many_confirms_an_address(store).await;
    one_of_many_users_gets_an_address(store).await;
}

async fn read(store: &dyn Store, user: UserId) -> Option<User> {
    store.user(user).await.expect("a read")
}

async fn a_profile_is_changed_in_part(store: &dyn Store) {
    let (mut user, bystander) = (a_user(store).await, a_user(store).await);
    let hash = a_hash();
    a_token(store, &user, &hash, at(1_000)).await;
    let some = |text: &str| Some(Some(text.to_owned()));
    let nothing = ProfileChange::default;
    for (number, change) in [
        ProfileChange {
            url: some("https://example.org/"),
            location: some("\u{d6}rebro"),
            bio: some("*\u{1f642}*"),
            pgp_key: Some(Some(PgpFingerprint(random::<20>().to_vec()))),
        },
        ProfileChange {
            bio: some(""),
            ..nothing()
        },
        ProfileChange {
            pgp_key: Some(Some(PgpFingerprint(random::<32>().to_vec()))),
            location: Some(None),
            ..nothing()
        },
        nothing(),
        ProfileChange {
            url: Some(None),
            pgp_key: Some(None),
            ..nothing()
        },
    ]
    .into_iter()
    .enumerate()
    {
        let now = at(i64::try_from(number).expect("a small number") + 7);
        let changed_to = changed(store, async |tx| {
            tx.update_profile(user.id, &change, now).await
        })
        .await;
        user.updated = now;
        user.url = change.url.unwrap_or(user.url);
        user.location = change.location.unwrap_or(user.location);
        user.bio = change.bio.unwrap_or(user.bio);
        user.pgp_key = change.pgp_key.unwrap_or(user.pgp_key);
        assert!(changed_to.as_ref() == Some(&user), "change {number}");
        assert!(read(store, user.id).await.as_ref() == Some(&user));
        // A store may remember whose token it is.
        let (_, found) = token(store, &hash).await.expect("the token");
        assert!(found == user, "change {number}, by token");
    }
    let kept = read(store, bystander.id).await;
    assert!(kept == Some(bystander), "others are unchanged");
    let nobody = changed(store, async |tx| {
        tx.update_profile(UserId(i64::MAX), &nothing(), at(1)).await
    })
    .await;
    assert_eq!(nobody, None);
}

async fn park(store: &dyn Store, user: UserId, address: &str, now: Timestamp) -> SecretHash {
    let code = a_hash();
    changed(store, async |tx| {
        tx.park_email(user, address, &code, now).await
    })
    .await;
    code
}

/// Confirms at 1000 what was parked from 100 on.
async fn confirm(store: &dyn Store, code: &SecretHash) -> Option<(User, String)> {
    changed(store, async |tx| {
        tx.confirm_email(code, at(100), at(1_000)).await
    })
    .await
}

async fn a_parked_address_is_confirmed_once(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let (address, others) = (an_address(), an_address());
    let code = park(store, user.id, &address, at(100)).await;
    let others_code = park(store, other.id, &others, at(100)).await;
    assert!(read(store, user.id).await.as_ref() == Some(&user), "parked");
    let found = store.user_by_email(&address).await.expect("a read");
    assert_eq!(found, None);
    assert!(confirm(store, &a_hash()).await.is_none());
    let confirmed = confirm(store, &code).await;
    assert!(
        confirmed == Some((user.clone(), address.clone())),
        "the user as before, and the address"
    );
    let expected = User {
        email: Some(address),
        updated: at(1_000),
        ..user.clone()
    };
    assert!(read(store, user.id).await.as_ref() == Some(&expected));
    assert!(confirm(store, &code).await.is_none(), "the code is spent");
    assert!(read(store, user.id).await == Some(expected));
    assert!(read(store, other.id).await == Some(other), "unchanged");
    let confirmed = confirm(store, &others_code).await;
    assert!(confirmed.is_some_and(|(_, address)| address == others));
    park(store, UserId(i64::MAX), &an_address(), at(100)).await;
}

async fn a_later_address_takes_the_place_of_a_parked_one(store: &dyn Store) {
    let user = a_user(store).await;
    let later = an_address();
    let first = park(store, user.id, &an_address(), at(100)).await;
    let second = park(store, user.id, &later, at(101)).await;
    assert!(confirm(store, &first).await.is_none());
    let confirmed = confirm(store, &second).await;
    assert!(confirmed == Some((user, later)));
}

async fn a_code_that_is_too_old_is_spent(store: &dyn Store) {
    let user = a_user(store).await;
    let code = park(store, user.id, &an_address(), at(99)).await;
    assert!(confirm(store, &code).await.is_none());
    let again = changed(store, async |tx| {
        tx.confirm_email(&code, at(0), at(1_000)).await
    })
    .await;
    assert!(again.is_none(), "the code is spent");
    assert!(read(store, user.id).await == Some(user), "unchanged");
}

async fn an_address_that_was_taken_meanwhile_is_not_confirmed(store: &dyn Store) {
    let user = a_user(store).await;
    let address = an_address();
    let code = park(store, user.id, &address, at(100)).await;
    let new = NewUser {
        name: a_name(),
        email: Some(address.clone()),
    };
    let holder = changed(store, async |tx| tx.insert_user(&new, at(200)).await).await;
    assert!(confirm(store, &code).await.is_none());
    assert!(
        read(store, user.id).await.as_ref() == Some(&user),
        "as before"
    );
    assert!(read(store, holder.id).await.as_ref() == Some(&holder));
    changed(store, async |tx| tx.delete_user(holder.id, at(300)).await).await;
    assert!(confirm(store, &code).await.is_none(), "the code is spent");
}

async fn ones_own_address_can_be_confirmed_again(store: &dyn Store) {
    let user = a_user(store).await;
    let address = an_address();
    for _ in 0..2 {
        let code = park(store, user.id, &address, at(100)).await;
        assert!(confirm(store, &code).await.is_some());
    }
}

async fn one_of_many_confirms_an_address(store: &dyn Store) {
    let user = a_user(store).await;
    let code = park(store, user.id, &an_address(), at(100)).await;
    let outcomes = join_all((0..4).map(|_| confirm(store, &code))).await;
    assert_eq!(outcomes.into_iter().flatten().count(), 1);
}

async fn one_of_many_users_gets_an_address(store: &dyn Store) {
    let address = an_address();
    let mut codes = Vec::new();
    for _ in 0..4 {
        let user = a_user(store).await;
        codes.push(park(store, user.id, &address, at(100)).await);
    }
    let outcomes = join_all(codes.iter().map(async |code| {
        let mut tx = store.begin().await?;
        let confirmed = tx.confirm_email(code, at(100), at(1_000)).await?;
        tx.commit().await?;
        Ok(confirmed.is_some())
    }));
    let outcomes: Vec<crate::Result<bool>> = outcomes.await;
    let won = outcomes.iter().filter(|won| matches!(won, Ok(true)));
    assert_eq!(won.count(), 1);
    outcomes
        .into_iter()
        .filter_map(Result::err)
        .for_each(|error| assert_conflict(&error, "email"));
}
