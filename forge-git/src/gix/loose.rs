//! Loose refs: the files below `refs/`, and `HEAD`, read as git reads them.
//!
//! Invariant: no name leads out of the repository: names that are read were checked, or come from a directory's listing.
//! Symbolic links are no refs. Where a ref leads is not known here.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use ::gix::ObjectId;
use ::gix::hash::Kind as Hash;
use bstr::{BStr, BString, ByteSlice as _, ByteVec as _};
use forge_core::{Error, RefName, Result};

use super::refs::Value;

/// A loose ref is a line.
const MAX_LOOSE: u64 = 8 << 10;

/// Whether a ref may have this name: as [`RefName`], or one word in capitals or not (`HEAD`, `ORIG_HEAD`).
pub(super) fn is_name(name: &BStr) -> bool {
    let below = || BString::from([b"refs/", &**name].concat());
    name != "@" && (RefName::new(name.to_owned()).is_ok() || RefName::new(below()).is_ok())
}

/// Reads the ref of this name; `None` if there is no such file.
pub(super) fn read(git_dir: &Path, hash: Hash, name: &BStr) -> Result<Option<Value>> {
    match name.to_path() {
        Ok(path) if is_name(name) => read_file(&git_dir.join(path), hash),
        _ => Ok(None),
    }
}

/// Reads every ref below `refs/` whose name is wanted, in no order. `below` says whether one may be in a directory, whose
/// name ends with a slash.
pub(super) fn walk(
    git_dir: &Path,
    hash: Hash,
    below: &impl Fn(&BStr) -> bool,
    is_wanted: &impl Fn(&BStr) -> bool,
) -> Result<Vec<(BString, Value)>> {
    let mut found = Vec::new();
    let mut left = vec![BString::from("refs/")];
    while let Some(directory) = left.pop() {
        let path = git_dir.join(directory.to_path().map_err(Error::internal)?);
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            // Git removes empty directories whenever it likes.
            Err(e) if is_absence(&e) => continue,
            Err(e) => return Err(Error::internal(e)),
        };
        for entry in entries {
            let entry = entry.map_err(Error::internal)?;
            let file_name = entry.file_name();
            let Some(last) = <[u8]>::from_os_str(&file_name) else {
                continue;
            };
            if last.starts_with(b".") || last.ends_with(b".lock") {
                continue;
            }
            let mut name = directory.clone();
            name.push_str(last);
            let kind = entry.file_type().map_err(Error::internal)?;
            if kind.is_dir() {
                name.push(b'/');
                if below(name.as_bstr()) {
                    left.push(name);
                }
            } else if kind.is_file() && is_wanted(name.as_bstr()) {
                let value = if is_name(name.as_bstr()) {
                    read_file(&entry.path(), hash)?
                } else {
                    Some(Value::Broken)
                };
                found.extend(value.map(|value| (name, value)));
            }
        }
    }
    Ok(found)
}

fn read_file(path: &Path, hash: Hash) -> Result<Option<Value>> {
    let mut content = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_LOOSE).read_to_end(&mut content)) {
        Ok(_) => Ok(Some(parse(&content, hash))),
        Err(e) if is_absence(&e) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(Some(Value::Broken)),
        Err(e) => Err(Error::internal(e)),
    }
}

/// `ref:` and a name, or an id and, after a blank, whatever. An id of another length is as good as none.
fn parse(content: &[u8], hash: Hash) -> Value {
    let line = content.trim_ascii_end();
    if let Some(name) = line.strip_prefix(b"ref:") {
        return Value::Symbolic(name.trim_ascii_start().into());
    }
    let Some((id, rest)) = line.split_at_checked(hash.len_in_hex()) else {
        return Value::Broken;
    };
    match ObjectId::from_hex(id) {
        Ok(id) if rest.first().is_none_or(u8::is_ascii_whitespace) => Value::Id(id),
        _ => Value::Broken,
    }
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
