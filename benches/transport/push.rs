//! How long the server takes for a small push: one commit onto a branch, beside `git receive-pack` for the same bytes.
//!
//! Invariant: each push is the next commit of one history, received as a client sends it. Both write to the same disk;
//! ours also keeps a row and an event of each push. Both repositories are packed between the pushes, as a worker does when
//! there are many packs; that is not measured.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::cpu;
use crate::server::Server;
use crate::support::fixtures::git;
use crate::support::{is_test, report};
use bytes::{Bytes, BytesMut};
use tokio::runtime::Runtime;

pub(crate) fn run() {
    let count = if is_test() { 3 } else { 200 };
    let kept = tempfile::tempdir().expect("a directory");
    let source = kept.path().join("source.git");
    git(
        kept.path(),
        &["init", "-q", "--bare", "-b", "master", "source.git"],
        b"",
    );
    git(&source, &["fast-import", "--quiet"], &history(count + 1));
    let list = git(&source, &["rev-list", "--reverse", "master"], b"");
    let commits: Vec<_> = std::str::from_utf8(&list).expect("text").lines().collect();
    let pushes: Vec<_> = commits
        .windows(2)
        .map(|pair| push(&source, pair[0], pair[1]))
        .collect();
    let first = format!("{}:refs/heads/start", commits[0]);
    let base = kept.path().join("base.git");
    git(
        kept.path(),
        &["init", "-q", "--bare", "-b", "master", "base.git"],
        b"",
    );
    git(&source, &["push", "-q", "../base.git", &first], b"");
    git(&base, &["update-ref", "refs/heads/master", commits[0]], b"");

    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(Server::new(&kept.path().join("data"), &base));
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    // They take turns, so that what else the machine does meets them alike.
    let kept_at = kept.path().join("data/repositories/repos/00/00/01.git");
    for (n, bytes) in pushes.iter().enumerate() {
        if n % 16 == 0 {
            for place in [&kept_at, &base] {
                git(place, &["repack", "-adq"], b"");
            }
        }
        let begin = Instant::now();
        runtime.block_on(server.bytes("git-receive-pack", 0, Some(bytes.clone())));
        ours.push(begin.elapsed());
        let begin = Instant::now();
        let settings = [
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "receive.autogc"),
            ("GIT_CONFIG_VALUE_0", "false"),
        ];
        cpu::git(
            &base,
            &["receive-pack", "--stateless-rpc", "."],
            &settings,
            bytes,
        );
        theirs.push(begin.elapsed());
    }
    let tip = commits[commits.len() - 1];
    for place in [&kept_at, &base] {
        let found = git(place, &["rev-parse", "refs/heads/master"], b"");
        assert_eq!(
            std::str::from_utf8(&found).map(str::trim),
            Ok(tip),
            "all are in"
        );
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let found = format!("median {ours:.1} ms, git receive-pack {theirs:.1} ms");
    report("small push", &found, "<= 20 ms", ours <= 20.0);
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// So many commits, each of which changes one of a hundred files.
fn history(commits: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    for n in 0..commits {
        let text = format!("line {n}\n");
        let commit = format!(
            "commit refs/heads/master\ncommitter A <a@b> {} +0000\ndata 2\nx\n\nM 100644 inline file-{:02}\ndata {}\n{text}\n",
            1_500_000_000 + n,
            n % 100,
            text.len()
        );
        stream.extend_from_slice(commit.as_bytes());
    }
    stream
}

/// What a client sends to move `master` from one commit to the next.
fn push(source: &Path, old: &str, new: &str) -> Bytes {
    let command = format!(
        "{old} {new} refs/heads/master\0 report-status side-band-64k object-format=sha1 agent=bench"
    );
    let mut bytes = BytesMut::new();
    bytes.extend_from_slice(format!("{:04x}{command}0000", command.len() + 4).as_bytes());
    let wanted = format!("{new}\n^{old}\n");
    let arguments = ["pack-objects", "--revs", "--thin", "--stdout", "-q"];
    bytes.extend_from_slice(&git(source, &arguments, wanted.as_bytes()));
    bytes.freeze()
}
