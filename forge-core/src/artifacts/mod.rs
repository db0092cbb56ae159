//! Artifacts: files attached to a commit, a release's tarball for example.
//!
//! Invariant: a row exists only for content that is stored completely, and content without a row is removed within
//! a day. File names are unique in a repository. The content itself is in [`crate::blobs`].

mod ops;
mod store;

pub use store::{ArtifactReads, ArtifactWrites};

use crate::clock::Timestamp;
use crate::ids::{ArtifactId, RepoId};
use crate::objects::Oid;

/// An artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Row number.
    pub id: ArtifactId,
    /// The repository it belongs to.
    pub repo: RepoId,
    /// When it was uploaded.
    pub created: Timestamp,
    /// The commit it is attached to.
    pub commit: Oid,
    /// The file's name: see [`file_name`].
    pub filename: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Where the content is stored.
    pub key: String,
}

/// An artifact to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArtifact {
    /// The repository it belongs to.
    pub repo: RepoId,
    /// The commit it is attached to.
    pub commit: Oid,
    /// The file's name.
    pub filename: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Where the content is stored.
    pub key: String,
}

/// The longest file name, in bytes.
pub const MAX_FILE_NAME: usize = 255;

/// What remains of an uploaded file's name: path separators and spaces become `_`, anything but ASCII letters, digits,
/// `.`, `_`, `-`, `+` and `~` is dropped, and so are leading dots, tildes and dashes. `None` if nothing remains, or too
/// much.
#[must_use]
pub fn file_name(given: &str) -> Option<String> {
    let name: String = given
        .chars()
        .filter_map(|c| match c {
            '/' | '\\' | ' ' | '\t' => Some('_'),
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '~') => Some(c),
            _ => None,
        })
        .collect();
    let name = name
        .trim_start_matches(['.', '~', '_', '-'])
        .trim_end_matches('_');
    (!name.is_empty() && name.len() <= MAX_FILE_NAME).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::file_name;

    #[test]
    fn file_names_are_made_harmless() {
        assert_eq!(
            file_name("hello-1.0.tar.gz").as_deref(),
            Some("hello-1.0.tar.gz")
        );
        assert_eq!(file_name("../../etc/passwd").as_deref(), Some("etc_passwd"));
        assert_eq!(
            file_name("C:\\x\\My file.txt").as_deref(),
            Some("C_x_My_file.txt")
        );
        assert_eq!(file_name("~.hidden").as_deref(), Some("hidden"));
        assert_eq!(
            file_name("é\u{202e}\r\n\"x\".bin").as_deref(),
            Some("x.bin")
        );
        for bad in ["", "..", "///", "日本", "~"] {
            assert_eq!(file_name(bad), None, "{bad:?}");
        }
        assert_eq!(file_name(&"x".repeat(256)), None);
    }

    proptest! {
        #[test]
        fn no_file_name_escapes(given in any::<String>()) {
            if let Some(name) = file_name(&given) {
                prop_assert!(!name.starts_with('.') && !name.contains('/') && name.is_ascii());
                prop_assert_eq!(file_name(&name), Some(name));
            }
        }
    }
}
