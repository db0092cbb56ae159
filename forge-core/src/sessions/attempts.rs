//! How often something was tried lately that is not to be tried often: wrong passwords and user codes, mails, devices.
//!
//! Invariant: it counts for each name it is given, and forgets within a quarter of an hour. Where memory is short, those
//! who tried least are forgotten first. It is this process's own memory: of several processes, each counts for itself.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;

use crate::clock::Timestamp;

/// How long an attempt counts.
const WINDOW: TimeDelta = TimeDelta::minutes(15);
/// The most names that are kept.
const MOST: usize = 100_000;

/// Who is taken for one and the same: an IPv4 address, or a network of 64 bits, which one household is given (RFC 6177).
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            Ipv6Addr::from(network).into()
        }
        v4 => v4,
    }
}

#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<String, (u32, Timestamp)>>);

impl Attempts {
    /// How long whoever goes by this name has to wait after `most` attempts; `None` if not at all.
    pub(crate) fn wait(&self, name: &str, most: u32, now: Timestamp) -> Option<TimeDelta> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = names.get(name)?;
        let left = *since + WINDOW - now;
        (*count >= most && left > TimeDelta::zero()).then_some(left)
    }

    /// Counts an attempt.
    pub(crate) fn fail(&self, name: &str, now: Timestamp) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MOST {
            forget(&mut names, MOST / 2, now);
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

    /// Forgets the attempts of a name.
    pub(crate) fn succeed(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.remove(name);
    }
}

/// Makes room: whoever floods this with names must not free a name that has been tried often.
fn forget(names: &mut HashMap<String, (u32, Timestamp)>, keep: usize, now: Timestamp) {
    names.retain(|_, (_, since)| now - *since < WINDOW);
    if names.len() <= keep {
        return;
    }
    let mut counts: Vec<_> = names.values().map(|(count, _)| *count).collect();
    counts.sort_unstable();
    let least = counts[counts.len() - keep];
    names.retain(|_, (count, _)| *count > least);
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
    fn a_flood_of_names_does_not_free_one_that_was_tried_often() {
        let mut names = HashMap::from([("ann".to_owned(), (10, at(0)))]);
        for i in 0..100 {
            names.insert(format!("x{i}"), (1, at(1)));
        }
        names.insert("old".to_owned(), (90, at(-20)));
        forget(&mut names, 50, at(1));
        assert_eq!(names.into_keys().collect::<Vec<_>>(), ["ann"]);
    }

    #[test]
    fn an_address_counts_with_its_neighbourhood() {
        let at = |text: &str| neighbourhood(text.parse().expect("an address")).to_string();
        assert_eq!(at("192.0.2.7"), "192.0.2.7");
        assert_eq!(at("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(at("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
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
