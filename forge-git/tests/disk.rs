//! What happens to repositories on disk behind the backend's back: git and other processes write there too.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forge_core::objects::{GitBackend as _, GitRepo, ImportSource, Oid, Walk};
use forge_core::testing::{Fixture, git_reads, git_walks, tangled_history};
use forge_core::{Error, RefName, RepoId, RevSpec, Timestamp};
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
    let commit = |n| format!("commit refs/heads/b0\ncommitter C <c@d> {n} +0000\ndata 1\nx\n");
    forge
        .truth
        .import((1..9).map(commit).collect::<String>().as_bytes());
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
    forge.truth.run(&["config", "fastimport.unpackLimit", "0"]);
    forge.truth.run(&["config", "core.fsync", "none"]);
    for n in 0..300 {
        forge.truth.import(&commit(n));
        assert!(forge.resolve(&format!("n{n}")).await.is_some(), "{n}");
    }
    let packs = fs::read_dir(forge.path("objects/pack")).expect("packs");
    assert!(packs.count() >= 600, "a pack and an index each");
    forge.truth.run(&["repack", "-adq"]);
    assert!(forge.resolve("n7").await.is_some());
}

#[tokio::test]
async fn the_version_of_the_objects_changes_with_them_and_is_not_given_too_early() {
    let forge = Forge::tangled().await;
    let version = async || forge.repo.objects_version().await.expect("no fault");
    assert_eq!(version().await, None, "too early");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let before = version().await;
    assert!(before.is_some(), "nothing happened");
    assert_eq!(version().await, before);
    forge.truth.run(&["tag", "-a", "-m", "x", "v1", "b1"]);
    assert_ne!(version().await, before);
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

#[tokio::test]
async fn a_sweep_leaves_what_is_still_in_use() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = Fixture::empty(directory.path(), "source");
    source.import(&tangled_history(3, 1));
    // The file system's own clock, which may lag behind the machine's.
    let now = || {
        let probe = directory.path().join("probe");
        fs::write(&probe, "").expect("written");
        let time = probe.metadata().and_then(|meta| meta.modified());
        Timestamp::from(time.expect("a time"))
    };
    let git = Git::at(directory.path().join("git"));
    let from = ImportSource::Path(source.path().to_owned());
    let before = now();
    let staged = git.fetch(&from, Arc::new(|_| ())).await.expect("fetched");
    let top = fs::File::open(staged.path()).expect("a directory");
    top.set_modified(SystemTime::UNIX_EPOCH).expect("set back");
    git.sweep(before).await.expect("swept");
    assert!(staged.path().is_dir(), "it was set back just now");

    tokio::time::sleep(Duration::from_millis(50)).await;
    let before = now();
    fs::write(staged.path().join("objects/info/late"), "").expect("written");
    git.sweep(before).await.expect("swept");
    assert!(staged.path().is_dir(), "something in it is new");
    tokio::time::sleep(Duration::from_millis(50)).await;
    git.sweep(now()).await.expect("swept");
    assert!(!staged.path().exists(), "nothing in it is new");
}

#[tokio::test]
async fn a_tag_that_cannot_be_followed_hides_no_other_ref() {
    let forge = Forge::new(|git| git).await;
    let mut stream =
        "commit refs/heads/b0\nmark :1\ncommitter C <c@d> 1 +0000\ndata 1\nx\n\n".to_owned();
    for n in 1..=1100 {
        stream += &format!(
            "tag t{n}\nmark :{}\nfrom :{n}\ntagger C <c@d> 1 +0000\n",
            n + 1
        );
        stream += "data 1\nx\n";
    }
    forge.truth.import(stream.as_bytes());
    for n in (1..=1100).filter(|n| ![1, 1024, 1100].contains(n)) {
        fs::remove_file(forge.path(&format!("refs/tags/t{n}"))).expect("a loose ref");
    }
    let commit = forge.resolve("b0").await.expect("a branch");
    for (tag, follows) in [("t1", true), ("t1024", true), ("t1100", false)] {
        let target = forge.resolve(tag).await.expect("a tag");
        let end = if follows { commit } else { target };
        let name = RefName::new(format!("refs/tags/{tag}")).expect("a name");
        let found = forge.repo.find_ref(&name).await.expect("no fault");
        let found = found.expect("a ref");
        assert_eq!((found.target, found.peeled), (target, end), "{tag}");
        let all = forge.repo.refs().await.expect("refs");
        assert!(all.len() == 4 && all.contains(&found), "{tag}");
        for _ in 0..2 {
            let peeled = forge.repo.peel(target).await.expect("no fault");
            assert_eq!(peeled.map(|(id, _)| id), follows.then_some(commit), "{tag}");
            forge.repo.objects(&[target]).await.expect("remembered");
        }
    }
    assert_eq!(forge.resolve("t1100^{}").await, None);

    forge.truth.run(&["tag", "-a", "-m", "x", "broken", "b0"]);
    let target = forge.resolve("broken").await.expect("a tag");
    let id = target.to_string();
    let object = forge.path(&format!("objects/{}/{}", &id[..2], &id[2..]));
    fs::remove_file(&object).expect("a loose object");
    fs::write(&object, b"nonsense").expect("written");
    let all = forge.repo.refs().await.expect("refs");
    let broken = all.iter().find(|found| found.target == target);
    assert_eq!(
        (all.len(), broken.map(|found| found.peeled)),
        (5, Some(target))
    );
}

#[tokio::test]
async fn commits_with_huge_messages_are_refused_and_large_ones_come_few_at_once() {
    let forge = Forge::new(|git| git).await;
    let commit = |branch: &str, size: usize| {
        let message = "x".repeat(size);
        format!("commit refs/heads/{branch}\ncommitter C <c@d> 1 +0000\ndata {size}\n{message}\n")
    };
    let stream = commit("large", 3 << 20).repeat(5) + &commit("huge", 9 << 20);
    forge.truth.import(stream.as_bytes());
    let walk = |tip| Walk {
        tip,
        start: None,
        count: 50,
    };
    let tip = forge.resolve("large").await.expect("a branch");
    let page = forge.repo.walk(&walk(tip)).await.expect("a walk");
    assert_eq!(page.expect("a page").commits.len(), 2);
    let expected = forge.truth.ask(&["rev-list", "large"]);
    let found: Vec<_> = forge.history(tip, 50).await;
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected.lines().collect::<Vec<_>>());

    let tip = forge.resolve("huge").await.expect("a branch");
    let refused = forge.repo.objects(&[tip]).await;
    assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
    let refused = forge.repo.walk(&walk(tip)).await;
    assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
    assert!(forge.repo.peel(tip).await.expect("no fault").is_some());
}
