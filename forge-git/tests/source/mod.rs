//! A server to import from: `git http-backend` behind the smallest HTTP there is, or a server of files.
//!
//! Invariant: it listens on this machine alone and ends with its handle. It serves one request for each connection.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// What a server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Lets git answer.
    Smart,
    /// Sends files.
    Dumb,
    /// Sends the client to the same place below another address.
    Redirect(String),
    /// Sends a reference to such a place where git looks for objects of others.
    Alternate(String),
    /// Says nothing, ever.
    Silent,
}

/// A server of the repositories below a directory.
pub(crate) struct Server {
    address: String,
    kind: Arc<Mutex<Kind>>,
    requests: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(root: &Path, kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("an address").to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let kind = Arc::new(Mutex::new(kind));
        let (root, count, current) = (root.to_owned(), Arc::clone(&requests), Arc::clone(&kind));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let kind = current.lock().expect("unpoisoned").clone();
                let root = root.clone();
                tokio::spawn(async move {
                    // A client that goes away is none of ours.
                    let _ = answer(stream, root, kind).await;
                });
            }
        });
        Self {
            address,
            kind,
            requests,
            accepting,
        }
    }

    /// The URL of a repository, or of another path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Answers otherwise from now on.
    pub(crate) fn becomes(&self, kind: Kind) {
        *self.kind.lock().expect("unpoisoned") = kind;
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

async fn answer(stream: TcpStream, root: PathBuf, kind: Kind) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let request = read(&mut stream).await?;
    let answer = match kind {
        Kind::Smart => smart(&root, &request).await?,
        Kind::Dumb => dumb(&root, &request),
        Kind::Redirect(to) => {
            let (path, query) = (&request.path, &request.query);
            format!("HTTP/1.1 302 Found\r\nLocation: {to}{path}?{query}\r\n\r\n").into_bytes()
        }
        Kind::Alternate(to) if request.path.ends_with("http-alternates") => {
            format!("HTTP/1.1 200 OK\r\n\r\n{to}\n").into_bytes()
        }
        Kind::Alternate(_) if request.path.contains("/objects/") => not_found(),
        Kind::Alternate(_) => dumb(&root, &request),
        Kind::Silent => std::future::pending().await,
    };
    stream.write_all(&answer).await?;
    stream.shutdown().await
}

async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut request = Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let header = (name.to_ascii_lowercase(), value.trim().to_owned());
        request.headers.push(header);
    }
    let length = request.header("content-length").parse().unwrap_or(0);
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).await?;
    Ok(request)
}

#[expect(clippy::disallowed_methods, reason = "the source is git's own server")]
async fn smart(root: &Path, request: &Request) -> std::io::Result<Vec<u8>> {
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROTOCOL", request.header("git-protocol"))
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env("CONTENT_TYPE", request.header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", request.header("content-encoding"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&request.body).await?;
    drop(stdin);
    let output = child.wait_with_output().await?.stdout;
    let text = String::from_utf8_lossy(&output);
    let status = text
        .lines()
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix("Status: "));
    let status = status.unwrap_or("200 OK");
    Ok([format!("HTTP/1.1 {status}\r\n").as_bytes(), &output].concat())
}

fn dumb(root: &Path, request: &Request) -> Vec<u8> {
    let path = root.join(request.path.trim_start_matches('/'));
    match std::fs::read(path) {
        Ok(content) => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                content.len()
            );
            [head.as_bytes(), &content].concat()
        }
        Err(_) => not_found(),
    }
}

fn not_found() -> Vec<u8> {
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()
}
