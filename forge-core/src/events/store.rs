//! The storage contract of the queue.

use std::time::Duration;

use async_trait::async_trait;

use super::{Event, Job, NewJob, Outcome, Task};
use crate::Result;
use crate::clock::Timestamp;

/// Writing and claiming jobs.
///
/// Guarantees: a job is claimed by one worker at a time until its lease ends; an expired lease is claimable; settling
/// or renewing with a lease that somebody else holds by now changes nothing.
#[async_trait]
pub trait EventWrites: Send {
    /// Queues a job; dropped if it has a key that a queued job has already.
    async fn enqueue(&mut self, job: NewJob) -> Result<()>;
    /// Leases up to `max` jobs that are due, the longest due first.
    async fn claim(&mut self, now: Timestamp, lease: Duration, max: u64) -> Result<Vec<Job>>;
    /// Makes the lease end at `until`. `false` if it is not this worker's any more.
    async fn renew(&mut self, job: &Job, until: Timestamp) -> Result<bool>;
    /// Ends a lease. `false` if it is not this worker's any more.
    async fn settle(&mut self, job: &Job, outcome: Outcome) -> Result<bool>;
    /// How many jobs are due at `now`, leased or not; those given up do not count.
    async fn due(&mut self, now: Timestamp) -> Result<u64>;

    /// Queues an event for everybody who listens.
    async fn emit(&mut self, event: Event) -> Result<()> {
        self.enqueue(NewJob::at(event.time, Task::Event(event)))
            .await
    }
}
