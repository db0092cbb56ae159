//! Requests and answers as bytes, and git's pieces in them.
//!
//! Invariant: nothing is added to what a test sends, and nothing mended in what comes back.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::Persona;
use crate::support::site::Site;

/// How long an answer may take before a test gives up on it.
pub(in crate::client) const PATIENCE: Duration = Duration::from_secs(60);

/// A request to be sent as it is.
#[derive(Debug, Clone)]
pub(in crate::client) struct Ask {
    pub(super) method: &'static str,
    path: String,
    version: &'static str,
    headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Ask {
    pub(in crate::client) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            version: "1.1",
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(in crate::client) fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    /// What a client asks first, `upload-pack` or `receive-pack`.
    pub(in crate::client) fn refs(repo: &str, service: &str) -> Self {
        Self::get(format!("/{repo}/info/refs?service=git-{service}"))
    }

    /// What a client sends next.
    pub(in crate::client) fn post(repo: &str, service: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::new("POST", format!("/{repo}/git-{service}"))
            .header(
                "content-type",
                &format!("application/x-git-{service}-request"),
            )
            .header("content-length", &body.len().to_string())
            .with_body(body)
    }

    pub(in crate::client) fn header(self, name: &str, value: &str) -> Self {
        self.header_bytes(name, value.as_bytes())
    }

    pub(super) fn header_bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without the headers of that name.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    pub(super) fn with_body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    pub(in crate::client) fn http10(mut self) -> Self {
        self.version = "1.0";
        self
    }

    /// With the body in chunks of a size.
    pub(super) fn chunked(mut self, size: usize) -> Self {
        let mut body = Vec::new();
        for chunk in self.body.chunks(size) {
            body.extend(format!("{:x}\r\n", chunk.len()).bytes());
            body.extend(chunk);
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\n\r\n");
        self.body = body;
        self.without("content-length")
            .header("transfer-encoding", "chunked")
    }

    /// Shows a persona's token as a password. A forger's was never issued.
    pub(in crate::client) fn by(self, site: &Site, persona: Persona) -> Self {
        let token = match site.world.token_of(persona) {
            Some(token) => token.to_owned(),
            None if persona == Persona::Forger => "forge_never".to_owned(),
            None => return self,
        };
        let pair = base64(format!("somebody:{token}").as_bytes());
        self.header("authorization", &format!("Basic {pair}"))
    }

    /// The bytes to send.
    pub(in crate::client) fn bytes(&self) -> Vec<u8> {
        let Self {
            method,
            path,
            version,
            ..
        } = self;
        let mut bytes = format!("{method} {path} HTTP/{version}\r\nhost: forge\r\n").into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(name.bytes());
            bytes.extend(b": ");
            bytes.extend(value);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }

    /// Sends it over a connection of its own.
    pub(in crate::client) async fn send(self, site: &Site) -> Raw {
        let is_head = self.method == "HEAD";
        let request = self.header("connection", "close").bytes();
        Raw::read(&exchange(site, &request).await, is_head)
    }
}

/// Sends bytes and takes what comes back, to its end.
async fn exchange(site: &Site, request: &[u8]) -> Vec<u8> {
    let (mut from, mut to) = TcpStream::connect(site.http).await.unwrap().into_split();
    let mut answer = Vec::new();
    let both = async {
        // The server may have had enough before the end of the request.
        let write = async {
            let _ = to.write_all(request).await;
            to
        };
        let read = async {
            let _ = from.read_to_end(&mut answer).await;
        };
        drop(tokio::join!(write, read));
    };
    let ended = tokio::time::timeout(PATIENCE, both).await;
    assert!(
        ended.is_ok(),
        "no end: {:?}",
        String::from_utf8_lossy(&answer)
    );
    answer
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::client) struct Raw {
    pub(in crate::client) status: u16,
    pub(in crate::client) headers: HeaderMap,
    pub(in crate::client) body: Vec<u8>,
}

impl Raw {
    fn read(bytes: &[u8], is_head: bool) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(bytes)));
        let head = std::str::from_utf8(&bytes[..end]).expect("text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|status| status.parse().ok());
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').expect("a header");
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, HeaderValue::from_str(value.trim()).expect("a value"));
        }
        let mut body = bytes[end + 4..].to_vec();
        if is_head {
            assert_eq!(body, b"", "an answer to HEAD has no body");
        }
        if headers.get("transfer-encoding").is_some() && !is_head {
            body = dechunked(&body);
        }
        Self {
            status: status.expect("a status"),
            headers,
            body,
        }
    }

    pub(in crate::client) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(in crate::client) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The lines of the body, without their ends and without what is no line.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = pkts(&self.body).into_iter();
        let lines = lines.filter_map(|pkt| match pkt {
            Pkt::Line(line) => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
            _ => None,
        });
        lines.collect()
    }

    /// Expects a status.
    #[track_caller]
    pub(in crate::client) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?} {}", self.headers, self.text());
        self
    }

    /// Expects one of several refusals, in words for people.
    #[track_caller]
    pub(super) fn refused(self, statuses: &[u16]) -> Self {
        let status = self.status;
        assert!(statuses.contains(&status), "{status}: {}", self.text());
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/plain"), "{status}: {kind:?}");
        assert!(!self.body.is_empty(), "{status} without a word");
        self
    }

    /// Expects what git's protocol is answered with: never from a cache, never compressed.
    #[track_caller]
    pub(super) fn smart(self, kind: &str) -> Self {
        let raw = self.is(200);
        assert_eq!(
            raw.header("content-type"),
            Some(format!("application/x-git-{kind}").as_str())
        );
        let control = raw.header("cache-control");
        assert_eq!(control, Some("no-cache, max-age=0, must-revalidate"));
        assert_eq!(raw.header("pragma"), Some("no-cache"));
        let expires = raw.header("expires").unwrap_or_default();
        assert!(expires.contains("1980"), "{expires:?}");
        for none in ["etag", "last-modified", "content-encoding"] {
            assert_eq!(raw.header(none), None, "{none}");
        }
        raw
    }

    /// Expects that it was no answer to a fetch or a listing, whatever else it was.
    #[track_caller]
    pub(super) fn tells_nothing(self) -> Self {
        let text = self.text();
        let told = text.contains("refs/heads/") || text.contains("packfile");
        assert!(!told, "{}: {text:?}", self.status);
        let is_error = self.status >= 400 || text.contains("ERR ");
        assert!(is_error, "{}: {text:?}", self.status);
        self
    }
}

fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n");
        let end = end.expect("a chunk's size");
        let size = std::str::from_utf8(&bytes[..end]).expect("text");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            return whole;
        }
        whole.extend(&bytes[end + 2..][..size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
}

pub(in crate::client) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let all = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(all >> (18 - 6 * i) & 63) as usize];
            let is_there = i <= three.len();
            text.push(if is_there { char::from(digit) } else { '=' });
        }
    }
    text
}

/// A piece of git's protocol (`gitprotocol-common(5)`, "pkt-line Format").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::client) enum Pkt {
    Flush,
    Delim,
    End,
    Line(Vec<u8>),
}

impl Pkt {
    /// What the four digits before a piece say: how much of it follows, or all of it.
    pub(in crate::client) fn head(digits: &[u8]) -> Result<usize, Self> {
        let digits = std::str::from_utf8(digits).expect("digits");
        match usize::from_str_radix(digits, 16) {
            Ok(0) => Err(Self::Flush),
            Ok(1) => Err(Self::Delim),
            Ok(2) => Err(Self::End),
            Ok(len) if len >= 4 => Ok(len - 4),
            other => panic!("{digits:?} is no length: {other:?}"),
        }
    }
}

pub(in crate::client) fn pkts(mut bytes: &[u8]) -> Vec<Pkt> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (digits, rest) = bytes.split_at(4);
        bytes = rest;
        all.push(match Pkt::head(digits) {
            Ok(len) => {
                let (line, rest) = bytes.split_at(len);
                bytes = rest;
                Pkt::Line(line.to_owned())
            }
            Err(pkt) => pkt,
        });
    }
    all
}

pub(in crate::client) fn pkt(line: &str) -> String {
    format!("{:04x}{line}", line.len() + 4)
}

/// A command of version 2 (`gitprotocol-v2(5)`, "Command Request").
pub(in crate::client) fn v2(name: &str, arguments: &[&str]) -> String {
    let mut command = pkt(&format!("command={name}\n")) + &pkt("object-format=sha1\n") + "0001";
    for argument in arguments {
        command += &pkt(&format!("{argument}\n"));
    }
    command + "0000"
}

pub(super) fn v2_post(repo: &str, body: impl Into<Vec<u8>>) -> Ask {
    Ask::post(repo, "upload-pack", body).header("git-protocol", "version=2")
}
