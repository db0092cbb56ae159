//! How often passwords may be guessed in a quarter of an hour: from one address ten times for a name and fifty times in all,
//! and a hundred times for a name wherever that is tried.
//!
//! Invariant: who has to wait is told for how long, and that holds for the right password too. How long a guess takes is
//! not measured here.

use chrono::TimeDelta;
use futures::future::join_all;

use super::assert_is_page;
use crate::support::browser::{Browser, PASSWORD};
use crate::support::{Answer, Database, World};

const HERE: &str = "192.0.2.1";
const THERE: &str = "192.0.2.2";

/// Signs in with a fresh browser at that address.
async fn sign_in(world: &World, from: &str, name: &str, password: &str) -> u16 {
    let mut browser = Browser::new(world).at(from);
    browser.sign_in(name, password).await.status.as_u16()
}

/// Guesses wrong that many times, for as many names.
async fn guess_names(world: &World, from: impl Fn(usize) -> String, times: usize) {
    for i in 0..times {
        let status = sign_in(world, &from(i), &format!("nobody{i}"), "wrong horse").await;
        assert_eq!(status, 403, "guess {i} from {}", from(i));
    }
}

/// Guesses wrong that many times for one name.
async fn guess_name(world: &World, name: &str, times: usize) {
    for i in 0..times {
        let status = sign_in(world, HERE, name, "wrong horse").await;
        assert_eq!(status, 403, "guess {i}");
    }
}

/// How many seconds an answer says to wait.
fn told_to_wait(answer: &Answer) -> i64 {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_is_page(answer);
    let seconds = answer.headers["retry-after"].to_str().unwrap();
    seconds.parse().unwrap()
}

#[tokio::test]
async fn a_name_waits_where_ten_wrong_passwords_came_from_and_nowhere_else() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        guess_name(&world, "alice", 10).await;
        for password in ["wrong horse", PASSWORD] {
            let refused = Browser::new(&world)
                .at(HERE)
                .sign_in("alice", password)
                .await;
            let seconds = told_to_wait(&refused);
            assert!((890..=901).contains(&seconds), "{seconds}");
        }
        assert_eq!(sign_in(&world, HERE, "stranger", PASSWORD).await, 303);
        // Nobody is kept out by somebody elsewhere.
        assert_eq!(sign_in(&world, THERE, "alice", PASSWORD).await, 303);
        world.end().await;
    }
}

#[tokio::test]
async fn a_name_waits_after_a_hundred_wrong_passwords_wherever_they_come_from() {
    let world = World::with_pages(Database::Sqlite).await;
    for i in 0..100 {
        let from = format!("198.51.100.{}", i % 20);
        let status = sign_in(&world, &from, "alice", "wrong horse").await;
        assert_eq!(status, 403, "guess {i}");
    }
    assert_eq!(sign_in(&world, HERE, "alice", PASSWORD).await, 429);
    assert_eq!(sign_in(&world, HERE, "stranger", PASSWORD).await, 303);
    world.end().await;
}

#[tokio::test]
async fn another_spelling_of_a_name_waits_with_it() {
    let world = World::with_pages(Database::Sqlite).await;
    guess_name(&world, "~alice", 5).await;
    guess_name(&world, " alice", 5).await;
    assert_eq!(sign_in(&world, HERE, "alice", PASSWORD).await, 429);
    world.end().await;
}

#[tokio::test]
async fn an_unknown_name_waits_as_a_known_one_does() {
    let world = World::with_pages(Database::Sqlite).await;
    guess_name(&world, "bobby", 10).await;
    guess_name(&world, "writer", 10).await;
    for name in ["bobby", "writer"] {
        assert_eq!(sign_in(&world, HERE, name, "wrong horse").await, 429);
    }
    world.end().await;
}

#[tokio::test]
async fn an_address_waits_after_fifty_wrong_passwords_for_whatever_names() {
    let world = World::with_pages(Database::Sqlite).await;
    guess_names(&world, |_| HERE.to_owned(), 50).await;
    let refused = Browser::new(&world)
        .at(HERE)
        .sign_in("alice", PASSWORD)
        .await;
    told_to_wait(&refused);
    assert_eq!(sign_in(&world, THERE, "alice", PASSWORD).await, 303);
    world.end().await;
}

#[tokio::test]
async fn an_ipv6_address_counts_with_its_neighbourhood() {
    let world = World::with_pages(Database::Sqlite).await;
    let from = |i: usize| format!("2001:db8:0:1:{i:x}::{i:x}");
    guess_names(&world, from, 50).await;
    for neighbour in ["2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::"] {
        assert_eq!(sign_in(&world, neighbour, "alice", PASSWORD).await, 429);
    }
    for other in ["2001:db8:0:2::1", "2001:db8:0:0:ffff::1", HERE] {
        assert_eq!(
            sign_in(&world, other, "alice", PASSWORD).await,
            303,
            "{other}"
        );
    }
    world.end().await;
}

/// A socket that takes both kinds of addresses names IPv4 ones so; they are no neighbourhood.
#[tokio::test]
async fn a_mapped_address_counts_as_the_ipv4_address_that_it_is() {
    let world = World::with_pages(Database::Sqlite).await;
    guess_names(&world, |_| format!("::ffff:{HERE}"), 50).await;
    assert_eq!(sign_in(&world, HERE, "alice", PASSWORD).await, 429);
    let there = format!("::ffff:{THERE}");
    assert_eq!(sign_in(&world, &there, "alice", PASSWORD).await, 303);
    world.end().await;
}

#[tokio::test]
async fn a_right_password_after_wrong_ones_begins_anew_for_the_name() {
    let world = World::with_pages(Database::Sqlite).await;
    for _ in 0..2 {
        guess_name(&world, "alice", 9).await;
        assert_eq!(sign_in(&world, HERE, "alice", PASSWORD).await, 303);
    }
    world.end().await;
}

/// Whoever has an account must not clear the way for guessing at others'.
#[tokio::test]
async fn a_right_password_forgives_an_address_nothing_and_costs_it_nothing() {
    let world = World::with_pages(Database::Sqlite).await;
    guess_names(&world, |_| HERE.to_owned(), 49).await;
    for _ in 0..3 {
        assert_eq!(sign_in(&world, HERE, "alice", PASSWORD).await, 303);
    }
    assert_eq!(sign_in(&world, HERE, "bobby", "wrong horse").await, 403);
    assert_eq!(sign_in(&world, HERE, "alice", PASSWORD).await, 429);
    world.end().await;
}

#[tokio::test]
async fn who_waits_as_long_as_told_gets_in() {
    let world = World::with_pages(Database::Sqlite).await;
    guess_name(&world, "alice", 10).await;
    world.clock.advance(TimeDelta::minutes(10));
    let refused = Browser::new(&world)
        .at(HERE)
        .sign_in("alice", PASSWORD)
        .await;
    let seconds = told_to_wait(&refused);
    assert!((290..=301).contains(&seconds), "{seconds}");
    world.clock.advance(TimeDelta::seconds(seconds));
    assert_eq!(sign_in(&world, HERE, "alice", PASSWORD).await, 303);
    world.end().await;
}

#[tokio::test]
async fn wrong_passwords_are_forgotten_after_a_quarter_of_an_hour() {
    let world = World::with_pages(Database::Sqlite).await;
    guess_names(&world, |_| HERE.to_owned(), 40).await;
    guess_name(&world, "alice", 10).await;
    assert_eq!(sign_in(&world, HERE, "alice", PASSWORD).await, 429);
    world.clock.advance(TimeDelta::minutes(15));
    guess_name(&world, "alice", 9).await;
    assert_eq!(sign_in(&world, HERE, "alice", PASSWORD).await, 303);
    world.end().await;
}

/// Whether the tenth was wrong is not known yet when the eleventh comes.
#[tokio::test]
async fn guesses_at_the_same_time_are_not_more() {
    let world = World::with_pages(Database::Sqlite).await;
    let guesses = (0..30).map(|_| sign_in(&world, HERE, "alice", "wrong horse"));
    let answers = join_all(guesses).await;
    let looked_at = answers.iter().filter(|status| **status == 403).count();
    assert!((1..=10).contains(&looked_at), "{answers:?}");
    // The others wait, or find too many before them.
    let others = answers.iter().filter(|status| [429, 503].contains(*status));
    assert_eq!(looked_at + others.count(), 30, "{answers:?}");
    world.end().await;
}
