//! Pushes that git's client would never make: broken, lying, endless, or asked for in the wrong place.
//!
//! Invariant: whatever comes, refs stay as they were unless the answer says otherwise, nothing is left on disk or in the
//! process table, the next push works, and who was refused is told why.

pub(super) mod cases;
mod dialects;
mod limits;
mod packets;
mod places;
pub(super) mod quarry;
pub(super) mod wire;

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::push::{Work, is_sound, refs};
use crate::support::Persona;
use crate::support::fixture::git;
use crate::support::site::{Site, Way};

/// Gives a repository the refs and the HEAD that it had, as `refs` of both servers show them.
pub(super) fn restore(dir: &Path, before: &str) {
    let now = git(dir, &["for-each-ref", "--format=%(refname)%00"], b"");
    let now = String::from_utf8_lossy(&now).into_owned();
    let mut lines = String::new();
    for name in now.split("\0\n").filter(|name| !name.is_empty()) {
        let kept = before
            .lines()
            .any(|line| line.ends_with(&format!(" {name}")));
        if !kept {
            lines += &format!("delete {name}\n");
        }
    }
    // What is restored may be below what is deleted.
    git(dir, &["update-ref", "--stdin"], lines.as_bytes());
    lines.clear();
    for (id, name) in before.lines().filter_map(|line| line.split_once(' ')) {
        lines += &format!("update {name} {id}\n");
    }
    git(dir, &["update-ref", "--stdin"], lines.as_bytes());
    if let Some(head) = before
        .lines()
        .last()
        .filter(|line| line.starts_with("refs/"))
    {
        git(dir, &["symbolic-ref", "HEAD", head], b"");
    }
}

/// What a push leaves in a repository only if it was not ended properly.
fn leftovers(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let odd = [".lock", ".keep"].iter().any(|end| name.ends_with(end));
            if odd || name.starts_with("tmp_") || name.contains("incoming") {
                found.push(entry.path().display().to_string());
            }
            if entry.path().is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    found
}

/// The processes that work on what a site keeps.
pub(super) fn children(site: &Site) -> Vec<String> {
    let data = site.world.dir.path().join("data/");
    let data = data.to_str().unwrap().to_owned();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| {
        let read = |name| fs::read(format!("/proc/{id}/{name}")).unwrap_or_default();
        let words = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let env = String::from_utf8_lossy(&read("environ")).into_owned();
        let git = words.split(' ').next()?.contains("git");
        (git && (words.contains(&data) || env.contains(&data))).then_some(words)
    })
    .collect()
}

/// Waits until nothing is left of pushes to a repository.
pub(super) async fn nothing_is_left(site: &Site, repo: &str) {
    site.scratch_is_empty().await;
    let dir = site.dir_of(repo).await;
    for _ in 0..200 {
        if leftovers(&dir).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("left behind: {:?}", leftovers(&dir));
}

/// Expects that a repository is as whole as ever, and pushes to it.
pub(super) async fn still_works(site: &Site, repo: &str) {
    for _ in 0..200 {
        if children(site).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(children(site), Vec::<String>::new());
    nothing_is_left(site, repo).await;
    is_sound(site, repo).await;
    let before = refs(site, repo).await;
    for way in [Way::Http, Way::Ssh] {
        let work = Work::at(site, way, 2, Persona::Owner, repo).await;
        let new = work.commit("still here").await;
        work.push(&["HEAD:refs/heads/still"]).await.good();
        assert_eq!(work.tip("refs/heads/still").await, Some(new));
        work.push(&[":refs/heads/still"]).await.good();
    }
    assert_eq!(refs(site, repo).await, before);
}
