//! What a token may do, and the texts that say so.
//!
//! OAuth 2 text is `service/SCOPE[:RO|RW]`, space-separated, RO by default, empty for everything. Legacy text is
//! `[service/]name[:read|write]`, comma-separated, read by default, `*` for everything; `service` may be the id of a client
//! that has made scopes for itself. Both mean a [`Grants`]. Stored text, which nobody is shown, keeps all of it.
//!
//! Invariant: write implies read, and nothing else implies anything. A grant says what a token may do at most; what
//! its user may do is decided in [`super::repo`].

use std::collections::BTreeMap;
use std::fmt;

use super::delegated::{Delegated, Named};
use super::scope::{Mode, Scope, TABLE};
use crate::ids::DelegatedScopeId;
use crate::{Error, Result};

/// The text of no scope at all.
const NOTHING: &str = "none";

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Whether it was granted everything, scopes of later versions included, rather than each scope there is.
    everything: bool,
    scopes: BTreeMap<Scope, Mode>,
    /// Other services' scopes that were granted by name; everything covers those that were not.
    delegated: BTreeMap<Delegated, Mode>,
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
            delegated: BTreeMap::new(),
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

    /// Adds another service's scope. OAuth 2 text has no word for it.
    pub fn grant_delegated(&mut self, scope: Delegated, mode: Mode) {
        let granted = self.delegated.entry(scope).or_insert(mode);
        *granted = (*granted).max(mode);
    }

    /// Whether they cover `mode` on another service's scope.
    #[must_use]
    pub fn allow_delegated(&self, scope: &Delegated, mode: Mode) -> bool {
        let granted = self.delegated.get(scope);
        self.everything || granted.is_some_and(|granted| *granted >= mode)
    }

    /// Other services' scopes that were granted by name, each with the most that may be done by that.
    pub fn delegated(&self) -> impl Iterator<Item = (&Delegated, Mode)> {
        self.delegated.iter().map(|(scope, mode)| (scope, *mode))
    }

    /// Takes away other services' scopes that are not to be kept.
    pub(crate) fn keep_delegated(&mut self, is_kept: impl Fn(&Delegated) -> bool) {
        self.delegated.retain(|scope, _| is_kept(scope));
    }

    /// Whether they are everything, scopes of later versions included.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether there is no scope in them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.delegated.is_empty()
    }

    /// Whether they allow all that others do.
    #[must_use]
    pub fn cover(&self, others: &Self) -> bool {
        (self.everything || !others.everything)
            && others.scopes().all(|(scope, mode)| self.allow(scope, mode))
            && others
                .delegated()
                .all(|(scope, mode)| self.allow_delegated(scope, mode))
    }

    /// The scopes in the older scheme's text, those of the meta service without its name: `git.sr.ht/info:write,keys:read`.
    /// Other services' scopes come last: `0123456789abcdef/lists:read`. A word that stands for several scopes of its service
    /// is there as far as all of them are: it never says more than there is.
    #[must_use]
    pub fn legacy_text(&self) -> String {
        if self.everything {
            return "*".to_owned();
        }
        let mut modes: BTreeMap<&str, Option<Mode>> = BTreeMap::new();
        for row in TABLE.iter().filter(|row| row.is_of_one_service()) {
            let name = row.legacy.strip_prefix("meta.sr.ht/").unwrap_or(row.legacy);
            let mode = self.scopes.get(&row.scope).copied();
            let known = modes.entry(name).or_insert(mode);
            *known = (*known).min(mode);
        }
        let word = |name: &dyn fmt::Display, mode| match mode {
            Mode::Read => format!("{name}:read"),
            Mode::Write => format!("{name}:write"),
        };
        let own = modes
            .iter()
            .filter_map(|(name, mode)| Some(word(name, (*mode)?)));
        let others = self.delegated();
        let others = others.map(|(scope, mode)| word(&scope.named, mode));
        own.chain(others).collect::<Vec<_>>().join(",")
    }

    /// What is stored of them: OAuth 2 text, or `none`, and other services' scopes by number and name, after a semicolon:
    /// `meta.sr.ht/PROFILE:RO;7=0123456789abcdef/lists:RW`.
    #[must_use]
    pub fn stored_text(&self) -> String {
        let mut text = self.to_string();
        for (i, (scope, mode)) in self.delegated().enumerate() {
            let sign = if i == 0 { ';' } else { ' ' };
            let suffix = if mode == Mode::Write { "RW" } else { "RO" };
            text.push_str(&format!("{sign}{}={}:{suffix}", scope.id, scope.named));
        }
        text
    }

    /// Reads what is stored; `None` if this version cannot.
    #[must_use]
    pub fn parse_stored(text: &str) -> Option<Self> {
        let (own, others) = text.split_once(';').unwrap_or((text, ""));
        let mut grants = if own == NOTHING {
            Self::nothing()
        } else {
            Self::parse_oauth2(own).ok()?
        };
        for item in others.split_terminator(' ') {
            let (id, rest) = item.split_once('=')?;
            let (named, suffix) = rest.split_once(':')?;
            let scope = Delegated {
                named: named.parse().ok()?,
                id: DelegatedScopeId(id.parse().ok()?),
            };
            let mode = match suffix {
                "RO" => Mode::Read,
                "RW" => Mode::Write,
                _ => return None,
            };
            grants.grant_delegated(scope, mode);
        }
        Some(grants)
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

    /// Reads legacy text that names the forge's own scopes alone. `audit-log` is accepted for `audit`, as seed 003 spells
    /// it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for field `scopes`: an unknown scope or mode, or writing to a read-only scope.
    pub fn parse_legacy(text: &str) -> Result<Self> {
        let (grants, others) = Self::read_legacy(text)?;
        match others.keys().next() {
            None => Ok(grants),
            Some(named) => Err(no_scope(&named.to_string())),
        }
    }

    /// Reads legacy text: the forge's own scopes, and what it says of other services', which need not exist.
    pub(crate) fn read_legacy(text: &str) -> Result<(Self, BTreeMap<Named, Mode>)> {
        let invalid = no_scope;
        let mut grants = Self::nothing();
        let mut others = BTreeMap::new();
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
            if let Ok(named) = scope.parse::<Named>() {
                let known = others.entry(named).or_insert(mode);
                *known = (*known).max(mode);
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
        Ok((grants, others))
    }
}

fn no_scope(item: &str) -> Error {
    Error::invalid("scopes", format!("{item:?} is not a scope"))
}

impl fmt::Display for Grants {
    /// OAuth 2 text; what [`Grants::parse_oauth2`] reads back of the forge's own scopes. Without any of these, it is `none`,
    /// which it refuses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.everything {
            return Ok(());
        }
        if self.scopes.is_empty() {
            return f.write_str(NOTHING);
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

    use super::super::delegated::ScopeName;
    use super::*;

    fn oauth2(text: &str) -> Grants {
        Grants::parse_oauth2(text).expect("a good text")
    }

    fn legacy(text: &str) -> Grants {
        Grants::parse_legacy(text).expect("a good text")
    }

    fn lists(id: i64) -> Delegated {
        Delegated {
            named: "0123456789abcdef/lists".parse().expect("a name"),
            id: DelegatedScopeId(id),
        }
    }

    #[test]
    fn everything_is_every_scope() {
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
    fn a_services_scope_is_read_by_the_client_that_made_it() {
        let text = "0123456789abcdef/lists,profile:read,0123456789abcdef/lists:write";
        let (grants, others) = Grants::read_legacy(text).expect("a good text");
        assert_eq!(grants, legacy("profile"));
        let lists = lists(0).named;
        assert_eq!(
            others.into_iter().collect::<Vec<_>>(),
            [(lists, Mode::Write)]
        );
        assert!(
            Grants::parse_legacy(text).is_err(),
            "whether it exists was not asked"
        );
        for bad in [
            "0123456789abcdef/",
            "0123456789abcdef/Lists",
            "0123456789abcdef/a.b",
            "0123456789abcdeg/lists",
            "0123456789abcdef/lists:rw",
            "0123456789abcdef/a/b",
            "/lists",
        ] {
            assert!(Grants::read_legacy(bad).is_err(), "{bad:?}");
        }
        let long = format!("0123456789abcdef/{}", "a".repeat(ScopeName::MAX + 1));
        assert!(Grants::read_legacy(&long).is_err());
    }

    #[test]
    fn a_scope_of_the_same_name_that_was_made_later_is_another() {
        let mut grants = oauth2("meta.sr.ht/PROFILE");
        grants.grant_delegated(lists(7), Mode::Read);
        assert!(grants.allow_delegated(&lists(7), Mode::Read));
        assert!(!grants.allow_delegated(&lists(7), Mode::Write));
        assert!(!grants.allow_delegated(&lists(8), Mode::Read));
        assert_eq!(
            grants.legacy_text(),
            "profile:read,0123456789abcdef/lists:read"
        );
        assert_eq!(grants.to_string(), "meta.sr.ht/PROFILE:RO");
        assert!(grants.cover(&oauth2("meta.sr.ht/PROFILE")));
        assert!(!oauth2("meta.sr.ht/PROFILE").cover(&grants));
    }

    #[test]
    fn a_legacy_word_says_no_more_than_there_is() {
        for (text, expected) in [
            ("meta.sr.ht/PROFILE", "profile:read"),
            ("git.sr.ht/PROFILE", ""),
            ("meta.sr.ht/SSH_KEYS:RW", ""),
            ("meta.sr.ht/SSH_KEYS:RW meta.sr.ht/PGP_KEYS", "keys:read"),
            (
                "meta.sr.ht/SSH_KEYS:RW meta.sr.ht/PGP_KEYS:RW",
                "keys:write",
            ),
            (
                "git.sr.ht/OBJECTS:RW meta.sr.ht/AUDIT_LOG",
                "audit:read,git.sr.ht/data:write",
            ),
        ] {
            assert_eq!(oauth2(text).legacy_text(), expected, "{text}");
        }
    }

    #[test]
    fn everything_covers_other_services_scopes_too() {
        let mut grants = Grants::everything();
        assert!(grants.allow_delegated(&lists(7), Mode::Write));
        grants.grant_delegated(lists(7), Mode::Read);
        assert!(grants.allow_delegated(&lists(7), Mode::Write));
        assert_eq!(grants.legacy_text(), "*");
        assert!(!legacy("*:read").allow_delegated(&lists(7), Mode::Read));
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
            "0123456789abcdef/lists",
            "0123456789abcdef/lists:RO",
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
        fn grants_are_stored_as_they_are(
            picks in proptest::collection::vec((0..TABLE.len(), any::<bool>()), 0..8),
            others in proptest::collection::vec((0..9_i64, "[0-9a-f]{16}", "[a-z_]{1,64}", any::<bool>()), 0..8),
            everything in any::<bool>(),
        ) {
            let mut grants = if everything { Grants::everything() } else { Grants::nothing() };
            let mode = |write| if write { Mode::Write } else { Mode::Read };
            for (row, write) in picks {
                grants.grant(TABLE[row].scope, mode(write));
            }
            let mut named = BTreeMap::new();
            for (id, client, name, write) in others {
                let scope: Named = format!("{client}/{name}").parse().expect("a name");
                // Of one name there is one scope at a time.
                if named.insert(scope.clone(), id).is_none() {
                    grants.grant_delegated(Delegated { named: scope, id: DelegatedScopeId(id) }, mode(write));
                }
            }
            let stored = Grants::parse_stored(&grants.stored_text());
            prop_assert_eq!(stored.as_ref(), Some(&grants));
            let text = grants.legacy_text();
            if !text.is_empty() && !everything {
                let (_, read) = Grants::read_legacy(&text).expect("what was printed");
                let others: BTreeMap<_, _> = grants.delegated().map(|(scope, mode)| (scope.named.clone(), mode)).collect();
                prop_assert_eq!(read, others);
            }
        }

        #[test]
        fn no_text_panics_the_parsers(text in ".{0,60}") {
            let _ = (Grants::parse_oauth2(&text), Grants::parse_legacy(&text), Grants::parse_stored(&text));
        }
    }
}
