//! Object stores.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use forge_core::Error;
use forge_core::blobs::Blobs as _;
use forge_storage::ObjectBlobs;
use futures::{StreamExt as _, stream};

#[tokio::test]
async fn a_directory_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("a directory");
    let blobs = ObjectBlobs::at(dir.path().join("made/on/the/way")).expect("a place");
    forge_core::testing::blobs(&blobs).await;
}

#[tokio::test]
async fn a_file_url_is_a_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("file://{}/below", dir.path().display());
    let blobs = ObjectBlobs::connect(&url).expect("a place");
    let value = stream::iter([Ok(Bytes::from_static(b"x"))]).boxed();
    blobs.put("a/b", value).await.expect("a value");
    let content = std::fs::read(dir.path().join("below/a/b")).expect("the file");
    assert_eq!(content, b"x");
}

#[tokio::test]
async fn a_place_below_a_prefix_keeps_the_contract() {
    let blobs = ObjectBlobs::connect("memory:///some/prefix").expect("a place");
    forge_core::testing::blobs(&blobs).await;
}

#[tokio::test]
async fn s3_needs_no_preparation_by_the_host() {
    let blobs = ObjectBlobs::connect("s3://bucket/prefix").expect("a place");
    assert!(format!("{blobs:?}").contains("bucket"));
}

#[test]
fn urls_that_mean_nothing_are_the_hosts_mistake() {
    for url in [
        "",
        "artifacts",
        "gopher://host/x",
        "gs://bucket",
        "file://host/x",
    ] {
        let error = ObjectBlobs::connect(url).expect_err("a refusal");
        assert!(
            matches!(&error, Error::Invalid(faults) if faults[0].field == Some("blobs")),
            "{url}: {error:?}"
        );
    }
}

#[tokio::test]
async fn keys_do_not_climb() {
    let dir = tempfile::tempdir().expect("a directory");
    let blobs = ObjectBlobs::at(dir.path().join("inside")).expect("a place");
    std::fs::write(dir.path().join("secret"), "x").expect("a file");
    for key in ["../secret", "a/../../secret", "./../secret"] {
        assert!(blobs.get(key).await.is_err(), "{key}");
    }
}

fn files(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).expect("a directory");
    entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

#[tokio::test]
async fn an_aborted_upload_leaves_no_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let blobs = ObjectBlobs::at(dir.path()).expect("a place");
    let value = stream::iter((0..20).map(|_| Ok(Bytes::from(vec![0; 1 << 20]))))
        .chain(stream::pending())
        .boxed();
    let stuck = tokio::time::timeout(Duration::from_secs(2), blobs.put("a/b", value)).await;
    assert!(stuck.is_err());
    for _ in 0..100 {
        if files(dir.path()) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the parts are still there");
}
