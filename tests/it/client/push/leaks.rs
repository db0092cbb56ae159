//! Clients that go away in the middle, a thousand times.
//!
//! Invariant: the server is a process of its own here, so what is counted is its and nobody else's.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::future::join;
use futures::stream::{self, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::client::hostile::wire::{FLUSH, pkt};
use crate::support::fixture;
use crate::support::process::Launch;

/// How many clients go away before anything is counted, and after: over HTTP, and over SSH.
const BEFORE: (usize, usize) = (150, 10);
const AFTER: (usize, usize) = (800, 40);
/// How long all of them may take.
const BUDGET: Duration = Duration::from_secs(40);

/// What a process has: memory in KiB, open descriptors, children.
#[derive(Debug, Clone, Copy)]
struct Held {
    memory: u64,
    descriptors: usize,
    children: usize,
}

/// The processes of this machine with their parents and names.
fn processes() -> Vec<(u32, u32, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id: u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let parent = rest.split_whitespace().nth(1)?.parse().ok()?;
        Some((id, parent, name.to_owned()))
    })
    .collect()
}

fn held(id: u32) -> Held {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = memory.unwrap().trim().trim_end_matches(" kB");
    Held {
        memory: memory.parse().unwrap(),
        descriptors: fs::read_dir(format!("/proc/{id}/fd")).unwrap().count(),
        children: processes()
            .iter()
            .filter(|(_, parent, _)| *parent == id)
            .count(),
    }
}

/// Waits until a process has no children and no more descriptors than that.
async fn calm(id: u32, descriptors: usize) -> Held {
    for _ in 0..400 {
        let held = held(id);
        if held.children == 0 && held.descriptors <= descriptors {
            return held;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    held(id)
}

/// A repository whose clone is too large for what lies between server and client.
fn large(dir: &Path) -> std::path::PathBuf {
    let mut stream =
        b"commit refs/heads/master\ncommitter Ada <ada@example.org> 1500000000 +0000\ndata 0\n"
            .to_vec();
    let mut state = 88_172_645_463_325_252_u64;
    for at in 0..24 {
        stream.extend(format!("M 100644 inline file-{at}\ndata 1000000\n").into_bytes());
        for _ in 0..125_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            stream.extend(state.to_le_bytes());
        }
        stream.push(b'\n');
    }
    stream.extend(b"\ndone\n");
    fixture::import(dir, "large.git", &stream)
}

/// Asks for everything over HTTP, reads a little, and goes away.
async fn ask_and_leave(host: &str, head: &str, body: &[u8], some: usize) {
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream
        .write_all(&[head.as_bytes(), body].concat())
        .await
        .unwrap();
    let mut buffer = vec![0; some];
    stream.read_exact(&mut buffer).await.unwrap();
    assert!(
        buffer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&buffer)
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "stock clients are what is tested with"
)]
fn stock(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Asks for everything over SSH, reads a little, and is killed.
async fn ask_and_die(address: &str, key: &str, repo: &str, body: &[u8], some: usize) {
    let (host, port) = address.rsplit_once(':').unwrap();
    let exec = format!("git-upload-pack '{repo}'");
    let options = "-F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
                   -o IdentitiesOnly=yes -i";
    let options: Vec<_> = options.split_whitespace().collect();
    let arguments = [&options[..], &[key, "-p", port, host, &exec]].concat();
    let mut child = stock("ssh", &arguments).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(body).await.unwrap();
    let mut buffer = vec![0; some];
    let read = child.stdout.as_mut().unwrap().read_exact(&mut buffer).await;
    read.expect("a part of a clone");
    child.kill().await.unwrap();
}

#[tokio::test]
async fn a_thousand_clients_that_go_away_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let source = large(dir.path());
    let master = fixture::git_text(&source, &["rev-parse", "master"]);
    let key = dir.path().join("key");
    let key = key.to_str().unwrap();
    let keygen = ["-q", "-t", "ed25519", "-N", "", "-C", "leaks", "-f", key];
    assert!(
        stock("ssh-keygen", &keygen)
            .status()
            .await
            .unwrap()
            .success()
    );
    let launch = Launch::new(dir.path(), "leaks")
        .importing("large", &source)
        .with(["--ssh-key", &format!("{key}.pub")]);
    let server = launch.start().await;
    let us = std::process::id();
    let all = processes();
    let ours = |found: &&(u32, u32, String)| found.1 == us && found.2.starts_with("standalone");
    // With `cargo test` other tests have such children, too.
    let id = all.iter().filter(ours).map(|found| found.0).find(|id| {
        let cwd = fs::read_link(format!("/proc/{id}/cwd"));
        cwd.is_ok_and(|cwd| cwd == dir.path().canonicalize().unwrap())
    });
    let id = id.expect("it runs");

    let host = server.env["FORGE_GIT_URL"].strip_prefix("http://").unwrap();
    let user = &server.env["FORGE_USER"];
    let fetch = [
        pkt("command=fetch"),
        b"0001".to_vec(),
        pkt("ofs-delta"),
        pkt(format!("want {master}\n")),
        pkt("done\n"),
        FLUSH.to_vec(),
    ]
    .concat();
    let head = format!(
        "POST /~{user}/large/git-upload-pack HTTP/1.1\r\nhost: {host}\r\ngit-protocol: version=2\r\n\
         content-type: application/x-git-upload-pack-request\r\nauthorization: {}\r\ncontent-length: {}\r\n\r\n",
        super::super::hostile::wire::basic(user, server.client.token()),
        fetch.len()
    );
    let wants = [
        pkt(format!("want {master} ofs-delta side-band-64k\n")),
        FLUSH.to_vec(),
        pkt("done\n"),
    ]
    .concat();
    let ssh = server.env["FORGE_SSH_URL"].strip_prefix("ssh://").unwrap();
    let repo = format!("~{user}/large");
    let leave = async |(http, over_ssh): (usize, usize)| {
        let (head, fetch, wants, repo) = (&head, &fetch, &wants, &repo);
        let http = stream::iter(0..http).for_each_concurrent(3, move |at| {
            ask_and_leave(host, head, fetch, [100, 5_000, 200_000, 1_500_000][at % 4])
        });
        let over_ssh = stream::iter(0..over_ssh).for_each_concurrent(1, move |at| {
            ask_and_die(ssh, key, repo, wants, [1_000, 300_000, 1_500_000][at % 3])
        });
        join(http, over_ssh).await
    };

    let begun = Instant::now();
    leave(BEFORE).await;
    let before = calm(id, usize::MAX).await;
    leave(AFTER).await;
    let took = begun.elapsed();
    let after = calm(id, before.descriptors).await;
    assert!(
        took < BUDGET,
        "{took:?} for {BEFORE:?} and {AFTER:?} clients"
    );
    assert_eq!(after.children, 0, "{before:?} {after:?}");
    assert!(
        after.descriptors <= before.descriptors + 4,
        "{before:?} {after:?}"
    );
    assert!(
        after.memory < before.memory + 24 * 1024,
        "{before:?} {after:?}"
    );
    server.stop().await;
}
