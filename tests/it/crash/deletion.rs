//! `kill -9` in the middle of the end of two accounts: one whose repositories go with it, and one that has an heir.
//!
//! Invariant: both are deleted in this process's name while no server runs, as a page of a host's would; servers do it,
//! and each is killed when a few repositories more are done. What became of it is asked of rows, directories and the next
//! server. Rows are touched for one thing alone: a dead worker's leases are ended. Which statement a kill meets is left
//! to chance.

mod host;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use self::host::Host;
use super::{Rng, Source, check_repo};
use crate::support::process::Client;
use crate::support::{Database, fixture};

/// How many repositories each of the two has, called `r0` and so on.
const REPOS: usize = 40;
/// How often the server is killed, with the rest of the job less often than a job is tried.
const KILLS: usize = 9;
/// How often more when every repository is done.
const LATE_KILLS: usize = 3;
/// How many repositories more are done before a kill, at most.
const STRIDE: u64 = 8;
/// How many milliseconds later it comes, at most.
const LATER: u64 = 10;
/// What the heir has already.
const HEIRS: [&str; 4] = ["r1", "r2", "r2-2", "mine"];
/// Of the two who go, what holds something, and has something attached.
const FULL: [&str; 2] = ["r0", "r1"];
const FILE: (&str, &[u8]) = ("notes.txt", b"The notes.\n");

#[tokio::test]
async fn accounts_whose_deletion_is_killed_are_gone_in_the_end_and_an_heir_has_everything_once() {
    for database in Database::all() {
        let seeds = match database {
            Database::Sqlite => 3,
            Database::Postgres { .. } => 1,
        };
        for seed in 0..seeds {
            let host = Host::new(&database).await;
            Box::pin(delete(&host, &mut Rng(seed))).await;
            host.end().await;
        }
    }
}

async fn delete(host: &Host, rng: &mut Rng) {
    let source = Source::at(fixture::small(host.dir()));
    let tokens = host.make_users(&["leaver", "giver", "heir"]).await;
    for user in ["leaver", "giver"] {
        host.import(user, &FULL, &source.path).await;
    }
    fill(host, &tokens).await;
    let before = host.repos().await;
    assert_eq!(before.len(), 2 * REPOS + HEIRS.len());
    host.begin_deletion("leaver", None).await;
    host.begin_deletion("giver", Some("heir")).await;

    let middle = kill(host, rng).await;
    assert!(middle >= KILLS / 2, "{middle} kills came in the middle");
    let server = host.start().await;
    host.is_settled().await;

    let after = host.repos().await;
    assert_eq!(after, expected(&before));
    let ids: BTreeSet<_> = after.keys().copied().collect();
    assert_eq!(host.directories(), ids, "the directories");
    let full = before
        .iter()
        .filter(|(_, (owner, name))| owner == "giver" && FULL.contains(&name.as_str()));
    let full: BTreeSet<_> = full.map(|(id, _)| *id).collect();
    assert_eq!(host.with_files(), full, "what is attached");
    let names = after.into_values().map(|(_, name)| name).collect();
    is_whole(&server.client, names, &source).await;
    leads_to_the_heir(&server.client).await;
    for user in ["leaver", "giver"] {
        let gone = server.client.get(&format!("/api/user/~{user}")).await;
        assert_eq!(gone.status, 404, "{user}");
        let shown = server.client.showing(&tokens[user]).get("/api/user").await;
        assert_eq!(shown.status, 401, "{user}");
    }
    server.stop().await;
    for user in ["leaver", "giver"] {
        host.is_gone_for_good(user).await;
    }
}

/// Has everybody make their repositories, and attach something to those that hold anything.
async fn fill(host: &Host, tokens: &BTreeMap<String, String>) {
    let server = host.start().await;
    let numbered: Vec<_> = (0..REPOS).map(|number| format!("r{number}")).collect();
    for (user, token) in tokens {
        let client = server.client.showing(token);
        let is_heir = user == "heir";
        let names = if is_heir {
            HEIRS.map(str::to_owned).to_vec()
        } else {
            numbered.clone()
        };
        for name in names {
            let made = if !is_heir && FULL.contains(&name.as_str()) {
                client.attach(&name, "v1", FILE.0, FILE.1).await
            } else {
                client.post("/api/repos", json!({ "name": name })).await
            };
            assert_eq!(made.status, 201, "{user} {name}: {made:?}");
        }
    }
    host.is_settled().await;
    server.stop().await;
}

/// Kills the server again and again; how many kills came when some repositories were done and some were not.
async fn kill(host: &Host, rng: &mut Rng) -> usize {
    let all = host.left().await;
    let (mut left, mut middle) = (all, 0);
    for kill in 0..KILLS + LATE_KILLS {
        let server = host.start().await;
        let step = usize::try_from(rng.below(STRIDE)).expect("small");
        let goal = if kill < KILLS {
            left.saturating_sub(step)
        } else {
            0
        };
        host.has_at_most(goal).await;
        tokio::time::sleep(Duration::from_millis(rng.below(LATER))).await;
        server.kill9().await;
        host.let_leases_end().await;
        left = host.left().await;
        middle += usize::from(left > 0 && left < all);
    }
    middle
}

/// The giver's repositories are the heir's, under the first name that was free; the leaver's are gone.
fn expected(before: &BTreeMap<i64, (String, String)>) -> BTreeMap<i64, (String, String)> {
    let kept = before.iter().filter(|(_, (owner, _))| owner != "leaver");
    let now = kept.map(|(id, (owner, name))| {
        let name = match (owner.as_str(), name.as_str()) {
            ("giver", "r1") => "r1-2",
            ("giver", "r2") => "r2-3",
            (_, name) => name,
        };
        (*id, ("heir".to_owned(), name.to_owned()))
    });
    now.collect()
}

/// The heir has all of these and nothing else, and what held something holds it still.
async fn is_whole(heir: &Client, mut names: Vec<String>, source: &Source) {
    let mut listed = heir.listed().await;
    listed.sort();
    names.sort();
    assert_eq!(listed, names);
    for name in &names {
        let is_full = ["r0", "r1-2"].contains(&name.as_str());
        check_repo(heir, name, is_full.then_some(source)).await;
        if is_full {
            let path = format!("/~heir/{name}/refs/download/v1/{}", FILE.0);
            let download = heir.get(&path).await;
            assert_eq!(download.status, 200, "{name}");
            assert!(download.body == FILE.1, "{name} has what was attached");
        }
    }
}

/// Whoever looks where a repository was is led to where it is.
async fn leads_to_the_heir(heir: &Client) {
    for name in (0..REPOS).map(|number| format!("r{number}")) {
        let refs = "info/refs?service=git-upload-pack";
        let moved = heir.get(&format!("/~giver/{name}/{refs}")).await;
        assert_eq!(moved.status, 200, "{name}");
        let gone = heir.get(&format!("/~leaver/{name}/{refs}")).await;
        assert_eq!(gone.status, 404, "{name}");
    }
}
