//! What the benches share: the repository they read, and comparing ways of doing the same thing.
//!
//! Invariant: ways that are compared take turns within one run, so that what else the machine does meets them alike; a
//! ratio is the median of the ratios of the turns. `cargo bench` measures; `cargo test --benches` only shows, on a
//! small repository, that everything still runs.

#[path = "../../tests/fixtures/mod.rs"]
pub(crate) mod fixtures;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::fixtures::{Shape, git};

/// Part of the name of a fixture: to be raised when another one comes out of the same shape.
const VERSION: u32 = 1;

/// Whether this run shows only that everything works.
pub(crate) fn is_test() -> bool {
    let mut arguments = std::env::args();
    let measured = arguments.any(|argument| argument == "--bench");
    !measured || std::env::args().any(|argument| argument == "--test")
}

/// The repository that is read: packed, with a commit-graph. It is made once and kept below the target directory.
pub(crate) fn repository() -> PathBuf {
    let (commits, files) = if is_test() {
        (2_600, 400)
    } else {
        (50_500, 5_000)
    };
    let shape = Shape {
        commits,
        files,
        refs: 200,
        seed: 7,
        format: "sha1",
        odd: false,
    };
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let kept = target.expect("a target directory").join("fixtures");
    let path = kept.join(format!("{}-{commits}-{files}-v{VERSION}.git", shape.seed));
    if path.exists() {
        return path;
    }
    std::fs::create_dir_all(&kept).expect("a directory");
    let unfinished = path.with_extension(std::process::id().to_string());
    let _ = std::fs::remove_dir_all(&unfinished);
    shape.make(&unfinished);
    git(&unfinished, &["repack", "-adq"], b"");
    git(&unfinished, &["commit-graph", "write", "--reachable"], b"");
    // Another run may have been faster.
    if std::fs::rename(&unfinished, &path).is_err() {
        let _ = std::fs::remove_dir_all(&unfinished);
        assert!(path.exists(), "the fixture could not be put into place");
    }
    path
}

/// What each of several ways took in each turn.
pub(crate) struct Turns(Vec<Vec<Duration>>);

impl Turns {
    /// Has the ways take turns, once to warm up and then so many times; each tells how long it took.
    pub(crate) fn take(count: usize, ways: &mut [&mut dyn FnMut() -> Duration]) -> Self {
        let count = if is_test() { 1 } else { count };
        let turn = |_| ways.iter_mut().map(|way| way()).collect();
        Self((0..=count).map(turn).skip(1).collect())
    }

    /// The median of one way.
    pub(crate) fn median(&self, way: usize) -> Duration {
        let times = self.0.iter().map(|turn| turn[way].as_secs_f64());
        Duration::from_secs_f64(median(times.collect()))
    }

    /// How many times as long the first way takes as the second.
    pub(crate) fn ratio(&self, first: usize, second: usize) -> f64 {
        let ratios = self
            .0
            .iter()
            .map(|turn| turn[first].as_secs_f64() / turn[second].as_secs_f64());
        median(ratios.collect())
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// A line about a goal.
#[expect(clippy::print_stdout, reason = "the report of a bench")]
pub(crate) fn report(what: &str, found: &str, goal: &str, met: bool) {
    let verdict = match (is_test(), met) {
        (true, _) => "not measured",
        (false, true) => "met",
        (false, false) => "MISSED",
    };
    println!("{what}: {found} (goal: {goal}; {verdict})");
}
