//! The account's log: what happened to an account, when, and from where.
//!
//! Invariant: an entry is written in the transaction of the change it tells of, and never changed. What is done to
//! repositories is not in it.

mod ops;
mod store;

use std::net::IpAddr;

pub use store::{AuditReads, AuditWrites};

use crate::clock::Timestamp;
use crate::ids::AuditId;

/// The most bytes of [`Entry::details`]; longer ones are cut.
pub const MAX_DETAILS: usize = 512;

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Row number.
    pub id: AuditId,
    /// When.
    pub created: Timestamp,
    /// The address of whoever did it, if it is known.
    pub ip: Option<IpAddr>,
    /// What happened, in the words of meta.sr.ht: `SSH key added`.
    pub action: String,
    /// To what: `SSH key d2:9a:… added`. No secrets, at most [`MAX_DETAILS`] bytes.
    pub details: Option<String>,
}

/// A line to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The address of whoever did it, if it is known.
    pub ip: Option<IpAddr>,
    /// What happened.
    pub action: &'static str,
    /// To what.
    pub details: Option<String>,
}
