//! Refs, loose and packed.
//!
//! Invariant: each call reads the files anew, loose ones first: `git pack-refs` writes the packed file before it
//! removes loose ones, so in this order no ref is missed. What is broken or dangling is no ref. Nothing is written.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use ::gix::ObjectId;
use ::gix::hash::Kind as Hash;
use ::gix::refs::{FullName, PartialName, file, packed};
use bstr::{BStr, BString, ByteSlice as _};
use forge_core::objects::Ref;
use forge_core::{Error, RefName, Result};

use super::{Reader, fault, oid};

/// How many symbolic refs may name each other; git's number.
const MAX_HOPS: usize = 5;
/// A loose ref is a line.
const MAX_LOOSE: u64 = 8 << 10;
/// Files above this are mapped into memory, in bytes.
const MAX_READ: u64 = 32 << 10;

/// What a ref's file or line says.
#[derive(Debug, Clone)]
enum Value {
    Id(ObjectId),
    /// Packed, together with what remains when tags are followed.
    Peeled(ObjectId, ObjectId),
    Symbolic(BString),
    Broken,
}

/// The refs of a repository, for the length of one call.
pub(super) struct Refs<'a> {
    git_dir: &'a Path,
    packed: OnceCell<Option<packed::Buffer>>,
}

impl<'a> Refs<'a> {
    pub(super) fn of(git_dir: &'a Path) -> Self {
        Self {
            git_dir,
            packed: OnceCell::new(),
        }
    }

    /// What HEAD names; `None` if that is an object.
    pub(super) fn head(&self) -> Result<Option<RefName>> {
        match self.loose(b"HEAD".as_bstr())? {
            Some(Value::Symbolic(name)) => RefName::new(name).map(Some).map_err(Error::internal),
            Some(Value::Id(_) | Value::Peeled(..)) => Ok(None),
            None | Some(Value::Broken) => Err(Error::internal("HEAD is missing or broken")),
        }
    }

    /// The name and id that a full name leads to over symbolic refs.
    pub(super) fn follow(&self, name: &BStr) -> Result<Option<(BString, ObjectId)>> {
        let mut name = name.to_owned();
        for _ in 0..=MAX_HOPS {
            match self.value(name.as_bstr())? {
                Some(Value::Id(id) | Value::Peeled(id, _)) => return Ok(Some((name, id))),
                Some(Value::Symbolic(next)) => name = next,
                None | Some(Value::Broken) => return Ok(None),
            }
        }
        Ok(None)
    }

    fn value(&self, name: &BStr) -> Result<Option<Value>> {
        if let Some(value) = self.loose(name)? {
            return Ok(Some(value));
        }
        let Some(packed) = self.packed()? else {
            return Ok(None);
        };
        let Ok(partial) = PartialName::try_from(name.to_owned()) else {
            return Ok(None);
        };
        let found = packed.try_find(partial.as_ref()).map_err(fault)?;
        // It also tries what a short name may stand for.
        Ok(found
            .filter(|found| found.name.as_bstr() == name)
            .map(|found| match found.object {
                Some(_) => Value::Peeled(found.target(), found.object()),
                None => Value::Id(found.target()),
            }))
    }

    fn packed(&self) -> Result<Option<&packed::Buffer>> {
        if let Some(packed) = self.packed.get() {
            return Ok(packed.as_ref());
        }
        let path = self.git_dir.join("packed-refs");
        let packed = match packed::Buffer::open(path, MAX_READ, Hash::Sha1) {
            Ok(packed) => Some(packed),
            Err(e) if e.is_not_found() => None,
            Err(e) => return Err(fault(e)),
        };
        Ok(self.packed.get_or_init(|| packed).as_ref())
    }

    fn loose(&self, name: &BStr) -> Result<Option<Value>> {
        let Ok(path) = name.to_path() else {
            return Ok(None);
        };
        read_loose(&self.git_dir.join(path), name)
    }

    /// Every ref below `refs/`, by name.
    fn all(&self) -> Result<BTreeMap<BString, Value>> {
        let mut loose = Vec::new();
        walk_loose(self.git_dir, b"refs".as_bstr(), &mut loose)?;
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
        let lines = packed::Iter::new(&bytes, Hash::Sha1).map_err(fault)?;
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
        let refs = Refs::of(self.git_dir());
        let mut found = Vec::new();
        for (name, value) in refs.all()? {
            let Ok(name) = RefName::new(name) else {
                continue;
            };
            found.extend(self.lead(&refs, name, value)?);
        }
        Ok(found)
    }

    pub(super) fn find_ref(&self, name: &RefName) -> Result<Option<Ref>> {
        let refs = Refs::of(self.git_dir());
        match refs.value(name.as_bstr())? {
            None => Ok(None),
            Some(value) => self.lead(&refs, name.clone(), value),
        }
    }

    /// Where a ref leads; `None` if nowhere.
    fn lead(&self, refs: &Refs<'_>, name: RefName, value: Value) -> Result<Option<Ref>> {
        let (target, symbolic) = match value {
            Value::Broken => return Ok(None),
            Value::Peeled(target, peeled) => {
                return Ok(if self.exists(&target)? {
                    Some(Ref {
                        name,
                        target: oid(&target)?,
                        peeled: oid(&peeled)?,
                        symbolic: None,
                    })
                } else {
                    None
                });
            }
            Value::Id(target) => (target, None),
            Value::Symbolic(next) => match refs.follow(next.as_bstr())? {
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

/// Reads every file below a directory of loose refs.
fn walk_loose(git_dir: &Path, name: &BStr, found: &mut Vec<(BString, Value)>) -> Result<()> {
    let directory = git_dir.join(name.to_path().map_err(Error::internal)?);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        // Git removes empty directories whenever it likes.
        Err(e) if is_absence(&e) => return Ok(()),
        Err(e) => return Err(Error::internal(e)),
    };
    for entry in entries {
        let entry = entry.map_err(Error::internal)?;
        let Some(last) = <[u8]>::from_os_str(&entry.file_name()).map(ToOwned::to_owned) else {
            continue;
        };
        let name = BString::from([&**name, b"/", &last].concat());
        let kind = entry.file_type().map_err(Error::internal)?;
        if kind.is_dir() {
            walk_loose(git_dir, name.as_bstr(), found)?;
        } else if kind.is_file()
            && RefName::new(name.clone()).is_ok()
            && let Some(value) = read_loose(&entry.path(), name.as_bstr())?
        {
            found.push((name, value));
        }
    }
    Ok(())
}

fn read_loose(path: &Path, name: &BStr) -> Result<Option<Value>> {
    let mut content = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_LOOSE).read_to_end(&mut content)) {
        Ok(_) => {}
        Err(e) if is_absence(&e) => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Ok(Some(Value::Broken)),
        Err(e) => return Err(Error::internal(e)),
    }
    let Ok(name) = FullName::try_from(name) else {
        return Ok(None);
    };
    let value = match file::loose::Reference::try_from_path(name, &content, Hash::Sha1) {
        Err(_) => Value::Broken,
        Ok(found) => match found.target {
            ::gix::refs::Target::Object(id) => Value::Id(id),
            ::gix::refs::Target::Symbolic(name) => Value::Symbolic(name.into_inner()),
        },
    };
    Ok(Some(value))
}

/// Whether it means that no ref has that name.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
    )
}
