//! Serving a forge without a host application.
//!
//! Invariant: when the signal comes, nothing new is accepted, what was begun is finished (within a time), and the
//! worker ends between two jobs. TLS is not spoken here: a proxy in front does.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use forge_core::http::{Body, BoxError, Peer};
use forge_core::{Error, Result, Stop};
use futures::{StreamExt as _, stream};
use http::Request;
use http_body::Body as _;
use http_body_util::{BodyDataStream, BodyExt as _};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
#[cfg(feature = "ssh")]
use tokio::task::JoinHandle;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::App;

/// How many connections are served at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may pause while it sends a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long requests that were begun may take once the signal came.
const GRACE: Duration = Duration::from_secs(30);

/// A forge about to be served; made by [`App::serve`].
#[derive(Debug)]
#[must_use]
pub struct Serve {
    app: App,
    addresses: Vec<String>,
    listeners: Vec<TcpListener>,
    #[cfg(feature = "ssh")]
    ssh_addresses: Vec<String>,
    #[cfg(feature = "ssh")]
    ssh_listeners: Vec<TcpListener>,
}

impl Serve {
    pub(crate) fn new(app: App) -> Self {
        Self {
            app,
            addresses: Vec::new(),
            listeners: Vec::new(),
            #[cfg(feature = "ssh")]
            ssh_addresses: Vec::new(),
            #[cfg(feature = "ssh")]
            ssh_listeners: Vec::new(),
        }
    }

    /// Serves HTTP/1.1 on an address, `127.0.0.1:8080` for example.
    pub fn http(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Serves HTTP on a socket that listens already.
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Serves SSH on an address, `127.0.0.1:2222` for example.
    #[cfg(feature = "ssh")]
    pub fn ssh(mut self, address: impl Into<String>) -> Self {
        self.ssh_addresses.push(address.into());
        self
    }

    /// Serves SSH on a socket that listens already.
    #[cfg(feature = "ssh")]
    pub fn ssh_listener(mut self, listener: TcpListener) -> Self {
        self.ssh_listeners.push(listener);
        self
    }

    /// Serves until the signal comes, [`ctrl_c`] for example.
    ///
    /// # Errors
    /// [`Error::Invalid`] for field `http` or `ssh` if an address cannot be listened on, for `ssh_host_key` if that file
    /// is unusable; those of the store at the start.
    pub async fn until(mut self, signal: impl Future<Output = ()>) -> Result<()> {
        for address in &self.addresses {
            self.listeners.push(bind("http", address).await?);
        }
        let stop = Stop::new();
        #[cfg(feature = "ssh")]
        let ssh = self.start_ssh(&stop).await?;
        let worker = tokio::spawn({
            let (forge, stop) = (self.app.forge().clone(), stop.clone());
            async move { forge.work(stop).await }
        });
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let acceptors = self.listeners.into_iter().map(|listener| {
            tokio::spawn(accept(
                listener,
                self.app.clone(),
                Arc::clone(&places),
                stop.clone(),
            ))
        });
        let acceptors: Vec<_> = acceptors.collect();
        tokio::pin!(worker);
        let ended = tokio::select! {
            () = signal => None,
            // It ends by itself only if the queue could not be read at the start.
            ended = &mut worker => Some(ended),
        };
        stop.stop();
        for acceptor in acceptors {
            acceptor.await.map_err(Error::internal)?;
        }
        #[cfg(feature = "ssh")]
        for server in ssh {
            server.await.map_err(Error::internal)??;
        }
        match ended {
            Some(ended) => ended.map_err(Error::internal)?,
            None => match tokio::time::timeout(GRACE, worker).await {
                Ok(ended) => ended.map_err(Error::internal)?,
                // What it was at is done again when its leases end.
                Err(_) => Ok(()),
            },
        }
    }
}

#[cfg(feature = "ssh")]
impl Serve {
    /// Starts an SSH server on each of its sockets.
    async fn start_ssh(&mut self, stop: &Stop) -> Result<Vec<JoinHandle<Result<()>>>> {
        for address in &self.ssh_addresses {
            self.ssh_listeners.push(bind("ssh", address).await?);
        }
        let mut servers = Vec::new();
        for listener in self.ssh_listeners.drain(..) {
            let ssh = self.app.ssh()?;
            // An unusable host key is to be known at the start.
            ssh.fingerprint().await?;
            servers.push(tokio::spawn(ssh.serve(listener, stop.clone())));
        }
        Ok(servers)
    }
}

async fn bind(field: &'static str, address: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| Error::invalid(field, format!("cannot listen on {address}: {error}")))
}

async fn accept(listener: TcpListener, app: App, places: Arc<Semaphore>, stop: Stop) {
    let graceful = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    let transfer_idle = app.forge().limits().push.idle;
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = stop.stopped() => break,
            next = next => next,
        };
        let (stream, peer) = match accepted {
            Ok((stream, address)) => (stream, Peer(address.ip())),
            Err(error) => {
                // Out of descriptors, most likely: others will be closed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let mounts = app.clone();
        let service = app
            .service()
            .map_request(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                let uri = request.uri();
                // Git's clients compute while they send, and the transport has limits of its own.
                let is_transfer = mounts.mounts().is_transfer(uri.path(), uri.query());
                let patience = if is_transfer {
                    transfer_idle
                } else {
                    BODY_TIMEOUT
                };
                request.map(|body| within_time(body, patience))
            });
        let service = TowerToHyperService::new(service);
        let served = graceful.watch(server.serve_connection(io(stream), service));
        tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests that took too long to finish are cut off");
    }
}

/// The connection, which fails if its reader takes nothing for too long.
fn io(stream: TcpStream) -> TokioIo<Pin<Box<TimeoutStream<TcpStream>>>> {
    // Small answers must not wait for the client's acknowledgement; without it they are only slower.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    TokioIo::new(Box::pin(stream))
}

/// A request's body that fails if its sender falls silent.
fn within_time(body: Incoming, patience: Duration) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    let pieces = body.into_data_stream();
    let next = move |mut pieces: BodyDataStream<Incoming>| async move {
        match tokio::time::timeout(patience, pieces.next()).await {
            Ok(piece) => Ok(piece.transpose()?.map(|piece| (piece, pieces))),
            Err(_) => Err(BoxError::from("the sender fell silent")),
        }
    };
    Body::from_stream(stream::try_unfold(pieces, next))
}

/// Returns when the process is asked to end: by Ctrl-C, or by SIGTERM where there is such a thing.
pub async fn ctrl_c() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<Infallible>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_answers_do_not_wait_for_an_acknowledgement() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("an address");
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let _client = client.expect("a connection");
        let io = io(server.expect("a connection").0);
        let stream = io.inner().get_ref();
        assert!(stream.nodelay().expect("an option"));
    }
}
