//! Bad input of every kind, over a real socket where a client library would refuse to send it.
//!
//! Invariant: nothing that is sent here is answered with 5xx, changes anything, or keeps others from being answered; and
//! whatever reaches the forge is refused in the error form. Who may do what is in `access.rs`.

mod bodies;
mod wild;
mod words;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

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
            let reply = self.ask(&format!("GET {path}"), "", "").await;
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
    async fn ask(&self, line: &str, headers: &str, body: impl AsRef<[u8]>) -> Reply {
        let reply = self.ask_for(line, headers, body.as_ref()).await;
        reply.expect("an answer")
    }

    async fn ask_for(&self, line: &str, headers: &str, body: &[u8]) -> Option<Reply> {
        let framed = ["transfer-encoding", "content-length"];
        let length = if framed.iter().any(|name| headers.starts_with(name)) || body.is_empty() {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        let head = format!(
            "{line} HTTP/1.1\r\nhost: git.example.org\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
             {length}{headers}\r\n",
            self.token()
        );
        let request = [head.as_bytes(), body].concat();
        Reply::parse(&self.send(request, false).await)
    }

    /// It must be refused with that status, and the field to blame be named; none if `field` is empty.
    async fn refuses(
        &self,
        status: u16,
        field: &str,
        line: &str,
        headers: &str,
        body: impl AsRef<[u8]>,
    ) {
        let body = body.as_ref();
        let reply = self.ask(line, headers, body).await;
        let what = format!(
            "{line:.200} {headers:.80} {:.200}",
            body.escape_ascii().to_string()
        );
        let errors = reply.errors(&what);
        assert_eq!(reply.status, status, "{what}: {errors:?}");
        let named: Vec<_> = errors
            .iter()
            .map(|error| error["field"].as_str().unwrap_or_default())
            .collect();
        assert!(named.contains(&field), "{what}: {errors:?}");
    }

    /// Whatever the answer, it is no fault of ours; `None` if there is none.
    async fn bears(&self, line: &str, headers: &str, body: &str) -> Option<u16> {
        let reply = self.ask_for(line, headers, body.as_bytes()).await?;
        reply.errors(&format!("{line:.200} {headers:.80} {body:.200}"));
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

/// The type of most bodies.
const JSON: &str = "content-type: application/json\r\n";

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
        let status = target.bears(&line, &headers, "").await;
        assert!(
            status.is_none_or(|status| (400..500).contains(&status)),
            "{status:?}"
        );
        assert_eq!(target.ask("GET /api/user", "", "").await.status, 200);
    }
    assert_eq!(
        target.bears("GET /api/user", &many(90), "").await,
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
        let status = target.bears(&format!("{method} /api/user"), "", "").await;
        assert_eq!(status, Some(405), "{method:.20}");
    }
    target.end().await;
}

#[tokio::test]
async fn credentials_that_are_not_understood_are_nobodys() {
    let target = Target::new().await;
    let token = target.token().to_owned();
    let long = "x".repeat(5000);
    for credentials in [
        &format!("Bearer {token}\r\nauthorization: Bearer {token}"),
        &format!("Bearer {token} x"),
        &format!("Bearer {token},"),
        &format!("Bearer \"{token}\""),
        &format!("Bearer\t{token}"),
        &format!("Bearer{token}"),
        &format!("Basic {token}"),
        &format!("Bearer {long}"),
        &token,
        "Bearer \u{e9}",
        "Bearer",
        "",
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
            target.ask("GET /api/repos/open/log", "", ""),
        )
        .await;
        assert_eq!(answer.expect("soon").status, 200);
    }
    drop(slow);
    target.end().await;
}
