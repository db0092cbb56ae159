//! The advertisement beside git's own.

use forge_core::objects::GitBackend as _;
use forge_core::testing::{Fixture, tangled_history};
use forge_core::{RefName, RepoId};

use super::session::room;
use super::*;

fn lines(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    // Git's agent is not ours.
    let lines = text.lines().map(|line| match line.split_once('\0') {
        Some((name, _)) => name[4..].to_owned(),
        None => line.to_owned(),
    });
    lines.collect()
}

#[tokio::test]
async fn refs_are_advertised_as_git_does_it() {
    for format in [Format::Sha1, Format::Sha256] {
        are_advertised_as_git_does_it(format).await;
    }
}

async fn are_advertised_as_git_does_it(format: Format) {
    let directory = tempfile::tempdir().expect("a directory");
    let git = crate::Git::at(directory.path());
    let head = RefName::new("refs/heads/b0").expect("a name");
    git.create(RepoId(1), &head).await.expect("made");
    let truth = Fixture::at(directory.path().join("repos/00/00/01.git"));
    let config = truth.path().join("config");
    std::fs::write(config, format.config()).expect("written");
    let advertised = async || {
        let refs = git.open(RepoId(1)).expect("opened").refs().await;
        advertisement(format, &refs.expect("refs")).to_vec()
    };
    let theirs = || truth.feed(&["receive-pack", "--advertise-refs", "."], b"");
    let empty = advertised().await;
    assert_eq!(lines(&empty), lines(&theirs()));
    let text = String::from_utf8_lossy(&empty);
    assert!(text.contains("capabilities^{}\0report-status "), "{text}");

    truth.import(&tangled_history(30, 3));
    truth.run(&["tag", "-a", "-m", "x", "v1", "b1"]);
    truth.run(&["symbolic-ref", "refs/heads/link", "refs/heads/b2"]);
    truth.run(&["update-ref", "refs/other", "b1"]);
    truth.run(&["update-ref", "refs/heads/b-", "b1"]);
    truth.run(&["pack-refs", "--all"]);
    truth.run(&["update-ref", "refs/heads/b/c", "b1"]);
    assert_eq!(lines(&advertised().await), lines(&theirs()));
    truth.run(&["update-ref", "refs/forge/hidden", "b1"]);
    let text = String::from_utf8_lossy(&advertised().await).into_owned();
    assert!(!text.contains("hidden") && text.contains("refs/heads/b/c"));
}

#[tokio::test]
async fn a_repository_has_as_much_room_as_its_packs_leave() {
    let directory = tempfile::tempdir().expect("a directory");
    let repo = Fixture::empty(directory.path(), "repo.git");
    assert_eq!(room(repo.path(), 100).await.expect("read"), Some(100));
    std::fs::write(repo.path().join("objects/pack/x"), [0; 60]).expect("written");
    assert_eq!(room(repo.path(), 100).await.expect("read"), Some(40));
    assert_eq!(room(repo.path(), 60).await.expect("read"), None);
    assert_eq!(room(repo.path(), 10).await.expect("read"), None);
}
