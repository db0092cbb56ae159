//! Refs are made, moved and deleted.

use super::Work;
use crate::support::fixture::FORMATS;
use crate::support::site::{Site, WAYS, Way};

/// Every way with every kind of ids.
fn each() -> impl Iterator<Item = (&'static str, (Way, u8))> {
    let ways = |format| WAYS.into_iter().map(move |way| (format, way));
    FORMATS.into_iter().flat_map(ways)
}

#[tokio::test]
async fn branches_are_made_moved_and_deleted_on_every_way() {
    let site = Site::new().await;
    for (format, (way, version)) in each() {
        let work = Work::new_as(format, &site, "branches", way, version).await;
        let old = work.id("master").await;

        let new = work.commit("a fast-forward").await;
        work.push(&["master"]).await.good();
        assert_eq!(work.tip("refs/heads/master").await, Some(new.clone()));
        let again = work.push(&["master"]).await.good();
        assert!(again.out.contains("=\t"), "{again:?}");

        work.push(&["HEAD:refs/heads/topic/one", "master:two"])
            .await
            .good();
        assert_eq!(work.tip("refs/heads/topic/one").await, Some(new.clone()));
        assert_eq!(work.tip("refs/heads/two").await, Some(new.clone()));

        work.git(&["reset", "-q", "--hard", &old]).await.good();
        let other = work.commit("another way").await;
        let refused = work.push(&["master"]).await.bad();
        assert!(refused.out.contains("[rejected]"), "{refused:?}");
        assert_eq!(work.tip("refs/heads/master").await, Some(new.clone()));
        work.push(&["+master"]).await.good();
        assert_eq!(work.tip("refs/heads/master").await, Some(other.clone()));
        work.push_with(&["--force"], &[&format!("{old}:refs/heads/master")])
            .await
            .good();
        assert_eq!(work.tip("refs/heads/master").await, Some(old.clone()));

        let wrong = format!("--force-with-lease=master:{new}");
        let refused = work.push_with(&[&wrong], &["master"]).await.bad();
        assert!(refused.out.contains("stale info"), "{refused:?}");
        let right = format!("--force-with-lease=two:{new}");
        work.push_with(&[&right], &["master:two"]).await.good();
        assert_eq!(work.tip("refs/heads/two").await, Some(other.clone()));

        let both = ["two", "topic/one"];
        work.push_with(&["--delete"], &both).await.good();
        assert_eq!(work.tip("refs/heads/two").await, None);
        assert_eq!(work.tip("refs/heads/topic/one").await, None);
        work.push(&[":refs/heads/feature/x", "master:refs/heads/feature"])
            .await
            .good();
        assert_eq!(work.tip("refs/heads/feature").await, Some(other.clone()));

        work.push(&[":master"]).await.good();
        assert_eq!(work.tip("refs/heads/master").await, None, "the current one");
        super::is_sound(&site, &work.repo).await;
    }
    site.end().await;
}

#[tokio::test]
async fn a_mirror_has_what_the_client_has_and_nothing_else() {
    let site = Site::new().await;
    for (format, (way, version)) in each() {
        let work = Work::new_as(format, &site, "mirror", way, version).await;
        work.is_mirrored().await;
        work.commit("new").await;
        for arguments in [
            ["branch", "-q", "topic", "light"],
            ["tag", "-a", "-mtext", "v2"],
            ["update-ref", "refs/changes/01/1", "HEAD~1", ""],
            ["update-ref", "-d", "refs/tags/v1", ""],
            ["update-ref", "-d", "refs/heads/feature/x", ""],
            ["notes", "add", "-m", "a note"],
        ] {
            let arguments: Vec<_> = arguments
                .into_iter()
                .filter(|word| !word.is_empty())
                .collect();
            work.git(&arguments).await.good();
        }
        work.push_with(&["--mirror"], &[]).await.good();
        work.is_mirrored().await;

        work.push(&["HEAD:refs/heads/here/only"]).await.good();
        work.git(&["commit", "-q", "--allow-empty", "-m", "more"])
            .await
            .good();
        let all = ["refs/heads/*:refs/heads/*"];
        work.push_with(&["--prune"], &all).await.good();
        work.is_mirrored().await;
        work.push_with(&["--all"], &[]).await.good();
        work.is_mirrored().await;
    }
    site.end().await;
}

#[tokio::test]
async fn tags_of_everything_are_made_moved_and_deleted() {
    let site = Site::new().await;
    for (format, (way, version)) in each() {
        let work = Work::new_as(format, &site, "tags", way, version).await;
        work.commit("tagged").await;
        for arguments in [
            &["tag", "light-commit"][..],
            &["tag", "-a", "-mtext", "of-commit"],
            &["tag", "-a", "-mtext", "of-tag", "of-commit"],
            &["tag", "-a", "-mtext", "of-tag-of-tag", "of-tag"],
            &["tag", "-a", "-mtext", "of-tree", "HEAD^{tree}"],
            &["tag", "-a", "-mtext", "of-blob", "HEAD:new.txt"],
            &["tag", "light-tree", "HEAD:src"],
            &["tag", "light-blob", "HEAD:new.txt"],
            &["tag", "deep/er", "HEAD"],
        ] {
            work.git(arguments).await.good();
        }
        work.push_with(&["--tags"], &["master"]).await.good();
        work.is_mirrored().await;

        work.git(&["tag", "-f", "light-commit", "HEAD~1"])
            .await
            .good();
        let refused = work.push(&["light-commit"]).await.bad();
        assert!(refused.out.contains("already exists"), "{refused:?}");
        work.push(&["+refs/tags/light-commit"]).await.good();
        work.git(&["tag", "-d", "of-tag", "light-blob"])
            .await
            .good();
        work.push_with(&["--delete"], &["refs/tags/of-tag", "light-blob"])
            .await
            .good();
        work.is_mirrored().await;

        work.commit("followed").await;
        work.git(&["tag", "-a", "-mtext", "followed"]).await.good();
        work.push_with(&["--follow-tags"], &["master"]).await.good();
        work.is_mirrored().await;
    }
    site.end().await;
}
