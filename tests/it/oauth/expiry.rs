//! When things end by themselves.
//!
//! Invariant: each works a moment before its end, and at its end does not. What is kept of it afterwards is in `purge`.

use chrono::TimeDelta;

use super::application::{Application, Kind, Tokens, connect, tried};
use super::{MOMENT, refused};
use crate::support::browser::{Browser, shown};
use crate::support::{Database, World};

/// The life of an access token, of what renews it, and of a token of the older scheme.
pub(super) const ACCESS: TimeDelta = TimeDelta::days(1);
const REFRESH: TimeDelta = TimeDelta::days(366);
const LEGACY: TimeDelta = TimeDelta::days(365);
/// The life of a code, of one of the older scheme, and of a device's.
const CODE: TimeDelta = TimeDelta::minutes(5);
const EXCHANGE: TimeDelta = TimeDelta::minutes(15);
const DEVICE: TimeDelta = TimeDelta::minutes(15);

#[tokio::test]
async fn a_code_is_good_for_five_minutes() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Confidential).await;
        let (in_time, late) = (app.code(&mut alice).await, app.code(&mut alice).await);
        world.clock.advance(CODE - MOMENT);
        assert_eq!(app.redeem(&in_time).await.status, 200);
        world.clock.advance(MOMENT);
        refused(&app.redeem(&late).await, "invalid_grant");
        world.end().await;
    }
}

#[tokio::test]
async fn a_code_of_the_older_scheme_is_good_for_fifteen_minutes() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Legacy).await;
        let (in_time, late) = (app.code(&mut alice).await, app.code(&mut alice).await);
        world.clock.advance(EXCHANGE - MOMENT);
        assert_eq!(app.redeem(&in_time).await.status, 200);
        world.clock.advance(MOMENT);
        assert_eq!(app.redeem(&late).await.status, 400);
        world.end().await;
    }
}

#[tokio::test]
async fn an_access_token_is_good_for_a_day_and_can_be_renewed_then() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Public).await;
        let tokens = app.tokens(&mut alice).await;
        world.clock.advance(ACCESS - MOMENT);
        assert_eq!(tried(&world.app, &tokens.access).await, [200; 4]);
        assert!(app.is_active(&tokens.access).await);
        world.clock.advance(MOMENT);
        assert_eq!(tried(&world.app, &tokens.access).await, [401; 4]);
        assert!(!app.is_active(&tokens.access).await);
        let renewed = Tokens::of(&app.refresh(&tokens.refresh).await);
        assert_eq!(tried(&world.app, &renewed.access).await, [200; 4]);
        world.end().await;
    }
}

#[tokio::test]
async fn a_refresh_token_is_good_for_a_year_and_its_successor_for_another() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Confidential).await;
        let mut tokens = app.tokens(&mut alice).await;
        for _ in 0..3 {
            world.clock.advance(REFRESH - MOMENT);
            assert!(app.is_active(&tokens.refresh).await);
            tokens = Tokens::of(&app.refresh(&tokens.refresh).await);
            assert_eq!(tried(&world.app, &tokens.access).await, [200; 4]);
        }
        world.clock.advance(REFRESH);
        assert!(!app.is_active(&tokens.refresh).await);
        refused(&app.refresh(&tokens.refresh).await, "invalid_grant");
        world.end().await;
    }
}

#[tokio::test]
async fn a_token_of_the_older_scheme_is_good_for_365_days() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Legacy).await;
        let code = app.code(&mut alice).await;
        let answer = app.redeem(&code).await;
        assert_eq!(answer.json()["expires"], "2024-11-13T22:13:20");
        let token = Tokens::of(&answer).access;
        world.clock.advance(LEGACY - MOMENT);
        assert_eq!(tried(&world.app, &token).await, [200; 4]);
        world.clock.advance(MOMENT);
        assert_eq!(tried(&world.app, &token).await, [401; 4]);
        world.end().await;
    }
}

#[tokio::test]
async fn a_device_is_answered_within_fifteen_minutes_or_not_at_all() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Public).await;
        let (in_time, late) = (app.device().await, app.device().await);
        world.clock.advance(DEVICE - MOMENT);
        refused(&app.poll(&late).await, "authorization_pending");
        assert_eq!(connect(&mut alice, &in_time).await.status, 200);
        assert_eq!(app.poll(&in_time).await.status, 200);
        world.clock.advance(MOMENT);
        let page = format!("/oauth2/device?user_code={}", late.user_code);
        assert_eq!(alice.get(&page).await.status, 404);
        refused(&app.poll(&late).await, "expired_token");
        world.end().await;
    }
}

#[tokio::test]
async fn an_answer_that_comes_in_time_and_is_fetched_late_is_lost() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Public).await;
        let device = app.device().await;
        assert_eq!(connect(&mut alice, &device).await.status, 200);
        world.clock.advance(DEVICE);
        refused(&app.poll(&device).await, "expired_token");
        world.end().await;
    }
}

#[tokio::test]
async fn a_page_that_was_open_too_long_connects_no_device() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Public).await;
    let device = app.device().await;
    let page = format!("/oauth2/device?user_code={}", device.user_code);
    assert_eq!(alice.get(&page).await.status, 200);
    world.clock.advance(DEVICE);
    let fields = [
        ("user_code", device.user_code.as_str()),
        ("decision", "allow"),
        ("git.sr.ht/OBJECTS", "RO"),
    ];
    assert_eq!(alice.submit("/oauth2/device", &fields).await.status, 404);
    refused(&app.poll(&device).await, "expired_token");
    world.end().await;
}

#[tokio::test]
async fn a_personal_token_ends_on_the_day_that_was_chosen() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    alice.get("/oauth2").await;
    let fields = [("days", "30"), ("everything", "on")];
    let made = alice.submit("/oauth2/personal-token", &fields).await;
    let token = shown(&made, "token");
    world.clock.advance(TimeDelta::days(30) - MOMENT);
    assert_eq!(tried(&world.app, &token).await, [200; 4]);
    world.clock.advance(MOMENT);
    assert_eq!(tried(&world.app, &token).await, [401; 4]);
    world.end().await;
}
