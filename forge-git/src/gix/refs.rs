//! Refs, loose and packed.
//!
//! Invariant: each call reads the files anew, loose ones first: `git pack-refs` writes the packed file before it
//! removes loose ones, so in this order no ref is missed. What is broken or dangling is no ref. Nothing is written.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use ::gix::ObjectId;
use ::gix::hash::Kind as Hash;
use ::gix::refs::packed as lines;
use bstr::{BStr, BString, ByteSlice as _};
use forge_core::objects::Ref;
use forge_core::{Error, RefName, Result};

use super::packed::Packed;
use super::{Handle, Reader, fault, loose, oid};

/// How many refs are read to find where one leads; git's number.
const MAX_READS: usize = 5;

/// What a ref's file or line says.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Id(ObjectId),
    /// Packed, together with what remains when tags are followed.
    Peeled(ObjectId, ObjectId),
    Symbolic(BString),
    Broken,
}

/// Where a name leads over symbolic refs.
#[derive(Debug)]
pub(super) enum End {
    /// To an object, by the last name; the object may be missing.
    At(BString, ObjectId),
    /// To a name that no ref has.
    Unborn(BString),
    /// To something broken, or too far away.
    Nowhere,
}

/// The refs of a repository, for the length of one call.
pub(super) struct Refs<'a> {
    git_dir: &'a Path,
    hash: Hash,
    packed: OnceCell<Packed>,
}

impl<'a> Refs<'a> {
    pub(super) fn of(handle: &'a Handle) -> Self {
        Self {
            git_dir: handle.git_dir(),
            hash: handle.hash(),
            packed: OnceCell::new(),
        }
    }

    /// What HEAD names; `None` if that is an object.
    pub(super) fn head(&self) -> Result<Option<RefName>> {
        match loose::read(self.git_dir, self.hash, b"HEAD".as_bstr())? {
            Some(Value::Symbolic(name)) => RefName::new(name).map(Some).map_err(Error::internal),
            Some(Value::Id(_) | Value::Peeled(..)) => Ok(None),
            None | Some(Value::Broken) => Err(Error::internal("HEAD is missing or broken")),
        }
    }

    /// The name and id that a full name leads to over symbolic refs.
    pub(super) fn follow(&self, name: &BStr) -> Result<Option<(BString, ObjectId)>> {
        Ok(match self.resolve(name)? {
            End::At(name, id) if !id.is_null() => Some((name, id)),
            End::At(..) | End::Unborn(_) | End::Nowhere => None,
        })
    }

    /// Where a full name leads over symbolic refs.
    pub(super) fn resolve(&self, name: &BStr) -> Result<End> {
        let mut name = name.to_owned();
        for _ in 0..MAX_READS {
            match self.value(name.as_bstr())? {
                Some(Value::Id(id) | Value::Peeled(id, _)) => return Ok(End::At(name, id)),
                Some(Value::Symbolic(next)) if loose::is_name(next.as_bstr()) => name = next,
                Some(Value::Symbolic(_) | Value::Broken) => return Ok(End::Nowhere),
                None => return Ok(End::Unborn(name)),
            }
        }
        Ok(End::Nowhere)
    }

    fn value(&self, name: &BStr) -> Result<Option<Value>> {
        if let Some(value) = loose::read(self.git_dir, self.hash, name)? {
            return Ok(Some(value));
        }
        let found = self.packed()?.find(name)?;
        Ok(found.map(|(id, peeled)| match peeled {
            Some(peeled) => Value::Peeled(id, peeled),
            None => Value::Id(id),
        }))
    }

    fn packed(&self) -> Result<&Packed> {
        if let Some(packed) = self.packed.get() {
            return Ok(packed);
        }
        let packed = Packed::open(self.git_dir, self.hash)?;
        Ok(self.packed.get_or_init(|| packed))
    }

    /// Every ref below `refs/`, by name.
    fn all(&self) -> Result<BTreeMap<BString, Value>> {
        let loose = loose::walk(self.git_dir, self.hash, &|_| true, &|_| true)?;
        let mut all = BTreeMap::new();
        let path = self.git_dir.join("packed-refs");
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(Error::internal(e)),
        };
        // Then a line without a peeled one after it is no tag.
        let fully_peeled = bytes
            .lines()
            .next()
            .is_some_and(|line| line.starts_with(b"#") && line.contains_str(" fully-peeled"));
        let lines = lines::Iter::new(&bytes, self.hash).map_err(fault)?;
        for line in lines {
            let Ok(line) = line else {
                continue;
            };
            let value = if line.object.is_some() || fully_peeled {
                Value::Peeled(line.target(), line.object())
            } else {
                Value::Id(line.target())
            };
            all.insert(line.name.as_bstr().to_owned(), value);
        }
        all.extend(loose);
        Ok(all)
    }
}

impl Reader<'_> {
    pub(super) fn refs(&self) -> Result<Vec<Ref>> {
        let refs = Refs::of(self.handle);
        let mut found = Vec::new();
        for (name, value) in refs.all()? {
            let Ok(name) = RefName::new(name) else {
                continue;
            };
            found.extend(self.lead(&refs, name, &value)?);
        }
        Ok(found)
    }

    pub(super) fn find_ref(&self, name: &RefName) -> Result<Option<Ref>> {
        let refs = Refs::of(self.handle);
        match refs.value(name.as_bstr())? {
            None => Ok(None),
            Some(value) => self.lead(&refs, name.clone(), &value),
        }
    }

    /// Where a ref leads; `None` if nowhere.
    fn lead(&self, refs: &Refs<'_>, name: RefName, value: &Value) -> Result<Option<Ref>> {
        let (target, symbolic) = match value {
            Value::Broken => return Ok(None),
            Value::Peeled(target, peeled) => {
                return Ok(if self.exists(target)? {
                    Some(Ref {
                        name,
                        target: oid(target)?,
                        peeled: oid(peeled)?,
                        symbolic: None,
                    })
                } else {
                    None
                });
            }
            Value::Id(target) => (*target, None),
            Value::Symbolic(_) => match refs.follow(name.as_bstr())? {
                None => return Ok(None),
                Some((end, target)) => match RefName::new(end) {
                    Ok(end) => (target, Some(end)),
                    Err(_) => return Ok(None),
                },
            },
        };
        let peeled = match self.peel(target) {
            Ok(Some((peeled, _))) => peeled,
            // A tag whose target is missing or too far away is still there itself.
            Ok(None) if self.exists(&target)? => target,
            Ok(None) => return Ok(None),
            // So is what is damaged, and it is not to hide all the others.
            Err(error) if !self.last_try => return Err(error),
            Err(error) => {
                tracing::warn!(?name, ?error, "a ref cannot be followed to its end");
                target
            }
        };
        Ok(Some(Ref {
            name,
            target: oid(&target)?,
            peeled: oid(&peeled)?,
            symbolic,
        }))
    }
}
