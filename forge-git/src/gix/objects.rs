//! Objects by id: whether they exist, what they are, what they hold.
//!
//! Invariant: a missing object is `None`, a damaged one an error, and no object larger than the limit is decoded.
//! Nothing is kept.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use ::gix::ObjectId;
use ::gix::objs::{Exists as _, Find as _};
use ::gix::odb::Header as _;
use ::gix::odb::store::prefix::disambiguate::Candidate;
use bytes::Bytes;
use forge_core::objects::{Commit, Kind, Lookup, Object, Oid, OidPrefix};
use forge_core::{Error, Result};

use super::{Handle, Reader, fault, kind, oid};
use crate::decode;

/// The largest tree that is decoded, in bytes.
const MAX_TREE: u64 = 64 << 20;
/// The largest commit or tag that is decoded, in bytes: they come many at once.
const MAX_COMMIT: u64 = 8 << 20;
/// The largest object whose content is read in process, in bytes.
const MAX_CONTENT: u64 = 8 << 20;
/// How many tags may name each other, and how many bytes they may have together.
const MAX_TAGS: u32 = 1024;
const MAX_TAGS_BYTES: u64 = 64 << 20;
/// The fewest digits of a shortened id.
const MIN_DIGITS: usize = 7;
/// Directories that changed so recently may have changed again without looking different.
const SETTLING: Duration = Duration::from_secs(2);

/// Where an object's content comes from.
pub(super) enum Content {
    /// From memory.
    Whole(Kind, Bytes),
    /// From a child, which is to read so many bytes.
    Large(Kind, u64),
}

/// Refuses what is too large to be decoded.
pub(super) fn check_size(kind: Kind, size: u64) -> Result<()> {
    let limit = match kind {
        Kind::Tree => MAX_TREE,
        _ => MAX_COMMIT,
    };
    if size > limit {
        return Err(Error::Limit { what: "object" });
    }
    Ok(())
}

/// How much may still be read.
#[derive(Debug)]
pub(super) struct Budget {
    objects: u32,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(objects: u32, bytes: u64) -> Self {
        Self { objects, bytes }
    }

    /// Takes an object of so many bytes off it; whether it was enough. Once it was not, it never is again.
    pub(super) fn take(&mut self, bytes: u64) -> bool {
        let left = (self.objects.checked_sub(1)).zip(self.bytes.checked_sub(bytes));
        (self.objects, self.bytes) = left.unwrap_or_default();
        left.is_some()
    }
}

impl Reader<'_> {
    pub(super) fn exists(&self, id: &ObjectId) -> Result<bool> {
        // The quick answer takes a fault for an absence.
        Ok(self.objects.exists(id) || self.header(id)?.is_some())
    }

    /// Kind and size.
    pub(super) fn header(&self, id: &ObjectId) -> Result<Option<(Kind, u64)>> {
        let header = self.objects.try_header(id).map_err(fault)?;
        Ok(header.map(|h| (kind(h.kind()), h.size())))
    }

    /// Reads the object into the buffer.
    pub(super) fn read(&self, id: &ObjectId, buffer: &mut Vec<u8>) -> Result<Option<Kind>> {
        let found = self.objects.try_find(id, buffer).map_err(fault)?;
        let (kind, len) = match found {
            None => return Ok(None),
            Some(data) => (kind(data.kind), data.data.len()),
        };
        buffer.truncate(len);
        Ok(Some(kind))
    }

    pub(super) fn object(&self, id: Oid, buffer: &mut Vec<u8>) -> Result<Option<Object>> {
        let Some(object) = self.id(id) else {
            return Ok(None);
        };
        match self.header(&object)? {
            None => return Ok(None),
            Some((Kind::Blob, size)) => return Ok(Some(Object::Blob(size))),
            Some((kind, size)) => check_size(kind, size)?,
        }
        Ok(match self.read(&object, buffer)? {
            None => None,
            Some(Kind::Commit) => Some(Object::Commit(decode::commit(id, buffer)?.into())),
            Some(Kind::Tree) => Some(Object::Tree(decode::tree(id, buffer)?.into())),
            Some(Kind::Tag) => Some(Object::Tag(decode::tag(id, buffer)?.into())),
            Some(Kind::Blob) => Some(Object::Blob(buffer.len() as u64)),
        })
    }

    /// A commit that must be there.
    pub(super) fn commit(&self, id: &ObjectId, buffer: &mut Vec<u8>) -> Result<Commit> {
        match self.read(id, buffer)? {
            Some(Kind::Commit) => {
                // Afterwards: to ask for the size first is a second search for each commit, and one buffer serves all.
                check_size(Kind::Commit, buffer.len() as u64)?;
                decode::commit(oid(id)?, buffer)
            }
            _ => Err(Error::internal(format!("no commit {id}"))),
        }
    }

    /// Follows tags to what they mean; `None` if that is missing or too far away.
    pub(super) fn peel(&self, id: ObjectId) -> Result<Option<(ObjectId, Kind)>> {
        self.peel_within(id, &mut Budget::new(MAX_TAGS, MAX_TAGS_BYTES))
    }

    /// Follows tags as far as the budget and the limits allow.
    pub(super) fn peel_within(
        &self,
        mut id: ObjectId,
        budget: &mut Budget,
    ) -> Result<Option<(ObjectId, Kind)>> {
        let mut buffer = Vec::new();
        for _ in 0..=MAX_TAGS {
            let size = match self.header(&id)? {
                None => return Ok(None),
                Some((Kind::Tag, size)) => size,
                Some((kind, _)) => return Ok(Some((id, kind))),
            };
            if size > MAX_COMMIT || !budget.take(size) || self.read(&id, &mut buffer)?.is_none() {
                return Ok(None);
            }
            let target = self.id(decode::target(&buffer)?);
            id = target.ok_or_else(|| Error::internal("a tag of another hash's id"))?;
        }
        Ok(None)
    }

    pub(super) fn content(&self, id: &ObjectId) -> Result<Option<Content>> {
        let Some((kind, size)) = self.header(id)? else {
            return Ok(None);
        };
        if size > MAX_CONTENT {
            return Ok(Some(Content::Large(kind, size)));
        }
        let mut data = Vec::new();
        match self.read(id, &mut data) {
            // Cut to size: what was needed to decode it may be much larger, and the content may be kept for long.
            Ok(found) => Ok(found.map(|kind| Content::Whole(kind, data.into_boxed_slice().into()))),
            // A small object may be a difference from one that is too large for our memory.
            Err(_) => Ok(Some(Content::Large(kind, size))),
        }
    }

    pub(super) fn lookup(&self, prefix: &OidPrefix) -> Result<Lookup> {
        let Some(prefix) = self.prefix(prefix.as_str()) else {
            return Ok(Lookup::None);
        };
        let found = self.objects.lookup_prefix(prefix, None).map_err(fault)?;
        Ok(match found {
            None => Lookup::None,
            Some(Ok(id)) => Lookup::One(oid(&id)?),
            Some(Err(())) => Lookup::Ambiguous,
        })
    }

    /// Leaves every index loaded and looks for no more: good for the rest of this call only.
    pub(super) fn short_lengths(mut self, ids: &[Oid]) -> Result<Vec<usize>> {
        let mut lengths = Vec::with_capacity(ids.len());
        for id in ids {
            let candidate = self
                .id(*id)
                .and_then(|id| Candidate::new(id, MIN_DIGITS).ok());
            let prefix = match candidate {
                Some(candidate) => self.objects.disambiguate_prefix(candidate).map_err(fault)?,
                None => None,
            };
            lengths.push(prefix.map_or(MIN_DIGITS, |p| p.hex_len()));
            self.objects.refresh_never();
        }
        Ok(lengths)
    }
}

impl Handle {
    /// Changes with every directory that objects can be added to.
    #[expect(
        clippy::disallowed_methods,
        reason = "asks how old a time of the file system is, which no other clock knows"
    )]
    pub(super) fn objects_version(&self) -> Option<u64> {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};

        let objects = self.repo.objects_dir();
        if objects.join("info/alternates").exists() {
            return None;
        }
        let mut directories = vec![objects.to_owned(), objects.join("pack")];
        for entry in objects.read_dir().ok()? {
            let entry = entry.ok()?;
            // Loose objects lie in directories named by two digits.
            if entry.file_name().len() == 2 {
                directories.push(entry.path());
            }
        }
        directories.sort_unstable();
        let mut state = DefaultHasher::new();
        let now = SystemTime::now();
        for directory in directories {
            let meta = directory.metadata().ok()?;
            let age = now.duration_since(meta.modified().ok()?).ok()?;
            if age < SETTLING {
                return None;
            }
            (directory, meta.ino(), meta.mtime(), meta.mtime_nsec()).hash(&mut state);
        }
        (self.serial, self.identity).hash(&mut state);
        Some(state.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_that_did_not_suffice_once_never_does() {
        let mut budget = Budget::new(3, 100);
        assert!(budget.take(60) && !budget.take(60) && !budget.take(1));
        let mut budget = Budget::new(2, 100);
        assert!(budget.take(1) && budget.take(1) && !budget.take(1));
    }
}
