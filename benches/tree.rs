//! Reading trees: all of HEAD's, and one file seven directories deep.
//!
//! Beside the forge's reader stand libgit2 and `git` itself. Invariant: each way must find the same entries. Nothing is
//! asked for that a browser of trees would not ask for, so sizes of blobs are not.

#[path = "support/backend.rs"]
mod backend;
mod support;
#[path = "support/wall.rs"]
mod wall;

use std::path::Path;

use backend::{head, open};
use criterion::Criterion;
use forge::Git;
use forge::objects::{EntryKind, GitRepo, Object, Oid};
use support::{Turns, report, repository};
use tokio::runtime::Runtime;
use wall::{git_lines, shown, time};

/// A file seven names deep.
const DEEP: &str = "deep/d01/d02/d03/d04/d05/here.txt";

fn main() {
    let source = repository();
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    runtime.block_on(backend::import(&source, directory.path()));
    let git = Git::at(directory.path());
    let bare = git.clone().cache_bytes(0);
    let (warm, bare) = (open(&git), open(&bare));
    let peer = git2::Repository::open(&source).expect("the fixture");
    let files = git_lines(&source, &["ls-tree", "-r", "HEAD"]);

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("tree/walk");
    let forge = async |repo: &dyn GitRepo| assert_eq!(walk(repo).await, files);
    group.bench_function("forge", |b| b.to_async(&runtime).iter(|| forge(&*warm)));
    group.bench_function("forge without cache", |b| {
        b.to_async(&runtime).iter(|| forge(&*bare));
    });
    group.bench_function("git2", |b| b.iter(|| assert_eq!(git2_walk(&peer), files)));
    group.sample_size(20);
    group.bench_function("git", |b| b.iter(|| git_walk(&source)));
    group.finish();

    let mut group = criterion.benchmark_group("tree/path");
    let found = git2_path(&peer);
    let forge =
        async |repo: &dyn GitRepo| assert_eq!(path(repo).await.as_bytes(), found.as_bytes());
    group.bench_function("forge", |b| b.to_async(&runtime).iter(|| forge(&*warm)));
    group.bench_function("forge without cache", |b| {
        b.to_async(&runtime).iter(|| forge(&*bare));
    });
    group.bench_function("git2", |b| b.iter(|| git2_path(&peer)));
    group.sample_size(20);
    group.bench_function("git", |b| b.iter(|| git_path(&source)));
    group.finish();
    criterion.final_summary();

    let turns = Turns::take(
        31,
        &mut [
            &mut || time(|| runtime.block_on(walk(&*warm))),
            &mut || time(|| git2_walk(&peer)),
            &mut || time(|| git_walk(&source)),
            &mut || time(|| runtime.block_on(walk(&*bare))),
        ],
    );
    let ratio = turns.ratio(0, 1);
    let found = format!(
        "{ratio:.2} of git2, {:.3} of git ({}, {}, {}; without cache {})",
        turns.ratio(0, 2),
        shown(turns.median(0)),
        shown(turns.median(1)),
        shown(turns.median(2)),
        shown(turns.median(3)),
    );
    report("tree walk, warm", &found, "< 1 of git2", ratio < 1.0);
    let turns = Turns::take(
        31,
        &mut [
            &mut || time(|| runtime.block_on(path(&*warm))),
            &mut || time(|| git2_path(&peer)),
            &mut || time(|| git_path(&source)),
        ],
    );
    let ratio = turns.ratio(0, 1);
    let found = format!(
        "{ratio:.2} of git2, {:.3} of git ({}, {}, {})",
        turns.ratio(0, 2),
        shown(turns.median(0)),
        shown(turns.median(1)),
        shown(turns.median(2)),
    );
    report(
        "path lookup, warm",
        &found,
        "< 1 of git",
        turns.ratio(0, 2) < 1.0,
    );
}

/// How many files there are below HEAD: all trees of one depth are asked for at once.
async fn walk(repo: &dyn GitRepo) -> usize {
    let mut level = vec![root(repo).await];
    let mut files = 0;
    while !level.is_empty() {
        let trees = repo.objects(&level).await.expect("readable");
        level.clear();
        for tree in trees {
            let Some(Object::Tree(tree)) = tree else {
                panic!("a tree without its subtree");
            };
            for entry in &tree.entries {
                match entry.kind() {
                    EntryKind::Tree => level.push(entry.id),
                    EntryKind::Blob | EntryKind::Commit => files += 1,
                }
            }
        }
    }
    files
}

async fn root(repo: &dyn GitRepo) -> Oid {
    match object(repo, head(repo).await).await {
        Object::Commit(commit) => commit.tree,
        other => panic!("HEAD names {other:?}"),
    }
}

/// One object.
async fn object(repo: &dyn GitRepo, id: Oid) -> Object {
    let found = repo.objects(&[id]).await.expect("readable").pop();
    found.flatten().expect("it is there")
}

/// The file at [`DEEP`], one tree after the other.
async fn path(repo: &dyn GitRepo) -> Oid {
    let mut id = root(repo).await;
    for name in DEEP.split('/') {
        let Object::Tree(tree) = object(repo, id).await else {
            panic!("{name} is in no tree");
        };
        id = tree.entry(name.into()).expect("it is there").id;
    }
    id
}

fn git2_walk(repo: &git2::Repository) -> usize {
    fn below(repo: &git2::Repository, tree: &git2::Tree<'_>) -> usize {
        let mut files = 0;
        for entry in tree {
            files += match entry.kind() {
                Some(git2::ObjectType::Tree) => {
                    below(repo, &repo.find_tree(entry.id()).expect("a tree"))
                }
                _ => 1,
            };
        }
        files
    }
    below(repo, &git2_root(repo))
}

fn git2_path(repo: &git2::Repository) -> git2::Oid {
    git2_root(repo)
        .get_path(Path::new(DEEP))
        .expect("it is there")
        .id()
}

fn git2_root(repo: &git2::Repository) -> git2::Tree<'_> {
    repo.head()
        .and_then(|head| head.peel_to_tree())
        .expect("it has commits")
}

fn git_walk(repo: &Path) -> usize {
    git_lines(repo, &["ls-tree", "-r", "HEAD"])
}

fn git_path(repo: &Path) -> usize {
    git_lines(repo, &["rev-parse", &format!("HEAD:{DEEP}")])
}
