//! The loop that does what is queued.
//!
//! Invariant: a job is settled only after its work is done, so a dead worker's jobs are done by the next one when their
//! leases end. It does not order jobs: two workers may run two events of one repository at once.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::{Event, Job, NewJob, Outcome, Task};
use crate::access::System;
use crate::{Error, Forge, Result, Stop};

/// How long a worker has a job for itself; renewed while it works.
const LEASE: Duration = Duration::from_secs(120);
/// How often the lease is renewed.
const RENEWAL: Duration = Duration::from_secs(40);
/// How often the queue is looked at when nothing wakes the worker.
const POLL: Duration = Duration::from_secs(1);
/// How many jobs one worker does at once.
const AT_ONCE: usize = 8;
/// After how many attempts a job is given up: with the delays below, after about four days.
const ATTEMPTS: u32 = 16;
/// How often what has had its time is looked for.
const DAILY: TimeDelta = TimeDelta::days(1);
/// How long a leftover was not touched, so that nobody can still be at work on it.
const LEFTOVER: TimeDelta = TimeDelta::days(1);

impl Forge {
    /// Does what is queued, and runs the plugins' background work, until stopped. Any number of workers, in any number
    /// of processes, share one queue.
    ///
    /// # Errors
    /// None after the start: failures are logged, and what failed is tried again.
    pub async fn work(&self, stop: Stop) -> Result<()> {
        self.git().recover().await?;
        let mut tx = self.store().begin().await?;
        for (key, task) in [("sweep", Task::Sweep), ("purge", Task::Purge)] {
            tx.enqueue(NewJob {
                run_at: self.now(),
                key: Some(key.to_owned()),
                task,
            })
            .await?;
        }
        tx.commit().await?;

        let background = self.plugins().iter().map(|plugin| {
            let (forge, stop) = (self.clone(), stop.clone());
            async move {
                if let Err(error) = plugin.background(forge, stop).await {
                    tracing::error!(
                        plugin = plugin.name(),
                        error = &error as &dyn std::error::Error,
                        "background work ended"
                    );
                }
            }
        });
        futures::join!(
            futures::future::join_all(background),
            self.settle_pushes(&stop),
            self.drain(&stop)
        );
        Ok(())
    }

    /// Keeps as many jobs going as there is room for, until stopped; then waits for those begun.
    async fn drain(&self, stop: &Stop) {
        let mut running = JoinSet::new();
        while !stop.is_stopped() {
            let room = AT_ONCE.saturating_sub(running.len());
            let jobs = match self.claim(room).await {
                Ok(jobs) => jobs,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the queue cannot be read"
                    );
                    Vec::new()
                }
            };
            let idle = jobs.is_empty();
            for job in jobs {
                running.spawn(self.clone().finish(job));
            }
            if idle {
                tokio::select! {
                    () = stop.stopped() => {}
                    () = self.woken() => {}
                    () = tokio::time::sleep(POLL) => {}
                    Some(_) = running.join_next() => {}
                }
            }
        }
        while running.join_next().await.is_some() {}
    }

    async fn claim(&self, room: usize) -> Result<Vec<Job>> {
        if room == 0 {
            return Ok(Vec::new());
        }
        let mut tx = self.store().begin().await?;
        let jobs = tx.claim(self.now(), LEASE, room as u64).await?;
        if !jobs.is_empty() {
            tx.commit().await?;
        }
        Ok(jobs)
    }

    /// Does a handful of jobs that are due to their end, settles pushes that were cut off, and says how many there were.
    ///
    /// # Errors
    /// Those of the store; a failing job is no error here.
    pub async fn work_once(&self) -> Result<usize> {
        let settled = self.settle_late_pushes().await?;
        let jobs = self.claim(AT_ONCE).await?;
        let claimed = settled + jobs.len();
        futures::future::join_all(jobs.into_iter().map(|job| self.clone().finish(job))).await;
        Ok(claimed)
    }

    /// Does one job, keeping its lease meanwhile, and settles it. What cannot be settled is done again when the lease
    /// ends.
    async fn finish(self, job: Job) {
        let span = tracing::info_span!("job", job.id = job.id.0, job.attempt = job.attempt);
        async {
            let Some(outcome) = self.attempt(&job).await else {
                tracing::warn!("the lease went to another worker");
                return;
            };
            if let Err(error) = self.settle(&job, outcome).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a job cannot be settled"
                );
            }
        }
        .instrument(span)
        .await;
    }

    /// Does one job; `None` if the lease was lost meanwhile.
    async fn attempt(&self, job: &Job) -> Option<Outcome> {
        if job.attempt > ATTEMPTS {
            // Every attempt ended without a word, with the process most likely.
            tracing::error!("job given up: it never came to an end");
            return Some(Outcome::Dead);
        }
        // A task of its own: a plugin's panic ends the attempt and not the worker, and work that holds a transaction
        // goes on while the renewal waits for that.
        let mut work = JoinSet::new();
        work.spawn({
            let (forge, job) = (self.clone(), job.clone());
            async move { forge.run(&job).await }.in_current_span()
        });
        let done = tokio::select! {
            done = work.join_next() => done,
            () = self.keep_lease(job) => return None,
        };
        let error = match done {
            Some(Ok(Ok(outcome))) => return Some(outcome),
            Some(Ok(Err(error))) => error,
            Some(Err(panicked)) => Error::internal(panicked),
            None => Error::internal("the work is gone"),
        };
        let cause = &error as &dyn std::error::Error;
        if job.attempt == ATTEMPTS {
            tracing::error!(error = cause, "job given up");
            return Some(Outcome::Dead);
        }
        tracing::warn!(error = cause, "job failed, to be tried again");
        Some(Outcome::Again(self.now() + delay(job.attempt)))
    }

    async fn settle(&self, job: &Job, outcome: Outcome) -> Result<()> {
        let mut tx = self.store().begin().await?;
        tx.settle(job, outcome).await?;
        tx.commit().await
    }

    /// Renews a lease until it is lost. A renewal that fails is tried again: there is time for two more.
    async fn keep_lease(&self, job: &Job) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.renew(job).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a lease is not renewed"
                    );
                }
            }
        }
    }

    async fn renew(&self, job: &Job) -> Result<bool> {
        let mut tx = self.store().begin().await?;
        let ours = tx.renew(job, self.now() + LEASE).await?;
        tx.commit().await?;
        Ok(ours)
    }

    async fn run(&self, job: &Job) -> Result<Outcome> {
        match &job.task {
            Task::Event(event) => self.fan_out(event).await?,
            Task::Tell { plugin, event } => match self.plugin(plugin) {
                Some(plugin) => plugin.on_event(self, event).await?,
                None => tracing::warn!(
                    plugin,
                    "an event for a plugin that is not here any more is dropped"
                ),
            },
            Task::Plugin { plugin, payload } => match self.plugin(plugin) {
                Some(plugin) => plugin.run_job(self, job, payload).await?,
                None => tracing::warn!(
                    plugin,
                    "a job of a plugin that is not here any more is dropped"
                ),
            },
            Task::Import(repo) => self.run_import(*repo).await?,
            Task::Maintain(repo) => match self.git().maintain(*repo).await {
                // Removed while the job was queued.
                Err(Error::NotFound) => {}
                done => done?,
            },
            Task::CollectRepo(repo) => self.collect_repo(*repo).await?,
            Task::RemoveRepo(repo) => self.git().remove(*repo).await?,
            Task::RemoveBlobs(keys) => {
                for key in keys {
                    self.blobs().delete(key).await?;
                }
            }
            Task::CollectBlob(key) => {
                if !self.store().artifact_key_used(key).await? {
                    self.blobs().delete(key).await?;
                }
            }
            Task::DeleteUser { user, heir } => self.run_delete_user(*user, *heir).await?,
            Task::TellOfClient(client) => self.run_tell_of_client(client).await?,
            Task::TellEnded { url, tokens } => self.run_tell_ended(url, tokens).await?,
            Task::Sweep => {
                self.sweep().await?;
                return Ok(Outcome::Again(self.now() + DAILY));
            }
            Task::Purge => {
                self.purge().await?;
                return Ok(Outcome::Again(self.now() + DAILY));
            }
        }
        Ok(Outcome::Done)
    }

    /// Replaces an event by a job for each plugin, so that one plugin's failure is its own.
    async fn fan_out(&self, event: &Event) -> Result<()> {
        if self.plugins().is_empty() {
            return Ok(());
        }
        let mut tx = self.store().begin().await?;
        for plugin in self.plugins() {
            let plugin = plugin.name().to_owned();
            // The key makes a repeat of this step harmless while the first one's jobs are queued.
            let key = Some(format!("{plugin}:{}", event.id));
            let task = Task::Tell {
                plugin,
                event: event.clone(),
            };
            tx.enqueue(NewJob {
                run_at: self.now(),
                key,
                task,
            })
            .await?;
        }
        tx.commit().await
    }

    /// Removes repositories' directories that no row knows, and half-done imports.
    async fn sweep(&self) -> Result<()> {
        let found = self.git().sweep(self.now() - LEFTOVER).await?;
        for repos in found.chunks(500) {
            let existing = self.store().existing_repos(repos).await?;
            for orphan in repos.iter().filter(|repo| !existing.contains(repo)) {
                // Whoever makes a repository holds a transaction, and a store with one at a time may give out a
                // number anew that was never committed.
                let tx = self.store().begin().await?;
                if tx.existing_repos(&[*orphan]).await?.is_empty() {
                    tracing::info!(
                        repo.id = orphan.0,
                        "removing a directory that no repository has"
                    );
                    self.git().remove(*orphan).await?;
                }
            }
        }
        Ok(())
    }
}

impl System {
    /// Queues work for a plugin: its [`crate::Plugin::run_job`] is called with `payload`, at least once.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn enqueue(
        &self,
        plugin: &str,
        run_at: crate::Timestamp,
        payload: serde_json::Value,
    ) -> Result<()> {
        let mut tx = self.forge().store().begin().await?;
        tx.enqueue(NewJob::at(
            run_at,
            Task::Plugin {
                plugin: plugin.to_owned(),
                payload,
            },
        ))
        .await?;
        tx.commit().await?;
        self.forge().wake();
        Ok(())
    }

    /// How many jobs are due and not done, being done included; those given up do not count.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn jobs_due(&self) -> Result<u64> {
        let mut tx = self.forge().store().begin().await?;
        tx.due(self.forge().now()).await
    }
}

/// How long after the given attempt the next one comes: 10 s, doubled each time, at most a day.
fn delay(attempt: u32) -> TimeDelta {
    let seconds = 10_i64
        .checked_shl(attempt.saturating_sub(1).min(20))
        .unwrap_or(i64::MAX);
    TimeDelta::seconds(seconds.min(24 * 60 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_day() {
        assert_eq!(delay(1), TimeDelta::seconds(10));
        assert_eq!(delay(4), TimeDelta::seconds(80));
        assert_eq!(delay(u32::MAX), TimeDelta::days(1));
    }
}
