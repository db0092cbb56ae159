//! Revision expressions, as `git rev-parse` reads them.
//!
//! Invariant: every text is an object or nothing, in bounded time and without recursion. Reflogs, upstreams and
//! searches through history are not known: bare repositories have no reflogs, and the searches cost too much.

use std::collections::HashSet;

use ::gix::ObjectId;
use bstr::{BStr, ByteSlice as _};
use forge_core::objects::Kind;
use forge_core::{Error, Result};

use super::Reader;
use super::objects::{Budget, check_size};
use super::refs::Refs;
use crate::decode;

/// The most objects decoded in one call, and the most bytes they have together. Where there is a commit-graph, commits
/// are found in it and not decoded.
const MAX_OBJECTS: u32 = 100_000;
const MAX_BYTES: u64 = 256 << 20;
/// Where git looks for a short name, in this order.
const RULES: [(&str, &str); 5] = [
    ("refs/", ""),
    ("refs/tags/", ""),
    ("refs/heads/", ""),
    ("refs/remotes/", ""),
    ("refs/remotes/", "/HEAD"),
];

/// One suffix of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// `^n`; `^0` is the commit itself.
    Parent(u32),
    /// `~n`.
    Ancestor(u32),
    /// `^{type}`.
    Peel(Kind),
    /// `^{}`.
    Untag,
    /// `^{object}`.
    Any,
}

/// What an abbreviated id is expected to be; only then do several candidates leave a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    None,
    Committish,
    Treeish,
}

/// Resolves expressions of one call.
pub(super) struct Revs<'a> {
    reader: &'a Reader<'a>,
    refs: Refs<'a>,
    budget: Budget,
    buffer: Vec<u8>,
}

impl<'a> Revs<'a> {
    pub(super) fn of(reader: &'a Reader<'a>) -> Self {
        Self {
            reader,
            refs: Refs::of(reader.handle),
            budget: Budget::new(MAX_OBJECTS, MAX_BYTES),
            buffer: Vec::new(),
        }
    }

    /// The object that an expression names.
    pub(super) fn resolve(&mut self, text: &BStr) -> Result<Option<ObjectId>> {
        let mut found = self.walk(text, Hint::None)?;
        if found.is_none()
            && let Some((rev, path)) = split_path(text)
            && let Some(tree) = self.walk(rev, Hint::Treeish)?
        {
            found = self.descend(tree, path)?;
        }
        match found {
            Some(id) if self.reader.exists(&id)? => Ok(Some(id)),
            _ => Ok(None),
        }
    }

    /// An expression without a path.
    fn walk(&mut self, text: &BStr, hint: Hint) -> Result<Option<ObjectId>> {
        let Some((base, steps)) = split_steps(text) else {
            return Ok(None);
        };
        let hint = match steps.last() {
            None => hint,
            Some(Step::Parent(_) | Step::Ancestor(_) | Step::Peel(Kind::Commit)) => {
                Hint::Committish
            }
            Some(Step::Peel(Kind::Tree)) => Hint::Treeish,
            Some(_) => Hint::None,
        };
        let mut id = self.base(base, hint)?;
        for step in steps.into_iter().rev() {
            let Some(from) = id else {
                return Ok(None);
            };
            id = match step {
                Step::Parent(0) => self.peel_to(from, Kind::Commit)?,
                Step::Parent(n) => self.parent(from, n)?,
                Step::Ancestor(n) => self.ancestor(from, n)?,
                Step::Peel(kind) => self.peel_to(from, kind)?,
                Step::Untag => self.peel(from)?.map(|(id, _)| id),
                Step::Any => Some(from),
            };
        }
        Ok(id)
    }

    /// An id, a ref, the output of `git describe`, or an abbreviated id.
    fn base(&mut self, text: &BStr, hint: Hint) -> Result<Option<ObjectId>> {
        if let Ok(id) = ObjectId::from_hex(text)
            && id.kind() == self.reader.handle.hash()
        {
            return Ok(Some(id));
        }
        if let Some(id) = self.named(text)? {
            return Ok(Some(id));
        }
        if let Some(hex) = described(text)
            && let Some(id) = self.abbreviated(hex, Hint::Committish)?
        {
            return Ok(Some(id));
        }
        self.abbreviated(text, hint)
    }

    fn named(&self, text: &BStr) -> Result<Option<ObjectId>> {
        if text == "@" {
            return self.named(b"HEAD".as_bstr());
        }
        if !is_ref_name(text) {
            return Ok(None);
        }
        // Other files lie beside HEAD that are no refs, whatever they hold.
        let is_root = |b: u8| b.is_ascii_uppercase() || matches!(b, b'_' | b'-');
        if (text.starts_with(b"refs/") || text.bytes().all(is_root))
            && let Some((_, id)) = self.refs.follow(text)?
        {
            return Ok(Some(id));
        }
        for (prefix, suffix) in RULES {
            let name = [prefix.as_bytes(), text, suffix.as_bytes()].concat();
            if let Some((_, id)) = self.refs.follow(name.as_bstr())? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn abbreviated(&mut self, hex: &BStr, hint: Hint) -> Result<Option<ObjectId>> {
        let prefix = hex.to_str().ok().and_then(|hex| self.reader.prefix(hex));
        let Some(prefix) = prefix else {
            return Ok(None);
        };
        let mut found = HashSet::new();
        let objects = &self.reader.objects;
        objects
            .lookup_prefix(prefix, Some(&mut found))
            .map_err(super::fault)?;
        if found.len() > 1 {
            let mut fitting = HashSet::new();
            for id in found {
                if self.fits(id, hint)? {
                    fitting.insert(id);
                }
            }
            found = fitting;
        }
        let mut found = found.into_iter();
        Ok(found.next().filter(|_| found.next().is_none()))
    }

    fn fits(&mut self, id: ObjectId, hint: Hint) -> Result<bool> {
        if hint == Hint::None {
            return Ok(true);
        }
        // A tag that leads nowhere fits nothing.
        let kind = self.peel(id).ok().flatten().map(|(_, kind)| kind);
        Ok(match kind {
            Some(Kind::Commit) => true,
            Some(Kind::Tree) => hint == Hint::Treeish,
            _ => false,
        })
    }

    fn peel(&mut self, id: ObjectId) -> Result<Option<(ObjectId, Kind)>> {
        self.reader.peel_within(id, &mut self.budget)
    }

    /// Follows tags, and commits to their trees, until an object is of that kind.
    fn peel_to(&mut self, id: ObjectId, wanted: Kind) -> Result<Option<ObjectId>> {
        if wanted == Kind::Tag {
            let header = self.reader.header(&id)?;
            return Ok(header.filter(|(kind, _)| *kind == wanted).map(|_| id));
        }
        let Some((id, kind)) = self.peel(id)? else {
            return Ok(None);
        };
        if kind == wanted {
            return Ok(Some(id));
        }
        if (kind, wanted) != (Kind::Commit, Kind::Tree) || !self.load(&id, Kind::Commit)? {
            return Ok(None);
        }
        let commit = decode::commit(super::oid(&id)?, &self.buffer)?;
        Ok(self.reader.id(commit.tree))
    }

    fn parent(&mut self, id: ObjectId, n: u32) -> Result<Option<ObjectId>> {
        let Some(commit) = self.peel_to(id, Kind::Commit)? else {
            return Ok(None);
        };
        self.parent_of(&commit, n)
    }

    fn parent_of(&mut self, commit: &ObjectId, n: u32) -> Result<Option<ObjectId>> {
        let index = n as usize - 1;
        if !self.load(commit, Kind::Commit)? {
            return Ok(None);
        }
        let links = decode::links(&self.buffer)?;
        Ok(links.parents.get(index).and_then(|id| self.reader.id(*id)))
    }

    fn ancestor(&mut self, id: ObjectId, n: u32) -> Result<Option<ObjectId>> {
        let Some(mut id) = self.peel_to(id, Kind::Commit)? else {
            return Ok(None);
        };
        let graph = self.reader.handle.graph.get();
        for done in 0..n {
            if let Some(graph) = &graph
                && let Some(mut at) = graph.lookup(id)
            {
                // Whatever a damaged graph says, a line of history is no longer than there are commits.
                let known = graph.num_commits();
                if n - done >= known {
                    return Ok(None);
                }
                for _ in done..n {
                    match graph.commit_at(at).parent1().map_err(super::fault)? {
                        Some(parent) if parent.0 < known => at = parent,
                        Some(_) => {
                            return Err(Error::internal("a commit-graph names what it has not"));
                        }
                        None => return Ok(None),
                    }
                }
                return Ok(Some(graph.id_at(at).to_owned()));
            }
            match self.parent_of(&id, 1)? {
                Some(parent) => id = parent,
                None => return Ok(None),
            }
        }
        Ok(Some(id))
    }

    /// The entry at a path below a tree.
    fn descend(&mut self, id: ObjectId, path: &BStr) -> Result<Option<ObjectId>> {
        let Some(mut id) = self.peel_to(id, Kind::Tree)? else {
            return Ok(None);
        };
        if path.is_empty() {
            return Ok(Some(id));
        }
        // One slash after a directory is allowed, and names the directory.
        let (path, must_be_tree) = match path.strip_suffix(b"/") {
            Some(path) => (path, true),
            None => (&**path, false),
        };
        for name in path.split_str("/") {
            if !self.load(&id, Kind::Tree)? {
                return Ok(None);
            }
            let entry = decode::find_entry(super::oid(&id)?, &self.buffer, name.as_bstr())?;
            let Some(entry) = entry.and_then(|(_, id)| self.reader.id(id)) else {
                return Ok(None);
            };
            id = entry;
        }
        Ok((!must_be_tree || self.load(&id, Kind::Tree)?).then_some(id))
    }

    /// Reads an object into the buffer if it is of that kind, and enough of the budget is left.
    fn load(&mut self, id: &ObjectId, wanted: Kind) -> Result<bool> {
        match self.reader.header(id)? {
            Some((kind, size)) if kind == wanted => {
                check_size(kind, size)?;
                Ok(self.budget.take(size) && self.reader.read(id, &mut self.buffer)?.is_some())
            }
            _ => Ok(false),
        }
    }
}

/// Splits `rev:path` at the first colon outside braces.
fn split_path(text: &BStr) -> Option<(&BStr, &BStr)> {
    let mut depth = 0u32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b':' if depth == 0 => {
                return Some((text.get(..at)?.as_bstr(), text.get(at + 1..)?.as_bstr()));
            }
            _ => {}
        }
    }
    None
}

/// Cuts the suffixes off an expression, the last one first. `None` if one of them is nonsense.
fn split_steps(text: &BStr) -> Option<(&BStr, Vec<Step>)> {
    let (mut base, mut steps) = (text, Vec::new());
    loop {
        let digits = base.iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let (rest, number) = base.split_at(base.len() - digits);
        let step = match rest.last() {
            Some(b'~') => Step::Ancestor(count(number)?),
            Some(b'^') => Step::Parent(count(number)?),
            _ => match split_peel(base) {
                None => return Some((base, steps)),
                Some((before, step)) => {
                    base = before;
                    steps.push(step);
                    continue;
                }
            },
        };
        steps.push(step);
        base = rest.get(..rest.len() - 1)?.as_bstr();
    }
}

/// The number after `~` or `^`; 1 if there is none. Git's limit is that of a C `int`.
fn count(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return Some(1);
    }
    let number: u32 = digits.to_str().ok()?.parse().ok()?;
    i32::try_from(number).is_ok().then_some(number)
}

/// Splits `rev^{type}`.
fn split_peel(text: &BStr) -> Option<(&BStr, Step)> {
    let inner = text.strip_suffix(b"}")?;
    let at = inner.rfind("^{")?;
    let step = match inner.get(at + 2..)? {
        b"" => Step::Untag,
        b"object" => Step::Any,
        b"commit" => Step::Peel(Kind::Commit),
        b"tree" => Step::Peel(Kind::Tree),
        b"blob" => Step::Peel(Kind::Blob),
        b"tag" => Step::Peel(Kind::Tag),
        _ => return None,
    };
    Some((inner.get(..at)?.as_bstr(), step))
}

/// The abbreviated id at the end of `v1.0-3-gabcdef`.
fn described(text: &BStr) -> Option<&BStr> {
    let at = text.rfind("-g")?;
    text.get(at + 2..).map(BStr::new).filter(|_| at > 0)
}

/// Whether git would look for a ref of that name at all.
fn is_ref_name(text: &BStr) -> bool {
    let full = [b"refs/x/", &**text].concat();
    forge_core::RefName::new(full).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn steps(text: &str) -> Option<(String, Vec<Step>)> {
        split_steps(text.into()).map(|(base, steps)| (base.to_string(), steps))
    }

    #[test]
    fn suffixes_are_cut_off_from_the_end() {
        use Step::{Ancestor, Any, Parent, Peel, Untag};
        for (text, base, expected) in [
            ("a", "a", vec![]),
            ("a~", "a", vec![Ancestor(1)]),
            ("a^0", "a", vec![Parent(0)]),
            ("a~2^{tree}", "a", vec![Peel(Kind::Tree), Ancestor(2)]),
            ("a^^2~3", "a", vec![Ancestor(3), Parent(2), Parent(1)]),
            ("a^{}^{object}", "a", vec![Any, Untag]),
            ("a^{x}", "a^{x}", vec![]),
            ("a12", "a12", vec![]),
        ] {
            assert_eq!(steps(text), Some((base.into(), expected)), "{text}");
        }
        assert_eq!(steps("a~99999999999"), None);
        assert_eq!(steps("a^2147483648"), None);
    }

    #[test]
    fn a_path_starts_after_the_first_colon_outside_braces() {
        assert_eq!(split_path("a:b:c".into()), Some(("a".into(), "b:c".into())));
        assert_eq!(
            split_path("a^{x:y}:b".into()),
            Some(("a^{x:y}".into(), "b".into()))
        );
        assert_eq!(split_path("a".into()), None);
    }

    #[test]
    fn descriptions_end_with_an_id() {
        assert_eq!(described("v1-3-gabcd".into()), Some("abcd".into()));
        assert_eq!(described("-gabcd".into()), None);
        assert_eq!(described("v1".into()), None);
    }

    proptest! {
        #[test]
        fn no_expression_is_too_odd(text in "[a~^{}:0-9@/.-]{0,60}") {
            if let Some((base, steps)) = split_steps(text.as_str().into()) {
                prop_assert!(base.len() + steps.len() <= text.len());
            }
            split_path(text.as_str().into());
        }
    }
}
