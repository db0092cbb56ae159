//! What git over HTTP looks like on the wire, byte by byte: the rows H01 to H24 of the sheet, and its section 2.5.
//!
//! Requests are written by hand, so that nothing a library would add or mend is between the test and the server. What
//! people see of it is asked of git.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use forge::push::{PendingPush, Verdict};
use forge::repos::RepoChange;
use forge::{Forge, Limits, Plugin, Scope};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::site::{Site, Way, command, run};
use crate::support::{Database, Persona, alice, fixture};

/// How long an answer may take before a test gives up on it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A request to be sent as it is.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    method: &'static str,
    path: String,
    version: &'static str,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Ask {
    pub(super) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            version: "1.1",
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    /// What a client asks first, `upload-pack` or `receive-pack`.
    pub(super) fn refs(repo: &str, service: &str) -> Self {
        Self::get(format!("/{repo}/info/refs?service=git-{service}"))
    }

    /// What a client sends next.
    pub(super) fn post(repo: &str, service: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::new("POST", format!("/{repo}/git-{service}"))
            .header(
                "content-type",
                &format!("application/x-git-{service}-request"),
            )
            .header("content-length", &body.len().to_string())
            .with_body(body)
    }

    pub(super) fn header(self, name: &str, value: &str) -> Self {
        self.header_bytes(name, value.as_bytes())
    }

    fn header_bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without the headers of that name.
    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    fn with_body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    pub(super) fn http10(mut self) -> Self {
        self.version = "1.0";
        self
    }

    /// With the body in chunks of a size.
    fn chunked(mut self, size: usize) -> Self {
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
    pub(super) fn by(self, site: &Site, persona: Persona) -> Self {
        let token = match site.world.token_of(persona) {
            Some(token) => token.to_owned(),
            None if persona == Persona::Forger => "forge_never".to_owned(),
            None => return self,
        };
        let pair = base64(format!("somebody:{token}").as_bytes());
        self.header("authorization", &format!("Basic {pair}"))
    }

    /// The bytes to send.
    pub(super) fn bytes(&self) -> Vec<u8> {
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
    pub(super) async fn send(self, site: &Site) -> Raw {
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
pub(super) struct Raw {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
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

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The lines of the body, without their ends and without what is no line.
    fn lines(&self) -> Vec<String> {
        let lines = pkts(&self.body).into_iter();
        let lines = lines.filter_map(|pkt| match pkt {
            Pkt::Line(line) => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
            _ => None,
        });
        lines.collect()
    }

    /// Expects a status.
    #[track_caller]
    pub(super) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?} {}", self.headers, self.text());
        self
    }

    /// Expects one of several refusals, in words for people.
    #[track_caller]
    fn refused(self, statuses: &[u16]) -> Self {
        let status = self.status;
        assert!(statuses.contains(&status), "{status}: {}", self.text());
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/plain"), "{status}: {kind:?}");
        assert!(!self.body.is_empty(), "{status} without a word");
        self
    }

    /// Expects what git's protocol is answered with: never from a cache, never compressed.
    #[track_caller]
    fn smart(self, kind: &str) -> Self {
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
    fn tells_nothing(self) -> Self {
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

pub(super) fn base64(bytes: &[u8]) -> String {
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
pub(super) enum Pkt {
    Flush,
    Delim,
    End,
    Line(Vec<u8>),
}

impl Pkt {
    /// What the four digits before a piece say: how much of it follows, or all of it.
    pub(super) fn head(digits: &[u8]) -> Result<usize, Self> {
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

pub(super) fn pkts(mut bytes: &[u8]) -> Vec<Pkt> {
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

pub(super) fn pkt(line: &str) -> String {
    format!("{:04x}{line}", line.len() + 4)
}

/// A command of version 2 (`gitprotocol-v2(5)`, "Command Request").
pub(super) fn v2(name: &str, arguments: &[&str]) -> String {
    let mut command = pkt(&format!("command={name}\n")) + &pkt("object-format=sha1\n") + "0001";
    for argument in arguments {
        command += &pkt(&format!("{argument}\n"));
    }
    command + "0000"
}

fn v2_post(repo: &str, body: impl Into<Vec<u8>>) -> Ask {
    Ask::post(repo, "upload-pack", body).header("git-protocol", "version=2")
}

/// A plugin that holds every push until it is let go.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<(Notify, Notify)>);

impl Gate {
    /// Waits until a push has come.
    pub(super) async fn reached(&self) {
        let came = tokio::time::timeout(PATIENCE, self.0.0.notified()).await;
        came.expect("a push comes");
    }

    /// Lets it go.
    pub(super) fn open(&self) {
        self.0.1.notify_one();
    }
}

#[async_trait]
impl Plugin for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    async fn pre_receive(&self, _: &Forge, _: &PendingPush<'_>) -> forge::Result<Verdict> {
        self.0.0.notify_one();
        self.0.1.notified().await;
        Ok(Verdict::Accept)
    }
}

/// A site whose pushes are held, for as long as the test wants.
pub(super) async fn gated() -> (Site, Gate) {
    let gate = Gate::default();
    let site = Site::with(Database::Sqlite, |builder| {
        let mut limits = Limits::default();
        limits.push.decision = 2 * PATIENCE;
        builder.limits(limits).plugin(gate.clone())
    });
    (site.await, gate)
}

/// Gives a repository of alice's another name.
pub(super) async fn rename(site: &Site, from: &str, to: &str) {
    let owner = site.world.owner().await;
    let repo = owner.manage_repo(&alice(from), Scope::Repositories).await;
    let change = RepoChange {
        name: Some(to.parse().unwrap()),
        ..RepoChange::default()
    };
    repo.unwrap().update(&change).await.unwrap();
}

/// What a repository lists, as git tells it on the server: `id name` on each line.
async fn listed(site: &Site, repo: &str) -> Vec<String> {
    let dir = site.dir_of(repo).await;
    let all = fixture::git_text(&dir, &["ls-remote", "."]);
    all.lines().map(|line| line.replace('\t', " ")).collect()
}

#[tokio::test]
async fn what_there_is_to_fetch_is_told_as_gits_own_server_tells_it() {
    let site = Site::new().await;
    let listed = listed(&site, "~alice/open").await;
    for repo in ["~alice/open", "~alice/open.git", "%7Ealice/open"] {
        let ask = Ask::refs(repo, "upload-pack").header("accept-encoding", "gzip, deflate");
        let plain = ask.clone().send(&site).await;
        let plain = plain.smart("upload-pack-advertisement");
        assert!(
            plain
                .body
                .starts_with(b"001e# service=git-upload-pack\n0000")
        );
        assert!(plain.body.ends_with(b"0000"));
        assert_eq!(
            plain.body.windows(8).filter(|w| *w == b"symref=H").count(),
            1
        );
        assert!(plain.text().contains("symref=HEAD:refs/heads/master"));
        let refs = |raw: &Raw, skip| -> Vec<_> {
            let lines = raw.lines().into_iter().skip(skip);
            let name = |line: String| line.split('\0').next().map(str::to_owned);
            lines.filter_map(name).collect()
        };
        assert_eq!(refs(&plain, 1), listed, "{repo}");

        let first = ask.clone().header("git-protocol", "version=1").send(&site);
        let first = first.await.smart("upload-pack-advertisement");
        assert_eq!(first.lines()[1], "version 1");
        assert_eq!(refs(&first, 2), listed, "{repo}");

        let second = ask.header("git-protocol", "version=2").send(&site).await;
        let second = second.smart("upload-pack-advertisement");
        let lines = second.lines();
        assert_eq!(lines[0], "version 2");
        let fetch = lines.iter().find(|line| line.starts_with("fetch="));
        let fetch: Vec<_> = fetch.expect("fetch")["fetch=".len()..].split(' ').collect();
        for feature in ["shallow", "filter", "ref-in-want", "wait-for-done"] {
            assert!(fetch.contains(&feature), "{fetch:?}");
        }
        assert!(
            lines.contains(&"object-format=sha1".to_owned()),
            "{lines:?}"
        );
        assert!(lines.iter().any(|line| line.starts_with("ls-refs")));
        assert!(!second.text().contains("bundle-uri"), "{lines:?}");
    }

    for version in ["", "version=1", "version=2"] {
        let by_get = Ask::refs("~alice/open", "upload-pack").header("git-protocol", version);
        let mut by_head = by_get.clone();
        by_head.method = "HEAD";
        let (by_get, by_head) = (by_get.send(&site).await, by_head.send(&site).await);
        let by_head = by_head.smart("upload-pack-advertisement");
        for name in ["content-type", "cache-control", "expires", "pragma"] {
            assert_eq!(by_get.header(name), by_head.header(name), "{version}");
        }
    }
    site.end().await;
}

#[tokio::test]
async fn what_may_be_pushed_is_told_to_whoever_may_push() {
    let site = Site::new().await;
    let ask = Ask::refs("~alice/open", "receive-pack");
    let anonymous = ask.clone().send(&site).await.refused(&[401]);
    let challenge = anonymous.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Basic realm=\""), "{challenge:?}");
    let body = v2("ls-refs", &[]);
    let posted = Ask::post("~alice/open", "receive-pack", body.clone());
    posted.send(&site).await.refused(&[401]);

    let token = site.world.token_of(Persona::Writer).unwrap().to_owned();
    let basic = |user: &str| format!("Basic {}", base64(format!("{user}:{token}").as_bytes()));
    let shown = [
        basic("writer"),
        basic(""),
        basic("x"),
        format!("Bearer {token}"),
        format!("basic {}", base64(format!("a:{token}").as_bytes())),
    ];
    let mut told = Vec::new();
    for shown in &shown {
        for version in ["", "version=2"] {
            let ask = ask.clone().header("authorization", shown);
            let raw = ask.header("git-protocol", version).send(&site).await;
            let raw = raw.smart("receive-pack-advertisement");
            assert!(
                raw.body
                    .starts_with(b"001f# service=git-receive-pack\n0000")
            );
            assert!(raw.text().contains("report-status"), "{}", raw.text());
            assert!(!raw.text().contains("push-cert"), "{}", raw.text());
            assert!(!raw.text().contains(".have"), "{}", raw.text());
            told.push(raw.body);
        }
    }
    // Whoever asks, and whichever version they speak.
    assert!(told.windows(2).all(|two| two[0] == two[1]));

    let bad = [
        "Basic".to_owned(),
        "Basic !!!!".to_owned(),
        format!("Basic {}", base64(b"no colon")),
        format!("Basic {}", base64(b"writer:")),
        format!("Basic {}", base64(&[0xff, b':', 0xff])),
        "Bearer".to_owned(),
        "Digest username=x".to_owned(),
    ];
    for bad in bad {
        for service in ["receive-pack", "upload-pack"] {
            let ask = Ask::refs("~alice/secret", service);
            let raw = ask.header("authorization", &bad).send(&site).await;
            raw.refused(&[400, 401]).tells_nothing();
        }
    }
    site.end().await;
}

#[tokio::test]
async fn what_is_not_asked_as_git_asks_is_refused_in_words() {
    let site = Site::new().await;
    let ask = |path: &str| Ask::get(format!("/~alice/open{path}")).send(&site);
    // The dumb protocol.
    for path in [
        "/info/refs",
        "/HEAD",
        "/objects/info/packs",
        "/objects/info/alternates",
        "/objects/b6/9b48d84942714512f7bbcd0cb990250baec5b8",
        "/objects/pack/pack-b69b48d84942714512f7bbcd0cb990250baec5b8.pack",
        "/objects/pack/pack-b69b48d84942714512f7bbcd0cb990250baec5b8.idx",
    ] {
        ask(path).await.refused(&[403, 404]);
    }
    for service in [
        "git-evil",
        "upload-pack",
        "git-upload-pack%00",
        "",
        "git-lfs",
        "GIT-UPLOAD-PACK",
    ] {
        let raw = ask(&format!("/info/refs?service={service}")).await;
        raw.refused(&[403]).tells_nothing();
    }
    // Of other types.
    let body = v2("ls-refs", &["ref-prefix refs/heads/"]);
    let types = [
        None,
        Some("text/plain"),
        Some("application/x-git-receive-pack-request"),
        Some("application/x-git-upload-pack-result"),
    ];
    for kind in types {
        let mut ask = v2_post("~alice/open", body.clone()).without("content-type");
        if let Some(kind) = kind {
            ask = ask.header("content-type", kind);
        }
        ask.send(&site).await.refused(&[415]).tells_nothing();
    }
    let good = v2_post("~alice/open", body.clone()).send(&site).await;
    let good = good.smart("upload-pack-result");
    assert!(good.text().contains("refs/heads/master"));
    // By other methods.
    for (method, tail, allowed) in [
        ("PUT", "info/refs?service=git-upload-pack", "GET"),
        ("POST", "info/refs?service=git-upload-pack", "GET"),
        ("DELETE", "info/refs?service=git-receive-pack", "GET"),
        ("GET", "git-upload-pack", "POST"),
        ("GET", "git-receive-pack", "POST"),
        ("PATCH", "git-upload-pack", "POST"),
    ] {
        let ask = Ask::new(method, format!("/~alice/open/{tail}"));
        let raw = ask.by(&site, Persona::Owner).send(&site).await;
        let raw = raw.refused(&[405]);
        let allow = raw.header("allow").unwrap_or_default();
        assert!(allow.contains(allowed), "{method} {tail}: {allow:?}");
        assert!(!allow.contains(method), "{method} {tail}: {allow:?}");
    }
    site.end().await;
}

#[tokio::test]
async fn no_path_leads_where_its_name_does_not() {
    let site = Site::new().await;
    let long = "x".repeat(300);
    let very_long = "x".repeat(9_000);
    let tails = [
        "info/refs?service=git-upload-pack",
        "info/refs?service=git-receive-pack",
    ];
    for repo in [
        "~alice/open/",
        "~alice//open",
        "/~alice/open",
        "~alice/open/.",
        "~alice/./open",
        "~alice/../~alice/open",
        "~stranger/../~alice/open",
        "~alice/%2e%2e/~alice/open",
        "~alice/..",
        "~alice/%2e%2e",
        "~alice%2fopen",
        "~alice%2Fopen",
        "~alice/open%2f",
        "~alice/open%00",
        "~alice/%00",
        "~alice/open%0a",
        "~alice/open%20",
        "~alice/%ff%fe",
        "~alice/op%65n%2e%67it%2e%67it",
        "~alice/.git",
        "~ALICE/open",
        "alice/open",
        "~~alice/open",
        "~/open",
        "~alice/",
        "~alice",
        "~alice/open.git.git",
        "~alice/open.GIT",
        "~alice/refs/open",
        "repos/00/00/01.git",
        "data/repositories/repos/00/00/01.git",
        "..%5c..%5cetc",
        long.as_str(),
        &format!("~alice/{long}"),
        &format!("~alice/{very_long}"),
    ] {
        for tail in tails {
            let ask = Ask::get(format!("/{repo}/{tail}"));
            let raw = ask.clone().by(&site, Persona::Stranger).send(&site).await;
            let status = raw.status;
            assert!(
                matches!(status, 400 | 404),
                "{repo}: {status} {}",
                raw.text()
            );
            raw.tells_nothing();
            let raw = ask.send(&site).await;
            let status = raw.status;
            assert!(
                matches!(status, 400 | 401 | 404),
                "{repo}: {status} {}",
                raw.text()
            );
            raw.tells_nothing();
        }
    }
    for path in [
        "/~alice/open/info/refs/?service=git-upload-pack",
        "/~alice/open/info//refs?service=git-upload-pack",
        "/~alice/open/info%2frefs?service=git-upload-pack",
        "/~alice/open/git-upload-pack/",
        "/~alice/open/info/refs/../../../secret/info/refs?service=git-upload-pack",
    ] {
        let ask = Ask::get(path).by(&site, Persona::Stranger);
        let raw = ask.send(&site).await;
        let status = raw.status;
        assert!(
            matches!(status, 400 | 404),
            "{path}: {status} {}",
            raw.text()
        );
        raw.tells_nothing();
    }
    site.end().await;
}

#[tokio::test]
async fn only_a_proper_header_asks_for_another_version() {
    let site = Site::new().await;
    let long = format!("{}:version=2", "a=b:".repeat(200));
    let asked: [(&[u8], &str); 14] = [
        (b"", "# service=git-upload-pack"),
        (b"version=0", "# service=git-upload-pack"),
        (b"version=2", "version 2"),
        (b"version=2:key=value", "version 2"),
        (b"key=value:version=2", "version 2"),
        (b"version=1:version=2", "version 2"),
        (b"version=9", "# service=git-upload-pack"),
        (b"version", "# service=git-upload-pack"),
        (b"version=2;id", "# service=git-upload-pack"),
        (b"version=2:$(id)", "# service=git-upload-pack"),
        (b"version=2 ", "version 2"),
        (b"version=2:k=\xff", "# service=git-upload-pack"),
        (b"version=2\tx", "# service=git-upload-pack"),
        (long.as_bytes(), "# service=git-upload-pack"),
    ];
    for (header, first) in asked {
        let ask = Ask::refs("~alice/open", "upload-pack").header_bytes("git-protocol", header);
        let raw = ask.send(&site).await.smart("upload-pack-advertisement");
        let said = String::from_utf8_lossy(header);
        assert_eq!(raw.lines()[0], first, "{said:?}");
    }
    site.end().await;
}

/// Bytes as `gzip` packs them.
async fn gzip(site: &Site, bytes: &[u8]) -> Vec<u8> {
    let file = site.world.dir.path().join("to-gzip");
    std::fs::write(&file, bytes).unwrap();
    let mut gzip = command("gzip", site.world.dir.path());
    gzip.args(["-f", "-n", "to-gzip"]);
    run(gzip, b"").await.good();
    std::fs::read(file.with_extension("gz")).unwrap()
}

#[tokio::test]
async fn requests_come_packed_in_pieces_and_from_old_clients() {
    let site = Site::new().await;
    let body = v2("ls-refs", &["ref-prefix refs/heads/"]);
    let good = v2_post("~alice/open", body.clone()).send(&site).await;
    let good = good.smart("upload-pack-result").body;
    let packed = gzip(&site, body.as_bytes()).await;
    for name in ["gzip", "x-gzip", "GZIP", "identity"] {
        let body = if name == "identity" {
            body.as_bytes()
        } else {
            &packed
        };
        let ask = v2_post("~alice/open", body).header("content-encoding", name);
        for ask in [ask.clone(), ask.clone().chunked(7), ask.http10()] {
            let raw = ask.send(&site).await.smart("upload-pack-result");
            assert_eq!(raw.body, good, "{name}");
        }
    }
    // HTTP/1.0 knows no chunks, and an answer ends where the connection does.
    let raw = Ask::refs("~alice/open", "upload-pack").http10().send(&site);
    let raw = raw.await.smart("upload-pack-advertisement");
    assert_eq!(raw.header("transfer-encoding"), None);
    assert!(raw.body.ends_with(b"0000"));
    // A body of which nobody says how long it is: there is an answer, whether it is read or not.
    let endless = v2_post("~alice/open", body.clone())
        .http10()
        .without("content-length");
    let raw = endless.send(&site).await;
    assert!(matches!(raw.status, 200 | 400 | 411), "{}", raw.status);

    // What is packed badly.
    let mut cut = packed.clone();
    cut.truncate(packed.len() - 9);
    let mut flipped = packed.clone();
    let check = packed.len() - 6;
    flipped[check] ^= 0xff;
    let trailing = [&packed[..], b"and more"].concat();
    for (what, body) in [
        ("cut", cut),
        ("flipped", flipped),
        ("trailing", trailing),
        ("not packed", body.clone().into_bytes()),
        ("empty", Vec::new()),
    ] {
        let ask = v2_post("~alice/open", body).header("content-encoding", "gzip");
        let raw = ask.send(&site).await;
        assert!(raw.status < 500, "{what}: {} {}", raw.status, raw.text());
        raw.tells_nothing();
    }
    for name in ["br", "deflate", "gzip, gzip", "zstd"] {
        let ask = v2_post("~alice/open", packed.clone()).header("content-encoding", name);
        let raw = ask.send(&site).await;
        raw.refused(&[400, 415]).tells_nothing();
    }
    site.end().await;
}

#[tokio::test]
async fn a_request_that_grows_beyond_the_limit_is_cut_off() {
    let site = Site::with(Database::Sqlite, |builder| {
        let mut limits = Limits::default();
        limits.fetch.request_bytes = 1 << 20;
        builder.limits(limits)
    });
    let site = site.await;
    let tip = fixture::git_text(&site.dir_of("~alice/open").await, &["rev-parse", "HEAD"]);
    let want = format!("want {tip}");
    // Haves that nobody has, then some that are true.
    let have = "have 1234567890123456789012345678901234567890";
    let few = [&[want.as_str()][..], &vec![have; 1_000], &["done"]].concat();
    let few = v2("fetch", &few);
    let many = [&[want.as_str()][..], &vec![have; 400_000], &["done"]].concat();
    let many = v2("fetch", &many);
    let (packed_few, packed_many) = (
        gzip(&site, few.as_bytes()).await,
        gzip(&site, many.as_bytes()).await,
    );
    assert!(packed_many.len() < 1 << 19, "{}", packed_many.len());
    let raw = v2_post("~alice/open", few.clone()).send(&site).await;
    assert!(raw.smart("upload-pack-result").text().contains("packfile"));
    let ask = v2_post("~alice/open", packed_few).header("content-encoding", "gzip");
    assert!(ask.send(&site).await.is(200).text().contains("packfile"));

    let bomb = v2_post("~alice/open", packed_many).header("content-encoding", "gzip");
    for ask in [bomb.clone(), bomb.clone().chunked(1 << 16)] {
        let raw = ask.send(&site).await;
        assert!(matches!(raw.status, 200 | 400 | 413), "{}", raw.status);
        raw.tells_nothing();
    }
    let raw = v2_post("~alice/open", many)
        .chunked(1 << 16)
        .send(&site)
        .await;
    assert!(matches!(raw.status, 200 | 400 | 413), "{}", raw.status);
    raw.tells_nothing();
    // The old protocol, whose requests have no end of their own.
    let v0 = pkt(&format!("want {tip} side-band-64k\n")) + "0000";
    let v0 = v0 + &pkt(&format!("{have}\n")).repeat(400_000) + &pkt("done\n");
    let packed = gzip(&site, v0.as_bytes()).await;
    let ask = Ask::post("~alice/open", "upload-pack", packed);
    let raw = ask.header("content-encoding", "gzip").send(&site).await;
    assert!(!raw.text().contains("PACK"), "{}", raw.status);
    // It serves the next one as if nothing had happened.
    Ask::refs("~alice/open", "upload-pack")
        .send(&site)
        .await
        .is(200);
    site.end().await;
}

#[tokio::test]
async fn what_is_no_request_of_gits_ends_cleanly() {
    let site = Site::new().await;
    let tip = fixture::git_text(&site.dir_of("~alice/open").await, &["rev-parse", "HEAD"]);
    let bad = [
        v2("frobnicate", &[]),
        pkt("command=ls-refs\n") + &pkt("nonsense=1\n") + "00010000",
        pkt("command=ls-refs\n") + &pkt("object-format=sha256\n") + "00010000",
        pkt("ls-refs\n") + "0000",
        v2("bundle-uri", &[]),
        v2("fetch", &["want nonsense", "done"]),
        v2("fetch", &["want-ref refs/forge/x", "done"]),
        v2("fetch", &[&format!("want {}", "1".repeat(40)), "done"]),
        "zzzz".to_owned(),
        "0003".to_owned(),
        "00".to_owned(),
        "ffff".to_owned(),
        "hello".to_owned(),
        pkt("command=fetch\n"),
    ];
    for body in &bad {
        let raw = v2_post("~alice/open", body.clone()).send(&site).await;
        assert!(raw.status < 500, "{body:?}: {} {}", raw.status, raw.text());
        raw.tells_nothing();
    }
    // An unknown command is an error in the protocol's own words.
    let raw = v2_post("~alice/open", bad[0].clone()).send(&site).await;
    assert!(raw.is(200).lines()[0].starts_with("ERR "));
    // Of the old protocol.
    for body in [
        pkt("want nonsense\n") + "0000",
        pkt(&format!("want {}\n", "1".repeat(40))) + "0000" + &pkt("done\n"),
        pkt(&format!("hello {tip}\n")) + "0000",
        "zzzz".to_owned(),
        "0003".to_owned(),
    ] {
        let raw = Ask::post("~alice/open", "upload-pack", body.clone())
            .send(&site)
            .await;
        assert!(raw.status < 500, "{body:?}: {} {}", raw.status, raw.text());
        assert!(!raw.text().contains("PACK"), "{body:?}");
    }
    site.end().await;
}

#[tokio::test]
async fn the_probe_before_a_large_push_makes_nothing() {
    let site = Site::new().await;
    for (repo, persona) in [
        ("~alice/open", Persona::Writer),
        ("~alice/never", Persona::Owner),
        ("~stranger/never", Persona::Stranger),
    ] {
        let ask = Ask::post(repo, "receive-pack", "0000").by(&site, persona);
        for ask in [ask.clone(), ask.clone().chunked(4), ask.clone().chunked(1)] {
            let raw = ask.send(&site).await.smart("receive-pack-result");
            assert_eq!(raw.text(), "", "{repo}");
        }
        // And neither does the listing that comes before it.
        let raw = Ask::refs(repo, "receive-pack").by(&site, persona);
        raw.send(&site).await.is(200);
    }
    for repo in ["~alice/never", "~stranger/never"] {
        let found = site.world.system().find_repo(&repo.parse().unwrap()).await;
        assert_eq!(found.unwrap(), None, "{repo}");
    }
    // Who may not push is told so by the probe as well.
    let ask = |repo| Ask::post(repo, "receive-pack", "0000");
    ask("~alice/open").send(&site).await.refused(&[401]);
    let reader = ask("~alice/open").by(&site, Persona::Reader).send(&site);
    reader.await.refused(&[403]);
    let stranger = ask("~alice/never").by(&site, Persona::Stranger);
    stranger.send(&site).await.refused(&[404]);
    site.end().await;
}

/// Reads until something has come.
async fn until(from: &mut TcpStream, got: &mut Vec<u8>, wanted: &[u8]) {
    let reading = async {
        while !got.windows(wanted.len()).any(|part| part == wanted) {
            let read = from.read_buf(got).await.expect("more");
            assert_ne!(read, 0, "{:?}", String::from_utf8_lossy(got));
        }
    };
    let came = tokio::time::timeout(PATIENCE, reading).await;
    let wanted = String::from_utf8_lossy(wanted);
    assert!(
        came.is_ok(),
        "no {wanted:?} in {:?}",
        String::from_utf8_lossy(got)
    );
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[tokio::test]
async fn answers_begin_while_requests_still_come() {
    let site = Site::new().await;
    let dir = site.dir_of("~alice/open").await;
    let id = |rev: &str| fixture::git_text(&dir, &["rev-parse", rev]);
    let (tip, base) = (id("HEAD"), id("HEAD^"));
    let ask = Ask::post("~alice/open", "upload-pack", "").without("content-length");
    let ask = ask.header("transfer-encoding", "chunked");
    let mut socket = TcpStream::connect(site.http).await.unwrap();
    socket.write_all(&ask.bytes()).await.unwrap();
    let caps = "multi_ack_detailed no-done side-band-64k ofs-delta";
    let wants = pkt(&format!("want {tip} {caps}\n")) + "0000";
    let have = pkt(&format!("have {base}\n"));
    socket
        .write_all(chunk(&(wants + &have)).as_bytes())
        .await
        .unwrap();
    let mut got = Vec::new();
    until(
        &mut socket,
        &mut got,
        format!("ACK {base} common").as_bytes(),
    )
    .await;
    let rest = chunk(&pkt("done\n")) + "0\r\n\r\n";
    socket.write_all(rest.as_bytes()).await.unwrap();
    until(&mut socket, &mut got, b"PACK").await;
    until(&mut socket, &mut got, b"\r\n0\r\n\r\n").await;

    // Who waits to be let send its body is let.
    let body = v2("ls-refs", &[]);
    let mut ask = v2_post("~alice/open", body.clone()).header("expect", "100-continue");
    ask.body.clear();
    // On the same connection: it is kept for the next request.
    socket.write_all(&ask.bytes()).await.unwrap();
    let mut got = Vec::new();
    until(&mut socket, &mut got, b"HTTP/1.1 100 Continue\r\n\r\n").await;
    socket.write_all(body.as_bytes()).await.unwrap();
    until(&mut socket, &mut got, b"refs/heads/master").await;
    until(&mut socket, &mut got, b"\r\n0\r\n\r\n").await;

    // It is kept after refusals, too.
    let refused = Ask::refs("~alice/secret", "upload-pack").bytes();
    let first = Ask::refs("~alice/open", "upload-pack").bytes();
    let last = Ask::refs("~alice/open", "upload-pack").header("connection", "close");
    let all = [refused, first, last.bytes()].concat();
    socket.write_all(&all).await.unwrap();
    let mut got = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut got))
        .await
        .unwrap()
        .unwrap();
    let got = String::from_utf8_lossy(&got);
    assert_eq!(got.matches("HTTP/1.1 401 ").count(), 1, "{got}");
    assert_eq!(got.matches("HTTP/1.1 200 ").count(), 2, "{got}");
    site.end().await;
}

#[tokio::test]
async fn a_client_that_waits_hears_that_somebody_is_there() {
    let (site, gate) = gated().await;
    let dir = site.dir_of("~alice/open").await;
    let old = fixture::git_text(&dir, &["rev-parse", "refs/heads/feature/x"]);
    let none = "0".repeat(40);
    let ask = format!("{old} {none} refs/heads/feature/x\0report-status side-band-64k");
    let ask = Ask::post("~alice/open", "receive-pack", pkt(&ask) + "0000");
    let ask = ask.by(&site, Persona::Writer).header("connection", "close");
    let mut socket = TcpStream::connect(site.http).await.unwrap();
    socket.write_all(&ask.bytes()).await.unwrap();
    gate.reached().await;
    let mut got = Vec::new();
    until(&mut socket, &mut got, b"0005\x02").await;
    gate.open();
    until(&mut socket, &mut got, b"ok refs/heads/feature/x").await;
    site.end().await;
}

#[tokio::test]
async fn go_finds_what_it_may_see() {
    let site = Site::new().await;
    for (repo, persona) in [
        ("~alice/open", Persona::Anon),
        ("~alice/hidden", Persona::Anon),
        ("~alice/secret", Persona::Reader),
    ] {
        let ask = Ask::get(format!("/{repo}?go-get=1")).by(&site, persona);
        let raw = ask.send(&site).await.is(200);
        let kind = raw.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/html"), "{kind:?}");
        let url = format!("{}/{repo}", site.http);
        let meta = format!("<meta name=\"go-import\" content=\"{url} git http://{url}");
        assert!(raw.text().contains(&meta), "{}", raw.text());
    }
    let mut told = Vec::new();
    for repo in ["~alice/secret", "~alice/missing", "~nobody/secret"] {
        for persona in [Persona::Anon, Persona::Stranger] {
            let ask = Ask::get(format!("/{repo}?go-get=1")).by(&site, persona);
            let raw = ask.send(&site).await;
            assert!(matches!(raw.status, 401 | 404), "{}", raw.status);
            assert!(!raw.text().contains("go-import"));
            told.push((persona == Persona::Anon, raw.status, raw.body));
        }
    }
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 2, "{told:?}");
    // Without the question, the page is the host application's.
    let plain = Ask::get("/~alice/open").send(&site).await.is(404);
    assert_eq!(plain.text(), "404 not found\n");
    site.end().await;
}

#[tokio::test]
async fn a_repository_with_another_name_is_found_by_its_old_one() {
    let site = Site::new().await;
    rename(&site, "open", "between").await;
    rename(&site, "between", "opened").await;
    for old in ["~alice/open", "~alice/between", "~alice/open.git"] {
        for service in ["upload-pack", "receive-pack"] {
            let ask = Ask::refs(old, service).by(&site, Persona::Writer);
            let raw = ask.send(&site).await.is(301);
            let to = raw.header("location").expect("a location");
            let tail = format!("/info/refs?service=git-{service}");
            let path = to
                .strip_prefix(&format!("http://{}", site.http))
                .unwrap_or(to);
            let is_there = path.starts_with("/~alice/opened") && path.ends_with(&tail);
            assert!(is_there, "{to}");
            let ask = Ask::get(path).by(&site, Persona::Writer);
            ask.send(&site)
                .await
                .smart(&format!("{service}-advertisement"));
        }
    }
    let body = v2("ls-refs", &[]);
    let raw = v2_post("~alice/open", body).send(&site).await;
    assert!((300..400).contains(&raw.status), "{}", raw.status);
    let to = raw.header("location").expect("a location");
    assert!(to.ends_with("/~alice/opened/git-upload-pack"), "{to}");

    // Git follows, and says so.
    for version in [0, 1, 2] {
        let client = site.client(Persona::Writer, version);
        let old = site.url(Way::Http, Persona::Writer, "~alice/open");
        let ran = client.git(&["clone", &old, "work"]).await.good();
        ran.says("redirecting to").says("/~alice/opened");
        let id = client
            .commit("work", "b.txt", &format!("{version}\n"))
            .await;
        let ran = client.git_in("work", &["push", "origin", "master"]).await;
        ran.good().says("redirecting to");
        let dir = site.dir_of("~alice/opened").await;
        assert_eq!(fixture::git_text(&dir, &["rev-parse", "master"]), id);
    }
    // The name can be given away; then it leads to the other one.
    let source = fixture::small(site.world.dir.path());
    let source = forge::objects::ImportSource::Path(source);
    let world = &site.world;
    world
        .import("open", forge::repos::Visibility::Public, &source)
        .await;
    Ask::refs("~alice/open", "upload-pack")
        .send(&site)
        .await
        .is(200);
    Ask::refs("~alice/between", "upload-pack")
        .send(&site)
        .await
        .is(301);
    site.end().await;
}

#[tokio::test]
async fn people_are_told_why_they_are_refused() {
    let site = Site::new().await;
    let http = |persona, repo: &str| site.url(Way::Http, persona, repo);
    for version in [0, 1, 2] {
        let client = site.client(Persona::Stranger, version);
        let secret = http(Persona::Stranger, "~alice/secret");
        let ran = client.git(&["ls-remote", &secret]).await.bad();
        ran.says("remote: repository not found").says("not found");
        // Whoever shows nothing would be asked, if anybody were there.
        let secret = http(Persona::Anon, "~alice/secret");
        let ran = client.git(&["ls-remote", &secret]).await.bad();
        ran.says("could not read Username");
        let wrong = format!("http://x:wrong@{}/~alice/secret", site.http);
        let ran = client.git(&["ls-remote", &wrong]).await.bad();
        ran.says("Authentication failed");
    }
    let client = site.client(Persona::Stranger, 2);
    client.start("work").await;
    let push = async |persona: Persona, repo: &str| {
        let to = http(persona, repo);
        client
            .git_in("work", &["push", &to, "master:new"])
            .await
            .bad()
    };
    push(Persona::Stranger, "~alice/open")
        .await
        .says("403")
        .says("remote: ");
    push(Persona::Reader, "~alice/secret")
        .await
        .says("403")
        .says("remote: ");
    push(Persona::ReadOnly, "~alice/open")
        .await
        .says("403")
        .says("OBJECTS:RW");
    push(Persona::Stranger, "~alice/secret")
        .await
        .says("remote: repository not found");
    push(Persona::Suspended, "~alice/open")
        .await
        .says("suspended");
    push(Persona::Anon, "~alice/open")
        .await
        .says("could not read Username");
    push(Persona::Expired, "~alice/open")
        .await
        .says("Authentication failed");
    site.end().await;
}
