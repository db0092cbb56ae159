//! What git over HTTP looks like on the wire, byte by byte: the rows H01 to H24 of the sheet, and its section 2.5.
//!
//! Requests are written by hand, so that nothing a library would add or mend is between the test and the server. What
//! people see of it is asked of git.

mod asked;
mod bodies;
mod newer;
mod people;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use forge::push::{PendingPush, Verdict};
use forge::repos::RepoChange;
use forge::{Forge, Limits, Plugin, Scope};
use tokio::sync::Notify;

pub(super) use self::wire::{Ask, PATIENCE, Pkt, Raw, base64, pkt, v2};
use crate::support::site::Site;
use crate::support::{Database, alice};

/// A plugin that holds every push until it is let go.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<(Notify, Notify)>);

impl Gate {
    /// Waits until a push has come.
    pub(super) async fn reached(&self) {
        let came = tokio::time::timeout(PATIENCE, self.0.0.notified()).await;
        came.expect("a push comes");
    }

    /// Lets it go.
    pub(super) fn open(&self) {
        self.0.1.notify_one();
    }
}

#[async_trait]
impl Plugin for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    async fn pre_receive(&self, _: &Forge, _: &PendingPush<'_>) -> forge::Result<Verdict> {
        self.0.0.notify_one();
        self.0.1.notified().await;
        Ok(Verdict::Accept)
    }
}

/// A site whose pushes are held, for as long as the test wants.
pub(super) async fn gated() -> (Site, Gate) {
    let gate = Gate::default();
    let site = Site::with(Database::Sqlite, |builder| {
        let mut limits = Limits::default();
        limits.push.decision = 2 * PATIENCE;
        builder.limits(limits).plugin(gate.clone())
    });
    (site.await, gate)
}

/// Gives a repository of alice's another name.
pub(super) async fn rename(site: &Site, from: &str, to: &str) {
    let owner = site.world.owner().await;
    let repo = owner.manage_repo(&alice(from), Scope::Repositories).await;
    let change = RepoChange {
        name: Some(to.parse().unwrap()),
        ..RepoChange::default()
    };
    repo.unwrap().update(&change).await.unwrap();
}
