//! The capability advertisement of protocol 2: the same for all repositories with one kind of ids.
//!
//! Invariant: it is what the installed git says of an empty repository under the settings that every fetch has, and asked
//! for anew when that git is replaced. No child runs for a request.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use bstr::ByteSlice as _;
use bytes::Bytes;
use forge_core::objects::Staged as _;
use forge_core::{Error, Result};
use tokio::sync::Mutex;

use super::told;
use crate::child::Git;
use crate::format::Format;
use crate::gix::blocking;
use crate::scratch::Scratch;
use crate::transport::Version;

/// What tells one git from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Binary {
    device: u64,
    number: u64,
    size: u64,
    changed: (i64, i64),
}

impl Binary {
    /// That which a child would be; `None` if there is none.
    fn now() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self::among(&path)
    }

    fn among(path: &OsStr) -> Option<Self> {
        let found = std::env::split_paths(path).find_map(|dir| fs::metadata(dir.join("git")).ok());
        found.map(|found| Self {
            device: found.dev(),
            number: found.ino(),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// What was said, by which git.
struct Said {
    by: Option<Binary>,
    sha1: Option<Bytes>,
    sha256: Option<Bytes>,
}

static SAID: Mutex<Said> = Mutex::const_new(Said {
    by: None,
    sha1: None,
    sha256: None,
});

/// What this git can do; `scratch` is a directory to work in.
pub(super) async fn capabilities(scratch: &Path, format: Format) -> Result<Bytes> {
    let mut said = SAID.lock().await;
    let binary = Binary::now();
    if said.by != binary {
        *said = Said {
            by: binary,
            sha1: None,
            sha256: None,
        };
    }
    let place = match format {
        Format::Sha1 => &mut said.sha1,
        Format::Sha256 => &mut said.sha256,
    };
    if let Some(known) = place {
        return Ok(known.clone());
    }
    let asked = ask(scratch, format).await?;
    Ok(place.insert(asked).clone())
}

async fn ask(scratch: &Path, format: Format) -> Result<Bytes> {
    let below = scratch.to_owned();
    let empty = blocking(move || {
        let empty = Scratch::below(&below).map_err(Error::internal)?;
        write_empty(empty.path(), format).map_err(Error::internal)?;
        Ok(empty)
    })
    .await?;
    let git = told(Git::new(empty.path(), "upload-pack"), Version::V2)
        .arg("--strict")
        .arg("--http-backend-info-refs")
        .arg(".");
    let said = git.run(|_| ()).await?.expect_success()?;
    if !said.starts_with(b"000eversion 2\n") || !said.ends_with(b"0000") {
        return Err(Error::internal("git does not speak version 2"));
    }
    Ok(said.into())
}

fn write_empty(directory: &Path, format: Format) -> io::Result<()> {
    for sub in ["objects", "refs"] {
        fs::create_dir(directory.join(sub))?;
    }
    fs::write(directory.join("config"), format.config())?;
    fs::write(directory.join("HEAD"), "ref: refs/heads/main\n")
}

/// Whether a command is among what is advertised.
pub(super) fn has_command(capabilities: &[u8], name: &[u8]) -> bool {
    const NO_COMMANDS: [&[u8]; 5] = [
        b"agent",
        b"object-format",
        b"server-option",
        b"session-id",
        b"version 2",
    ];
    let mut lines = capabilities.lines().filter_map(|line| line.get(4..));
    !name.is_empty()
        && !NO_COMMANDS.contains(&name)
        && lines.any(|line| line.split_str("=").next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_git_says_is_kept_until_git_is_replaced() {
        let scratch = tempfile::tempdir().expect("a directory");
        let said = capabilities(scratch.path(), Format::Sha1)
            .await
            .expect("git");
        assert!(said.contains_str("0017object-format=sha1\n"), "{said:?}");
        for name in ["ls-refs", "fetch"] {
            assert!(has_command(&said, name.as_bytes()), "{name}");
        }
        for name in [
            "object-info",
            "bundle-uri",
            "agent",
            "version 2",
            "",
            "fetch=shallow",
        ] {
            assert!(!has_command(&said, name.as_bytes()), "{name}");
        }
        // No directory to work in is needed the second time.
        let again = capabilities(Path::new("/nonexistent"), Format::Sha1).await;
        assert_eq!(again.expect("known"), said);
        let other = capabilities(scratch.path(), Format::Sha256)
            .await
            .expect("git");
        assert!(other.contains_str("object-format=sha256\n"), "{other:?}");
    }

    #[test]
    fn another_file_is_another_git() {
        let (one, two) = (
            tempfile::tempdir().expect("one"),
            tempfile::tempdir().expect("two"),
        );
        assert_eq!(Binary::among(one.path().as_os_str()), None);
        fs::write(two.path().join("git"), "x").expect("written");
        let path = std::env::join_paths([one.path(), two.path()]).expect("a path");
        let before = Binary::among(&path);
        assert!(before.is_some());
        assert_eq!(Binary::among(&path), before);
        fs::write(one.path().join("git"), "y").expect("written");
        assert_ne!(Binary::among(&path), before);
    }
}
