//! Refs beside git's own view of them.

use forge_core::Oid;
use forge_core::objects::GitBackend as _;
use forge_core::testing::{Fixture, tangled_history};

use super::*;

struct Repo {
    _directory: tempfile::TempDir,
    truth: Fixture,
    git: std::sync::Arc<dyn GitRepo>,
    ids: [Oid; 2],
}

fn waiting(place: Place) -> Waiting {
    Waiting::start(place).expect("git starts")
}

impl Repo {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let git = crate::Git::at(directory.path());
        let head = RefName::new("refs/heads/b0").expect("a name");
        let id = forge_core::RepoId(1);
        git.create(id, &head).await.expect("made");
        let truth = Fixture::at(directory.path().join("repos/00/00/01.git"));
        truth.import(&tangled_history(20, 2));
        let ids = ["b0", "b1"].map(|rev| truth.ask(&["rev-parse", rev]).parse().expect("id"));
        Self {
            git: git.open(id).expect("opened"),
            _directory: directory,
            truth,
            ids,
        }
    }

    fn place(&self) -> Place {
        Place {
            repo: self.truth.path().to_owned(),
            objects: None,
            name: "alice".to_owned(),
            email: "alice@example.org".to_owned(),
        }
    }

    async fn push(&self, updates: &[RefUpdate], atomic: bool) -> (Vec<String>, Refused) {
        let prepared = prepare(waiting(self.place()), updates.to_vec(), atomic).await;
        let (prepared, mut refused) = prepared.expect("git runs");
        let (moved, more) = prepared.commit(&*self.git).await;
        refused.names.extend(more.names);
        refused.words.extend(more.words);
        self.assert_unlocked();
        (moved.iter().map(|m| m.name.to_string()).collect(), refused)
    }

    fn assert_unlocked(&self) {
        let mut left = vec![self.truth.path().to_owned()];
        while let Some(path) = left.pop() {
            assert!(path.extension().is_none_or(|e| e != "lock"), "{path:?}");
            if path.is_dir() {
                let entries = std::fs::read_dir(path).expect("listed");
                left.extend(entries.map(|entry| entry.expect("an entry").path()));
            }
        }
    }

    fn refs(&self) -> String {
        self.truth
            .ask(&["for-each-ref", "--format=%(refname:short)"])
    }
}

fn update(name: &str, old: Option<Oid>, new: Option<Oid>) -> RefUpdate {
    let name = RefName::new(name).expect("a name");
    RefUpdate { name, old, new }
}

#[tokio::test]
async fn a_ref_moves_only_from_where_it_was_said_to_be() {
    let repo = Repo::new().await;
    let [a, b] = repo.ids;
    let (moved, refused) = repo
        .push(
            &[
                update("refs/heads/b0", Some(a), Some(b)),
                update("refs/heads/b1", Some(a), Some(b)),
                update("refs/heads/b1", None, Some(b)),
                update("refs/heads/new", None, Some(b)),
                update("refs/tags/gone", Some(a), None),
                update("refs/heads/missing", None, "1".repeat(40).parse().ok()),
            ],
            false,
        )
        .await;
    assert_eq!(moved, ["refs/heads/b0", "refs/heads/new"]);
    let words = refused.words.join("\n");
    assert!(
        words.contains(&format!(
            "cannot lock ref 'refs/heads/b1': is at {b} but expected {a}"
        )),
        "{words}"
    );
    assert!(words.contains("reference already exists"), "{words}");
    assert!(words.contains("nonexistent object"), "{words}");
    assert_eq!(refused.names.len(), 4);
    assert_eq!(repo.refs(), "b0\nb1\nnew");
}

#[tokio::test]
async fn all_or_nothing_is_nothing() {
    let repo = Repo::new().await;
    let [a, b] = repo.ids;
    let updates = [
        update("refs/heads/new", None, Some(b)),
        update("refs/heads/b1", Some(a), None),
    ];
    let (moved, refused) = repo.push(&updates, true).await;
    assert_eq!((moved.len(), refused.names.len()), (0, 2));
    assert_eq!(repo.refs(), "b0\nb1");
    let updates = [updates[0].clone(), update("refs/heads/b1", Some(b), None)];
    let (moved, _) = repo.push(&updates, true).await;
    assert_eq!(moved.len(), 2);
    assert_eq!(repo.refs(), "b0\nnew");
}

#[tokio::test]
async fn names_in_each_others_way_are_told_apart() {
    let repo = Repo::new().await;
    let [a, b] = repo.ids;
    repo.truth.run(&["pack-refs", "--all"]);
    let (moved, refused) = repo
        .push(
            &[
                update("refs/heads/b0/below", None, Some(a)),
                update("refs/heads/b1/below", None, Some(a)),
                update("refs/heads/x", None, Some(a)),
                update("refs/heads/x/y", None, Some(a)),
                update("refs/heads/b0", Some(a), None),
            ],
            false,
        )
        .await;
    assert_eq!(
        moved,
        ["refs/heads/x", "refs/heads/b0", "refs/heads/b0/below"]
    );
    let names: Vec<_> = refused.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["refs/heads/x/y", "refs/heads/b1/below"]);
    assert_eq!(repo.refs(), "b0/below\nb1\nx");
    // And back: a directory becomes a file.
    let updates = [
        update("refs/heads/b0/below", Some(a), None),
        update("refs/heads/b0", None, Some(b)),
    ];
    let (moved, _) = repo.push(&updates, false).await;
    assert_eq!(moved.len(), 2);
    assert_eq!(repo.refs(), "b0\nb1\nx");
}

#[tokio::test]
async fn packed_refs_are_deleted_and_symbolic_ones_replaced() {
    let repo = Repo::new().await;
    let [a, b] = repo.ids;
    repo.truth.run(&["pack-refs", "--all"]);
    repo.truth
        .run(&["symbolic-ref", "refs/heads/link", "refs/heads/b0"]);
    let updates = [
        update("refs/heads/b1", Some(b), None),
        update("refs/heads/link", Some(a), Some(b)),
    ];
    let (moved, refused) = repo.push(&updates, false).await;
    assert_eq!(moved.len(), 2, "{refused:?}");
    assert_eq!(repo.refs(), "b0\nlink");
    assert_eq!(
        repo.truth.ask(&["rev-parse", "b0", "link"]),
        format!("{a}\n{b}")
    );
}

#[tokio::test]
async fn locks_that_are_let_go_are_gone() {
    let repo = Repo::new().await;
    let [a, b] = repo.ids;
    let updates = vec![update("refs/heads/b0", Some(a), Some(b))];
    let prepare = || prepare(waiting(repo.place()), updates.clone(), false);
    let (prepared, _) = prepare().await.expect("locked");
    assert_eq!(prepared.updates(), updates);
    let (second, refused) = prepare().await.expect("git runs");
    assert!(refused.words[0].contains("Unable to create"), "{refused:?}");
    assert!(second.updates().is_empty());
    prepared.abort().await;
    repo.assert_unlocked();
    let (prepared, _) = prepare().await.expect("locked");
    drop(prepared);
    let (moved, _) = repo.push(&updates, false).await;
    assert_eq!(moved.len(), 1, "a second is enough for the locks to go");
}
