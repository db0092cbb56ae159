//! `packed-refs`, line by line.
//!
//! Invariant: what git would not have written is [`Odd`], never guessed at. The file is mapped, not copied: git replaces
//! it and never changes it. Objects are not known here.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;

use ::gix::ObjectId;
use ::gix::hash::Kind as Hash;
use ::gix::refs::packed::Buffer;
use bstr::{BStr, ByteSlice as _};
use forge_core::{Error, Result};

use super::fault;
use super::loose::is_name;

/// Files above this are mapped into memory, in bytes.
const MAX_READ: u64 = 32 << 10;
/// No header is longer.
const MAX_HEADER: u64 = 512;

/// The file is not as git writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Odd;

/// One ref.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// `id name` and the end of the line.
    pub(super) text: &'a [u8],
    pub(super) name: &'a BStr,
    pub(super) id: &'a [u8],
    pub(super) peeled: Peeled<'a>,
}

impl Line<'_> {
    pub(super) fn id(&self) -> Result<ObjectId> {
        ObjectId::from_hex(self.id).map_err(fault)
    }
}

/// What remains of a ref when tags are followed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Peeled<'a> {
    /// This.
    To(&'a [u8]),
    /// The ref's own target: it is no tag.
    Same,
    /// The file does not say.
    Unknown,
}

/// The refs that a file's header speaks of.
#[derive(Debug, Clone, Copy)]
enum Known {
    All,
    Tags,
    Some,
}

/// A file, or the lack of one.
pub(super) struct Packed {
    buffer: Option<Buffer>,
    /// How many digits an id has.
    digits: usize,
    known: Known,
}

impl Packed {
    pub(super) fn open(git_dir: &Path, hash: Hash) -> Result<Self> {
        let path = git_dir.join("packed-refs");
        let none = Self {
            buffer: None,
            digits: hash.len_in_hex(),
            known: Known::Some,
        };
        let mut header = Vec::new();
        // Before the rest: a newer file may say more than this header, never less.
        match File::open(&path).and_then(|file| file.take(MAX_HEADER).read_to_end(&mut header)) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(none),
            Err(e) => return Err(Error::internal(e)),
        }
        let header = header.lines().next().unwrap_or_default();
        let traits = header
            .strip_prefix(b"# pack-refs with:")
            .unwrap_or_default();
        let has = |wanted: &[u8]| traits.fields().any(|word| word == wanted);
        match Buffer::open(path, MAX_READ, hash) {
            Ok(buffer) => Ok(Self {
                buffer: Some(buffer),
                known: match () {
                    () if has(b"fully-peeled") => Known::All,
                    () if has(b"peeled") => Known::Tags,
                    () => Known::Some,
                },
                ..none
            }),
            Err(e) if e.is_not_found() => Ok(none),
            Err(e) => Err(fault(e)),
        }
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Its lines, by name.
    fn bytes(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], AsRef::as_ref)
    }

    /// Where the first ref is whose name is not before this one.
    pub(super) fn seek(&self, name: &[u8]) -> Result<usize, Odd> {
        let bytes = self.bytes();
        let Range { mut start, mut end } = 0..bytes.len();
        while start < end {
            let middle = start + (end - start) / 2;
            // Back to where that line begins; then over a line that belongs to the one before it.
            let mut at = bytes[..middle].rfind_byte(b'\n').map_or(0, |n| n + 1);
            if bytes.get(at) == Some(&b'^') {
                at = bytes[..at.saturating_sub(1)]
                    .rfind_byte(b'\n')
                    .map_or(0, |n| n + 1);
            }
            let (line, next) = self.line(at.max(start))?.ok_or(Odd)?;
            if line.name < name.as_bstr() {
                start = next;
            } else {
                end = at.max(start);
            }
        }
        Ok(start)
    }

    /// The ref at a place, and the place of the next one; `None` at the end.
    pub(super) fn line(&self, at: usize) -> Result<Option<(Line<'_>, usize)>, Odd> {
        let rest = self.bytes().get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let end = rest.find_byte(b'\n').ok_or(Odd)?;
        let (text, rest) = rest.split_at(end + 1);
        let (id, name) = text[..end].split_at_checked(self.digits).ok_or(Odd)?;
        if !is_hex(id) {
            return Err(Odd);
        }
        let name = name.strip_prefix(b" ").ok_or(Odd)?.as_bstr();
        let mut next = at + text.len();
        let peeled = match rest.strip_prefix(b"^") {
            Some(rest) => {
                let (id, rest) = rest.split_at_checked(self.digits).ok_or(Odd)?;
                if !rest.starts_with(b"\n") || !is_hex(id) {
                    return Err(Odd);
                }
                next += 1 + self.digits + 1;
                Peeled::To(id)
            }
            None => match self.known {
                Known::All => Peeled::Same,
                Known::Tags if name.starts_with(b"refs/tags/") => Peeled::Same,
                Known::Tags | Known::Some => Peeled::Unknown,
            },
        };
        let line = Line {
            text,
            name,
            id,
            peeled,
        };
        Ok(Some((line, next)))
    }

    /// The id that a name has here.
    pub(super) fn find(&self, name: &BStr) -> Result<Option<(ObjectId, Option<ObjectId>)>> {
        let odd = |Odd| Error::internal("packed-refs is damaged");
        if !is_name(name) {
            return Ok(None);
        }
        let at = self.seek(name).map_err(odd)?;
        let Some((line, _)) = self.line(at).map_err(odd)? else {
            return Ok(None);
        };
        if line.name != name {
            return Ok(None);
        }
        let id = line.id()?;
        let peeled = match line.peeled {
            Peeled::To(peeled) => Some(ObjectId::from_hex(peeled).map_err(fault)?),
            Peeled::Same | Peeled::Unknown => None,
        };
        Ok(Some((id, peeled)))
    }
}

/// Whether git wrote these digits.
fn is_hex(digits: &[u8]) -> bool {
    // Without a way out in the middle, it is done for many digits at once.
    digits.iter().fold(true, |is_hex, digit| {
        is_hex & matches!(digit, b'0'..=b'9' | b'a'..=b'f')
    })
}
