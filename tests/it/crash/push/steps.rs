//! A kill at each step of a push.
//!
//! Invariant: a round stops the server in the thread that does the push, so what the step before it did is done, and
//! what comes after it has not begun. Each has a host of its own.

use std::collections::BTreeMap;
use std::panic;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Entry, Host, Move, chain, create, fsck, git, log, refs, url};
use crate::support::Database;
use crate::support::process::Standalone;
use crate::support::site::run;

/// The steps, and whether the refs have moved when they are reached.
const STEPS: [(&str, bool); 11] = [
    ("admitted", false),
    ("quarantined", false),
    ("ingested", false),
    ("checked", false),
    ("decided", false),
    ("prepared", false),
    ("recorded", false),
    ("migrated", false),
    ("committed", true),
    ("finished", true),
    ("reported", true),
];
/// How many rounds run at once: mostly they wait.
const AT_ONCE: usize = 4;
/// How long a push may take to come to a step.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a round pushes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// A repository with refs in it: one is made, one moved and one removed.
    Existing,
    /// What does not exist yet.
    New,
}

/// When the client tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// As soon as the server is back.
    AtOnce,
    /// When the server has found out what became of the first attempt.
    Later,
}

#[tokio::test]
async fn a_push_killed_at_any_step_has_happened_or_not_and_is_told_once_or_never() {
    for database in Database::all() {
        rounds(&database, &STEPS, Target::Existing, Again::Later).await;
    }
}

#[tokio::test]
async fn a_push_that_makes_its_repository_can_be_killed_at_any_step() {
    rounds(&Database::Sqlite, &STEPS, Target::New, Again::Later).await;
}

#[tokio::test]
async fn a_push_repeated_right_after_the_kill_is_told_once() {
    rounds(&Database::Sqlite, &STEPS, Target::Existing, Again::AtOnce).await;
    let steps = &STEPS[6..10];
    rounds(&Database::Sqlite, steps, Target::New, Again::AtOnce).await;
}

/// A round for each step; which ones went wrong, and how.
async fn rounds(database: &Database, steps: &[(&'static str, bool)], target: Target, again: Again) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (step, is_moved) in steps.iter().copied() {
        let (permits, host) = (Arc::clone(&permits), Host::new(database).await);
        running.spawn(async move {
            let _permit = permits.acquire_owned().await.expect("never closed");
            let round = Round {
                host,
                step,
                is_moved,
                target,
                again,
            };
            (step, tokio::spawn(round.run()).await)
        });
    }
    let mut failures = BTreeMap::new();
    while let Some(ended) = running.join_next().await {
        if let (step, Err(error)) = ended.expect("a round")
            && let Ok(panic) = error.try_into_panic()
        {
            failures.insert(step, words(&*panic));
        }
    }
    assert!(failures.is_empty(), "{target:?} {again:?}: {failures:#?}");
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let literal = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or(literal).unwrap_or_default()
}

struct Round {
    host: Host,
    step: &'static str,
    is_moved: bool,
    target: Target,
    again: Again,
}

impl Round {
    async fn run(self) {
        let (work, commits) = chain(self.host.dir.path(), "work", 3);
        let [first, second, third] = commits.try_into().expect("three");
        let (old, specs, moves) = match self.target {
            Target::Existing => {
                let old = moves(&[("gone", "", &first), ("main", "", &first)]);
                let specs = ["gone", "main"].map(|name| format!("{first}:refs/heads/{name}"));
                self.push_well(&work, &specs).await;
                let specs = vec![
                    format!("{second}:refs/heads/main"),
                    format!("{first}:refs/heads/side"),
                    ":refs/heads/gone".to_owned(),
                ];
                let new = [
                    ("gone", &*first, ""),
                    ("main", &*first, &*second),
                    ("side", "", &*first),
                ];
                (vec![old], specs, moves(&new))
            }
            Target::New => {
                let specs = vec![format!("{second}:refs/heads/main")];
                (Vec::new(), specs, moves(&[("main", "", &second)]))
            }
        };
        let before = after_all(&old);
        let both = [old.clone(), vec![moves]].concat();
        let after = after_all(&both);

        let is_told = self.push_and_kill(&work, &specs).await;
        assert!(
            self.is_moved || !is_told,
            "acknowledged before its refs had moved"
        );
        self.host.let_leases_end().await;
        let server = self.host.start().await;
        let now = self.refs(&server).await;
        let expected = if self.is_moved { &after } else { &before };
        assert_eq!(&now, expected, "right after the start");
        if self.again == Again::Later {
            self.host.is_clean().await;
            self.check(&server, expected, false).await;
            self.host.is_settled().await;
            let told = if self.is_moved { &both } else { &old };
            assert_eq!(&entries(&log(&server.client, "r").await), told);
        }

        // What did not happen happens now, and what did is not repeated.
        self.push(&server, &work, &specs, &after).await;
        self.host.is_settled().await;
        assert_eq!(entries(&log(&server.client, "r").await), both, "in the end");
        self.check(&server, &after, true).await;
        let last = [format!("{third}:refs/heads/main")];
        let mut at_last = after.clone();
        at_last.insert("refs/heads/main".to_owned(), third.clone());
        self.push(&server, &work, &last, &at_last).await;
        self.host.is_settled().await;
        self.host.is_clean().await;
        assert_eq!(log(&server.client, "r").await.len(), both.len() + 1);
        server.stop().await;
        self.host.end().await;
    }

    /// Makes the repository and pushes to it, on a server that nothing happens to.
    async fn push_well(&self, work: &Path, specs: &[String]) {
        let server = self.host.start().await;
        create(&server.client, "r").await;
        let mut arguments = vec!["push", "-q"];
        let url = url(&server, "r");
        arguments.push(&url);
        arguments.extend(specs.iter().map(String::as_str));
        run(git(work, &arguments), b"").await.good();
        self.host.is_settled().await;
        server.stop().await;
    }

    /// Pushes to a server that stops at the step, and kills it there. Whether the client was told that all went well.
    async fn push_and_kill(&self, work: &Path, specs: &[String]) -> bool {
        let stopping = self
            .host
            .launch
            .env("FAILPOINTS", &format!("push-{}=pause", self.step))
            .env("RUST_LOG", "forge_git=debug,warn");
        let mut server = stopping.start().await;
        let url = url(&server, "r");
        let mut arguments = vec!["push".to_owned(), url];
        arguments.extend(specs.iter().cloned());
        let work = work.to_owned();
        let pushing = tokio::spawn(async move {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            run(git(&work, &arguments), b"").await
        });
        let mark = format!("step=\"{}\"", self.step);
        let reached = tokio::time::timeout(PATIENCE, server.process.complains(&mark)).await;
        if reached.is_err() {
            let said = server.process.err();
            server.kill9().await;
            let ran = pushing.await.expect("a client");
            panic!("the step is never reached: {ran:?}; the server: {said}");
        }
        // Whatever else is going on may go on for a moment.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.host.kill9(server).await;
        let ran = pushing.await.expect("a client");
        ran.code == Some(0)
    }

    /// Pushes, which goes well, whether or not it is done already.
    async fn push(
        &self,
        server: &Standalone,
        work: &Path,
        specs: &[String],
        after: &BTreeMap<String, String>,
    ) {
        let now = self.refs(server).await;
        let is_done = now == *after;
        let mut arguments = vec!["push".to_owned(), url(server, "r")];
        // Git refuses to remove what is not there.
        let is_gone = |spec: &String| {
            spec.strip_prefix(':')
                .is_some_and(|it| !now.contains_key(it))
        };
        arguments.extend(specs.iter().filter(|spec| !is_gone(spec)).cloned());
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let ran = run(git(work, &arguments), b"").await.good();
        if is_done {
            ran.says("Everything up-to-date");
        } else {
            ran.says("This push is counted at");
        }
        assert_eq!(self.refs(server).await, *after);
    }

    /// The refs on the disk; none of a repository that does not exist.
    async fn refs(&self, server: &Standalone) -> BTreeMap<String, String> {
        match self.host.dir_of(&server.client, "r").await {
            Some(dir) => refs(&dir),
            None => {
                assert_eq!(self.target, Target::New, "the repository is gone");
                BTreeMap::new()
            }
        }
    }

    /// Git sees these refs, through the server too, and no fault.
    async fn check(
        &self,
        server: &Standalone,
        expected: &BTreeMap<String, String>,
        strictly: bool,
    ) {
        let Some(dir) = self.host.dir_of(&server.client, "r").await else {
            assert!(expected.is_empty());
            return;
        };
        assert_eq!(&refs(&dir), expected);
        fsck(&dir, strictly).await;
        let listed = git(&dir, &["ls-remote", "--refs", &url(server, "r")]);
        let listed = run(listed, b"").await.good().out;
        let lines: Vec<_> = listed.lines().collect();
        let expected = expected.iter().map(|(name, id)| format!("{id}\t{name}"));
        assert_eq!(lines, expected.collect::<Vec<_>>());
    }
}

fn moves(all: &[(&str, &str, &str)]) -> Vec<Move> {
    let id = |id: &str| Some(id.to_owned()).filter(|id| !id.is_empty());
    let one = |(name, old, new): &(&str, &str, &str)| Move {
        name: format!("refs/heads/{name}"),
        old: id(old),
        new: id(new),
    };
    all.iter().map(one).collect()
}

/// The refs after some pushes.
fn after_all(pushes: &[Vec<Move>]) -> BTreeMap<String, String> {
    let mut refs = BTreeMap::new();
    for it in pushes.iter().flatten() {
        match &it.new {
            Some(id) => refs.insert(it.name.clone(), id.clone()),
            None => refs.remove(&it.name),
        };
    }
    refs
}

fn entries(log: &[Entry]) -> Vec<Vec<Move>> {
    let sorted = |entry: &Entry| {
        let mut refs = entry.refs.clone();
        refs.sort();
        refs
    };
    log.iter().map(sorted).collect()
}
