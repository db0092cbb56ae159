//! Which hash the ids of a repository are (`git-config(1)`, `extensions.objectFormat`).
//!
//! Invariant: it is what the repository's own configuration says, and never changes. How objects are read is not known
//! here.

use std::fs;
use std::io;
use std::path::Path;

use bstr::ByteSlice as _;
use forge_core::{Error, Oid, Result};

use crate::gix::blocking;

/// The bytes of a pack before its first object.
const PACK_HEADER: u64 = 12;

/// Which ids a repository has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    /// That of repositories made here.
    #[default]
    Sha1,
    /// Comes by import.
    Sha256,
}

impl Format {
    /// That of a repository, as its configuration says.
    pub(crate) async fn of(repo: &Path) -> Result<Self> {
        let repo = repo.to_owned();
        blocking(move || match Self::at(&repo) {
            Ok(format) => Ok(format),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::NotFound),
            Err(e) => Err(Error::internal(e)),
        })
        .await
    }

    /// As [`Self::of`], for those who may wait for the disk.
    pub(crate) fn at(repo: &Path) -> io::Result<Self> {
        fs::read(repo.join("config")).map(|config| Self::read(&config))
    }

    /// Git writes nothing but `objectformat = sha256` into the section `extensions`.
    fn read(config: &[u8]) -> Self {
        let is_sha256 = config.lines().any(|line| {
            let line = line.trim_ascii().to_ascii_lowercase();
            let value = line
                .strip_prefix(b"objectformat")
                .and_then(|rest| rest.trim_ascii().strip_prefix(b"="));
            value.is_some_and(|value| value.trim_ascii().trim_with(|c| c == '"') == b"sha256")
        });
        if is_sha256 { Self::Sha256 } else { Self::Sha1 }
    }

    /// The one that git calls so.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        [Self::Sha1, Self::Sha256]
            .into_iter()
            .find(|format| format.name().as_bytes() == name)
    }

    /// What git calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// How many bytes an id has.
    pub(crate) fn id_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// How many digits an id is written with.
    pub(crate) fn digits(self) -> usize {
        self.id_len() * 2
    }

    /// Reads an id; `None` if it is none, or one of the other format.
    pub(crate) fn oid(self, digits: &[u8]) -> Option<Oid> {
        let digits = digits.to_str().ok()?;
        let is_ours = digits.len() == self.digits();
        digits.parse().ok().filter(|_| is_ours)
    }

    /// The bytes of a pack without objects: its header and its trailer.
    pub(crate) fn empty_pack(self) -> u64 {
        PACK_HEADER + self.id_len() as u64
    }

    /// The configuration of a repository: no setting of its own.
    pub(crate) fn config(self) -> &'static str {
        match self {
            Self::Sha1 => {
                "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
            }
            Self::Sha256 => {
                "[core]\n\trepositoryformatversion = 1\n\tfilemode = true\n\tbare = true\n\
                 [extensions]\n\tobjectformat = sha256\n"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_where_git_writes_it() {
        assert_eq!(Format::read(Format::Sha1.config().as_bytes()), Format::Sha1);
        assert_eq!(
            Format::read(Format::Sha256.config().as_bytes()),
            Format::Sha256
        );
        assert_eq!(
            Format::read(b"[x]\n ObjectFormat=sha256 \n"),
            Format::Sha256
        );
        assert_eq!(Format::read(b"[x]\n objectformat = sha1\n"), Format::Sha1);
        assert_eq!(Format::named(b"sha256"), Some(Format::Sha256));
        assert_eq!(Format::named(b"md5"), None);
    }

    #[test]
    fn an_id_is_one_of_its_format_alone() {
        let (short, long) = ("a1".repeat(20), "a1".repeat(32));
        for (format, ours, other) in [
            (Format::Sha1, &short, &long),
            (Format::Sha256, &long, &short),
        ] {
            let id = format.oid(ours.as_bytes()).expect("an id");
            assert_eq!(id.as_bytes().len(), format.id_len());
            assert_eq!(format.oid(other.as_bytes()), None);
            assert_eq!(format.oid(&ours.as_bytes()[1..]), None);
        }
    }
}
