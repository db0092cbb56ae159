//! A client and a child that talk to each other.
//!
//! Invariant: neither direction waits for the other, and each holds one piece: who does not read stops who writes. When
//! the future of an exchange is dropped, or it takes longer than it may, the child and what it started are ended. What
//! is said is not looked at, but for where a request ends.

use std::future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use forge_core::limits::FetchLimits;
use forge_core::{Error, Result};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::process::ChildStdin;
use tokio::time::{Instant, sleep, sleep_until};

use super::FATAL;
use crate::child::Child;
use crate::pkt::{self, Pkt};
use crate::transport::{Input, Output};
use crate::words;

/// How much is copied at once.
const PIECE: usize = 64 << 10;
/// The longest line of a child's messages that is kept whole, in bytes.
const MAX_LINE: usize = 1024;

/// Who asks: what is read of it is counted.
pub(super) struct Client {
    input: BufReader<Input>,
    left: u64,
}

impl Client {
    /// It may send so many bytes.
    pub(super) fn new(input: Input, bytes: u64) -> Self {
        Self {
            input: BufReader::with_capacity(PIECE, input),
            left: bytes,
        }
    }

    /// It may send so many bytes more.
    pub(super) fn allow(&mut self, bytes: u64) {
        self.left = bytes;
    }

    /// The next pkt-line; `None` if there is no more.
    pub(super) async fn pkt(&mut self) -> Result<Option<Pkt>> {
        let pkt = pkt::read(&mut self.input).await.map_err(|e| broken(&e))?;
        let size = match &pkt {
            None => 0,
            Some(Pkt::Data(data)) => data.len() + 4,
            Some(_) => 4,
        };
        self.count(size)?;
        Ok(pkt)
    }

    /// Reads on to the end of the stream, of which nothing is wanted but that it is a good one: a compressed request that
    /// is damaged says so there.
    pub(super) async fn end(&mut self) -> Result<()> {
        loop {
            let piece = self.input.fill_buf().await.map_err(|e| broken(&e))?;
            let size = piece.len();
            if size == 0 {
                return Ok(());
            }
            self.input.consume(size);
            self.count(size)?;
        }
    }

    fn count(&mut self, read: usize) -> Result<()> {
        let left = self.left.checked_sub(read as u64);
        self.left = left.ok_or(Error::Limit { what: "request" })?;
        Ok(())
    }
}

/// How far a child is given what the client sends, after what was read already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// No further.
    Now,
    /// To the next `0000`.
    Flush,
    /// To the end of the stream.
    End,
}

/// How a child has ended.
#[derive(Debug)]
pub(super) struct Ended {
    code: Option<i32>,
    /// Whether it has written anything.
    pub(super) has_answered: bool,
    /// The last line of its messages.
    pub(super) last_words: Option<String>,
}

impl Ended {
    /// Its exit code, or that of a fatal error.
    pub(super) fn code(&self) -> u32 {
        self.code
            .and_then(|code| code.try_into().ok())
            .unwrap_or(FATAL)
    }
}

/// Lets them talk to the child's end. `messages` get its messages, line by line; its progress goes through its output.
pub(super) async fn exchange(
    mut child: Child,
    client: &mut Client,
    read: &[u8],
    until: Until,
    output: &mut Output,
    messages: Option<&mut Output>,
    limits: &FetchLimits,
) -> Result<Ended> {
    let (stdin, stdout, stderr) = (child.stdin()?, child.stdout()?, child.stderr()?);
    let pulse = Pulse::new();
    let ask = async {
        feed(client, read, until, stdin, &pulse, limits.negotiation).await?;
        future::pending::<Result<Ended>>().await
    };
    let answer = async {
        let copied = copy(stdout, output, &pulse);
        let heard = listen(stderr, messages);
        let (has_answered, last_words) = tokio::try_join!(copied, heard)?;
        Ok(Ended {
            code: child.exit_code().await?,
            has_answered,
            last_words,
        })
    };
    tokio::select! {
        biased;
        ended = answer => ended,
        refused = ask => refused,
        () = pulse.stops(limits.idle) => Err(too_slow()),
        () = sleep(limits.total) => Err(too_slow()),
    }
}

/// When something was heard last, of either side.
struct Pulse {
    began: Instant,
    /// In milliseconds since then.
    last: AtomicU64,
}

impl Pulse {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    fn beat(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Returns when nothing was heard for so long.
    async fn stops(&self, after: Duration) {
        loop {
            let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
            let due = self.began + last + after;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}

/// Gives the child what the client sends. A child that does not read all of it has its reasons, and says them.
async fn feed(
    client: &mut Client,
    read: &[u8],
    until: Until,
    mut stdin: ChildStdin,
    pulse: &Pulse,
    patience: Duration,
) -> Result<()> {
    if stdin.write_all(read).await.is_err() {
        return Ok(());
    }
    let check = || {
        pulse.beat();
        if pulse.began.elapsed() > patience {
            return Err(too_slow());
        }
        Ok(())
    };
    match until {
        Until::Now => Ok(()),
        Until::Flush => {
            let mut piece = BytesMut::new();
            loop {
                let pkt = client.pkt().await?;
                let pkt = pkt.ok_or_else(|| Error::malformed("the request ends in the middle"))?;
                check()?;
                pkt::put_pkt(&mut piece, &pkt);
                let is_last = pkt == Pkt::Flush;
                if is_last || piece.len() >= PIECE || client.input.buffer().is_empty() {
                    if stdin.write_all(&piece).await.is_err() || is_last {
                        return Ok(());
                    }
                    piece.clear();
                }
            }
        }
        Until::End => loop {
            let size = client.input.fill_buf().await.map_err(|e| broken(&e))?.len();
            if size == 0 {
                return Ok(());
            }
            check()?;
            client.count(size)?;
            if stdin.write_all(client.input.buffer()).await.is_err() {
                return Ok(());
            }
            client.input.consume(size);
        },
    }
}

/// Gives the client what the child writes; whether that was anything.
async fn copy(mut from: impl AsyncRead + Unpin, to: &mut Output, pulse: &Pulse) -> Result<bool> {
    let mut buffer = vec![0; PIECE];
    let mut has_answered = false;
    loop {
        let size = from.read(&mut buffer).await.map_err(Error::internal)?;
        if size == 0 {
            return Ok(has_answered);
        }
        has_answered = true;
        pulse.beat();
        let piece = buffer.get(..size).unwrap_or_default();
        to.write_all(piece).await.map_err(gone)?;
        to.flush().await.map_err(gone)?;
        pulse.beat();
    }
}

/// Passes the child's messages on, line by line; the last of them. What a carriage return ends is overwritten anyway.
async fn listen(
    mut from: impl AsyncRead + Unpin,
    mut to: Option<&mut Output>,
) -> Result<Option<String>> {
    let (mut buffer, mut line) = ([0; 1024], Vec::new());
    let mut last = None;
    loop {
        let size = from.read(&mut buffer).await.map_err(Error::internal)?;
        let is_end = size == 0;
        let read = if is_end {
            &b"\n"[..]
        } else {
            buffer.get(..size).unwrap_or_default()
        };
        for &byte in read {
            match byte {
                b'\r' => line.clear(),
                b'\n' => {
                    let clean = words::line(&std::mem::take(&mut line));
                    if clean.is_empty() {
                        continue;
                    }
                    if let Some(to) = &mut to {
                        say(*to, &clean).await?;
                    }
                    last = Some(clean);
                }
                byte if line.len() < MAX_LINE => line.push(byte),
                _ => {}
            }
        }
        if is_end {
            return Ok(last);
        }
    }
}

async fn say(to: &mut (impl AsyncWrite + Unpin), line: &str) -> Result<()> {
    to.write_all(format!("{line}\n").as_bytes())
        .await
        .map_err(gone)?;
    to.flush().await.map_err(gone)
}

/// What the client sends cannot be read.
fn broken(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData => Error::malformed(error.to_string()),
        _ => Error::malformed("the request ends in the middle"),
    }
}

/// Nobody reads the answer.
pub(super) fn gone(_: io::Error) -> Error {
    Error::malformed("the client is gone")
}

/// Somebody took longer than they may.
pub(super) fn too_slow() -> Error {
    Error::malformed("this takes too long")
}
