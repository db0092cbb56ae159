//! The forge's own scopes, and how they are spelt.
//!
//! Invariant: every scope has one name in OAuth 2 text; a name of the older scheme may stand for several. Those that other
//! services have made for themselves are in [`super::delegated`].

use serde::{Deserialize, Serialize};

/// Reading, or reading and writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mode {
    /// `RO`, `read`.
    #[serde(rename = "ro")]
    Read,
    /// `RW`, `write`; implies reading.
    #[serde(rename = "rw")]
    Write,
}

/// A kind of data that a token may be limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scope {
    /// git: who a user is.
    GitProfile,
    /// git: repositories' names, descriptions, visibility.
    Repositories,
    /// git: objects, refs and artifacts.
    Objects,
    /// git: access lists.
    Acls,
    /// meta: who a user is.
    MetaProfile,
    /// meta: the account's log.
    AuditLog,
    /// meta: SSH keys.
    SshKeys,
    /// meta: PGP keys.
    PgpKeys,
}

/// How the two texts spell a scope, and what people are told it is.
pub(super) struct Row {
    pub(super) scope: Scope,
    pub(super) oauth2: &'static str,
    pub(super) legacy: &'static str,
    means: &'static str,
}

const fn row(scope: Scope, oauth2: &'static str, legacy: &'static str, means: &'static str) -> Row {
    Row {
        scope,
        oauth2,
        legacy,
        means,
    }
}

pub(super) const TABLE: &[Row] = &[
    row(
        Scope::GitProfile,
        "git.sr.ht/PROFILE",
        "meta.sr.ht/profile",
        "who you are",
    ),
    row(
        Scope::Repositories,
        "git.sr.ht/REPOSITORIES",
        "git.sr.ht/info",
        "names, descriptions and visibility of your repositories",
    ),
    row(
        Scope::Objects,
        "git.sr.ht/OBJECTS",
        "git.sr.ht/data",
        "what is in your repositories: commits, files, branches, artifacts",
    ),
    row(
        Scope::Acls,
        "git.sr.ht/ACLS",
        "git.sr.ht/access",
        "who else may get at your repositories",
    ),
    row(
        Scope::MetaProfile,
        "meta.sr.ht/PROFILE",
        "meta.sr.ht/profile",
        "your profile and e-mail address",
    ),
    row(
        Scope::AuditLog,
        "meta.sr.ht/AUDIT_LOG",
        "meta.sr.ht/audit",
        "the log of your account",
    ),
    row(
        Scope::SshKeys,
        "meta.sr.ht/SSH_KEYS",
        "meta.sr.ht/keys",
        "your SSH keys",
    ),
    row(
        Scope::PgpKeys,
        "meta.sr.ht/PGP_KEYS",
        "meta.sr.ht/keys",
        "your PGP keys",
    ),
];

impl Row {
    /// Whether both texts have it as the same service's: git's `PROFILE` is only a part of what meta's `profile` says.
    pub(super) fn is_of_one_service(&self) -> bool {
        let service = |text: &'static str| text.split('/').next();
        service(self.oauth2) == service(self.legacy)
    }
}

impl Scope {
    pub(super) fn row(self) -> &'static Row {
        // Every variant has a row; a test walks them.
        TABLE
            .iter()
            .find(|row| row.scope == self)
            .unwrap_or(&TABLE[0])
    }

    /// Every scope there is, in the order in which people are shown them.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.scope)
    }

    /// Its name in OAuth 2 text: `git.sr.ht/OBJECTS`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().oauth2
    }

    /// What it is, in words for its user: "your SSH keys".
    #[must_use]
    pub fn means(self) -> &'static str {
        self.row().means
    }

    /// Whether a token may ever write it: the account's log is written by the forge alone.
    #[must_use]
    pub fn is_writable(self) -> bool {
        self != Self::AuditLog
    }

    /// How a refusal names it: the legacy name, then the OAuth 2 name.
    pub(crate) fn describe(self, mode: Mode) -> String {
        let Row { oauth2, legacy, .. } = self.row();
        let legacy = legacy.rsplit('/').next().unwrap_or(legacy);
        match mode {
            Mode::Read => format!("{legacy}:read ({oauth2}:RO)"),
            Mode::Write => format!("{legacy}:write ({oauth2}:RW)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_has_its_row_in_the_table() {
        for row in TABLE {
            assert_eq!(row.scope.row().oauth2, row.oauth2);
        }
    }
}
