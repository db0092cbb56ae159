//! The arguments of `ls-refs` (`gitprotocol-v2(5)`).
//!
//! Invariant: prefixes are kept sorted, and none of them begins with another, so a name is wanted by one of them at most.
//! No ref is read here.

use bstr::{BStr, BString, ByteSlice as _};

use crate::format::Format;

/// How many prefixes are too many to look at; git's number.
const TOO_MANY: usize = 65_536;

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// Which ids are expected.
    pub(super) format: Format,
    pub(super) symrefs: bool,
    pub(super) peel: bool,
    pub(super) unborn: bool,
    /// None of them begins with another; in order. Without any, everything is asked for.
    pub(super) prefixes: Vec<BString>,
}

impl Query {
    /// Reads the arguments; `None` if git would refuse one.
    pub(crate) fn parse<'a>(
        format: Format,
        args: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<Self> {
        let mut query = Self {
            format,
            ..Self::default()
        };
        let mut prefixes: Vec<BString> = Vec::new();
        for arg in args {
            match arg {
                b"symrefs" => query.symrefs = true,
                b"peel" => query.peel = true,
                b"unborn" => query.unborn = true,
                arg => {
                    let prefix = arg.strip_prefix(b"ref-prefix ")?;
                    // Git's strings end there.
                    if prefix.contains(&0) {
                        return None;
                    }
                    if prefixes.len() < TOO_MANY {
                        prefixes.push(prefix.into());
                    }
                }
            }
        }
        if prefixes.len() >= TOO_MANY {
            prefixes.clear();
        }
        if prefixes.is_empty() {
            prefixes.push(BString::default());
        }
        prefixes.sort_unstable();
        prefixes.dedup_by(|later, earlier| later.starts_with(earlier));
        query.prefixes = prefixes;
        Some(query)
    }

    /// The prefix that a name would have.
    fn nearest(&self, name: &[u8]) -> Option<&BString> {
        let after = self
            .prefixes
            .partition_point(|prefix| prefix.as_slice() <= name);
        self.prefixes.get(after.checked_sub(1)?)
    }

    /// Whether a name is asked for.
    pub(super) fn wants(&self, name: &BStr) -> bool {
        self.nearest(name)
            .is_some_and(|prefix| name.starts_with(prefix))
    }

    /// Whether something in a directory may be asked for; its name ends with a slash.
    pub(super) fn wants_below(&self, directory: &BStr) -> bool {
        let first = self
            .prefixes
            .partition_point(|prefix| prefix.as_bstr() < directory);
        let inside = self.prefixes.get(first);
        self.wants(directory) || inside.is_some_and(|prefix| prefix.starts_with(directory))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefixes(given: &[&str]) -> Vec<BString> {
        let args: Vec<_> = given
            .iter()
            .map(|prefix| format!("ref-prefix {prefix}"))
            .collect();
        let query = Query::parse(Format::Sha1, args.iter().map(String::as_bytes));
        query.expect("good").prefixes
    }

    #[test]
    fn prefixes_are_kept_as_few_as_they_can_be() {
        assert_eq!(prefixes(&[]), [""]);
        assert_eq!(prefixes(&["b", "a", "ab", "a"]), ["a", "b"]);
        assert_eq!(prefixes(&["x", ""]), [""]);
        let many: Vec<_> = (0..TOO_MANY).map(|n| format!("refs/{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(prefixes(&many), [""]);
        assert!(prefixes(&many[1..]).len() > 1);
    }

    #[test]
    fn an_argument_that_git_refuses_is_no_query() {
        for bad in [
            "",
            "peel ",
            "ref-prefix",
            "Peel",
            "ref-prefix a\0b",
            "ERR x",
        ] {
            assert_eq!(
                Query::parse(Format::Sha1, [bad.as_bytes()]),
                None,
                "{bad:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_has_a_prefix_is_wanted(
            given in proptest::collection::vec("[a-c/]{0,4}", 1..6),
            name in "[a-c/]{0,6}",
        ) {
            let given: Vec<_> = given.iter().map(String::as_str).collect();
            let query = Query { prefixes: prefixes(&given), ..Query::default() };
            let is_wanted = given.iter().any(|prefix| name.starts_with(prefix));
            prop_assert_eq!(query.wants(name.as_str().into()), is_wanted);
            let is_below = given.iter().any(|prefix| prefix.starts_with(&name));
            prop_assert_eq!(query.wants_below(name.as_str().into()), is_wanted || is_below);
        }
    }
}
