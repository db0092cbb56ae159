//! Limits on what comes from outside.
//!
//! Invariant: each has a default that a small machine can bear. What a user may do at all is not here: see
//! [`crate::access`].

use std::time::Duration;

use chrono::TimeDelta;

/// What happened to an account can be looked up that many days at least.
const MIN_AUDIT_DAYS: u32 = 90;

/// Limits on what comes from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest artifact, in bytes; 1 GiB unless set.
    pub artifact_bytes: u64,
    /// How many days the lines of accounts' logs are kept; 90 unless set, and never fewer.
    pub audit_days: u32,
    /// The largest body of an API request that is no upload, in bytes; 1 MiB unless set.
    pub body_bytes: usize,
    /// Limits on fetches.
    pub fetch: FetchLimits,
    /// Limits on pushes.
    pub push: PushLimits,
    /// Limits on SSH connections.
    pub ssh: SshLimits,
}

/// Limits on fetches.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchLimits {
    /// How many run at once: twice the processors unless set.
    pub at_once: usize,
    /// How many run at once for one repository; 8 unless set.
    pub per_repo: usize,
    /// How many run at once for one user, or for one address without credentials; 4 unless set.
    pub per_client: usize,
    /// How many wait for their turn; 64 unless set. The next one is turned away.
    pub queue: usize,
    /// How long one waits for its turn; 30 s unless set.
    pub wait: Duration,
    /// The largest request, unpacked, in bytes; 16 MiB unless set.
    pub request_bytes: u64,
    /// How long a client may negotiate; 10 min unless set.
    pub negotiation: Duration,
    /// How long neither side may say anything; 10 min unless set.
    pub idle: Duration,
    /// How long one may take in all; 2 h unless set.
    pub total: Duration,
}

/// Limits on pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushLimits {
    /// How many run at once: as many as there are processors, 2 at least, unless set.
    pub at_once: usize,
    /// How many run at once for one repository; 4 unless set.
    pub per_repo: usize,
    /// How many run at once for one user; 4 unless set.
    pub per_client: usize,
    /// How many wait for their turn; 64 unless set. The next one is turned away.
    pub queue: usize,
    /// How long one waits for its turn; 30 s unless set.
    pub wait: Duration,
    /// The largest pack, in bytes; 1 GiB unless set.
    pub pack_bytes: u64,
    /// The largest repository, in bytes of its packs; 4 GiB unless set.
    pub repo_bytes: u64,
    /// The most refs that one push changes; 5,000 unless set.
    pub commands: usize,
    /// The longest name of a ref, in bytes; 1,024 unless set. Each part of it has 255 at most.
    pub ref_name_bytes: usize,
    /// The most push options; 64 unless set.
    pub options: usize,
    /// The longest push option, in bytes; 4,096 unless set.
    pub option_bytes: usize,
    /// How long a client may say nothing before its pack begins; 10 min unless set.
    pub idle: Duration,
    /// How long a client may say nothing while it sends its pack; 2 min unless set.
    pub pack_idle: Duration,
    /// How long one may take in all; 2 h unless set.
    pub total: Duration,
    /// How much of a refused pack is read before the connection is closed, in bytes; 64 MiB unless set.
    pub drain_bytes: u64,
    /// How long a refused pack is read before the connection is closed; 10 s unless set.
    pub drain_time: Duration,
    /// How long the plugins may think about a push, in all; 10 s unless set.
    pub decision: Duration,
}

/// Limits on SSH connections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SshLimits {
    /// How many connections there are at once; 1,024 unless set.
    pub connections: usize,
    /// How many connections one address has at once; 64 unless set.
    pub per_address: usize,
    /// How many commands one connection runs at once; 10 unless set.
    pub sessions: usize,
    /// How long a client may take to prove who it is; 30 s unless set.
    pub login: Duration,
    /// How many keys a client may try; 6 unless set.
    pub attempts: usize,
}

impl Limits {
    /// How long the lines of accounts' logs are kept.
    pub(crate) fn audit_kept(&self) -> TimeDelta {
        TimeDelta::days(self.audit_days.max(MIN_AUDIT_DAYS).into())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            artifact_bytes: 1 << 30,
            audit_days: MIN_AUDIT_DAYS,
            body_bytes: 1 << 20,
            fetch: FetchLimits::default(),
            push: PushLimits::default(),
            ssh: SshLimits::default(),
        }
    }
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            at_once: 2 * processors(),
            per_repo: 8,
            per_client: 4,
            queue: 64,
            wait: Duration::from_secs(30),
            request_bytes: 16 << 20,
            negotiation: Duration::from_secs(600),
            idle: Duration::from_secs(600),
            total: Duration::from_secs(2 * 60 * 60),
        }
    }
}

impl Default for PushLimits {
    fn default() -> Self {
        Self {
            at_once: processors().max(2),
            per_repo: 4,
            per_client: 4,
            queue: 64,
            wait: Duration::from_secs(30),
            pack_bytes: 1 << 30,
            repo_bytes: 4 << 30,
            commands: 5_000,
            ref_name_bytes: 1_024,
            options: 64,
            option_bytes: 4_096,
            idle: Duration::from_secs(600),
            pack_idle: Duration::from_secs(120),
            total: Duration::from_secs(2 * 60 * 60),
            drain_bytes: 64 << 20,
            drain_time: Duration::from_secs(10),
            decision: Duration::from_secs(10),
        }
    }
}

impl Default for SshLimits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            per_address: 64,
            sessions: 10,
            login: Duration::from_secs(30),
            attempts: 6,
        }
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_an_account_is_kept_for_ninety_days_at_least() {
        let kept = |audit_days| {
            let limits = Limits {
                audit_days,
                ..Limits::default()
            };
            limits.audit_kept().num_days()
        };
        assert_eq!((kept(0), kept(90), kept(365)), (90, 90, 365));
    }
}
