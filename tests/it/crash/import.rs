//! Imports at the start of a process that is killed.
//!
//! Invariant: a repository that is there has its whole history. What a cut import leaves on disk is the sweep's affair;
//! the disk is watched here only to find the worst moments.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::{Rng, Source, check_repo, launch, rounds};
use crate::support::process::{Client, Launch, Process};
use crate::support::{Database, fixture};

/// How many commits the repository has whose import is cut off.
const COMMITS: usize = 4000;

#[tokio::test]
async fn an_import_that_is_killed_is_there_as_a_whole_or_not_at_all() {
    for database in Database::all() {
        let dir = tempfile::tempdir().expect("a directory");
        let launch = launch(dir.path(), &database).await;
        cut_imports(&launch, dir.path(), rounds(&database).div_ceil(2)).await;
        database.drop_fresh().await;
    }
}

async fn cut_imports(launch: &Launch, dir: &Path, rounds: u64) {
    let source = Source::at(fixture::import(dir, "big.git", &history()));
    let begun = Instant::now();
    let server = launch.importing("whole", &source.path).start().await;
    let usual = u64::try_from(begun.elapsed().as_millis()).expect("soon");
    assert_eq!(walk(&server.client, "whole").await, source.commits);
    server.kill9().await;

    let mut known = vec!["whole".to_owned()];
    let mut cut = 0;
    for round in 0..rounds {
        let name = format!("big-{}", known.len());
        let mut importing = launch.importing(&name, &source.path).spawn();
        match round % 3 {
            0 => changed(&mut importing, || repositories(dir)).await,
            1 => changed(&mut importing, || rows(dir)).await,
            _ => {
                let life = Rng(round).below(usual + usual / 8);
                tokio::time::sleep(Duration::from_millis(life)).await;
            }
        }
        let acknowledged = importing.env().is_some();
        importing.kill9().await;

        let server = launch.start().await;
        let mut listed = server.client.listed().await;
        let there = listed.contains(&name);
        assert!(there || !acknowledged, "{name} was acknowledged");
        if there {
            assert_eq!(walk(&server.client, &name).await, source.commits, "{name}");
            known.push(name);
        } else {
            cut += 1;
        }
        listed.sort();
        known.sort();
        assert_eq!(listed, known);
        for name in &known {
            check_repo(&server.client, name, Some(&source)).await;
        }
        server.kill9().await;
    }
    assert!(cut > 0, "no import was cut off");
    let name = format!("big-{}", known.len());
    let server = launch.importing(&name, &source.path).start().await;
    check_repo(&server.client, &name, Some(&source)).await;
    assert_eq!(walk(&server.client, &name).await, source.commits);
    server.stop().await;
}

/// Waits for the moment in which an import makes its repository visible, on disk or in the database.
async fn changed<T: PartialEq>(importing: &mut Process, look: impl Fn() -> T) {
    importing.says("importing ").await;
    let before = look();
    while look() == before && importing.env().is_none() {
        // What is waited for lasts less than a timer's tick.
        std::thread::sleep(Duration::from_micros(50));
        tokio::task::yield_now().await;
    }
}

/// How many directories there are where repositories are.
fn repositories(dir: &Path) -> usize {
    let below = |path: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(path).into_iter().flatten();
        entries.flatten().map(|entry| entry.path()).collect()
    };
    let root = below(&dir.join("data/repositories/repos"));
    let leaves = root.iter().flat_map(|top| below(top));
    leaves.flat_map(|middle| below(&middle)).count()
}

/// What a commit to SQLite changes; nothing does on PostgreSQL.
fn rows(dir: &Path) -> Option<(u64, SystemTime)> {
    let log = dir.join("data/forge.db-wal").metadata().ok()?;
    Some((log.len(), log.modified().ok()?))
}

/// How many commits the log has, over all pages.
async fn walk(client: &Client, name: &str) -> usize {
    let mut seen = BTreeSet::new();
    let mut start = String::new();
    loop {
        let page = client
            .get(&format!("/api/repos/{name}/log?start={start}"))
            .await;
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        for commit in page["results"].as_array().expect("commits") {
            seen.insert(commit["id"].as_str().expect("an id").to_owned());
        }
        match page["next"].as_str() {
            Some(next) => start = next.to_owned(),
            None => return seen.len(),
        }
    }
}

/// A history that takes git a while, with branches and tags on the way.
fn history() -> Vec<u8> {
    let mut rng = Rng(0);
    let mut stream = String::new();
    for n in 1..=COMMITS {
        let noise: String = (0..40).map(|_| format!("{:016x}\n", rng.next())).collect();
        let message = format!("Commit {n}.\n");
        write!(
            stream,
            "commit refs/heads/master\nmark :{n}\ncommitter Ada <ada@example.org> {} +0000\n\
             data {}\n{message}M 100644 inline dir{}/file{}\ndata {}\n{noise}\n",
            1_500_000_000 + n,
            message.len(),
            n % 7,
            n % 100,
            noise.len(),
        )
        .expect("text");
        if n % 100 == 0 {
            write!(stream, "reset refs/heads/at/{n}\nfrom :{n}\n\n").expect("text");
        }
        if n % 150 == 0 {
            write!(
                stream,
                "tag t{n}\nfrom :{n}\ntagger Ada <ada@example.org> {} +0000\ndata 5\nTag.\n\n",
                1_500_000_000 + n
            )
            .expect("text");
        }
    }
    stream.push_str("done\n");
    stream.into_bytes()
}
