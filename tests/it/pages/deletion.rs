//! The page on which users delete their accounts.
//!
//! Invariant: each test that is refused sends what would succeed but for one thing, and finds the account as it was. What a
//! deletion removes is tested in `accounts`.

use chrono::TimeDelta;
use http::Method;

use super::{SESSION, assert_is_page, is_signed_in};
use crate::support::browser::{Browser, PASSWORD, hidden, sent_to};
use crate::support::{Answer, Database, Persona, World};

const PAGE: &str = "/profile/delete";

/// Sends the form of the page.
async fn delete(browser: &mut Browser<'_>, name: &str, password: &str) -> Answer {
    browser.get(PAGE).await;
    let fields = [("username", name), ("password", password)];
    browser.submit(PAGE, &fields).await
}

/// What the page says is wrong, and of which field.
fn fault(page: &Answer) -> (&str, &str) {
    assert_is_page(page);
    let (_, rest) = page.text().split_once("role=\"alert\"").expect("a fault");
    let message = rest.split(['>', '<']).nth(1).expect("a message");
    let inputs = rest.split("<input ");
    let input = inputs.filter(|input| input.contains("aria-invalid=\"true\""));
    let input = input.last().expect("a field");
    let name = input.split("name=\"").nth(1).expect("a name");
    (name.split('"').next().unwrap(), message)
}

/// Expects that nothing has begun.
async fn assert_is_there(world: &World, browser: &mut Browser<'_>) {
    world.settle().await;
    assert!(is_signed_in(browser).await);
    assert_eq!(world.get(Persona::Owner, "/api/user").await.status, 200);
}

#[tokio::test]
async fn the_page_says_what_goes_and_that_there_is_no_way_back() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let account = browser.get("/oauth2").await;
    let link = "<a href=\"/meta/profile/delete\">";
    let text = account.text().replace("&#x2f;", "/");
    assert!(text.contains(link), "{text}");
    let page = browser.get(PAGE).await;
    assert_eq!(page.status, 200);
    assert_is_page(&page);
    for words in [
        "<strong>~alice</strong>",
        "all of your repositories",
        "neither called off nor undone",
        "name=\"username\"",
        "name=\"password\"",
    ] {
        assert!(page.text().contains(words), "no {words} in {page:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn who_types_name_and_password_is_signed_out_and_deleted() {
    for name in ["alice", "~alice", " alice "] {
        for database in Database::all() {
            let world = World::with_pages(database).await;
            let mut browser = Browser::of(&world, "alice").await;
            let mut other = Browser::of(&world, "alice").await;
            let begun = delete(&mut browser, name, PASSWORD).await;
            assert_eq!(begun.status, 200, "{begun:?}");
            assert_is_page(&begun);
            assert!(begun.text().contains("Your account is being deleted"));
            assert!(begun.text().contains("You are signed out"));
            assert_eq!(browser.cookie(SESSION), None);
            assert!(!is_signed_in(&mut other).await);
            assert_eq!(world.get(Persona::Owner, "/api/user").await.status, 403);
            let back = browser.sign_in("alice", PASSWORD).await;
            assert!(back.text().contains("this account is being deleted"));
            world.settle().await;
            assert_eq!(world.get(Persona::Owner, "/api/user").await.status, 401);
            let (system, path) = (world.system(), "~alice/open".parse().unwrap());
            assert_eq!(system.find_repo(&path).await.unwrap(), None);
            world.end().await;
        }
    }
}

#[tokio::test]
async fn a_wrong_name_deletes_nothing() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        for name in ["", "stranger", "Alice", "~~alice", "alice x", "al\u{0}ice"] {
            let refused = delete(&mut browser, name, PASSWORD).await;
            assert_eq!(refused.status, 400, "{name:?}");
            let (field, message) = fault(&refused);
            assert_eq!(field, "username");
            assert!(message.contains("must be “alice”"), "{message}");
            assert_is_there(&world, &mut browser).await;
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_wrong_password_deletes_nothing() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        for password in ["", "wrong horse", &"x".repeat(100_000)] {
            let refused = delete(&mut browser, "alice", password).await;
            assert_eq!(refused.status, 403);
            assert_eq!(fault(&refused).0, "password");
            assert_is_there(&world, &mut browser).await;
        }
        world.end().await;
    }
}

/// A browser that was left alone is no way around what limits guesses.
#[tokio::test]
async fn guesses_count_with_those_of_signing_in() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        for _ in 0..10 {
            let refused = delete(&mut browser, "alice", "wrong horse").await;
            assert_eq!(refused.status, 403);
        }
        let refused = delete(&mut browser, "alice", PASSWORD).await;
        assert_eq!(refused.status, 429);
        assert_eq!(fault(&refused).0, "password");
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
        let mut new = Browser::new(&world);
        assert_eq!(new.sign_in("alice", PASSWORD).await.status, 429);
        assert_is_there(&world, &mut browser).await;
        world.clock.advance(TimeDelta::minutes(15));
        let begun = delete(&mut browser, "alice", PASSWORD).await;
        assert_eq!(begun.status, 200);
        world.end().await;
    }
}

#[tokio::test]
async fn another_site_deletes_nobodys_account() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let page = browser.get(PAGE).await;
    let token = hidden(&page, "token").unwrap();
    let fields = format!("username=alice&password={}", PASSWORD.replace(' ', "+"));
    for (origin, token) in [
        ("https://evil.example", token.as_str()),
        ("https://git.example.org", ""),
    ] {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", origin),
        ];
        let body = format!("{fields}&token={token}").into();
        let refused = browser.send(Method::POST, PAGE, &headers, body).await;
        assert_eq!(refused.status, 403, "{origin}");
        assert_is_page(&refused);
        assert_is_there(&world, &mut browser).await;
    }
    world.end().await;
}

#[tokio::test]
async fn a_stranger_is_asked_to_sign_in_and_comes_back() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::new(&world);
    let (place, query) = sent_to(&browser.get(PAGE).await);
    assert_eq!(place, "https://git.example.org/meta/login");
    assert_eq!(query["return_to"], format!("/meta{PAGE}"));
    world.end().await;
}
