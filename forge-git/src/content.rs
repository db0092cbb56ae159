//! The content of objects too large to hold: piped from a child.
//!
//! Invariant: as many bytes arrive as were promised, or the stream ends with an error; and no more of them are in
//! memory than the pipe and one piece hold, since the child waits for the reader. Small objects are read in process.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use forge_core::objects::{BlobContent, Kind, Oid};
use forge_core::{Error, Result};
use futures::{StreamExt as _, stream};
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdout;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::child::{Child, Git};

/// How much of the content comes with the answer.
const HEAD: usize = 8_000;
/// How much is read at once.
const PIECE: usize = 64 << 10;

/// How many children read at once in this process, and how long a reader waits until one more may.
const MAX_CHILDREN: usize = 32;
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a child may take for a piece that is waited for.
const MAX_SILENCE: Duration = Duration::from_secs(120);

static CHILDREN: Semaphore = Semaphore::const_new(MAX_CHILDREN);

/// Starts reading an object of which kind and size are known.
pub(crate) async fn stream(repo: &Path, id: Oid, kind: Kind, size: u64) -> Result<BlobContent> {
    let permit = timeout(PATIENCE, CHILDREN.acquire()).await;
    let permit = permit
        .map_err(|_| Error::unavailable("too many large objects are being read"))?
        .map_err(Error::internal)?;
    let mut child = Git::new(repo, "cat-file")
        .disposable()
        .operands([kind.as_str(), &id.to_string()])
        .spawn()?;
    let mut pipe = Pipe {
        stdout: child.stdout()?,
        child,
        left: size,
        buffer: BytesMut::new(),
        _permit: permit,
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
    /// Given back after the child was killed.
    _permit: SemaphorePermit<'static>,
}

impl Pipe {
    async fn next(&mut self) -> Result<Bytes> {
        self.buffer.reserve(PIECE);
        let read = timeout(MAX_SILENCE, self.stdout.read_buf(&mut self.buffer)).await;
        let read = read.map_err(|_| Error::internal("git stopped in the middle of an object"))?;
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
