//! The ends of a client's three streams.
//!
//! Invariant: whoever waits here for a client is woken when the client is given up; russh alone wakes nobody who waits
//! to be allowed to send more. Nothing is buffered but what russh holds: as much as its windows let in.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use forge_core::Stop;
use futures::stream;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, server};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::StreamReader;

use crate::transport::{Input, Output};

/// The number of standard error among a channel's streams of extended data (RFC 4254 5.2).
const STDERR: u32 = 1;

/// A client's three streams.
pub(super) struct Pipes {
    pub(super) input: Input,
    pub(super) output: Output,
    pub(super) messages: Messages,
}

impl Pipes {
    /// Those of a channel.
    pub(super) fn of(reads: ChannelReadHalf, writes: &ChannelWriteHalf<server::Msg>) -> Self {
        Self {
            input: input(reads),
            output: Box::new(Sink(writes.make_writer())),
            messages: Messages::new(Sink(writes.make_writer_ext(Some(STDERR)))),
        }
    }
}

/// What a client sends, up to the end that it declares.
fn input(reads: ChannelReadHalf) -> Input {
    let pieces = stream::try_unfold(reads, async |mut reads| {
        loop {
            match reads.wait().await {
                Some(ChannelMsg::Data { data }) => return Ok(Some((data, reads))),
                Some(ChannelMsg::Eof) => return Ok(None),
                // A stream that breaks off is not one that ended.
                Some(ChannelMsg::Close) | None => {
                    return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
                }
                Some(_) => {}
            }
        }
    });
    Box::new(StreamReader::new(Box::pin(pieces)))
}

/// Standard error: there is one, and several write to it, one after the other.
#[derive(Clone)]
pub(super) struct Messages(Arc<Mutex<Output>>);

impl Messages {
    pub(super) fn new(output: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(output))))
    }

    fn with<T>(&self, write: impl FnOnce(Pin<&mut Output>) -> T) -> T {
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write(Pin::new(&mut output))
    }
}

impl AsyncWrite for Messages {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|output| output.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|output| output.poll_flush(cx))
    }

    /// The others may still have something to say.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// A channel's writer, whose end is told when the exit code is known and not before.
struct Sink<W>(W);

impl<W: AsyncWrite + Unpin> AsyncWrite for Sink<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // russh takes an empty write for a mistake.
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// A stream that breaks when a signal is given, and wakes whoever waits for it then.
pub(super) struct Cut<T> {
    stream: T,
    given: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_cut: bool,
}

impl<T: Unpin> Cut<T> {
    pub(super) fn new(stream: T, signal: &Stop) -> Self {
        let signal = signal.clone();
        Self {
            stream,
            given: Box::pin(async move { signal.stopped().await }),
            is_cut: false,
        }
    }

    fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        // A future that has ended is not asked again.
        self.is_cut = self.is_cut || self.given.as_mut().poll(cx).is_ready();
        if self.is_cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        poll(Pin::new(&mut self.stream), cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Cut<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll(cx, |stream, cx| stream.poll_read(cx, buffer))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Cut<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, AsyncWrite::poll_shutdown)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_client_that_is_given_up_is_woken() {
        let (ours, _theirs) = tokio::io::duplex(1);
        let (reader, writer) = tokio::io::split(ours);
        let gone = Stop::new();
        let (mut reader, mut writer) = (Cut::new(reader, &gone), Cut::new(writer, &gone));
        let reads = tokio::spawn(async move { reader.read_u8().await });
        let writes = tokio::spawn(async move { writer.write_all(b"two").await });
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!reads.is_finished() && !writes.is_finished());
        gone.stop();
        let broken = reads.await.expect("a task").expect_err("cut");
        assert_eq!(broken.kind(), io::ErrorKind::ConnectionAborted);
        writes.await.expect("a task").expect_err("cut");
    }

    #[tokio::test]
    async fn messages_outlive_those_who_end_them() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut messages = Messages::new(ours);
        let mut other = messages.clone();
        other.write_all(b"one ").await.expect("written");
        other.shutdown().await.expect("flushed");
        drop(other);
        messages.write_all(b"two").await.expect("written");
        drop(messages);
        let mut all = String::new();
        theirs.read_to_string(&mut all).await.expect("read");
        assert_eq!(all, "one two");
    }
}
