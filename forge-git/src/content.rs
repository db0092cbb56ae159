//! The content of objects too large to hold: piped from a child.
//!
//! Invariant: as many bytes arrive as were promised, or the stream ends with an error; and no more of them are in
//! memory than the pipe and one piece hold, since the child waits for the reader. Small objects are read in process.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use forge_core::objects::{BlobContent, Kind, Oid};
use forge_core::{Error, Result};
use futures::{StreamExt as _, stream};
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdout;

use crate::child::{Child, Git};

/// How much of the content comes with the answer.
const HEAD: usize = 8_000;
/// How much is read at once.
const PIECE: usize = 64 << 10;

/// Starts reading an object of which kind and size are known.
pub(crate) async fn stream(repo: &Path, id: Oid, kind: Kind, size: u64) -> Result<BlobContent> {
    let mut child = Git::new(repo, "cat-file")
        .operands([kind.as_str(), &id.to_string()])
        .spawn()?;
    let mut pipe = Pipe {
        stdout: child.stdout()?,
        child,
        left: size,
        buffer: BytesMut::new(),
    };
    let mut head = BytesMut::new();
    while head.len() < HEAD && pipe.left > 0 {
        head.extend_from_slice(&pipe.next().await?);
    }
    Ok(BlobContent {
        kind,
        size,
        head: head.freeze(),
        rest: stream::try_unfold(Some(pipe), |pipe| async {
            let Some(mut pipe) = pipe else {
                return Ok(None);
            };
            if pipe.left == 0 {
                pipe.end().await?;
                return Ok(None);
            }
            let piece = pipe.next().await?;
            Ok(Some((piece, Some(pipe))))
        })
        .boxed(),
    })
}

struct Pipe {
    stdout: ChildStdout,
    child: Child,
    left: u64,
    buffer: BytesMut,
}

impl Pipe {
    async fn next(&mut self) -> Result<Bytes> {
        self.buffer.reserve(PIECE);
        let read = self.stdout.read_buf(&mut self.buffer).await;
        let piece = self.buffer.split().freeze();
        let read = read.map_err(Error::internal)? as u64;
        if read == 0 {
            return Err(Error::internal("git ended before the object did"));
        }
        let left = self.left.checked_sub(read);
        self.left = left.ok_or_else(|| Error::internal("git wrote more than the object"))?;
        Ok(piece)
    }

    async fn end(&mut self) -> Result<()> {
        if self.child.wait().await? {
            Ok(())
        } else {
            Err(Error::internal("git failed while it read an object"))
        }
    }
}
