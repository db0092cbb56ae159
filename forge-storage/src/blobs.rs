//! Artifacts' content in any object store: a directory, or S3 and what is like it.
//!
//! Invariant: a value appears whole or not at all, and at most one part of it (8 MiB) is in memory. It makes up no keys
//! and knows no permissions. A call that is dropped after its stream has ended may still store the value: the last
//! request is under way then.
//!
//! A process that dies in the middle of an upload leaves parts behind. In a directory they are files whose names end in
//! `#` and a number; in S3 they are invisible and cost money, so give the bucket a lifecycle rule that aborts incomplete
//! multipart uploads after a day.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use forge_core::blobs::{BlobInfo, Blobs, ByteStream};
use forge_core::{Error, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{
    GetResultPayload, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload,
};
use sha2::{Digest as _, Sha256};
use url::Url;

/// What is uploaded at a time; S3 takes up to 10 000 parts, none but the last below 5 MiB.
const PART: usize = 8 * 1024 * 1024;
/// What is read from a file at a time.
const PIECE: usize = 128 * 1024;

/// Artifacts' content in an object store.
#[derive(Clone)]
pub struct ObjectBlobs {
    store: Arc<dyn ObjectStore>,
    below: Key,
}

impl fmt::Debug for ObjectBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectBlobs({})", self.store)
    }
}

impl ObjectBlobs {
    /// In a directory, which is made if there is none.
    ///
    /// # Errors
    /// [`Error::Invalid`] on field `blobs` if it cannot be used.
    pub fn at(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        std::fs::create_dir_all(dir)
            .map_err(|error| invalid(format!("{} cannot be made: {error}", dir.display())))?;
        let store = LocalFileSystem::new_with_prefix(dir)
            .map_err(|error| invalid(error.to_string()))?
            .with_automatic_cleanup(true)
            .with_fsync(true);
        Ok(Self::over(store))
    }

    /// At a URL: `file:///dir`, or `s3://bucket/prefix` with the credentials, region and endpoint that the usual
    /// `AWS_…` environment variables name.
    ///
    /// For S3 this installs *ring* as the process's default provider of cryptography, unless the host has installed
    /// one.
    ///
    /// # Errors
    /// [`Error::Invalid`] on field `blobs` for a URL or environment that means nothing. Whether the place can be reached
    /// shows when it is used.
    pub fn connect(url: &str) -> Result<Self> {
        let url = Url::parse(url).map_err(|_| invalid("this is not a URL"))?;
        if url.scheme() == "file" {
            let dir = url
                .to_file_path()
                .map_err(|()| invalid("a file URL has three slashes and no host"))?;
            return Self::at(dir);
        }
        // The client is built inside the library and panics without a provider; a second installation is no harm.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("AWS_"));
        let (store, below) = object_store::parse_url_opts(&url, environment)
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Self {
            store: Arc::from(store),
            below,
        })
    }

    /// In a store of the host's making.
    pub fn over(store: impl ObjectStore) -> Self {
        Self {
            store: Arc::new(store),
            below: Key::default(),
        }
    }

    fn key(&self, key: &str) -> Result<Key> {
        let key = Key::parse(key).map_err(Error::internal)?;
        Ok(self.below.parts().chain(key.parts()).collect())
    }
}

#[async_trait]
impl Blobs for ObjectBlobs {
    async fn put(&self, key: &str, mut data: ByteStream) -> Result<BlobInfo> {
        let key = self.key(key)?;
        let mut seen = Seen::default();
        let mut part = BytesMut::new();
        let mut upload = None;
        while let Some(piece) = data.next().await {
            let mut piece = piece?;
            while !piece.is_empty() {
                // Copied: a piece may be a small view of a large buffer, and keeping views would keep the buffers.
                let fits = piece.len().min(PART - part.len());
                part.extend_from_slice(&piece.split_to(fits));
                if part.len() == PART {
                    let whole = part.split().freeze();
                    let upload = match &mut upload {
                        Some(upload) => upload,
                        none => none.insert(self.start(&key).await?),
                    };
                    seen = upload.send(whole, seen).await?;
                }
            }
        }
        let last = part.freeze();
        let Some(mut upload) = upload else {
            // It fits into one request, which is as atomic.
            let seen = seen.with(last.clone()).await?;
            let stored = self.store.put(&key, PutPayload::from_bytes(last)).await;
            stored.map_err(failed)?;
            return Ok(seen.info());
        };
        if !last.is_empty() {
            seen = upload.send(last, seen).await?;
        }
        upload.complete().await?;
        Ok(seen.info())
    }

    async fn get(&self, key: &str) -> Result<Option<ByteStream>> {
        match self.store.get(&self.key(key)?).await {
            Ok(found) => Ok(Some(match found.payload {
                GetResultPayload::File(file, _) => pieces(file),
                GetResultPayload::Stream(pieces) => pieces.map_err(failed).boxed(),
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn delete(&self, key: &str) -> Result<()> {
        match self.store.delete(&self.key(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

impl ObjectBlobs {
    async fn start(&self, key: &Key) -> Result<Upload> {
        let upload = self.store.put_multipart(key).await.map_err(failed)?;
        Ok(Upload(Some(upload)))
    }
}

/// An upload in parts; dropped before it is complete, it is aborted.
struct Upload(Option<Box<dyn MultipartUpload>>);

impl Upload {
    /// Uploads a part while it is hashed.
    async fn send(&mut self, part: Bytes, seen: Seen) -> Result<Seen> {
        let upload = self.0.as_mut().ok_or_else(ended)?;
        let sent = upload.put_part(PutPayload::from_bytes(part.clone()));
        let (seen, ()) = futures::try_join!(seen.with(part), async { sent.await.map_err(failed) })?;
        Ok(seen)
    }

    async fn complete(mut self) -> Result<()> {
        let upload = self.0.as_mut().ok_or_else(ended)?;
        upload.complete().await.map_err(failed)?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(mut upload), Ok(runtime)) =
            (self.0.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        runtime.spawn(async move {
            if let Err(error) = upload.abort().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an upload could not be aborted; its parts stay"
                );
            }
        });
    }
}

/// A file's content, in larger pieces than the library would read it.
fn pieces(file: File) -> ByteStream {
    stream::try_unfold(file, |mut file| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::with_capacity(PIECE);
            let limit = PIECE as u64;
            (&mut file).take(limit).read_to_end(&mut piece)?;
            Ok((!piece.is_empty()).then(|| (Bytes::from(piece), file)))
        });
        let read: std::io::Result<_> = read.await.map_err(Error::internal)?;
        read.map_err(Error::unavailable)
    })
    .boxed()
}

/// What has gone by so far.
#[derive(Default)]
struct Seen {
    size: u64,
    sha256: Sha256,
}

impl Seen {
    /// A part takes milliseconds to hash, which is too long for a thread that serves others.
    async fn with(mut self, part: Bytes) -> Result<Self> {
        let hashed = tokio::task::spawn_blocking(move || {
            self.size += part.len() as u64;
            self.sha256.update(&part);
            self
        });
        hashed.await.map_err(Error::internal)
    }

    fn info(self) -> BlobInfo {
        BlobInfo {
            size: self.size,
            sha256: self.sha256.finalize().into(),
        }
    }
}

fn ended() -> Error {
    Error::internal("the upload has ended")
}

fn failed(error: object_store::Error) -> Error {
    match error {
        // Requests that failed after retries, full disks, vanished values.
        object_store::Error::Generic { .. }
        | object_store::Error::JoinError { .. }
        | object_store::Error::NotFound { .. } => Error::unavailable(error),
        _ => Error::internal(error),
    }
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::invalid("blobs", reason)
}
