//! What a host adds to the forge: tables, routes, reactions to events, jobs, background work.
//!
//! Invariant: nothing of ours has a power that a host's plugin lacks. A plugin does not take part in access decisions.
//!
//! ```
//! use async_trait::async_trait;
//! use forge_core::{Event, EventKind, Forge, Plugin, Result};
//!
//! struct Announce;
//!
//! #[async_trait]
//! impl Plugin for Announce {
//!     fn name(&self) -> &'static str {
//!         "announce"
//!     }
//!
//!     async fn on_event(&self, _forge: &Forge, event: &Event) -> Result<()> {
//!         if let EventKind::RepoCreated(repo) = &event.kind {
//!             tracing::info!(repo = %repo.path(), "there is a new repository");
//!         }
//!         Ok(())
//!     }
//! }
//! ```

use async_trait::async_trait;

use crate::events::{Event, Job};
use crate::http::Routes;
use crate::push::{PendingPush, Push, Verdict};
use crate::{Forge, Result, Stop};

/// A change of a plugin's tables; run once, in order, in the dialect of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Unique in the plugin, and never changed.
    pub id: &'static str,
    /// One or more statements for SQLite.
    pub sqlite: &'static str,
    /// The same for PostgreSQL.
    pub postgres: &'static str,
}

/// An extension of the forge. Every method has a default that does nothing.
#[async_trait]
pub trait Plugin: Send + Sync + 'static {
    /// Its name: lower-case ASCII letters, digits and dashes, unique in the forge, never changed. It is part of its
    /// routes and of its queued jobs.
    fn name(&self) -> &'static str;

    /// Its tables.
    fn migrations(&self) -> &[Migration] {
        &[]
    }

    /// Routes to mount below `/x/<name>` of the git service; they see paths without that prefix, and find the
    /// [`crate::Caller`] in the request's extensions.
    fn routes(&self, forge: &Forge) -> Option<Routes> {
        let _ = forge;
        None
    }

    /// Somebody pushes, and nothing has happened yet: the plugin may refuse it. All plugins together have ten seconds
    /// unless [`crate::limits::PushLimits`] says otherwise; an error refuses the push and says no more to the pusher.
    async fn pre_receive(&self, forge: &Forge, push: &PendingPush<'_>) -> Result<Verdict> {
        let _ = (forge, push);
        Ok(Verdict::Accept)
    }

    /// Refs were pushed; the lines returned are shown to the pusher. Called at most once, and not at all if the process
    /// dies: what must not be missed is done in [`Plugin::on_event`].
    async fn post_receive(&self, forge: &Forge, push: &Push) -> Result<Vec<String>> {
        let _ = (forge, push);
        Ok(Vec::new())
    }

    /// Something happened. Called after its transaction is committed, at least once; an error has it called again
    /// later.
    async fn on_event(&self, forge: &Forge, event: &Event) -> Result<()> {
        let _ = (forge, event);
        Ok(())
    }

    /// Does a job that the plugin queued with [`crate::System::enqueue`]. At least once; an error has it called again
    /// later.
    async fn run_job(&self, forge: &Forge, job: &Job, payload: &serde_json::Value) -> Result<()> {
        let _ = (forge, job, payload);
        Ok(())
    }

    /// Runs beside the queue until stopped, for what is no job. An error ends it and is logged.
    async fn background(&self, forge: Forge, stop: Stop) -> Result<()> {
        let _ = (forge, stop);
        Ok(())
    }
}
