//! How much there may be of a thing, and what may be written in one.
//!
//! Invariant: at a limit, the last one that is allowed works, and the next is refused or takes the place of the oldest.
//! Guessing of passwords is not limited here.

use chrono::TimeDelta;
use http::StatusCode;

use super::application::{Application, Kind, NAME, REDIRECT, Tokens, connect, registration, tried};
use super::refused;
use super::revocation::authorizations;
use crate::support::browser::{Browser, shown};
use crate::support::{Answer, Database, Persona, World};

/// How many authorizations of one user and one client are in force.
const AUTHORIZATIONS: usize = 16;
/// How many devices may ask at one address in a quarter of an hour.
const DEVICES: usize = 60;
/// How many clients an account may have.
const CLIENTS: usize = 256;

/// A form was refused, and the page says something of this.
#[track_caller]
fn names(page: &Answer, word: &str) {
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{word}: {page:?}");
    let text = page.text();
    let alerts = text.split("role=\"alert\">").skip(1);
    let alerts: Vec<_> = alerts
        .map(|rest| rest.split('<').next().unwrap_or_default())
        .collect();
    let is_named = alerts.iter().any(|alert| alert.contains(word));
    assert!(is_named, "{word} is not in {alerts:?}");
}

#[tokio::test]
async fn the_seventeenth_authorization_ends_the_oldest() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Confidential).await;
        let mut all = Vec::new();
        for _ in 0..AUTHORIZATIONS {
            all.push(app.tokens(&mut alice).await);
            world.clock.advance(TimeDelta::seconds(1));
        }
        assert_eq!(tried(&world.app, &all[0].access).await, [200; 4]);
        all.push(app.tokens(&mut alice).await);
        assert_eq!(tried(&world.app, &all[0].access).await, [401; 4]);
        assert!(!app.is_active(&all[0].refresh).await);
        refused(&app.refresh(&all[0].refresh).await, "invalid_grant");
        for tokens in &all[1..] {
            assert_eq!(tried(&world.app, &tokens.access).await, [200; 4]);
            assert!(app.is_active(&tokens.refresh).await);
        }
        assert_eq!(authorizations(&mut alice).await.len(), AUTHORIZATIONS);
        world.end().await;
    }
}

#[tokio::test]
async fn a_device_counts_among_the_authorizations() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Public).await;
        let oldest = app.tokens(&mut alice).await;
        for _ in 1..AUTHORIZATIONS {
            app.tokens(&mut alice).await;
        }
        let device = app.device().await;
        connect(&mut alice, &device).await;
        let tokens = Tokens::of(&app.poll(&device).await);
        assert_eq!(tried(&world.app, &tokens.access).await, [200; 4]);
        assert_eq!(tried(&world.app, &oldest.access).await, [401; 4]);
        world.end().await;
    }
}

#[tokio::test]
async fn what_others_are_let_do_does_not_count_and_does_not_end() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut reader = Browser::of(&world, "reader").await;
        let app = Application::register(&world, &mut alice, Kind::Public).await;
        let other = Application::register(&world, &mut alice, Kind::Public).await;
        let of_reader = app.tokens(&mut reader).await;
        let of_other = other.tokens(&mut alice).await;
        for _ in 0..=AUTHORIZATIONS {
            app.tokens(&mut alice).await;
        }
        assert_eq!(tried(&world.app, &of_other.access).await, [200; 4]);
        assert!(app.is_active(&of_reader.access).await);
        assert!(app.is_active(&of_reader.refresh).await);
        world.end().await;
    }
}

#[tokio::test]
async fn the_seventeenth_authorization_is_in_the_log() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Public).await;
    for _ in 0..=AUTHORIZATIONS {
        app.tokens(&mut alice).await;
    }
    let path = "/meta/api/user/audit-log";
    let log = world.get(Persona::Owner, path).await.json();
    let newest = &log["results"][0];
    assert_eq!(newest["action"], "OAuth 2.0 grant revoked");
    let details = format!("{}: another was given", app.logged());
    assert_eq!(newest["details"], details);
    world.end().await;
}

#[tokio::test]
async fn there_is_one_token_of_the_older_scheme_for_each_user_and_client() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Legacy).await;
        let other = Application::register(&world, &mut alice, Kind::Legacy).await;
        let kept = other.tokens(&mut alice).await.access;
        let first = app.tokens(&mut alice).await.access;
        let second = app.tokens(&mut alice).await.access;
        assert_eq!(tried(&world.app, &first).await, [401; 4]);
        assert_eq!(tried(&world.app, &second).await, [200; 4]);
        assert_eq!(tried(&world.app, &kept).await, [200; 4]);
        world.end().await;
    }
}

#[tokio::test]
async fn devices_of_an_address_are_slowed_down_for_a_quarter_of_an_hour() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Public).await;
    let here = app.at("192.0.2.1");
    for _ in 0..DEVICES {
        assert_eq!(here.begin().await.status, StatusCode::OK);
    }
    let slowed = here.begin().await;
    assert_eq!(slowed.status, StatusCode::TOO_MANY_REQUESTS, "{slowed:?}");
    assert_eq!(slowed.json()["error"], "slow_down");
    assert!(slowed.json().get("device_code").is_none(), "{slowed:?}");
    let elsewhere = app.at("192.0.2.2");
    assert_eq!(elsewhere.begin().await.status, StatusCode::OK);
    world.clock.advance(TimeDelta::minutes(15));
    assert_eq!(here.begin().await.status, StatusCode::OK);
    world.end().await;
}

#[tokio::test]
async fn the_257th_client_is_refused_until_another_is_revoked() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let first = Application::register(&world, &mut alice, Kind::Confidential).await;
    let fields = [
        ("name", NAME),
        ("redirect_uri", REDIRECT),
        ("kind", "public"),
    ];
    let path = "/oauth2/client-registration";
    for _ in 1..CLIENTS {
        let made = alice.submit(path, &fields).await;
        assert_eq!(made.status, StatusCode::OK, "{made:?}");
    }
    names(&alice.submit(path, &fields).await, "256");
    let revoke = format!("/oauth2/client/{}/revoke", first.id);
    assert_eq!(alice.submit(&revoke, &[]).await.status, 303);
    let made = alice.submit(path, &fields).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    world.end().await;
}

#[tokio::test]
async fn control_characters_are_refused_wherever_they_are() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    for bad in ["a\0b", "a\u{7}b", "a\u{1b}[31mb", "a\u{7f}b", "a\u{85}b"] {
        for field in ["name", "description", "url", "redirect_uri"] {
            let address = format!("https://app.example/{bad}");
            let value = match field {
                "url" | "redirect_uri" => address.as_str(),
                _ => bad,
            };
            for kind in ["confidential", "public", "legacy"] {
                let mut fields = vec![("name", NAME), ("redirect_uri", REDIRECT), ("kind", kind)];
                fields.retain(|(name, _)| *name != field);
                fields.push((field, value));
                names(&registration(&mut alice, &fields).await, field);
            }
        }
        alice.get("/oauth2").await;
        let fields = [("everything", "on"), ("comment", bad)];
        let page = alice.submit("/oauth2/personal-token", &fields).await;
        names(&page, "comment");
    }
    let page = alice.get("/oauth2").await;
    assert!(!page.text().contains("/oauth2/client/"), "{page:?}");
    world.end().await;
}

#[tokio::test]
async fn what_is_too_long_for_a_client_is_refused_and_what_just_fits_is_not() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let address = |length: usize| {
            let start = "https://app.example/";
            format!("{start}{}", "x".repeat(length - start.len()))
        };
        for (field, fits, is_long) in [
            ("name", "ü".repeat(256), "ü".repeat(257)),
            ("description", "ü".repeat(1024), "ü".repeat(1025)),
            ("url", address(256), address(257)),
            ("redirect_uri", address(256), address(257)),
        ] {
            let with = |value| {
                let mut fields = vec![("name", NAME), ("redirect_uri", REDIRECT)];
                fields.retain(|(name, _)| *name != field);
                fields.push((field, value));
                fields
            };
            names(&registration(&mut alice, &with(&is_long)).await, field);
            let made = registration(&mut alice, &with(&fits)).await;
            assert_eq!(made.status, StatusCode::OK, "{field}");
            let id = shown(&made, "client-id");
            let asked = format!(
                "/oauth2/authorize?response_type=code&scope=git.sr.ht/OBJECTS&client_id={id}"
            );
            let page = alice.get(&asked).await;
            assert_eq!(page.status, StatusCode::OK, "{field}");
            // Slashes are escaped in pages.
            let shown = fits.rsplit('/').next().unwrap_or_default();
            assert!(page.text().contains(shown), "{field}");
        }
        world.end().await;
    }
}
