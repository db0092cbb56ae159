//! What happens to repositories on disk behind the backend's back: git and other processes write there too.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use forge_core::objects::{GitBackend as _, GitRepo, ImportSource, Oid, Walk};
use forge_core::testing::{Fixture, git_reads, git_walks, tangled_history};
use forge_core::{Error, RefName, RepoId, RevSpec};
use forge_git::Git;

/// A backend with one repository, and git's own view of that.
struct Forge {
    directory: tempfile::TempDir,
    git: Git,
    repo: Arc<dyn GitRepo>,
    truth: Fixture,
}

impl Forge {
    async fn new(git: impl FnOnce(Git) -> Git) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let git = git(Git::at(directory.path().join("git")));
        let head = RefName::new("refs/heads/b0").expect("a name");
        git.create(RepoId(1), &head).await.expect("made");
        Self {
            repo: git.open(RepoId(1)).expect("no fault"),
            truth: Fixture::at(directory.path().join("git/repos/00/00/01.git")),
            git,
            directory,
        }
    }

    async fn tangled() -> Self {
        let this = Self::new(|git| git).await;
        this.truth.import(&tangled_history(300, 3));
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.truth.path().join(name)
    }

    async fn resolve(&self, rev: &str) -> Option<Oid> {
        let rev = RevSpec::new(rev).expect("a revision");
        let found = self.repo.resolve(&[rev]).await.expect("no fault");
        found.map(|(_, id)| id)
    }

    async fn history(&self, tip: Oid, count: usize) -> Vec<Oid> {
        let (mut found, mut start) = (Vec::new(), None);
        loop {
            let walk = Walk { tip, start, count };
            let page = self.repo.walk(&walk).await.expect("a walk");
            let page = page.expect("a page");
            found.extend(page.commits.iter().map(|commit| commit.id));
            start = page.next;
            if start.is_none() {
                return found;
            }
        }
    }
}

#[tokio::test]
async fn loose_and_packed_refs_are_read_as_git_reads_them() {
    let forge = Forge::tangled().await;
    let git = &forge.truth;
    git.run(&["tag", "-a", "-m", "x", "v1", "b1"]);
    git.run(&["tag", "-a", "-m", "x", "v2", "v1"]);
    git_reads(&*forge.repo, git).await;
    git.run(&["pack-refs", "--all"]);
    git.run(&["update-ref", "refs/heads/b1", "b2"]);
    git.run(&["tag", "-f", "-a", "-m", "y", "v1", "b2"]);
    git.run(&["update-ref", "refs/heads/a/b/c", "b2"]);
    git.run(&["update-ref", "refs/heads/a-b", "b2"]);
    git.run(&["symbolic-ref", "refs/heads/link", "refs/heads/a/b/c"]);
    git.run(&["symbolic-ref", "refs/remotes/o/HEAD", "refs/heads/link"]);
    git.run(&["symbolic-ref", "HEAD", "refs/heads/link"]);
    git.run(&["update-ref", "refs/other/tag", "v2"]);
    git_reads(&*forge.repo, git).await;
    git.run(&["update-ref", "-d", "refs/heads/b2"]);
    git.run(&["gc", "--quiet"]);
    git_reads(&*forge.repo, git).await;
}

#[tokio::test]
async fn refs_that_lead_nowhere_are_no_refs_and_hide_no_others() {
    let forge = Forge::tangled().await;
    let before = forge.repo.refs().await.expect("refs");
    let heads = forge.path("refs/heads");
    let missing = format!("{}\n", "1".repeat(40));
    fs::create_dir_all(heads.join("empty/directory")).expect("made");
    for (name, content) in [
        ("empty-file", ""),
        ("nonsense", "what?\n"),
        ("missing", missing.as_str()),
        ("dangling", "ref: refs/heads/nothing\n"),
        ("loop", "ref: refs/heads/loop\n"),
        ("outside", "ref: ../../../../etc/passwd\n"),
        ("b0.lock", missing.as_str()),
    ] {
        fs::write(heads.join(name), content).expect("written");
        assert_eq!(forge.repo.refs().await.expect("refs"), before, "{name}");
        assert_eq!(forge.resolve(&format!("heads/{name}")).await, None);
    }
    // A broken file hides the packed value, as it does for git.
    forge.truth.run(&["pack-refs", "--all"]);
    fs::write(heads.join("b1"), "").expect("written");
    let after = forge.repo.refs().await.expect("refs");
    assert_eq!(after.len(), before.len() - 1);
}

#[tokio::test]
async fn old_packed_refs_without_peeled_values_are_peeled() {
    let forge = Forge::tangled().await;
    let git = &forge.truth;
    git.run(&["tag", "-a", "-m", "x", "v1", "b1"]);
    git.run(&["pack-refs", "--all"]);
    let expected = forge.repo.refs().await.expect("refs");
    let packed = fs::read_to_string(forge.path("packed-refs")).expect("packed");
    let old: String = packed
        .lines()
        .filter(|line| !line.starts_with(['#', '^']))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(forge.path("packed-refs"), old).expect("written");
    assert_eq!(forge.repo.refs().await.expect("refs"), expected);
}

#[tokio::test]
async fn orders_are_gits_with_and_without_a_commit_graph() {
    let forge = Forge::tangled().await;
    let (git, sizes) = (&forge.truth, [1, 7, 50]);
    git_walks(&*forge.repo, git, &sizes).await;
    git.run(&["commit-graph", "write", "--reachable"]);
    git_walks(&*forge.repo, git, &sizes).await;

    // Commits that the graph does not know, on both sides of some it does.
    let mut newer = String::new();
    for n in 0..40 {
        let date = 1_600_000_000 + n * 400;
        let branch = n % 3;
        newer +=
            &format!("commit refs/heads/b{branch}\ncommitter C <c@d> {date} +0000\ndata 1\nx\n");
        newer += &format!(
            "from refs/heads/b{branch}^0\nmerge refs/heads/b{}^0\n\n",
            (n + 1) % 3
        );
    }
    git.import(newer.as_bytes());
    git_walks(&*forge.repo, git, &sizes).await;
    git.run(&["commit-graph", "write", "--reachable", "--split=no-merge"]);
    git.import(newer.replace("16000", "16001").as_bytes());
    git.run(&["commit-graph", "write", "--reachable", "--split=no-merge"]);
    assert!(forge.path("objects/info/commit-graphs").is_dir());
    git_walks(&*forge.repo, git, &sizes).await;
}

#[tokio::test]
async fn a_damaged_commit_graph_is_not_needed() {
    let forge = Forge::tangled().await;
    forge.truth.run(&["commit-graph", "write", "--reachable"]);
    let graph = forge.path("objects/info/commit-graph");
    let expected = forge.truth.ask(&["rev-list", "b0"]);
    fs::remove_file(&graph).expect("removed");
    fs::write(&graph, b"CGPH nonsense").expect("written");
    let tip = forge.resolve("b0").await.expect("a branch");
    let found = forge.history(tip, 50).await;
    assert_eq!(found.len(), expected.lines().count());
}

#[tokio::test]
async fn absurd_dates_keep_their_order_when_a_commit_graph_is_written() {
    let forge = Forge::new(|git| git.cache_bytes(0)).await;
    let mut stream = Vec::new();
    for n in 0..60u64 {
        // Around and far beyond what a commit-graph holds.
        let date = [n, (1 << 34) + n, (1 << 34) - n, (1 << 40) - n][n as usize % 4];
        let commit = format!("commit refs/heads/b{}\nmark :{}\n", n % 2, n + 1);
        stream.extend(commit.into_bytes());
        stream.extend(format!("committer C <c@d> {date} +0000\ndata 1\nx\n").into_bytes());
        if n > 2 {
            stream.extend(format!("merge :{}\n", n - 1).into_bytes());
        }
        stream.push(b'\n');
    }
    forge.truth.import(&stream);
    let tip = forge.resolve("b1").await.expect("a branch");
    let before = forge.history(tip, 7).await;
    let mut once = before.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), before.len(), "each comes once");
    forge.truth.run(&["commit-graph", "write", "--reachable"]);
    assert_eq!(forge.history(tip, 7).await, before);
    let graph = forge.truth.ask(&["rev-list", "b1"]);
    let graph: Vec<Oid> = graph.lines().map(|id| id.parse().expect("an id")).collect();
    assert_eq!(before, graph);
}

#[tokio::test]
async fn a_history_that_lacks_a_commit_is_an_error() {
    let forge = Forge::new(|git| git).await;
    forge.truth.import(&tangled_history(8, 1));
    let tip = forge.resolve("b0").await.expect("a branch");
    let parent = forge.truth.ask(&["rev-parse", "b0~3"]);
    let object = format!("objects/{}/{}", &parent[..2], &parent[2..]);
    fs::remove_file(forge.path(&object)).expect("a loose object");
    let walk = |count| Walk {
        tip,
        start: None,
        count,
    };
    let page = forge.repo.walk(&walk(1)).await.expect("not so far");
    assert!(page.is_some());
    let failed = forge.repo.walk(&walk(50)).await;
    assert!(matches!(failed, Err(Error::Internal(_))), "{failed:?}");
    assert_eq!(forge.resolve("b0~4").await, None);
}

#[tokio::test]
async fn a_damaged_object_is_an_error_and_not_an_absence() {
    let forge = Forge::new(|git| git).await;
    forge.truth.import(&tangled_history(3, 1));
    let id = forge.resolve("b0^{tree}").await.expect("a tree");
    let name = id.to_string();
    let object = forge.path(&format!("objects/{}/{}", &name[..2], &name[2..]));
    fs::remove_file(&object).expect("a loose object");
    fs::write(&object, b"nonsense").expect("written");
    let failed = forge.repo.objects(&[id]).await;
    assert!(matches!(failed, Err(Error::Internal(_))), "{failed:?}");
}

#[tokio::test]
async fn a_directory_that_another_process_replaced_is_read_anew() {
    let forge = Forge::tangled().await;
    assert!(forge.resolve("b0").await.is_some());
    let aside = forge.directory.path().join("aside");
    fs::rename(forge.truth.path(), &aside).expect("moved");
    assert!(matches!(forge.repo.refs().await, Err(Error::NotFound)));
    let head = RefName::new("refs/heads/main").expect("a name");
    let other = Git::at(forge.directory.path().join("git"));
    other.create(RepoId(1), &head).await.expect("made");
    assert_eq!(forge.resolve("b0").await, None);
    assert_eq!(forge.repo.head().await.expect("HEAD"), Some(head));
}

#[tokio::test]
async fn new_packs_are_seen_however_many_there_are() {
    let forge = Forge::new(|git| git).await;
    let commit = |n: u32| {
        format!("commit refs/heads/n{n}\ncommitter C <c@d> {n} +0000\ndata 1\nx\n").into_bytes()
    };
    forge.truth.run(&["config", "fastimport.unpackLimit", "1"]);
    for n in 0..300 {
        forge.truth.import(&commit(n));
        assert!(forge.resolve(&format!("n{n}")).await.is_some(), "{n}");
    }
    forge.truth.run(&["repack", "-adq"]);
    assert!(forge.resolve("n7").await.is_some());
}

#[tokio::test]
async fn the_version_of_the_objects_changes_with_them_and_is_not_given_too_early() {
    let forge = Forge::tangled().await;
    assert_eq!(forge.repo.objects_version(), None, "too early");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let version = forge.repo.objects_version().expect("nothing happened");
    assert_eq!(forge.repo.objects_version(), Some(version));
    forge.truth.run(&["tag", "-a", "-m", "x", "v1", "b1"]);
    assert_ne!(forge.repo.objects_version(), Some(version));
}

#[tokio::test]
async fn an_import_that_is_given_up_leaves_no_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = Fixture::empty(directory.path(), "source");
    source.import(&tangled_history(200, 2));
    let git = Git::at(directory.path().join("git"));
    let from = ImportSource::Path(source.path().to_owned());
    for wait in [1, 5, 10, 20, 40, 2000] {
        let fetching = git.fetch(&from, Arc::new(|_| ()));
        drop(tokio::time::timeout(Duration::from_millis(wait), fetching).await);
    }
    let scratch = directory.path().join("git/tmp");
    for _ in 0..100 {
        if fs::read_dir(&scratch)
            .expect("a directory")
            .next()
            .is_none()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("something is left in {}", scratch.display());
}

#[tokio::test]
async fn histories_are_counted_without_being_read() {
    let forge = Forge::tangled().await;
    let tip = forge.resolve("b0").await.expect("a branch");
    let count = forge.truth.ask(&["rev-list", "--count", "b0"]);
    let found = forge.git.commit_count(RepoId(1), tip).await;
    assert_eq!(found.expect("a history"), count.parse().ok());
    let tree = forge.resolve("b0^{tree}").await.expect("a tree");
    let found = forge.git.commit_count(RepoId(1), tree).await;
    assert_eq!(found.expect("no fault"), None);
}
