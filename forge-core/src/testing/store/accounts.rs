//! Users.

use futures::future::join_all;

use super::{a_name, a_user, an_address, assert_conflict, at, changed, refused};
use crate::ids::UserId;
use crate::store::Store;
use crate::users::{NewUser, User};

pub(super) async fn all(store: &dyn Store) {
    a_user_is_found_by_the_exact_name(store).await;
    a_name_is_taken_once(store).await;
    a_suspension_is_set_and_lifted(store).await;
    a_user_is_found_by_number_and_by_address(store).await;
    an_address_is_taken_once(store).await;
    one_of_many_takes_an_address(store).await;
}

async fn a_user_is_found_by_the_exact_name(store: &dyn Store) {
    let new = NewUser {
        name: a_name(),
        email: Some(an_address()),
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
        email: Some(an_address()),
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

async fn a_user_is_found_by_number_and_by_address(store: &dyn Store) {
    let bystander = a_user(store).await;
    let address = an_address();
    let new = NewUser {
        name: a_name(),
        email: Some(address.clone()),
    };
    let user = changed(store, async |tx| tx.insert_user(&new, at(1)).await).await;
    let read = store.user(user.id).await.expect("a read");
    assert!(read == Some(user.clone()), "by number");
    let read = store.user_by_email(&address).await.expect("a read");
    assert!(read == Some(user), "by address");
    let read = store.user(bystander.id).await.expect("a read");
    assert!(read == Some(bystander), "the other one");
    for address in [an_address(), address.to_uppercase(), String::new()] {
        let read = store.user_by_email(&address).await.expect("a read");
        assert_eq!(read, None);
    }
    let read = store.user(UserId(i64::MAX)).await.expect("a read");
    assert_eq!(read, None);
}

async fn an_address_is_taken_once(store: &dyn Store) {
    let first = NewUser {
        name: a_name(),
        email: Some(an_address()),
    };
    let user = changed(store, async |tx| tx.insert_user(&first, at(1)).await).await;
    let second = NewUser {
        name: a_name(),
        ..first.clone()
    };
    let error = refused(store, async |tx| tx.insert_user(&second, at(2)).await).await;
    assert_conflict(&error, "email");
    let read = store.user_by_name(&second.name).await.expect("a read");
    assert_eq!(read, None);
    let read = store.user_by_name(&first.name).await.expect("a read");
    assert!(read == Some(user), "the first user is unchanged");
}

async fn one_of_many_takes_an_address(store: &dyn Store) {
    let address = an_address();
    let attempts = join_all((0..6).map(async |_| {
        let new = NewUser {
            name: a_name(),
            email: Some(address.clone()),
        };
        let mut tx = store.begin().await?;
        tx.insert_user(&new, at(1)).await?;
        tx.commit().await
    }));
    let (won, lost): (Vec<_>, Vec<_>) = attempts.await.into_iter().partition(crate::Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 5));
    lost.into_iter()
        .filter_map(Result::err)
        .for_each(|error| assert_conflict(&error, "email"));
}
