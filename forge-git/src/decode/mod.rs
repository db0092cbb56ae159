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

use encoding_rs::{Encoding, UTF_8};
use forge_core::Error;

pub(crate) use commit::{Links, commit, links};
pub(crate) use tag::{tag, target};
pub(crate) use tree::{find_entry, tree};

/// Text in the encoding that the object declares.
fn text(bytes: &[u8], encoding: Option<&[u8]>) -> String {
    let encoding = encoding.and_then(Encoding::for_label).unwrap_or(UTF_8);
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

fn damaged(what: &str) -> Error {
    Error::internal(format!("damaged object: {what}"))
}
