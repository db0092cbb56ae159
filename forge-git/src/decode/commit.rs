//! Commits, whole, and as much of one as a walk needs.
//!
//! Invariant: only a commit without a tree or with a broken parent is an error; missing people are nobody at the
//! epoch.

use std::str;

use bstr::ByteSlice as _;
use forge_core::Result;
use forge_core::objects::{Commit, Oid, Signature};

use super::{damaged, header, person, text};

/// A commit as a history knows it: its parents, and the time it is sorted by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) parents: Vec<Oid>,
    /// Seconds since the epoch, see [`committer_time`].
    pub(crate) time: u64,
}

/// Decodes a commit.
pub(crate) fn commit(id: Oid, data: &[u8]) -> Result<Commit> {
    let (headers, message) = header::split(data);
    let encoding = header::value(headers, "encoding");
    let person = |name| person::person(header::value(headers, name).unwrap_or_default(), encoding);
    // That of the same commit in the other format, if there is one, signs other bytes than these.
    let signature = match id.as_bytes().len() {
        32 => header::signature(data, "gpgsig-sha256"),
        _ => header::signature(data, "gpgsig"),
    };
    Ok(Commit {
        id,
        author: person("author"),
        committer: person("committer"),
        message: text(message, encoding),
        tree: header::value(headers, "tree")
            .and_then(oid)
            .ok_or_else(|| damaged("a commit without a tree"))?,
        parents: parents(headers).collect::<Result<_>>()?,
        signature: signature.map(|(signature, data)| Signature { signature, data }),
    })
}

/// Decodes what a walk needs.
pub(crate) fn links(data: &[u8]) -> Result<Links> {
    let (headers, _) = header::split(data);
    Ok(Links {
        parents: parents(headers).collect::<Result<_>>()?,
        time: committer_time(headers),
    })
}

/// Git takes the parents that follow the tree and no others.
fn parents(headers: &[u8]) -> impl Iterator<Item = Result<Oid>> {
    header::lines(headers)
        .skip_while(|(name, _)| *name == b"tree")
        .take_while(|(name, _)| *name == b"parent")
        .map(|(_, id)| oid(id).ok_or_else(|| damaged("a commit with a broken parent")))
}

fn oid(hex: &[u8]) -> Option<Oid> {
    str::from_utf8(hex).ok()?.parse().ok()
}

/// The time git sorts by: the committer's, 0 if it cannot be read, cut to the 34 bits that a commit-graph holds.
///
/// Git cuts only what it reads from a commit-graph, so that a history with absurd dates changes its order when one is
/// written; here it does not.
fn committer_time(headers: &[u8]) -> u64 {
    let mut lines =
        header::lines(headers).skip_while(|(name, _)| matches!(*name, b"tree" | b"parent"));
    let (Some((b"author", _)), Some((b"committer", line))) = (lines.next(), lines.next()) else {
        return 0;
    };
    let date = line.rsplit_once_str(">").map_or(b"".as_slice(), |(_, d)| d);
    let date = date.trim_start();
    let (negative, digits) = match date.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, date),
    };
    let time = digits
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .try_fold(0u64, |n, b| {
            n.checked_mul(10)?.checked_add(u64::from(b - b'0'))
        });
    // As `strtoumax` does: too large is the largest, and a sign wraps around.
    let time = match time {
        None => u64::MAX,
        Some(time) if negative => time.wrapping_neg(),
        Some(time) => time,
    };
    time & 0x3_ffff_ffff
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    fn id() -> Oid {
        ID.parse().expect("an id")
    }

    fn time(committer: &str) -> u64 {
        let data = format!("tree {ID}\nauthor A <a> 1 +0\ncommitter {committer}\n\nm");
        links(data.as_bytes()).expect("links").time
    }

    #[test]
    fn a_commit_has_all_its_parts() {
        let data = format!(
            "tree {ID}\nparent {ID}\nparent {ID}\nauthor A <a@b> 5 +0100\ncommitter C <c@d> 6 -0100\n\
             gpgsig S1\n S2\nx-other y\n\nsubject\n\nbody\n"
        );
        let commit = commit(id(), data.as_bytes()).expect("a commit");
        assert_eq!(commit.parents, [id(), id()]);
        assert_eq!(commit.author.name, "A");
        assert_eq!(commit.committer.time.timestamp(), 6);
        assert_eq!(commit.message, "subject\n\nbody\n");
        let signature = commit.signature.expect("a signature");
        assert_eq!(signature.signature, b"S1\nS2\n");
        let unsigned = data.replace("gpgsig S1\n S2\n", "");
        assert_eq!(signature.data.as_bstr(), unsigned);
        let long: Oid = "1".repeat(64).parse().expect("an id");
        let other = super::commit(long, data.as_bytes()).expect("a commit");
        assert!(other.signature.is_none());
        let data = data.replace("gpgsig", "gpgsig-sha256");
        let signature = super::commit(long, data.as_bytes())
            .expect("a commit")
            .signature;
        assert_eq!(signature.expect("a signature").data.as_bstr(), unsigned);
    }

    #[test]
    fn a_commit_without_people_is_still_one() {
        let commit = commit(id(), format!("tree {ID}\n\nm").as_bytes()).expect("a commit");
        assert_eq!(
            (commit.author.name.as_str(), commit.message.as_str()),
            ("", "m")
        );
        assert_eq!(commit.committer.time.timestamp(), 0);
        assert!(super::commit(id(), b"author A <a> 1 +0\n\nm").is_err());
    }

    #[test]
    fn text_is_translated_from_the_declared_encoding() {
        let mut data = format!("tree {ID}\nauthor J").into_bytes();
        data.extend_from_slice(
            b"\xf6rg <j> 1 +0\ncommitter \xa4 <j> 1 +0\nencoding ISO-8859-15\n\n\xdcber",
        );
        let read = commit(id(), &data).expect("a commit");
        assert_eq!(
            (read.author.name.as_str(), read.message.as_str()),
            ("J\u{f6}rg", "\u{dc}ber")
        );
        assert_eq!(read.committer.name, "\u{20ac}");
        let undeclared = data.replace(b"encoding ISO-8859-15\n", b"");
        let read = commit(id(), &undeclared).expect("a commit");
        assert_eq!(read.author.name, "J\u{fffd}rg");
        for unknown in ["klingon", "iso-2022-kr", "replacement"] {
            let unknown = data.replace(b"ISO-8859-15", unknown);
            assert_eq!(
                commit(id(), &unknown).expect("a commit").message,
                "\u{fffd}ber"
            );
        }
    }

    #[test]
    fn latin_1_is_what_iconv_takes_it_for() {
        for (name, text) in [
            ("ISO-8859-1", "\u{80}\u{85}\u{9f}\u{dc}"),
            ("latin1", "\u{80}\u{85}\u{9f}\u{dc}"),
            ("Latin-1", "\u{80}\u{85}\u{9f}\u{dc}"),
            ("windows-1252", "\u{20ac}\u{2026}\u{178}\u{dc}"),
        ] {
            let mut data = format!("tree {ID}\nencoding {name}\n\n").into_bytes();
            data.extend_from_slice(b"\x80\x85\x9f\xdc");
            let read = commit(id(), &data).expect("a commit");
            assert_eq!(read.message, text, "{name}");
        }
    }

    #[test]
    fn odd_dates_sort_as_in_a_commit_graph() {
        assert_eq!(time("C <c> 12 +0000"), 12);
        assert_eq!(time("C <c>   12"), 12);
        assert_eq!(time("C <c> 12x"), 12);
        assert_eq!(time("C <c> x"), 0);
        assert_eq!(time("C <c>"), 0);
        assert_eq!(time("no mail"), 0);
        assert_eq!(time("C <c> -1 +0000"), 0x3_ffff_ffff);
        assert_eq!(time("C <c> 17179869185 +0000"), 1);
        assert_eq!(time("C <c> 99999999999999999999999"), 0x3_ffff_ffff);
    }

    proptest! {
        #[test]
        fn no_commit_is_too_odd(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let data = [format!("tree {ID}\n").as_bytes(), &tail].concat();
            let _ = (commit(id(), &data), links(&data));
            let _ = (commit(id(), &tail), links(&tail));
        }
    }
}
