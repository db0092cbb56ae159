//! Pushes: what a client asks to change, and the steps from asking to done.
//!
//! A push is a chain of states, each made of the one before, so no step can be left out: [`Admitted`] (may be asked at
//! all; before its objects are received), [`Decided`] (its objects are there, the plugins agree; the refs are locked next),
//! [`Recorded`] (a row says that the refs are about to move; then they do), finished (the row says so, and the event is
//! queued with it).
//!
//! Invariant: a row is written before the first ref moves, and its event in one transaction with the row's end, so a
//! push whose refs moved has its event exactly once, whenever the process dies: what a row without an end means is found
//! out from the refs. Bytes, packs and locks are the transport's.

mod alive;
mod ops;
mod options;
mod settle;
mod store;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use ops::{Admitted, Decided, Decision, Recorded, is_internal};
pub use options::PushOptions;
pub use store::{PushReads, PushWrites};

use crate::access::Objects;
use crate::clock::Timestamp;
use crate::names::RefName;
use crate::objects::Oid;
use crate::repos::{Owner, Repository};

/// One ref to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefUpdate {
    /// Its full name.
    pub name: RefName,
    /// What it names now; `None` if there is no such ref.
    pub old: Option<Oid>,
    /// What it is to name; `None` to delete it.
    pub new: Option<Oid>,
}

/// A push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// Version 7. It is in the logs, and the pusher is told when something goes wrong.
    pub id: Uuid,
    /// When it was asked for.
    pub time: Timestamp,
    /// Where to; as it was then.
    pub repository: Repository,
    /// Who pushed; the repository's owner for a deploy key.
    pub pusher: Owner,
    /// The refs that it changes.
    pub updates: Vec<RefUpdate>,
    /// What else the client said.
    pub options: PushOptions,
}

/// How far a push has come that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushState {
    /// Its refs are about to move, or have moved a moment ago.
    Committing,
    /// Its refs have moved, and its event is queued.
    Done,
    /// Its refs have not moved.
    Dropped,
}

/// A push that has not happened yet, for whoever may refuse it.
#[derive(Debug)]
#[non_exhaustive]
pub struct PendingPush<'a> {
    /// What is asked for.
    pub push: &'a Push,
    /// The repository's objects and the new ones, which nobody else sees yet. Its refs are as they were.
    pub objects: &'a Objects,
}

/// What is thought of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing against it.
    Accept,
    /// None of it; the text is shown to the pusher.
    Refuse(String),
    /// Not these refs; the texts are shown to the pusher.
    RefuseRefs(Vec<(RefName, String)>),
}

/// A backend's view of the objects of a push together with those of its repository.
pub type Quarantined = Arc<dyn crate::objects::GitRepo>;
