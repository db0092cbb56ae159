//! Pushes: `git receive-pack`, spoken here, with git's plumbing for the work behind it.
//!
//! A push is read ([`commands`]), admitted, received into a quarantine ([`ingest`]), checked ([`connectivity`]), decided
//! on, its refs locked ([`crate::update_ref`]), recorded, moved in, and reported ([`report`]).
//!
//! Invariant: until it is recorded, whatever ends a push leaves the repository as it was; from then on it goes to its
//! end, whether anybody listens or not. Who may push what is the forge's to say: each step takes a proof of the one
//! before.

mod commands;
mod connectivity;
mod head;
mod ingest;
mod report;
mod session;
mod talk;

use std::time::Instant;

use bytes::BytesMut;
use forge_core::objects::{GitBackend as _, Ref};
use forge_core::push::is_internal;
use forge_core::{Error, PushTarget, Result, Stop};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tracing::Instrument as _;

use self::commands::{Asked, Fault};
use self::report::Unpacked;
use self::session::Session;
use self::talk::Talk;
use crate::format::Format;
use crate::permits::Client;
use crate::pkt;
use crate::transport::{Input, Output, Transport};

/// How much is read from a client at once.
const BUFFER: usize = 64 << 10;
/// What a client is told that trickles.
const TOO_LONG: &str = "the push took too much time";

/// Writes what may be pushed to, as protocol version 0 has it.
pub(crate) async fn advertise(
    transport: &Transport,
    target: &PushTarget,
    output: &mut Output,
) -> Result<()> {
    let refs = match target {
        PushTarget::Repo(repo) => transport.git().open(repo.id())?.refs().await?,
        PushTarget::New(_) => Vec::new(),
    };
    let text = advertisement(format(transport, target).await?, &refs);
    output.write_all(&text).await.map_err(Error::unavailable)?;
    output.flush().await.map_err(Error::unavailable)
}

/// Which ids a repository has, or is going to have.
async fn format(transport: &Transport, target: &PushTarget) -> Result<Format> {
    match target {
        PushTarget::Repo(repo) => Format::of(&transport.dir(repo)?).await,
        PushTarget::New(_) => Ok(Format::default()),
    }
}

fn advertisement(format: Format, refs: &[Ref]) -> BytesMut {
    let abilities = format!(
        "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta push-options \
         object-format={} agent=forge/{}\n",
        format.name(),
        env!("CARGO_PKG_VERSION")
    );
    let mut abilities = Some(abilities);
    let mut out = BytesMut::new();
    let mut put = |id: &str, name: &[u8]| {
        let tail = abilities.take().map(|abilities| format!("\0{abilities}"));
        let tail = tail.unwrap_or_else(|| "\n".to_owned());
        pkt::put(
            &mut out,
            &[id.as_bytes(), b" ", name, tail.as_bytes()].concat(),
        );
    };
    let mut is_empty = true;
    for found in refs.iter().filter(|found| !is_internal(&found.name)) {
        put(&found.target.to_string(), found.name.as_bstr());
        is_empty = false;
    }
    if is_empty {
        put(&"0".repeat(format.digits()), b"capabilities^{}");
    }
    pkt::put_flush(&mut out);
    out
}

/// Does a push, from its commands to its report. `gone` is given when the client is; dropping the future says the same.
pub(crate) async fn receive(
    transport: &Transport,
    target: PushTarget,
    client: Client,
    input: Input,
    output: Output,
    gone: Stop,
) -> Result<()> {
    /// Tells the task that nobody waits for it.
    struct HangUp(Stop);
    impl Drop for HangUp {
        fn drop(&mut self) {
            self.0.stop();
        }
    }
    let nobody = Stop::new();
    let _hang_up = HangUp(nobody.clone());
    let transport = transport.clone();
    // What is recorded goes to its end, so it must not end with whoever asked for it.
    let task = async move {
        let gone = async {
            tokio::select! {
                () = gone.stopped() => {}
                () = nobody.stopped() => {}
            }
        };
        serve(&transport, target, client, input, output, gone).await
    };
    tokio::spawn(task.in_current_span())
        .await
        .map_err(Error::internal)?
}

async fn serve(
    transport: &Transport,
    target: PushTarget,
    client: Client,
    input: Input,
    output: Output,
    gone: impl Future<Output = ()>,
) -> Result<()> {
    tokio::pin!(gone);
    let limits = &transport.forge().limits().push;
    let mut input = BufReader::with_capacity(BUFFER, input);
    let mut talk = Talk::new(output, limits.pack_idle);
    let end = tokio::time::Instant::now() + limits.total;
    let format = format(transport, &target).await?;
    let asking = tokio::time::timeout_at(end, Asked::read(&mut input, format, limits));
    let asked = tokio::select! {
        asked = asking => asked.unwrap_or_else(|_| {
            let (why, asked) = (TOO_LONG.to_owned(), Box::default());
            Err(Fault { why, asked })
        }),
        () = &mut gone => return Ok(()),
    };
    let asked = match asked {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            talk.end().await;
            return Ok(());
        }
        Err(Fault { why, asked }) => {
            talk.learn(asked.wants);
            if asked.wants.report {
                let report = report::report(&Unpacked::Failed(why), &asked.commands);
                talk.answer(&report).await;
            } else {
                talk.reject(&why).await;
            }
            talk.end().await;
            drain(&mut input, limits).await;
            return Ok(());
        }
    };
    talk.learn(asked.wants);
    let mut session = Session {
        id: transport.forge().push_id()?,
        transport,
        input,
        talk,
        asked,
        unpacked: Unpacked::Ok,
        is_taken: false,
        repo: None,
        is_new: false,
        says_visibility: false,
        has_moved: false,
    };
    let span = tracing::info_span!("push", push.id = %session.id);
    async {
        let begun = Instant::now();
        let preparing = tokio::time::timeout_at(end, session.prepare(target, client));
        let prepared = tokio::select! {
            prepared = Box::pin(preparing) => Some(prepared),
            () = &mut gone => None,
        };
        match prepared {
            None => {
                tracing::debug!("the client is gone");
                session.discard().await;
                return Ok(());
            }
            Some(Ok(Ok(Some(ready)))) => Box::pin(session.carry_out(ready)).await,
            Some(Ok(Ok(None))) => {}
            Some(Ok(Err(error))) => session.fail(&error).await,
            Some(Err(_)) => session.asked.refuse_all(TOO_LONG),
        }
        session.conclude().await;
        let repo = session.repo.as_ref().map(|repo| repo.id().0);
        let (has_moved, duration_ms) = (session.has_moved, begun.elapsed().as_millis());
        tracing::info!(repo.id = repo, has_moved, duration_ms, "a push is done");
        Ok(())
    }
    .instrument(span)
    .await
}

/// Reads what nobody wants, within limits.
async fn drain(input: &mut BufReader<Input>, limits: &forge_core::limits::PushLimits) {
    let mut rest = input.take(limits.drain_bytes);
    let mut sink = tokio::io::sink();
    let reading = tokio::io::copy_buf(&mut rest, &mut sink);
    let _ = tokio::time::timeout(limits.drain_time, reading).await;
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
