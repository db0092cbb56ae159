//! SSH: a server that speaks nothing but git.
//!
//! Invariant: a client proves who it is with a key, and what it may do is decided for each command, by its [`Caller`]
//! (see `command.rs`). Commands are read by a grammar of our own and run by no shell. russh is seen in this module only.
//!
//! [`Caller`]: forge_core::Caller

mod command;
mod config;
mod connection;
mod door;
mod exec;
mod host_key;
mod pipes;
mod session;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use forge_core::keys::Fingerprint;
use forge_core::limits::SshLimits;
use forge_core::{Error, Result, Stop};
use russh::keys::PrivateKey;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::gix::blocking;
use crate::transport::Transport;
use door::Door;

/// The one variable that a client may set.
const PROTOCOL: &str = "GIT_PROTOCOL";
/// How long transfers that were begun may take once the server is stopping.
const GRACE: Duration = Duration::from_secs(30);

impl Transport {
    /// The SSH server; it needs a [`Ssh::host_key`].
    pub fn ssh(&self) -> Ssh {
        Ssh {
            transport: self.clone(),
            host_keys: Vec::new(),
            url: None,
        }
    }
}

/// An SSH server, made by [`Transport::ssh`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Ssh {
    transport: Transport,
    host_keys: Vec<PathBuf>,
    url: Option<Arc<str>>,
}

impl Ssh {
    /// The file of the private key by which clients recognise the server, as OpenSSH writes it and without a passphrase.
    /// If there is no such file, an Ed25519 key is made and put there. Said more than once, clients choose among the
    /// keys: very old ones need an RSA key, made with `ssh-keygen -t rsa -b 3072`.
    pub fn host_key(mut self, path: impl Into<PathBuf>) -> Self {
        self.host_keys.push(path.into());
        self
    }

    /// Where clients reach the server, for the notices that name a repository: `ssh://git@example.org:2222`, or
    /// `git@example.org` for short.
    pub fn url(mut self, base: &str) -> Self {
        let base = base.trim_end_matches(['/', ':']);
        let between = if base.contains("://") { '/' } else { ':' };
        self.url = Some(format!("{base}{between}").into());
        self
    }

    /// The fingerprint of the first host key, which clients compare with what they are told elsewhere. Makes the key if
    /// there is none.
    ///
    /// # Errors
    /// [`Error::Invalid`] for field `ssh_host_key` if there is no key to be had.
    pub async fn fingerprint(&self) -> Result<Fingerprint> {
        let keys = self.keys().await?;
        let first = keys.first().ok_or_else(no_key)?;
        let blob = first.public_key().to_bytes().map_err(Error::internal)?;
        Ok(Fingerprint::of(&blob))
    }

    /// Serves a socket until the signal is given: then nobody is let in any more, and transfers that were begun have
    /// 30 seconds to finish.
    ///
    /// # Errors
    /// As [`Ssh::fingerprint`], before anything is served.
    pub async fn serve(self, listener: TcpListener, stop: Stop) -> Result<()> {
        let keys = self.keys().await?;
        let limits = &self.transport.forge().limits().ssh;
        let config = Arc::new(config::of(limits, keys));
        let door = Door::new(limits);
        let (working, mut work) = mpsc::channel(1);
        let host = Arc::new(Host {
            transport: self.transport,
            url: self.url,
            working,
        });
        loop {
            let accepted = tokio::select! {
                () = stop.stopped() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: others will be closed.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Some(place) = door.enter(address.ip()) else {
                tracing::debug!(%address, "too many connections");
                continue;
            };
            let (host, config, stop) = (Arc::clone(&host), Arc::clone(&config), stop.clone());
            // Each in a task of its own: a panic ends one connection.
            tokio::spawn(async move {
                let address = address.ip().to_canonical();
                connection::serve(host, config, stream, address, stop).await;
                drop(place);
            });
        }
        drop((listener, host));
        // Each connection has a share of the host, and pushes that outlive their connections have one of the sender.
        if tokio::time::timeout(2 * GRACE, work.recv()).await.is_err() {
            tracing::warn!("pushes that took too long to finish are left to the next start");
        }
        Ok(())
    }

    /// The host keys, from their files.
    async fn keys(&self) -> Result<Vec<PrivateKey>> {
        let paths = self.host_keys.clone();
        if paths.is_empty() {
            return Err(no_key());
        }
        blocking(move || paths.iter().map(|path| host_key::load(path)).collect()).await
    }
}

fn no_key() -> Error {
    Error::invalid("ssh_host_key", "ssh_host_key is required")
}

/// What all connections share.
struct Host {
    transport: Transport,
    /// Where the server is reached: what comes before `~owner/name`.
    url: Option<Arc<str>>,
    /// Nothing is ever sent: the last of its clones is dropped when no work is left.
    working: mpsc::Sender<Infallible>,
}

impl Host {
    fn limits(&self) -> &SshLimits {
        &self.transport.forge().limits().ssh
    }
}
