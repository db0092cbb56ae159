//! The conformance suite of [`Blobs`].
//!
//! Invariant: every key is new, so one place does for many runs. Durability is not tried, since that takes cutting the
//! power.

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use crate::blobs::{BlobInfo, Blobs, ByteStream};
use crate::{Entropy as _, Error, Result, SystemEntropy};

/// Tries everything that [`Blobs`] promises.
///
/// # Panics
/// If a promise is broken.
pub async fn blobs(blobs: &dyn Blobs) {
    a_value_comes_back_as_it_was(blobs).await;
    a_value_is_replaced(blobs).await;
    a_missing_key_is_no_error(blobs).await;
    a_value_is_deleted_once_or_twice(blobs).await;
    keys_of_every_allowed_shape_work(blobs).await;
    a_failing_stream_leaves_nothing(blobs).await;
    a_dropped_call_leaves_nothing(blobs).await;
    what_is_replaced_stays_until_the_end(blobs).await;
}

const MIB: usize = 1 << 20;

fn a_key() -> String {
    let mut bytes = [0; 16];
    SystemEntropy.fill(&mut bytes).expect("randomness");
    format!("conformance/{:032x}", u128::from_le_bytes(bytes))
}

/// Bytes of which no two pieces are alike, so that swapped parts show.
fn bytes(size: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(size + 8);
    for n in 0..size.div_ceil(8) as u64 {
        bytes.extend_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

/// The value in pieces, the last one shorter.
fn pieces(value: &Bytes, size: usize) -> Vec<Result<Bytes>> {
    let starts = (0..value.len()).step_by(size);
    starts
        .map(|start| Ok(value.slice(start..value.len().min(start + size))))
        .collect()
}

async fn put(blobs: &dyn Blobs, key: &str, value: &Bytes, size: usize) -> BlobInfo {
    let data = stream::iter(pieces(value, size)).boxed();
    blobs.put(key, data).await.expect("the value is stored")
}

async fn get(blobs: &dyn Blobs, key: &str) -> Option<Vec<u8>> {
    let found = blobs.get(key).await.expect("the key is looked up")?;
    let pieces: Vec<_> = found.try_collect().await.expect("the value is read");
    Some(pieces.concat())
}

async fn a_value_comes_back_as_it_was(blobs: &dyn Blobs) {
    for (size, piece) in [
        (0, 1),
        (1, 1),
        (1000, 7),
        (MIB, 65_536),
        (8 * MIB, MIB),
        (20 * MIB, 1_000_003),
        (9 * MIB, 9 * MIB),
    ] {
        let (key, value) = (a_key(), bytes(size));
        let info = put(blobs, &key, &value, piece).await;
        let expected = BlobInfo {
            size: size as u64,
            sha256: Sha256::digest(&value).into(),
        };
        assert_eq!(info, expected);
        let read = get(blobs, &key).await;
        assert!(read.as_deref() == Some(&*value), "{size} bytes come back");
        blobs.delete(&key).await.expect("a deletion");
    }
    // Pieces may be empty.
    let key = a_key();
    let data = ["", "a", "", "b", ""].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
    let info = blobs.put(&key, stream::iter(data).boxed()).await;
    assert_eq!(info.expect("a value").size, 2);
    assert_eq!(get(blobs, &key).await.as_deref(), Some(&b"ab"[..]));
}

async fn a_value_is_replaced(blobs: &dyn Blobs) {
    let key = a_key();
    for size in [100, 9 * MIB, 3, 0] {
        let value = bytes(size);
        put(blobs, &key, &value, MIB).await;
        let read = get(blobs, &key).await;
        assert!(read.as_deref() == Some(&*value), "{size} bytes replace");
    }
}

async fn a_missing_key_is_no_error(blobs: &dyn Blobs) {
    assert_eq!(get(blobs, &a_key()).await, None);
    // Nor is one below a value, or above one.
    let key = a_key();
    put(blobs, &format!("{key}/below"), &bytes(1), 1).await;
    assert_eq!(get(blobs, &format!("{key}/other")).await, None);
}

async fn a_value_is_deleted_once_or_twice(blobs: &dyn Blobs) {
    let (key, other) = (a_key(), a_key());
    put(blobs, &key, &bytes(10), 10).await;
    put(blobs, &other, &bytes(10), 10).await;
    for _ in 0..2 {
        blobs.delete(&key).await.expect("a deletion");
        assert_eq!(get(blobs, &key).await, None);
    }
    assert!(get(blobs, &other).await.is_some(), "others stay");
    put(blobs, &key, &bytes(11), 10).await;
    assert!(get(blobs, &key).await.is_some(), "a key can be used again");
}

async fn keys_of_every_allowed_shape_work(blobs: &dyn Blobs) {
    let key = a_key();
    for shape in ["A", "a-b_C-9", "x/y/z", "-", "_"] {
        let key = format!("{key}/{shape}");
        put(blobs, &key, &bytes(3), 3).await;
        assert!(get(blobs, &key).await.is_some(), "{shape}");
    }
}

/// Streams that yield so many bytes before they end in `end`; the sizes lie around what a store may buffer.
fn broken(size: usize, end: ByteStream) -> ByteStream {
    stream::iter(pieces(&bytes(size), MIB)).chain(end).boxed()
}

async fn a_failing_stream_leaves_nothing(blobs: &dyn Blobs) {
    for size in [0, 1, 9 * MIB] {
        let key = a_key();
        let end = stream::iter([Err(Error::Limit { what: "file" }), Ok(bytes(3))]).boxed();
        let stored = blobs.put(&key, broken(size, end)).await;
        assert!(
            matches!(stored, Err(Error::Limit { what: "file" })),
            "the stream's own error is returned, not {stored:?}"
        );
        assert_eq!(get(blobs, &key).await, None);
    }
}

async fn a_dropped_call_leaves_nothing(blobs: &dyn Blobs) {
    for size in [0, 1, 9 * MIB] {
        let key = a_key();
        let (reached, mut is_reached) = futures::channel::mpsc::unbounded();
        let end = stream::once(async move {
            let _ = reached.unbounded_send(());
            std::future::pending().await
        });
        let mut call = blobs.put(&key, broken(size, end.boxed())).fuse();
        futures::select! {
            stored = call => panic!("the stream does not end, but the call does: {stored:?}"),
            _ = is_reached.next() => {}
        }
        drop(call);
        assert_eq!(get(blobs, &key).await, None);
    }
}

async fn what_is_replaced_stays_until_the_end(blobs: &dyn Blobs) {
    let (key, value) = (a_key(), bytes(1000));
    put(blobs, &key, &value, 100).await;
    let end = stream::iter([Err(Error::Limit { what: "file" })]).boxed();
    let stored = blobs.put(&key, broken(9 * MIB, end)).await;
    assert!(stored.is_err());
    let read = get(blobs, &key).await;
    assert!(read.as_deref() == Some(&*value), "the old value stays");
}
