//! How many requests a second the REST API answers, beside an axum handler that has the same bytes at hand.
//!
//! Both are served by real sockets on one runtime, over connections that stay open; the client has a thread of its own
//! and reads no more of an answer than where it ends. Each request shows a token, which SQLite keeps.
//!
//! Invariant: both give the same body, byte for byte. Answers that are not kept are no subject here; see `log` and
//! `tree`.

#[path = "support/server.rs"]
mod server;
mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use http::header::CONTENT_TYPE;
use server::Server;
use support::{Turns, is_test, report, repository};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};

/// Connections at once.
const CONNECTIONS: usize = 16;

/// What is asked for, and the least share of the empty handler's rate that is wanted.
const PAGES: &[(&str, &str, Option<f64>)] = &[
    ("log", "/api/repos/history/log", Some(0.1)),
    ("tree", "/api/repos/history/tree", None),
    ("repository", "/api/repos/history", None),
];

fn main() {
    let servers = Runtime::new().expect("a runtime");
    let kept = tempfile::tempdir().expect("a directory");
    let (forge, token) = servers.block_on(serve_forge(kept.path()));
    let client = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");

    let mut asked = Vec::new();
    let mut router = Router::new();
    for (name, path, _) in PAGES {
        let request = request(path, &token);
        let body = client.block_on(async {
            let mut connection = Connection::open(forge).await;
            connection.ask(&request).await
        });
        router = router.route(
            path,
            get(async move || ([(CONTENT_TYPE, "application/json")], body)),
        );
        asked.push((*name, request));
    }
    let empty = servers.block_on(serve_empty(router));
    for (_, request) in &asked {
        let bodies = client.block_on(async {
            let mut ours = Connection::open(forge).await;
            let mut theirs = Connection::open(empty).await;
            (ours.ask(request).await, theirs.ask(request).await)
        });
        assert!(bodies.0 == bodies.1 && !bodies.0.is_empty());
    }
    let run = |address, request: &Bytes, count| client.block_on(run(address, request, count));

    let mut criterion = Criterion::default().configure_from_args();
    for (name, request) in &asked {
        let mut group = criterion.benchmark_group(format!("rest/{name}"));
        group.throughput(Throughput::Elements(1)).sample_size(20);
        for (server, address) in [("forge", forge), ("empty handler", empty)] {
            group.bench_function(server, |b| {
                b.iter_custom(|count| run(address, request, count));
            });
        }
        group.finish();
    }
    criterion.final_summary();

    let count = if is_test() { 64 } else { 20_000 };
    for ((name, request), (_, _, goal)) in asked.iter().zip(PAGES) {
        let turns = Turns::take(
            9,
            &mut [&mut || run(forge, request, count), &mut || {
                run(empty, request, count)
            }],
        );
        let share = turns.ratio(1, 0);
        let rate = |way| {
            f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / turns.median(way).as_secs_f64()
        };
        let found = format!(
            "{:.0} requests a second, {:.1} % of the empty handler's {:.0}",
            rate(0),
            share * 100.0,
            rate(1),
        );
        let wanted = goal.map_or("none".to_owned(), |goal| {
            format!(">= {:.0} %", goal * 100.0)
        });
        report(name, &found, &wanted, goal.is_none_or(|goal| share >= goal));
    }
}

/// A forge with the fixture in it, and a token of the repository's owner.
async fn serve_forge(directory: &std::path::Path) -> (SocketAddr, String) {
    let Server { app, token } = Server::new(directory, &repository()).await;
    let (listener, address) = listen().await;
    let serving = app.serve().listener(listener);
    tokio::spawn(serving.until(std::future::pending()));
    (address, token)
}

async fn serve_empty(router: Router) -> SocketAddr {
    let (listener, address) = listen().await;
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("a socket"));
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

fn request(path: &str, token: &str) -> Bytes {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost:8080\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    request.into()
}

/// Makes so many requests over all connections, and tells how long they took.
async fn run(address: SocketAddr, request: &Bytes, count: u64) -> Duration {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(address).await);
    }
    let begin = Instant::now();
    let left = std::cell::Cell::new(count);
    let each = connections.iter_mut().map(async |connection| {
        while let Some(next) = left.get().checked_sub(1) {
            left.set(next);
            connection.skip(request).await;
        }
    });
    futures::future::join_all(each).await;
    begin.elapsed()
}

/// A connection that knows just enough HTTP/1.1 for answers that state their length.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a server");
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream,
            buffer: Vec::with_capacity(1 << 17),
        }
    }

    /// Asks, and gives the body.
    async fn ask(&mut self, request: &[u8]) -> Bytes {
        let body = self.skip(request).await;
        Bytes::copy_from_slice(&self.buffer[body..])
    }

    /// Asks, and tells where in the buffer the body begins.
    async fn skip(&mut self, request: &[u8]) -> usize {
        self.stream.write_all(request).await.expect("a server");
        self.buffer.clear();
        let body = loop {
            self.read().await;
            if let Some(end) = self
                .buffer
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
            {
                break end + 4;
            }
        };
        let size = self.size(body);
        while self.buffer.len() < body + size {
            self.read().await;
        }
        body
    }

    async fn read(&mut self) {
        let read = self.stream.read_buf(&mut self.buffer).await;
        assert!(read.expect("a server") > 0, "the server hung up");
    }

    fn size(&self, head: usize) -> usize {
        let head = std::str::from_utf8(&self.buffer[..head]).expect("text");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let size = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        size.expect("a length").1.parse().expect("a number")
    }
}
