//! First pushes: to what is not there yet, and to what is empty.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use async_trait::async_trait;
use chrono::TimeDelta;
use forge::push::{PendingPush, Verdict};
use forge::repos::Visibility;
use forge::{Forge, Plugin, Result};
use futures::future::join_all;

use super::{BOTH, Work, empty, name_of, refs, row, tip};
use crate::support::site::{Site, WAYS, Way};
use crate::support::{Database, Persona};

/// Refuses pushes to what is called `refused…`.
struct Guard;

#[async_trait]
impl Plugin for Guard {
    fn name(&self) -> &'static str {
        "guard"
    }

    async fn pre_receive(&self, _: &Forge, push: &PendingPush<'_>) -> Result<Verdict> {
        if push.push.repository.name.as_str().starts_with("refused") {
            return Ok(Verdict::Refuse("not here".to_owned()));
        }
        Ok(Verdict::Accept)
    }
}

#[tokio::test]
async fn a_first_push_makes_the_pushers_own_private_repository() {
    let site = Site::new().await;
    for (way, version) in WAYS {
        let repo = format!("~alice/{}", name_of("new", way, version));
        let work = Work::at(&site, way, version, Persona::Owner, &repo).await;
        work.push_with(&["--dry-run"], &["master"]).await.good();
        work.git(&["ls-remote", "origin"]).await.bad();
        assert_eq!(row(&site, &repo).await, None, "looking makes nothing");

        let ran = work.push(&["master"]).await.good();
        let made = row(&site, &repo).await.expect("it was made");
        assert_eq!(made.visibility, Visibility::Private);
        let remote: Vec<_> = ran
            .err
            .lines()
            .filter(|line| line.starts_with("remote:"))
            .collect();
        let told = remote.join("\n").to_lowercase();
        assert!(
            told.contains("private"),
            "it does not say what was made: {ran:?}"
        );
        assert_eq!(
            tip(&site, &repo, "refs/heads/master").await,
            Some(work.id("HEAD").await)
        );

        let again = work.push(&["HEAD:refs/heads/again"]).await.good();
        assert!(!again.err.to_lowercase().contains("private"), "{again:?}");
        work.push_with(&["--mirror"], &[]).await.good();
        work.is_mirrored().await;

        let repo = format!("~alice/{}", name_of("new-public", way, version));
        let work = Work::at(&site, way, version, Persona::Owner, &repo).await;
        let options = ["-o", "visibility=public", "-o", "description=new"];
        work.push_with(&options, &["master"]).await.good();
        super::until("a public one", async || {
            let made = row(&site, &repo).await.unwrap();
            made.visibility == Visibility::Public && made.description.as_deref() == Some("new")
        })
        .await;
    }
    site.end().await;
}

#[tokio::test]
async fn a_first_push_that_fails_leaves_no_repository() {
    let site = Site::with(Database::Sqlite, |builder| builder.plugin(Guard)).await;
    for (way, version) in BOTH {
        for (what, refspecs) in [
            ("failed", &["HEAD:refs/forge/x"][..]),
            ("failed", &["HEAD:refs/x"]),
            ("refused", &["master", "HEAD:refs/heads/other"]),
        ] {
            let repo = format!("~alice/{}", name_of(what, way, version));
            let work = Work::at(&site, way, version, Persona::Owner, &repo).await;
            let ran = work.push(refspecs).await.bad();
            assert!(ran.out.contains("[remote rejected]"), "{ran:?}");
            super::until("gone", async || row(&site, &repo).await.is_none()).await;
            work.git(&["ls-remote", "origin"]).await.bad();
        }
        // The name is free, and nothing of the first attempt is in what comes after it.
        let repo = format!("~alice/{}", name_of("failed", way, version));
        let work = Work::at(&site, way, version, Persona::Owner, &repo).await;
        work.push_with(&["--mirror"], &[]).await.good();
        work.is_mirrored().await;
    }
    site.end().await;
}

#[tokio::test]
async fn nobody_makes_repositories_for_others_or_with_bad_names_by_pushing() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        for (persona, repo) in [
            (Persona::Stranger, "~alice/no"),
            (Persona::Reader, "~alice/no"),
            (Persona::Writer, "~alice/no"),
            (Persona::Anon, "~alice/no"),
            (Persona::Suspended, "~suspended/no"),
            (Persona::ReadOnly, "~alice/no"),
            (Persona::ProfileOnly, "~alice/no"),
            (Persona::Forger, "~alice/no"),
            (Persona::Expired, "~alice/no"),
            (Persona::Owner, "~nobody/no"),
            (Persona::Owner, "~alice/.git"),
            (Persona::Owner, "~alice/.."),
            (Persona::Owner, "~alice/n,o"),
            (Persona::Owner, "~alice/n/o"),
            (Persona::Owner, "alice/no"),
        ] {
            let work = Work::at(&site, way, version, persona, repo).await;
            let ran = work.push(&["master"]).await.bad();
            assert!(!ran.err.is_empty(), "{persona:?} {repo}: {ran:?}");
            assert_eq!(ran.out.matches("[new branch]").count(), 0, "{ran:?}");
        }
        for repo in ["~alice/no", "~suspended/no"] {
            assert_eq!(row(&site, repo).await, None);
        }
    }
    site.end().await;
}

#[tokio::test]
async fn first_pushes_at_the_same_time_make_one_repository() {
    for database in Database::all() {
        let site = Site::with(database, |builder| builder).await;
        for (way, version) in BOTH {
            let repo = format!("~alice/{}", name_of("raced", way, version));
            let mut works = Vec::new();
            for _ in 0..4 {
                works.push(Work::at(&site, way, version, Persona::Owner, &repo).await);
            }
            let pushes = works.iter().enumerate().map(|(at, work)| async move {
                work.push(&[&format!("master:refs/heads/by-{at}")])
                    .await
                    .good();
            });
            join_all(pushes).await;
            for at in 0..4 {
                assert!(
                    tip(&site, &repo, &format!("refs/heads/by-{at}"))
                        .await
                        .is_some()
                );
            }
            super::is_sound(&site, &repo).await;
        }
        site.end().await;
    }
}

#[tokio::test]
async fn head_names_a_branch_that_is_there_after_a_first_push() {
    let site = Site::new().await;
    for (way, version) in [(Way::Http, 0), (Way::Http, 2), (Way::Ssh, 2)] {
        for (at, (refspecs, expected)) in [
            (&["HEAD:refs/heads/trunk"][..], "refs/heads/trunk"),
            (
                &["HEAD:refs/heads/a", "HEAD:refs/heads/main"],
                "refs/heads/main",
            ),
            (
                &["HEAD:refs/heads/a", "HEAD:refs/heads/master"],
                "refs/heads/master",
            ),
            // As in git's own answer, HEAD stays on what it names if that is among them.
            (
                &["HEAD:refs/heads/main", "HEAD:refs/heads/master"],
                "refs/heads/master",
            ),
            (
                &["HEAD:refs/heads/zeta", "HEAD:refs/heads/alpha"],
                "refs/heads/zeta",
            ),
            (
                &["v1:refs/tags/v1", "HEAD:refs/heads/deep/er"],
                "refs/heads/deep/er",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            for made in [true, false] {
                let name = name_of(&format!("head-{at}-{made}"), way, version);
                let repo = format!("~alice/{name}");
                if made {
                    empty(&site, &name).await;
                }
                let work = Work::at(&site, way, version, Persona::Owner, &repo).await;
                work.push(refspecs).await.good();
                super::until(&format!("{expected} in HEAD of {repo}"), async || {
                    refs(&site, &repo).await.ends_with(expected)
                })
                .await;
            }
        }
        // What has a branch in HEAD keeps it.
        let work = Work::new(&site, "head-kept", way, version).await;
        work.push(&["HEAD:refs/heads/main"]).await.good();
        assert!(refs(&site, &work.repo).await.ends_with("refs/heads/master"));
    }
    site.end().await;
}

#[tokio::test]
async fn a_push_that_changes_something_updates_the_repositorys_time() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "time", way, version).await;
        let before = row(&site, &work.repo).await.unwrap();
        site.world.clock.advance(TimeDelta::hours(1));
        work.push(&["HEAD:refs/forge/x"]).await.bad();
        work.push(&["master"]).await.good();
        let same = row(&site, &work.repo).await.unwrap();
        assert_eq!(same.updated, before.updated);
        work.push(&["HEAD:refs/heads/x"]).await.good();
        let now = site.world.forge().now();
        super::until("updated", async || {
            row(&site, &work.repo).await.unwrap().updated == now
        })
        .await;
        assert_eq!(
            row(&site, &work.repo).await.unwrap().created,
            before.created
        );
    }
    site.end().await;
}

/// A client that changes its mind when it has seen what is there has asked for nothing.
#[tokio::test]
async fn a_client_that_gives_up_before_it_asks_makes_nothing() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        let repo = format!("~alice/{}", name_of("given-up", way, version));
        let work = Work::at(&site, way, version, Persona::Owner, &repo).await;
        let hook = work.client.home().join("work/.git/hooks/pre-push");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        work.push(&["master"]).await.bad();
        assert_eq!(row(&site, &repo).await, None);
    }
    site.end().await;
}
