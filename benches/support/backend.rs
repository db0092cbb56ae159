//! The repository in the forge's own keeping.
//!
//! Invariant: it is imported as an operator's import is, so it is read as a forge would find it. Rows and permissions
//! have no part in it.

use std::path::Path;
use std::sync::Arc;

use forge::objects::{GitBackend as _, GitRepo, ImportSource, Oid};
use forge::{Git, RevSpec};
use forge_core::RepoId;

/// The only one.
pub(crate) const REPO: RepoId = RepoId(1);

/// Imports a repository below a directory.
pub(crate) async fn import(source: &Path, below: &Path) {
    let git = Git::at(below);
    let source = ImportSource::Path(source.to_owned());
    let staged = git.fetch(&source, Arc::new(|_| {})).await;
    let staged = staged.expect("the fixture can be fetched");
    git.adopt(staged, REPO).await.expect("a new repository");
}

/// A handle on it.
pub(crate) fn open(git: &Git) -> Arc<dyn GitRepo> {
    git.open(REPO).expect("it is there")
}

/// What HEAD names.
pub(crate) async fn head(repo: &dyn GitRepo) -> Oid {
    let found = repo.resolve(&[RevSpec::head()]).await;
    found.expect("readable").expect("it has commits").1
}
