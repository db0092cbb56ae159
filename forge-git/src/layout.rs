//! Where a repository lies: by its number, never by its name.
//!
//! Invariant: number and path determine each other. Number 1234567 lies in `repos/123/45/67.git`: the last two pairs
//! of digits are the file name and the directory above it, so no directory below the first holds more than a hundred
//! entries; smaller numbers are filled up with zeros, 12 lies in `repos/00/00/12.git`.
//! What is being made or removed lies in `tmp`, on the same file system. Nothing is read or written here but the
//! listing of numbers.

use std::io;
use std::path::{Path, PathBuf};

use forge_core::RepoId;

/// The directory of a forge's repositories.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where work in progress and refuse lie.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Where a repository lies; `None` for a number that no row has.
    pub(crate) fn repo(&self, id: RepoId) -> Option<PathBuf> {
        let id = u64::try_from(id.0).ok()?;
        let (top, middle, leaf) = (id / 10_000, id / 100 % 100, id % 100);
        let path = format!("{top:02}/{middle:02}/{leaf:02}.git");
        Some(self.root.join("repos").join(path))
    }

    /// Every repository there is, with its directory.
    pub(crate) fn repos(&self) -> io::Result<Vec<(RepoId, PathBuf)>> {
        let mut found = Vec::new();
        for (top, path) in children(&self.root.join("repos"))? {
            for (middle, path) in children(&path)? {
                for (leaf, path) in children(&path)? {
                    if let Some(id) = number(&top, &middle, &leaf)
                        && self.repo(id).as_ref() == Some(&path)
                    {
                        found.push((id, path));
                    }
                }
            }
        }
        Ok(found)
    }
}

fn number(top: &str, middle: &str, leaf: &str) -> Option<RepoId> {
    let digits = [top, middle, leaf.strip_suffix(".git")?].concat();
    digits.parse().ok().map(RepoId)
}

/// The entries of a directory whose names are text; none if it is missing or no directory.
fn children(directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(id: i64) -> Option<String> {
        let path = Layout::at(PathBuf::new()).repo(RepoId(id))?;
        path.to_str().map(str::to_owned)
    }

    #[test]
    fn repositories_lie_by_their_numbers() {
        assert_eq!(place(12).as_deref(), Some("repos/00/00/12.git"));
        assert_eq!(place(9_999).as_deref(), Some("repos/00/99/99.git"));
        assert_eq!(place(1_234_567).as_deref(), Some("repos/123/45/67.git"));
        assert_eq!(
            place(i64::MAX).as_deref(),
            Some("repos/922337203685477/58/07.git")
        );
        assert_eq!(place(-1), None);
    }

    proptest! {
        #[test]
        fn a_path_leads_back_to_its_number(id in 0..=i64::MAX) {
            let path = place(id).expect("not negative");
            let parts: Vec<_> = path.split('/').collect();
            prop_assert_eq!(number(parts[1], parts[2], parts[3]), Some(RepoId(id)));
        }
    }

    #[test]
    fn the_listing_finds_repositories_and_nothing_else() {
        let root = tempfile::tempdir().expect("a directory");
        let layout = Layout::at(root.path().to_owned());
        assert_eq!(layout.repos().expect("a missing root is empty"), []);
        for id in [1, 10_203, 1_234_567] {
            let path = layout.repo(RepoId(id)).expect("a path");
            std::fs::create_dir_all(path).expect("made");
        }
        for odd in [
            "repos/0/00/01.git",
            "repos/00/00/1.git",
            "repos/00/00/xx.git",
            "repos/00/00/05",
        ] {
            std::fs::create_dir_all(root.path().join(odd)).expect("made");
        }
        let mut found: Vec<_> = layout
            .repos()
            .expect("a listing")
            .iter()
            .map(|r| r.0.0)
            .collect();
        found.sort_unstable();
        assert_eq!(found, [1, 10_203, 1_234_567]);
    }
}
