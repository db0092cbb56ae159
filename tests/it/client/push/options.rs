//! Push options: any shape is read, some mean something, and to some people only.

use forge::repos::Visibility;
use forge::{Mode, Scope};

use super::{BOTH, Work, copy, name_of, row};
use crate::support::Persona;
use crate::support::site::{Site, WAYS, Way};

/// Something with the shape of a version 7 UUID.
fn has_push_id(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_hexdigit() && c != '-')
        .any(|word| {
            let lengths: Vec<_> = word.split('-').map(str::len).collect();
            lengths == [8, 4, 4, 4, 12] && word.as_bytes()[14] == b'7'
        })
}

#[tokio::test]
async fn options_of_any_shape_let_a_push_through() {
    let site = Site::new().await;
    for (way, version) in WAYS {
        let work = Work::new(&site, "shapes", way, version).await;
        let long = format!("key={}", "v".repeat(4_092));
        let many: Vec<_> = (0..64)
            .map(|at| format!("--push-option=k{at}=v{at}"))
            .collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        for (at, options) in [
            &["-o", "a", "-o", "k=v"][..],
            &["-o", "", "-o", "k="],
            &["-o", "=", "-o", "==", "-o", "=v"],
            &["-o", "k=v", "-o", "k=w", "-o", "k"],
            &["-o", "skip-ci", "-o", "submit=.build.yml,.builds/*.yml"],
            &["-o", "t\u{e4}xt=\u{1f980} \"quoted\" 'and' $(not) `run`"],
            &[
                "-o",
                "--upload-pack=touch /tmp/x",
                "-o",
                "../..",
                "-o",
                "a\tb",
            ],
            &["-o", &long],
            &many,
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("refs/heads/{at}");
            let ran = work
                .push_with(options, &[&format!("HEAD:{name}")])
                .await
                .good();
            assert!(work.tip(&name).await.is_some(), "{ran:?}");
            assert!(!has_push_id(&ran.err), "{ran:?}");
        }
        let ran = work
            .push_with(&["-o", "debug"], &["HEAD:refs/heads/told"])
            .await;
        assert!(has_push_id(&ran.clone().good().err), "{ran:?}");
    }
    site.end().await;
}

#[tokio::test]
async fn too_many_options_or_too_long_a_one_are_refused_with_a_reason() {
    let site = Site::new().await;
    let many: Vec<_> = (0..65).map(|at| format!("--push-option=k{at}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let thousand: Vec<_> = (0..1_000)
        .map(|at| format!("--push-option=k{at}={at}"))
        .collect();
    let thousand: Vec<_> = thousand.iter().map(String::as_str).collect();
    let long = format!("--push-option=key={}", "v".repeat(4_093));
    let huge = format!("--push-option=key={}", "v".repeat(60_000));
    for way in [Way::Http, Way::Ssh] {
        let work = Work::new(&site, "bounds", way, 2).await;
        work.commit("new").await;
        for options in [&many[..], &thousand, &[&long], &[&huge]] {
            let ran = work.push_with(options, &["master"]).await.bad();
            assert!(
                ran.err.contains("option") || ran.out.contains("option"),
                "{ran:?}"
            );
            assert_eq!(
                work.tip("refs/heads/master").await,
                Some(work.id("HEAD~1").await)
            );
            site.scratch_is_empty().await;
        }
        work.push(&["master"]).await.good();
    }
    site.end().await;
}

#[tokio::test]
async fn an_owner_describes_a_repository_with_options() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "described", way, version).await;
        let text = "T\u{e4}xt = <b>bold</b>; \"quoted\"";
        let description = format!("description={text}");
        let options = ["-o", &description, "-o", "visibility=unlisted"];
        let ran = work
            .push_with(&options, &["HEAD:refs/heads/one"])
            .await
            .good();
        assert!(!ran.err.contains("gnored"), "{ran:?}");
        super::until("a description", async || {
            let row = row(&site, &work.repo).await.unwrap();
            row.description.as_deref() == Some(text) && row.visibility == Visibility::Unlisted
        })
        .await;

        let options = ["-o", "visibility=Public", "-o", "description="];
        work.push_with(&options, &["HEAD:refs/heads/two"])
            .await
            .good();
        super::until("no description", async || {
            let row = row(&site, &work.repo).await.unwrap();
            row.description.unwrap_or_default().is_empty() && row.visibility == Visibility::Public
        })
        .await;

        let options = ["-o", "visibility=everybody"];
        let ran = work
            .push_with(&options, &["HEAD:refs/heads/three"])
            .await
            .good();
        assert!(ran.err.contains("visibility"), "no word about it: {ran:?}");
        let last = row(&site, &work.repo).await.unwrap();
        assert_eq!(last.visibility, Visibility::Public);
        assert!(work.tip("refs/heads/three").await.is_some());
    }
    site.end().await;
}

/// SourceHut runs these as the owner, whoever pushes.
#[tokio::test]
async fn whoever_may_write_but_not_manage_cannot_publish_a_repository_with_an_option() {
    let site = Site::new().await;
    let options = ["-o", "description=mine", "-o", "visibility=public"];
    for (way, version) in BOTH {
        let repo = copy(&site, &name_of("kept", way, version)).await;
        let owner = site.world.owner().await;
        let path = repo.parse().unwrap();
        let manage = owner.manage_repo(&path, Scope::Acls).await.unwrap();
        manage
            .set_acl(&"writer".parse().unwrap(), Mode::Write)
            .await
            .unwrap();
        let before = row(&site, &repo).await.unwrap();

        let mut clients = vec![Work::at(&site, way, version, Persona::Writer, &repo).await];
        if way == Way::Ssh {
            let key = site.make_key(&format!("deploy-{version}")).await;
            let manage = owner.manage_repo(&path, Scope::Repositories).await.unwrap();
            let public = site.public(&key);
            manage.add_deploy_key(&public, Mode::Write).await.unwrap();
            let mut work = Work::at(&site, way, version, Persona::Anon, &repo).await;
            work.client = work.client.with_key(&key);
            clients.push(work);
        }
        for (at, work) in clients.iter().enumerate() {
            let name = format!("refs/heads/by-{at}");
            let ran = work
                .push_with(&options, &[&format!("HEAD:{name}")])
                .await
                .good();
            assert!(ran.err.contains("gnored"), "{ran:?}");
            assert!(work.tip(&name).await.is_some());
        }
        let after = row(&site, &repo).await.unwrap();
        assert_eq!(after.description, before.description);
        assert_eq!(after.visibility, before.visibility);
    }
    site.end().await;
}
