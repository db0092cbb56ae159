//! Pushes.

use uuid::Uuid;

use super::{a_repo, a_user, assert_not_found, at, changed, random, refused};
use crate::clock::Timestamp;
use crate::ids::RepoId;
use crate::names::RefName;
use crate::push::{Push, PushOptions, PushState, RefUpdate};
use crate::repos::{Owner, Repository};
use crate::store::Store;

pub(super) async fn all(store: &dyn Store) {
    let left = unsettled(store, at(1 << 40), u64::MAX).await;
    assert_eq!(left, [], "the suite needs every push to be settled");
    a_push_comes_back_as_it_was(store).await;
    a_push_needs_its_repository(store).await;
    a_push_is_done_once(store).await;
    late_pushes_are_listed_the_oldest_first(store).await;
    later_pushes_are_those_recorded_later(store).await;
    whether_anything_was_pushed_is_known(store).await;
    pushes_go_with_their_repository(store).await;
    let left = unsettled(store, at(1 << 40), u64::MAX).await;
    assert_eq!(left, [], "the suite has settled every push");
}

fn a_push(repo: &Repository) -> Push {
    Push {
        id: Uuid::from_bytes(random()),
        time: at(123_456),
        repository: repo.clone(),
        pusher: Owner {
            id: crate::UserId(7),
            name: "someone".parse().expect("a name"),
        },
        updates: Vec::new(),
        options: PushOptions::default(),
    }
}

fn update(name: &str, old: Option<&str>, new: Option<&str>) -> RefUpdate {
    let id = |digits: &str| digits.parse().expect("an id");
    RefUpdate {
        name: RefName::new(name).expect("a ref's name"),
        old: old.map(id),
        new: new.map(id),
    }
}

async fn record(store: &dyn Store, push: &Push, now: Timestamp) {
    changed(store, async |tx| tx.insert_push(push, now).await).await;
}

async fn settle(store: &dyn Store, push: &Push, state: PushState) -> bool {
    changed(store, async |tx| tx.settle_push(push.id, state).await).await
}

async fn read(store: &dyn Store, push: &Push) -> Option<(Push, PushState)> {
    store.push(push.id).await.expect("a read")
}

async fn unsettled(store: &dyn Store, before: Timestamp, max: u64) -> Vec<Push> {
    let pushes = store.unsettled_pushes(before, max).await;
    pushes.expect("a list")
}

async fn after(store: &dyn Store, repo: &Repository, push: &Push) -> Vec<Push> {
    let pushes = store.pushes_after(repo.id, push.id).await;
    pushes.expect("a list")
}

async fn a_push_comes_back_as_it_was(store: &dyn Store) {
    let owner = a_user(store).await;
    let (long, short) = ("ab".repeat(32), "cd".repeat(20));
    let repo = Repository {
        description: Some("\u{1f642} \"words\"\n".to_owned()),
        ..a_repo(store, &owner, "a").await
    };
    let push = Push {
        updates: vec![
            update("refs/heads/new", None, Some(&short)),
            update("refs/heads/\u{e9}/changed", Some(&long), Some(&long)),
            update("refs/tags/gone", Some(&short), None),
        ],
        options: PushOptions::new(vec!["debug".to_owned(), "a=b=\u{e9}\0".to_owned()]),
        ..a_push(&repo)
    };
    assert_eq!(read(store, &push).await, None);
    record(store, &push, at(1)).await;
    let expected = (push.clone(), PushState::Committing);
    assert_eq!(read(store, &push).await, Some(expected));
    assert_eq!(read(store, &a_push(&repo)).await, None);
    settle(store, &push, PushState::Done).await;
    let expected = (push.clone(), PushState::Done);
    assert_eq!(read(store, &push).await, Some(expected));
}

async fn a_push_needs_its_repository(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await;
    changed(store, async |tx| tx.delete_repo(repo.id).await).await;
    let push = a_push(&repo);
    let error = refused(store, async |tx| tx.insert_push(&push, at(1)).await).await;
    assert_not_found(&error);
    assert_eq!(read(store, &push).await, None);
}

async fn a_push_is_done_once(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await;
    let (push, other) = (a_push(&repo), a_push(&repo));
    record(store, &push, at(1)).await;
    record(store, &other, at(1)).await;
    for (state, expected) in [
        (PushState::Dropped, true),
        (PushState::Done, true),
        (PushState::Done, false),
        (PushState::Dropped, false),
    ] {
        assert_eq!(settle(store, &push, state).await, expected, "{state:?}");
    }
    let (_, state) = read(store, &push).await.expect("the push");
    assert_eq!(state, PushState::Done);
    let (_, state) = read(store, &other).await.expect("the push");
    assert_eq!(state, PushState::Committing, "others are unchanged");
    assert!(settle(store, &other, PushState::Done).await);
    assert!(!settle(store, &a_push(&repo), PushState::Done).await);
}

async fn late_pushes_are_listed_the_oldest_first(store: &dyn Store) {
    let owner = a_user(store).await;
    let (repo, other) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "b").await,
    );
    let mut pushes = Vec::new();
    for (repo, moment) in [(&repo, 30), (&other, 10), (&repo, 20), (&repo, 40)] {
        let push = a_push(repo);
        record(store, &push, at(moment)).await;
        pushes.push((moment, push));
    }
    pushes.sort_by_key(|(moment, _)| *moment);
    let pushes: Vec<_> = pushes.into_iter().map(|(_, push)| push).collect();
    for (before, max, expected) in [
        (10, 9, &pushes[..0]),
        (11, 9, &pushes[..1]),
        (40, 9, &pushes[..3]),
        (41, u64::MAX, &pushes[..]),
        (41, 2, &pushes[..2]),
        (41, 0, &pushes[..0]),
    ] {
        let listed = unsettled(store, at(before), max).await;
        assert_eq!(listed, expected, "before {before}, at most {max}");
    }
    // A push that is renewed is not late.
    let renew = async |push: &Push| {
        let (id, now) = (push.id, at(60));
        changed(store, async |tx| tx.renew_push(id, now).await).await
    };
    assert!(renew(&pushes[0]).await);
    assert!(!unsettled(store, at(41), 9).await.contains(&pushes[0]));
    assert!(unsettled(store, at(61), 9).await.contains(&pushes[0]));
    for (push, state) in pushes.iter().zip([PushState::Done, PushState::Dropped]) {
        settle(store, push, state).await;
        assert!(!renew(push).await, "it is ended");
    }
    assert_eq!(unsettled(store, at(41), 9).await, pushes[2..]);
    for push in &pushes {
        settle(store, push, PushState::Done).await;
    }
}

/// A push has its id when it begins, which may be long before it is recorded.
async fn later_pushes_are_those_recorded_later(store: &dyn Store) {
    let owner = a_user(store).await;
    let (repo, other) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "b").await,
    );
    let mut pushes = Vec::new();
    for _ in 0..5 {
        pushes.push(a_push(&repo));
    }
    pushes.sort_by_key(|push| std::cmp::Reverse(push.id));
    for push in &pushes {
        record(store, push, at(1)).await;
    }
    record(store, &a_push(&other), at(1)).await;
    settle(store, &pushes[0], PushState::Dropped).await;
    settle(store, &pushes[2], PushState::Dropped).await;
    settle(store, &pushes[3], PushState::Done).await;
    let left = [pushes[1].clone(), pushes[3].clone(), pushes[4].clone()];
    for (push, expected) in pushes.iter().zip([&left[..], &left[1..], &left[1..]]) {
        assert_eq!(after(store, &repo, push).await, expected);
    }
    assert_eq!(after(store, &repo, &pushes[4]).await, []);
    assert_eq!(after(store, &repo, &a_push(&repo)).await, [], "unknown");
    for push in unsettled(store, at(2), 9).await {
        settle(store, &push, PushState::Done).await;
    }
}

async fn whether_anything_was_pushed_is_known(store: &dyn Store) {
    let owner = a_user(store).await;
    let (repo, other) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "b").await,
    );
    let known = async |repo: RepoId| store.was_pushed_to(repo).await.expect("a read");
    assert!(!known(repo.id).await);
    let push = a_push(&repo);
    record(store, &push, at(1)).await;
    assert!(known(repo.id).await);
    settle(store, &push, PushState::Dropped).await;
    assert!(!known(repo.id).await, "nothing has moved");
    settle(store, &push, PushState::Done).await;
    assert!(known(repo.id).await);
    assert!(!known(other.id).await);
}

async fn pushes_go_with_their_repository(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await;
    let pushes = [a_push(&repo), a_push(&repo)];
    for push in &pushes {
        record(store, push, at(1)).await;
    }
    changed(store, async |tx| tx.delete_repo(repo.id).await).await;
    for push in &pushes {
        assert_eq!(read(store, push).await, None);
        assert!(!settle(store, push, PushState::Done).await);
        assert_eq!(after(store, &repo, push).await, []);
    }
    let known = store.was_pushed_to(repo.id).await.expect("a read");
    assert!(!known);
}
