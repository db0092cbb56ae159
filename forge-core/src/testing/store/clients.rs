//! Clients.

use super::{
    a_client, a_client_id, a_hash, a_user, assert_not_found, at, changed, listed, refused, walked,
};
use crate::Page;
use crate::ids::UserId;
use crate::oauth::{Client, ClientId, ClientKind, NewClient, SecretHash};
use crate::store::Store;

pub(super) async fn all(store: &dyn Store) {
    a_client_comes_back_as_it_was(store).await;
    a_client_needs_its_owner(store).await;
    clients_are_paged_newest_first(store).await;
    a_secret_is_replaced_by_its_owner(store).await;
    a_client_without_secret_gets_none(store).await;
    a_client_is_revoked_once(store).await;
    a_client_is_found_by_its_secret(store).await;
}

fn new_client(kind: ClientKind) -> NewClient {
    NewClient {
        kind,
        name: "a client".to_owned(),
        description: None,
        url: None,
        redirect_uri: "https://example.org/back".to_owned(),
    }
}

async fn client(store: &dyn Store, id: &ClientId) -> Option<Client> {
    store.client(id).await.expect("a read")
}

async fn list(store: &dyn Store, owner: UserId) -> Vec<Client> {
    listed(store.clients(owner, Page::default())).await
}

async fn set_secret(store: &dyn Store, owner: UserId, id: &ClientId, secret: &SecretHash) -> bool {
    changed(store, async |tx| {
        tx.set_client_secret(owner, id, secret).await
    })
    .await
}

async fn a_client_comes_back_as_it_was(store: &dyn Store) {
    let owner = a_user(store).await;
    let uuid = "0190a5f0-7d3b-7c1e-8f00-".to_owned() + &a_client_id().as_str()[4..];
    for (kind, id, secret) in [
        (ClientKind::Confidential, a_client_id(), Some(a_hash())),
        (ClientKind::Public, uuid.parse().expect("a name"), None),
        (ClientKind::Legacy, a_client_id(), Some(a_hash())),
    ] {
        assert!(client(store, &id).await.is_none());
        let new = NewClient {
            description: Some("to \u{1f642}".to_owned()),
            url: Some("https://example.org/".to_owned()),
            ..new_client(kind)
        };
        let made = changed(store, async |tx| {
            tx.insert_client(owner.id, &id, secret.as_ref(), &new, at(123_456))
                .await
        })
        .await;
        let expected = Client {
            id: made.id,
            client_id: id.clone(),
            owner: owner.id,
            kind,
            name: new.name,
            description: new.description,
            url: new.url,
            redirect_uri: new.redirect_uri,
            secret,
            created: at(123_456),
            revoked: None,
            is_first_party: false,
        };
        assert!(made == expected, "a {kind:?} one, as it is made");
        let read = client(store, &id).await;
        assert!(read == Some(expected), "a {kind:?} one, as it is read");
    }
}

async fn a_client_needs_its_owner(store: &dyn Store) {
    let new = new_client(ClientKind::Public);
    let error = refused(store, async |tx| {
        tx.insert_client(UserId(i64::MAX), &a_client_id(), None, &new, at(0))
            .await
    })
    .await;
    assert_not_found(&error);
}

async fn clients_are_paged_newest_first(store: &dyn Store) {
    let (owner, other) = (a_user(store).await, a_user(store).await);
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(a_client(store, &owner).await);
        a_client(store, &other).await;
    }
    expected.reverse();
    let seen = walked(async |page| store.clients(owner.id, page).await).await;
    assert_eq!(seen, expected);
    assert_eq!(list(store, UserId(i64::MAX)).await, []);
}

async fn a_secret_is_replaced_by_its_owner(store: &dyn Store) {
    let (owner, other) = (a_user(store).await, a_user(store).await);
    let mut made = a_client(store, &owner).await;
    let kept = a_client(store, &owner).await;
    let secret = a_hash();
    assert!(!set_secret(store, other.id, &made.client_id, &secret).await);
    assert!(!set_secret(store, owner.id, &a_client_id(), &secret).await);
    assert!(client(store, &made.client_id).await.as_ref() == Some(&made));
    assert!(set_secret(store, owner.id, &made.client_id, &secret).await);
    made.secret = Some(secret);
    assert!(client(store, &made.client_id).await.as_ref() == Some(&made));
    let read = client(store, &kept.client_id).await;
    assert!(read == Some(kept), "others are unchanged");
    changed(store, async |tx| {
        tx.revoke_client(owner.id, &made.client_id, at(1)).await
    })
    .await;
    assert!(!set_secret(store, owner.id, &made.client_id, &a_hash()).await);
}

async fn a_client_without_secret_gets_none(store: &dyn Store) {
    let owner = a_user(store).await;
    let new = new_client(ClientKind::Public);
    let made = changed(store, async |tx| {
        tx.insert_client(owner.id, &a_client_id(), None, &new, at(0))
            .await
    })
    .await;
    assert!(!set_secret(store, owner.id, &made.client_id, &a_hash()).await);
    let read = client(store, &made.client_id).await;
    assert!(read == Some(made), "it is unchanged");
}

async fn a_client_is_revoked_once(store: &dyn Store) {
    let (owner, other) = (a_user(store).await, a_user(store).await);
    let made = a_client(store, &owner).await;
    let kept = a_client(store, &owner).await;
    let unknown = a_client_id();
    for (user, id, now, expected) in [
        (&other, &made.client_id, 1, false),
        (&owner, &unknown, 1, false),
        (&owner, &made.client_id, 2, true),
        (&owner, &made.client_id, 3, false),
    ] {
        let revoked = changed(store, async |tx| {
            tx.revoke_client(user.id, id, at(now)).await
        })
        .await;
        assert_eq!(revoked, expected, "at {now}");
    }
    let read = client(store, &made.client_id).await.expect("the client");
    let expected = Client {
        revoked: Some(at(2)),
        ..made
    };
    assert!(read == expected, "it is found all the same");
    assert_eq!(list(store, owner.id).await, [kept], "but not in the list");
}

async fn a_client_is_found_by_its_secret(store: &dyn Store) {
    let owner = a_user(store).await;
    let (secret, other) = (a_hash(), a_hash());
    let make = async |secret: Option<&SecretHash>| {
        let new = new_client(ClientKind::Confidential);
        changed(store, async |tx| {
            tx.insert_client(owner.id, &a_client_id(), secret, &new, at(1))
                .await
        })
        .await
    };
    let by = async |client: &Client, secret: Option<&SecretHash>| {
        let read = store.client_by_secret(&client.client_id, secret).await;
        read.expect("a read")
    };
    let (made, open) = (make(Some(&secret)).await, make(None).await);
    assert_eq!(by(&made, Some(&secret)).await.as_ref(), Some(&made));
    assert_eq!(by(&open, None).await.as_ref(), Some(&open));
    for (client, shown) in [(&made, Some(&other)), (&made, None), (&open, Some(&secret))] {
        assert_eq!(by(client, shown).await, None);
    }
}
