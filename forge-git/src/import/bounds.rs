//! How much a stranger's repository may take of this machine.
//!
//! Invariant: a fetch that has outgrown its bound is noticed within a second, whichever files it wrote; a single file
//! does not even grow that far, where the system has limits for processes. How long it may take is not counted here.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use forge_core::{Error, Result};

use crate::child::Output;
use crate::gix::blocking;

/// How often the disk is looked at.
const LOOKED_AT: Duration = Duration::from_millis(500);
/// The most memory of its own that a child may take, in bytes: objects say themselves how large they are.
const MAX_MEMORY: u64 = 4 << 30;

/// Limits a process, and those that it is going to start. What has ended meanwhile needs no limit.
#[cfg(target_os = "linux")]
pub(crate) fn limit(process: Option<u32>, max_file: u64) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let process = process.and_then(|id| i32::try_from(id).ok());
    // Without a number, the limit would be our own.
    let Some(process) = process.and_then(Pid::from_raw) else {
        return;
    };
    for (resource, most) in [(Resource::Fsize, max_file), (Resource::Data, MAX_MEMORY)] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        if let Err(error) = prlimit(Some(process), resource, limit) {
            tracing::warn!(%error, "a process is not limited");
        }
    }
}

/// Here the disk is looked at, and that is all.
#[cfg(not(target_os = "linux"))]
pub(crate) fn limit(_process: Option<u32>, _max_file: u64) {}

/// Returns when a directory holds more than it may.
pub(super) async fn outgrown(directory: &Path, most: u64) -> Result<Error> {
    loop {
        tokio::time::sleep(LOOKED_AT).await;
        let directory = directory.to_owned();
        let used = blocking(move || Ok(used(&directory))).await?;
        if used > most {
            return Ok(too_large(most));
        }
    }
}

/// Whether a clone failed because a file outgrew its bound.
pub(super) fn has_outgrown(output: &Output) -> bool {
    let signal = format!("died of signal {}", nix::libc::SIGXFSZ);
    let tells = |line: &String| line.contains(&signal) || line.contains("File too large");
    // One that dies of it in the middle of a pack dies without a word; one that dislikes the pack says why.
    let mut faults = output
        .messages
        .iter()
        .filter(|line| line.starts_with("fatal:") || line.starts_with("error:"));
    let is_speechless = faults
        .next()
        .is_some_and(|line| line == "fatal: fetch-pack: invalid index-pack output")
        && faults.next().is_none();
    !output.success && (is_speechless || output.messages.iter().any(tells))
}

pub(super) fn too_large(most: u64) -> Error {
    Error::invalid("source", format!("it is larger than {most} bytes"))
}

/// What lies in a directory, in bytes of the disk. What goes meanwhile does not count.
fn used(directory: &Path) -> u64 {
    let mut sum = 0;
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries {
            let Ok(meta) = entry.metadata() else {
                continue;
            };
            sum += meta.blocks() * 512;
            if meta.is_dir() {
                left.push(entry.path());
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_take_whole_blocks() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(directory.path().join("a/b")).expect("made");
        let before = used(directory.path());
        for n in 0..10 {
            std::fs::write(directory.path().join(format!("a/b/{n}")), "x").expect("written");
        }
        let grown = used(directory.path()) - before;
        assert!(grown >= 10 * 512, "{grown}");
        assert_eq!(used(Path::new("/nonexistent")), 0);
    }
}
