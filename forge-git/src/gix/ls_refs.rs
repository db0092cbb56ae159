//! The answer to `ls-refs` (`gitprotocol-v2(5)`), byte for byte git's.
//!
//! Invariant: refs are read loose ones first, as in [`super::refs`]; a slow reader of a long answer keeps one piece of it
//! in memory. What git would not have written makes no answer here at all: whoever asked is to ask git itself.

use std::fmt;
use std::fs;
use std::io;
use std::iter::Peekable;
use std::sync::{Arc, OnceLock};
use std::vec;

use ::gix::ObjectId;
use bstr::{BStr, BString, ByteSlice as _};
use bytes::{BufMut as _, Bytes, BytesMut};
use forge_core::objects::Kind;
use forge_core::{Error, RepoId, Result};

use super::packed::{Line, Odd, Packed, Peeled};
use super::ref_query::Query;
use super::refs::{End, Refs, Value};
use super::{Handle, Handles, Reader, blocking, loose};
use crate::pkt;

/// The most that is answered at once, but for the line that passes it, in bytes.
const PIECE: usize = 1 << 20;
/// What comes before the attributes of a ref (`gitprotocol-v2(5)`, "ls-refs").
const SYMREF: &[u8] = b" symref-target:";
const PEELED: &[u8] = b" peeled:";
/// A larger tag is not followed, in bytes, nor more than so many that name each other.
const MAX_TAG: u64 = 8 << 20;
const MAX_TAGS: usize = 1024;
/// What no part of a name ends with.
const LOCK: &[u8] = b".lock";
/// The refs that nobody is shown, together with those below.
pub(crate) const HIDDEN: &str = "refs/forge";
/// What a repository's configuration may say that changes an answer.
const MATTERS: [&str; 4] = ["hiderefs", "lsrefs", "include", "namespace"];

/// An answer that is being given.
pub(crate) struct Listing {
    objects: Objects,
    query: Query,
    packed: Packed,
    cursor: Cursor,
    has_begun: bool,
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing")
            .field("repo", &self.objects.id)
            .finish_non_exhaustive()
    }
}

/// The next part of an answer, and the rest if there is one.
pub(crate) type Piece = (Bytes, Option<Box<Listing>>);

/// Begins an answer; `None` if git is to give it.
pub(super) fn begin(handles: Arc<Handles>, id: RepoId, query: Query) -> Result<Option<Piece>> {
    let path = handles.path(id)?;
    let config = match fs::read(path.join("config")) {
        Ok(config) => config.to_ascii_lowercase(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::NotFound),
        Err(e) => return Err(Error::internal(e)),
    };
    if MATTERS.iter().any(|word| config.contains_str(word)) || is_extended(&config) {
        return Ok(None);
    }
    let handle = handles.get(id)?;
    // Git has words for who asks for ids of the other kind.
    if handle.hash().len_in_hex() != query.format.digits() {
        return Ok(None);
    }
    let walked = loose::walk(
        &path,
        handle.hash(),
        &|directory| query.wants_below(directory),
        &|name| query.wants(name),
    );
    let mut loose = walked?;
    loose.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let listing = Box::new(Listing {
        packed: Packed::open(&path, handle.hash())?,
        objects: Objects {
            handles,
            id,
            handle,
            fresh: OnceLock::new(),
        },
        query,
        cursor: Cursor {
            loose: loose.into_iter().peekable(),
            prefix: 0,
            at: None,
            last: BString::default(),
        },
        has_begun: false,
    });
    Ok(listing.piece()?.ok())
}

/// Whether a configuration in small letters names an extension other than the format of ids, which changes nothing here.
fn is_extended(config: &[u8]) -> bool {
    let mut is_inside = false;
    config.lines().map(<[u8]>::trim_ascii).any(|line| {
        if line.starts_with(b"[") {
            is_inside = line == b"[extensions]";
            return !is_inside && line.contains_str("extensions");
        }
        is_inside && !line.is_empty() && !line.starts_with(b"objectformat")
    })
}

impl Listing {
    /// Goes on.
    pub(crate) async fn next(self: Box<Self>) -> Result<Piece> {
        let piece = blocking(move || self.piece()).await?;
        piece.map_err(|Odd| Error::internal("refs are damaged"))
    }

    fn piece(mut self: Box<Self>) -> Result<Result<Piece, Odd>> {
        let this = &mut *self;
        let mut answer = Answer {
            // Lines come out about as long as they are in the file; what is not written to costs nothing.
            out: BytesMut::with_capacity(this.packed.len().min(PIECE) + (4 << 10)),
            query: &this.query,
            reader: this.objects.handle.reader(),
            objects: &this.objects,
        };
        if !this.has_begun {
            this.has_begun = true;
            answer.head()?;
        }
        while answer.out.len() < PIECE {
            match this.cursor.next(&this.packed, &this.query.prefixes) {
                Err(odd) => return Ok(Err(odd)),
                Ok(Some(Next::Packed(line))) => answer.packed(&line)?,
                Ok(Some(Next::Loose(name, value))) => answer.loose(name.as_bstr(), &value)?,
                Ok(None) => {
                    pkt::put_flush(&mut answer.out);
                    return Ok(Ok((answer.out.freeze(), None)));
                }
            }
        }
        let out = answer.out.freeze();
        Ok(Ok((out, Some(self))))
    }
}

/// How far an answer is.
struct Cursor {
    /// Only what is wanted, by name.
    loose: Peekable<vec::IntoIter<(BString, Value)>>,
    /// Which prefix it is at, and which place in the packed refs, once that was looked up.
    prefix: usize,
    at: Option<usize>,
    /// The last name that was packed.
    last: BString,
}

enum Next<'a> {
    Loose(BString, Value),
    Packed(Line<'a>),
}

impl Cursor {
    fn next<'a>(
        &mut self,
        packed: &'a Packed,
        prefixes: &[BString],
    ) -> Result<Option<Next<'a>>, Odd> {
        while let Some(prefix) = prefixes.get(self.prefix) {
            let at = match self.at {
                Some(at) => at,
                None => packed.seek(prefix)?,
            };
            let line = packed.line(at)?;
            let line = line.filter(|(line, _)| line.name.starts_with(prefix));
            let loose = self.loose.next_if(|(name, _)| {
                name.starts_with(prefix) && line.is_none_or(|(line, _)| name.as_bstr() <= line.name)
            });
            if let Some((name, value)) = loose {
                // It hides the packed one of its name.
                let hidden = line.filter(|(line, _)| line.name == name.as_bstr());
                self.at = Some(hidden.map_or(at, |(_, next)| next));
                return Ok(Some(Next::Loose(name, value)));
            }
            if let Some((line, next)) = line {
                if self.last.as_bstr() >= line.name || !is_plain(line.name) {
                    return Err(Odd);
                }
                self.last.clear();
                self.last.extend_from_slice(line.name);
                self.at = Some(next);
                return Ok(Some(Next::Packed(line)));
            }
            self.prefix += 1;
            self.at = None;
        }
        Ok(None)
    }
}

/// Where objects are looked for. A handle that was opened a while ago has room for so many new packs only: what it does
/// not find, a fresh one is asked for.
struct Objects {
    handles: Arc<Handles>,
    id: RepoId,
    handle: Arc<Handle>,
    fresh: OnceLock<Option<Arc<Handle>>>,
}

impl Objects {
    fn fresh(&self) -> Option<Reader<'_>> {
        let fresh = self.fresh.get_or_init(|| {
            self.handles.forget(self.id);
            self.handles.get(self.id).ok()
        });
        Some(fresh.as_ref()?.reader())
    }
}

/// A piece that is being written.
struct Answer<'a> {
    out: BytesMut,
    query: &'a Query,
    reader: Reader<'a>,
    objects: &'a Objects,
}

impl Answer<'_> {
    /// HEAD, whether its object is there or not.
    fn head(&mut self) -> Result<()> {
        if !self.query.wants(b"HEAD".as_bstr()) {
            return Ok(());
        }
        let refs = Refs::of(self.reader.handle);
        let (target, id) = match refs.resolve(b"HEAD".as_bstr())? {
            End::At(target, id) => (target, Some(id).filter(|id| !id.is_null())),
            End::Unborn(target) => (target, None),
            End::Nowhere => return Ok(()),
        };
        let symref = (target != "HEAD").then_some(target);
        if id.is_some() || (self.query.unborn && self.query.symrefs && symref.is_some()) {
            self.line(b"HEAD".as_bstr(), id, symref.as_ref());
        }
        Ok(())
    }

    /// A broken ref is listed too, with an id of zeros; a symbolic one only if it leads somewhere.
    fn loose(&mut self, name: &BStr, value: &Value) -> Result<()> {
        if is_hidden(name) {
            return Ok(());
        }
        let (id, symref) = match value {
            Value::Broken => (ObjectId::null(self.reader.handle.hash()), None),
            Value::Id(id) | Value::Peeled(id, _) => (*id, None),
            // Not by the packed refs that were opened before: git may have packed what it leads to since.
            Value::Symbolic(_) => match Refs::of(self.reader.handle).follow(name)? {
                Some((target, id)) => (id, Some(target)),
                None => return Ok(()),
            },
        };
        self.line(name, Some(id), symref.as_ref());
        Ok(())
    }

    fn packed(&mut self, line: &Line<'_>) -> Result<()> {
        if is_hidden(line.name) {
            return Ok(());
        }
        match line.peeled {
            Peeled::Unknown => self.line(line.name, Some(line.id()?), None),
            // It is in the file as it is in the answer.
            Peeled::Same => pkt::put(&mut self.out, line.text),
            Peeled::To(peeled) => self.put(line.name, Some(line.id), None, Some(peeled)),
        }
        Ok(())
    }

    fn line(&mut self, name: &BStr, id: Option<ObjectId>, symref: Option<&BString>) {
        let peeled = match id {
            Some(id) if self.query.peel && !id.is_null() => match peel(&self.reader, id) {
                Ok(peeled) => peeled,
                Err(_) => self
                    .objects
                    .fresh()
                    .and_then(|fresh| peel(&fresh, id).ok()?),
            },
            _ => None,
        };
        let hex = |id: ObjectId| id.to_hex().to_string();
        let (id, peeled) = (id.map(hex), peeled.map(hex));
        self.put(
            name,
            id.as_deref().map(str::as_bytes),
            symref.map(|name| name.as_slice()),
            peeled.as_deref().map(str::as_bytes),
        );
    }

    /// Writes a line: `id name[ symref-target:name][ peeled:id]`.
    fn put(
        &mut self,
        name: &BStr,
        id: Option<&[u8]>,
        symref: Option<&[u8]>,
        peeled: Option<&[u8]>,
    ) {
        let symref = symref.filter(|_| self.query.symrefs);
        let peeled = peeled.filter(|_| self.query.peel);
        let id = id.unwrap_or(b"unborn");
        let attribute =
            |name: &[u8], value: Option<&[u8]>| value.map_or(0, |v| name.len() + v.len());
        let length = 4
            + id.len()
            + 1
            + name.len()
            + attribute(SYMREF, symref)
            + attribute(PEELED, peeled)
            + 1;
        self.out.reserve(length);
        self.out.put_slice(&pkt::digits(length));
        self.out.put_slice(id);
        self.out.put_slice(b" ");
        self.out.put_slice(name);
        for (name, value) in [(SYMREF, symref), (PEELED, peeled)] {
            if let Some(value) = value {
                self.out.put_slice(name);
                self.out.put_slice(value);
            }
        }
        self.out.put_slice(b"\n");
    }
}

/// Git 2.47 hides packed refs whose names merely begin so as well, which is a fault of its.
fn is_hidden(name: &BStr) -> bool {
    let rest = name.strip_prefix(HIDDEN.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// What remains of a tag when it is followed; `None` if it is no tag, or leads nowhere. As git does here, it trusts a tag
/// to say what kind of object it names.
fn peel(reader: &Reader<'_>, id: ObjectId) -> Result<Option<ObjectId>> {
    match reader.header(&id)? {
        Some((Kind::Tag, _)) => {}
        Some(_) => return Ok(None),
        None => return Err(Error::NotFound),
    }
    let (mut id, mut buffer) = (id, Vec::new());
    for _ in 0..MAX_TAGS {
        match reader.header(&id)? {
            Some((Kind::Tag, size)) if size <= MAX_TAG => {}
            _ => return Ok(None),
        }
        if reader.read(&id, &mut buffer)? != Some(Kind::Tag) {
            return Ok(None);
        }
        match tagged(&buffer).filter(|(next, _)| next.kind() == id.kind()) {
            Some((next, true)) => id = next,
            Some((next, false)) => return Ok(Some(next)),
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// What a tag names, and whether that is said to be a tag.
fn tagged(tag: &[u8]) -> Option<(ObjectId, bool)> {
    let mut lines = tag.split_str("\n");
    let id = lines.next()?.strip_prefix(b"object ")?;
    let id = ObjectId::from_hex(id).ok()?;
    let is_tag = match lines.next()?.strip_prefix(b"type ")? {
        b"tag" => true,
        b"commit" | b"tree" | b"blob" => false,
        _ => return None,
    };
    lines.next()?.strip_prefix(b"tag ")?;
    // That line has an end.
    lines.next()?;
    Some((id, is_tag))
}

/// The bytes of which no rule speaks, and the slash.
const SIMPLE: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0);
    while byte < 256 {
        let it = byte as u8;
        table[byte] = it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'/');
        byte += 1;
    }
    table
};

/// Whether git takes the name as it is: `git check-ref-format`, read in one pass.
fn is_plain(name: &BStr) -> bool {
    // Most names hold nothing of which a rule speaks but slashes, and are done with in one look.
    let look = |(is_simple, previous), &byte: &u8| {
        let is_empty_part = (byte == b'/') & (previous == b'/');
        (is_simple & SIMPLE[usize::from(byte)] & !is_empty_part, byte)
    };
    let (is_simple, last) = name.iter().fold((true, b'/'), look);
    if is_simple {
        return name.starts_with(b"refs/") && last != b'/';
    }
    let mut previous = b'/';
    for (at, &byte) in name.iter().enumerate() {
        let is_bad = match byte {
            0..=0x20 | 0x7f | b'~' | b'^' | b':' | b'?' | b'*' | b'[' | b'\\' => true,
            b'.' => matches!(previous, b'/' | b'.'),
            b'/' => previous == b'/' || name.get(..at).is_some_and(|part| part.ends_with(LOCK)),
            b'{' => previous == b'@',
            _ => false,
        };
        if is_bad {
            return false;
        }
        previous = byte;
    }
    name.starts_with(b"refs/") && !matches!(previous, b'/' | b'.') && !name.ends_with(LOCK)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_is_plain_if_it_is_one(name in "refs/[a.@{/~lock]{1,8}(/x.lock|.lock/x|)") {
            let is_name = forge_core::RefName::new(name.as_str()).is_ok();
            prop_assert_eq!(is_plain(name.as_str().into()), is_name);
        }
    }
}
