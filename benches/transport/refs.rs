//! What it costs to tell a client which refs there are: 10,000 of them, beside `git http-backend` telling the same.
//!
//! Invariant: both are asked the same, and both answers are read to their ends. Cost is processor time, children
//! included; sockets are no part of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::absence;
use crate::cpu::{self, Cpu};
use crate::server::Server;
use crate::support::fixtures::git;
use crate::support::{Turns, is_test, report};
use bytes::Bytes;
use tokio::runtime::Runtime;

const LS_REFS: &[u8] = b"0014command=ls-refs\n0001000csymrefs\n0009peel\n000bunborn\n0000";

pub(crate) fn run() {
    let count = if is_test() { 100 } else { 10_000 };
    let rounds = if is_test() { 1 } else { 20 };
    let kept = tempfile::tempdir().expect("a directory");
    let source = repository(kept.path(), count);
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(Server::new(&kept.path().join("data"), &source));

    let info = "info/refs?service=git-upload-pack";
    let ours = |rest: &'static str, body: Option<&'static [u8]>| {
        let server = &server;
        let runtime = &runtime;
        move || {
            let begin = Cpu::now();
            for _ in 0..rounds {
                runtime.block_on(server.bytes(rest, 2, body.map(Bytes::from_static)));
            }
            begin.since() / rounds
        }
    };
    let theirs = |env: &'static [(&'static str, &'static str)], body: &'static [u8]| {
        let root = kept.path().to_str().expect("text").to_owned();
        move || {
            let begin = Cpu::now();
            for _ in 0..rounds {
                backend(&root, env, body);
            }
            begin.of_children_since() / rounds
        }
    };
    let get = &[
        ("REQUEST_METHOD", "GET"),
        ("PATH_INFO", "/refs.git/info/refs"),
        ("QUERY_STRING", "service=git-upload-pack"),
    ];
    let post = &[
        ("REQUEST_METHOD", "POST"),
        ("PATH_INFO", "/refs.git/git-upload-pack"),
        ("CONTENT_TYPE", "application/x-git-upload-pack-request"),
    ];
    compare("info/refs, version 2", ours(info, None), theirs(get, b""));
    compare(
        "ls-refs",
        ours("git-upload-pack", Some(LS_REFS)),
        theirs(post, LS_REFS),
    );
    absence::run(&server, &runtime);
}

fn compare(what: &str, mut ours: impl FnMut() -> Duration, mut theirs: impl FnMut() -> Duration) {
    let turns = Turns::take(9, &mut [&mut ours, &mut theirs]);
    let ratio = turns.ratio(1, 0);
    let micros = |way| turns.median(way).as_secs_f64() * 1e6;
    let found = format!(
        "{:.0} µs of processor time, git http-backend {:.0} µs: {ratio:.1} times less",
        micros(0),
        micros(1)
    );
    report(what, &found, ">= 5 times less", ratio >= 5.0);
}

fn backend(root: &str, env: &[(&str, &str)], body: &[u8]) {
    let length = body.len().to_string();
    let mut all = vec![
        ("GIT_PROJECT_ROOT", root),
        ("GIT_HTTP_EXPORT_ALL", "1"),
        ("GIT_PROTOCOL", "version=2"),
        ("CONTENT_LENGTH", &length),
    ];
    all.extend_from_slice(env);
    assert!(cpu::git(Path::new(root), &["http-backend"], &all, body) > 0);
}

/// A bare repository with one commit and so many branches, packed.
fn repository(below: &Path, count: usize) -> PathBuf {
    let path = below.join("refs.git");
    git(
        below,
        &["init", "-q", "--bare", "-b", "master", "refs.git"],
        b"",
    );
    let mut stream =
        b"commit refs/heads/master\ncommitter A <a@b> 1500000000 +0000\ndata 1\nx\n".to_vec();
    for n in 0..count {
        let line = format!("reset refs/heads/topic/{n:05}\nfrom refs/heads/master\n\n");
        stream.extend_from_slice(line.as_bytes());
    }
    git(&path, &["fast-import", "--quiet"], &stream);
    git(&path, &["pack-refs", "--all"], b"");
    path
}
