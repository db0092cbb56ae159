//! Kills at random moments, while several clients push.
//!
//! Invariant: each client has refs of its own, and after a kill there is at most one push of which it does not know how
//! it ended; one branch is everybody's. Every commit is pushed to a ref for the first time once only, so the events of a
//! ref must be a path from nothing to what it is now, without a gap and without a step too many.
//!
//! `FORGE_CRASH_KILLS` asks for another number of kills, `FORGE_CRASH_SEED` repeats the choices of another run.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::Rng;
use super::{Host, Move, chain, create, fsck, git, log, refs, url};
use crate::support::Database;
use crate::support::process::{Client, Standalone};
use crate::support::site::{Ran, run};

/// How many clients push at once.
const PUSHERS: u64 = 3;
/// How many commits each has to push; more than it can.
const COMMITS: usize = 4000;
/// The shortest time from the first pushes to the kill, in milliseconds.
const SHORTEST: u64 = 20;
/// The longest, in milliseconds: as long as a few pushes take here and now, within these bounds.
const LONGEST: (u64, u64) = (400, 1000);
/// The repository that they share.
const REPO: &str = "r";
/// The branch that they share.
const SHARED: &str = "refs/heads/shared";

/// A push: the refs of one repository that are to move.
#[derive(Debug, Clone)]
struct Op {
    repo: String,
    moves: Vec<Move>,
}

impl Op {
    fn is_shared(&self) -> bool {
        self.moves.iter().any(|it| it.name == SHARED)
    }
}

/// How a push ended for its client.
enum Ended {
    Well,
    /// Somebody else was faster on the shared branch.
    Refused(String),
    Badly(Ran),
}

/// A client, and what it believes of the server.
struct Pusher {
    number: u64,
    rng: Rng,
    work: PathBuf,
    commits: std::vec::IntoIter<String>,
    /// The first commit: the only one of new repositories, and the tree of those on the shared branch.
    root: String,
    count: u64,
    /// Where its own refs are.
    refs: BTreeMap<String, Option<String>>,
    acknowledged: Vec<Op>,
    /// The push that was not answered.
    unsure: Option<Op>,
    /// Those of the rounds before, some of which happened.
    doubtful: Vec<Op>,
    /// Why pushes to the shared branch were refused.
    refused: BTreeMap<String, usize>,
}

#[tokio::test]
async fn what_is_acknowledged_to_a_pusher_survives_200_kills_and_is_told_once() {
    for database in Database::all() {
        let asked = std::env::var("FORGE_CRASH_KILLS").ok();
        let kills = match (asked, &database) {
            (Some(asked), _) => asked.parse().expect("a number in FORGE_CRASH_KILLS"),
            (None, Database::Sqlite) => 200,
            (None, Database::Postgres { .. }) => 25,
        };
        Box::pin(survive(&database, kills, seed())).await;
    }
}

#[expect(clippy::print_stderr, reason = "shown if the test fails")]
fn seed() -> u64 {
    let asked = std::env::var("FORGE_CRASH_SEED").ok();
    let seed = asked.map_or_else(
        || RandomState::new().hash_one("seed"),
        |asked| asked.parse().expect("a number in FORGE_CRASH_SEED"),
    );
    eprintln!("FORGE_CRASH_SEED={seed}");
    seed
}

#[expect(clippy::print_stderr, reason = "shown if the test fails")]
async fn survive(database: &Database, kills: u64, seed: u64) {
    let host = Host::new(database).await;
    let mut pushers: Vec<_> = (0..PUSHERS)
        .map(|number| Pusher::new(host.dir.path(), number, seed))
        .collect();
    let mut rng = Rng(seed);
    let server = host.start().await;
    create(&server.client, REPO).await;
    let begun = Instant::now();
    pushers[0].begin(&server).await;
    let usual = u64::try_from(begun.elapsed().as_millis()).expect("soon");
    let longest = (6 * usual).clamp(LONGEST.0, LONGEST.1);
    host.kill9(server).await;

    let mut dir = None;
    for kill in 0..kills {
        let server = host.start().await;
        if dir.is_none() {
            dir = host.dir_of(&server.client, REPO).await;
        }
        let dir = dir.as_deref().expect("the repository");
        let now = refs(dir);
        for pusher in &mut pushers {
            pusher.learn(&now, kill);
        }
        let killed = Arc::new(AtomicBool::new(false));
        let work = pushers.drain(..).map(|pusher| {
            let url = url(&server, "");
            tokio::spawn(pusher.work(url, Arc::clone(&killed)))
        });
        let work: Vec<_> = work.collect();
        let life = SHORTEST + rng.below(longest - SHORTEST);
        tokio::time::sleep(Duration::from_millis(life)).await;
        killed.store(true, Ordering::Relaxed);
        host.kill9(server).await;
        for pusher in work {
            pushers.push(pusher.await.expect("a pusher"));
        }
        if kill % 20 == 0 {
            fsck(dir, false).await;
        }
    }
    host.let_leases_end().await;
    let server = host.start().await;
    let now = refs(dir.as_deref().expect("the repository"));
    for pusher in &mut pushers {
        pusher.learn(&now, kills);
    }
    for pusher in &pushers {
        eprintln!(
            "{kills} kills: {} pushes acknowledged, {} unsure, refused: {:?}",
            pusher.acknowledged.len(),
            pusher.doubtful.len(),
            pusher.refused,
        );
    }
    let acknowledged = pushers.iter().map(|pusher| pusher.acknowledged.len());
    assert!(acknowledged.sum::<usize>() > 1, "every push was cut off");
    host.is_settled().await;
    check(&host, &server.client, &pushers).await;
    host.is_clean().await;
    server.stop().await;
    host.end().await;
}

impl Pusher {
    fn new(dir: &Path, number: u64, seed: u64) -> Self {
        let (work, mut commits) = chain(dir, &format!("pusher-{number}"), COMMITS);
        let root = commits.remove(0);
        Self {
            number,
            rng: Rng(seed ^ (number + 1).wrapping_mul(0x9e37_79b9)),
            work,
            commits: commits.into_iter(),
            root,
            count: 0,
            refs: BTreeMap::new(),
            acknowledged: Vec::new(),
            unsure: None,
            doubtful: Vec::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Makes the shared branch.
    async fn begin(&mut self, server: &Standalone) {
        let op = self.op(vec![change(SHARED, None, Some(&self.root))]);
        match self.push(&url(server, ""), &op).await {
            Ended::Well => self.acknowledged.push(op),
            Ended::Refused(why) => panic!("{why}"),
            Ended::Badly(ran) => panic!("{ran:?}"),
        }
    }

    /// Looks where its own refs are after a kill: where it believed them, or where the unanswered push was to put them.
    fn learn(&mut self, now: &BTreeMap<String, String>, kill: u64) {
        let unsure: &[Move] = self.unsure.as_ref().map_or(&[], |op| &op.moves);
        let (mut happened, mut own) = (0, 0);
        for name in [self.branch(), self.flag()] {
            let now = now.get(&name).cloned();
            let believed = self.refs.get(&name).cloned().flatten();
            let asked = unsure.iter().find(|it| it.name == name);
            own += usize::from(asked.is_some());
            if now != believed {
                let asked = asked.map(|it| it.new.clone());
                assert_eq!(
                    Some(&now),
                    asked.as_ref(),
                    "{name} before kill {kill}, was {believed:?}"
                );
                happened += 1;
            }
            self.refs.insert(name, now);
        }
        // A push is one transaction of git's, which is not killed with the server.
        assert!(happened == 0 || happened == own, "half of {unsure:?}");
        self.doubtful.extend(self.unsure.clone());
    }

    /// Pushes until the server goes away.
    async fn work(mut self, url: String, killed: Arc<AtomicBool>) -> Self {
        let mut again = self.unsure.take().filter(|_| self.rng.below(2) == 0);
        while !killed.load(Ordering::Relaxed) {
            let op = match again.take().and_then(|op| self.repeated(op)) {
                Some(op) => op,
                None => match self.choose(&url).await {
                    Ok(op) => op,
                    Err(ran) => {
                        assert!(killed.load(Ordering::Relaxed), "{ran:?}");
                        break;
                    }
                },
            };
            match self.push(&url, &op).await {
                Ended::Well => {
                    for it in &op.moves {
                        if let Some(known) = self.refs.get_mut(&it.name) {
                            known.clone_from(&it.new);
                        }
                    }
                    self.acknowledged.push(op);
                }
                Ended::Refused(why) => *self.refused.entry(why).or_default() += 1,
                Ended::Badly(ran) => {
                    assert!(killed.load(Ordering::Relaxed), "{op:?}: {ran:?}");
                    self.unsure = Some(op);
                    break;
                }
            }
        }
        self
    }

    /// The same push again, as far as git is willing: it does not remove what is not there.
    fn repeated(&self, mut op: Op) -> Option<Op> {
        op.moves
            .retain(|it| it.new.is_some() || self.refs[&it.name].is_some());
        Some(op).filter(|op| !op.moves.is_empty())
    }

    async fn choose(&mut self, url: &str) -> Result<Op, Ran> {
        let (branch, flag) = (self.branch(), self.flag());
        let own = |pusher: &mut Self| pusher.onto(&branch);
        Ok(match self.rng.below(12) {
            0..=3 => {
                let own = own(self);
                self.op(vec![own])
            }
            4 | 5 => {
                let both = vec![own(self), self.flip(&flag)];
                self.op(both)
            }
            6 => {
                let flag = self.flip(&flag);
                self.op(vec![flag])
            }
            7..=9 => {
                let shared = self.share(url).await?;
                self.op(vec![shared])
            }
            10 => {
                let both = vec![self.share(url).await?, own(self)];
                self.op(both)
            }
            _ => {
                self.count += 1;
                let moves = vec![change("refs/heads/main", None, Some(&self.root))];
                let repo = format!("new-{}-{}", self.number, self.count);
                Op { repo, moves }
            }
        })
    }

    fn op(&self, moves: Vec<Move>) -> Op {
        Op {
            repo: REPO.to_owned(),
            moves,
        }
    }

    fn branch(&self) -> String {
        format!("refs/heads/own-{}", self.number)
    }

    fn flag(&self) -> String {
        format!("refs/heads/flags/{}", self.number)
    }

    /// Moves a ref on to the next commit.
    fn onto(&mut self, name: &str) -> Move {
        let next = self.commits.next().expect("enough commits");
        let old = self.refs[name].as_deref();
        change(name, old, Some(&next))
    }

    /// Removes a ref that is there, or makes one that is not.
    fn flip(&mut self, name: &str) -> Move {
        match self.refs[name].as_deref() {
            Some(old) => change(name, Some(old), None),
            None => self.onto(name),
        }
    }

    /// A commit of its own on top of the shared branch.
    async fn share(&mut self, url: &str) -> Result<Move, Ran> {
        self.count += 1;
        let url = format!("{url}{REPO}");
        let fetched = run(
            git(&self.work, &["fetch", "-q", "--no-tags", &url, SHARED]),
            b"",
        )
        .await;
        if fetched.code != Some(0) {
            return Err(fetched);
        }
        let (tree, message) = (
            format!("{}^{{tree}}", self.root),
            format!("pusher {}, {}", self.number, self.count),
        );
        let arguments = ["commit-tree", "-p", "FETCH_HEAD", "-m", &message, &tree];
        let new = run(git(&self.work, &arguments), b"").await.good().out;
        let old = run(git(&self.work, &["rev-parse", "FETCH_HEAD"]), b"")
            .await
            .good();
        Ok(change(SHARED, Some(old.out.trim()), Some(new.trim())))
    }

    async fn push(&self, url: &str, op: &Op) -> Ended {
        let mut arguments = vec!["push".to_owned()];
        // Of two refs that one of them might be refused, both or none.
        if op.is_shared() {
            arguments.push("--atomic".to_owned());
        }
        arguments.push(format!("{url}{}", op.repo));
        let spec = |it: &Move| format!("{}:{}", it.new.as_deref().unwrap_or_default(), it.name);
        arguments.extend(op.moves.iter().map(spec));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let ran = run(git(&self.work, &arguments), b"").await;
        if ran.code == Some(0) {
            return Ended::Well;
        }
        // ` ! [rejected] <from> -> <to> (<why>)`
        let reason = ran.err.lines().find(|line| line.contains("rejected]"));
        match reason.and_then(|line| line.rsplit_once('(')) {
            Some((_, why)) if op.is_shared() => {
                Ended::Refused(why.trim_end_matches(')').to_owned())
            }
            _ => Ended::Badly(ran),
        }
    }
}

fn change(name: &str, old: Option<&str>, new: Option<&str>) -> Move {
    Move {
        name: name.to_owned(),
        old: old.map(str::to_owned),
        new: new.map(str::to_owned),
    }
}

/// Every repository is whole, every ref's events lead to where it is, and everything acknowledged is among them.
async fn check(host: &Host, client: &Client, pushers: &[Pusher]) {
    let all = pushers.iter().flat_map(|pusher| {
        let ops = pusher.acknowledged.iter().chain(&pusher.doubtful);
        ops.chain(&pusher.unsure).map(|op| op.repo.as_str())
    });
    let repos: BTreeSet<_> = all.collect();
    let mut told = BTreeMap::new();
    for repo in &repos {
        let log = log(client, repo).await;
        let ids: BTreeSet<_> = log.iter().map(|entry| &entry.id).collect();
        assert_eq!(ids.len(), log.len(), "{repo}: two entries have one id");
        let moves: Vec<_> = log.into_iter().flat_map(|entry| entry.refs).collect();
        if let Some(dir) = host.dir_of(client, repo).await {
            fsck(&dir, false).await;
            follow(&dir, repo, &moves).await;
        } else {
            assert!(moves.is_empty(), "{repo} is gone: {moves:?}");
        }
        told.insert(*repo, moves);
    }
    for op in pushers.iter().flat_map(|pusher| &pusher.acknowledged) {
        for it in &op.moves {
            let same = |told: &&Move| match it.new {
                Some(_) => (&told.name, &told.new) == (&it.name, &it.new),
                None => told == &it,
            };
            let count = told[op.repo.as_str()].iter().filter(same).count();
            assert_eq!(count, 1, "{} was acknowledged {it:?}", op.repo);
        }
    }
}

/// The moves of each ref are a path from nothing to where it is, and on a branch they are its history.
async fn follow(dir: &Path, repo: &str, moves: &[Move]) {
    let now = refs(dir);
    let names = now.keys().chain(moves.iter().map(|it| &it.name));
    let names: BTreeSet<_> = names.collect();
    for name in names {
        let mut left: Vec<_> = moves.iter().filter(|it| it.name == *name).collect();
        let mut at = None;
        // Those that begin at nothing are in the order of their time.
        while let Some(next) = left.iter().position(|it| it.old == at) {
            at = left.remove(next).new.clone();
        }
        assert!(
            left.is_empty() && at == now.get(name).cloned(),
            "{repo} {name}: the events lead to {at:?}, the ref is at {:?}, and these are left: {left:?}",
            now.get(name)
        );
        if name.contains("/flags/") {
            continue;
        }
        let history = run(git(dir, &["rev-list", name]), b"").await.good().out;
        let history: BTreeSet<_> = history.lines().collect();
        let told = moves.iter().filter(|it| it.name == *name);
        let ids = told.map(|it| it.new.as_deref().unwrap_or_default());
        let strange: Vec<_> = ids.filter(|id| !history.contains(id)).collect();
        assert!(strange.is_empty(), "{repo} {name} never was at {strange:?}");
    }
}
