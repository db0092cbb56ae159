//! Transactions: what is seen, by whom, from when on.

use futures::future::join_all;

use super::{
    a_hash, a_name, a_repo, a_token, a_user, assert_conflict, at, begin, changed, found, new_repo,
    new_token, path, repo_name, token,
};
use crate::access::Mode;
use crate::clock::Timestamp;
use crate::events::{NewJob, Task};
use crate::ids::RepoId;
use crate::oauth::TokenOrigin;
use crate::repos::{RepoChange, RepoOrRedirect, Visibility};
use crate::store::Store;
use crate::users::NewUser;

pub(super) async fn all(store: &dyn Store) {
    a_dropped_transaction_leaves_nothing(store).await;
    a_transaction_sees_what_it_wrote_and_others_do_not_yet(store).await;
    a_read_sees_what_was_committed_before(store).await;
    one_of_many_takes_a_name(store).await;
    one_of_many_takes_a_name_by_renaming(store).await;
}

async fn a_dropped_transaction_leaves_nothing(store: &dyn Store) {
    let owner = a_user(store).await;
    let kept = a_repo(store, &owner, "kept").await;
    let (name, hash) = (a_name(), a_hash());
    let mut tx = begin(store).await;
    let new = NewUser {
        name: name.clone(),
        email: None,
    };
    tx.insert_user(&new, at(1)).await.expect("a user");
    tx.insert_token(
        owner.id,
        &hash,
        &new_token(at(9)),
        &TokenOrigin::default(),
        at(1),
    )
    .await
    .expect("a token");
    tx.insert_repo(owner.id, &new_repo("new", Visibility::Public), at(1))
        .await
        .expect("a repository");
    tx.put_acl(kept.id, owner.id, Mode::Read, at(1))
        .await
        .expect("an entry");
    tx.enqueue(NewJob::at(at(0), Task::RemoveRepo(RepoId(1))))
        .await
        .expect("a job");
    assert!(tx.delete_repo(kept.id).await.expect("a deletion"));
    drop(tx);

    let read = store.user_by_name(&name).await.expect("a read");
    assert_eq!(read, None);
    assert!(token(store, &hash).await.is_none());
    assert_eq!(found(store, &path(&owner, "new")).await, None);
    let mode = store.acl_mode(kept.id, owner.id).await.expect("a read");
    assert_eq!(mode, None);
    assert_eq!(
        found(store, &path(&owner, "kept")).await,
        Some(RepoOrRedirect::Repository(kept))
    );
    let due = changed(store, async |tx| tx.due(at(0)).await).await;
    assert_eq!(due, 0, "jobs, given that the queue was empty before");
}

async fn a_transaction_sees_what_it_wrote_and_others_do_not_yet(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await;
    let hash = a_hash();
    let made = a_token(store, &owner, &hash, at(1_000)).await;
    let before = (
        token(store, &hash).await,
        found(store, &path(&owner, "a")).await,
    );

    let mut tx = begin(store).await;
    tx.expire_token(made.id, at(1)).await.expect("a change");
    tx.set_suspension(owner.id, Some("spam"), at(1))
        .await
        .expect("a change");
    let change = RepoChange {
        name: Some(repo_name("b")),
        ..RepoChange::default()
    };
    let renamed = tx
        .update_repo(repo.id, &change, at(1))
        .await
        .expect("a change");
    tx.put_acl(repo.id, owner.id, Mode::Read, at(1))
        .await
        .expect("a change");

    let (inside, user) = tx
        .token_by_hash(&hash, Timestamp::MIN_UTC)
        .await
        .expect("a read")
        .expect("the token");
    assert_eq!(
        (inside.expires, user.suspended.as_deref()),
        (at(1), Some("spam"))
    );
    let inside = tx
        .repo_by_path(&path(&owner, "b"), None)
        .await
        .expect("a read");
    assert_eq!(inside, Some(RepoOrRedirect::Repository(renamed.clone())));
    let inside = tx
        .repo_by_path(&path(&owner, "a"), None)
        .await
        .expect("a read");
    assert_eq!(inside, Some(RepoOrRedirect::Moved(renamed.path())));
    let inside = tx.acl_mode(repo.id, owner.id).await.expect("a read");
    assert_eq!(inside, Some(Mode::Read));

    let outside = (
        token(store, &hash).await,
        found(store, &path(&owner, "a")).await,
    );
    assert!(outside == before, "what is not committed is not seen");
    assert_eq!(found(store, &path(&owner, "b")).await, None);
    let mode = store.acl_mode(repo.id, owner.id).await.expect("a read");
    assert_eq!(mode, None);
}

/// Each read is made twice before the change, since a store may remember the answer.
async fn a_read_sees_what_was_committed_before(store: &dyn Store) {
    let owner = a_user(store).await;
    let hash = a_hash();
    let made = a_token(store, &owner, &hash, at(1_000)).await;
    for _ in 0..2 {
        let (read, _) = token(store, &hash).await.expect("the token");
        assert_eq!(read.expires, at(1_000));
    }
    changed(store, async |tx| tx.expire_token(made.id, at(5)).await).await;
    for _ in 0..2 {
        let (read, user) = token(store, &hash).await.expect("the token");
        assert_eq!((read.expires, user.suspended), (at(5), None));
    }
    changed(store, async |tx| {
        tx.set_suspension(owner.id, Some("spam"), at(6)).await
    })
    .await;
    let (_, user) = token(store, &hash).await.expect("the token");
    assert_eq!(user.suspended.as_deref(), Some("spam"));

    let a = path(&owner, "a");
    for _ in 0..2 {
        assert_eq!(found(store, &a).await, None);
    }
    let repo = a_repo(store, &owner, "a").await;
    for _ in 0..2 {
        assert_eq!(
            found(store, &a).await,
            Some(RepoOrRedirect::Repository(repo.clone()))
        );
    }
    let change = RepoChange {
        name: Some(repo_name("b")),
        ..RepoChange::default()
    };
    let renamed = changed(store, async |tx| {
        tx.update_repo(repo.id, &change, at(7)).await
    })
    .await;
    for _ in 0..2 {
        assert_eq!(
            found(store, &a).await,
            Some(RepoOrRedirect::Moved(renamed.path()))
        );
    }
    let new = a_repo(store, &owner, "a").await;
    for _ in 0..2 {
        assert_eq!(
            found(store, &a).await,
            Some(RepoOrRedirect::Repository(new.clone()))
        );
    }
    changed(store, async |tx| tx.delete_repo(new.id).await).await;
    assert_eq!(found(store, &a).await, None);
}

async fn one_of_many_takes_a_name(store: &dyn Store) {
    let owner = a_user(store).await;
    let new = new_repo("wanted", Visibility::Public);
    let attempts = join_all((0..8).map(|_| async {
        let mut tx = store.begin().await?;
        let repo = tx.insert_repo(owner.id, &new, at(1)).await?;
        tx.commit().await?;
        Ok(repo)
    }))
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = attempts.into_iter().partition(crate::Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    lost.into_iter()
        .filter_map(Result::err)
        .for_each(|error| assert_conflict(&error, "name"));
}

async fn one_of_many_takes_a_name_by_renaming(store: &dyn Store) {
    let owner = a_user(store).await;
    let mut repos = Vec::new();
    for number in 0..6 {
        repos.push(a_repo(store, &owner, &format!("r{number}")).await);
    }
    let change = RepoChange {
        name: Some(repo_name("wanted")),
        ..RepoChange::default()
    };
    let attempts = join_all(repos.iter().map(|repo| async {
        let mut tx = store.begin().await?;
        let repo = tx.update_repo(repo.id, &change, at(1)).await?;
        tx.commit().await?;
        Ok(repo)
    }))
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = attempts.into_iter().partition(crate::Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 5));
    lost.into_iter()
        .filter_map(Result::err)
        .for_each(|error| assert_conflict(&error, "name"));
}
