//! Pushes whose refs are moving at this moment.
//!
//! Invariant: as long as the guard lives, this process does not settle the push, and its row is renewed so that no other
//! process does. A process that dies renews nothing.

use std::time::Duration;

use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{Forge, Result};

/// How often the row is renewed; less than half of what makes it late.
const RENEWAL: Duration = Duration::from_secs(2);

/// Keeps a push from being taken for one that was cut off.
#[derive(Debug)]
pub(super) struct Alive {
    forge: Forge,
    id: Uuid,
    beat: JoinHandle<()>,
}

impl Alive {
    /// To be had before the row is written.
    pub(super) fn new(forge: &Forge, id: Uuid) -> Self {
        forge.live_pushes().insert(id);
        let beat = tokio::spawn({
            let forge = forge.clone();
            async move {
                loop {
                    tokio::time::sleep(RENEWAL).await;
                    if let Err(error) = renew(&forge, id).await {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "a push is not renewed"
                        );
                    }
                }
            }
        });
        Self {
            forge: forge.clone(),
            id,
            beat,
        }
    }
}

async fn renew(forge: &Forge, id: Uuid) -> Result<()> {
    let mut tx = forge.store().begin().await?;
    tx.renew_push(id, forge.now()).await?;
    tx.commit().await
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.beat.abort();
        self.forge.live_pushes().remove(&self.id);
    }
}
