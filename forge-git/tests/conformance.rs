//! The backend keeps the promises of its port, with its cache and without.

use forge_core::testing::git;
use forge_git::Git;

async fn conforms(backend: impl FnOnce(Git) -> Git) {
    let directory = tempfile::tempdir().expect("a directory");
    let backend = backend(Git::at(directory.path().join("git")));
    git(&backend, &directory.path().join("fixtures")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backend_conforms_with_its_cache() {
    conforms(|git| git).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backend_conforms_without_a_cache() {
    conforms(|git| git.cache_bytes(0)).await;
}
