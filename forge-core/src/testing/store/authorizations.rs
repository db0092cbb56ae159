//! What users let clients do, and how that ends.

use futures::future::{join, join_all};

use super::{
    a_client, a_hash, a_token, a_token_under, a_user, an_authorization, assert_not_found, at,
    begin, changed, listed, new_token, origin, refused, some_grants, token, walked,
};
use crate::Page;
use crate::access::Grants;
use crate::clock::Timestamp;
use crate::ids::{AuthorizationId, ClientRow, UserId};
use crate::oauth::{Authorization, Client, Refreshed};
use crate::store::Store;

pub(super) async fn all(store: &dyn Store) {
    an_authorization_comes_back_with_its_client(store).await;
    an_authorization_needs_its_user_and_a_client_in_force(store).await;
    authorizations_are_paged_newest_first(store).await;
    an_authorization_ends_once_with_its_tokens(store).await;
    one_of_many_ends_an_authorization(store).await;
    a_clients_authorizations_end_together(store).await;
    users_of_a_client_are_told_once(store).await;
    of_many_who_tell_users_one_tells_each(store).await;
    who_is_not_told_yet_is_not_purged(store).await;
    earlier_authorizations_end_and_no_others(store).await;
    no_token_is_added_to_what_has_ended(store).await;
    what_is_added_while_it_ends_ends_too(store).await;
    what_ended_before_is_purged(store).await;
    what_nothing_is_left_of_is_purged(store).await;
}

async fn read(store: &dyn Store, id: AuthorizationId) -> Option<(Authorization, Client)> {
    store.authorization(id).await.expect("a read")
}

async fn has_ended(store: &dyn Store, id: AuthorizationId) -> bool {
    let (found, _) = read(store, id).await.expect("the authorization");
    found.ended.is_some()
}

async fn end(store: &dyn Store, id: AuthorizationId, now: i64) -> bool {
    changed(store, async |tx| tx.end_authorization(id, at(now)).await).await
}

async fn an_authorization_comes_back_with_its_client(store: &dyn Store) {
    let (user, owner) = (a_user(store).await, a_user(store).await);
    let client = a_client(store, &owner).await;
    for grants in [Grants::everything(), some_grants(), Grants::nothing()] {
        let made = changed(store, async |tx| {
            tx.insert_authorization(user.id, client.id, &grants, at(123_456))
                .await
        })
        .await;
        let expected = Authorization {
            id: made.id,
            user: user.id,
            client: client.id,
            grants,
            created: at(123_456),
            ended: None,
        };
        assert_eq!(made, expected);
        let found = read(store, made.id).await;
        assert!(found == Some((expected, client.clone())));
    }
    assert!(read(store, AuthorizationId(i64::MAX)).await.is_none());
}

async fn an_authorization_needs_its_user_and_a_client_in_force(store: &dyn Store) {
    let owner = a_user(store).await;
    let client = a_client(store, &owner).await;
    let revoked = a_client(store, &owner).await;
    changed(store, async |tx| {
        tx.revoke_client(owner.id, &revoked.client_id, at(1)).await
    })
    .await;
    for (user, client) in [
        (UserId(i64::MAX), client.id),
        (owner.id, ClientRow(i64::MAX)),
        (owner.id, revoked.id),
    ] {
        let error = refused(store, async |tx| {
            tx.insert_authorization(user, client, &some_grants(), at(2))
                .await
        })
        .await;
        assert_not_found(&error);
    }
}

async fn authorizations_are_paged_newest_first(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let mut expected = Vec::new();
    for _ in 0..5 {
        let client = a_client(store, &other).await;
        let made = an_authorization(store, &user, &client, at(0)).await;
        expected.push((made, client.clone()));
        an_authorization(store, &other, &client, at(0)).await;
        let ended = an_authorization(store, &user, &client, at(0)).await;
        assert!(end(store, ended.id, 1).await);
    }
    expected.reverse();
    let seen = walked(async |page| store.authorizations(user.id, page).await).await;
    assert!(seen == expected);
    let none = listed(store.authorizations(UserId(i64::MAX), Page::default())).await;
    assert!(none.is_empty());
}

/// Each token is read twice before, since a store may remember the answer.
async fn an_authorization_ends_once_with_its_tokens(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let made = an_authorization(store, &user, &client, at(0)).await;
    let kept = an_authorization(store, &user, &client, at(0)).await;
    let (hash, earlier, refresh) = (a_hash(), a_hash(), a_hash());
    let (others, personal) = (a_hash(), a_hash());
    a_token_under(store, &made, &hash).await;
    let short = a_token_under(store, &made, &earlier).await;
    changed(store, async |tx| {
        tx.expire_token(short.id, at(3)).await?;
        tx.insert_refresh_token(&refresh, made.id, at(1_000)).await
    })
    .await;
    let others_token = a_token_under(store, &kept, &others).await;
    let personal_token = a_token(store, &user, &personal, at(1_000_000)).await;
    for hash in [&hash, &earlier, &others, &personal] {
        assert!(token(store, hash).await.is_some());
    }
    assert!(end(store, made.id, 5).await);
    for now in [5, 6] {
        assert!(!end(store, made.id, now).await, "it has ended");
    }
    assert!(!end(store, AuthorizationId(i64::MAX), 5).await);
    let (ended, _) = read(store, made.id).await.expect("the authorization");
    assert_eq!(ended.ended, Some(at(5)));
    for (hash, expires) in [(&hash, at(5)), (&earlier, at(3))] {
        let (read, _) = token(store, hash).await.expect("the token");
        assert_eq!(read.expires, expires);
    }
    let spent = changed(store, async |tx| {
        tx.spend_refresh_token(&refresh, at(6)).await
    })
    .await;
    assert_eq!(spent, Refreshed::Unknown);
    let (read, _) = read(store, kept.id).await.expect("the other one");
    assert_eq!(read, kept);
    for (hash, expected) in [(others, others_token), (personal, personal_token)] {
        let (read, _) = token(store, &hash).await.expect("the token");
        assert_eq!(read, expected, "others are unchanged");
    }
}

async fn one_of_many_ends_an_authorization(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let made = an_authorization(store, &user, &client, at(0)).await;
    let ended = join_all((0..6).map(|_| end(store, made.id, 5))).await;
    assert_eq!(ended.into_iter().filter(|ended| *ended).count(), 1);
}

async fn a_clients_authorizations_end_together(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let client = a_client(store, &user).await;
    let kept_client = a_client(store, &user).await;
    let early = an_authorization(store, &user, &client, at(0)).await;
    assert!(end(store, early.id, 2).await);
    let mut hashes = Vec::new();
    for user in [&user, &other] {
        let made = an_authorization(store, user, &client, at(0)).await;
        let hash = a_hash();
        a_token_under(store, &made, &hash).await;
        hashes.push((hash, made.id));
    }
    let kept = an_authorization(store, &user, &kept_client, at(0)).await;
    let kept_hash = a_hash();
    let kept_token = a_token_under(store, &kept, &kept_hash).await;
    for now in [5, 6] {
        changed(store, async |tx| {
            tx.end_authorizations_of(client.id, at(now)).await
        })
        .await;
        for (hash, id) in &hashes {
            let (found, _) = read(store, *id).await.expect("the authorization");
            assert_eq!(found.ended, Some(at(5)));
            let (read, _) = token(store, hash).await.expect("the token");
            assert_eq!(read.expires, at(5));
        }
    }
    let (early, _) = read(store, early.id).await.expect("the authorization");
    assert_eq!(early.ended, Some(at(2)), "what has ended stays so");
    assert!(!has_ended(store, kept.id).await);
    let (read, _) = token(store, &kept_hash).await.expect("the token");
    assert_eq!(read, kept_token, "others are unchanged");
}

async fn take_untold(store: &dyn Store, client: ClientRow, most: u64) -> Vec<UserId> {
    changed(store, async |tx| tx.take_untold(client, most).await).await
}

/// Three users who have let a client do something twice, all of which has ended with it.
async fn three_untold(store: &dyn Store, client: &Client, now: Timestamp) -> Vec<UserId> {
    let mut users = Vec::new();
    for _ in 0..3 {
        let user = a_user(store).await;
        for _ in 0..2 {
            an_authorization(store, &user, client, now).await;
        }
        users.push(user.id);
    }
    changed(store, async |tx| {
        tx.end_authorizations_of(client.id, now).await
    })
    .await;
    users
}

async fn users_of_a_client_are_told_once(store: &dyn Store) {
    let owner = a_user(store).await;
    let client = a_client(store, &owner).await;
    let other = a_client(store, &owner).await;
    let earlier = an_authorization(store, &owner, &client, at(0)).await;
    assert!(end(store, earlier.id, 1).await);
    an_authorization(store, &owner, &other, at(0)).await;
    let gone = a_user(store).await;
    an_authorization(store, &gone, &client, at(0)).await;
    let users = three_untold(store, &client, at(5)).await;
    changed(store, async |tx| tx.delete_user(gone.id, at(6)).await).await;
    {
        let mut tx = begin(store).await;
        let taken = tx.take_untold(client.id, 9).await.expect("a read");
        assert_eq!(taken, users, "and dropped");
    }
    assert_eq!(take_untold(store, client.id, 2).await, users[..2]);
    changed(store, async |tx| {
        tx.end_authorizations_of(client.id, at(7)).await
    })
    .await;
    assert_eq!(take_untold(store, client.id, 2).await, users[2..]);
    for client in [client.id, other.id, ClientRow(i64::MAX)] {
        assert_eq!(take_untold(store, client, 2).await, []);
    }
}

async fn of_many_who_tell_users_one_tells_each(store: &dyn Store) {
    let owner = a_user(store).await;
    let client = a_client(store, &owner).await;
    let users = three_untold(store, &client, at(5)).await;
    let taken = join_all((0..6).map(|_| take_untold(store, client.id, 1))).await;
    let mut taken: Vec<_> = taken.into_iter().flatten().collect();
    taken.sort_unstable();
    assert_eq!(taken, users);
}

async fn who_is_not_told_yet_is_not_purged(store: &dyn Store) {
    let owner = a_user(store).await;
    let client = a_client(store, &owner).await;
    let past = |micros: i64| at(micros - 3_600_000_000);
    let users = three_untold(store, &client, past(-1)).await;
    let purge = async || changed(store, async |tx| tx.purge_oauth(past(0)).await).await;
    let under = an_authorization(store, &owner, &client, past(-1)).await;
    changed(store, async |tx| {
        tx.end_authorizations_of(client.id, past(-1)).await
    })
    .await;
    purge().await;
    assert!(has_ended(store, under.id).await);
    let all = [vec![owner.id], users].concat();
    assert_eq!(take_untold(store, client.id, 9).await, all);
    purge().await;
    assert!(read(store, under.id).await.is_none());
}

async fn earlier_authorizations_end_and_no_others(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let client = a_client(store, &user).await;
    let other_client = a_client(store, &user).await;
    let earlier = an_authorization(store, &user, &client, at(0)).await;
    let hash = a_hash();
    a_token_under(store, &earlier, &hash).await;
    let kept = [
        an_authorization(store, &other, &client, at(0)).await,
        an_authorization(store, &user, &other_client, at(0)).await,
        an_authorization(store, &user, &client, at(0)).await,
        an_authorization(store, &user, &client, at(0)).await,
    ];
    for (keep, expected) in [(1, 0), (0, 1), (0, 0)] {
        let ended = changed(store, async |tx| {
            tx.end_earlier_authorizations(&kept[2], keep, at(5)).await
        })
        .await;
        assert_eq!(ended, expected, "keeping {keep}");
    }
    let (found, _) = read(store, earlier.id).await.expect("the authorization");
    assert_eq!(found.ended, Some(at(5)));
    let (found, _) = token(store, &hash).await.expect("the token");
    assert_eq!(found.expires, at(5));
    for kept in kept {
        assert!(!has_ended(store, kept.id).await);
    }
}

async fn no_token_is_added_to_what_has_ended(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let made = an_authorization(store, &user, &client, at(0)).await;
    assert!(end(store, made.id, 1).await);
    let gone = Authorization {
        id: AuthorizationId(i64::MAX),
        ..made.clone()
    };
    for under in [&made, &gone] {
        let (new, origin, hash) = (new_token(at(1_000)), origin(under), a_hash());
        let error = refused(store, async |tx| {
            tx.insert_token(user.id, &hash, &new, &origin, at(2)).await
        })
        .await;
        assert_not_found(&error);
    }
    let error = refused(store, async |tx| {
        tx.insert_refresh_token(&a_hash(), gone.id, at(1_000)).await
    })
    .await;
    assert_not_found(&error);
}

/// Whoever is first: no token outlives its authorization.
async fn what_is_added_while_it_ends_ends_too(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    for _ in 0..8 {
        let made = an_authorization(store, &user, &client, at(0)).await;
        let (refresh, hash) = (a_hash(), a_hash());
        changed(store, async |tx| {
            tx.insert_refresh_token(&refresh, made.id, at(1_000)).await
        })
        .await;
        let adding = changed(store, async |tx| {
            let spent = tx.spend_refresh_token(&refresh, at(5)).await?;
            if let Refreshed::Spent(under) = &spent {
                let (new, origin) = (new_token(at(1_000)), origin(under));
                tx.insert_token(user.id, &hash, &new, &origin, at(5))
                    .await?;
            }
            Ok(spent)
        });
        let (spent, ended) = join(adding, end(store, made.id, 5)).await;
        assert!(ended);
        match (spent, token(store, &hash).await) {
            (Refreshed::Spent(_), Some((token, _))) => assert_eq!(token.expires, at(5)),
            (Refreshed::Unknown, None) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn what_ended_before_is_purged(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let past = |micros: i64| micros - 3_600_000_000;
    let mut found = Vec::new();
    for ended in [Some(past(-1)), Some(past(0)), None] {
        let made = an_authorization(store, &user, &client, at(past(-2))).await;
        let (hash, refresh) = (a_hash(), a_hash());
        a_token_under(store, &made, &hash).await;
        changed(store, async |tx| {
            tx.insert_refresh_token(&refresh, made.id, at(1_000)).await
        })
        .await;
        if let Some(ended) = ended {
            assert!(end(store, made.id, ended).await);
        }
        found.push((made, hash, refresh));
    }
    let purge = async || {
        changed(store, async |tx| tx.purge_oauth(at(past(0))).await).await;
    };
    purge().await;
    for (number, (made, hash, refresh)) in found.iter().enumerate() {
        let is_kept = number > 0;
        assert_eq!(read(store, made.id).await.is_some(), is_kept, "{number}");
        assert_eq!(token(store, hash).await.is_some(), is_kept, "{number}");
        let refresh = store.refresh_token(refresh, at(0)).await.expect("a read");
        assert_eq!(refresh.is_some(), is_kept, "{number}");
    }
    purge().await;
    assert!(!has_ended(store, found[2].0.id).await);
}

async fn what_nothing_is_left_of_is_purged(store: &dyn Store) {
    let user = a_user(store).await;
    let client = a_client(store, &user).await;
    let past = |micros: i64| at(micros - 3_600_000_000);
    let bare = an_authorization(store, &user, &client, past(-1)).await;
    let young = an_authorization(store, &user, &client, past(0)).await;
    let with_token = an_authorization(store, &user, &client, past(-1)).await;
    let personal = a_hash();
    a_token(store, &user, &personal, past(-1)).await;
    let expired = a_hash();
    let token_row = a_token_under(store, &with_token, &expired).await;
    let with_refresh = an_authorization(store, &user, &client, past(-1)).await;
    let refresh = a_hash();
    changed(store, async |tx| {
        tx.insert_refresh_token(&refresh, with_refresh.id, at(1_000))
            .await
    })
    .await;
    changed(store, async |tx| tx.purge_oauth(past(0)).await).await;
    assert!(read(store, bare.id).await.is_none());
    assert!(token(store, &personal).await.is_none());
    for kept in [&young, &with_token, &with_refresh] {
        assert!(!has_ended(store, kept.id).await);
    }
    changed(store, async |tx| {
        tx.expire_token(token_row.id, past(-1)).await?;
        tx.purge_oauth(past(0)).await
    })
    .await;
    assert!(token(store, &expired).await.is_none());
    assert!(read(store, with_token.id).await.is_none());
    assert!(!has_ended(store, with_refresh.id).await);
}
