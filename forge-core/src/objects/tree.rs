//! Trees.
//!
//! Invariant: entries keep git's order and their names' bytes. A tree does not know its path.

use bstr::{BStr, BString};

use super::Oid;

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A directory.
    Tree,
    /// A file, executable or not, or a symbolic link.
    Blob,
    /// A commit of another repository: a submodule.
    Commit,
}

impl EntryKind {
    /// Git's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Commit => "commit",
        }
    }
}

/// An entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name's bytes; not necessarily UTF-8.
    pub name: BString,
    /// What it names.
    pub id: Oid,
    /// The Unix mode as git writes it, `0o100644` for example.
    pub mode: u32,
}

impl Entry {
    /// What it is, by its mode.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        match self.mode & 0o170_000 {
            0o040_000 => EntryKind::Tree,
            0o160_000 => EntryKind::Commit,
            _ => EntryKind::Blob,
        }
    }
}

/// A tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Its id.
    pub id: Oid,
    /// Its entries in git's order.
    pub entries: Vec<Entry>,
}

impl Tree {
    /// The entry of that name.
    #[must_use]
    pub fn entry(&self, name: &BStr) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// About how much memory it takes, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + self
                .entries
                .iter()
                .map(|e| size_of::<Entry>() + e.name.len())
                .sum::<usize>()
    }
}
