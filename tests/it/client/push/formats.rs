//! Repositories with SHA-256 ids: they come by import, and then nothing about them is special; but nobody whose ids are of
//! the other kind gets anything into them, or anything out of them.

use std::fs;

use forge::objects::ImportSource;
use forge::repos::Visibility;

use super::{Work, copy, copy_as, is_sound, refs, row, tip};
use crate::client::clone::refs_of;
use crate::client::hostile::wire;
use crate::support::fixture::{git, small_as};
use crate::support::site::{Site, WAYS, Way};
use crate::support::{Persona, fixture};

const FORMAT: [&str; 2] = ["rev-parse", "--show-object-format"];

#[tokio::test]
async fn repositories_with_longer_ids_are_cloned_and_fetched_from() {
    let site = Site::new().await;
    let base = site.world.dir.path();
    let init = [
        "init",
        "-q",
        "--bare",
        "--object-format=sha256",
        "-b",
        "trunk",
        "empty.git",
    ];
    git(base, &init, b"");
    let source = ImportSource::Path(base.join("empty.git"));
    site.world
        .import("empty", Visibility::Private, &source)
        .await;
    let long = copy_as("sha256", &site, "long").await;
    let before = refs_of(&site, &long).await;
    let mut clients = Vec::new();
    for (way, version) in WAYS {
        let client = site.client(Persona::Owner, version);
        let url = site.url(way, Persona::Owner, &long);
        let clone = async |options: &[&str], dir: &str| {
            let words = [&["clone", "-q"], options, &[&url, dir]].concat();
            client.git(&words).await.good();
            client.git_in(dir, &["fsck", "--strict"]).await.good();
            assert_eq!(client.git_in(dir, &FORMAT).await.good().out, "sha256\n");
        };
        clone(&["--mirror"], "mirror").await;
        assert_eq!(client.refs("mirror").await, before, "{way:?} {version}");
        clone(&[], "work").await;
        clone(&["--depth", "1"], "shallow").await;
        let deepen = ["fetch", "-q", "--unshallow"];
        client.git_in("shallow", &deepen).await.good();
        if version == 2 {
            let filter = ["--no-checkout", "--filter=blob:none"];
            clone(&filter, "partial").await;
            client.git_in("partial", &["checkout", "-q"]).await.good();
            let text = fs::read_to_string(client.home().join("partial/README.md"));
            assert_eq!(text.unwrap(), "# Hello\n\nText.\n");
            let url = site.url(way, Persona::Owner, "~alice/empty");
            client.git(&["clone", "-q", &url, "empty"]).await.good();
            assert_eq!(client.git_in("empty", &FORMAT).await.good().out, "sha256\n");
        }
        clients.push((client, way, version));
    }
    let (pusher, ..) = &clients[0];
    let new = pusher.commit("work", "new.txt", "new").await;
    let push = ["push", "-q", "origin", "HEAD:master", "HEAD:refs/tags/new"];
    pusher.git_in("work", &push).await.good();
    for (client, way, version) in &clients {
        client
            .git_in("work", &["pull", "-q", "--ff-only"])
            .await
            .good();
        assert_eq!(client.id("work", "HEAD").await, new, "{way:?} {version}");
        if *version == 2 {
            client.git_in("partial", &["pull", "-q"]).await.good();
            assert_eq!(client.id("partial", "new").await, new, "{way:?}");
        }
        client.git_in("work", &["fsck", "--strict"]).await.good();
    }
    site.end().await;
}

#[tokio::test]
async fn an_empty_one_is_pushed_to() {
    let site = Site::new().await;
    let base = site.world.dir.path();
    let init = [
        "init",
        "-q",
        "--bare",
        "--object-format=sha256",
        "-b",
        "trunk",
        "empty.git",
    ];
    git(base, &init, b"");
    for (way, version) in WAYS {
        let name = format!("empty-{way:?}-{version}").to_lowercase();
        let source = ImportSource::Path(base.join("empty.git"));
        site.world.import(&name, Visibility::Private, &source).await;
        let repo = format!("~alice/{name}");
        let work = Work::at_as("sha256", &site, way, version, Persona::Owner, &repo).await;
        work.push_with(&["--mirror"], &[]).await.good();
        work.is_mirrored().await;
        // Nothing but old objects, in a pack without any.
        work.push(&["master:refs/heads/again"]).await.good();
        let packs = work.dir().await.join("objects/pack");
        let packs = fs::read_dir(packs)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let packs = packs.filter(|path| path.extension().is_some_and(|ending| ending == "pack"));
        assert_eq!(packs.count(), 1, "{way:?} {version}");
        // As stock git leaves it: HEAD names what is there.
        let head = refs(&site, &repo).await;
        assert!(head.ends_with("\nrefs/heads/master"), "{head}");
    }
    site.end().await;
}

#[tokio::test]
async fn all_or_nothing_options_and_shallow_clients_are_as_ever() {
    let site = Site::new().await;
    for (way, version) in WAYS {
        let work = Work::new_as("sha256", &site, "rest", way, version).await;
        let before = refs(&site, &work.repo).await;
        let new = work.commit("new").await;
        let bad = ["HEAD:refs/heads/good", "HEAD:refs/heads/feature"];
        work.push_with(&["--atomic"], &bad).await.bad();
        assert_eq!(refs(&site, &work.repo).await, before);
        let good = [
            "HEAD:refs/heads/good",
            ":feature/x",
            "+HEAD:refs/tags/light",
        ];
        work.push_with(&["--atomic"], &good).await.good();
        assert_eq!(work.tip("refs/heads/good").await, Some(new.clone()));
        assert_eq!(work.tip("refs/heads/feature/x").await, None);
        assert_eq!(work.tip("refs/tags/light").await, Some(new));
        let told = work.push_with(&["-o", "debug", "-o", "k=v"], &["HEAD:refs/heads/told"]);
        told.await.good().says("push ");

        let url = site.url(way, Persona::Owner, &work.repo);
        let clone = ["clone", "-q", "--depth", "1", &url, "shallow"];
        work.client.git(&clone).await.good();
        let top = work.client.commit("shallow", "top.txt", "top").await;
        let push = ["push", "-q", "origin", "HEAD:refs/heads/top"];
        work.client.git_in("shallow", &push).await.good();
        assert_eq!(work.tip("refs/heads/top").await, Some(top));
        is_sound(&site, &work.repo).await;
    }
    site.end().await;
}

#[tokio::test]
async fn who_has_ids_of_the_other_kind_is_refused_and_changes_nothing() {
    let site = Site::new().await;
    for (theirs, ours) in [("sha1", "sha256"), ("sha256", "sha1")] {
        for (way, version) in WAYS {
            let name = format!("{ours}-{way:?}-{version}").to_lowercase();
            let repo = copy_as(ours, &site, &name).await;
            let before = refs(&site, &repo).await;
            let work = Work::at_as(theirs, &site, way, version, Persona::Owner, &repo).await;
            for refspec in ["master", "+master", ":light", "HEAD:refs/heads/new"] {
                let ran = work.push(&[refspec]).await.bad();
                ran.says("does not support this repository's hash algorithm");
            }
            let ran = work.git(&["fetch", "origin"]).await.bad();
            // The client's own words, which depend on where it finds out.
            let words = ["mismatched algorithms", "repository's object format"];
            let is_told = words.iter().any(|words| ran.err.contains(words));
            assert!(is_told, "{way:?} {version}: {}", ran.err);
            assert_eq!(refs(&site, &repo).await, before, "{way:?} {version}");
            is_sound(&site, &repo).await;
        }
    }
    site.end().await;
}

#[tokio::test]
async fn bytes_with_ids_of_the_other_kind_are_refused_too() {
    let site = Site::new().await;
    let client = site.client(Persona::Owner, 0);
    for ours in fixture::FORMATS {
        let repo = copy_as(ours, &site, &format!("bytes-{ours}")).await;
        let before = refs(&site, &repo).await;
        let dir = site.dir_of(&repo).await;
        for (theirs, digits) in [("sha1", 40), ("sha256", 64)] {
            let source = small_as(theirs, site.world.dir.path());
            let id = fixture::git_text(&source, &["rev-parse", "master"]);
            let pack = git(
                &source,
                &["pack-objects", "--revs", "--stdout", "-q"],
                b"master\n",
            );
            for format in ["", " object-format=sha1", " object-format=sha256"] {
                let zeros = "0".repeat(digits);
                let line = format!("{zeros} {id} refs/heads/new\0report-status{format}");
                let body = [wire::pkt(line).as_slice(), b"0000", &pack].concat();
                let reply = wire::post(&site, Persona::Owner, &repo, &body).await;
                let report = reply.report();
                let named = format.rsplit('=').next().filter(|name| !name.is_empty());
                let is_good = theirs == ours && named.unwrap_or("sha1") == ours;
                assert_eq!(
                    report.is_good(),
                    is_good,
                    "{ours} {theirs} {format}: {report:?}"
                );
                let stock = ["receive-pack", "--stateless-rpc", dir.to_str().unwrap()];
                if is_good {
                    assert_eq!(tip(&site, &repo, "refs/heads/new").await, Some(id.clone()));
                    git(&dir, &["update-ref", "-d", "refs/heads/new"], b"");
                } else {
                    assert_ne!(report.reasons().trim(), "");
                    // So does git.
                    let ran = client.git_with(".", &stock, &body).await;
                    assert!(!wire::Report::parse(&ran.raw).is_good(), "{ran:?}");
                }
                assert_eq!(refs(&site, &repo).await, before);
            }
        }
        is_sound(&site, &repo).await;
    }
    site.end().await;
}

#[tokio::test]
async fn a_first_push_makes_no_repository_with_longer_ids() {
    let site = Site::new().await;
    for way in [Way::Http, Way::Ssh] {
        let repo = "~alice/nothing-yet";
        let work = Work::at_as("sha256", &site, way, 2, Persona::Owner, repo).await;
        let ran = work.push(&["master"]).await.bad();
        ran.says("does not support this repository's hash algorithm");
        assert!(row(&site, repo).await.is_none());
    }
    // A copy of what has longer ids has them too.
    let long = copy_as("sha256", &site, "long").await;
    let id = row(&site, &long).await.unwrap().id;
    site.world
        .import("fork", Visibility::Private, &ImportSource::Repo(id))
        .await;
    let dir = site.dir_of("~alice/fork").await;
    assert_eq!(fixture::git_text(&dir, &FORMAT), "sha256");
    let short = copy(&site, "short").await;
    assert_eq!(
        fixture::git_text(&site.dir_of(&short).await, &FORMAT),
        "sha1"
    );
    site.end().await;
}
