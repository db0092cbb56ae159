//! What hangs on a repository: access lists and artifacts.

use super::{a_repo, a_user, assert_conflict, assert_not_found, at, changed, random, refused};
use crate::Page;
use crate::access::Mode;
use crate::acls::Acl;
use crate::artifacts::{Artifact, NewArtifact};
use crate::ids::RepoId;
use crate::repos::Owner;
use crate::store::Store;

pub(super) async fn all(store: &dyn Store) {
    an_entry_is_added_or_changed(store).await;
    an_entry_is_removed_once(store).await;
    lists_are_paged(store).await;
    an_artifact_is_found_by_its_file_name(store).await;
    a_file_name_is_taken_once_in_a_repository(store).await;
    artifacts_go_with_their_repository(store).await;
}

async fn an_entry_is_added_or_changed(store: &dyn Store) {
    let (owner, friend) = (a_user(store).await, a_user(store).await);
    let repo = a_repo(store, &owner, "a").await;
    let first = changed(store, async |tx| {
        tx.put_acl(repo.id, friend.id, Mode::Read, at(1)).await
    })
    .await;
    let expected = Acl {
        id: first.id,
        repo: repo.id,
        user: Owner {
            id: friend.id,
            name: friend.name.clone(),
        },
        mode: Mode::Read,
        created: at(1),
        updated: at(1),
    };
    assert_eq!(first, expected);
    let second = changed(store, async |tx| {
        tx.put_acl(repo.id, friend.id, Mode::Write, at(2)).await
    })
    .await;
    let expected = Acl {
        mode: Mode::Write,
        updated: at(2),
        ..first
    };
    assert_eq!(second, expected);
    let third = changed(store, async |tx| {
        tx.put_acl(repo.id, friend.id, Mode::Write, at(3)).await
    })
    .await;
    assert_eq!(third, expected, "the same mode is no change");
    let mode = store.acl_mode(repo.id, friend.id).await.expect("a read");
    assert_eq!(mode, Some(Mode::Write));
    let mode = store.acl_mode(repo.id, owner.id).await.expect("a read");
    assert_eq!(mode, None);
    let list = store.acls(repo.id, Page::default()).await.expect("a list");
    assert_eq!(
        (list.results, list.next, list.total),
        (vec![expected], None, 1)
    );
}

async fn an_entry_is_removed_once(store: &dyn Store) {
    let (owner, friend) = (a_user(store).await, a_user(store).await);
    let (repo, other) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "b").await,
    );
    let mut numbers = Vec::new();
    for _ in 0..2 {
        for repo in [&repo, &other] {
            let acl = changed(store, async |tx| {
                tx.put_acl(repo.id, friend.id, Mode::Read, at(1)).await
            })
            .await;
            numbers.push(acl.id);
        }
        for expected in [true, false] {
            let removed = changed(store, async |tx| tx.delete_acl(repo.id, friend.id).await).await;
            assert_eq!(removed, expected);
        }
        let mode = store.acl_mode(repo.id, friend.id).await.expect("a read");
        assert_eq!(mode, None);
        let mode = store.acl_mode(other.id, friend.id).await.expect("a read");
        assert_eq!(mode, Some(Mode::Read));
        changed(store, async |tx| tx.delete_acl(other.id, friend.id).await).await;
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 4, "no number was used again");
}

async fn lists_are_paged(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await;
    let mut expected = Vec::new();
    for _ in 0..5 {
        let friend = a_user(store).await;
        let acl = changed(store, async |tx| {
            tx.put_acl(repo.id, friend.id, Mode::Read, at(1)).await
        })
        .await;
        expected.push(acl);
    }
    expected.reverse();
    let (mut seen, mut start) = (Vec::new(), None);
    loop {
        let page = store.acls(repo.id, Page { start, size: 2 }).await;
        let page = page.expect("a page");
        assert_eq!(page.total, 5);
        seen.extend(page.results);
        start = page.next;
        if start.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected);
}

fn new_artifact(repo: RepoId, filename: &str) -> NewArtifact {
    NewArtifact {
        repo,
        commit: "0123456789abcdef0123456789abcdef01234567"
            .parse()
            .expect("an id"),
        filename: filename.to_owned(),
        size: 1 << 40,
        sha256: random(),
        key: format!("artifacts/{}", u128::from_le_bytes(random())),
    }
}

async fn an_artifact_is_found_by_its_file_name(store: &dyn Store) {
    let owner = a_user(store).await;
    let (repo, other) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "b").await,
    );
    let mut expected = Vec::new();
    for name in ["b.tar.gz", "a.tar.gz"] {
        let new = NewArtifact {
            commit: "ab"
                .repeat(if name.starts_with('a') { 32 } else { 20 })
                .parse()
                .expect("an id"),
            ..new_artifact(repo.id, name)
        };
        let used = store.artifact_key_used(&new.key).await.expect("a read");
        assert!(!used, "the key is not used before");
        let artifact = changed(store, async |tx| tx.insert_artifact(&new, at(7)).await).await;
        let wanted = Artifact {
            id: artifact.id,
            repo: new.repo,
            created: at(7),
            commit: new.commit,
            filename: new.filename,
            size: new.size,
            sha256: new.sha256,
            key: new.key,
        };
        assert_eq!(artifact, wanted);
        let used = store.artifact_key_used(&wanted.key).await.expect("a read");
        assert!(used, "the key is used after");
        expected.push(wanted);
    }
    let list = store.artifacts_of(repo.id).await.expect("a list");
    assert_eq!(list, expected, "the oldest comes first");
    let list = store.artifacts_of(other.id).await.expect("a list");
    assert_eq!(list, []);
    for artifact in expected {
        let read = store.artifact_by_name(repo.id, &artifact.filename).await;
        assert_eq!(read.expect("a read"), Some(artifact));
    }
    let read = store.artifact_by_name(other.id, "a.tar.gz").await;
    assert_eq!(read.expect("a read"), None);
}

async fn a_file_name_is_taken_once_in_a_repository(store: &dyn Store) {
    let owner = a_user(store).await;
    let (repo, other) = (
        a_repo(store, &owner, "a").await,
        a_repo(store, &owner, "b").await,
    );
    for repo in [&repo, &other] {
        let new = new_artifact(repo.id, "x");
        changed(store, async |tx| tx.insert_artifact(&new, at(1)).await).await;
        let again = new_artifact(repo.id, "x");
        let error = refused(store, async |tx| tx.insert_artifact(&again, at(2)).await).await;
        assert_conflict(&error, "file");
    }
}

async fn artifacts_go_with_their_repository(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await;
    let new = new_artifact(repo.id, "x");
    changed(store, async |tx| tx.insert_artifact(&new, at(1)).await).await;
    changed(store, async |tx| tx.delete_repo(repo.id).await).await;
    let list = store.artifacts_of(repo.id).await.expect("a list");
    assert_eq!(list, []);
    let used = store.artifact_key_used(&new.key).await.expect("a read");
    assert!(!used, "the key is free");
    let late = new_artifact(repo.id, "y");
    let error = refused(store, async |tx| tx.insert_artifact(&late, at(2)).await).await;
    assert_not_found(&error);
}
