//! Time and randomness: the only place of the workspace that may ask the operating system for either.
//!
//! Invariant: a [`Timestamp`] made here has whole microseconds, so every store gives back what it was given.
//! It does not measure durations; use `tokio::time` for those.

use chrono::{DateTime, SubsecRound, Utc};

use crate::Result;

/// A moment in UTC, in whole microseconds.
pub type Timestamp = DateTime<Utc>;

/// Where "now" comes from.
pub trait Clock: Send + Sync + 'static {
    /// The present, in whole microseconds.
    fn now(&self) -> Timestamp;
}

/// Where unpredictable bytes come from: tokens, identifiers.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `out` completely.
    ///
    /// # Errors
    /// The source is unusable; nothing secret may be made from `out` then.
    fn fill(&self, out: &mut [u8]) -> Result<()>;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everybody else must use"
    )]
    fn now(&self) -> Timestamp {
        Utc::now().trunc_subsecs(6)
    }
}

/// The operating system's random number generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the source that everybody else must use"
    )]
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        getrandom::fill(out).map_err(|e| crate::Error::internal(e.to_string()))
    }
}
