//! The port for artifacts' content.
//!
//! It stores bytes under keys that the forge makes up; it does not know repositories, names or permissions.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::Result;

/// Bytes that arrive piece by piece.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// What was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// Bytes stored.
    pub size: u64,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
}

/// A place for large, immutable values.
///
/// Guarantees an implementation gives:
/// 1. `put` is all or nothing: if the stream fails or the call is dropped, `get` does not see the key.
/// 2. When `put` returns, the value is durable, and visible to every process that uses the same place.
/// 3. `get` of a missing key is `None`, never an error.
/// 4. `delete` is idempotent.
/// 5. Keys are slash-separated ASCII letters, digits, `-` and `_`; no others need to work.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Stores a value, replacing one under the same key.
    async fn put(&self, key: &str, data: ByteStream) -> Result<BlobInfo>;
    /// Reads a value.
    async fn get(&self, key: &str) -> Result<Option<ByteStream>>;
    /// Removes a value.
    async fn delete(&self, key: &str) -> Result<()>;
}
