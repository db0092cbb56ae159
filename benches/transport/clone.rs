//! What it costs to serve a whole clone, beside `git upload-pack` alone; and how much memory a stream takes that nobody
//! reads.
//!
//! Invariant: both send the same pack to a reader that throws it away. Cost is processor time, children included.

use std::path::Path;

use crate::cpu::{self, Cpu};
use crate::server::Server;
use crate::support::fixtures::git;
use crate::support::{Turns, is_test, report, repository};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::runtime::Runtime;

/// Streams that are held open at once to see what one takes.
const STREAMS: u32 = 8;

pub(crate) fn run() {
    let source = repository();
    let kept = tempfile::tempdir().expect("a directory");
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(Server::new(&kept.path().join("data"), &source));
    let request = request(&source);

    let mut ours = || {
        let begin = Cpu::now();
        let bytes = runtime.block_on(server.bytes("git-upload-pack", 2, Some(request.clone())));
        assert!(bytes > 1_000);
        begin.since()
    };
    let copy = kept.path().join("data/repositories/repos/00/00/01.git");
    let mut theirs = || {
        let begin = Cpu::now();
        let arguments = ["upload-pack", "--stateless-rpc", "."];
        let version = [("GIT_PROTOCOL", "version=2")];
        assert!(cpu::git(&copy, &arguments, &version, &request) > 1_000);
        begin.of_children_since()
    };
    let turns = Turns::take(7, &mut [&mut ours, &mut theirs]);
    let ratio = turns.ratio(0, 1);
    let found = format!(
        "{:.0} ms of processor time, git upload-pack {:.0} ms: {:.1} % more",
        turns.median(0).as_secs_f64() * 1e3,
        turns.median(1).as_secs_f64() * 1e3,
        (ratio - 1.0) * 100.0
    );
    report("full clone", &found, "<= 5 % more", ratio <= 1.05);

    let each = runtime.block_on(memory_of_a_stream(&server, &request));
    let mib = f64::from(each) / 1024.0;
    let found = format!("{mib:.1} MiB of our own memory each, {STREAMS} held");
    report("streams", &found, "<= 16 MiB", mib <= 16.0);
}

/// Asks for the whole history, as a first clone does.
fn request(repository: &Path) -> Bytes {
    let tip = git(repository, &["rev-parse", "HEAD"], b"");
    let tip = std::str::from_utf8(&tip).expect("text").trim();
    let mut request = BytesMut::new();
    let mut line = |text: &str| {
        let text = format!("{:04x}{text}", text.len() + 4);
        request.extend_from_slice(text.as_bytes());
    };
    line("command=fetch");
    line("object-format=sha1");
    let mut arguments = BytesMut::new();
    arguments.extend_from_slice(b"0001");
    for text in ["ofs-delta", "no-progress", &format!("want {tip}"), "done"] {
        arguments.extend_from_slice(format!("{:04x}{text}\n", text.len() + 5).as_bytes());
    }
    arguments.extend_from_slice(b"0000");
    request.extend_from_slice(&arguments);
    request.freeze()
}

/// By how many KiB this process grows for each stream of which only the first piece is read.
async fn memory_of_a_stream(server: &Server, request: &Bytes) -> u32 {
    let before = resident();
    let mut held = Vec::new();
    for _ in 0..STREAMS {
        let mut answer = server
            .ask("git-upload-pack", 2, Some(request.clone()))
            .await;
        let first = answer.body_mut().frame().await;
        assert!(first.is_some_and(|frame| frame.is_ok()));
        held.push(answer);
    }
    if !is_test() {
        // Until the pipes are full.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    }
    resident().saturating_sub(before) / STREAMS
}

/// The memory of this process, in KiB.
fn resident() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|text| text.parse().ok()).expect("a number")
}
