//! What a push is on the wire: packets, commands, reports; and a client that sends any bytes at all.
//!
//! Invariant: nothing is checked here before it is sent, and an answer is split but not judged.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::Persona;
use crate::support::site::{Client, Ran, Site};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// No object.
pub(in crate::client) const ZERO: &str = "0000000000000000000000000000000000000000";
pub(in crate::client) const FLUSH: &[u8] = b"0000";
/// What a client of today asks for.
pub(in crate::client) const CAPS: &str =
    "report-status side-band-64k ofs-delta object-format=sha1 agent=test/1";

/// A packet.
pub(in crate::client) fn pkt(data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    [format!("{:04x}", data.len() + 4).as_bytes(), data].concat()
}

/// One ref to change: what it was, what it is to be, its name.
pub(in crate::client) type Command<'a> = (&'a str, &'a str, &'a [u8]);

/// The commands of a push and the flush after them.
pub(in crate::client) fn commands(list: &[Command<'_>], caps: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, (old, new, name)) in list.iter().enumerate() {
        let mut line = format!("{old} {new} ").into_bytes();
        line.extend_from_slice(name);
        if at == 0 {
            line.push(0);
            line.extend_from_slice(caps.as_bytes());
        }
        out.extend(pkt(line));
    }
    out.extend(FLUSH);
    out
}

/// What the server said about a push.
#[derive(Debug, Default, Clone)]
pub(in crate::client) struct Report {
    /// `ok`, or what went wrong.
    pub(in crate::client) unpack: Option<String>,
    /// The refs in order, each with what is wrong with it.
    pub(in crate::client) refs: Vec<(String, Option<String>)>,
    /// Options that came after a ref.
    pub(in crate::client) options: Vec<String>,
    /// The lines for a person.
    pub(in crate::client) told: String,
    /// An error that ended it.
    pub(in crate::client) died: String,
    /// Whether it came in bands.
    pub(in crate::client) banded: bool,
}

impl Report {
    /// Reads an answer to a push.
    pub(in crate::client) fn parse(body: &[u8]) -> Self {
        let mut report = Self::default();
        let mut inner = Vec::new();
        for packet in packets(body).flatten() {
            match packet {
                [1, data @ ..] => inner.extend_from_slice(data),
                [2, data @ ..] => report.told += &String::from_utf8_lossy(data),
                [3, data @ ..] => report.died += &String::from_utf8_lossy(data),
                line => {
                    report.line(line);
                    continue;
                }
            }
            report.banded = true;
        }
        for line in packets(&inner).flatten() {
            report.line(line);
        }
        report
    }

    /// Reads what comes on a stream: an advertisement first.
    pub(in crate::client) fn after_advertisement(stream: &[u8]) -> Self {
        let mut rest = stream;
        while let Some(packet) = take(&mut rest) {
            if packet.is_none() {
                break;
            }
        }
        Self::parse(rest)
    }

    fn line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\n');
        match line.split_once(' ') {
            Some(("unpack", how)) => self.unpack = Some(how.to_owned()),
            Some(("ok", name)) => self.refs.push((name.to_owned(), None)),
            Some(("ng", rest)) => {
                let (name, why) = rest.split_once(' ').unwrap_or((rest, ""));
                self.refs.push((name.to_owned(), Some(why.to_owned())));
            }
            Some(("option", rest)) => self.options.push(rest.to_owned()),
            Some(("ERR", why)) => self.died += why,
            _ => self.died += line,
        }
    }

    /// Whether all that was asked for was done.
    pub(in crate::client) fn is_good(&self) -> bool {
        self.unpack.as_deref() == Some("ok")
            && !self.refs.is_empty()
            && self.refs.iter().all(|(_, why)| why.is_none())
    }

    /// Every reason that was given, of any kind.
    pub(in crate::client) fn reasons(&self) -> String {
        let mut text = format!("{}\n{}\n", self.told, self.died);
        for why in self.refs.iter().filter_map(|(_, why)| why.as_ref()) {
            let _ = writeln!(text, "{why}");
        }
        text + self
            .unpack
            .as_deref()
            .filter(|how| *how != "ok")
            .unwrap_or("")
    }
}

/// The packets of a stream, flushes as `None`; ends where they end or make no sense.
pub(in crate::client) fn packets(stream: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = stream;
    std::iter::from_fn(move || take(&mut rest))
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (digits, after) = rest.split_at_checked(4)?;
    let len = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    if len < 4 {
        *rest = after;
        return Some(None);
    }
    let (data, after) = after.split_at_checked(len - 4)?;
    *rest = after;
    Some(Some(data))
}

/// An answer over HTTP.
#[derive(Debug)]
pub(in crate::client) struct Reply {
    pub(in crate::client) status: u16,
    /// In lower case.
    pub(in crate::client) head: String,
    pub(in crate::client) body: Vec<u8>,
}

impl Reply {
    pub(in crate::client) fn parse(raw: &[u8]) -> Option<Self> {
        let end = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, body) = raw.split_at(end + 4);
        let head = String::from_utf8_lossy(head).to_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let body = if head.contains("transfer-encoding: chunked") {
            dechunk(body)
        } else {
            body.to_vec()
        };
        Some(Self { status, head, body })
    }

    pub(in crate::client) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(in crate::client) fn report(&self) -> Report {
        Report::parse(&self.body)
    }
}

fn dechunk(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let from = end + 2;
        let Some(chunk) = body.get(from..from + size) else {
            break;
        };
        out.extend_from_slice(chunk);
        body = body.get(from + size + 2..).unwrap_or_default();
    }
    out
}

/// The value of an `authorization` header with a persona's token as password.
pub(in crate::client) fn authorization(site: &Site, persona: Persona) -> String {
    let token = site.world.token_of(persona).unwrap_or_default();
    basic(persona.user().unwrap_or_default(), token)
}

/// The value of an `authorization` header with a name and a password.
pub(in crate::client) fn basic(name: &str, password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = "Basic ".to_owned();
    for group in format!("{name}:{password}").as_bytes().chunks(3) {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | u32::from(group.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * at) & 63).unwrap();
            let used = at <= group.len();
            text.push(if used { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    text
}

/// The head of a push over HTTP without how long its body is.
pub(in crate::client) fn head(site: &Site, persona: Persona, repo: &str) -> String {
    format!(
        "POST /{repo}/git-receive-pack HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\n\
         content-type: application/x-git-receive-pack-request\r\nconnection: close\r\n",
        site.http,
        authorization(site, persona)
    )
}

/// Sends bytes to the HTTP port, ends, and waits for what comes back; `None` if nothing does.
pub(in crate::client) async fn send(site: &Site, bytes: &[u8]) -> Option<Reply> {
    let stream = TcpStream::connect(site.http).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let write = async {
        // The server may have had enough.
        let _ = write.write_all(bytes).await;
        write
    };
    let read = async {
        let mut raw = Vec::new();
        let _ = read.read_to_end(&mut raw).await;
        raw
    };
    let both = async { tokio::join!(write, read).1 };
    let raw = tokio::time::timeout(PATIENCE, both).await;
    Reply::parse(&raw.expect("an answer in time"))
}

/// Sends bytes to the HTTP port, sends no more, and waits until the server has had enough.
pub(in crate::client) async fn hold(site: &Site, bytes: &[u8]) -> Option<Reply> {
    let mut stream = TcpStream::connect(site.http).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut raw = Vec::new();
    let read = async {
        let _ = stream.read_to_end(&mut raw).await;
    };
    let read = tokio::time::timeout(PATIENCE, read).await;
    read.expect("the server ends it");
    Reply::parse(&raw)
}

/// Sends bytes to the HTTP port and goes away as a client does that was killed.
pub(in crate::client) async fn abandon(site: &Site, bytes: &[u8]) {
    let mut stream = TcpStream::connect(site.http).await.unwrap();
    stream.write_all(bytes).await.unwrap();
}

/// Pushes bytes over HTTP.
pub(in crate::client) async fn post(
    site: &Site,
    persona: Persona,
    repo: &str,
    body: &[u8],
) -> Reply {
    post_with(site, persona, repo, "", body).await
}

/// Pushes bytes over HTTP with more headers, each with its line's end.
pub(in crate::client) async fn post_with(
    site: &Site,
    persona: Persona,
    repo: &str,
    headers: &str,
    body: &[u8],
) -> Reply {
    let head = head(site, persona, repo);
    let head = format!("{head}{headers}content-length: {}\r\n\r\n", body.len());
    let reply = send(site, &[head.as_bytes(), body].concat()).await;
    reply.expect("an answer")
}

/// Pushes bytes over SSH.
pub(in crate::client) async fn exec(site: &Site, client: &Client, repo: &str, body: &[u8]) -> Ran {
    let address = format!("git@{}", site.ssh.ip());
    let command = format!("git-receive-pack '{repo}'");
    client.ssh_with(site, &[&address, &command], body).await
}
