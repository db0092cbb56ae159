//! Many pushes at once.

use std::sync::atomic::{AtomicBool, Ordering};

use forge::Git;
use forge::objects::GitBackend as _;
use futures::future::{join, join_all};

use super::{Work, is_sound, refs, row, tip};
use crate::support::Persona;
use crate::support::fixture::git;
use crate::support::site::{Ran, Site, Way};

const CLIENTS: usize = 12;
const REPO: &str = "~alice/open";

/// One of many.
struct One<'a> {
    work: Work<'a>,
    persona: Persona,
}

impl One<'_> {
    async fn commit(&self, text: &str) {
        let commit = ["commit", "-q", "--allow-empty", "-m", text];
        self.work.git(&commit).await.good();
    }

    async fn push(&self, way: Way, refspecs: &[&str]) -> Ran {
        let url = self.work.site.url(way, self.persona, REPO);
        let push = [&["push", "--porcelain", &url], refspecs].concat();
        self.work.git(&push).await
    }
}

async fn crowd(site: &Site) -> Vec<One<'_>> {
    let mut crowd = Vec::new();
    for at in 0..CLIENTS {
        // Not all at the same limit of a client.
        let persona = [Persona::Owner, Persona::Writer][at % 2];
        let work = Work::at(site, Way::Http, 2, persona, REPO).await;
        crowd.push(One { work, persona });
    }
    crowd
}

#[tokio::test]
async fn of_many_pushes_to_one_ref_exactly_one_wins() {
    let site = Site::new().await;
    let crowd = crowd(&site).await;
    for way in [Way::Http, Way::Ssh] {
        for round in 0..3 {
            let name = format!("refs/heads/{way:?}-{round}").to_lowercase();
            for (at, one) in crowd.iter().enumerate() {
                one.commit(&format!("{way:?} {round} {at}")).await;
            }
            let pushes = crowd
                .iter()
                .map(async |one| one.push(way, &[&format!("HEAD:{name}")]).await);
            let ran = join_all(pushes).await;
            let winners: Vec<_> = (0..CLIENTS).filter(|at| ran[*at].code == Some(0)).collect();
            assert_eq!(winners.len(), 1, "{ran:?}");
            let won = crowd[winners[0]].work.id("HEAD").await;
            assert_eq!(tip(&site, REPO, &name).await, Some(won));
            for (at, lost) in ran
                .iter()
                .enumerate()
                .filter(|(_, ran)| ran.code != Some(0))
            {
                assert!(lost.out.contains("rejected]"), "{at}: {lost:?}");
            }
        }
    }
    is_sound(&site, REPO).await;
    site.end().await;
}

/// Clones until it is done; how often.
async fn clones(site: &Site, way: Way, done: &AtomicBool) -> usize {
    let mut count = 0;
    while !done.load(Ordering::Relaxed) {
        let client = site.client(Persona::Reader, [0, 2][count % 2]);
        let url = site.url(way, Persona::Reader, REPO);
        let clone = ["clone", "-q", "--mirror", &url, "copy"];
        client.git(&clone).await.good();
        let fsck = ["fsck", "--full", "--strict", "--no-dangling"];
        client.git_in("copy", &fsck).await.good();
        count += 1;
    }
    count
}

#[tokio::test]
async fn pushes_to_distinct_refs_all_get_in_and_clones_go_on_meanwhile() {
    let site = Site::new().await;
    let crowd = crowd(&site).await;
    for way in [Way::Http, Way::Ssh] {
        let done = AtomicBool::new(false);
        let clones = clones(&site, way, &done);
        let pushes = async {
            for round in 0..2 {
                join_all(crowd.iter().enumerate().map(async |(at, one)| {
                    one.commit(&format!("{way:?} {round} {at}")).await;
                    let name = format!("HEAD:refs/heads/{way:?}/{at}");
                    one.push(
                        way,
                        &[&name, &format!("HEAD:refs/heads/{way:?}-{round}-{at}")],
                    )
                    .await
                    .good();
                }))
                .await;
            }
            done.store(true, Ordering::Relaxed);
        };
        let (clones, ()) = join(clones, pushes).await;
        assert!(clones > 0);
        for (at, one) in crowd.iter().enumerate() {
            let new = Some(one.work.id("HEAD").await);
            assert_eq!(one.work.tip(&format!("refs/heads/{way:?}/{at}")).await, new);
            assert_eq!(
                one.work.tip(&format!("refs/heads/{way:?}-1-{at}")).await,
                new
            );
            let first = one.work.tip(&format!("refs/heads/{way:?}-0-{at}")).await;
            assert!(first.is_some());
        }
    }
    is_sound(&site, REPO).await;
    site.end().await;
}

#[tokio::test]
async fn pushes_get_in_while_the_repository_is_maintained() {
    let site = Site::new().await;
    let crowd = crowd(&site).await;
    let id = row(&site, REPO).await.unwrap().id;
    let backend = Git::at(site.world.dir.path().join("data/repositories"));
    let done = AtomicBool::new(false);
    let upkeep = async {
        let mut count = 0;
        while !done.load(Ordering::Relaxed) {
            backend.maintain(id).await.unwrap();
            count += 1;
        }
        count
    };
    // More packs and more loose refs than are let be.
    let pushes = async {
        for round in 0..6 {
            join_all(crowd.iter().enumerate().map(async |(at, one)| {
                one.commit(&format!("{round} {at}")).await;
                let way = [Way::Http, Way::Ssh][at % 2];
                let new = format!("HEAD:refs/heads/{round}-{at}");
                let moved = format!("HEAD:refs/heads/one-{at}");
                one.push(way, &[&new, &moved]).await.good();
            }))
            .await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let (upkeep, ()) = join(upkeep, pushes).await;
    assert!(upkeep > 1, "{upkeep}");
    for (at, one) in crowd.iter().enumerate() {
        for (round, back) in (0..6).rev().enumerate() {
            let expected = one.work.id(&format!("HEAD~{back}")).await;
            let name = format!("refs/heads/{round}-{at}");
            assert_eq!(one.work.tip(&name).await, Some(expected), "{name}");
        }
        let last = one.work.id("HEAD").await;
        assert_eq!(
            one.work.tip(&format!("refs/heads/one-{at}")).await,
            Some(last)
        );
    }
    is_sound(&site, REPO).await;
    site.end().await;
}

/// A clone asks for what it was told of, and that may be gone by then.
#[tokio::test]
async fn clones_go_on_while_refs_are_deleted() {
    let site = Site::new().await;
    let crowd = crowd(&site).await;
    for way in [Way::Http, Way::Ssh] {
        let name = |at: usize, more: usize| format!("refs/heads/{way:?}-{more}-{at}");
        for (at, one) in crowd.iter().enumerate() {
            let made: Vec<_> = (0..3)
                .map(|more| format!("HEAD:{}", name(at, more)))
                .collect();
            let made: Vec<_> = made.iter().map(String::as_str).collect();
            one.push(Way::Http, &made).await.good();
        }
        // Some packed, some not.
        git(&site.dir_of(REPO).await, &["pack-refs", "--all"], b"");
        let done = AtomicBool::new(false);
        let deletes = async {
            for more in 0..3 {
                join_all(crowd.iter().enumerate().map(async |(at, one)| {
                    one.push(way, &[&format!(":{}", name(at, more))])
                        .await
                        .good();
                }))
                .await;
            }
            done.store(true, Ordering::Relaxed);
        };
        let (clones, ()) = join(clones(&site, way, &done), deletes).await;
        assert!(clones > 0);
        let left = refs(&site, REPO).await;
        assert!(!left.contains(&format!("{way:?}-")), "{left}");
    }
    is_sound(&site, REPO).await;
    site.end().await;
}
