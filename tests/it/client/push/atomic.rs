//! All of a push or none of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use async_trait::async_trait;
use forge::push::{PendingPush, Verdict};
use forge::{Forge, Plugin, Result};

use super::{BOTH, Work, refs};
use crate::support::Database;
use crate::support::fixture::git_text;
use crate::support::site::{Ran, Site, WAYS};

/// Refuses what is called `forbidden`.
struct Forbid;

#[async_trait]
impl Plugin for Forbid {
    fn name(&self) -> &'static str {
        "forbid"
    }

    async fn pre_receive(&self, _: &Forge, push: &PendingPush<'_>) -> Result<Verdict> {
        let names = push.push.updates.iter().map(|update| update.name.clone());
        let refused: Vec<_> = names
            .filter(|name| name.to_string().ends_with("/forbidden"))
            .map(|name| (name, "not this one".to_owned()))
            .collect();
        if refused.is_empty() {
            return Ok(Verdict::Accept);
        }
        Ok(Verdict::RefuseRefs(refused))
    }
}

/// Expects that each ref was refused, and by the server.
fn all_refused(ran: &Ran, count: usize) {
    let refused = ran.out.matches("[remote rejected]").count();
    assert_eq!(refused, count, "{ran:?}");
}

#[tokio::test]
async fn an_atomic_push_with_one_bad_ref_changes_nothing() {
    let site = Site::with(Database::Sqlite, |builder| builder.plugin(Forbid)).await;
    for (way, version) in WAYS {
        let work = Work::new(&site, "atomic", way, version).await;
        work.commit("new").await;
        let before = refs(&site, &work.repo).await;
        for bad in [
            "HEAD:refs/heads/master/below",
            "HEAD:refs/heads/feature",
            "HEAD:refs/forge/ours",
            "HEAD:refs/replace/1111111111111111111111111111111111111111",
            "HEAD:refs/heads/forbidden",
            "HEAD:refs/alone",
        ] {
            // A master in the list would be in the way of what is below it, as the client knows.
            let refspecs = [
                "HEAD:refs/heads/one",
                bad,
                ":refs/tags/v1-again",
                "HEAD:refs/tags/t",
            ];
            let ran = work.push_with(&["--atomic"], &refspecs).await.bad();
            all_refused(&ran, refspecs.len());
            assert_eq!(refs(&site, &work.repo).await, before, "{bad}");
        }
        let good = [
            "master",
            "HEAD:refs/heads/one",
            ":refs/tags/v1-again",
            "HEAD:refs/tags/t",
        ];
        work.push_with(&["--atomic"], &good).await.good();
        assert_eq!(work.tip("refs/tags/v1-again").await, None);
        let master = work.tip("refs/heads/master").await;
        assert_eq!(master, Some(work.id("HEAD").await));
        assert_eq!(work.tip("refs/heads/one").await, master);
        assert_eq!(work.tip("refs/tags/t").await, master);
        super::is_sound(&site, &work.repo).await;
    }
    site.end().await;
}

#[tokio::test]
async fn one_bad_ref_of_a_push_keeps_no_other_from_changing() {
    let site = Site::with(Database::Sqlite, |builder| builder.plugin(Forbid)).await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "partly", way, version).await;
        work.commit("new").await;
        for (at, bad) in [
            "HEAD:refs/heads/master/below",
            "HEAD:refs/heads/feature",
            "HEAD:refs/forge/ours",
            "HEAD:refs/replace/1111111111111111111111111111111111111111",
            "HEAD:refs/heads/forbidden",
            "HEAD:refs/alone",
        ]
        .into_iter()
        .enumerate()
        {
            let good = format!("refs/heads/good-{at}");
            let ran = work.push(&[&format!("HEAD:{good}"), bad]).await.bad();
            all_refused(&ran, 1);
            assert_eq!(work.tip(&good).await, Some(work.id("HEAD").await), "{bad}");
            let name = bad.split_once(':').unwrap().1;
            assert_eq!(work.tip(name).await, None);
        }
        super::is_sound(&site, &work.repo).await;
    }
    site.end().await;
}

/// Another push wins between what the client is told and what it asks for: git runs `pre-push` there.
#[tokio::test]
async fn a_ref_that_moved_in_the_meantime_is_not_moved_again() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        for atomic in [false, true] {
            let what = format!("stale-{atomic}");
            let work = Work::new(&site, &what, way, version).await;
            work.commit("mine").await;
            let old = work.id("HEAD~1").await;
            let theirs = format!("commit-tree -p {old} -m theirs {old}^{{tree}}");
            let hook = work.client.home().join("work/.git/hooks/pre-push");
            let script = format!(
                "#!/bin/sh\nnew=$(git {theirs}) &&\ngit --git-dir='{}' fetch -q '{}' $new 2>&1 &&\n\
                 exec git --git-dir='{}' update-ref refs/heads/master $new {old}\n",
                work.dir().await.display(),
                work.client.home().join("work").display(),
                work.dir().await.display(),
            );
            fs::create_dir_all(hook.parent().unwrap()).unwrap();
            fs::write(&hook, script).unwrap();
            fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
            work.git(&["config", "uploadpack.allowAnySHA1InWant", "true"])
                .await
                .good();

            let options: &[&str] = if atomic {
                &["--atomic", "--force"]
            } else {
                &["--force"]
            };
            let ran = work
                .push_with(options, &["master", "master:refs/heads/other"])
                .await
                .bad();
            all_refused(&ran, if atomic { 2 } else { 1 });
            let log = ["log", "-1", "--format=%s", "refs/heads/master"];
            let dir = work.dir().await;
            assert_eq!(git_text(&dir, &log), "theirs");
            let other = work.tip("refs/heads/other").await;
            assert_eq!(other.is_none(), atomic, "{ran:?}");
            super::is_sound(&site, &work.repo).await;
        }
    }
    site.end().await;
}
