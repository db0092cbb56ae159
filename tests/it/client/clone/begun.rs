//! Large repositories, fetches that stop in the middle, and the processes behind them.
//!
//! Invariant: a fetch that has begun goes on only when the test takes more of it.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use forge::objects::ImportSource;
use forge::repos::Visibility;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::process::Child;

use crate::client::http::{Ask, PATIENCE, Pkt, v2};
use crate::client::ssh;
use crate::support::site::{Site, Way};
use crate::support::{Persona, fixture};

/// How soon the processes of a client that went away must be gone, on a machine that is busy.
pub(super) const GONE: Duration = Duration::from_secs(10);

/// A repository of incompressible megabytes, more of them than any buffer on the way holds.
pub(in crate::client) async fn big(site: &Site) -> String {
    const FILES: usize = 24;
    const BYTES: usize = 384 << 10;
    let mut stream = b"blob\nmark :1\ndata 0\n".to_vec();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for i in 0..FILES {
        let head = format!(
            "commit refs/heads/master\ncommitter A <a@b.c> {} +0000\ndata 1\n{}\n",
            1_600_000_000 + i,
            i % 10
        );
        stream.extend(head.bytes());
        stream.extend(format!("M 100644 inline f{i}\ndata {BYTES}\n").bytes());
        for _ in 0..BYTES / 8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            stream.extend(state.to_le_bytes());
        }
        stream.push(b'\n');
    }
    let path = fixture::import(site.world.dir.path(), "big.git", &stream);
    let source = ImportSource::Path(path.clone());
    site.world.import("big", Visibility::Public, &source).await;
    fixture::git_text(&path, &["rev-parse", "master"])
}

/// A repository with a line of ten commits, a day apart, each with a tag `t0` to `t9`.
pub(in crate::client) async fn line(site: &Site) -> PathBuf {
    let mut stream = String::new();
    for i in 0..10 {
        let when = 1_500_000_000 + i * 86_400;
        stream += &format!(
            "commit refs/heads/master\nmark :{}\ncommitter A <a@b.c> {when} +0000\ndata 1\n{i}\n\
             M 100644 inline dir/f{i}\ndata 30\n{}\nreset refs/tags/t{i}\nfrom :{}\n\n",
            i + 1,
            format!("{i}").repeat(30),
            i + 1
        );
    }
    let path = fixture::import(site.world.dir.path(), "line.git", stream.as_bytes());
    let source = ImportSource::Path(path.clone());
    site.world.import("line", Visibility::Public, &source).await;
    path
}

/// The processes that are at work in the site's repositories, and what they are.
pub(in crate::client) fn at_work(site: &Site) -> Vec<String> {
    let place = site.world.dir.path().join("data/repositories");
    let place = place.to_str().expect("text");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let entry = entry.unwrap().path();
        // What is gone by now reads as nothing.
        let read = |file: &str| fs::read(entry.join(file)).unwrap_or_default();
        let words = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let env = String::from_utf8_lossy(&read("environ")).into_owned();
        let cwd = fs::read_link(entry.join("cwd")).unwrap_or_default();
        if words.contains(place) || env.contains(place) || cwd.starts_with(place) {
            found.push(format!("{}: {words}", entry.display()));
        }
    }
    found
}

/// Children of this process that ended and that nobody has asked about.
fn unwaited() -> Vec<PathBuf> {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_unwaited = |path: &PathBuf| {
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = after.split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(&own)
    };
    entries.filter(is_unwaited).collect()
}

/// Waits until no process is at work for the site any more, and none of those that were is left unwaited for.
pub(in crate::client) async fn all_gone(site: &Site) {
    let begun = Instant::now();
    let mut unwaited_at_first = unwaited();
    loop {
        let at_work = at_work(site);
        let now = unwaited();
        unwaited_at_first.retain(|child| now.contains(child));
        if at_work.is_empty() && unwaited_at_first.is_empty() {
            return;
        }
        let left = begun.elapsed() < GONE;
        assert!(left, "left: {at_work:?}, unwaited: {unwaited_at_first:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A fetch that has begun: some of its pack has come, and the client takes no more of it for now.
pub(in crate::client) struct Begun {
    from: Box<dyn AsyncRead + Send + Unpin>,
    to: Box<dyn AsyncWrite + Send + Unpin>,
    child: Option<Child>,
    pack: Vec<u8>,
}

impl Begun {
    /// Asks for everything below `tip`, with version 2. What the server says instead, if it refuses.
    pub(in crate::client) async fn new(
        site: &Site,
        way: Way,
        persona: Persona,
        repo: &str,
        tip: &str,
    ) -> Result<Self, String> {
        let want = format!("want {tip}");
        let command = v2("fetch", &["no-progress", "ofs-delta", &want, "done"]);
        let begun = async {
            match way {
                Way::Http => Self::over_http(site, persona, repo, &command).await,
                Way::Ssh => Self::over_ssh(site, persona, repo, &command).await,
            }
        };
        let begun = tokio::time::timeout(PATIENCE, begun).await;
        begun.expect("it begins in time")
    }

    async fn over_http(
        site: &Site,
        persona: Persona,
        repo: &str,
        command: &str,
    ) -> Result<Self, String> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let (mut from, mut to) = socket.connect(site.http).await.unwrap().into_split();
        // HTTP/1.0 has no chunks.
        let ask = Ask::post(repo, "upload-pack", command).http10();
        let ask = ask.header("git-protocol", "version=2").by(site, persona);
        to.write_all(&ask.bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(from.read_u8().await.map_err(|error| error.to_string())?);
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        if text.split(' ').nth(1) != Some("200") {
            let mut body = String::new();
            from.read_to_string(&mut body).await.unwrap();
            return Err(text + &body);
        }
        Self {
            from: Box::new(from),
            to: Box::new(to),
            child: None,
            pack: Vec::new(),
        }
        .started()
        .await
    }

    async fn over_ssh(
        site: &Site,
        persona: Persona,
        repo: &str,
        command: &str,
    ) -> Result<Self, String> {
        let run = format!("git-upload-pack '{repo}'");
        let options = ["-o", "SetEnv=GIT_PROTOCOL=version=2"];
        let mut ssh = ssh::command_of(site, &site.key_of(persona), &options, &[&run]);
        let mut child = ssh.spawn().expect("ssh");
        let mut begun = Self {
            from: Box::new(child.stdout.take().expect("a pipe")),
            to: Box::new(child.stdin.take().expect("a pipe")),
            child: Some(child),
            pack: Vec::new(),
        };
        loop {
            match begun.next().await {
                Ok(Pkt::Flush) => break,
                Ok(_) => {}
                Err(_) => return Err(begun.said().await),
            }
        }
        begun.to.write_all(command.as_bytes()).await.unwrap();
        begun.to.flush().await.unwrap();
        begun.started().await
    }

    /// What the client printed before it ended.
    async fn said(self) -> String {
        let output = self.child.expect("a client").wait_with_output().await;
        String::from_utf8_lossy(&output.unwrap().stderr).into_owned()
    }

    async fn started(mut self) -> Result<Self, String> {
        loop {
            match self.next().await {
                Ok(Pkt::Line(line)) if line.starts_with(b"ERR ") => {
                    return Err(String::from_utf8_lossy(&line).into_owned());
                }
                Ok(Pkt::Line(line)) if line.first() == Some(&1) => {
                    self.pack.extend(&line[1..]);
                    return Ok(self);
                }
                Ok(_) => {}
                Err(error) => {
                    return Err(match self.child {
                        Some(_) => self.said().await,
                        None => error.to_string(),
                    });
                }
            }
        }
    }

    async fn next(&mut self) -> io::Result<Pkt> {
        let mut digits = [0; 4];
        self.from.read_exact(&mut digits).await?;
        match Pkt::head(&digits) {
            Err(pkt) => Ok(pkt),
            Ok(len) => {
                let mut line = vec![0; len];
                self.from.read_exact(&mut line).await?;
                Ok(Pkt::Line(line))
            }
        }
    }

    /// Takes the rest; the whole pack, if it came to its end.
    pub(in crate::client) async fn rest(mut self) -> io::Result<Vec<u8>> {
        let reading = async {
            loop {
                match self.next().await? {
                    Pkt::Line(line) if line.first() == Some(&1) => self.pack.extend(&line[1..]),
                    Pkt::Line(line) if line.first() == Some(&3) => {
                        let said = String::from_utf8_lossy(&line).into_owned();
                        return Err(io::Error::other(said));
                    }
                    Pkt::Flush => return Ok(()),
                    _ => {}
                }
            }
        };
        let ended = tokio::time::timeout(PATIENCE, reading).await;
        ended.expect("it ends in time")?;
        // A client that says goodbye.
        drop(self.to);
        if let Some(mut child) = self.child {
            let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
            assert_eq!(ended.expect("it ends in time")?.code(), Some(0));
        }
        Ok(self.pack)
    }

    /// The client dies.
    pub(in crate::client) async fn dies(self) {
        if let Some(mut child) = self.child {
            child.kill().await.unwrap();
        }
    }
}
