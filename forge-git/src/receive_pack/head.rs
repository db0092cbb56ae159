//! HEAD after a push.
//!
//! Invariant: a HEAD whose branch exists is left alone. One that names nothing, which is what a new repository has and
//! what deleting its branch leaves, names a branch that there is as soon as there is one.

use std::path::Path;

use forge_core::objects::GitRepo;
use forge_core::push::RefUpdate;
use forge_core::{RefName, Result};

use crate::child::Git;

/// What is taken before anything else.
const USUAL: [&[u8]; 2] = [b"refs/heads/main", b"refs/heads/master"];

/// Has HEAD name a branch that exists; which, if that is another one now.
pub(super) async fn repair(
    directory: &Path,
    repo: &dyn GitRepo,
    moved: &[RefUpdate],
) -> Result<Option<RefName>> {
    // One that names a commit directly was put there by somebody.
    let Some(head) = repo.head().await? else {
        return Ok(None);
    };
    if repo.find_ref(&head).await?.is_some() {
        return Ok(None);
    }
    let refs = repo.refs().await?;
    let mut branches = refs
        .iter()
        .map(|found| &found.name)
        .filter(|name| name.as_bstr().starts_with(b"refs/heads/"));
    let is_there = |name: &RefName| branches.clone().any(|branch| branch == name);
    let usual = USUAL.iter().filter_map(|name| RefName::new(*name).ok());
    let pushed = moved.iter().map(|update| update.name.clone());
    let Some(next) = usual
        .chain(pushed)
        .find(is_there)
        .or_else(|| branches.next().cloned())
    else {
        return Ok(None);
    };
    let name = std::ffi::OsStr::new("HEAD");
    let target: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(next.as_bstr());
    let git = Git::new(directory, "symbolic-ref").spared();
    let git = git.operands([name, target]);
    git.run(|_| ()).await?.expect_success()?;
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use forge_core::RepoId;
    use forge_core::objects::GitBackend as _;
    use forge_core::testing::Fixture;

    use super::*;

    #[tokio::test]
    async fn head_names_a_branch_as_soon_as_there_is_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let git = crate::Git::at(directory.path());
        let name = |name: &str| RefName::new(name).expect("a name");
        git.create(RepoId(1), &name("refs/heads/master"))
            .await
            .expect("made");
        let repo = git.open(RepoId(1)).expect("opened");
        let truth = Fixture::at(directory.path().join("repos/00/00/01.git"));
        let repair = async |moved: &[&str]| {
            let update = |moved: &&str| RefUpdate {
                name: name(moved),
                old: None,
                new: None,
            };
            let moved: Vec<_> = moved.iter().map(update).collect();
            let repaired = repair(truth.path(), &*repo, &moved)
                .await
                .expect("no fault");
            repaired.map(|name| name.to_string())
        };
        assert_eq!(repair(&[]).await, None);
        truth.import(b"commit refs/heads/a\ncommitter C <c@d> 1 +0000\ndata 1\nx\n");
        truth.run(&["tag", "v1", "a"]);
        truth.run(&["branch", "b", "a"]);
        let pushed = ["refs/tags/v1", "refs/heads/b", "refs/heads/a"];
        assert_eq!(repair(&pushed).await.as_deref(), Some("refs/heads/b"));
        assert_eq!(truth.ask(&["symbolic-ref", "HEAD"]), "refs/heads/b");
        truth.run(&["branch", "main", "a"]);
        assert_eq!(repair(&pushed).await, None, "it is left alone");
        truth.run(&["update-ref", "-d", "refs/heads/b"]);
        assert_eq!(repair(&[]).await.as_deref(), Some("refs/heads/main"));
        truth.run(&["update-ref", "-d", "refs/heads/main"]);
        assert_eq!(repair(&[]).await.as_deref(), Some("refs/heads/a"));
        let both = ["refs/heads/master", "refs/heads/main"];
        for (head, repaired) in [
            ("refs/heads/master", None),
            ("refs/heads/main", None),
            ("refs/heads/trunk", Some("refs/heads/main")),
        ] {
            truth.run(&["symbolic-ref", "HEAD", head]);
            truth.run(&["branch", "-f", "main", "a"]);
            truth.run(&["branch", "-f", "master", "a"]);
            assert_eq!(repair(&both).await.as_deref(), repaired, "HEAD was {head}");
        }
        truth.run(&["update-ref", "--no-deref", "HEAD", "v1"]);
        assert_eq!(repair(&[]).await, None, "somebody has put it there");
    }
}
