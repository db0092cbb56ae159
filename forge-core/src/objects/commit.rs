//! Commits.
//!
//! Invariant: text is UTF-8 here; what a commit holds in another encoding was translated by the encoding it declares,
//! and what cannot be translated is shown by replacement characters.

use super::Oid;
use crate::clock::Timestamp;

/// Who wrote or committed something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name as given.
    pub name: String,
    /// The e-mail address as given.
    pub email: String,
    /// The moment; the Unix epoch if what is written there is none.
    pub time: Timestamp,
}

/// A signature on a commit, of whatever kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The armoured signature's bytes.
    pub signature: Vec<u8>,
    /// What was signed: the commit without the header that holds the signature.
    pub data: Vec<u8>,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: Oid,
    /// Who wrote the change.
    pub author: Person,
    /// Who made the commit.
    pub committer: Person,
    /// The whole message.
    pub message: String,
    /// Its tree.
    pub tree: Oid,
    /// The commits it builds on, in their order.
    pub parents: Vec<Oid>,
    /// Its signature, if it has one.
    pub signature: Option<Signature>,
}

impl Commit {
    /// About how much memory it takes, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let signature = self
            .signature
            .as_ref()
            .map_or(0, |s| s.signature.len() + s.data.len());
        let people = self.author.name.len() + self.author.email.len() + self.committer.name.len();
        size_of::<Self>()
            + people
            + self.committer.email.len()
            + self.message.len()
            + signature
            + self.parents.len() * size_of::<Oid>()
    }
}
