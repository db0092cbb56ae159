//! Annotated tags.
//!
//! Invariant: only a tag without a target is an error. Signatures are cut off, not checked.

use std::str;

use bstr::ByteSlice as _;
use forge_core::Result;
use forge_core::objects::{Kind, Oid, Tag};

use super::{damaged, header, person, text};

/// How signatures begin, at the start of a line.
const SIGNATURES: [&str; 4] = [
    "-----BEGIN PGP SIGNATURE-----",
    "-----BEGIN PGP MESSAGE-----",
    "-----BEGIN SSH SIGNATURE-----",
    "-----BEGIN SIGNED MESSAGE-----",
];

/// Decodes a tag.
pub(crate) fn tag(id: Oid, data: &[u8]) -> Result<Tag> {
    let (headers, message) = header::split(data);
    let encoding = header::value(headers, "encoding");
    let tagger = header::value(headers, "tagger");
    Ok(Tag {
        id,
        target: target(data)?,
        target_kind: match header::value(headers, "type") {
            Some(b"commit") => Kind::Commit,
            Some(b"tree") => Kind::Tree,
            Some(b"blob") => Kind::Blob,
            Some(b"tag") => Kind::Tag,
            _ => return Err(damaged("a tag of an unknown kind")),
        },
        name: header::value(headers, "tag").unwrap_or_default().into(),
        tagger: tagger.map(|line| person::person(line, encoding)),
        message: text(unsigned(message), encoding),
    })
}

/// What a tag names.
pub(crate) fn target(data: &[u8]) -> Result<Oid> {
    let (headers, _) = header::split(data);
    header::value(headers, "object")
        .and_then(|id| str::from_utf8(id).ok()?.parse().ok())
        .ok_or_else(|| damaged("a tag without a target"))
}

/// The message up to the last line that begins a signature.
fn unsigned(message: &[u8]) -> &[u8] {
    let mut end = message.len();
    let mut at = 0;
    for line in message.lines_with_terminator() {
        if SIGNATURES.iter().any(|s| line.starts_with(s.as_bytes())) {
            end = at;
        }
        at += line.len();
    }
    message.get(..end).unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_tag_is_read_without_its_signature() {
        let data = format!(
            "object {ID}\ntype tag\ntag v\u{e9}1\ntagger T <t@x> 7 +0000\n\nsays\n -----BEGIN PGP SIGNATURE-----\n\
             -----BEGIN SSH SIGNATURE-----\nxx\n-----END SSH SIGNATURE-----\n"
        );
        let id: Oid = ID.parse().expect("an id");
        let tag = tag(id, data.as_bytes()).expect("a tag");
        assert_eq!((tag.target, tag.target_kind), (id, Kind::Tag));
        assert_eq!(tag.name, "v\u{e9}1");
        assert_eq!(tag.tagger.map(|t| t.time.timestamp()), Some(7));
        assert_eq!(tag.message, "says\n -----BEGIN PGP SIGNATURE-----\n");
    }

    #[test]
    fn a_tag_of_old_has_no_tagger() {
        let id: Oid = ID.parse().expect("an id");
        let tag = tag(
            id,
            format!("object {ID}\ntype commit\ntag v\n\n").as_bytes(),
        );
        assert_eq!(tag.expect("a tag").tagger, None);
    }

    proptest! {
        #[test]
        fn no_tag_is_too_odd(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let id: Oid = ID.parse().expect("an id");
            let _ = tag(id, &[format!("object {ID}\ntype commit\n").as_bytes(), &tail].concat());
            let _ = tag(id, &tail);
        }
    }
}
