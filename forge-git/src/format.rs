//! Which hash the ids of a repository are (`git-config(1)`, `extensions.objectFormat`).
//!
//! Invariant: it is what the repository's own configuration says, and never changes. What can be done with which of them is
//! not known here.

use std::fs;
use std::io;
use std::path::Path;

use bstr::ByteSlice as _;
use forge_core::{Error, Result};

use crate::gix::blocking;

/// Which ids a repository has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Sha1,
    Sha256,
}

impl Format {
    /// That of a repository, as its configuration says.
    pub(crate) async fn of(repo: &Path) -> Result<Self> {
        let path = repo.join("config");
        blocking(move || match fs::read(path) {
            Ok(config) => Ok(Self::read(&config)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::NotFound),
            Err(e) => Err(Error::internal(e)),
        })
        .await
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

    /// The configuration of an empty repository.
    pub(crate) fn config(self) -> &'static str {
        match self {
            Self::Sha1 => "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
            Self::Sha256 => {
                "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n"
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
    }
}
