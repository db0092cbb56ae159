//! One session of a connection: what its channel asks for, and the command that comes of it.
//!
//! Invariant: a channel's messages are taken off its queue from its first to its last, since russh stops reading the
//! whole connection while one queue is full. Requests are answered by [`super::connection`], in their order; here they
//! only take effect. The exit code goes out after everything that the command wrote, then the end, then the closing.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use forge_core::access::Credentials;
use forge_core::keys::Fingerprint;
use forge_core::{Caller, Error};
use futures::FutureExt as _;
use russh::{Channel, ChannelMsg, ChannelReadHalf, server};

use super::command::{self, Guest, REFUSED};
use super::pipes::Pipes;
use super::{Host, PROTOCOL};
use crate::transport::Version;
use crate::words;

/// A session about to begin.
pub(super) struct Session {
    pub(super) host: Arc<Host>,
    pub(super) address: IpAddr,
    /// Whose signature was verified.
    pub(super) key: Fingerprint,
}

impl Session {
    pub(super) async fn run(self, channel: Channel<server::Msg>) {
        let (mut reads, writes) = channel.split();
        let Some((command, version)) = asked(&mut reads).await else {
            return;
        };
        let pipes = Pipes::of(reads, &writes);
        let messages = pipes.messages.clone();
        let work = AssertUnwindSafe(self.work(&command, version, pipes)).catch_unwind();
        let code = match work.await {
            Ok(code) => code,
            // The client would wait for its exit code for ever.
            Err(_) => {
                let error = Error::internal("a session panicked");
                command::tell(messages, &words::of(&error)).await;
                REFUSED
            }
        };
        let end = async {
            writes.exit_status(code).await?;
            writes.eof().await?;
            writes.close().await
        };
        if let Err(error) = end.await {
            tracing::debug!(%error, "a client left before its command ended");
        }
    }

    async fn work(self, command: &[u8], version: Version, pipes: Pipes) -> u32 {
        // Anew for each command: a connection can outlive its key.
        let caller = match self.authenticate().await {
            Ok(caller) => caller,
            Err(error) => {
                command::tell(pipes.messages, &words::of(&error)).await;
                return REFUSED;
            }
        };
        let guest = Guest {
            transport: self.host.transport.clone(),
            caller,
            address: Some(self.address),
            url: self.host.url.clone(),
            working: Some(self.host.working.clone()),
        };
        guest.run(command, version, pipes).await
    }

    async fn authenticate(&self) -> Result<Caller, Error> {
        let forge = self.host.transport.forge();
        let caller = forge.authenticate(Credentials::SshKey(self.key)).await?;
        Ok(caller.from_address(Some(self.address)))
    }
}

/// The command that a channel asks for, and the version of the protocol; no command at all for a shell. `None` if the
/// channel is closed before.
async fn asked(reads: &mut ChannelReadHalf) -> Option<(Vec<u8>, Version)> {
    let mut version = Version::default();
    loop {
        match reads.wait().await? {
            ChannelMsg::SetEnv {
                variable_name,
                variable_value,
                ..
            } if variable_name == PROTOCOL => version = Version::parse(&variable_value),
            ChannelMsg::Exec { command, .. } => return Some((command, version)),
            ChannelMsg::RequestShell { .. } => return Some((Vec::new(), version)),
            ChannelMsg::Close => return None,
            _ => {}
        }
    }
}
