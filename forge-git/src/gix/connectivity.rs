//! Whether everything that new tips reach is there, where that is plain to see.
//!
//! Invariant: `true` is a proof, step by step along a history: a new commit's parents are new ones or what a ref names,
//! and whatever of its tree has not come with it stands in a parent's, in the same place. What refs name is taken for
//! complete, as git does. `false` says nothing; git is to be asked, who follows all refs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;

use ::gix::ObjectId;
use ::gix::hash::Kind as Hash;
use ::gix::objs::Find as _;
use ::gix::odb::pack::index::File as Index;
use ::gix::odb::store::init::Options;
use bstr::BString;
use forge_core::objects::{EntryKind, Kind, Oid, Tree};
use forge_core::{Error, Result};

use super::objects::Budget;
use super::{fault, kind, oid};
use crate::decode;
use crate::format::Format;

/// What is read at most; with more, git is as fast.
const MAX_OBJECTS: u32 = 4_000;
const MAX_BYTES: u64 = 16 << 20;
/// How many directories may lie in each other; each takes some of the stack.
const MAX_DEPTH: usize = 256;
/// The most memory that decoding one object may take.
const MAX_ALLOC: usize = 32 << 20;

/// Whether all that `tips` reach is there: in the packs below `objects`, or reached by `known`, which refs name.
/// `beside` is the repository's directory of objects.
pub(crate) fn is_plain(
    objects: &Path,
    beside: &Path,
    format: Format,
    tips: &[Oid],
    known: &[Oid],
) -> Result<bool> {
    let hash = match format {
        Format::Sha1 => Hash::Sha1,
        Format::Sha256 => Hash::Sha256,
    };
    let mut proof = Proof {
        news: store(objects, hash)?,
        old: store(beside, hash)?,
        new: new(objects, hash)?,
        budget: Budget::new(MAX_OBJECTS, MAX_BYTES),
        proved: HashSet::new(),
    };
    let mut left = tips.to_vec();
    while let Some(id) = left.pop() {
        if known.contains(&id) || proof.proved.contains(&id) {
            continue;
        }
        let next = match proof.read_new(id)? {
            Some((Kind::Commit, data)) => proof.commit(id, &data)?,
            Some((Kind::Tag, data)) => Some(vec![decode::target(&data)?]),
            Some((Kind::Tree, _)) => proof.tree(id, &BTreeSet::new(), MAX_DEPTH)?.then(Vec::new),
            Some((Kind::Blob, _)) => Some(Vec::new()),
            None => None,
        };
        let Some(next) = next else {
            return Ok(false);
        };
        proof.proved.insert(id);
        left.extend(next);
    }
    Ok(true)
}

fn store(objects: &Path, hash: Hash) -> Result<::gix::odb::Handle> {
    let options = Options {
        alloc_limit_bytes: Some(MAX_ALLOC),
        ..Options::default()
    };
    let mut store = ::gix::odb::at_opts(objects, hash, [], options).map_err(Error::internal)?;
    // What is not there now does not come.
    store.refresh_never();
    Ok(store)
}

/// What has come.
fn new(objects: &Path, hash: Hash) -> Result<HashSet<Oid>> {
    let mut new = HashSet::new();
    for entry in fs::read_dir(objects.join("pack")).map_err(Error::internal)? {
        let path = entry.map_err(Error::internal)?.path();
        if path.extension().is_some_and(|ending| ending == "idx") {
            let index = Index::at(&path, hash).map_err(fault)?;
            for entry in index.iter() {
                new.insert(oid(&entry.oid)?);
            }
        }
    }
    Ok(new)
}

struct Proof {
    /// What has come.
    news: ::gix::odb::Handle,
    /// What was there, and whatever else its alternates hold.
    old: ::gix::odb::Handle,
    new: HashSet<Oid>,
    budget: Budget,
    proved: HashSet<Oid>,
}

/// What stands where in a tree: a name is a directory's or another's.
type Places = HashMap<(BString, bool), (Oid, EntryKind)>;

impl Proof {
    /// `None` if it is not there, or too much was read.
    fn read(&mut self, id: Oid) -> Result<Option<(Kind, Vec<u8>)>> {
        let object = ObjectId::try_from(id.as_bytes()).map_err(fault)?;
        let store = if self.new.contains(&id) {
            &self.news
        } else {
            &self.old
        };
        let mut buffer = Vec::new();
        let found = store.try_find(&object, &mut buffer).map_err(fault)?;
        let Some((kind, len)) = found.map(|data| (kind(data.kind), data.data.len())) else {
            return Ok(None);
        };
        buffer.truncate(len);
        Ok(self.budget.take(len as u64).then_some((kind, buffer)))
    }

    fn read_new(&mut self, id: Oid) -> Result<Option<(Kind, Vec<u8>)>> {
        if self.new.contains(&id) {
            return self.read(id);
        }
        Ok(None)
    }

    /// The parents, which are still to be proved; `None` if its tree is not.
    fn commit(&mut self, id: Oid, data: &[u8]) -> Result<Option<Vec<Oid>>> {
        let commit = decode::commit(id, data)?;
        let mut beside = BTreeSet::new();
        for parent in &commit.parents {
            let Some((Kind::Commit, data)) = self.read(*parent)? else {
                return Ok(None);
            };
            beside.insert(decode::commit(*parent, &data)?.tree);
        }
        let is_there = self.tree(commit.tree, &beside, MAX_DEPTH)?;
        Ok(is_there.then_some(commit.parents))
    }

    /// Whether a tree and all below it is there, given that `beside` is, which stands in its place in the parents; not below
    /// so many directories.
    fn tree(&mut self, id: Oid, beside: &BTreeSet<Oid>, depth: usize) -> Result<bool> {
        if beside.contains(&id) || self.proved.contains(&id) {
            return Ok(true);
        }
        let Some(depth) = depth.checked_sub(1) else {
            return Ok(false);
        };
        let Some((Kind::Tree, data)) = self.read_new(id)? else {
            return Ok(false);
        };
        let tree = decode::tree(id, &data)?;
        let mut old = Vec::new();
        for id in beside {
            let Some((Kind::Tree, data)) = self.read(*id)? else {
                return Ok(false);
            };
            old.push(places(decode::tree(*id, &data)?));
        }
        for entry in tree.entries {
            let kind = entry.kind();
            let place = (entry.name, kind == EntryKind::Tree);
            let mut like = old.iter().filter_map(|places| places.get(&place));
            let is_there = match kind {
                EntryKind::Commit => true,
                EntryKind::Tree => {
                    let beside = like.map(|(id, _)| *id).collect();
                    self.tree(entry.id, &beside, depth)?
                }
                EntryKind::Blob => {
                    self.new.contains(&entry.id) || like.any(|old| *old == (entry.id, kind))
                }
            };
            if !is_there {
                return Ok(false);
            }
        }
        self.proved.insert(id);
        Ok(true)
    }
}

/// Of a name that is there twice, the first counts.
fn places(tree: Tree) -> Places {
    let mut places = Places::new();
    for entry in tree.entries {
        let kind = entry.kind();
        let place = places.entry((entry.name, kind == EntryKind::Tree));
        place.or_insert((entry.id, kind));
    }
    places
}

#[cfg(test)]
mod tests;
