//! A pack on its way from the client into the quarantine, through `git index-pack`.
//!
//! Invariant: what arrives is checked by git before anything else reads it, and nothing of it is kept in memory but one
//! piece. A client that sends too much, or nothing, or stops listening, ends the child. What the objects are good for is
//! not known here.

use std::io;
use std::time::Duration;

use forge_core::{Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::ChildStdin;

use super::commands::SILENCE;
use super::report::{Unpacked, size};
use super::talk::Talk;
use crate::import::HARMLESS;
use crate::quarantine::Quarantine;
use crate::words;

/// How much is copied at once.
const PIECE: usize = 64 << 10;
/// The longest line of messages that is kept whole, in bytes.
const MAX_LINE: usize = 1000;
/// Below how many objects a pack is small.
const SMALL: u32 = 1000;
/// Git's words for a pack that its own child refused.
const FAILED: &str = "index-pack abnormal exit";

/// What a pack may be like.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackLimits {
    /// The most bytes, one at least.
    pub(super) bytes: u64,
    /// Whether it has few objects, as [`is_small`] says.
    pub(super) is_small: bool,
    /// How long the client may say nothing before it begins, and then.
    pub(super) idle: [Duration; 2],
}

/// How the copying ended.
enum Fed {
    /// All that the child or the client wanted.
    Enough,
    TooMuch,
    Silence,
    Lost(io::Error),
}

/// Reads a pack into the quarantine.
pub(super) async fn ingest(
    input: &mut (impl AsyncRead + Unpin),
    quarantine: &Quarantine,
    limits: PackLimits,
    is_quiet: bool,
    talk: &mut Talk,
) -> Result<Unpacked> {
    let harmless = HARMLESS.map(|fault| format!("{fault}=ignore")).join(",");
    let mut git = quarantine
        .git("index-pack")
        .arg("--stdin")
        .arg("--fix-thin")
        .arg(format!("--strict={harmless}"))
        .arg(format!("--max-input-size={}", limits.bytes))
        .arg("--report-end-of-input")
        // It is made durable when it is moved.
        .config("core.fsync", "none");
    if let Some(shallow) = quarantine.shallow() {
        git = git.env("GIT_SHALLOW_FILE", shallow);
    }
    if !is_quiet {
        git = git.arg("--show-resolving-progress");
    }
    if limits.is_small {
        // Threads take longer to start than it takes to do without.
        git = git.config("pack.threads", "1");
        // Who needs this of a small pack makes it in memory.
        git = git.config("pack.writeReverseIndex", "false");
    }
    let mut child = git.converse()?;
    let feeding = feed(input, child.stdin()?, limits);
    let (mut stdout, mut stderr) = (child.stdout()?, child.stderr()?);
    // The name of the pack, and what comes after its end.
    let listening = async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await };
    // In boxes of their own, so that each can be dropped before the others: the child's input must be closed when it
    // has had enough.
    let mut feeding = Some(Box::pin(feeding));
    let mut listening = Some(Box::pin(listening));
    let mut messages = Messages::default();
    let mut buffer = vec![0; 4096];
    let mut is_open = true;
    while is_open || listening.is_some() {
        tokio::select! {
            fed = poll(&mut feeding) => {
                feeding = None;
                match fed {
                    Fed::Enough => {}
                    Fed::TooMuch => return Ok(too_large(limits.bytes)),
                    Fed::Silence => return Ok(Unpacked::Failed(SILENCE.to_owned())),
                    Fed::Lost(error) if error.kind() == io::ErrorKind::TimedOut => {
                        return Ok(Unpacked::Failed(SILENCE.to_owned()));
                    }
                    Fed::Lost(error) => {
                        tracing::debug!(%error, "a pack ends in the middle");
                        let why = "the rest of the pack did not come, or not in time";
                        return Ok(Unpacked::Failed(why.to_owned()));
                    }
                }
            }
            read = stderr.read(&mut buffer), if is_open => {
                let read = read.map_err(Error::internal)?;
                is_open = read > 0;
                let (text, is_end) = messages.add(buffer.get(..read).unwrap_or_default());
                if is_end {
                    feeding = None;
                }
                if !text.is_empty() {
                    talk.text(&text).await;
                }
            }
            listened = poll(&mut listening) => {
                listening = None;
                listened.map_err(Error::internal)?;
            }
            () = tokio::time::sleep(talk.silence()) => talk.keep_alive().await,
        }
    }
    drop(feeding);
    if talk.meanwhile(child.wait()).await? {
        return Ok(Unpacked::Ok);
    }
    tracing::debug!(messages = messages.kept, "a pack is refused");
    if messages.kept.contains("pack exceeds maximum allowed size") {
        return Ok(too_large(limits.bytes));
    }
    Ok(Unpacked::Failed(FAILED.to_owned()))
}

/// Whether a pack of which this much is here is known to have few objects: its header says how many
/// (`gitformat-pack(5)`).
pub(super) fn is_small(pack: &[u8]) -> bool {
    let count = pack.get(8..12).and_then(|count| count.try_into().ok());
    count.is_some_and(|count| u32::from_be_bytes(count) < SMALL)
}

fn too_large(limit: u64) -> Unpacked {
    let limit = size(limit);
    Unpacked::Failed(format!("pack exceeds maximum allowed size ({limit})"))
}

/// Waits for a future that may be over already.
async fn poll<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn feed(
    input: &mut (impl AsyncRead + Unpin),
    mut stdin: ChildStdin,
    limits: PackLimits,
) -> Fed {
    let mut buffer = vec![0; PIECE];
    let mut left = limits.bytes;
    let [mut idle, then] = limits.idle;
    loop {
        let read = match tokio::time::timeout(idle, input.read(&mut buffer)).await {
            Ok(Ok(0)) => return Fed::Enough,
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Fed::Lost(error),
            Err(_) => return Fed::Silence,
        };
        idle = then;
        match left.checked_sub(read as u64) {
            Some(less) => left = less,
            None => return Fed::TooMuch,
        }
        let piece = buffer.get(..read).unwrap_or_default();
        // It has ended, and says itself why.
        if stdin.write_all(piece).await.is_err() {
            return Fed::Enough;
        }
    }
}

/// The child's messages on their way to the client.
#[derive(Debug, Default)]
struct Messages {
    line: Vec<u8>,
    /// Those that are not overwritten by the next one.
    kept: String,
}

impl Messages {
    /// Adds what was read; what of it the client is to see, and whether it says that no more input is wanted.
    fn add(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let (mut text, mut is_end) = (Vec::new(), false);
        for &byte in bytes {
            match byte {
                0 => is_end = true,
                b'\n' | b'\r' => {
                    let line = words::line(&std::mem::take(&mut self.line));
                    // Where things lie is nobody's business: git names places by whole paths.
                    if line.is_empty() || line.contains("'/") {
                        tracing::debug!(line, "git says");
                        continue;
                    }
                    text.extend_from_slice(line.as_bytes());
                    text.push(byte);
                    if byte == b'\n' && self.kept.len() < MAX_LINE {
                        self.kept.push_str(&line);
                        self.kept.push('\n');
                    }
                }
                byte if self.line.len() < MAX_LINE => self.line.push(byte),
                _ => {}
            }
        }
        (text, is_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_line_ends_and_nothing_else_that_moves_a_cursor() {
        let mut messages = Messages::default();
        let (text, is_end) = messages.add(b"Resolving: 1%\rResol");
        assert_eq!((text.as_slice(), is_end), (&b"Resolving: 1%\r"[..], false));
        let (text, is_end) = messages.add(b"ving: \x1b[2J2%, done.\n\0fatal: no");
        assert_eq!(text, b"Resolving: [2J2%, done.\n");
        assert!(is_end);
        assert_eq!(messages.kept, "Resolving: [2J2%, done.\n");
    }
}
