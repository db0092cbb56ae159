//! Imports.

use super::{a_repo, a_user, assert_not_found, at, changed, refused};
use crate::clock::Timestamp;
use crate::ids::RepoId;
use crate::imports::{Import, ImportState, NewImport};
use crate::store::Store;
use crate::users::User;

pub(super) async fn all(store: &dyn Store) {
    an_import_comes_back_as_it_was(store).await;
    an_import_needs_its_repository(store).await;
    attempts_are_counted_while_it_runs(store).await;
    what_is_said_last_is_kept(store).await;
    an_import_ends_once(store).await;
    running_imports_are_counted_for_their_owner(store).await;
    imports_go_with_their_repository_and_outlive_their_source(store).await;
}

fn from(source: &str) -> NewImport {
    NewImport {
        source: source.to_owned(),
        from: None,
    }
}

async fn begun(store: &dyn Store, owner: &User, name: &str) -> RepoId {
    let repo = a_repo(store, owner, name).await.id;
    let new = from("https://example.org/x");
    changed(store, async |tx| tx.insert_import(repo, &new, at(1)).await).await;
    repo
}

async fn read(store: &dyn Store, repo: RepoId) -> Option<Import> {
    store.import(repo).await.expect("a read")
}

async fn note(store: &dyn Store, repo: RepoId, line: &str, now: Timestamp) -> bool {
    changed(store, async |tx| tx.note_import(repo, line, now).await).await
}

async fn settle(store: &dyn Store, repo: RepoId, failure: Option<&str>, now: Timestamp) -> bool {
    changed(store, async |tx| tx.settle_import(repo, failure, now).await).await
}

async fn begin(store: &dyn Store, repo: RepoId) -> Option<u32> {
    changed(store, async |tx| tx.begin_import(repo).await).await
}

async fn an_import_comes_back_as_it_was(store: &dyn Store) {
    let owner = a_user(store).await;
    let source = a_repo(store, &owner, "source").await.id;
    let target = a_repo(store, &owner, "target").await.id;
    assert_eq!(read(store, target).await, None);
    let new = NewImport {
        source: "https://b\u{fc}cher.example/%7Eann/\u{1f642}".to_owned(),
        from: Some(source),
    };
    changed(store, async |tx| {
        tx.insert_import(target, &new, at(123_456)).await
    })
    .await;
    let expected = Import {
        repo: target,
        source: new.source,
        from: Some(source),
        state: ImportState::Running,
        progress: String::new(),
        started: at(123_456),
        updated: at(123_456),
    };
    assert_eq!(read(store, target).await, Some(expected));
    assert_eq!(read(store, source).await, None, "others have none");
}

async fn an_import_needs_its_repository(store: &dyn Store) {
    let owner = a_user(store).await;
    let repo = a_repo(store, &owner, "a").await.id;
    changed(store, async |tx| tx.delete_repo(repo).await).await;
    let new = from("https://example.org/x");
    let error = refused(store, async |tx| tx.insert_import(repo, &new, at(1)).await).await;
    assert_not_found(&error);
    assert_eq!(read(store, repo).await, None);
}

async fn attempts_are_counted_while_it_runs(store: &dyn Store) {
    let owner = a_user(store).await;
    let (repo, other) = (
        begun(store, &owner, "a").await,
        begun(store, &owner, "b").await,
    );
    for attempt in 1..=3 {
        assert_eq!(begin(store, repo).await, Some(attempt));
    }
    assert_eq!(begin(store, other).await, Some(1));
    settle(store, repo, None, at(2)).await;
    assert_eq!(begin(store, repo).await, None);
    let plain = a_repo(store, &owner, "c").await.id;
    assert_eq!(begin(store, plain).await, None);
}

async fn what_is_said_last_is_kept(store: &dyn Store) {
    let owner = a_user(store).await;
    let (repo, other) = (
        begun(store, &owner, "a").await,
        begun(store, &owner, "b").await,
    );
    assert!(note(store, repo, "Counting: 1%", at(2)).await);
    assert!(note(store, repo, "Counting: \u{1f642}", at(3)).await);
    let import = read(store, repo).await.expect("the import");
    assert_eq!(import.progress, "Counting: \u{1f642}");
    assert_eq!((import.started, import.updated), (at(1), at(3)));
    assert_eq!(import.state, ImportState::Running);
    let import = read(store, other).await.expect("the import");
    assert_eq!((import.progress.as_str(), import.updated), ("", at(1)));
}

async fn an_import_ends_once(store: &dyn Store) {
    let owner = a_user(store).await;
    let failed = ImportState::Failed("no \u{1f642}".to_owned());
    for (name, failure, state) in [
        ("done", None, ImportState::Done),
        ("failed", Some("no \u{1f642}"), failed),
    ] {
        let repo = begun(store, &owner, name).await;
        assert!(note(store, repo, "last", at(2)).await);
        assert!(settle(store, repo, failure, at(3)).await);
        let ended = read(store, repo).await.expect("the import");
        assert_eq!((&ended.state, ended.updated), (&state, at(3)));
        assert_eq!(ended.progress, "last");
        assert!(!settle(store, repo, None, at(4)).await);
        assert!(!settle(store, repo, Some("late"), at(4)).await);
        assert!(!note(store, repo, "late", at(4)).await);
        assert_eq!(read(store, repo).await, Some(ended));
    }
    let plain = a_repo(store, &owner, "plain").await.id;
    assert!(!settle(store, plain, None, at(4)).await);
    assert!(!note(store, plain, "late", at(4)).await);
}

async fn running_imports_are_counted_for_their_owner(store: &dyn Store) {
    let (owner, other) = (a_user(store).await, a_user(store).await);
    let count = async |user: &User| store.running_imports(user.id).await.expect("a count");
    assert_eq!(count(&owner).await, 0);
    let repos = [
        begun(store, &owner, "a").await,
        begun(store, &owner, "b").await,
        begun(store, &owner, "c").await,
    ];
    begun(store, &other, "a").await;
    a_repo(store, &owner, "plain").await;
    assert_eq!((count(&owner).await, count(&other).await), (3, 1));
    settle(store, repos[0], None, at(2)).await;
    settle(store, repos[1], Some("no"), at(2)).await;
    assert_eq!((count(&owner).await, count(&other).await), (1, 1));
}

async fn imports_go_with_their_repository_and_outlive_their_source(store: &dyn Store) {
    let owner = a_user(store).await;
    let source = a_repo(store, &owner, "source").await.id;
    let target = a_repo(store, &owner, "target").await.id;
    let new = NewImport {
        from: Some(source),
        ..from("https://example.org/x")
    };
    changed(store, async |tx| {
        tx.insert_import(target, &new, at(1)).await
    })
    .await;
    changed(store, async |tx| tx.delete_repo(source).await).await;
    let import = read(store, target).await.expect("the import");
    assert_eq!(import.from, Some(source));
    changed(store, async |tx| tx.delete_repo(target).await).await;
    assert_eq!(read(store, target).await, None);
    assert!(!settle(store, target, None, at(2)).await);
}
