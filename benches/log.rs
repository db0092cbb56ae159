//! Reading histories: the first page, a page far behind, all of it.
//!
//! Beside the forge's reader stand libgit2, sorted by time, and `git` itself. "Cold" is a backend that has opened
//! nothing yet, "opened" one that remembers no more than open files, "warm" one that has given the same answer before.
//! Invariant: each way must find the same commits. No page is made into JSON here.

#[path = "support/backend.rs"]
mod backend;
mod support;
#[path = "support/wall.rs"]
mod wall;

use std::path::PathBuf;
use std::time::Duration;

use backend::{REPO, head, open};
use criterion::{BatchSize, Criterion};
use forge::Git;
use forge::objects::{GitRepo, Oid, Walk};
use support::fixtures::git;
use support::{Turns, is_test, report, repository};
use tokio::runtime::Runtime;
use wall::{git_lines, shown, time};

/// Commits on a page.
const PAGE: usize = 50;
/// How often a page that is kept is asked for at a time.
const ASKED: u32 = 100;

/// The histories that are compared.
struct Bench {
    runtime: Runtime,
    source: PathBuf,
    kept: tempfile::TempDir,
    tip: Oid,
    /// Where the last page but a few starts, and how many commits come before.
    far: Oid,
    skip: usize,
    /// Starts of pages that nobody has asked for, each to be used once.
    fresh: std::cell::RefCell<Vec<Oid>>,
    all: usize,
}

fn main() {
    let bench = Bench::new();
    let mut criterion = Criterion::default().configure_from_args();
    bench.first_page(&mut criterion);
    bench.far_page(&mut criterion);
    bench.whole(&mut criterion);
    criterion.final_summary();
    bench.report();
}

impl Bench {
    fn new() -> Self {
        let source = repository();
        let runtime = Runtime::new().expect("a runtime");
        let kept = tempfile::tempdir().expect("a directory");
        runtime.block_on(backend::import(&source, kept.path()));
        let ids = git(&source, &["rev-list", "HEAD"], b"");
        let ids = String::from_utf8(ids).expect("hex");
        let ids: Vec<Oid> = ids.lines().map(|id| id.parse().expect("an id")).collect();
        let skip = if is_test() { 1_950 } else { 49_950 };
        let fresh = ids[skip / 2..skip].iter().step_by(7).copied().collect();
        Self {
            runtime,
            source,
            kept,
            tip: ids[0],
            far: ids[skip],
            skip,
            fresh: std::cell::RefCell::new(fresh),
            all: ids.len(),
        }
    }

    /// A backend that has opened nothing.
    fn cold(&self) -> Git {
        Git::at(self.kept.path())
    }

    fn first_page(&self, criterion: &mut Criterion) {
        let (warm, peer) = (open(&self.cold()), self.peer());
        let mut group = criterion.benchmark_group("log/first page");
        group.bench_function("forge, cold", |b| {
            b.to_async(&self.runtime).iter_batched(
                || self.cold(),
                async |git| first_page(&git).await,
                BatchSize::PerIteration,
            );
        });
        group.bench_function("forge, warm", |b| {
            let page = || page(&*warm, self.tip, None);
            b.to_async(&self.runtime).iter(page);
        });
        group.sample_size(20);
        group.bench_function("git2", |b| b.iter(|| git2_page(&peer, 0)));
        group.bench_function("git", |b| b.iter(|| self.git_page(0)));
        group.finish();
    }

    fn far_page(&self, criterion: &mut Criterion) {
        let (warm, peer) = (open(&self.cold()), self.peer());
        let mut group = criterion.benchmark_group("log/page 1000");
        group.bench_function("forge, warm", |b| {
            let page = || page(&*warm, self.tip, Some(self.far));
            b.to_async(&self.runtime).iter(page);
        });
        group.sample_size(20);
        group.bench_function("forge, cold", |b| {
            b.to_async(&self.runtime).iter_batched(
                || open(&self.cold()),
                async |repo| page(&*repo, self.tip, Some(self.far)).await,
                BatchSize::PerIteration,
            );
        });
        group.bench_function("git2", |b| b.iter(|| git2_page(&peer, self.skip)));
        group.bench_function("git", |b| b.iter(|| self.git_page(self.skip)));
        group.finish();
    }

    fn whole(&self, criterion: &mut Criterion) {
        let (warm, peer) = (self.cold(), self.peer());
        let bare = self.cold().cache_bytes(0);
        let mut group = criterion.benchmark_group("log/all");
        group.bench_function("forge, opened", |b| {
            b.to_async(&self.runtime).iter(|| self.count(&bare));
        });
        group.sample_size(20);
        group.bench_function("forge, cold", |b| {
            b.to_async(&self.runtime).iter_batched(
                || self.cold(),
                async |git| self.count(&git).await,
                BatchSize::PerIteration,
            );
        });
        group.bench_function("forge, warm", |b| {
            b.to_async(&self.runtime).iter(|| self.count(&warm));
        });
        group.bench_function("git2", |b| b.iter(|| self.git2_count(&peer)));
        group.bench_function("git", |b| b.iter(|| self.git_count()));
        group.finish();
    }

    fn report(&self) {
        let (warm, peer) = (open(&self.cold()), self.peer());
        // Open, but it remembers nothing it gave: each page is read by a new handle.
        let bare = open(&self.cold().cache_bytes(0));
        let turns = Turns::take(
            31,
            &mut [
                &mut || {
                    let git = self.cold();
                    time(|| self.runtime.block_on(first_page(&git)))
                },
                &mut || time(|| git2_page(&peer, 0)),
                &mut || time(|| self.git_page(0)),
                &mut || time(|| self.runtime.block_on(page(&*bare, self.tip, None))),
            ],
        );
        let cold = turns.median(0);
        let found = format!(
            "{} with opening the repository and finding HEAD, {} by a fresh handle of an open one (git2 {}, git {})",
            shown(cold),
            shown(turns.median(3)),
            shown(turns.median(1)),
            shown(turns.median(2)),
        );
        report(
            "first page, cold",
            &found,
            "<= 1 ms",
            cold <= Duration::from_millis(1),
        );

        let turns = Turns::take(
            31,
            &mut [
                &mut || self.kept_page(&*warm, None),
                &mut || self.kept_page(&*warm, Some(self.far)),
                &mut || {
                    let fresh = self.fresh.borrow_mut().pop();
                    let start = Some(fresh.expect("enough of them"));
                    time(|| self.runtime.block_on(page(&*warm, self.tip, start)))
                },
                &mut || time(|| self.git_page(self.skip)),
            ],
        );
        let ratio = turns.ratio(1, 0);
        let found = format!(
            "{ratio:.2} of page 1 ({}, {}; a page never asked for {}; git {})",
            shown(turns.median(1)),
            shown(turns.median(0)),
            shown(turns.median(2)),
            shown(turns.median(3)),
        );
        report("page 1000, warm", &found, "<= 2 of page 1", ratio <= 2.0);

        let bare = self.cold().cache_bytes(0);
        let turns = Turns::take(
            31,
            &mut [
                &mut || time(|| self.runtime.block_on(self.count(&bare))),
                &mut || time(|| self.git_count()),
                &mut || time(|| self.git2_count(&peer)),
                &mut || {
                    let git = self.cold();
                    time(|| self.runtime.block_on(self.count(&git)))
                },
            ],
        );
        let ratio = turns.ratio(1, 0);
        let found = format!(
            "{ratio:.1} times as fast as git ({}, {}; git2 {}; cold {})",
            shown(turns.median(0)),
            shown(turns.median(1)),
            shown(turns.median(2)),
            shown(turns.median(3)),
        );
        report("full walk", &found, ">= 5 times", ratio >= 5.0);
    }

    /// The time for a page that is kept, on average.
    fn kept_page(&self, repo: &dyn GitRepo, start: Option<Oid>) -> Duration {
        let asked = async {
            for _ in 0..ASKED {
                page(repo, self.tip, start).await;
            }
        };
        time(|| self.runtime.block_on(asked)) / ASKED
    }

    async fn count(&self, git: &Git) {
        let count = git.commit_count(REPO, self.tip).await.expect("readable");
        assert_eq!(count, Some(self.all));
    }

    fn peer(&self) -> git2::Repository {
        git2::Repository::open(&self.source).expect("the fixture")
    }

    fn git2_count(&self, repo: &git2::Repository) {
        assert_eq!(git2_walk(repo).count(), self.all);
    }

    fn git_page(&self, skip: usize) -> usize {
        git_lines(&self.source, &["log", &format!("--skip={skip}"), "-50"])
    }

    fn git_count(&self) -> usize {
        git_lines(&self.source, &["rev-list", "--count", "HEAD"])
    }
}

/// What a request for the first page does: HEAD is resolved anew.
async fn first_page(git: &Git) {
    let repo = open(git);
    let tip = head(&*repo).await;
    page(&*repo, tip, None).await;
}

async fn page(repo: &dyn GitRepo, tip: Oid, start: Option<Oid>) {
    let walk = Walk {
        tip,
        start,
        count: PAGE,
    };
    let page = repo.walk(&walk).await.expect("readable");
    assert_eq!(page.expect("there is such a page").commits.len(), PAGE);
}

fn git2_page(repo: &git2::Repository, skip: usize) {
    let mut bytes = 0;
    let mut commits = 0;
    for id in git2_walk(repo).skip(skip).take(PAGE) {
        let commit = repo.find_commit(id.expect("readable")).expect("a commit");
        bytes += commit.message_bytes().len() + commit.author().name_bytes().len();
        commits += 1;
    }
    assert!(bytes > 0 && commits == PAGE);
}

fn git2_walk(repo: &git2::Repository) -> git2::Revwalk<'_> {
    let mut walk = repo.revwalk().expect("readable");
    walk.set_sorting(git2::Sort::TIME).expect("an order");
    walk.push_head().expect("it has commits");
    walk
}
