//! Trees: `mode name\0id`, one after the other.
//!
//! Invariant: modes are git's canonical ones, as `git ls-tree` prints them. Order and names are taken as they are.

use bstr::{BStr, ByteSlice as _};
use forge_core::Result;
use forge_core::objects::{Entry, Oid, Tree};

use super::damaged;

/// Decodes a tree, whose ids are as long as its own.
pub(crate) fn tree(id: Oid, data: &[u8]) -> Result<Tree> {
    let entries = entries(id, data).map(|entry| {
        let (mode, name, id) = entry?;
        let name = name.into();
        Ok(Entry { name, id, mode })
    });
    Ok(Tree {
        id,
        entries: entries.collect::<Result<_>>()?,
    })
}

/// The mode and id of the entry of that name; `id` is the tree's.
pub(crate) fn find_entry(id: Oid, data: &[u8], name: &BStr) -> Result<Option<(u32, Oid)>> {
    for entry in entries(id, data) {
        let (mode, found, id) = entry?;
        if found == name {
            return Ok(Some((mode, id)));
        }
    }
    Ok(None)
}

fn entries(tree: Oid, mut data: &[u8]) -> impl Iterator<Item = Result<(u32, &BStr, Oid)>> {
    let id_len = tree.as_bytes().len();
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        let entry = split_entry(data, id_len);
        // After a fault there is no telling where the next one starts.
        data = entry.as_ref().map_or(b"", |(_, _, _, rest)| rest);
        let entry = entry.map(|(mode, name, id, _)| (mode, name, id));
        Some(entry.ok_or_else(|| damaged("a tree with a broken entry")))
    })
}

fn split_entry(data: &[u8], id_len: usize) -> Option<(u32, &BStr, Oid, &[u8])> {
    let (mode, rest) = data.split_once_str(" ")?;
    let (name, rest) = rest.split_once_str("\0")?;
    let (id, rest) = rest.split_at_checked(id_len)?;
    let mode = u32::from_str_radix(str::from_utf8(mode).ok()?, 8).ok()?;
    Some((canonical(mode), name.as_bstr(), Oid::from_bytes(id)?, rest))
}

/// Old trees hold group permissions and the like.
fn canonical(mode: u32) -> u32 {
    match mode & 0o170_000 {
        0o100_000 if mode & 0o100 != 0 => 0o100_755,
        0o100_000 => 0o100_644,
        0o120_000 => 0o120_000,
        0o040_000 => 0o040_000,
        _ => 0o160_000,
    }
}

#[cfg(test)]
mod tests {
    use forge_core::objects::EntryKind;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_keep_their_order_and_bytes_but_not_odd_modes() {
        for id in [&[7; 20][..], &[7; 32]] {
            keeps_order_and_bytes(id);
        }
    }

    fn keeps_order_and_bytes(id: &[u8]) {
        let mut data = Vec::new();
        for (mode, name) in [
            ("100664", &b"z\xff"[..]),
            ("40000", b"a b"),
            ("160000", b"s"),
            ("100775", b"x"),
            ("0120000", b"l"),
        ] {
            data.extend([mode.as_bytes(), b" ", name, b"\0", id].concat());
        }
        let id = Oid::from_bytes(id).expect("an id");
        let tree = tree(id, &data).expect("a tree");
        let modes: Vec<_> = tree.entries.iter().map(|e| e.mode).collect();
        assert_eq!(
            modes,
            [0o100_644, 0o040_000, 0o160_000, 0o100_755, 0o120_000]
        );
        assert_eq!(tree.entries[0].name, b"z\xff".as_slice());
        assert_eq!(tree.entries[2].kind(), EntryKind::Commit);
        let found = find_entry(id, &data, b"s".as_bstr()).expect("readable");
        assert_eq!(found, Some((0o160_000, id)));
        assert_eq!(
            find_entry(id, &data, b"t".as_bstr()).expect("readable"),
            None
        );
        assert!(super::tree(id, &data[..data.len() - 1]).is_err());
    }

    proptest! {
        #[test]
        fn no_tree_is_too_odd(data in prop::collection::vec(any::<u8>(), 0..200)) {
            for id in [&[0; 20][..], &[0; 32]] {
                let _ = tree(Oid::from_bytes(id).expect("an id"), &data);
            }
        }
    }
}
