//! Time on the wall.
//!
//! Invariant: what is timed is run once. How often, and beside what, is said elsewhere.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::fixtures::command;

/// How long something takes.
pub(crate) fn time<T>(what: impl FnOnce() -> T) -> Duration {
    let begin = Instant::now();
    std::hint::black_box(what());
    begin.elapsed()
}

/// How many lines git writes; its start is part of what it takes.
pub(crate) fn git_lines(dir: &Path, arguments: &[&str]) -> usize {
    let output = command(dir, arguments).output().expect("git");
    assert!(output.status.success(), "git {arguments:?}");
    output.stdout.iter().filter(|byte| **byte == b'\n').count()
}

/// A time for people.
pub(crate) fn shown(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}
