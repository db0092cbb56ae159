//! What happened, and what is still to be done: the one durable queue.
//!
//! Invariant: an event is a row written in the transaction of the change it tells of, so there is neither an event
//! without its change nor the reverse. Everything is done at least once; [`Event::id`] tells repeats.
//! It does not know what plugins do with an event.

mod store;
mod worker;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use store::EventWrites;

use crate::clock::Timestamp;
use crate::ids::{JobId, KeyId, PgpKeyId, RepoId, UserId};
use crate::keys::SshKey;
use crate::oauth::ClientId;
use crate::pgp_keys::PgpKey;
use crate::push::Push;
use crate::repos::{Owner, Repository};
use crate::users::User;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Version 7, so ids follow time. The same on each repeat.
    pub id: Uuid,
    /// When.
    pub time: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// What happened, with the nouns as they were then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A repository was made or imported.
    RepoCreated(Repository),
    /// A repository's name, description, visibility or README was set.
    RepoUpdated(Repository),
    /// A repository was deleted; this is what it was.
    RepoDeleted(Repository),
    /// Refs were pushed: those that moved. SourceHut's name for it.
    GitPostReceive(Push),
    /// A user's profile changed: what it says, the address, or the preferred key.
    ProfileUpdated(User),
    /// A user added an SSH key.
    SshKeyAdded(SshKey),
    /// A user removed an SSH key.
    SshKeyRemoved {
        /// Who.
        user: Owner,
        /// Which.
        id: KeyId,
    },
    /// A user added a PGP key.
    PgpKeyAdded(PgpKey),
    /// A user removed a PGP key.
    PgpKeyRemoved {
        /// Who.
        user: Owner,
        /// Which.
        id: PgpKeyId,
    },
}

/// Work for a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", content = "data", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Task {
    /// Give each plugin a job of its own for an event.
    Event(Event),
    /// Tell one plugin of an event.
    Tell {
        /// The plugin's name.
        plugin: String,
        /// The event.
        event: Event,
    },
    /// Work that a plugin gave itself.
    Plugin {
        /// The plugin's name.
        plugin: String,
        /// What the plugin understands.
        payload: serde_json::Value,
    },
    /// Fetch what a repository is to hold from where its import says.
    Import(RepoId),
    /// Put a repository's files in order, if it is worth the while.
    Maintain(RepoId),
    /// Remove a repository that was made for a push, unless something was pushed to it.
    CollectRepo(RepoId),
    /// Remove a deleted repository's files.
    RemoveRepo(RepoId),
    /// Remove deleted artifacts' content.
    RemoveBlobs(Vec<String>),
    /// Remove an artifact's content unless a row refers to it by now.
    CollectBlob(String),
    /// Delete a user who has asked for it, and what is theirs.
    DeleteUser {
        /// Who.
        user: UserId,
        /// Who gets the repositories; with `None` they are deleted.
        heir: Option<UserId>,
    },
    /// Write into the logs of its users that a client was revoked.
    TellOfClient(ClientId),
    /// Tell a service that tokens have ended.
    TellEnded {
        /// Where.
        url: String,
        /// The tokens, as the service knows them: SHA-512, in hex digits.
        tokens: Vec<String>,
    },
    /// Remove what crashes left behind; comes back every day.
    Sweep,
    /// Remove what is kept for a while only; comes back every day.
    Purge,
}

/// A job to queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Not before this moment.
    pub run_at: Timestamp,
    /// At most one queued job has a given key; a second one is dropped.
    pub key: Option<String>,
    /// The work.
    pub task: Task,
}

impl NewJob {
    /// Work for a moment, without a key.
    #[must_use]
    pub fn at(run_at: Timestamp, task: Task) -> Self {
        Self {
            run_at,
            key: None,
            task,
        }
    }
}

/// A job that this worker has leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Row number.
    pub id: JobId,
    /// Which attempt this is, counted from 1. It also tells one lease of a job from the next.
    pub attempt: u32,
    /// The work.
    pub task: Task,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done; the row goes.
    Done,
    /// To be done again, not before this moment.
    Again(Timestamp),
    /// Given up; the row stays for a person to look at.
    Dead,
}
