//! Sessions and passwords.

use super::{a_hash, a_user, assert_not_found, at, changed, refused};
use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::oauth::SecretHash;
use crate::sessions::Session;
use crate::store::Store;
use crate::users::User;

pub(super) async fn all(store: &dyn Store) {
    a_session_is_found_with_its_user(store).await;
    an_expired_session_and_a_suspended_users_are_found_too(store).await;
    a_session_needs_its_user(store).await;
    a_session_is_ended_once(store).await;
    all_sessions_of_a_user_are_ended(store).await;
    sessions_that_expired_before_are_purged(store).await;
    a_password_is_set_and_replaced(store).await;
}

async fn signed_in(store: &dyn Store, user: &User, expires: Timestamp) -> (SecretHash, Session) {
    let cookie = a_hash();
    let session = Session {
        user: user.id,
        created: at(123_456),
        expires,
    };
    changed(store, async |tx| tx.insert_session(&cookie, &session).await).await;
    (cookie, session)
}

async fn session(store: &dyn Store, cookie: &SecretHash) -> Option<(Session, User)> {
    store.session(cookie).await.expect("a read")
}

async fn is_there(store: &dyn Store, cookie: &SecretHash) -> bool {
    session(store, cookie).await.is_some()
}

async fn a_session_is_found_with_its_user(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let (cookie, made) = signed_in(store, &user, at(1_000_000)).await;
    let (others, _) = signed_in(store, &other, at(2_000_000)).await;
    let read = session(store, &cookie).await;
    assert!(
        read == Some((made, user)),
        "the session is read as inserted"
    );
    let read = session(store, &others).await;
    assert!(read.is_some_and(|(_, user)| user == other), "the other's");
    assert!(!is_there(store, &a_hash()).await);
}

async fn an_expired_session_and_a_suspended_users_are_found_too(store: &dyn Store) {
    let user = a_user(store).await;
    let (cookie, made) = signed_in(store, &user, at(-1_000_000)).await;
    for notice in [Some("spam"), None] {
        changed(store, async |tx| {
            tx.set_suspension(user.id, notice, at(2)).await
        })
        .await;
        let (read, found) = session(store, &cookie).await.expect("the session");
        assert_eq!((read, found.suspended.as_deref()), (made.clone(), notice));
    }
}

async fn a_session_needs_its_user(store: &dyn Store) {
    let session = Session {
        user: UserId(i64::MAX),
        created: at(0),
        expires: at(1),
    };
    let cookie = a_hash();
    let error = refused(store, async |tx| tx.insert_session(&cookie, &session).await).await;
    assert_not_found(&error);
    let error = refused(store, async |tx| {
        tx.set_password(UserId(i64::MAX), "$argon2id$x").await
    })
    .await;
    assert_not_found(&error);
}

async fn a_session_is_ended_once(store: &dyn Store) {
    let user = a_user(store).await;
    let (cookie, _) = signed_in(store, &user, at(1_000_000)).await;
    let (kept, _) = signed_in(store, &user, at(1_000_000)).await;
    for expected in [true, false] {
        let ended = changed(store, async |tx| tx.delete_session(&cookie).await).await;
        assert_eq!(ended, expected);
    }
    assert!(!is_there(store, &cookie).await);
    assert!(is_there(store, &kept).await, "others are unchanged");
}

async fn all_sessions_of_a_user_are_ended(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let (first, _) = signed_in(store, &user, at(1_000_000)).await;
    let (second, _) = signed_in(store, &user, at(-1)).await;
    let (kept, _) = signed_in(store, &other, at(1_000_000)).await;
    changed(store, async |tx| tx.delete_sessions(user.id).await).await;
    assert!(!is_there(store, &first).await && !is_there(store, &second).await);
    assert!(is_there(store, &kept).await, "others are unchanged");
    changed(store, async |tx| tx.delete_sessions(user.id).await).await;
}

async fn sessions_that_expired_before_are_purged(store: &dyn Store) {
    let user = a_user(store).await;
    let past = |micros: i64| at(micros - 3_600_000_000);
    let (gone, _) = signed_in(store, &user, past(-1)).await;
    let (just, _) = signed_in(store, &user, past(0)).await;
    let (kept, _) = signed_in(store, &user, at(1_000_000)).await;
    for _ in 0..2 {
        changed(store, async |tx| tx.purge_sessions(past(0)).await).await;
        assert!(!is_there(store, &gone).await);
        assert!(is_there(store, &just).await && is_there(store, &kept).await);
    }
}

async fn a_password_is_set_and_replaced(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let password = async |user: UserId| store.password(user).await.expect("a read");
    assert_eq!(password(user.id).await, None);
    for (user, phc) in [(&other, "$argon2id$0"), (&user, "$argon2id$1")] {
        changed(store, async |tx| tx.set_password(user.id, phc).await).await;
    }
    for phc in ["$argon2id$2", "$argon2id$2", "$argon2id$3"] {
        changed(store, async |tx| tx.set_password(user.id, phc).await).await;
        assert_eq!(password(user.id).await.as_deref(), Some(phc));
    }
    assert_eq!(password(other.id).await.as_deref(), Some("$argon2id$0"));
    assert_eq!(password(UserId(i64::MAX)).await, None);
}
