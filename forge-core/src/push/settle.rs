//! What becomes of pushes whose process died between their row and its end: the refs tell.
//!
//! Invariant: a row is ended once, and not while its push is alive, in this process or another. Were it held for dropped
//! all the same, a push whose refs move ends its row itself.

use std::time::Duration;

use chrono::TimeDelta;

use super::ops::announce;
use super::{Push, PushState, RefUpdate};
use crate::{Error, Forge, Result, Stop};

/// How long after a push was recorded its row is looked at; moving refs takes milliseconds.
const LATE: TimeDelta = TimeDelta::seconds(5);
/// How often rows without an end are looked for.
const EVERY: Duration = Duration::from_secs(5);
/// How many are settled in one go.
const AT_ONCE: u64 = 100;

impl Forge {
    /// Settles, again and again, what is late, until stopped.
    pub(crate) async fn settle_pushes(&self, stop: &Stop) {
        while !stop.is_stopped() {
            if let Err(error) = self.settle_late_pushes().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "pushes cannot be settled"
                );
            }
            tokio::select! {
                () = stop.stopped() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Settles what is late; how many pushes there were.
    pub(crate) async fn settle_late_pushes(&self) -> Result<usize> {
        let before = self.now() - LATE;
        let late = self.store().unsettled_pushes(before, AT_ONCE).await?;
        let mut settled = 0;
        for push in &late {
            if self.live_pushes().contains(&push.id) {
                continue;
            }
            // One repository that cannot be read must not keep the others waiting.
            match self.settle_push(push).await {
                Ok(()) => settled += 1,
                Err(error) => tracing::error!(
                    push.id = %push.id,
                    repo.id = push.repository.id.0,
                    error = &error as &dyn std::error::Error,
                    "a push cannot be settled"
                ),
            }
        }
        Ok(settled)
    }

    async fn settle_push(&self, push: &Push) -> Result<()> {
        let moved = self.moved(push).await?;
        let state = if moved.is_empty() {
            PushState::Dropped
        } else {
            PushState::Done
        };
        tracing::info!(push.id = %push.id, ?state, "a push that was cut off is settled");
        let mut tx = self.store().begin().await?;
        if !tx.settle_push(push.id, state).await? {
            return Ok(());
        }
        if state == PushState::Done {
            let touched = tx.touch_repo(push.repository.id, self.now()).await?;
            let push = Push {
                updates: moved,
                repository: touched.unwrap_or_else(|| push.repository.clone()),
                ..push.clone()
            };
            announce(self, &mut *tx, &push).await?;
        }
        tx.commit().await?;
        self.wake();
        Ok(())
    }

    /// Which refs of a push have moved. What the next push found there tells; where there was none, what is there now.
    async fn moved(&self, push: &Push) -> Result<Vec<RefUpdate>> {
        let repo = push.repository.id;
        let git = self.git().open(repo)?;
        // The refs first: a push that comes in between is among the later ones then.
        let mut found = Vec::new();
        for update in &push.updates {
            match git.find_ref(&update.name).await {
                Ok(now) => found.push(now.map(|now| now.target)),
                // Its directory goes after its row has gone.
                Err(Error::NotFound) => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        let later = self.store().pushes_after(repo, push.id).await?;
        let later: Vec<_> = later.iter().flat_map(|push| &push.updates).collect();
        let moved = push.updates.iter().zip(found).filter(|(update, now)| {
            let next = later.iter().find(|next| next.name == update.name);
            next.map_or(*now, |next| next.old) == update.new
        });
        Ok(moved.map(|(update, _)| update.clone()).collect())
    }
}
