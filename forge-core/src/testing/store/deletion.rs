//! Deleting users: what goes, and what others keep.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{
    a_client, a_hash, a_name, a_repo, a_token, a_token_under, a_user, an_address, an_authorization,
    assert_conflict, at, changed, found, listed, path, random, refused, repo_name, some_grants,
    token,
};
use crate::Page;
use crate::access::Mode;
use crate::audit::NewEntry;
use crate::ids::{RepoId, UserId};
use crate::keys::PublicKey;
use crate::oauth::{Authorization, Client, NewCode, NewDevice, Redeemed, Refreshed, SecretHash};
use crate::pgp_keys::{PgpFingerprint, PublicPgpKey};
use crate::repos::{RepoChange, RepoOrRedirect};
use crate::sessions::Session;
use crate::store::Store;
use crate::users::{NewUser, ProfileChange, User};

pub(super) async fn all(store: &dyn Store) {
    a_deleted_user_is_not_found(store).await;
    a_deleted_users_name_stays_taken_and_the_address_does_not(store).await;
    nothing_changes_a_deleted_user(store).await;
    what_was_a_deleted_users_goes_and_others_keep_theirs(store).await;
    what_others_let_a_deleted_users_client_do_ends(store).await;
    a_user_with_a_repository_is_not_deleted(store).await;
    the_names_that_a_deleted_users_repositories_had_lead_to_the_heir(store).await;
}

async fn delete(store: &dyn Store, user: UserId) {
    changed(store, async |tx| tx.delete_user(user, at(50)).await).await;
}

async fn a_user_with_an_address(store: &dyn Store) -> (User, String) {
    let address = an_address();
    let new = NewUser {
        name: a_name(),
        email: Some(address.clone()),
    };
    let user = changed(store, async |tx| tx.insert_user(&new, at(0)).await).await;
    (user, address)
}

async fn assert_gone(store: &dyn Store, user: &User) {
    let read = store.user_by_name(&user.name).await.expect("a read");
    assert_eq!(read, None);
    let read = store.user(user.id).await.expect("a read");
    assert_eq!(read, None);
    if let Some(address) = &user.email {
        let read = store.user_by_email(address).await.expect("a read");
        assert_eq!(read, None);
    }
}

async fn a_deleted_user_is_not_found(store: &dyn Store) {
    let (user, _) = a_user_with_an_address(store).await;
    let (bystander, address) = a_user_with_an_address(store).await;
    for _ in 0..2 {
        delete(store, user.id).await;
        assert_gone(store, &user).await;
    }
    delete(store, UserId(i64::MAX)).await;
    let read = store.user_by_email(&address).await.expect("a read");
    assert!(read == Some(bystander), "others are unchanged");
}

async fn a_deleted_users_name_stays_taken_and_the_address_does_not(store: &dyn Store) {
    let (user, address) = a_user_with_an_address(store).await;
    delete(store, user.id).await;
    let again = NewUser {
        name: user.name.clone(),
        email: None,
    };
    let error = refused(store, async |tx| tx.insert_user(&again, at(60)).await).await;
    assert_conflict(&error, "username");
    let other = NewUser {
        name: a_name(),
        email: Some(address),
    };
    let other = changed(store, async |tx| tx.insert_user(&other, at(60)).await).await;
    assert_ne!(other.id, user.id);
}

async fn nothing_changes_a_deleted_user(store: &dyn Store) {
    let user = a_user(store).await;
    let (early, late) = (a_hash(), a_hash());
    changed(store, async |tx| {
        tx.park_email(user.id, &an_address(), &early, at(1)).await
    })
    .await;
    delete(store, user.id).await;
    changed(store, async |tx| {
        tx.set_suspension(user.id, Some("spam"), at(60)).await?;
        tx.park_email(user.id, &an_address(), &late, at(60)).await
    })
    .await;
    let change = ProfileChange {
        bio: Some(Some("back again".to_owned())),
        ..ProfileChange::default()
    };
    let changed_to = changed(store, async |tx| {
        tx.update_profile(user.id, &change, at(60)).await
    })
    .await;
    assert_eq!(changed_to, None);
    for code in [early, late] {
        let confirmed = changed(store, async |tx| {
            tx.confirm_email(&code, at(0), at(60)).await
        })
        .await;
        assert!(confirmed.is_none());
    }
    assert_gone(store, &user).await;
}

/// What a user may have. Only hashes and numbers are kept of it.
struct Belongings {
    user: User,
    key: PublicKey,
    pgp_key: PgpFingerprint,
    cookie: SecretHash,
    token: SecretHash,
    client: Client,
    authorization: Authorization,
    under: SecretHash,
    refresh: SecretHash,
    code: SecretHash,
    device: SecretHash,
    user_code: SecretHash,
}

/// Everything that a user may have; entry and authorization at what belongs to others.
async fn endowed(store: &dyn Store, repo: RepoId, of: &Client) -> Belongings {
    let user = a_user(store).await;
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0 ".to_vec();
    blob.extend(random::<32>());
    let line = format!("ssh-ed25519 {}", STANDARD.encode(blob));
    let (token, under) = (a_hash(), a_hash());
    a_token(store, &user, &token, at(1_000_000)).await;
    let authorization = an_authorization(store, &user, of, at(0)).await;
    a_token_under(store, &authorization, &under).await;
    let theirs = Belongings {
        client: a_client(store, &user).await,
        key: PublicKey::parse(&line, "ssh-key").expect("a key"),
        pgp_key: PgpFingerprint(random::<20>().to_vec()),
        cookie: a_hash(),
        refresh: a_hash(),
        code: a_hash(),
        device: a_hash(),
        user_code: a_hash(),
        user,
        token,
        authorization,
        under,
    };
    changed(store, async |tx| {
        let id = theirs.user.id;
        tx.insert_ssh_key(id, &theirs.key, at(1)).await?;
        let key = PublicPgpKey {
            text: "a key".to_owned(),
            fingerprint: theirs.pgp_key.clone(),
            email: None,
            expiration: None,
        };
        tx.insert_pgp_key(id, &key, at(1)).await?;
        let session = Session {
            user: id,
            created: at(1),
            expires: at(1_000_000),
        };
        tx.insert_session(&theirs.cookie, &session).await?;
        tx.set_password(id, "$argon2id$x").await?;
        let line = NewEntry {
            ip: None,
            action: "signed in",
            details: None,
        };
        tx.insert_audit(&[id], &line, at(1)).await?;
        tx.put_acl(repo, id, Mode::Read, at(1)).await?;
        tx.insert_refresh_token(&theirs.refresh, theirs.authorization.id, at(1_000_000))
            .await?;
        let code = NewCode {
            client: of.id,
            user: id,
            grants: some_grants(),
            redirect_uri: None,
            challenge: None,
            expires: at(1_000_000),
        };
        tx.insert_code(&theirs.code, &code).await?;
        let asked = NewDevice {
            client: of.id,
            grants: some_grants(),
            expires: at(1_000_000),
        };
        tx.insert_device(&theirs.device, &theirs.user_code, &asked, 5)
            .await?;
        let yes = crate::oauth::DeviceState::Approved(id, some_grants());
        tx.answer_device(&theirs.user_code, &yes, at(1)).await
    })
    .await;
    theirs
}

/// Of each of a user's belongings, whether it is found.
async fn what_is_there(store: &dyn Store, repo: RepoId, of: &Belongings) -> Vec<bool> {
    let id = of.user.id;
    let key = store.ssh_key_by_fingerprint(&of.key.fingerprint()).await;
    let keys = listed(store.ssh_keys(id, Page::default())).await;
    let pgp_key = store.pgp_key_by_fingerprint(&of.pgp_key).await;
    let pgp_keys = listed(store.pgp_keys(id, Page::default())).await;
    let session = store.session(&of.cookie).await;
    let personal = listed(store.personal_tokens(id, at(1), Page::default())).await;
    let clients = listed(store.clients(id, Page::default())).await;
    let under = listed(store.authorizations(id, Page::default())).await;
    let refresh = store.refresh_token(&of.refresh, at(1)).await;
    let device = changed(store, async |tx| tx.poll_device(&of.device, at(1)).await).await;
    vec![
        key.expect("a read").is_some(),
        !keys.is_empty(),
        pgp_key.expect("a read").is_some(),
        !pgp_keys.is_empty(),
        session.expect("a read").is_some(),
        store.password(id).await.expect("a read").is_some(),
        !listed(store.audit_log(id, Page::default()))
            .await
            .is_empty(),
        store.acl_mode(repo, id).await.expect("a read").is_some(),
        token(store, &of.token).await.is_some(),
        !personal.is_empty(),
        token(store, &of.under).await.is_some(),
        !clients.is_empty(),
        store
            .client(&of.client.client_id)
            .await
            .expect("a read")
            .is_some(),
        !under.is_empty(),
        store
            .authorization(of.authorization.id)
            .await
            .expect("a read")
            .is_some(),
        refresh.expect("a read").is_some(),
        device.is_some(),
    ]
}

/// Everything is looked at before, too, since a store may remember the answer.
async fn what_was_a_deleted_users_goes_and_others_keep_theirs(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await.id;
    let client = a_client(store, &owner).await;
    let theirs = endowed(store, repo, &client).await;
    let kept = endowed(store, repo, &client).await;
    for of in [&theirs, &kept] {
        let there = what_is_there(store, repo, of).await;
        assert!(there.iter().all(|there| *there), "{there:?}");
    }
    delete(store, theirs.user.id).await;
    let there = what_is_there(store, repo, &theirs).await;
    assert!(there.iter().all(|there| !*there), "{there:?}");
    let there = what_is_there(store, repo, &kept).await;
    assert!(there.iter().all(|there| *there), "{there:?}");

    for (of, is_there) in [(&theirs, false), (&kept, true)] {
        let (code, refresh, taken) = changed(store, async |tx| {
            Ok((
                tx.redeem_code(&of.code, at(60)).await?,
                tx.spend_refresh_token(&of.refresh, at(60)).await?,
                tx.take_device(&of.device).await?,
            ))
        })
        .await;
        assert_eq!(matches!(code, Redeemed::Fresh(_)), is_there);
        assert_eq!(matches!(refresh, Refreshed::Spent(_)), is_there);
        assert_eq!((code == Redeemed::Unknown, taken), (!is_there, is_there));
    }
    let read = store.user(owner.id).await.expect("a read");
    assert!(read == Some(owner), "the owner is unchanged");
}

async fn what_others_let_a_deleted_users_client_do_ends(store: &dyn Store) {
    let (owner, user) = (a_user(store).await, a_user(store).await);
    let repo = a_repo(store, &user, "a").await.id;
    let (client, kept_client) = (a_client(store, &owner).await, a_client(store, &user).await);
    let gone = endowed(store, repo, &client).await;
    let kept = endowed(store, repo, &kept_client).await;
    for hash in [&gone.under, &kept.under] {
        assert!(token(store, hash).await.is_some());
    }
    delete(store, owner.id).await;
    assert!(token(store, &gone.under).await.is_none());
    assert!(token(store, &gone.token).await.is_some(), "a personal one");
    let read = store.authorization(gone.authorization.id).await;
    assert!(read.expect("a read").is_none());
    let read = store.client(&client.client_id).await.expect("a read");
    assert!(read.is_none());
    let (code, refresh, taken) = changed(store, async |tx| {
        Ok((
            tx.redeem_code(&gone.code, at(60)).await?,
            tx.spend_refresh_token(&gone.refresh, at(60)).await?,
            tx.take_device(&gone.device).await?,
        ))
    })
    .await;
    assert_eq!(
        (code, refresh, taken),
        (Redeemed::Unknown, Refreshed::Unknown, false)
    );
    let there = what_is_there(store, repo, &kept).await;
    assert!(there.iter().all(|there| *there), "{there:?}");
}

async fn a_user_with_a_repository_is_not_deleted(store: &dyn Store) {
    let user = a_user(store).await;
    let repo = a_repo(store, &user, "a").await;
    let error = refused(store, async |tx| tx.delete_user(user.id, at(50)).await).await;
    assert_conflict(&error, "user");
    let read = store.user(user.id).await.expect("a read");
    assert!(read.as_ref() == Some(&user), "nothing is changed");
    changed(store, async |tx| tx.delete_repo(repo.id).await).await;
    delete(store, user.id).await;
    assert_gone(store, &user).await;
}

async fn the_names_that_a_deleted_users_repositories_had_lead_to_the_heir(store: &dyn Store) {
    let (user, heir) = (a_user(store).await, a_user(store).await);
    let repo = a_repo(store, &user, "a").await;
    let change = RepoChange {
        name: Some(repo_name("b")),
        ..RepoChange::default()
    };
    changed(store, async |tx| {
        tx.update_repo(repo.id, &change, at(1)).await?;
        tx.give_repo(repo.id, heir.id, &repo_name("c"), at(2)).await
    })
    .await;
    delete(store, user.id).await;
    for name in ["a", "b"] {
        let to = Some(RepoOrRedirect::Moved(path(&heir, "c")));
        assert_eq!(found(store, &path(&user, name)).await, to);
    }
    assert!(found(store, &path(&heir, "c")).await.is_some());
}
