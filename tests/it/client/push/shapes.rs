//! What a push may look like below its refs: packs of every shape, histories with holes, large ones, silent ones.

use std::fs;

use super::{BOTH, Work, empty, is_sound, name_of, refs, tip};
use crate::support::fixture::{git, git_text};
use crate::support::site::{Site, Way};
use crate::support::{Persona, fixture};

#[tokio::test]
async fn a_new_name_for_what_is_there_needs_no_objects() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "names", way, version).await;
        work.push(&[
            "master:refs/heads/copy",
            "light:refs/heads/old",
            "v1:refs/tags/renamed",
            "master:refs/changes/1/head",
            "master:refs/heads/-x",
            "master:refs/heads/\u{fc}n\u{ef}/\u{1f980}",
            "master:refs/heads/Master",
        ])
        .await
        .good();
        let master = work.tip("refs/heads/master").await;
        assert_eq!(work.tip("refs/heads/copy").await, master);
        assert_eq!(work.tip("refs/changes/1/head").await, master);
        assert_eq!(work.tip("refs/heads/-x").await, master);
        assert_eq!(work.tip("refs/heads/Master").await, master);
        let all = refs(&site, &work.repo).await;
        assert!(all.contains("refs/heads/\u{fc}n\u{ef}/\u{1f980}"), "{all}");
        assert_eq!(
            work.tip("refs/tags/renamed").await,
            work.tip("refs/tags/v1").await
        );
        is_sound(&site, &work.repo).await;
    }
    site.end().await;
}

#[tokio::test]
async fn packs_with_deltas_against_what_the_server_has_are_completed() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "thin", way, version).await;
        let mut text: String = (0..2_000)
            .map(|at| format!("line {at} {}\n", at * 7919))
            .collect();
        work.commit(&text).await;
        work.push(&["master"]).await.good();
        for (at, options) in [&["--thin"][..], &["--no-thin"]].into_iter().enumerate() {
            text = text.replacen("line 1", &format!("other {at}"), 1);
            work.commit(&text).await;
            work.push_with(options, &["master"]).await.good();
            text += "one more\n";
            let new = work.commit(&text).await;
            work.git(&["config", "pack.depth", "50"]).await.good();
            work.push_with(options, &["master"]).await.good();
            assert_eq!(work.tip("refs/heads/master").await, Some(new));
        }
        is_sound(&site, &work.repo).await;
    }
    site.end().await;
}

#[tokio::test]
async fn pushes_larger_than_the_client_keeps_in_memory_go_through() {
    let site = Site::new().await;
    for (way, version) in [(Way::Http, 0), (Way::Http, 2), (Way::Ssh, 2)] {
        let work = Work::new(&site, "large", way, version).await;
        for at in 0..3 {
            let path = work.client.home().join(format!("work/large-{at}"));
            fs::write(path, noise(1_600_000, at)).unwrap();
        }
        work.git(&["add", "."]).await.good();
        work.git(&["commit", "-q", "-m", "large"]).await.good();
        let traced = work.client.command("work", &["push", "origin", "master"]);
        let traced = {
            let mut traced = traced;
            traced
                .env("GIT_TRACE_CURL", "1")
                .env("GIT_TRACE_CURL_NO_DATA", "1");
            crate::support::site::run(traced, b"").await.good()
        };
        if way == Way::Http {
            let trace = traced.err.to_lowercase();
            assert!(trace.contains("content-length: 4"), "no probe");
            assert!(trace.contains("transfer-encoding: chunked"), "not chunked");
        }
        assert_eq!(
            work.tip("refs/heads/master").await,
            Some(work.id("HEAD").await)
        );
        is_sound(&site, &work.repo).await;

        // A first push of that size, to what is not there yet.
        let repo = format!("~alice/{}", name_of("large-new", way, version));
        let url = site.url(way, Persona::Owner, &repo);
        work.git(&["push", "-q", &url, "master"]).await.good();
        let there = tip(&site, &repo, "refs/heads/master").await;
        assert_eq!(there, Some(work.id("HEAD").await));
        is_sound(&site, &repo).await;
    }
    site.end().await;
}

/// Bytes that do not compress.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

#[tokio::test]
async fn a_shallow_clone_pushes_into_a_full_repository_and_not_into_an_empty_one() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "shallow", way, version).await;
        let source = fixture::small(site.world.dir.path());
        let source = format!("file://{}", source.display());
        work.client
            .git(&["clone", "-q", "--depth=1", &source, "shallow"])
            .await
            .good();
        let new = work
            .client
            .commit("shallow", "new.txt", "upon the edge\n")
            .await;
        let url = site.url(way, Persona::Owner, &work.repo);
        work.client
            .git_in("shallow", &["push", &url, "master"])
            .await
            .good();
        assert_eq!(work.tip("refs/heads/master").await, Some(new));
        assert!(!work.dir().await.join("shallow").exists());
        is_sound(&site, &work.repo).await;

        let nothing = empty(&site, &name_of("shallow-empty", way, version)).await;
        let url = site.url(way, Persona::Owner, &nothing);
        let push = ["push", "--porcelain", &url, "master"];
        let ran = work.client.git_in("shallow", &push).await.bad();
        assert!(ran.out.contains("shallow update not allowed"), "{ran:?}");
        assert_eq!(tip(&site, &nothing, "refs/heads/master").await, None);
        assert!(!site.dir_of(&nothing).await.join("shallow").exists());
    }
    site.end().await;
}

#[tokio::test]
async fn a_partial_clone_pushes_what_it_has_made() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        for filter in ["blob:none", "tree:0"] {
            let what = filter.replace(':', "-");
            let work = Work::new(&site, &what, way, version).await;
            let bare = work.client.home().join("promisor");
            let source = fixture::small(site.world.dir.path());
            git(
                work.client.home(),
                &[
                    "clone",
                    "-q",
                    "--bare",
                    source.to_str().unwrap(),
                    "promisor",
                ],
                b"",
            );
            git(&bare, &["config", "uploadpack.allowFilter", "true"], b"");
            git(
                &bare,
                &["config", "uploadpack.allowAnySHA1InWant", "true"],
                b"",
            );
            let bare = format!("file://{}", bare.display());
            let clone = ["clone", "-q", "--filter", filter, &bare, "partial"];
            work.client.git(&clone).await.good();
            let new = work.client.commit("partial", "src/extra", "other\n").await;
            let url = site.url(way, Persona::Owner, &work.repo);
            work.client
                .git_in("partial", &["push", &url, "master"])
                .await
                .good();
            assert_eq!(work.tip("refs/heads/master").await, Some(new));
            is_sound(&site, &work.repo).await;
        }
    }
    site.end().await;
}

#[tokio::test]
async fn a_quiet_push_says_nothing() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "quiet", way, version).await;
        work.commit("new").await;
        let ran = work.git(&["push", "-q", "origin", "master"]).await.good();
        assert_eq!((&*ran.out, &*ran.err), ("", ""));
        let ran = work
            .git(&["push", "--progress", "origin", "master"])
            .await
            .good();
        assert!(ran.err.contains("up-to-date"), "{ran:?}");
        let ran = work
            .git(&["push", "-n", "origin", "master:dry"])
            .await
            .good();
        assert!(ran.err.contains("[new branch]"), "{ran:?}");
        assert_eq!(work.tip("refs/heads/dry").await, None);
    }
    site.end().await;
}

/// What a symbolic ref leads to is not what was pushed to.
#[tokio::test]
async fn a_push_to_a_symbolic_ref_leaves_its_target_alone() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "symbolic", way, version).await;
        let dir = work.dir().await;
        let alias = ["symbolic-ref", "refs/heads/alias", "refs/heads/master"];
        git_text(&dir, &alias);
        git_text(
            &dir,
            &["symbolic-ref", "refs/heads/outside", "refs/heads/none"],
        );
        let old = work.id("master").await;
        let new = work.commit("new").await;
        for name in ["refs/heads/alias", "refs/heads/outside"] {
            let ran = work.push(&[&format!("+HEAD:{name}")]).await;
            let there = work.tip(name).await;
            if ran.code == Some(0) {
                assert_eq!(there.as_deref(), Some(&*new), "{ran:?}");
            } else {
                assert_ne!(there.as_deref(), Some(&*new), "{ran:?}");
            }
            assert_eq!(work.tip("refs/heads/master").await.as_deref(), Some(&*old));
            assert_eq!(work.tip("refs/heads/none").await, None);
        }
        is_sound(&site, &work.repo).await;
    }
    site.end().await;
}

#[tokio::test]
async fn the_log_of_a_ref_names_who_pushed() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "logged", way, version).await;
        let dir = work.dir().await;
        git_text(&dir, &["config", "core.logAllRefUpdates", "always"]);
        work.commit("new").await;
        work.push(&["master"]).await.good();
        let log = ["reflog", "show", "--format=%gn %ge", "refs/heads/master"];
        let log = git_text(&dir, &log);
        assert!(
            log.starts_with("alice") || log.starts_with("~alice"),
            "{log:?}"
        );
    }
    site.end().await;
}
