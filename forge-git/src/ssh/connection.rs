//! One connection: who it is, which sessions it may open, and how it ends.
//!
//! Invariant: a client is whose signature was verified, and nobody by a key it only offered. When the connection ends,
//! however it does, so does all that it began, except a push that cannot be taken back any more. Nothing but sessions is
//! opened: no forwarding, no agent, no terminal. What a session does is not known here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use forge_core::access::Credentials;
use forge_core::keys::Fingerprint;
use forge_core::limits::SshLimits;
use forge_core::{Error, Stop};
use russh::keys::{Algorithm, PublicKey};
use russh::server::{
    self, Auth, ChannelOpenHandle, Config, Handler, PublicKeyOffer, VerifiedPublicKey, run_stream,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect, Pty};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::pipes::Cut;
use super::session::Session;
use super::{GRACE, Host, PROTOCOL};

/// The one name under which everybody logs in.
const LOGIN: &str = "git";
/// How long a client may take to hang up once it was told to.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves a connection to its end.
pub(super) async fn serve(
    host: Arc<Host>,
    config: Arc<Config>,
    stream: TcpStream,
    address: IpAddr,
    stop: Stop,
) {
    // Small answers must not wait for the client's acknowledgement; without it they are only slower.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let limits = host.limits().clone();
    let deadline = Instant::now() + limits.login;
    let (cut, known) = (Stop::new(), Stop::new());
    let places = Arc::new(Semaphore::new(limits.sessions));
    let connection = Connection {
        host,
        address,
        key: None,
        known: known.clone(),
        cut: cut.clone(),
        closing: stop.clone(),
        places: Arc::clone(&places),
        sessions: HashMap::new(),
    };
    let stream = Cut::new(stream, &cut);
    let mut running = match timeout_at(deadline, run_stream(config, stream, connection)).await {
        Ok(Ok(running)) => running,
        Ok(Err(error)) => return tracing::debug!(%error, "no SSH client connected"),
        Err(_) => return tracing::debug!("a client took too long to say anything"),
    };
    let handle = running.handle();
    let ended = tokio::select! {
        ended = &mut running => Some(ended),
        () = late(deadline, &known) => None,
        () = dismissed(&stop, &places, &limits, &handle) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            cut.stop();
            running.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Returns when a client took too long to prove who it is.
async fn late(deadline: Instant, known: &Stop) {
    if timeout_at(deadline, known.stopped()).await.is_ok() {
        std::future::pending::<()>().await;
    }
    tracing::debug!("a client took too long to prove who it is");
}

/// Returns when the server is stopping and the client has had the time to finish and to hang up.
async fn dismissed(stop: &Stop, places: &Semaphore, limits: &SshLimits, handle: &server::Handle) {
    stop.stopped().await;
    // All places are free when no session runs.
    let all = u32::try_from(limits.sessions).unwrap_or(u32::MAX);
    let finished = timeout(GRACE, places.acquire_many(all)).await;
    if finished.is_err() {
        tracing::warn!("sessions that took too long to finish are cut off");
        return;
    }
    // Who has just been told how it went hangs up by itself; a goodbye could overtake what was told.
    sleep(GOODBYE).await;
    let goodbye = handle.disconnect(
        Disconnect::ByApplication,
        "the server is shutting down".to_owned(),
        String::new(),
    );
    if !matches!(timeout(GOODBYE, goodbye).await, Ok(Ok(()))) {
        return;
    }
    sleep(GOODBYE).await;
}

/// What russh asks about a connection.
struct Connection {
    host: Arc<Host>,
    address: IpAddr,
    /// Whose signature was verified. What it opens is asked for each command.
    key: Option<Fingerprint>,
    /// Given when the client has proved who it is.
    known: Stop,
    /// Given when the connection is cut: nobody who waits for the client would notice it otherwise.
    cut: Stop,
    /// Given when nothing new may begin.
    closing: Stop,
    places: Arc<Semaphore>,
    sessions: HashMap<ChannelId, Running>,
}

/// A session; dropped, it ends.
struct Running {
    task: JoinHandle<()>,
    /// Whether it was told what to do.
    is_begun: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// The fingerprint of a key that opens something, or whose owner is to be told why it does not.
    async fn admits(&self, user: &str, key: &PublicKey, by: &Algorithm) -> Option<Fingerprint> {
        // SHA-1 signatures can be forged.
        if user != LOGIN || *by == (Algorithm::Rsa { hash: None }) {
            return None;
        }
        let fingerprint = Fingerprint::of(&key.to_bytes().ok()?);
        let forge = self.host.transport.forge();
        match forge.authenticate(Credentials::SshKey(fingerprint)).await {
            Err(Error::Unauthenticated) => None,
            // Errors are told, and logged, when there is a session to show them in.
            Ok(_) | Err(_) => Some(fingerprint),
        }
    }

    /// Whether a session is told what to do for the first time.
    fn begins(&mut self, channel: ChannelId) -> bool {
        let running = self.sessions.get_mut(&channel);
        running.is_some_and(|running| !std::mem::replace(&mut running.is_begun, true))
    }
}

fn answer(
    session: &mut server::Session,
    channel: ChannelId,
    is_granted: bool,
) -> Result<(), russh::Error> {
    if is_granted {
        session.channel_success(channel)
    } else {
        session.channel_failure(channel)
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    /// So that clients sign with a key that helps, and ask for a touch of no other. Nothing is remembered: anybody can
    /// offer anybody's key.
    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        match self.admits(user, offer.public_key, offer.algorithm).await {
            Some(_) => Ok(Auth::Accept),
            None => Ok(Auth::reject()),
        }
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        self.key = self.admits(user, key.public_key, key.algorithm).await;
        match self.key {
            Some(_) => Ok(Auth::Accept),
            None => Ok(Auth::reject()),
        }
    }

    async fn auth_succeeded(&mut self, _: &mut server::Session) -> Result<(), Self::Error> {
        self.known.stop();
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<server::Msg>,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<(), Self::Error> {
        // russh does not say when a channel is closed that we closed first.
        self.sessions
            .retain(|_, running| !running.task.is_finished());
        let place = Arc::clone(&self.places).try_acquire_owned();
        let (Some(key), Ok(place), false) = (self.key, place, self.closing.is_stopped()) else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let session = Session {
            host: Arc::clone(&self.host),
            address: self.address,
            key,
        };
        let (id, cut) = (channel.id(), self.cut.clone());
        reply.accept().await;
        let task = tokio::spawn(async move {
            tokio::select! {
                () = session.run(channel) => {}
                () = cut.stopped() => {}
            }
            drop(place);
        });
        let is_begun = false;
        self.sessions.insert(id, Running { task, is_begun });
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _: &mut server::Session,
    ) -> Result<(), Self::Error> {
        self.sessions.remove(&channel);
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        _: &str,
        session: &mut server::Session,
    ) -> Result<(), Self::Error> {
        answer(session, channel, name == PROTOCOL)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut server::Session,
    ) -> Result<(), Self::Error> {
        let begins = self.begins(channel);
        answer(session, channel, begins)
    }

    /// Granted, to say in it that there is none.
    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut server::Session,
    ) -> Result<(), Self::Error> {
        let begins = self.begins(channel);
        answer(session, channel, begins)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut server::Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut server::Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut server::Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }
}
