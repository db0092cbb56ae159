//! What clones and pushes share, whichever way they come.
//!
//! Invariant: a repository's directory is found from a capability alone, so there is no transfer without an access
//! decision. What HTTP and SSH look like is in [`crate::http`] and [`crate::ssh`].

use std::path::PathBuf;
use std::sync::Arc;

use forge_core::access::{Objects, ReadRepo};
use forge_core::{Error, Forge, RepoId, Result};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Git;
use crate::permits::Permits;

/// Where a client's bytes come from.
pub(crate) type Input = Box<dyn AsyncRead + Send + Unpin>;
/// Where a client's bytes go.
pub(crate) type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// Serves clones and pushes of the repositories of a forge: a cheap handle to clone.
#[derive(Clone, Debug)]
pub struct Transport(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    forge: Forge,
    git: Git,
    fetches: Permits,
    pushes: Permits,
}

impl Transport {
    /// Serves what `forge` knows and `git` keeps: the same that the forge was made with.
    #[must_use]
    pub fn new(forge: Forge, git: Git) -> Self {
        let limits = forge.limits();
        Self(Arc::new(Inner {
            fetches: Permits::for_fetches(&limits.fetch),
            pushes: Permits::for_pushes(&limits.push),
            forge,
            git,
        }))
    }

    pub(crate) fn forge(&self) -> &Forge {
        &self.0.forge
    }

    pub(crate) fn git(&self) -> &Git {
        &self.0.git
    }

    pub(crate) fn fetches(&self) -> &Permits {
        &self.0.fetches
    }

    pub(crate) fn pushes(&self) -> &Permits {
        &self.0.pushes
    }

    /// Where the repository lies that somebody was let in to.
    pub(crate) fn dir(&self, repo: &ReadRepo) -> Result<PathBuf> {
        self.place(repo.id())
    }

    /// Where the objects lie that somebody was let in to.
    pub(crate) fn objects_dir(&self, objects: &Objects) -> Result<PathBuf> {
        self.place(objects.repo().id)
    }

    /// Where work in progress lies, on the file system of the repositories.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.0.git.disk.layout().scratch()
    }

    fn place(&self, id: RepoId) -> Result<PathBuf> {
        let dir = self.0.git.disk.layout().repo(id);
        dir.ok_or_else(|| Error::internal("a repository needs a positive number"))
    }
}

/// The version of git's protocol that a client asks for (`gitprotocol-v2(5)`, "Protocol Version").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Version {
    /// None said, or one that is not known.
    #[default]
    V0,
    V1,
    V2,
}

impl Version {
    /// Reads a `Git-Protocol` header or a `GIT_PROTOCOL` variable: `key=value` pairs with colons between. What is not of
    /// that shape says nothing.
    pub(crate) fn parse(text: &str) -> Self {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let good = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, "1"));
            !key.is_empty() && !value.is_empty() && key.chars().chain(value.chars()).all(word)
        };
        if text.len() > 256 || !text.split(':').all(good) {
            return Self::V0;
        }
        let asked = text.split(':').filter_map(|pair| match pair {
            "version=1" => Some(Self::V1),
            "version=2" => Some(Self::V2),
            _ => None,
        });
        asked
            .max_by_key(|version| *version as u8)
            .unwrap_or_default()
    }

    /// What `GIT_PROTOCOL` tells a child; `None` for version 0.
    pub(crate) fn variable(self) -> Option<&'static str> {
        match self {
            Self::V0 => None,
            Self::V1 => Some("version=1"),
            Self::V2 => Some("version=2"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_where_it_is_said_properly() {
        for (text, version) in [
            ("", Version::V0),
            ("version=2", Version::V2),
            ("version=1", Version::V1),
            ("version=0", Version::V0),
            ("version=3", Version::V0),
            ("key=value:version=2", Version::V2),
            ("version=1:version=2", Version::V2),
            ("version=2;rm -rf", Version::V0),
            ("version=2\nX=1", Version::V0),
            ("version=2:", Version::V0),
        ] {
            assert_eq!(Version::parse(text), version, "{text:?}");
        }
        assert_eq!(
            Version::parse(&format!("a={}:version=2", "x".repeat(300))),
            Version::V0
        );
    }
}
