//! How many connections there are, in all and from where.
//!
//! Invariant: a connection has its place from before its first byte to its end. Who finds none is hung up on: waiting
//! would let a few addresses keep everybody else out. Who is behind an address is not known here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use forge_core::limits::SshLimits;

use crate::permits::subscriber;

/// The places for connections.
#[derive(Debug, Clone)]
pub(super) struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: usize,
    per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    addresses: HashMap<IpAddr, usize>,
}

/// The right to stay; given back when it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Place {
    door: Door,
    address: IpAddr,
}

impl Door {
    pub(super) fn new(limits: &SshLimits) -> Self {
        Self(Arc::new(Inner {
            all: limits.connections,
            per_address: limits.per_address,
            taken: Mutex::default(),
        }))
    }

    /// Lets somebody in, if there is room.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = subscriber(address);
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let here = taken.addresses.get(&address).copied().unwrap_or(0);
        if taken.all >= self.0.all || here >= self.0.per_address {
            return None;
        }
        taken.all += 1;
        taken.addresses.insert(address, here + 1);
        drop(taken);
        let door = self.clone();
        Some(Place { door, address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = &self.door.0.taken;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(here) = taken.addresses.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                taken.addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(all: usize, per_address: usize) -> Door {
        let mut limits = SshLimits::default();
        limits.connections = all;
        limits.per_address = per_address;
        Door::new(&limits)
    }

    fn enter(door: &Door, address: &str) -> Option<Place> {
        door.enter(address.parse().expect("an address"))
    }

    #[test]
    fn places_are_counted_in_all_and_by_address_and_given_back() {
        let door = door(3, 2);
        let first = enter(&door, "192.0.2.1").expect("room");
        let _second = enter(&door, "::ffff:192.0.2.1").expect("room");
        assert!(enter(&door, "192.0.2.1").is_none(), "two from one address");
        let _third = enter(&door, "192.0.2.2").expect("room");
        assert!(enter(&door, "192.0.2.3").is_none(), "three in all");
        drop(first);
        let _again = enter(&door, "192.0.2.1").expect("a place was given back");
    }

    #[test]
    fn a_network_of_one_subscriber_is_one_address() {
        let door = door(9, 1);
        let _first = enter(&door, "2001:db8:1:2::1").expect("room");
        assert!(enter(&door, "2001:db8:1:2:ffff::2").is_none());
        let _other = enter(&door, "2001:db8:1:3::1").expect("another network");
    }
}
