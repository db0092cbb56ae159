//! How often something was guessed wrong: passwords and user codes.
//!
//! Invariant: it only counts what failed, for each name it is given, and forgets within a quarter of an hour. It is this
//! process's own memory: of several processes, each counts for itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;

use crate::clock::Timestamp;

/// How long wrong guesses count.
const WINDOW: TimeDelta = TimeDelta::minutes(15);
/// The most names that are kept; beyond them, those that have been quiet longest are forgotten.
const MOST: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<String, (u32, Timestamp)>>);

impl Attempts {
    /// How long whoever goes by this name has to wait after `most` wrong guesses; `None` if not at all.
    pub(crate) fn wait(&self, name: &str, most: u32, now: Timestamp) -> Option<TimeDelta> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = names.get(name)?;
        let left = *since + WINDOW - now;
        (*count >= most && left > TimeDelta::zero()).then_some(left)
    }

    /// Counts a wrong guess.
    pub(crate) fn fail(&self, name: &str, now: Timestamp) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MOST {
            names.retain(|_, (_, since)| now - *since < WINDOW);
        }
        if names.len() >= MOST {
            names.clear();
        }
        let entry = names.entry(name.to_owned()).or_insert((0, now));
        if now - entry.1 >= WINDOW {
            *entry = (0, now);
        }
        entry.0 = entry.0.saturating_add(1);
    }

    /// Takes one back that was counted and was not wrong.
    pub(crate) fn take_back(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((count, _)) = names.get_mut(name) {
            *count = count.saturating_sub(1);
        }
    }

    /// Forgets the wrong guesses of a name.
    pub(crate) fn succeed(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_timestamp_micros(0).expect("the epoch") + TimeDelta::minutes(minutes)
    }

    #[test]
    fn who_guesses_wrong_too_often_waits_until_it_is_forgotten() {
        let attempts = Attempts::default();
        for _ in 0..3 {
            assert_eq!(attempts.wait("ann", 3, at(0)), None);
            attempts.fail("ann", at(0));
        }
        assert_eq!(attempts.wait("ann", 3, at(5)), Some(TimeDelta::minutes(10)));
        assert_eq!(attempts.wait("bob", 3, at(5)), None, "others do not wait");
        assert_eq!(attempts.wait("ann", 3, at(15)), None);
        attempts.fail("ann", at(15));
        assert_eq!(attempts.wait("ann", 3, at(15)), None, "it begins anew");
    }

    #[test]
    fn what_was_not_wrong_does_not_count_and_forgives_nothing() {
        let attempts = Attempts::default();
        attempts.fail("here", at(0));
        for _ in 0..10 {
            attempts.fail("here", at(1));
            attempts.take_back("here");
        }
        assert_eq!(attempts.wait("here", 2, at(1)), None);
        attempts.fail("here", at(1));
        assert!(attempts.wait("here", 2, at(1)).is_some());
    }

    #[test]
    fn who_guesses_right_begins_anew() {
        let attempts = Attempts::default();
        attempts.fail("ann", at(0));
        attempts.succeed("ann");
        attempts.fail("ann", at(1));
        assert_eq!(attempts.wait("ann", 2, at(1)), None);
    }
}
