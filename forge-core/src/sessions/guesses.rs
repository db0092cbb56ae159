//! How often passwords may be guessed.
//!
//! Invariant: a guess is counted before the password is looked at, so guesses at the same time count, too. What a right one
//! opens is not known here.

use std::net::IpAddr;

use super::{Attempts, neighbourhood};
use crate::clock::Timestamp;
use crate::names::UserName;

/// How many wrong passwords in a quarter of an hour make wait: a name from one address, the name from anywhere, and the
/// address. Whoever wants to keep somebody out must come from many addresses.
const WRONG_FROM_THERE: u32 = 10;
const WRONG_FOR_NAME: u32 = 100;
const WRONG_FOR_ADDRESS: u32 = 50;

/// A password that somebody shows for a name.
pub(super) struct Guess {
    from_there: String,
    by_name: String,
    by_address: Option<String>,
}

impl Guess {
    /// What cannot be a name is one name: else each would have guesses of its own, and take its memory.
    pub(super) fn new(name: Option<&UserName>, address: Option<IpAddr>) -> Self {
        let by_name = format!("name {}", name.map_or("?", UserName::as_str));
        let there = address.map_or_else(|| "?".to_owned(), |it| neighbourhood(it).to_string());
        Self {
            from_there: format!("{by_name} at {there}"),
            by_name,
            by_address: address.map(|_| format!("address {there}")),
        }
    }

    /// Counts it; or how many seconds to wait before the next one.
    pub(super) fn begin(&self, attempts: &Attempts, now: Timestamp) -> Result<(), u64> {
        let mut limits = vec![
            (&self.from_there, WRONG_FROM_THERE),
            (&self.by_name, WRONG_FOR_NAME),
        ];
        limits.extend(self.by_address.as_ref().map(|it| (it, WRONG_FOR_ADDRESS)));
        let waits = limits
            .iter()
            .filter_map(|(name, most)| attempts.wait(name, *most, now));
        if let Some(wait) = waits.max() {
            return Err(u64::try_from(wait.num_seconds()).unwrap_or(0) + 1);
        }
        for (name, _) in limits {
            attempts.fail(name, now);
        }
        Ok(())
    }

    /// It was right.
    pub(super) fn succeed(&self, attempts: &Attempts) {
        attempts.succeed(&self.from_there);
        // Others share these; and who has a password of their own must not clear them for guessing at others'.
        attempts.take_back(&self.by_name);
        if let Some(by_address) = &self.by_address {
            attempts.take_back(by_address);
        }
    }
}
