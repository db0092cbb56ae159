//! What other services leave to the forge.

use chrono::TimeDelta;
use futures::future::{join, join_all};

use super::{
    a_client, a_client_id, a_hash, a_token, a_token_under, a_user, an_authorization,
    assert_conflict, assert_not_found, at, changed, listed, random, refused, walked,
};
use crate::Page;
use crate::access::{Delegated, Named};
use crate::delegation::{DelegatedScope, Ended, NewDelegatedScope, NewWatch, Notice, TokenDigest};
use crate::ids::{ClientRow, DelegatedScopeId, TokenId};
use crate::oauth::{Client, ClientId, ClientKind, NewClient, Token};
use crate::store::Store;
use crate::users::User;

pub(super) async fn all(store: &dyn Store) {
    a_client_is_trusted_while_it_is_in_force(store).await;
    a_scope_comes_back_as_it_was(store).await;
    a_scopes_name_is_taken_once_for_a_client(store).await;
    a_scope_is_removed_once_by_its_client(store).await;
    scopes_are_paged_newest_first(store).await;
    scopes_are_in_force_as_their_client_is(store).await;
    grants_keep_other_services_scopes(store).await;
    a_token_is_watched_while_it_means_somebody(store).await;
    a_watch_is_taken_once_its_token_has_ended(store).await;
    watches_end_with_what_users_let_clients_do(store).await;
    watches_end_when_somebody_is_suspended(store).await;
    a_watch_goes_with_its_token(store).await;
    whoever_watches_while_it_ends_is_told(store).await;
    a_nonce_is_new_once(store).await;
    old_nonces_are_forgotten(store).await;
}

async fn a_service(store: &dyn Store, owner: &User) -> Client {
    let new = NewClient {
        kind: ClientKind::Legacy,
        name: "lists".to_owned(),
        description: None,
        url: None,
        redirect_uri: "https://example.org/back".to_owned(),
    };
    let id = a_client_id();
    changed(store, async |tx| {
        let secret = a_hash();
        tx.insert_client(owner.id, &id, Some(&secret), &new, at(0))
            .await?;
        tx.trust_client(&id).await
    })
    .await;
    client(store, &id).await
}

async fn client(store: &dyn Store, id: &ClientId) -> Client {
    let found = store.client(id).await.expect("a read");
    found.expect("the client")
}

fn new_scope(name: &str) -> NewDelegatedScope {
    NewDelegatedScope {
        name: name.parse().expect("a name"),
        description: "your \u{e9} lists".to_owned(),
        is_writable: true,
    }
}

async fn a_scope(store: &dyn Store, client: &Client, name: &str) -> DelegatedScope {
    let new = new_scope(name);
    changed(store, async |tx| {
        tx.insert_delegated_scope(client.id, &new, at(3)).await
    })
    .await
}

async fn in_force(store: &dyn Store, clients: &[&Client]) -> Vec<DelegatedScope> {
    let ids: Vec<_> = clients
        .iter()
        .map(|client| client.client_id.clone())
        .collect();
    store.scopes_in_force(&ids).await.expect("a read")
}

async fn a_client_is_trusted_while_it_is_in_force(store: &dyn Store) {
    let owner = a_user(store).await;
    let (made, kept) = (a_client(store, &owner).await, a_client(store, &owner).await);
    let trust = async |id: &ClientId| changed(store, async |tx| tx.trust_client(id).await).await;
    assert!(!trust(&a_client_id()).await);
    assert!(trust(&made.client_id).await);
    assert!(trust(&made.client_id).await, "once more is no harm");
    let expected = Client {
        is_first_party: true,
        ..made.clone()
    };
    assert!(client(store, &made.client_id).await == expected);
    assert!(client(store, &kept.client_id).await == kept);
    changed(store, async |tx| {
        tx.revoke_client(owner.id, &kept.client_id, at(1)).await
    })
    .await;
    assert!(!trust(&kept.client_id).await);
}

async fn a_scope_comes_back_as_it_was(store: &dyn Store) {
    let owner = a_user(store).await;
    let (service, other) = (
        a_service(store, &owner).await,
        a_service(store, &owner).await,
    );
    for is_writable in [true, false] {
        let new = NewDelegatedScope {
            is_writable,
            ..new_scope(if is_writable { "lists" } else { "e_mail" })
        };
        let made = changed(store, async |tx| {
            tx.insert_delegated_scope(service.id, &new, at(123_456))
                .await
        })
        .await;
        let expected = DelegatedScope {
            scope: Delegated {
                named: Named {
                    client: service.client_id.clone(),
                    name: new.name,
                },
                id: made.scope.id,
            },
            service: service.name.clone(),
            created: at(123_456),
            description: new.description,
            is_writable,
        };
        assert_eq!(made, expected);
        let id = made.scope.id;
        let read = store.delegated_scope(service.id, id).await;
        assert_eq!(read.expect("a read"), Some(expected));
        let read = store.delegated_scope(other.id, id).await;
        assert_eq!(read.expect("a read"), None, "it is not another's");
    }
    let error = refused(store, async |tx| {
        tx.insert_delegated_scope(ClientRow(i64::MAX), &new_scope("lists"), at(0))
            .await
    })
    .await;
    assert_not_found(&error);
}

async fn a_scopes_name_is_taken_once_for_a_client(store: &dyn Store) {
    let owner = a_user(store).await;
    for service in [
        a_service(store, &owner).await,
        a_service(store, &owner).await,
    ] {
        a_scope(store, &service, "lists").await;
        let error = refused(store, async |tx| {
            tx.insert_delegated_scope(service.id, &new_scope("lists"), at(4))
                .await
        })
        .await;
        assert_conflict(&error, "name");
    }
}

async fn a_scope_is_removed_once_by_its_client(store: &dyn Store) {
    let owner = a_user(store).await;
    let (service, other) = (
        a_service(store, &owner).await,
        a_service(store, &owner).await,
    );
    let kept = a_scope(store, &service, "kept").await;
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let id = a_scope(store, &service, "lists").await.scope.id;
        for (client, expected) in [(&other, false), (&service, true), (&service, false)] {
            let removed = changed(store, async |tx| {
                tx.delete_delegated_scope(client.id, id).await
            })
            .await;
            assert_eq!(removed, expected);
        }
        numbers.push(id);
    }
    assert_ne!(numbers[0], numbers[1], "no number was used again");
    let list = listed(store.delegated_scopes(service.id, Page::default())).await;
    assert_eq!(list, [kept]);
}

async fn scopes_are_paged_newest_first(store: &dyn Store) {
    let owner = a_user(store).await;
    let (service, other) = (
        a_service(store, &owner).await,
        a_service(store, &owner).await,
    );
    let mut expected = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        expected.push(a_scope(store, &service, name).await);
        a_scope(store, &other, name).await;
    }
    expected.reverse();
    let seen = walked(async |page| store.delegated_scopes(service.id, page).await).await;
    assert_eq!(seen, expected);
}

async fn scopes_are_in_force_as_their_client_is(store: &dyn Store) {
    let (owner, other) = (a_user(store).await, a_user(store).await);
    let service = a_service(store, &owner).await;
    let untrusted = a_client(store, &owner).await;
    let revoked = a_service(store, &owner).await;
    let resting = a_service(store, &other).await;
    for client in [&service, &untrusted, &revoked, &resting] {
        a_scope(store, client, "lists").await;
    }
    let second = a_scope(store, &service, "drafts").await;
    changed(store, async |tx| {
        tx.revoke_client(owner.id, &revoked.client_id, at(5))
            .await?;
        tx.set_suspension(other.id, Some("unpaid"), at(5)).await
    })
    .await;
    let all = [&service, &untrusted, &revoked, &resting];
    let found = in_force(store, &all).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[1], second, "by number");
    assert_eq!(in_force(store, &[]).await, []);
    changed(store, async |tx| {
        tx.set_suspension(other.id, None, at(6)).await
    })
    .await;
    assert_eq!(in_force(store, &[&resting]).await.len(), 1);
}

async fn grants_keep_other_services_scopes(store: &dyn Store) {
    let user = a_user(store).await;
    let service = a_service(store, &user).await;
    let scope = a_scope(store, &service, "lists").await.scope;
    for mode in [crate::Mode::Read, crate::Mode::Write] {
        let mut grants = super::some_grants();
        grants.grant_delegated(scope.clone(), mode);
        let made = changed(store, async |tx| {
            tx.insert_authorization(user.id, service.id, &grants, at(0))
                .await
        })
        .await;
        let read = store.authorization(made.id).await.expect("a read");
        assert_eq!(read.expect("the authorization").0.grants, grants);
    }
}

fn a_watch(token: &Token, client: &Client, url: &str) -> NewWatch {
    NewWatch {
        token: token.id,
        client: client.id,
        url: url.to_owned(),
        digest: TokenDigest(random()),
    }
}

fn notice(watch: &NewWatch) -> Notice {
    Notice {
        url: watch.url.clone(),
        digest: watch.digest,
    }
}

async fn watch(store: &dyn Store, new: &NewWatch, now: i64) -> bool {
    let until = changed(store, async |tx| tx.watch_token(new, at(now)).await).await;
    until.is_some()
}

async fn take(store: &dyn Store, of: Ended, now: i64) -> Vec<Notice> {
    let mut taken = changed(store, async |tx| tx.take_watches(of, at(now)).await).await;
    taken.sort_by(|one, other| one.url.cmp(&other.url));
    taken
}

async fn a_token_is_watched_while_it_means_somebody(store: &dyn Store) {
    let (user, owner, maker) = (
        a_user(store).await,
        a_user(store).await,
        a_user(store).await,
    );
    let service = a_service(store, &owner).await;
    let made = a_token(store, &user, &a_hash(), at(1_000)).await;
    let new = a_watch(&made, &service, "a");
    assert!(watch(store, &new, 999).await);
    assert!(!watch(store, &new, 1_000).await, "it has expired");
    let unknown = NewWatch {
        token: TokenId(i64::MAX),
        ..new.clone()
    };
    assert!(!watch(store, &unknown, 0).await);
    let nobodys = NewWatch {
        client: ClientRow(i64::MAX),
        ..new
    };
    let error = refused(store, async |tx| tx.watch_token(&nobodys, at(0)).await).await;
    assert_not_found(&error);

    let client = a_client(store, &maker).await;
    let under = an_authorization(store, &user, &client, at(0)).await;
    let made = a_token_under(store, &under, &a_hash()).await;
    let new = a_watch(&made, &service, "b");
    for person in [&user, &maker] {
        for (notice, expected) in [(Some("unpaid"), false), (None, true)] {
            changed(store, async |tx| {
                tx.set_suspension(person.id, notice, at(1)).await
            })
            .await;
            assert_eq!(watch(store, &new, 2).await, expected, "{notice:?}");
        }
    }
}

async fn a_watch_is_taken_once_its_token_has_ended(store: &dyn Store) {
    let (user, owner) = (a_user(store).await, a_user(store).await);
    let (one, two) = (
        a_service(store, &owner).await,
        a_service(store, &owner).await,
    );
    let made = a_token(store, &user, &a_hash(), at(1_000)).await;
    let kept = a_token(store, &user, &a_hash(), at(1_000)).await;
    let first = a_watch(&made, &one, "a");
    let again = NewWatch {
        url: "c".to_owned(),
        ..a_watch(&made, &one, "")
    };
    let second = a_watch(&made, &two, "b");
    for new in [&first, &second, &again, &a_watch(&kept, &one, "d")] {
        assert!(watch(store, new, 1).await);
    }
    assert_eq!(take(store, Ended::OfUser(user.id), 2).await, []);
    changed(store, async |tx| tx.expire_token(made.id, at(2)).await).await;
    assert_eq!(take(store, Ended::OfUser(owner.id), 2).await, []);
    let taken = take(store, Ended::OfUser(user.id), 2).await;
    assert_eq!(taken, [notice(&second), notice(&again)]);
    assert_eq!(take(store, Ended::OfUser(user.id), 2).await, [], "once");
}

async fn watches_end_with_what_users_let_clients_do(store: &dyn Store) {
    let (user, other, owner) = (
        a_user(store).await,
        a_user(store).await,
        a_user(store).await,
    );
    let service = a_service(store, &owner).await;
    let client = a_client(store, &owner).await;
    let kept = a_client(store, &owner).await;
    let mut watches = Vec::new();
    for (user, client, url) in [
        (&user, &client, "a"),
        (&other, &client, "b"),
        (&user, &kept, "c"),
    ] {
        let under = an_authorization(store, user, client, at(0)).await;
        let made = a_token_under(store, &under, &a_hash()).await;
        let new = a_watch(&made, &service, url);
        assert!(watch(store, &new, 1).await);
        watches.push((under, new));
    }
    let first = watches[0].0.id;
    changed(store, async |tx| tx.end_authorization(first, at(2)).await).await;
    let taken = take(store, Ended::OfUser(user.id), 2).await;
    assert_eq!(taken, [notice(&watches[0].1)]);
    changed(store, async |tx| {
        tx.end_authorizations_of(client.id, at(3)).await
    })
    .await;
    let taken = take(store, Ended::OfClient(client.id), 3).await;
    assert_eq!(taken, [notice(&watches[1].1)]);
    assert_eq!(take(store, Ended::OfClient(kept.id), 3).await, []);
}

async fn watches_end_when_somebody_is_suspended(store: &dyn Store) {
    let (user, owner, maker) = (
        a_user(store).await,
        a_user(store).await,
        a_user(store).await,
    );
    let service = a_service(store, &owner).await;
    let client = a_client(store, &maker).await;
    let under = an_authorization(store, &user, &client, at(0)).await;
    let made = a_token_under(store, &under, &a_hash()).await;
    for person in [&user, &maker] {
        let new = a_watch(&made, &service, "a");
        assert!(watch(store, &new, 1).await);
        changed(store, async |tx| {
            tx.set_suspension(person.id, Some("unpaid"), at(2)).await
        })
        .await;
        let taken = take(store, Ended::OfUser(person.id), 2).await;
        assert_eq!(taken, [notice(&new)]);
        changed(store, async |tx| {
            tx.set_suspension(person.id, None, at(3)).await
        })
        .await;
    }
}

async fn a_watch_goes_with_its_token(store: &dyn Store) {
    let (user, owner) = (a_user(store).await, a_user(store).await);
    let service = a_service(store, &owner).await;
    let made = a_token(store, &user, &a_hash(), at(1_000)).await;
    let new = a_watch(&made, &service, "a");
    assert!(watch(store, &new, 1).await);
    changed(store, async |tx| tx.delete_user(user.id, at(2)).await).await;
    assert_eq!(take(store, Ended::OfUser(user.id), 2).await, []);
    // And with its service.
    let made = a_token(store, &a_user(store).await, &a_hash(), at(1_000)).await;
    assert!(watch(store, &a_watch(&made, &service, "b"), 1).await);
    a_scope(store, &service, "lists").await;
    changed(store, async |tx| tx.delete_user(owner.id, at(2)).await).await;
    changed(store, async |tx| tx.expire_token(made.id, at(3)).await).await;
    assert_eq!(take(store, Ended::OfUser(made.user), 3).await, []);
    let read = store
        .delegated_scope(service.id, DelegatedScopeId(i64::MAX))
        .await;
    assert_eq!(read.expect("a read"), None);
    assert_eq!(in_force(store, &[&service]).await, []);
}

/// Whichever comes first: it is told, then or later, or knows already.
async fn whoever_watches_while_it_ends_is_told(store: &dyn Store) {
    let (user, owner) = (a_user(store).await, a_user(store).await);
    let service = a_service(store, &owner).await;
    for _ in 0..8 {
        let made = a_token(store, &user, &a_hash(), at(1_000)).await;
        let new = a_watch(&made, &service, "a");
        let (user, made, new) = (user.id, &made, &new);
        let watching = changed(store, async |tx| tx.watch_token(new, at(1)).await);
        let ending = changed(store, async |tx| {
            tx.expire_token(made.id, at(2)).await?;
            tx.take_watches(Ended::OfUser(user), at(2)).await
        });
        let (until, told) = join(watching, ending).await;
        match until {
            Some(until) if until == made.expires => assert_eq!(told, [notice(new)]),
            until => assert!(until.is_none_or(|until| until == at(2)), "{until:?}"),
        }
        // What was watched late is not left over for the next.
        take(store, Ended::OfUser(user), 2).await;
    }
}

fn a_nonce() -> String {
    format!("{:016x}", u64::from_le_bytes(random()))
}

async fn a_nonce_is_new_once(store: &dyn Store) {
    let nonce = a_nonce();
    let remember =
        async |nonce: &str| changed(store, async |tx| tx.remember_nonce(nonce, at(0)).await).await;
    let at_once = join_all((0..4).map(|_| remember(&nonce))).await;
    let new = at_once.into_iter().filter(|is_new| *is_new).count();
    assert_eq!(new, 1);
    assert!(!remember(&nonce).await);
    assert!(remember(&a_nonce()).await);
}

async fn old_nonces_are_forgotten(store: &dyn Store) {
    let nonces = [a_nonce(), a_nonce()];
    let long_ago = at(0) - TimeDelta::days(1_000);
    let moment = TimeDelta::microseconds(1);
    for (nonce, seen) in nonces.iter().zip([long_ago - moment, long_ago]) {
        changed(store, async |tx| tx.remember_nonce(nonce, seen).await).await;
    }
    changed(store, async |tx| tx.purge_nonces(long_ago).await).await;
    for (nonce, expected) in nonces.iter().zip([true, false]) {
        let is_new = changed(store, async |tx| tx.remember_nonce(nonce, at(0)).await).await;
        assert_eq!(is_new, expected);
    }
}
