//! Bad input of every kind, over a real socket where a client library would refuse to send it.
//!
//! Invariant: nothing that is sent here is answered with 5xx, changes anything, or keeps others from being answered; and
//! whatever reaches the forge is refused in the error form. Who may do what is in `access.rs`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::support::{Database, Persona, World};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A world that is served on a port.
struct Target {
    world: World,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<forge::Result<()>>,
    before: Vec<Value>,
}

/// An answer as it came.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    /// Splits what came; `None` if the connection was closed without an answer.
    fn parse(raw: &[u8]) -> Option<Self> {
        let end = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, body) = raw.split_at(end + 4);
        let head = String::from_utf8(head.to_vec())
            .expect("a head")
            .to_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Some(Self {
            status: status.unwrap_or_else(|| panic!("{head}")),
            head,
            body: body.to_vec(),
        })
    }

    /// What it says is wrong. Every refusal by the forge is in the error form; those of the HTTP parser are bare.
    fn errors(&self, what: &str) -> Vec<Value> {
        let claimed = self.head.contains("\r\nx-request-id: ");
        refusals(what, self.status, claimed, &self.body)
    }
}

fn refusals(what: &str, status: u16, claimed: bool, body: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(body);
    assert!(status < 500, "{what}: {status} {text}");
    if status < 400 || !claimed {
        return Vec::new();
    }
    let json: Value =
        serde_json::from_slice(body).unwrap_or_else(|error| panic!("{what}: {error}: {text}"));
    let errors = json["errors"]
        .as_array()
        .unwrap_or_else(|| panic!("{what}: {json}"));
    assert!(
        !errors.is_empty() && json.as_object().is_some_and(|it| it.len() == 1),
        "{what}: {json}"
    );
    for error in errors {
        let error = error
            .as_object()
            .unwrap_or_else(|| panic!("{what}: {json}"));
        let reason = error.get("reason").and_then(Value::as_str);
        assert!(
            reason.is_some_and(|reason| !reason.is_empty()),
            "{what}: {json}"
        );
        assert!(
            error.get("field").is_none_or(Value::is_string),
            "{what}: {json}"
        );
        assert!(
            error.keys().all(|key| key == "reason" || key == "field"),
            "{what}: {json}"
        );
    }
    errors.clone()
}

impl Target {
    async fn new() -> Self {
        let world = World::new(Database::Sqlite).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let serve = world.app.serve().listener(listener);
        let serving = tokio::spawn(serve.until(async {
            let _ = stopped.await;
        }));
        let mut target = Self {
            world,
            address,
            stop,
            serving,
            before: Vec::new(),
        };
        target.before = target.state().await;
        target
    }

    /// What is not to change.
    async fn state(&self) -> Vec<Value> {
        let mut state = Vec::new();
        for path in [
            "/api/repos",
            "/api/repos/open/refs",
            "/api/repos/secret",
            "/api/user",
        ] {
            let reply = self.ask(&format!("GET {path}"), b"", b"").await;
            assert_eq!(reply.status, 200, "{path}");
            state.push(serde_json::from_slice(&reply.body).expect("JSON"));
        }
        state
    }

    /// Sends bytes, and the end of them if `finish`; what comes back until the other side closes.
    async fn send(&self, bytes: impl Into<Vec<u8>>, finish: bool) -> Vec<u8> {
        let bytes = bytes.into();
        let stream = TcpStream::connect(self.address)
            .await
            .expect("a connection");
        let (mut read, mut write) = stream.into_split();
        let writing = tokio::spawn(async move {
            // The other side may have heard enough.
            let _ = write.write_all(&bytes).await;
            if finish {
                let _ = write.shutdown().await;
            }
            write
        });
        let mut raw = Vec::new();
        let reading = tokio::time::timeout(PATIENCE, async {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = read.read(&mut buffer).await {
                raw.extend_from_slice(&buffer[..count]);
            }
        });
        reading.await.expect("the connection is closed");
        let _ = writing.await;
        raw
    }

    fn token(&self) -> &str {
        self.world
            .token_of(Persona::Owner)
            .expect("alice has a token")
    }

    /// Alice's request: the line up to the path, further headers with their ends of line, the body.
    async fn ask(&self, line: &str, headers: &[u8], body: &[u8]) -> Reply {
        self.ask_raw(line.as_bytes(), headers, body)
            .await
            .expect("an answer")
    }

    async fn ask_raw(&self, line: &[u8], headers: &[u8], body: &[u8]) -> Option<Reply> {
        let common = format!(
            " HTTP/1.1\r\nhost: git.example.org\r\nconnection: close\r\nauthorization: Bearer {}\r\n",
            self.token()
        );
        let framed =
            headers.starts_with(b"transfer-encoding") || headers.starts_with(b"content-length");
        let length = if framed || body.is_empty() {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        let request = [
            line,
            common.as_bytes(),
            length.as_bytes(),
            headers,
            b"\r\n",
            body,
        ]
        .concat();
        Reply::parse(&self.send(request, false).await)
    }

    /// It must be refused with that status, and the field to blame be named.
    async fn refuses(
        &self,
        status: u16,
        field: &str,
        line: &str,
        headers: &str,
        body: impl AsRef<[u8]>,
    ) {
        let body = body.as_ref();
        let reply = self.ask(line, headers.as_bytes(), body).await;
        let what: String = format!("{line} {headers} {}", body.escape_ascii())
            .chars()
            .take(300)
            .collect();
        let errors = reply.errors(&what);
        assert_eq!(reply.status, status, "{what}: {errors:?}");
        let named: Vec<_> = errors
            .iter()
            .map(|error| error["field"].as_str().unwrap_or_default())
            .collect();
        assert!(named.contains(&field), "{what}: {errors:?}");
    }

    /// Whatever the answer, it is no fault of ours.
    async fn bears(&self, line: &[u8], headers: &[u8], body: &[u8]) -> Option<u16> {
        let reply = self.ask_raw(line, headers, body).await?;
        let what: String = line.escape_ascii().to_string().chars().take(300).collect();
        reply.errors(&what);
        Some(reply.status)
    }

    /// Nothing has changed, and it still serves.
    async fn end(self) {
        assert_eq!(self.state().await, self.before);
        self.stop.send(()).expect("it serves");
        let ended = tokio::time::timeout(PATIENCE, self.serving).await;
        ended.expect("an end").expect("no panic").expect("no error");
        self.world.end().await;
    }
}

/// Percent-encodes everything but letters and digits.
fn escaped(raw: &[u8]) -> String {
    raw.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn names_that_cannot_be_are_refused() {
    let target = Target::new().await;
    let long = format!("\"{}\"", "x".repeat(257));
    for name in [
        "\"\"",
        "null",
        "7",
        "true",
        "[]",
        "{}",
        "\".\"",
        "\"..\"",
        "\".git\"",
        "\".hg\"",
        "\"a/b\"",
        "\"a%2fb\"",
        "\"../x\"",
        "\"a b\"",
        "\" a\"",
        "\"a\\n\"",
        "\"a\\u0000\"",
        "\"\\u007f\"",
        "\"\\u202e\"",
        "\"n\u{e4}me\"",
        "\"a:b\"",
        "\"a\\\\b\"",
        "\"\u{1f980}\"",
        "1e999",
        &long,
    ] {
        let field = if name == "1e999" { "" } else { "name" };
        let body = format!("{{\"name\": {name}}}");
        target
            .refuses(400, field, "POST /api/repos", JSON, &body)
            .await;
        // Null and the empty text leave the name as it is.
        if name != "null" && name != "\"\"" {
            target
                .refuses(400, field, "PUT /api/repos/open", JSON, &body)
                .await;
        }
    }
    let long = "x".repeat(257);
    for name in [
        "..",
        ".",
        "%2e%2e",
        ".git",
        "%2egit",
        "a%2fb",
        "a%2Fb",
        "%00",
        "open%00",
        "%ff",
        "%",
        "%zz",
        "%e2%80%ae",
        "open%20",
        "%20open",
        "open%0a",
        "open;",
        "%7eopen",
        &long,
    ] {
        for path in [
            format!("/api/repos/{name}"),
            format!("/api/~alice/repos/{name}"),
            format!("/api/repos/{name}/log"),
        ] {
            target
                .refuses(404, "", &format!("GET {path}"), "", "")
                .await;
        }
        target
            .refuses(
                404,
                "",
                &format!("GET /~alice/{name}/refs/download/v1/x"),
                "",
                "",
            )
            .await;
    }
    for owner in [
        "~",
        "~Alice",
        "alice",
        "~~alice",
        "~alice%00",
        "~%ff",
        "~..",
        "~alice%2frepos",
        "%",
        &long,
    ] {
        target
            .refuses(404, "", &format!("GET /api/{owner}/repos"), "", "")
            .await;
        target
            .refuses(404, "", &format!("GET /api/{owner}/repos/open"), "", "")
            .await;
        target
            .refuses(404, "", &format!("GET /api/user/{owner}"), "", "")
            .await;
    }
    target.end().await;
}

#[tokio::test]
async fn bodies_that_are_no_objects_are_refused() {
    let target = Target::new().await;
    let deep = format!(
        "{{\"name\": \"deep\", \"x\": {}1{}}}",
        "[".repeat(200),
        "]".repeat(200)
    );
    let objects = format!(
        "{{\"name\": \"deep\", \"x\": {}1{}}}",
        "{\"a\":".repeat(200),
        "}".repeat(200)
    );
    for body in [
        b"".as_slice(),
        b"{",
        b"{\"name\":",
        b"{\"name\": \"x",
        b"{\"name\": \"x\"",
        b"[]",
        b"null",
        b"\"x\"",
        b"\0",
        b"{\"name\": \"x\"} {}",
        b"{name: 1}",
        b"{\"name\": \"\\ud800\"}",
        b"{\"name\": \"a\0b\"}",
        b"\xef\xbb\xbf{}",
        b"{\"name\": \"\xff\xfe\"}",
        b"{\"\xff\": 1}",
        b"{\"x\": 1e999999}",
        b"{\"x\": NaN}",
        b"{\"x\": 01}",
        deep.as_bytes(),
        objects.as_bytes(),
    ] {
        for line in ["POST /api/repos", "PUT /api/repos/open"] {
            target.refuses(400, "", line, JSON, body).await;
        }
    }
    let digits = "9".repeat(5000);
    for (field, body) in [
        ("name", format!("{{\"name\": {digits}}}")),
        ("name", "{\"name\": \"x\", \"name\": \"..\"}".to_owned()),
        (
            "name",
            "{\"name\": \"open\", \"name\": \"open\"}".to_owned(),
        ),
        (
            "description",
            "{\"name\": \"x\", \"description\": \"a\\u0000b\"}".to_owned(),
        ),
        (
            "description",
            format!(
                "{{\"name\": \"x\", \"description\": \"{}\"}}",
                "x".repeat(1025)
            ),
        ),
        (
            "visibility",
            "{\"name\": \"x\", \"visibility\": \"secret\"}".to_owned(),
        ),
        (
            "visibility",
            "{\"name\": \"x\", \"visibility\": {\"a\": 1}}".to_owned(),
        ),
    ] {
        target
            .refuses(400, field, "POST /api/repos", JSON, body)
            .await;
    }
    let huge = vec![b' '; 2 << 20];
    for headers in [JSON, "", "content-type: text/plain\r\n"] {
        target
            .refuses(413, "body", "POST /api/repos", headers, &huge)
            .await;
        target
            .refuses(413, "body", "PUT /api/repos/open", headers, &huge)
            .await;
    }
    let html = "content-type: text/html\r\n";
    target
        .refuses(413, "body", "PUT /api/repos/open/readme", html, &huge)
        .await;
    target
        .refuses(400, "body", "PUT /api/repos/open/readme", html, b"a\0b")
        .await;
    target
        .refuses(400, "body", "PUT /api/repos/open/readme", html, b"\xff")
        .await;
    target
        .refuses(400, "content-type", "PUT /api/repos/open/readme", "", "<p>")
        .await;
    target.end().await;
}

#[tokio::test]
async fn bodies_that_are_not_what_they_say_are_refused() {
    let target = Target::new().await;
    for kind in [
        "text/plain",
        "application/xml",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "nonsense",
        "/",
        ";",
        "",
        "a/b/c",
        "application/json;charset=utf-16",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"",
        "multipart/mixed; boundary=b",
    ] {
        let headers = format!("content-type: {kind}\r\n");
        for body in ["{\"name\": \"a/b\"}", "name=a/b", "--b\r\n\r\n--b--", "\0"] {
            let status = target
                .bears(b"POST /api/repos", headers.as_bytes(), body.as_bytes())
                .await;
            assert_eq!(status, Some(400), "{kind} {body}");
        }
    }
    for headers in [
        &b""[..],
        b"content-type: \xff\r\n",
        b"content-type: text/\x80json\r\ncontent-type: application/json\r\n",
    ] {
        let status = target
            .bears(b"POST /api/repos", headers, b"{\"name\": \"a/b\"}")
            .await;
        assert_eq!(status, Some(400));
    }
    let chunked = format!("transfer-encoding: chunked\r\n{JSON}");
    for body in [
        "zz\r\n{}\r\n0\r\n\r\n",
        "-1\r\n",
        "ffffffffffffffffff\r\n{}",
        "2\r\n{}X\r\n0\r\n\r\n",
        "\r\n",
        "0\r\n\0\r\n\r\n",
        &format!("1;{}\r\n{{\r\n", "a".repeat(100_000)),
        &format!("2\r\n{{}}\r\n0\r\n{}\r\n", "a: b\r\n".repeat(20_000)),
    ] {
        target
            .bears(b"POST /api/repos", chunked.as_bytes(), body.as_bytes())
            .await;
    }
    for framing in [
        "content-length: -1",
        "content-length: 99999999999999999999",
        "content-length: 2\r\ncontent-length: 3",
        "content-length: 2, 2",
        "content-length: +2",
        "content-length: 0x2",
        "transfer-encoding: gzip",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked\r\ncontent-length: 2",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
    ] {
        let headers = format!("{framing}\r\n{JSON}");
        target
            .bears(
                b"POST /api/repos",
                headers.as_bytes(),
                b"2\r\n{}\r\n0\r\n\r\n",
            )
            .await;
    }
    for framing in [
        "transfer-encoding: chunked\r\n\r\n5\r\n{\"na",
        "content-length: 100\r\n\r\n{\"name\": \"cut",
    ] {
        let request = format!(
            "POST /api/repos HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{JSON}{framing}",
            target.token()
        );
        if let Some(reply) = Reply::parse(&target.send(request, true).await) {
            assert_eq!(reply.status, 400);
            reply.errors(framing);
        }
    }
    target.end().await;
}

#[tokio::test]
async fn starts_that_cannot_be_are_refused() {
    let target = Target::new().await;
    let long = "1".repeat(10_000);
    let bad = [
        "-2",
        "1e3",
        "9223372036854775808",
        "-9223372036854775809",
        "%00",
        "1%00",
        "%ff",
        "x",
        "1.5",
        "0x10",
        "%202",
        "2%0a",
        "%2d2",
        "%d9%a1",
        "1;2",
        "'",
        &long,
    ];
    for start in bad {
        for path in [
            "/api/repos",
            "/api/~alice/repos",
            "/api/repos/open/log",
            "/api/repos/open/log/v1",
        ] {
            target
                .refuses(400, "start", &format!("GET {path}?start={start}"), "", "")
                .await;
            target
                .refuses(
                    400,
                    "start",
                    &format!("GET {path}?x&start={start}&start=1"),
                    "",
                    "",
                )
                .await;
        }
    }
    for query in [
        "start=9223372036854775807",
        "start=0",
        "start=-1",
        "",
        "&&&",
        "start",
        "=",
        "%",
        "start=%2B1",
    ] {
        let status = target
            .bears(format!("GET /api/repos?{query}").as_bytes(), b"", b"")
            .await;
        assert_eq!(status, Some(200), "{query}");
    }
    target.end().await;
}

#[tokio::test]
async fn revisions_that_name_nothing_are_refused() {
    let target = Target::new().await;
    let (whole, over) = ("a".repeat(4096), "a".repeat(4097));
    let (climb, steps) = (
        format!("HEAD{}", "^".repeat(3000)),
        format!("HEAD{}", "~1".repeat(1500)),
    );
    let zeros = "0".repeat(40);
    for rev in [
        "@{u}",
        "@{-1}",
        "@{yesterday}",
        "HEAD@{0}",
        "master@{upstream}",
        "a..b",
        "a...b",
        "..",
        ":/x",
        "^{/x}",
        ":",
        "HEAD^{/x}",
        "HEAD~99999999999",
        "HEAD~99999999999999999999",
        "HEAD^99999999999",
        "HEAD^{nonsense}",
        "HEAD^{",
        "HEAD^!",
        "HEAD^@",
        "HEAD^-",
        "^HEAD",
        "-x",
        "--output=x",
        "--",
        "--all",
        "\x01",
        "a\nb",
        "a\x7f",
        "a\0b",
        "\\",
        "[",
        "*",
        "refs/heads/*",
        "refs/heads/../master",
        "refs/heads/master.lock",
        "refs//heads/master",
        "master:",
        "master:/",
        "master:../x",
        "a b",
        " ",
        "\u{202e}",
        "head~",
        "HEAD^0^{tag}",
        "v1^{blob}",
        "g4cfa",
        "nothing-g4cfa8d2",
        &whole,
        &over,
        &climb,
        &steps,
        &zeros,
    ] {
        let encoded = escaped(rev.as_bytes());
        for verb in ["log", "tree", "blob", "refdb"] {
            let line = format!("GET /api/repos/open/{verb}/{encoded}");
            let reply = target.ask(&line, b"", b"").await;
            let errors = reply.errors(&line);
            let valid = reply.status == 200 && verb == "tree" && rev == "master:";
            assert!(
                valid || (400..500).contains(&reply.status),
                "{line}: {}",
                reply.status
            );
            let named = |field: &str| errors.iter().any(|error| error["field"] == field);
            assert!(
                reply.status != 400 || named("ref") || named("path"),
                "{line}: {errors:?}"
            );
        }
        let line = format!("GET /~alice/open/refs/download/{encoded}/x");
        assert!(
            (400..500).contains(
                &target
                    .bears(line.as_bytes(), b"", b"")
                    .await
                    .expect("an answer")
            ),
            "{line}"
        );
    }
    for raw in [&b"\xff\xfe"[..], b"refs/heads/\xff", b"HEAD^{\xff}"] {
        let encoded = escaped(raw);
        for verb in ["log", "tree", "blob", "refdb"] {
            let line = format!("GET /api/repos/open/{verb}/{encoded}");
            let status = target.bears(line.as_bytes(), b"", b"").await;
            assert!(matches!(status, Some(400 | 404)), "{line}: {status:?}");
        }
    }
    for id in [
        "x",
        "123",
        "zzzz",
        "-x",
        "%00",
        "%ff",
        "..",
        "4cfa%20",
        &"0".repeat(41),
        &"0".repeat(65),
        &over,
    ] {
        for verb in ["odb", "lookup"] {
            let line = format!("GET /api/repos/open/{verb}/{id}");
            let status = target.bears(line.as_bytes(), b"", b"").await;
            assert!(matches!(status, Some(400 | 404)), "{line}: {status:?}");
        }
    }
    target.end().await;
}

#[tokio::test]
async fn paths_that_climb_or_break_are_refused() {
    let target = Target::new().await;
    let deep = "a/".repeat(10_000) + "a";
    let long = "a".repeat(5000);
    for path in [
        "..",
        "../..",
        "%2e%2e",
        "%2e%2e/%2e%2e/config",
        "src/../README.md",
        ".",
        "src/./lib",
        "%00",
        "src%00",
        "src/%00",
        "/src",
        "src//lib",
        "%2fsrc",
        "%2f%2f",
        &deep,
        &long,
    ] {
        for verb in ["tree", "blob"] {
            target
                .refuses(
                    400,
                    "path",
                    &format!("GET /api/repos/open/{verb}/master/{path}"),
                    "",
                    "",
                )
                .await;
        }
    }
    for path in [
        "%ff",
        "README.md/x",
        "src/lib/a.txt/b",
        "vendored/x",
        "link/x",
        "missing",
        "%ff%fe/x",
        "src%2f%ff",
        "a%5cb",
    ] {
        for verb in ["tree", "blob"] {
            target
                .refuses(
                    404,
                    "",
                    &format!("GET /api/repos/open/{verb}/master/{path}"),
                    "",
                    "",
                )
                .await;
        }
    }
    for path in [
        "/api/repos/open/tree/master/src///",
        "/api/repos/open/tree/master/src/",
        "/api///",
        "/api/repos//",
    ] {
        let status = target
            .bears(format!("GET {path}").as_bytes(), b"", b"")
            .await;
        assert!(matches!(status, Some(200 | 404)), "{path}: {status:?}");
    }
    for path in [
        "/api/../etc/passwd",
        "/../api/repos",
        "/api/%2e%2e/x",
        "//api/repos",
        "/api//repos",
        "/api/repos/../repos",
        "/API/repos",
        "/api%2frepos",
        "/api/repos/open/",
        "/api/repos/open/nonsense",
        "/~alice/open/refs/download/",
        "/~/x/refs/download/a/b",
        "/~alice/open/refs/download/v1/..",
        "/~alice/open/refs/download/..%2f..%2fv1/x",
        "/%7ealice/open/refs/download/v1/%00",
        "/meta/api/",
        "/meta/api/nonsense",
        "/x/nonsense",
        "/x/",
        "/x",
        "/",
        "",
    ] {
        let raw = format!("GET {path}");
        let status = target.bears(raw.as_bytes(), b"", b"").await;
        let fine = matches!(status, Some(400 | 404))
            || (path.starts_with("/api/repos") && status == Some(200));
        assert!(fine, "{path}: {status:?}");
    }
    target.end().await;
}

#[tokio::test]
async fn what_is_too_large_for_the_parser_costs_that_connection_only() {
    let target = Target::new().await;
    let big = "a".repeat(1 << 20);
    let many = |count: usize| {
        (0..count)
            .map(|n| format!("x-{n}: a\r\n"))
            .collect::<String>()
    };
    for (line, headers) in [
        ("GET /api/user".to_owned(), format!("x: {big}\r\n")),
        ("GET /api/user".to_owned(), format!("{big}: x\r\n")),
        (
            "GET /api/user".to_owned(),
            format!("authorization: Bearer {big}\r\n"),
        ),
        ("GET /api/user".to_owned(), many(101)),
        ("GET /api/user".to_owned(), many(20_000)),
        (format!("GET /api/{big}"), String::new()),
        (format!("GET /api/repos?start={big}"), String::new()),
        (format!("GET /{}", "a/".repeat(1 << 19)), String::new()),
        (format!("{big} /api/user"), String::new()),
        (
            format!("GET{}/api/user", " ".repeat(1 << 20)),
            String::new(),
        ),
    ] {
        let status = target.bears(line.as_bytes(), headers.as_bytes(), b"").await;
        assert!(
            status.is_none_or(|status| (400..500).contains(&status)),
            "{status:?}"
        );
        assert_eq!(target.ask("GET /api/user", b"", b"").await.status, 200);
    }
    assert_eq!(
        target
            .bears(b"GET /api/user", many(90).as_bytes(), b"")
            .await,
        Some(200)
    );
    target.end().await;
}

#[tokio::test]
async fn what_is_hardly_http_is_refused_and_forgotten() {
    let target = Target::new().await;
    let head = format!("host: x\r\nauthorization: Bearer {}\r\n", target.token());
    let good = format!("GET /api/user HTTP/1.1\r\n{head}\r\n");
    for garbage in [
        "\0\x01\u{ff}\r\n\r\n",
        "GET\r\n\r\n",
        "GET /api/user HTTP/9.9\r\n\r\n",
        "{\"json\": true}\r\n\r\n",
    ] {
        let raw = target.send(format!("{good}{garbage}"), true).await;
        let text = String::from_utf8_lossy(&raw);
        assert!(text.starts_with("HTTP/1.1 200 "), "{garbage:?}: {text}");
        assert!(!text.contains("HTTP/1.1 5"), "{garbage:?}: {text}");
    }
    let old = target
        .send(format!("GET /api/user HTTP/1.0\r\n{head}\r\n"), false)
        .await;
    assert_eq!(Reply::parse(&old).expect("an answer").status, 200);
    let absolute = format!(
        "GET http://elsewhere.example/api/user HTTP/1.1\r\n{head}connection: close\r\n\r\n"
    );
    assert_eq!(
        Reply::parse(&target.send(absolute, false).await)
            .expect("an answer")
            .status,
        200
    );
    for raw in [
        &b"GET /api/user\r\n\r\n"[..],
        b"GET /api/user HTTP/1.1\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"003egit-upload-pack /~alice/open\0host=localhost\0",
        b"G\0T /api/user HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /api/\0user HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /api/\xffuser HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /api/us er HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET api/user HTTP/1.1\r\nhost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT localhost:22 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /api/user HTTP/1.1\r\n\r\n",
        b"GET /api/user HTTP/1.1\r\nhost: a b?\r\nhost: c\r\n\r\n",
        b"GET /api/user HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET /api/user HTTP/1.1\r\nx: a\r\n folded\r\n\r\n",
        b"GET /api/user HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /api/user HTTP/1.1\r\nx: a\rb\0\r\n\r\n",
        b"GET /api/user HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        b"GET /api/user HTTP/1.1\r\nhost: x\r\nexpect: nonsense\r\ncontent-length: 5\r\n\r\n",
        b"",
        b"\r\n\r\n\r\n",
    ] {
        let answer = target.send(raw, true).await;
        if let Some(reply) = Reply::parse(&answer).filter(|reply| reply.head.starts_with("http/1"))
        {
            reply.errors(&raw.escape_ascii().to_string());
            assert!(
                (400..500).contains(&reply.status),
                "{}: {}",
                raw.escape_ascii(),
                reply.status
            );
        }
    }
    for method in [
        "get",
        "PATCH",
        "TRACE",
        "PROPFIND",
        "X",
        &"X".repeat(10_000),
    ] {
        let status = target
            .bears(format!("{method} /api/user").as_bytes(), b"", b"")
            .await;
        assert_eq!(status, Some(405), "{method:.20}");
    }
    target.end().await;
}

#[tokio::test]
async fn credentials_that_are_not_understood_are_nobodys() {
    let target = Target::new().await;
    let token = target.token().to_owned();
    for credentials in [
        format!("Bearer {token}\r\nauthorization: Bearer {token}"),
        format!("Bearer {token} x"),
        format!("Basic {token}"),
        format!("Bearer{token}"),
        format!("Bearer {}", "x".repeat(5000)),
        token.clone(),
        "Bearer".to_owned(),
        String::new(),
        "Bearer \u{e9}".to_owned(),
        format!("Bearer\t{token}"),
        format!("Bearer {token},"),
        format!("Bearer \"{token}\""),
    ] {
        for path in [
            "/api/user",
            "/api/repos/open",
            "/~alice/open/refs/download/v1/x",
        ] {
            let raw = format!(
                "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {credentials}\r\n\r\n"
            );
            let reply = Reply::parse(&target.send(raw, false).await).expect("an answer");
            reply.errors(path);
            assert_eq!(reply.status, 401, "{credentials:.40} {path}");
        }
    }
    target.end().await;
}

#[tokio::test]
async fn forms_that_do_not_hold_a_file_are_refused() {
    let target = Target::new().await;
    let part = |name: &str, content: &str| {
        format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
    };
    let file = |name: &str| {
        format!(
            "--b\r\ncontent-disposition: form-data; name=\"file\"; filename={name}\r\n\r\nx\r\n"
        )
    };
    let nested = "--b\r\ncontent-disposition: form-data; name=\"files\"\r\ncontent-type: multipart/mixed; boundary=c\r\n\r\n\
                  --c\r\ncontent-disposition: file; filename=\"inner\"\r\n\r\nx\r\n--c--\r\n--b--\r\n";
    let wide = "--b\r\n".to_owned() + &"x".repeat(1 << 20);
    let forms = [
        String::new(),
        "--b".to_owned(),
        "--b--\r\n".to_owned(),
        "--b\r\n\r\n--b--\r\n".to_owned(),
        "\0\0\0".to_owned(),
        nested.to_owned(),
        wide,
        "x".repeat(1 << 20),
        file("\"x\""),
        part("file", "no name") + "--b--\r\n",
        file("\"x\"").replace("--b", "--c") + "--c--\r\n",
        part("other", "x") + "--b--\r\n",
        "--b\r\n".to_owned() + &"x-a: b\r\n".repeat(40_000),
        part("other", "x").repeat(10_000) + &file("\"x\"") + "--b--\r\n",
        part("other", &"x".repeat(300_000)) + &file("\"x\"") + "--b--\r\n",
        part("other", "x").repeat(1000) + &file("\"..\"") + "--b--\r\n",
        "--b\r\ncontent-disposition: form-data; name=\"fi".to_owned(),
        "--b\r\ncontent-disposition: \u{ff}\r\n\r\nx\r\n--b--\r\n".to_owned(),
        "--b\r\nno colon\r\n\r\nx\r\n--b--\r\n".to_owned(),
    ];
    let forms = forms.into_iter().chain(
        [
            "\"\"",
            "\"..\"",
            "\"/\"",
            "\"\0\"",
            "\"\u{202e}\"",
            "\"\u{1f980}\"",
            "",
            "\"~\"",
        ]
        .map(|name| file(name) + "--b--\r\n"),
    );
    let forms = forms.chain([file(&format!("\"{}\"", "x".repeat(256))) + "--b--\r\n"]);
    let kind = "content-type: multipart/form-data; boundary=b\r\n";
    for form in forms {
        target
            .refuses(
                400,
                "file",
                "POST /api/repos/open/artifacts/v1",
                kind,
                &form,
            )
            .await;
    }
    let good = file("\"x\"") + "--b--\r\n";
    for (status, field, rev) in [
        (404, "", "missing"),
        (404, "", "%ff"),
        (400, "ref", "a..b"),
        (400, "ref", "--output=x"),
        (400, "ref", "%00"),
    ] {
        let line = format!("POST /api/repos/open/artifacts/{rev}");
        target.refuses(status, field, &line, kind, &good).await;
    }
    for kind in [
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=b",
        "",
    ] {
        let headers = format!("content-type: {kind}\r\n");
        target
            .refuses(
                400,
                "file",
                "POST /api/repos/open/artifacts/v1",
                &headers,
                &good,
            )
            .await;
    }
    let long = format!(
        "content-type: multipart/form-data; boundary={}\r\n",
        "b".repeat(10_000)
    );
    target
        .refuses(
            400,
            "file",
            "POST /api/repos/open/artifacts/v1",
            &long,
            &good,
        )
        .await;
    for form in [
        part("name", "x"),
        part("name", "a/b") + "--b--\r\n",
        "--b\r\n\r\nx\r\n--b--".to_owned(),
        String::new(),
    ] {
        target.refuses_some(kind, &form).await;
    }
    target.end().await;
}

impl Target {
    /// A form instead of a JSON object.
    async fn refuses_some(&self, kind: &str, form: &str) {
        let status = self
            .bears(b"POST /api/repos", kind.as_bytes(), form.as_bytes())
            .await;
        assert_eq!(status, Some(400), "{form}");
    }
}

#[tokio::test]
async fn clients_that_never_finish_hold_up_nobody_else() {
    let target = Target::new().await;
    let mut slow = Vec::new();
    for request in [
        "",
        "G",
        "GET /api/user HTTP/1.1\r\nhost: x\r\nx: ",
        "POST /api/repos HTTP/1.1\r\nhost: x\r\nauthorization: Bearer TOKEN\r\ncontent-length: 100\r\n\r\n{",
        "POST /api/repos/open/artifacts/v1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer TOKEN\r\ncontent-length: 900\r\n\
         content-type: multipart/form-data; boundary=b\r\n\r\n\
         --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n",
    ] {
        let request = request.replace("TOKEN", target.token());
        for _ in 0..30 {
            let mut stream = TcpStream::connect(target.address)
                .await
                .expect("a connection");
            stream.write_all(request.as_bytes()).await.expect("sent");
            slow.push(stream);
        }
    }
    for _ in 0..20 {
        let answer = tokio::time::timeout(
            Duration::from_secs(5),
            target.ask("GET /api/repos/open/log", b"", b""),
        )
        .await;
        assert_eq!(answer.expect("soon").status, 200);
    }
    drop(slow);
    target.end().await;
}

/// A request that a machine made up.
#[derive(Debug, Clone)]
struct Wild {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> + Clone {
    proptest::collection::vec(any::<u8>(), 0..most)
}

fn wild() -> impl Strategy<Value = Wild> {
    let piece = prop_oneof![
        3 => select(vec!["open", "master", "v1", "~alice", "HEAD", "README.md", "..", "%00", "%2e%2e", "@{u}", "a..b", "", "%ff"])
            .prop_map(str::to_owned),
        2 => bytes(24).prop_map(|raw| String::from_utf8_lossy(&raw).into_owned()),
        2 => bytes(24).prop_map(|raw| escaped(&raw)),
    ];
    let templates: Vec<_> = forge::git_endpoints()
        .into_iter()
        .map(|endpoint| endpoint.path)
        .collect();
    let pieces = proptest::collection::vec(piece, 6);
    let path = (select(templates), pieces, any::<bool>()).prop_map(|(template, pieces, exact)| {
        let mut pieces = pieces.into_iter();
        let fill =
            |segment: &str| match segment.starts_with('{') || segment.starts_with("~{") || !exact {
                true => pieces.next().unwrap_or_default(),
                false => segment.to_owned(),
            };
        let filled: Vec<_> = template.split('/').skip(2).map(fill).collect();
        let first = template
            .split('/')
            .nth(1)
            .unwrap_or_default()
            .replace("{owner}", "alice");
        format!("/{first}/{}", filled.join("/"))
    });
    let query = prop_oneof![
        Just(String::new()),
        bytes(30).prop_map(|raw| format!("?start={}", String::from_utf8_lossy(&raw)))
    ];
    let path = (path, query).prop_map(|(path, query)| path + &query);
    let names = vec![
        "content-type",
        "if-none-match",
        "host",
        "accept",
        "range",
        "cookie",
        "x-request-id",
        "authorization",
    ];
    let value = prop_oneof![
        bytes(40),
        select(vec![
            "application/json",
            "multipart/form-data; boundary=b",
            "text/html",
            "*",
            "W/\"",
            "bytes=0-"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let headers = proptest::collection::vec((select(names), value), 0..4);
    let form = select(vec![
        "--b\r\n",
        "--b--",
        "\r\n",
        "content-disposition: form-data; name=\"file\"; filename=\"x\"\r\n",
        "name=x&",
        "{\"name\":",
        "\"x\"",
        "}",
        "[",
        "\"description\":",
        "\"\\u0000\"",
        "null",
        ",",
    ]);
    let form = proptest::collection::vec(
        prop_oneof![4 => form.prop_map(|text| text.as_bytes().to_vec()), 1 => bytes(10)],
        0..12,
    );
    let body = prop_oneof![bytes(300), form.prop_map(|pieces| pieces.concat())];
    let methods = vec!["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    (select(methods), path, headers, body).prop_map(|(method, path, headers, body)| Wild {
        method,
        path,
        headers,
        body,
    })
}

impl Wild {
    fn request(&self, token: &str) -> Request<Full<bytes::Bytes>> {
        let uri = self
            .path
            .parse::<Uri>()
            .ok()
            .filter(|uri| uri.path().starts_with('/'));
        let uri = uri.unwrap_or_else(|| {
            let escaped = escaped(self.path.as_bytes());
            escaped.replace("%2F", "/").parse().expect("escaped")
        });
        let method: Method = self.method.parse().expect("a method");
        let mut request = Request::new(Full::new(self.body.clone().into()));
        (*request.uri_mut(), *request.method_mut()) = (uri, method);
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).expect("a header");
        request.headers_mut().insert("authorization", bearer);
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                request.headers_mut().insert(*name, value);
            }
        }
        request
    }
}

#[test]
fn no_request_whatever_is_answered_with_a_fault_of_ours() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let world = runtime.block_on(World::new(Database::Sqlite));
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&wild(), |wild| {
        // What is deleted could not be asked for any more.
        let persona = match wild.method {
            "DELETE" => Persona::Writer,
            _ => Persona::Owner,
        };
        let request = wild.request(world.token_of(persona).expect("a token"));
        runtime.block_on(async {
            let Ok(response) = world.app.service().oneshot(request).await;
            let (parts, body) = response.into_parts();
            let claimed = parts.headers.contains_key("x-request-id") && wild.method != "HEAD";
            let body = body.collect().await.expect("a body").to_bytes();
            refusals("a wild request", parts.status.as_u16(), claimed, &body);
        });
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    runtime.block_on(world.end());
}
