//! The queue.

use std::time::Duration;

use futures::future::join_all;
use uuid::Uuid;

use super::{a_client_id, at, begin, changed};
use crate::clock::Timestamp;
use crate::events::{Event, EventKind, Job, NewJob, Outcome, Task};
use crate::ids::{JobId, RepoId};
use crate::repos::{Owner, Repository, Visibility};
use crate::store::Store;
use crate::{RepoName, UserId, UserName};

const LEASE: Duration = Duration::from_micros(100);

pub(super) async fn all(store: &dyn Store) {
    let left = changed(store, async |tx| tx.due(at(1 << 40)).await).await;
    assert_eq!(left, 0, "the suite needs an empty queue");
    work_comes_back_as_it_was(store).await;
    the_longest_due_comes_first(store).await;
    a_lease_is_one_workers_until_it_ends(store).await;
    who_lost_the_lease_changes_nothing(store).await;
    a_lease_can_be_renewed(store).await;
    work_can_be_put_off(store).await;
    what_is_given_up_is_neither_due_nor_claimed(store).await;
    a_key_is_queued_once(store).await;
    workers_share_no_job(store).await;
    let left = changed(store, async |tx| tx.due(at(1 << 40)).await).await;
    assert_eq!(left, 0, "the suite has settled every job");
}

fn task(number: i64) -> Task {
    Task::RemoveRepo(RepoId(number))
}

async fn enqueue(store: &dyn Store, run_at: Timestamp, key: Option<&str>, task: Task) {
    let job = NewJob {
        run_at,
        key: key.map(str::to_owned),
        task,
    };
    changed(store, async |tx| tx.enqueue(job).await).await;
}

async fn claim(store: &dyn Store, now: Timestamp) -> Vec<Job> {
    changed(store, async |tx| tx.claim(now, LEASE, 100).await).await
}

/// The one job that is due.
async fn claim_one(store: &dyn Store, now: Timestamp) -> Job {
    let mut jobs = claim(store, now).await;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

async fn settle(store: &dyn Store, job: &Job, outcome: Outcome) -> bool {
    changed(store, async |tx| tx.settle(job, outcome).await).await
}

async fn due(store: &dyn Store, now: Timestamp) -> u64 {
    changed(store, async |tx| tx.due(now).await).await
}

async fn work_comes_back_as_it_was(store: &dyn Store) {
    let event = Event {
        id: Uuid::from_u128(7),
        time: at(1),
        kind: EventKind::RepoCreated(Repository {
            id: RepoId(1),
            created: at(1),
            updated: at(123_456),
            owner: Owner {
                id: UserId(1),
                name: "someone".parse::<UserName>().expect("a name"),
            },
            name: "thing".parse::<RepoName>().expect("a name"),
            description: Some("\u{1f642} \"words\"\n".to_owned()),
            visibility: Visibility::Private,
        }),
    };
    let tasks = [
        Task::Event(event.clone()),
        Task::Tell {
            plugin: "p".to_owned(),
            event: event.clone(),
        },
        Task::Plugin {
            plugin: "p".to_owned(),
            payload: serde_json::json!({"a": [1, null, "x"]}),
        },
        Task::RemoveBlobs(vec!["a/b".to_owned()]),
        Task::TellOfClient(a_client_id()),
        Task::Sweep,
    ];
    changed(store, async |tx| {
        for task in &tasks {
            tx.enqueue(NewJob::at(at(0), task.clone())).await?;
        }
        tx.emit(event.clone()).await
    })
    .await;
    assert_eq!(due(store, at(0)).await, 6);
    let jobs = claim(store, at(1)).await;
    let found: Vec<_> = jobs.iter().map(|job| job.task.clone()).collect();
    assert_eq!(found[..6], tasks);
    assert_eq!(found[6..], [Task::Event(event)]);
    for job in &jobs {
        assert!(settle(store, job, Outcome::Done).await);
    }
    assert_eq!(due(store, at(1)).await, 0);
}

async fn the_longest_due_comes_first(store: &dyn Store) {
    for moment in [500_000, 0, 1_000_000, 1, 500_001] {
        enqueue(store, at(moment), None, task(moment)).await;
    }
    assert_eq!(due(store, at(-1)).await, 0);
    assert!(claim(store, at(-1)).await.is_empty());
    assert_eq!(due(store, at(0)).await, 1, "due at the very moment");
    assert_eq!(due(store, at(500_000)).await, 3);
    let mut seen = Vec::new();
    for size in [2, 0, 1, 5] {
        let jobs = changed(store, async |tx| tx.claim(at(500_001), LEASE, size).await).await;
        assert!(jobs.len() as u64 <= size);
        seen.extend(jobs);
    }
    let order: Vec<_> = seen.iter().map(|job| job.task.clone()).collect();
    assert_eq!(order, [task(0), task(1), task(500_000), task(500_001)]);
    assert_eq!(due(store, at(500_001)).await, 4, "leased ones are due too");
    for job in seen.into_iter().chain(claim(store, at(1_000_000)).await) {
        settle(store, &job, Outcome::Done).await;
    }
}

async fn a_lease_is_one_workers_until_it_ends(store: &dyn Store) {
    enqueue(store, at(0), None, task(1)).await;
    let first = claim_one(store, at(10)).await;
    assert_eq!(first.attempt, 1);
    assert!(claim(store, at(10)).await.is_empty());
    assert!(claim(store, at(109)).await.is_empty());
    let second = claim_one(store, at(110)).await;
    assert_eq!((second.id, second.attempt), (first.id, 2));
    assert!(settle(store, &second, Outcome::Done).await);
    // A number is not used again either.
    enqueue(store, at(0), None, task(2)).await;
    let next = claim_one(store, at(0)).await;
    assert_ne!(next.id, first.id);
    assert!(settle(store, &next, Outcome::Done).await);
}

async fn who_lost_the_lease_changes_nothing(store: &dyn Store) {
    enqueue(store, at(0), None, task(1)).await;
    let late = claim_one(store, at(0)).await;
    let current = claim_one(store, at(100)).await;
    for outcome in [Outcome::Done, Outcome::Again(at(0)), Outcome::Dead] {
        assert!(!settle(store, &late, outcome).await);
    }
    assert!(!changed(store, async |tx| tx.renew(&late, at(1_000)).await).await);
    assert!(claim(store, at(199)).await.is_empty(), "the lease holds");
    assert!(settle(store, &current, Outcome::Done).await);
    for outcome in [Outcome::Done, Outcome::Again(at(0)), Outcome::Dead] {
        assert!(!settle(store, &current, outcome).await, "it is settled");
    }
    assert!(!changed(store, async |tx| tx.renew(&current, at(1_000)).await).await);
    let nobody = Job {
        id: JobId(i64::MAX),
        ..current
    };
    assert!(!settle(store, &nobody, Outcome::Done).await);
    assert_eq!(due(store, at(1_000)).await, 0);
}

async fn a_lease_can_be_renewed(store: &dyn Store) {
    enqueue(store, at(0), None, task(1)).await;
    let job = claim_one(store, at(0)).await;
    assert!(changed(store, async |tx| tx.renew(&job, at(500)).await).await);
    assert!(claim(store, at(499)).await.is_empty());
    // An ended lease that nobody took is still the worker's.
    assert!(changed(store, async |tx| tx.renew(&job, at(600)).await).await);
    assert!(claim(store, at(599)).await.is_empty());
    let again = claim_one(store, at(600)).await;
    assert_eq!(again.attempt, 2);
    assert!(settle(store, &again, Outcome::Done).await);
}

async fn work_can_be_put_off(store: &dyn Store) {
    enqueue(store, at(0), None, task(1)).await;
    let first = claim_one(store, at(0)).await;
    assert!(settle(store, &first, Outcome::Again(at(50))).await);
    assert!(
        !settle(store, &first, Outcome::Done).await,
        "the lease is over"
    );
    assert_eq!(due(store, at(49)).await, 0);
    assert!(claim(store, at(49)).await.is_empty());
    let second = claim_one(store, at(50)).await;
    assert_eq!((second.id, second.attempt), (first.id, 2));
    assert_eq!(second.task, task(1));
    assert!(settle(store, &second, Outcome::Done).await);
}

async fn what_is_given_up_is_neither_due_nor_claimed(store: &dyn Store) {
    enqueue(store, at(0), Some("given-up"), task(1)).await;
    let job = claim_one(store, at(0)).await;
    assert!(settle(store, &job, Outcome::Dead).await);
    assert_eq!(due(store, at(1_000)).await, 0);
    assert!(claim(store, at(1_000)).await.is_empty());
    assert!(!settle(store, &job, Outcome::Done).await);
    enqueue(store, at(0), Some("given-up"), task(2)).await;
    let job = claim_one(store, at(1_000)).await;
    assert_eq!(job.task, task(2), "its key can be used again");
    assert!(settle(store, &job, Outcome::Done).await);
}

async fn a_key_is_queued_once(store: &dyn Store) {
    enqueue(store, at(10), Some("k"), task(1)).await;
    enqueue(store, at(0), Some("k"), task(2)).await;
    enqueue(store, at(10), Some("l"), task(3)).await;
    enqueue(store, at(10), None, task(4)).await;
    enqueue(store, at(10), None, task(4)).await;
    assert_eq!(due(store, at(9)).await, 0, "the second job is dropped");
    let jobs = claim(store, at(10)).await;
    let found: Vec<_> = jobs.iter().map(|job| job.task.clone()).collect();
    assert_eq!(found, [task(1), task(3), task(4), task(4)]);
    enqueue(store, at(0), Some("k"), task(5)).await;
    assert!(
        claim(store, at(10)).await.is_empty(),
        "leased is still queued"
    );
    for job in &jobs {
        assert!(settle(store, job, Outcome::Done).await);
    }
    enqueue(store, at(0), Some("k"), task(6)).await;
    let job = claim_one(store, at(10)).await;
    assert_eq!(job.task, task(6), "the key is free again");
    assert!(settle(store, &job, Outcome::Done).await);
}

async fn workers_share_no_job(store: &dyn Store) {
    changed(store, async |tx| {
        for number in 0..40 {
            tx.enqueue(NewJob::at(at(0), task(number))).await?;
        }
        Ok(())
    })
    .await;
    let claimed = join_all((0..8).map(|_| async {
        let mut tx = begin(store).await;
        let jobs = tx.claim(at(0), LEASE, 5).await.expect("a claim");
        tx.commit().await.expect("a commit");
        jobs
    }))
    .await;
    let mut jobs: Vec<_> = claimed.into_iter().flatten().collect();
    jobs.extend(claim(store, at(0)).await);
    let mut numbers: Vec<_> = jobs.iter().map(|job| job.id).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!((numbers.len(), jobs.len()), (40, 40));
    for job in &jobs {
        assert_eq!(job.attempt, 1);
        assert!(settle(store, job, Outcome::Done).await);
    }
}
