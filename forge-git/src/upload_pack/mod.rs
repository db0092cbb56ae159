//! Fetches: what the client asks for, and `git upload-pack` behind it.
//!
//! Invariant: version 2 of the protocol is spoken here, one child for each command that needs one and none while a client
//! thinks; versions 0 and 1 are a child's from end to end. Every child has a permit, taken before the first byte of its
//! answer. Who may fetch is not asked here: whoever holds [`Objects`] may.

mod advert;
mod command;
mod exchange;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use bytes::BytesMut;
use forge_core::access::Objects;
use forge_core::limits::FetchLimits;
use forge_core::objects::GitBackend as _;
use forge_core::{Error, RepoId, Result};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use self::command::Command;
use self::exchange::{Client as Sender, Ended, Until, exchange};
use crate::child;
use crate::format::Format;
use crate::gix::{HIDDEN, Query};
use crate::permits::{Client, Permit, Permits};
use crate::transport::{Input, Output, Transport, Version};
use crate::{Git, pkt, words};

/// The exit code of what was not done: git's own for a fatal error.
const FATAL: u32 = 128;
/// What a child is told beyond what every child is.
const SETTINGS: [(&str, &str); 14] = [
    ("lsrefs.unborn", "advertise"),
    ("transfer.advertiseObjectInfo", "false"),
    ("transfer.advertiseSID", "false"),
    ("transfer.hideRefs", HIDDEN),
    ("uploadarchive.allowUnreachable", "false"),
    ("uploadpack.advertiseBundleURIs", "false"),
    ("uploadpack.allowFilter", "true"),
    // With `uploadpack.allowRefInWant`, git 2.47 answers `clone --depth` in an order that its own client cannot read.
    ("uploadpack.keepAlive", "5"),
    // The others make a child compare every path of every commit with patterns of the client's.
    ("uploadpackfilter.allow", "false"),
    ("uploadpackfilter.blob:limit.allow", "true"),
    ("uploadpackfilter.blob:none.allow", "true"),
    ("uploadpackfilter.object:type.allow", "true"),
    ("uploadpackfilter.tree.allow", "true"),
    ("uploadpackfilter.tree.maxDepth", "1"),
];

/// What is fetched from, and by whom.
pub(crate) struct Source<'a> {
    git: &'a Git,
    permits: &'a Permits,
    limits: &'a FetchLimits,
    id: RepoId,
    dir: PathBuf,
    client: Client,
}

impl<'a> Source<'a> {
    pub(crate) fn new(transport: &'a Transport, objects: &Objects, client: Client) -> Result<Self> {
        Ok(Self {
            git: transport.git(),
            permits: transport.fetches(),
            limits: &transport.forge().limits().fetch,
            id: objects.repo().id,
            dir: transport.objects_dir(objects)?,
            client,
        })
    }

    /// `git <subcommand>`, told how to behave.
    fn child(&self, subcommand: &str, version: Version) -> child::Git {
        told(child::Git::new(&self.dir, subcommand).disposable(), version)
    }

    /// Writes what HTTP's `info/refs` answers, below the line that names the service.
    pub(crate) async fn advertise(&self, version: Version, mut output: Output) -> Result<()> {
        if version == Version::V2 {
            let capabilities = self.capabilities().await?;
            return send(&mut output, &capabilities).await;
        }
        let _permit = self.permits.take(self.id, self.client).await?;
        let child = self.child("upload-pack", version);
        let child = child.arg("--strict").arg("--http-backend-info-refs");
        let mut nobody = self.sender(Box::new(tokio::io::empty()));
        let ended = exchange(
            child.arg(".").converse()?,
            &mut nobody,
            &[],
            Until::Now,
            &mut output,
            None,
            self.limits,
        );
        self.conclude(ended.await?, &mut output, false).await?;
        Ok(())
    }

    async fn capabilities(&self) -> Result<bytes::Bytes> {
        let format = Format::of(&self.dir).await?;
        advert::capabilities(&self.git.disk.layout().scratch(), format).await
    }

    /// Answers one request of HTTP.
    pub(crate) async fn request(
        &self,
        version: Version,
        input: Input,
        mut output: Output,
    ) -> Result<()> {
        let mut sender = self.sender(input);
        if version != Version::V2 {
            let permit = self.permits.take(self.id, self.client).await?;
            let ended = self.upload_pack(
                permit,
                &mut sender,
                version,
                &[],
                Until::End,
                &mut output,
                None,
            );
            self.conclude(ended.await?, &mut output, false).await?;
            return Ok(());
        }
        if let Some(command) = self.command(&mut sender).await? {
            if command.is_complete() {
                self.end(&mut sender).await?;
            }
            self.answer(&command, &mut sender, &mut output, None)
                .await?;
        }
        Ok(())
    }

    /// Serves a connection to its end; the exit code for the client.
    pub(crate) async fn session(
        &self,
        version: Version,
        input: Input,
        mut output: Output,
        mut messages: Output,
    ) -> Result<u32> {
        if version != Version::V2 {
            let _permit = self.permits.take(self.id, self.client).await?;
            let child = self.child("upload-pack", version);
            let mut sender = self.sender(input);
            let ended = exchange(
                child.arg("--strict").arg(".").converse()?,
                &mut sender,
                &[],
                Until::End,
                &mut output,
                Some(&mut messages),
                self.limits,
            );
            return Ok(ended.await?.code());
        }
        let capabilities = self.capabilities().await?;
        send(&mut output, &capabilities).await?;
        let mut sender = self.sender(input);
        loop {
            sender.allow(self.limits.request_bytes);
            let Some(command) = self.command(&mut sender).await? else {
                return Ok(0);
            };
            let answer = self.answer(&command, &mut sender, &mut output, Some(&mut messages));
            match answer.await {
                Ok(0) => {}
                Ok(code) => return Ok(code),
                Err(error @ Error::Unavailable(_)) => {
                    refuse(&mut output, &words::of(&error)).await?;
                    return Ok(FATAL);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// `git archive --remote`; the exit code for the client. Without somewhere for messages to go, as over HTTP, a failure is
    /// said in band.
    pub(crate) async fn archive(
        &self,
        input: Input,
        mut output: Output,
        mut messages: Option<Output>,
    ) -> Result<u32> {
        let _permit = self.permits.take(self.id, self.client).await?;
        let child = self.child("upload-archive", Version::V0).arg(".");
        let mut sender = self.sender(input);
        let ended = exchange(
            child.converse()?,
            &mut sender,
            &[],
            Until::Flush,
            &mut output,
            messages.as_mut(),
            self.limits,
        );
        let ended = ended.await?;
        self.conclude(ended, &mut output, messages.is_some()).await
    }

    /// Reads one command, as far as it says what is wanted; `None` where the client has no more.
    async fn command(&self, sender: &mut Sender) -> Result<Option<Command>> {
        let patience = self.limits.negotiation.min(self.limits.idle);
        let read = timeout(patience, Command::read(sender)).await;
        read.map_err(|_| exchange::too_slow())?
    }

    /// Reads on to the end of a request that holds one command.
    async fn end(&self, sender: &mut Sender) -> Result<()> {
        let patience = self.limits.negotiation.min(self.limits.idle);
        let read = timeout(patience, sender.end()).await;
        read.map_err(|_| exchange::too_slow())?
    }

    /// Waits for the right to have a child answer. What a partial clone fetches late, while its user works, waits for
    /// others of its kind and not for the user's own clones.
    async fn permit(&self, command: &Command) -> Result<Permit> {
        if let Some(wants) = command.wants_late() {
            let refs = self.git.open(self.id)?.refs().await?;
            // A clone wants what refs name.
            if refs.iter().all(|found| !wants.contains(&found.target)) {
                return self.permits.take_late(self.id, self.client).await;
            }
        }
        self.permits.take(self.id, self.client).await
    }

    /// Answers one command; the exit code.
    async fn answer(
        &self,
        command: &Command,
        sender: &mut Sender,
        output: &mut Output,
        messages: Option<&mut Output>,
    ) -> Result<u32> {
        if let Some(query) = command.ls_refs()
            && self.list(query, output).await?
        {
            return Ok(0);
        }
        if let Some(name) = command.name()
            && !advert::has_command(&self.capabilities().await?, name)
        {
            let name = words::line(name);
            refuse(output, &format!("there is no command {name:?} here")).await?;
            return Ok(FATAL);
        }
        let until = if command.is_complete() {
            Until::Now
        } else {
            Until::Flush
        };
        let read = command.bytes();
        let is_heard = messages.is_some();
        let permit = self.permit(command).await?;
        let ended = self.upload_pack(permit, sender, Version::V2, read, until, output, messages);
        self.conclude(ended.await?, output, is_heard).await
    }

    /// Answers `ls-refs`, unless git is to do so.
    async fn list(&self, query: Query, output: &mut Output) -> Result<bool> {
        // What is damaged, git may know how to read, or how to complain of.
        let begun = match self.git.disk.list_refs(self.id, query).await {
            Ok(Some(begun)) => begun,
            Ok(None) => return Ok(false),
            Err(Error::Internal(error)) => {
                tracing::warn!(repo.id = self.id.0, %error, "git has to list refs");
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let (mut piece, mut rest) = begun;
        let give = async {
            loop {
                let sent = timeout(self.limits.idle, send(output, &piece)).await;
                sent.map_err(|_| exchange::too_slow())??;
                let Some(listing) = rest else {
                    return Ok(true);
                };
                match listing.next().await {
                    Ok(next) => (piece, rest) = next,
                    Err(error) => {
                        refuse(output, &words::of(&error)).await?;
                        return Err(error);
                    }
                }
            }
        };
        let given = timeout(self.limits.total, give).await;
        given.map_err(|_| exchange::too_slow())?
    }

    /// Has a child answer one request.
    #[expect(clippy::too_many_arguments, reason = "one call is two pumps")]
    async fn upload_pack(
        &self,
        _permit: Permit,
        sender: &mut Sender,
        version: Version,
        read: &[u8],
        until: Until,
        output: &mut Output,
        messages: Option<&mut Output>,
    ) -> Result<Ended> {
        let child = self.child("upload-pack", version);
        let child = child.arg("--strict").arg("--stateless-rpc").arg(".");
        let child = child.converse()?;
        exchange(child, sender, read, until, output, messages, self.limits).await
    }

    /// Says in band that a child has failed, where nobody has heard it say so.
    async fn conclude(&self, ended: Ended, output: &mut Output, is_heard: bool) -> Result<u32> {
        let code = ended.code();
        if code != 0 && !ended.has_answered && !is_heard {
            let dir = self.dir.to_string_lossy();
            // Where it lies is nobody's business.
            let said = ended.last_words.filter(|words| !words.contains(&*dir));
            let said = said
                .as_deref()
                .map(|words| words.trim_start_matches("fatal: "));
            refuse(output, said.unwrap_or("this request cannot be answered")).await?;
        }
        Ok(code)
    }

    fn sender(&self, input: Input) -> Sender {
        Sender::new(input, self.limits.request_bytes)
    }
}

fn told(child: child::Git, version: Version) -> child::Git {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.ilog2().max(1));
    let child = SETTINGS
        .iter()
        .fold(child, |child, (key, value)| child.config(*key, value))
        .config("pack.threads", threads.to_string());
    match version.variable() {
        Some(version) => child.env("GIT_PROTOCOL", version),
        None => child,
    }
}

/// Says in band why there is no answer.
async fn refuse(output: &mut Output, why: &str) -> Result<()> {
    let mut out = BytesMut::new();
    pkt::put_error(&mut out, why);
    send(output, &out).await
}

async fn send(output: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<()> {
    output.write_all(bytes).await.map_err(exchange::gone)?;
    output.flush().await.map_err(exchange::gone)
}
