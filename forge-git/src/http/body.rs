//! Bodies: what a client sends as a stream to read, what it gets as a stream to write.
//!
//! Invariant: neither is collected; a body that nobody reads stops who writes it. A compressed request is one member of
//! gzip and nothing after it. How much may be sent is counted by who reads.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::GzipDecoder;
use bytes::Bytes;
use forge_core::http::Body;
use futures::TryStreamExt as _;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;
use tokio_util::sync::PollSender;

use crate::transport::{Input, Output};

/// The largest piece of an answer, in bytes, and how many of them wait to be sent.
const PIECE: usize = 64 << 10;
const WAITING: usize = 1;

/// What a request's body says; `None` if it is encoded in a way not known here.
pub(super) fn input(headers: &HeaderMap, body: Body) -> Option<Input> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    let encoding = match (encodings.next(), encodings.next()) {
        (None, _) => "identity",
        (Some(encoding), None) => encoding.to_str().ok()?,
        (Some(_), Some(_)) => return None,
    };
    let pieces = body.into_data_stream().map_err(io::Error::other);
    let plain = StreamReader::new(pieces);
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Some(Box::new(plain)),
        "gzip" | "x-gzip" => Some(Box::new(Unzipped(GzipDecoder::new(plain)))),
        _ => None,
    }
}

/// What one member of gzip holds; more than one is an error.
struct Unzipped<R>(GzipDecoder<R>);

impl<R: AsyncBufRead + Unpin> AsyncRead for Unzipped<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(cx, buffer))?;
        if buffer.filled().len() == before && buffer.remaining() > 0 {
            let rest = ready!(Pin::new(self.0.get_mut()).poll_fill_buf(cx))?;
            if !rest.is_empty() {
                let why = "something follows the compressed request";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Where an answer is written, and where its pieces come out.
pub(super) fn pipe() -> (Output, mpsc::Receiver<Bytes>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Box::new(Pieces(PollSender::new(sender))), receiver)
}

struct Pieces(PollSender<Bytes>);

impl AsyncWrite for Pieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        ready!(self.0.poll_reserve(cx)).map_err(gone)?;
        let piece = bytes.get(..PIECE).unwrap_or(bytes);
        self.0
            .send_item(Bytes::copy_from_slice(piece))
            .map_err(gone)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.close();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::write::GzipEncoder;
    use http::HeaderValue;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn read(encoding: Option<&'static str>, bytes: Vec<u8>) -> Option<io::Result<Vec<u8>>> {
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        let mut input = input(&headers, Body::from(Bytes::from(bytes)))?;
        let mut read = Vec::new();
        Some(input.read_to_end(&mut read).await.map(|_| read))
    }

    async fn zipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(bytes).await.expect("memory");
        encoder.shutdown().await.expect("memory");
        encoder.into_inner()
    }

    #[tokio::test]
    async fn a_request_is_read_plain_or_unpacked() {
        let text = b"0000".repeat(50_000);
        for (encoding, bytes) in [
            (None, text.clone()),
            (Some("identity"), text.clone()),
            (Some("gzip"), zipped(&text).await),
            (Some("X-GZip"), zipped(&text).await),
        ] {
            let read = read(encoding, bytes).await.expect("a known encoding");
            assert_eq!(read.expect("good"), text, "{encoding:?}");
        }
        for unknown in ["br", "gzip, gzip", "deflate"] {
            assert!(read(Some(unknown), Vec::new()).await.is_none(), "{unknown}");
        }
    }

    #[tokio::test]
    async fn what_is_not_one_member_of_gzip_is_an_error() {
        let good = zipped(b"0000").await;
        let cut = good.split_last().expect("bytes").1.to_vec();
        let mut flipped = good.clone();
        let last = flipped.len() - 6;
        flipped[last] ^= 1;
        for bad in [
            b"0000".to_vec(),
            cut,
            flipped,
            [&good[..], b"x"].concat(),
            [&good[..], &good[..]].concat(),
        ] {
            let read = read(Some("gzip"), bad.clone()).await.expect("known");
            assert!(read.is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn who_writes_waits_for_who_reads_and_hears_of_its_end() {
        let (mut output, mut pieces) = pipe();
        let writer = tokio::spawn(async move { output.write_all(&vec![7; 10 * PIECE]).await });
        let first = pieces.recv().await.expect("a piece");
        assert_eq!(first.len(), PIECE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert!(!writer.is_finished());
        drop(pieces);
        let error = writer.await.expect("a task").expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
