//! Many pushes at once.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::{join, join_all};

use super::{Work, is_sound, tip};
use crate::support::Persona;
use crate::support::site::{Site, Way};

const CLIENTS: usize = 12;

async fn crowd<'a>(site: &'a Site, way: Way, repo: &str) -> Vec<Work<'a>> {
    let mut crowd = Vec::new();
    for at in 0..CLIENTS {
        // Not all at the same limit of a client.
        let persona = [Persona::Owner, Persona::Writer][at % 2];
        crowd.push(Work::at(site, way, 2, persona, repo).await);
    }
    crowd
}

#[tokio::test]
async fn of_many_pushes_to_one_ref_exactly_one_wins() {
    let site = Site::new().await;
    for way in [Way::Http, Way::Ssh] {
        let crowd = crowd(&site, way, "~alice/open").await;
        for round in 0..3 {
            let name = format!("refs/heads/{way:?}-{round}").to_lowercase();
            for (at, work) in crowd.iter().enumerate() {
                work.commit(&format!("{way:?} {round} {at}")).await;
            }
            let pushes = crowd
                .iter()
                .map(async |work| work.push(&[&format!("HEAD:{name}")]).await);
            let ran = join_all(pushes).await;
            let winners: Vec<_> = (0..CLIENTS).filter(|at| ran[*at].code == Some(0)).collect();
            assert_eq!(winners.len(), 1, "{ran:?}");
            let won = crowd[winners[0]].id("HEAD").await;
            assert_eq!(tip(&site, "~alice/open", &name).await, Some(won));
            for (at, lost) in ran
                .iter()
                .enumerate()
                .filter(|(_, ran)| ran.code != Some(0))
            {
                assert!(lost.out.contains("rejected]"), "{at}: {lost:?}");
            }
        }
    }
    is_sound(&site, "~alice/open").await;
    site.end().await;
}

#[tokio::test]
async fn pushes_to_distinct_refs_all_get_in_and_clones_go_on_meanwhile() {
    let site = Site::new().await;
    for way in [Way::Http, Way::Ssh] {
        let crowd = crowd(&site, way, "~alice/open").await;
        let done = AtomicBool::new(false);
        let clones = async {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let client = site.client(Persona::Reader, [0, 2][count % 2]);
                let url = site.url(way, Persona::Reader, "~alice/open");
                client
                    .git(&["clone", "-q", "--mirror", &url, "copy"])
                    .await
                    .good();
                let fsck = ["fsck", "--full", "--strict", "--no-dangling"];
                client.git_in("copy", &fsck).await.good();
                count += 1;
            }
            count
        };
        let pushes = async {
            for round in 0..2 {
                join_all(crowd.iter().enumerate().map(async |(at, work)| {
                    work.commit(&format!("{way:?} {round} {at}")).await;
                    let name = format!("HEAD:refs/heads/{way:?}/{at}");
                    work.push(&[&name, &format!("HEAD:refs/heads/{way:?}-{round}-{at}")])
                        .await
                        .good();
                }))
                .await;
            }
            // All of them deleted at once, packed ones among them.
            let dir = site.dir_of("~alice/open").await;
            crate::support::fixture::git(&dir, &["pack-refs", "--all"], b"");
            join_all(crowd.iter().enumerate().map(async |(at, work)| {
                work.push(&[&format!(":refs/heads/{way:?}-0-{at}")])
                    .await
                    .good();
            }))
            .await;
            done.store(true, Ordering::Relaxed);
        };
        let (clones, ()) = join(clones, pushes).await;
        assert!(clones > 0);
        for (at, work) in crowd.iter().enumerate() {
            let new = Some(work.id("HEAD").await);
            assert_eq!(work.tip(&format!("refs/heads/{way:?}/{at}")).await, new);
            assert_eq!(work.tip(&format!("refs/heads/{way:?}-1-{at}")).await, new);
            assert_eq!(work.tip(&format!("refs/heads/{way:?}-0-{at}")).await, None);
        }
    }
    is_sound(&site, "~alice/open").await;
    site.end().await;
}
