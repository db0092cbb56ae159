//! Clones of every kind, over each way and each version of the protocol: the rows U01 to U04 and U11 to U15 of the sheet.

mod begun;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use forge::Scope;
use forge::objects::ImportSource;
use forge::repos::{NewRepo, RepoChange, Visibility};

pub(super) use self::begun::{Begun, all_gone, at_work, big, line};
use self::begun::{GONE, descriptors};
use super::http::rename;
use crate::support::site::{Client, Site, WAYS, Way, run};
use crate::support::{Persona, alice, fixture};

/// Whether a pack holds everything that it should.
fn is_whole(dir: &Path, pack: &[u8]) {
    let home = tempfile::tempdir_in(dir).unwrap();
    fixture::git(home.path(), &["init", "-q", "--bare"], b"");
    fixture::git(home.path(), &["index-pack", "--strict", "--stdin"], pack);
}

/// The refs of a repository on the server, `id name` on each line, without those that are nobody's business.
pub(super) async fn refs_of(site: &Site, repo: &str) -> String {
    let format = "--format=%(objectname) %(refname)";
    let dir = site.dir_of(repo).await;
    let all = fixture::git_text(&dir, &["for-each-ref", format]);
    let lines = all.lines().filter(|line| !line.contains(" refs/forge/"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Those of some refs that are below a prefix, with the prefix replaced.
fn below(refs: &str, prefix: &str, with: &str) -> Vec<String> {
    let lines = refs.lines().filter_map(|line| line.split_once(' '));
    let names = lines.filter_map(|(id, name)| {
        let rest = name.strip_prefix(prefix)?;
        (rest != "HEAD").then(|| format!("{id} {with}{rest}"))
    });
    names.collect()
}

async fn create(site: &Site, name: &str) {
    let new = NewRepo {
        name: name.parse().unwrap(),
        description: None,
        visibility: Visibility::Public,
    };
    let owner = site.world.owner().await;
    let made = owner.account().unwrap().create_repo(&new).await;
    drop(made.unwrap());
}

/// Runs a test's body with every way and version, as a reader in a home of their own.
async fn each(site: &Site, body: impl AsyncFn(Client, Way, u8)) {
    for (way, version) in WAYS {
        body(site.client(Persona::Reader, version), way, version).await;
    }
}

#[tokio::test]
async fn an_empty_repository_is_cloned_with_the_name_of_its_head() {
    let site = Site::new().await;
    create(&site, "empty").await;
    let dir = site.dir_of("~alice/empty").await;
    fixture::git(&dir, &["symbolic-ref", "HEAD", "refs/heads/trunk"], b"");
    each(&site, async |client, way, version| {
        let url = site.url(way, Persona::Reader, "~alice/empty");
        let ran = client.git(&["clone", &url, "work"]).await.good();
        ran.says("You appear to have cloned an empty repository.");
        let head = client
            .git_in("work", &["symbolic-ref", "HEAD"])
            .await
            .good()
            .out;
        // Only version 2 can tell of a branch that has no commits.
        let expected = if version == 2 {
            "refs/heads/trunk\n"
        } else {
            "refs/heads/master\n"
        };
        assert_eq!(head, expected, "{way:?} {version}");
        client.git_in("work", &["fetch"]).await.good();
        assert_eq!(client.git(&["ls-remote", &url]).await.good().out, "");
    })
    .await;
    site.end().await;
}

#[tokio::test]
async fn every_kind_of_clone_has_the_refs_it_should() {
    let site = Site::new().await;
    // What is the forge's own business is nobody else's.
    let dir = site.dir_of("~alice/secret").await;
    fixture::git(&dir, &["update-ref", "refs/forge/x", "HEAD"], b"");
    let refs = refs_of(&site, "~alice/secret").await;
    assert_eq!(refs.lines().count(), 6, "{refs}");
    each(&site, async |client, way, version| {
        let how = format!("{way:?} {version}");
        let url = site.url(way, Persona::Reader, "~alice/secret");
        let clone = async |dir: &str, options: &[&str]| {
            let arguments = [&["clone", "-q"], options, &[&url, dir]].concat();
            client.git(&arguments).await.good();
            client
                .git_in(dir, &["fsck", "--strict", "--no-dangling"])
                .await
                .good();
            client.refs(dir).await
        };
        assert_eq!(clone("mirror", &["--mirror"]).await, refs, "{how}");
        let remote = |refs: &str| below(refs, "refs/remotes/origin/", "refs/heads/");
        let tags = |refs: &str| below(refs, "refs/tags/", "refs/tags/");
        let heads = |refs: &str| below(refs, "refs/heads/", "refs/heads/");

        let full = clone("full", &[]).await;
        assert_eq!(remote(&full), heads(&refs), "{how}");
        assert_eq!(tags(&full), tags(&refs), "{how}");
        assert_eq!(
            fs::read(client.home().join("full/README.md")).unwrap(),
            b"# Hello\n\nText.\n"
        );
        let head = client
            .git_in("full", &["symbolic-ref", "HEAD"])
            .await
            .good()
            .out;
        assert_eq!(head, "refs/heads/master\n", "{how}");

        let bare = clone("bare", &["--bare"]).await;
        assert_eq!(heads(&bare), heads(&refs), "{how}");
        assert_eq!(tags(&bare), tags(&refs), "{how}");

        let options = ["--single-branch", "-b", "feature/x", "--no-tags"];
        let single = clone("single", &options).await;
        let feature = heads(&refs)
            .into_iter()
            .filter(|line| line.ends_with("feature/x"));
        assert_eq!(remote(&single), feature.collect::<Vec<_>>(), "{how}");
        assert_eq!(tags(&single), Vec::<String>::new(), "{how}");

        clone("tag", &["-b", "v1-again", "--depth", "1"]).await;
        let id = client.id("tag", "HEAD").await;
        assert_eq!(id, client.id("full", "v1-again^{commit}").await, "{how}");
    })
    .await;
    site.end().await;
}

#[tokio::test]
async fn histories_are_cut_short_where_a_client_wants() {
    let site = Site::new().await;
    let line = line(&site).await;
    let tag = |name: &str| fixture::git_text(&line, &["rev-parse", name]);
    each(&site, async |client, way, version| {
        let how = format!("{way:?} {version}");
        let url = site.url(way, Persona::Reader, "~alice/line");
        let count = async |dir: &str| {
            let count = client.git_in(dir, &["rev-list", "--count", "HEAD"]).await;
            client.git_in(dir, &["fsck", "--strict"]).await.good();
            count.good().out.trim().parse::<u32>().unwrap()
        };
        let clone = async |dir: &str, options: &[&str]| {
            let arguments = [&["clone", "-q"], options, &[&url, dir]].concat();
            client.git(&arguments).await.good();
            count(dir).await
        };
        assert_eq!(clone("a", &["--depth", "1"]).await, 1, "{how}");
        let shallow = fs::read_to_string(client.home().join("a/.git/shallow")).unwrap();
        assert_eq!(shallow.trim(), tag("t9"), "{how}");
        client
            .git_in("a", &["fetch", "-q", "--deepen", "2"])
            .await
            .good();
        assert_eq!(count("a").await, 3, "{how}");
        client
            .git_in("a", &["fetch", "-q", "--depth", "5"])
            .await
            .good();
        assert_eq!(count("a").await, 5, "{how}");
        client
            .git_in("a", &["fetch", "-q", "--unshallow"])
            .await
            .good();
        assert_eq!(count("a").await, 10, "{how}");
        assert!(!client.home().join("a/.git/shallow").exists(), "{how}");

        // From the middle of the fifth day on.
        let since = "--shallow-since=1500360000";
        assert_eq!(clone("b", &[since]).await, 5, "{how}");
        assert_eq!(clone("c", &["--shallow-exclude=t3"]).await, 6, "{how}");
        let exclude = ["clone", "-q", "--shallow-exclude=nothing", &url, "d"];
        assert_eq!(client.git(&exclude).await.code, Some(128), "{how}");
        // Nothing is left that the cut would not allow.
        let since = "--shallow-since=2000000000";
        client.git(&["clone", "-q", since, &url, "e"]).await.bad();
    })
    .await;
    all_gone(&site).await;
    site.end().await;
}

#[tokio::test]
async fn objects_are_left_out_where_the_forge_allows_it() {
    let site = Site::new().await;
    line(&site).await;
    each(&site, async |client, way, version| {
        let url = site.url(way, Persona::Reader, "~alice/line");
        let allowed = [
            ("blob:none", "10 commit,20 tree"),
            ("blob:limit=10", "10 commit,20 tree"),
            ("blob:limit=1k", "10 blob,10 commit,20 tree"),
            ("tree:0", "10 commit"),
            ("tree:1", "10 commit,10 tree"),
            ("object:type=commit", "10 commit"),
            ("object:type=tree", "10 commit,20 tree"),
        ];
        // What a version does not change is tried with one of them.
        let allowed = &allowed[..if version == 2 { allowed.len() } else { 1 }];
        for (i, (filter, kinds)) in allowed.iter().enumerate() {
            let how = format!("{way:?} {version} {filter}");
            let dir = format!("allowed{i}");
            let option = format!("--filter={filter}");
            let clone = ["clone", "-q", "--bare", &option, &url, &dir];
            assert_eq!(client.git(&clone).await.good().err, "", "{how}");
            let format = "--batch-check=%(objecttype)";
            let offline = client.command(&dir, &["cat-file", "--batch-all-objects", format]);
            let all = run(offline, b"").await.good().out;
            let mut lines: Vec<_> = all.lines().collect();
            lines.sort_unstable();
            let mut told = Vec::new();
            for kind in ["blob", "commit", "tree"] {
                let count = lines.iter().filter(|line| **line == kind).count();
                if count > 0 {
                    told.push(format!("{count} {kind}"));
                }
            }
            assert_eq!(told.join(","), *kinds, "{how}");
        }
        let refused = [
            ("tree:2", "tree"),
            ("combine:blob:none+tree:0", "combine"),
            ("sparse:oid=master:dir", "sparse:oid"),
        ];
        for (filter, name) in refused {
            let option = format!("--filter={filter}");
            let clone = ["clone", "-q", "--bare", &option, &url, "refused"];
            let ran = client.git(&clone).await;
            // In the older versions, git's own upload-pack leaves while the client still writes, and some clients end by
            // SIGPIPE, with git's own server no less.
            let ran = if version == 2 {
                ran.bad()
            } else {
                ran.cut_short()
            };
            // Git itself, or the forge, names what it does not allow.
            let tells = ran.err.contains("filter") && ran.err.contains(name);
            assert!(tells, "{way:?} {version} {filter}: {}", ran.err);
        }
        if version == 2 {
            // What was left out is there when it is needed.
            for filter in ["blob:none", "tree:0", "object:type=commit"] {
                let option = format!("--filter={filter}");
                let dir = filter.replace(':', "-");
                client
                    .git(&["clone", "-q", &option, &url, &dir])
                    .await
                    .good();
                let text = fs::read_to_string(client.home().join(&dir).join("dir/f9"));
                assert_eq!(text.unwrap(), "9".repeat(30), "{filter}");
                client.git_in(&dir, &["log", "-p"]).await.good();
                client.git_in(&dir, &["checkout", "-q", "t2"]).await.good();
                assert!(!client.home().join(&dir).join("dir/f3").exists());
            }
        }
    })
    .await;
    site.end().await;
}

#[tokio::test]
async fn clients_that_go_away_leave_nothing_behind() {
    let site = Site::new().await;
    let tip = big(&site).await;
    all_gone(&site).await;
    let before = descriptors();
    for way in [Way::Http, Way::Ssh] {
        // Somebody stops reading. The pack waits for them, and so does git.
        let begun = async || Begun::new(&site, way, Persona::Reader, "~alice/big", &tip).await;
        let begun_first = begun()
            .await
            .unwrap_or_else(|error| panic!("{way:?}: {error}"));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_ne!(at_work(&site), Vec::<String>::new(), "{way:?}");
        begun_first.dies().await;
        all_gone(&site).await;
        // Many of them.
        for _ in 0..if way == Way::Http { 40 } else { 6 } {
            begun()
                .await
                .unwrap_or_else(|error| panic!("{way:?}: {error}"))
                .dies()
                .await;
        }
        all_gone(&site).await;
        // Clients of every version, killed in the middle.
        for version in [0, 2] {
            let client = site.client(Persona::Reader, version);
            let url = site.url(way, Persona::Reader, "~alice/big");
            let mut git = client
                .command(".", &["clone", "-q", &url, "work"])
                .spawn()
                .unwrap();
            let waiting = Instant::now();
            while at_work(&site).is_empty() && waiting.elapsed() < GONE {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            git.kill().await.unwrap();
            all_gone(&site).await;
        }
    }
    let begun = Instant::now();
    while descriptors() > before + 24 {
        let patience = begun.elapsed() < GONE;
        assert!(
            patience,
            "{before} descriptors have become {}",
            descriptors()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    site.end().await;
}

#[tokio::test]
async fn a_clone_outlives_what_happens_to_its_repository() {
    let site = Site::new().await;
    let tip = big(&site).await;
    let dir = site.world.dir.path();
    let change = async |name: &str, change: RepoChange| {
        let owner = site.world.owner().await;
        let repo = owner.manage_repo(&alice(name), Scope::Repositories).await;
        repo.unwrap().update(&change).await.unwrap();
    };
    let begin = async |name: &str| {
        let mut all = Vec::new();
        for way in [Way::Http, Way::Ssh] {
            let begun = Begun::new(&site, way, Persona::Stranger, name, &tip).await;
            all.push(begun.unwrap_or_else(|error| panic!("{way:?}: {error}")));
        }
        all
    };
    let refused = async |name: &str| {
        for way in [Way::Http, Way::Ssh] {
            let again = Begun::new(&site, way, Persona::Stranger, name, &tip).await;
            let Err(said) = again else {
                panic!("{way:?} {name}");
            };
            assert!(said.contains("not found"), "{way:?} {name}: {said}");
        }
    };
    let begun = begin("~alice/big").await;
    rename(&site, "big", "great").await;
    for begun in begun {
        is_whole(dir, &begun.rest().await.unwrap());
    }

    let begun = begin("~alice/great").await;
    let private = RepoChange {
        visibility: Some(Visibility::Private),
        ..RepoChange::default()
    };
    change("great", private).await;
    refused("~alice/great").await;
    for begun in begun {
        is_whole(dir, &begun.rest().await.unwrap());
    }

    let public = RepoChange {
        visibility: Some(Visibility::Public),
        ..RepoChange::default()
    };
    change("great", public).await;
    let begun = begin("~alice/great").await;
    let owner = site.world.owner().await;
    let repo = owner
        .manage_repo(&alice("great"), Scope::Repositories)
        .await;
    repo.unwrap().delete().await.unwrap();
    refused("~alice/great").await;
    for begun in begun {
        // All of it, or an end that nobody takes for one.
        if let Ok(pack) = begun.rest().await {
            is_whole(dir, &pack);
        }
    }
    all_gone(&site).await;
    site.end().await;
}

#[tokio::test]
async fn clones_are_whole_while_the_repository_is_packed_anew() {
    let site = Site::new().await;
    line(&site).await;
    let dir = site.dir_of("~alice/line").await;
    // Loose objects and many packs, so that there is something to do.
    let repacking = tokio::task::spawn_blocking({
        let dir = dir.clone();
        move || {
            for i in 0..12 {
                let tip = fixture::git_text(&dir, &["rev-parse", "master"]);
                let tree = format!("{tip}^{{tree}}");
                let message = format!("{i}");
                let identity = ["-c", "user.name=A", "-c", "user.email=a@b.c"];
                let commit = ["commit-tree", "-p", &tip, "-m", &message, &tree];
                let id = fixture::git_text(&dir, &[&identity[..], &commit].concat());
                fixture::git(&dir, &["update-ref", "refs/heads/master", &id], b"");
                let how = if i % 2 == 0 { "-adfq" } else { "-aq" };
                fixture::git(&dir, &["repack", how], b"");
                fixture::git(&dir, &["pack-refs", "--all"], b"");
            }
        }
    });
    let client = site.client(Persona::Reader, 2);
    let mut clones = 0;
    while !repacking.is_finished() || clones < 4 {
        let way = if clones % 2 == 0 { Way::Http } else { Way::Ssh };
        let url = site.url(way, Persona::Reader, "~alice/line");
        let work = format!("work{clones}");
        client
            .git(&["clone", "-q", "--mirror", &url, &work])
            .await
            .good();
        client.git_in(&work, &["fsck", "--strict"]).await.good();
        clones += 1;
    }
    repacking.await.unwrap();
    site.end().await;
}

#[tokio::test]
async fn submodules_are_found_beside_their_repository() {
    let site = Site::new().await;
    let sub = line(&site).await;
    let tip = fixture::git_text(&sub, &["rev-parse", "t7"]);
    let modules = "[submodule \"sub\"]\n\tpath = sub\n\turl = ../line\n";
    let stream = format!(
        "commit refs/heads/master\ncommitter A <a@b.c> 1600000000 +0000\ndata 1\n1\n\
         M 100644 inline .gitmodules\ndata {}\n{modules}\nM 160000 {tip} sub\n\n",
        modules.len()
    );
    let path = fixture::import(site.world.dir.path(), "super.git", stream.as_bytes());
    let source = ImportSource::Path(path);
    site.world
        .import("super", Visibility::Public, &source)
        .await;
    each(&site, async |client, way, version| {
        let url = site.url(way, Persona::Reader, "~alice/super");
        for (dir, url) in [
            ("a", url.clone()),
            ("b", format!("{url}.git")),
            ("c", url + "/"),
        ] {
            let clone = ["clone", "-q", "--recurse-submodules", &url, dir];
            client.git(&clone).await.good();
            let id = client.id(&format!("{dir}/sub"), "HEAD").await;
            assert_eq!(id, tip, "{way:?} {version} {dir}");
        }
    })
    .await;
    site.end().await;
}
