//! Objects and packs of every kind, good and bad.
//!
//! Invariant: git itself writes what is here, without looking at what it is told to write; so ids and sums are right, and
//! what is bad is bad on purpose.

use std::path::PathBuf;

use crate::support::fixture::{git, git_text};
use crate::support::site::Site;

/// A repository with what the fixture holds, and whatever else a test wants to push.
pub(in crate::client) struct Quarry {
    pub(in crate::client) dir: PathBuf,
    /// The tip of `master` in the fixture.
    pub(in crate::client) master: String,
    /// Its first commit.
    pub(in crate::client) first: String,
    /// The tree of `master`.
    pub(in crate::client) tree: String,
    /// The blob of `README.md`.
    pub(in crate::client) blob: String,
}

const WHO: &str = "Ada <ada@example.org> 1600000000 +0000";

impl Quarry {
    pub(in crate::client) fn new(site: &Site) -> Self {
        let root = site.world.dir.path();
        let dir = tempfile::tempdir_in(root).unwrap().keep();
        git(
            &dir,
            &["clone", "-q", "--bare", "../small.git", "quarry"],
            b"",
        );
        let dir = dir.join("quarry");
        let id = |rev: &str| git_text(&dir, &["rev-parse", rev]);
        Self {
            master: id("master"),
            first: id("light"),
            tree: id("master^{tree}"),
            blob: id("master:README.md"),
            dir,
        }
    }

    /// Writes an object, whatever is in it; its id.
    pub(in crate::client) fn object(&self, kind: &str, content: &[u8]) -> String {
        let arguments = ["hash-object", "-t", kind, "--literally", "-w", "--stdin"];
        let id = git(&self.dir, &arguments, content);
        String::from_utf8(id).unwrap().trim().to_owned()
    }

    /// Writes a tree of entries in the given order.
    pub(in crate::client) fn tree(&self, entries: &[(&str, &[u8], &str)]) -> String {
        let mut content = Vec::new();
        for (mode, name, id) in entries {
            content.extend_from_slice(mode.as_bytes());
            content.push(b' ');
            content.extend_from_slice(name);
            content.push(0);
            let id = id.parse::<forge::Oid>().unwrap();
            content.extend_from_slice(id.as_bytes());
        }
        self.object("tree", &content)
    }

    /// The text of a commit.
    pub(in crate::client) fn commit_text(tree: &str, parents: &[&str]) -> String {
        let parents: String = parents.iter().map(|id| format!("parent {id}\n")).collect();
        format!("tree {tree}\n{parents}author {WHO}\ncommitter {WHO}\n\nA commit.\n")
    }

    /// Writes a commit.
    pub(in crate::client) fn commit(&self, tree: &str, parents: &[&str]) -> String {
        self.object("commit", Self::commit_text(tree, parents).as_bytes())
    }

    /// A commit upon `master` of a tree, or of anything.
    pub(in crate::client) fn upon(&self, tree: &str) -> String {
        self.commit(tree, &[&self.master])
    }

    /// A pack of these objects alone, each as a whole.
    pub(in crate::client) fn pack(&self, ids: &[&str]) -> Vec<u8> {
        let list = ids.join("\n") + "\n";
        let list = if ids.is_empty() { String::new() } else { list };
        let arguments = ["pack-objects", "-q", "--window=0", "--stdout"];
        git(&self.dir, &arguments, list.as_bytes())
    }

    /// A pack of what revisions reach, `^` for what the other side has.
    pub(in crate::client) fn pack_revs(&self, more: &[&str], revs: &str) -> Vec<u8> {
        let arguments = [&["pack-objects", "-q", "--revs", "--stdout"], more].concat();
        git(&self.dir, &arguments, revs.as_bytes())
    }
}
