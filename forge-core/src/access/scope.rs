//! What a token may do: scopes, modes, and the two texts that say so.
//!
//! OAuth 2 text is `service/SCOPE[:RO|RW]`, space-separated, RO by default, empty for everything. Legacy text is
//! `[service/]name[:read|write]`, comma-separated, read by default, `*` for everything. Both mean a [`Grants`].
//!
//! Invariant: write implies read, and nothing else implies anything. A grant says what a token may do at most; what
//! its user may do is decided in [`super::repo`].

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

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
struct Row {
    scope: Scope,
    oauth2: &'static str,
    legacy: &'static str,
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

const TABLE: &[Row] = &[
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

impl Scope {
    fn row(self) -> &'static Row {
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

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Whether it was granted everything, scopes of later versions included, rather than each scope there is.
    everything: bool,
    scopes: BTreeMap<Scope, Mode>,
}

impl Grants {
    /// Everything, writing included: a personal token without limits.
    #[must_use]
    pub fn everything() -> Self {
        let most = |scope: Scope| {
            if scope.is_writable() {
                Mode::Write
            } else {
                Mode::Read
            }
        };
        let scopes = TABLE
            .iter()
            .map(|row| (row.scope, most(row.scope)))
            .collect();
        Self {
            everything: true,
            scopes,
        }
    }

    /// Nothing at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// What a deploy key may do at most.
    pub(crate) fn transport() -> Self {
        let mut grants = Self::nothing();
        grants.grant(Scope::Repositories, Mode::Read);
        grants.grant(Scope::Objects, Mode::Write);
        grants
    }

    /// Whether they cover `mode` on `scope`.
    #[must_use]
    pub fn allow(&self, scope: Scope, mode: Mode) -> bool {
        self.scopes
            .get(&scope)
            .is_some_and(|granted| *granted >= mode)
    }

    /// Adds a scope. Writing to what only the forge writes is reading.
    pub fn grant(&mut self, scope: Scope, mode: Mode) {
        let mode = if scope.is_writable() {
            mode
        } else {
            Mode::Read
        };
        let granted = self.scopes.entry(scope).or_insert(mode);
        *granted = (*granted).max(mode);
    }

    /// The scopes there are, each with the most that may be done.
    pub fn scopes(&self) -> impl Iterator<Item = (Scope, Mode)> {
        self.scopes.iter().map(|(scope, mode)| (*scope, *mode))
    }

    /// Whether they are everything, scopes of later versions included.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether there is no scope in them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// Whether they allow all that others do.
    #[must_use]
    pub fn cover(&self, others: &Self) -> bool {
        (self.everything || !others.everything)
            && others.scopes().all(|(scope, mode)| self.allow(scope, mode))
    }

    /// The scopes in the older scheme's text, those of the meta service without its name: `git.sr.ht/info:write,keys:read`.
    #[must_use]
    pub fn legacy_text(&self) -> String {
        if self.everything {
            return "*".to_owned();
        }
        let mut modes: BTreeMap<&str, Mode> = BTreeMap::new();
        for (scope, mode) in self.scopes() {
            let name = scope.row().legacy;
            let name = name.strip_prefix("meta.sr.ht/").unwrap_or(name);
            let known = modes.entry(name).or_insert(mode);
            *known = (*known).max(mode);
        }
        let words = modes.into_iter().map(|(name, mode)| match mode {
            Mode::Read => format!("{name}:read"),
            Mode::Write => format!("{name}:write"),
        });
        words.collect::<Vec<_>>().join(",")
    }

    /// Reads OAuth 2 text.
    ///
    /// # Errors
    /// [`Error::Invalid`] for field `grants`: an unknown scope or mode, or writing to a read-only scope.
    pub fn parse_oauth2(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::everything());
        }
        let invalid = |item: &str| Error::invalid("grants", format!("{item:?} is not a grant"));
        let mut grants = Self::nothing();
        for item in text.split(' ') {
            let (scope, mode) = match item.split_once(':') {
                None => (item, Mode::Read),
                Some((scope, "RO")) => (scope, Mode::Read),
                Some((scope, "RW")) => (scope, Mode::Write),
                Some(_) => return Err(invalid(item)),
            };
            let row = TABLE.iter().find(|row| row.oauth2 == scope);
            let scope = row.ok_or_else(|| invalid(item))?.scope;
            if mode == Mode::Write && !scope.is_writable() {
                return Err(invalid(item));
            }
            grants.grant(scope, mode);
        }
        Ok(grants)
    }

    /// Reads legacy text. `audit-log` is accepted for `audit`, as seed 003 spells it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for field `scopes`: an unknown scope or mode, or writing to a read-only scope.
    pub fn parse_legacy(text: &str) -> Result<Self> {
        let invalid = |item: &str| Error::invalid("scopes", format!("{item:?} is not a scope"));
        let mut grants = Self::nothing();
        for item in text.split(',') {
            let (scope, mode) = match item.split_once(':') {
                None | Some((_, "read")) => (item.split(':').next().unwrap_or(item), Mode::Read),
                Some((scope, "write")) => (scope, Mode::Write),
                Some(_) => return Err(invalid(item)),
            };
            if scope == "*" {
                // `*` alone means writing as well; `*:read` is the limited form.
                grants.everything |= item != "*:read";
                for (scope, most) in Self::everything().scopes {
                    grants.grant(scope, if item == "*:read" { Mode::Read } else { most });
                }
                continue;
            }
            let full = match scope {
                "audit-log" => "meta.sr.ht/audit".to_owned(),
                scope if scope.contains('/') => scope.to_owned(),
                scope => format!("meta.sr.ht/{scope}"),
            };
            let mut known = false;
            for row in TABLE.iter().filter(|row| row.legacy == full) {
                if mode == Mode::Write && !row.scope.is_writable() {
                    return Err(invalid(item));
                }
                grants.grant(row.scope, mode);
                known = true;
            }
            if !known {
                return Err(invalid(item));
            }
        }
        Ok(grants)
    }
}

impl fmt::Display for Grants {
    /// OAuth 2 text; what [`Grants::parse_oauth2`] reads back. [`Grants::nothing`] prints as `none`, which it refuses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.everything {
            return Ok(());
        }
        if self.scopes.is_empty() {
            return f.write_str("none");
        }
        for (i, (scope, mode)) in self.scopes.iter().enumerate() {
            let oauth2 = scope.row().oauth2;
            let suffix = if *mode == Mode::Write { "RW" } else { "RO" };
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{oauth2}:{suffix}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn oauth2(text: &str) -> Grants {
        Grants::parse_oauth2(text).expect("a good text")
    }

    fn legacy(text: &str) -> Grants {
        Grants::parse_legacy(text).expect("a good text")
    }

    #[test]
    fn every_scope_has_its_row_in_the_table() {
        for row in TABLE {
            assert_eq!(row.scope.row().oauth2, row.oauth2);
        }
        assert_eq!(TABLE.len(), Grants::everything().scopes.len());
    }

    #[test]
    fn write_implies_read_and_nothing_else_implies_anything() {
        let grants = oauth2("git.sr.ht/OBJECTS:RW meta.sr.ht/PROFILE");
        assert!(
            grants.allow(Scope::Objects, Mode::Write) && grants.allow(Scope::Objects, Mode::Read)
        );
        assert!(
            grants.allow(Scope::MetaProfile, Mode::Read)
                && !grants.allow(Scope::MetaProfile, Mode::Write)
        );
        assert!(
            !grants.allow(Scope::GitProfile, Mode::Read)
                && !grants.allow(Scope::Repositories, Mode::Read)
        );
    }

    #[test]
    fn legacy_scopes_are_translated_by_the_table() {
        assert_eq!(
            legacy("git.sr.ht/data:write"),
            oauth2("git.sr.ht/OBJECTS:RW")
        );
        assert_eq!(
            legacy("git.sr.ht/info,git.sr.ht/info:write"),
            oauth2("git.sr.ht/REPOSITORIES:RW")
        );
        assert_eq!(
            legacy("profile:read"),
            oauth2("git.sr.ht/PROFILE meta.sr.ht/PROFILE")
        );
        assert_eq!(
            legacy("keys:write"),
            oauth2("meta.sr.ht/SSH_KEYS:RW meta.sr.ht/PGP_KEYS:RW")
        );
        assert_eq!(legacy("audit-log:read"), legacy("audit"));
        assert_eq!(legacy("*"), Grants::everything());
        assert!(!legacy("*:read").allow(Scope::Objects, Mode::Write));
        assert!(legacy("*:read").allow(Scope::Objects, Mode::Read));
    }

    #[test]
    fn unknown_scopes_are_refused() {
        for bad in [
            "data",
            "git.sr.ht/x",
            "audit:write",
            "",
            "profile:RW",
            "x/profile",
            "profile,",
        ] {
            assert!(Grants::parse_legacy(bad).is_err(), "{bad:?}");
        }
        for bad in [
            "none",
            "OBJECTS",
            "git.sr.ht/OBJECTS:rw",
            "git.sr.ht/OBJECTS  x",
            "meta.sr.ht/AUDIT_LOG:RW",
            " ",
        ] {
            assert!(Grants::parse_oauth2(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn grants_print_as_they_parse(picks in proptest::collection::vec((0..TABLE.len(), any::<bool>()), 1..8)) {
            let mut grants = Grants::nothing();
            for (row, write) in picks {
                let scope = TABLE[row].scope;
                grants.grant(scope, if write && scope.is_writable() { Mode::Write } else { Mode::Read });
            }
            prop_assert_eq!(Grants::parse_oauth2(&grants.to_string()).ok(), Some(grants));
        }

        #[test]
        fn no_text_panics_the_parsers(text in ".{0,60}") {
            let _ = (Grants::parse_oauth2(&text), Grants::parse_legacy(&text));
        }
    }
}
