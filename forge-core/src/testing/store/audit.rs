//! The account's log.

use std::net::IpAddr;

use super::{a_user, assert_not_found, at, changed, listed, refused, walked};
use crate::Page;
use crate::audit::{Entry, NewEntry};
use crate::clock::Timestamp;
use crate::ids::{AuditId, UserId};
use crate::store::Store;

pub(super) async fn all(store: &dyn Store) {
    a_line_comes_back_as_it_was(store).await;
    a_line_needs_its_user(store).await;
    several_users_get_a_line_each(store).await;
    lines_are_paged_newest_first(store).await;
    old_lines_are_purged(store).await;
}

fn line(ip: Option<&str>, details: Option<&str>) -> NewEntry {
    NewEntry {
        ip: ip.map(|ip| ip.parse().expect("an address")),
        action: "SSH key added",
        details: details.map(str::to_owned),
    }
}

async fn write(store: &dyn Store, user: UserId, new: &NewEntry, now: Timestamp) {
    changed(store, async |tx| tx.insert_audit(&[user], new, now).await).await;
}

async fn log(store: &dyn Store, user: UserId) -> Vec<Entry> {
    listed(store.audit_log(user, Page::default())).await
}

async fn a_line_comes_back_as_it_was(store: &dyn Store) {
    let user = a_user(store).await;
    for (ip, details) in [
        (Some("192.0.2.7"), Some("SSH key \u{1f642} added")),
        (Some("2001:db8::7"), Some("")),
        (None, None),
    ] {
        let new = line(ip, details);
        write(store, user.id, &new, at(123_456)).await;
        let lines = log(store, user.id).await;
        let last = lines.first().expect("a line").clone();
        let expected = Entry {
            id: last.id,
            created: at(123_456),
            ip: ip.map(|ip| ip.parse::<IpAddr>().expect("an address")),
            action: new.action.to_owned(),
            details: new.details,
        };
        assert_eq!(last, expected);
    }
}

async fn a_line_needs_its_user(store: &dyn Store) {
    let new = line(None, None);
    let user = a_user(store).await;
    for users in [&[UserId(i64::MAX)][..], &[user.id, UserId(i64::MAX)]] {
        let error = refused(store, async |tx| tx.insert_audit(users, &new, at(1)).await).await;
        assert_not_found(&error);
    }
    assert_eq!(log(store, user.id).await, []);
}

async fn several_users_get_a_line_each(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let new = line(Some("192.0.2.7"), Some("to all"));
    for users in [&[user.id, other.id][..], &[]] {
        changed(store, async |tx| tx.insert_audit(users, &new, at(1)).await).await;
    }
    for user in [user, other] {
        let lines = log(store, user.id).await;
        let details: Vec<_> = lines.iter().map(|line| line.details.as_deref()).collect();
        assert_eq!(details, [Some("to all")]);
    }
}

async fn lines_are_paged_newest_first(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    for number in 0..5 {
        // The order is that of writing, whatever the clocks say.
        write(store, user.id, &line(None, None), at(-number)).await;
        write(store, other.id, &line(None, None), at(number)).await;
    }
    let seen = walked(async |page| store.audit_log(user.id, page).await).await;
    let times: Vec<_> = seen.iter().map(|line| line.created).collect();
    assert_eq!(times, [at(-4), at(-3), at(-2), at(-1), at(0)]);
    let numbers: Vec<AuditId> = seen.iter().map(|line| line.id).collect();
    assert!(numbers.is_sorted_by(|one, next| one > next));
    assert_eq!(log(store, UserId(i64::MAX)).await, []);
}

async fn old_lines_are_purged(store: &dyn Store) {
    let (user, other) = (a_user(store).await, a_user(store).await);
    let past = |micros: i64| at(micros - 3_600_000_000);
    for user in [&user, &other] {
        for time in [past(-1), past(0), past(1), at(0)] {
            write(store, user.id, &line(None, None), time).await;
        }
    }
    for _ in 0..2 {
        changed(store, async |tx| tx.purge_audit(past(0)).await).await;
        for user in [&user, &other] {
            let lines = log(store, user.id).await;
            let times: Vec<_> = lines.iter().map(|line| line.created).collect();
            assert_eq!(times, [at(0), past(1), past(0)]);
        }
    }
}
