//! Time that stands still and randomness that repeats.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta};
use sha2::{Digest as _, Sha256};

use crate::{Clock, Entropy, Result, Timestamp};

/// A clock that shows what it was set to.
#[derive(Debug)]
pub struct FixedClock(Mutex<Timestamp>);

impl FixedClock {
    /// A clock at that many seconds after the Unix epoch.
    #[must_use]
    pub fn at(seconds: i64) -> Self {
        Self(Mutex::new(
            DateTime::from_timestamp(seconds, 0).unwrap_or_default(),
        ))
    }

    /// Sets it forward.
    pub fn advance(&self, by: TimeDelta) {
        *self.lock() += by;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Timestamp> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        *self.lock()
    }
}

/// Bytes that follow from a seed: the same in each run, and no two alike in one.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<[u8; 32]>);

impl SeededEntropy {
    /// A sequence of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Sha256::digest(seed.to_le_bytes()).into()))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        let mut state = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for chunk in out.chunks_mut(32) {
            *state = Sha256::digest(*state).into();
            let output = Sha256::new()
                .chain_update(*state)
                .chain_update(b"output")
                .finalize();
            chunk
                .iter_mut()
                .zip(output)
                .for_each(|(byte, fresh)| *byte = fresh);
        }
        Ok(())
    }
}
