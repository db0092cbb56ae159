//! Objects as git stores them, into the forge's types.
//!
//! Invariant: what other tools wrote badly is read as well as git reads it; an error means that an object lacks what
//! nothing can stand in for, its tree or its target. No repository is read here, and no object is checked against its
//! id.

mod commit;
mod header;
mod person;
mod tag;
mod tree;

use encoding_rs::mem::decode_latin1;
use encoding_rs::{Encoding, UTF_8};
use forge_core::Error;

pub(crate) use commit::{Links, commit, links};
pub(crate) use tag::{tag, target};
pub(crate) use tree::{find_entry, tree};

/// Names of the encoding in which each byte is the character of that number. To browsers, whose list of encodings is
/// the other one used here, they mean windows-1252; to git, which asks `iconv`, they do not.
const LATIN: [&[u8]; 3] = [b"iso-8859-1", b"latin1", b"latin-1"];

/// Text in the encoding that the object declares.
fn text(bytes: &[u8], encoding: Option<&[u8]>) -> String {
    let latin = |label: &[u8]| LATIN.iter().any(|name| label.eq_ignore_ascii_case(name));
    if encoding.is_some_and(latin) {
        return decode_latin1(bytes).into_owned();
    }
    // Encodings that are told apart only to refuse them would swallow the text.
    let encoding = encoding.and_then(Encoding::for_label_no_replacement);
    let encoding = encoding.unwrap_or(UTF_8);
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

fn damaged(what: &str) -> Error {
    Error::internal(format!("damaged object: {what}"))
}
