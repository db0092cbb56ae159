//! What work costs the processor, wherever it is done.
//!
//! Invariant: the cost of a child counts when it has been waited for. Time that passes while nothing is computed does
//! not count.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The processor time of this process and of its children that have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    own: Duration,
    children: Duration,
}

impl Cpu {
    pub(crate) fn now() -> Self {
        Self {
            own: used(UsageWho::RUSAGE_SELF),
            children: used(UsageWho::RUSAGE_CHILDREN),
        }
    }

    /// What this process and its children used since then.
    pub(crate) fn since(self) -> Duration {
        let now = Self::now();
        now.own - self.own + (now.children - self.children)
    }

    /// What the children used since then.
    pub(crate) fn of_children_since(self) -> Duration {
        Self::now().children - self.children
    }
}

fn used(who: UsageWho) -> Duration {
    let usage = getrusage(who).expect("the kernel counts");
    let time = |time: TimeVal| {
        Duration::from_secs(time.tv_sec().unsigned_abs())
            + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// Runs git with something to read and variables beside, and throws its answer away; how many bytes that has.
#[expect(
    clippy::disallowed_methods,
    reason = "git is what this is compared with"
)]
pub(crate) fn git(
    directory: &Path,
    arguments: &[&str],
    env: &[(&str, &str)],
    input: &[u8],
) -> usize {
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let mut stdout = child.stdout.take().expect("a pipe");
    let bytes = std::io::copy(&mut stdout, &mut std::io::sink()).expect("an answer");
    writer.join().expect("a thread").expect("git reads all");
    assert!(child.wait().expect("git").success(), "git {arguments:?}");
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
