//! Who pushes, and where to: people without the right to, keys of a repository, names that have moved.

use forge::access::Mode;
use forge::repos::RepoChange;
use forge::{RepoName, Scope};

use super::{BOTH, Work, copy, name_of, refs, row};
use crate::support::Persona;
use crate::support::site::{Site, Way};

/// What somebody without the right to push is told.
const REFUSED: &[&str] = &[
    "not found",
    "denied",
    "may not",
    "not allowed",
    "Authentication failed",
    "could not read",
    "ermission",
    "orbidden",
    "only",
    "suspended",
    "lacks",
];

#[tokio::test]
async fn only_owner_and_writer_push() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        for repo in ["~alice/open", "~alice/hidden", "~alice/secret"] {
            let before = refs(&site, repo).await;
            for persona in [
                Persona::Anon,
                Persona::Forger,
                Persona::Expired,
                Persona::Suspended,
                Persona::Stranger,
                Persona::Reader,
                Persona::ProfileOnly,
                Persona::ReadOnly,
            ] {
                let has_key = matches!(persona, Persona::Stranger | Persona::Reader);
                if way == Way::Ssh && !has_key && persona != Persona::Anon {
                    continue;
                }
                let work = Work::at(&site, way, version, persona, repo).await;
                let ran = work.push(&["HEAD:refs/heads/no"]).await.bad();
                let told = REFUSED.iter().any(|text| ran.err.contains(text));
                assert!(told, "{persona:?} {repo} {ran:?}");
                if persona == Persona::Stranger && repo == "~alice/secret" {
                    assert!(
                        ran.err.contains("not found"),
                        "it gives itself away: {ran:?}"
                    );
                }
                assert_eq!(refs(&site, repo).await, before, "{persona:?}");
            }
            for persona in [Persona::Writer, Persona::Owner] {
                let work = Work::at(&site, way, version, persona, repo).await;
                let name = format!(
                    "refs/heads/{}",
                    name_of(&format!("{persona:?}"), way, version)
                );
                work.push(&[&format!("HEAD:{name}")]).await.good();
                assert!(work.tip(&name).await.is_some());
                work.push(&[&format!(":{name}")]).await.good();
            }
            assert_eq!(refs(&site, repo).await, before);
        }
    }
    site.end().await;
}

#[tokio::test]
async fn a_deploy_key_pushes_to_its_repository_alone() {
    let site = Site::new().await;
    for version in [0, 2] {
        let repo = copy(&site, &name_of("keyed", Way::Ssh, version)).await;
        let owner = site.world.owner().await;
        let path = repo.parse().unwrap();
        let manage = owner.manage_repo(&path, Scope::Acls).await.unwrap();
        for mode in [Mode::Write, Mode::Read] {
            let key = site.make_key(&format!("{mode:?}-{version}")).await;
            manage
                .add_deploy_key(&site.public(&key), mode)
                .await
                .unwrap();
            for there in [&repo, "~alice/open", "~alice/made-by-a-key"] {
                let mut work = Work::at(&site, Way::Ssh, version, Persona::Anon, there).await;
                work.client = work.client.with_key(&key);
                let name = format!("HEAD:refs/heads/{mode:?}");
                let ran = work.push(&[&name]).await;
                if mode == Mode::Write && *there == *repo {
                    ran.good();
                } else {
                    ran.bad();
                }
            }
        }
        assert!(super::tip(&site, &repo, "refs/heads/Write").await.is_some());
        assert!(super::tip(&site, &repo, "refs/heads/Read").await.is_none());
        assert!(
            super::tip(&site, "~alice/open", "refs/heads/Write")
                .await
                .is_none()
        );
        assert_eq!(row(&site, "~alice/made-by-a-key").await, None);
    }
    site.end().await;
}

#[tokio::test]
async fn a_push_to_an_old_name_is_led_to_the_new_one_or_told_of_it() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "moving", way, version).await;
        let new = format!("{}-on", name_of("moved", way, version));
        let owner = site.world.owner().await;
        let path = work.repo.parse().unwrap();
        let manage = owner.manage_repo(&path, Scope::Repositories).await.unwrap();
        let change = RepoChange {
            name: Some(new.parse::<RepoName>().unwrap()),
            ..RepoChange::default()
        };
        manage.update(&change).await.unwrap();
        let there = format!("~alice/{new}");
        let before = refs(&site, &there).await;

        let commit = work.commit("new").await;
        let ran = work.push(&["master"]).await;
        let tip = super::tip(&site, &there, "refs/heads/master").await;
        match way {
            Way::Http => {
                ran.good();
                assert_eq!(tip, Some(commit.clone()));
            }
            Way::Ssh => {
                assert!(ran.err.contains(&there), "it does not say where: {ran:?}");
                ran.bad();
                assert_eq!(refs(&site, &there).await, before);
            }
        }
        assert_eq!(
            row(&site, &work.repo).await,
            None,
            "no repository is made there"
        );

        // Who may not see it is not told of its name.
        let stranger = Work::at(&site, way, version, Persona::Stranger, &work.repo).await;
        let ran = stranger.push(&["master"]).await.bad();
        assert!(!ran.err.contains(&new), "{ran:?}");

        let url = site.url(way, Persona::Owner, &there);
        work.git(&["push", "-q", &url, "+master"]).await.good();
        let tip = super::tip(&site, &there, "refs/heads/master").await;
        assert_eq!(tip, Some(commit));
    }
    site.end().await;
}
