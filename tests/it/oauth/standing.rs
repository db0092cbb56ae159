//! Users and owners of clients who are suspended, and those who are let back.
//!
//! Invariant: whom a suspension touches is refused everywhere from the next request on, and nothing is lost by it: when
//! it is lifted, tokens, clients and devices are what they were. Codes, which live for minutes, are not.

use http::StatusCode;
use serde_json::json;

use super::application::{Application, Kind, Tokens, allow, connect, get, tried};
use super::{refused, unknown};
use crate::support::browser::{Browser, sent_to};
use crate::support::{Answer, Database, World};

const NOTICE: &str = "spam";

async fn suspend(world: &World, user: &str) {
    let user = user.parse().unwrap();
    world.system().suspend(&user, Some(NOTICE)).await.unwrap();
}

async fn lift(world: &World, user: &str) {
    let user = user.parse().unwrap();
    world.system().suspend(&user, None).await.unwrap();
}

/// A page says why it asks for nothing, and leads nowhere.
#[track_caller]
fn asks_for_nothing(page: &Answer) {
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{page:?}");
    assert!(!page.headers.contains_key("location"), "{page:?}");
    assert!(!page.text().contains("decision"), "{page:?}");
}

#[tokio::test]
async fn a_suspended_users_tokens_are_refused_until_the_suspension_is_lifted() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        for kind in [Kind::Confidential, Kind::Public, Kind::Legacy] {
            let app = Application::register(&world, &mut owner, kind).await;
            let token = app.tokens(&mut alice).await.access;
            suspend(&world, "alice").await;
            assert_eq!(tried(&world.app, &token).await, [403; 4], "{kind:?}");
            lift(&world, "alice").await;
            assert_eq!(tried(&world.app, &token).await, [200; 4], "{kind:?}");
            // The suspension has signed her out.
            alice = Browser::of(&world, "alice").await;
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_suspended_user_is_told_the_notice_by_every_service() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let mut owner = Browser::of(&world, "stranger").await;
    let app = Application::register(&world, &mut owner, Kind::Public).await;
    let bearer = format!("Bearer {}", app.tokens(&mut alice).await.access);
    suspend(&world, "alice").await;
    for path in [
        "/api/user",
        "/meta/api/user/profile",
        "/~alice/secret/info/refs?service=git-upload-pack",
        "/~alice/secret/info/refs?service=git-receive-pack",
    ] {
        let answer = get(&world.app, path, &bearer).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.text().contains(NOTICE), "{path}: {answer:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_suspended_users_authorization_rests_until_the_suspension_is_lifted() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        let app = Application::register(&world, &mut owner, Kind::Confidential).await;
        let tokens = app.tokens(&mut alice).await;
        suspend(&world, "alice").await;
        for token in [&tokens.access, &tokens.refresh] {
            let found = app.introspect(token).await;
            assert_eq!(found.status, StatusCode::OK);
            assert_eq!(found.json(), json!({"active": false}));
        }
        refused(&app.refresh(&tokens.refresh).await, "invalid_grant");
        lift(&world, "alice").await;
        for token in [&tokens.access, &tokens.refresh] {
            assert!(app.is_active(token).await);
        }
        let renewed = Tokens::of(&app.refresh(&tokens.refresh).await);
        assert_eq!(tried(&world.app, &renewed.access).await, [200; 4]);
        world.end().await;
    }
}

#[tokio::test]
async fn a_suspended_users_device_waits_until_the_suspension_is_lifted() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        let app = Application::register(&world, &mut owner, Kind::Public).await;
        let device = app.device().await;
        assert_eq!(connect(&mut alice, &device).await.status, StatusCode::OK);
        suspend(&world, "alice").await;
        refused(&app.poll(&device).await, "invalid_grant");
        lift(&world, "alice").await;
        let tokens = Tokens::of(&app.poll(&device).await);
        assert_eq!(tried(&world.app, &tokens.access).await, [200; 4]);
        world.end().await;
    }
}

#[tokio::test]
async fn a_suspended_users_code_is_used_up_for_nothing() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        let app = Application::register(&world, &mut owner, Kind::Confidential).await;
        let code = app.code(&mut alice).await;
        suspend(&world, "alice").await;
        refused(&app.redeem(&code).await, "invalid_grant");
        lift(&world, "alice").await;
        refused(&app.redeem(&code).await, "invalid_grant");
        world.end().await;
    }
}

#[tokio::test]
async fn a_suspended_users_exchange_gives_no_token() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let mut owner = Browser::of(&world, "stranger").await;
    let app = Application::register(&world, &mut owner, Kind::Legacy).await;
    let code = app.code(&mut alice).await;
    suspend(&world, "alice").await;
    let answer = app.redeem(&code).await;
    assert!(answer.status.is_client_error(), "{answer:?}");
    assert!(answer.json().get("token").is_none(), "{answer:?}");
    world.end().await;
}

#[tokio::test]
async fn a_suspended_user_consents_to_nothing() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        for kind in [Kind::Confidential, Kind::Legacy] {
            let app = Application::register(&world, &mut owner, kind).await;
            let page = app.page(&[]);
            assert_eq!(alice.get(&page).await.status, StatusCode::OK);
            suspend(&world, "alice").await;
            let fields = [
                ("decision", "allow"),
                ("git.sr.ht/OBJECTS", "RW"),
                ("git.sr.ht/PROFILE", "RO"),
                ("meta.sr.ht/PROFILE", "RO"),
            ];
            let (place, query) = sent_to(&alice.submit(&page, &fields).await);
            assert!(place.ends_with("/meta/login"), "{place} {query:?}");
            let (place, _) = sent_to(&alice.get(&page).await);
            assert!(place.ends_with("/meta/login"), "{place}");
            lift(&world, "alice").await;
            alice = Browser::of(&world, "alice").await;
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_suspended_owners_client_is_none_until_the_suspension_is_lifted() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        for kind in [Kind::Confidential, Kind::Public] {
            let app = Application::register(&world, &mut owner, kind).await;
            let tokens = app.tokens(&mut alice).await;
            let (code, device) = (app.code(&mut alice).await, app.device().await);
            suspend(&world, "stranger").await;
            for answer in [
                app.redeem(&code).await,
                app.refresh(&tokens.refresh).await,
                app.introspect(&tokens.access).await,
                app.revoke(&tokens.refresh).await,
                app.begin().await,
                app.poll(&device).await,
            ] {
                unknown(&answer);
            }
            lift(&world, "stranger").await;
            assert!(app.is_active(&tokens.access).await);
            assert_eq!(app.redeem(&code).await.status, StatusCode::OK);
            assert_eq!(app.refresh(&tokens.refresh).await.status, StatusCode::OK);
            owner = Browser::of(&world, "stranger").await;
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_suspended_owners_client_of_the_older_scheme_is_none() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let mut owner = Browser::of(&world, "stranger").await;
    let app = Application::register(&world, &mut owner, Kind::Legacy).await;
    let code = app.code(&mut alice).await;
    suspend(&world, "stranger").await;
    assert_eq!(app.redeem(&code).await.status, StatusCode::BAD_REQUEST);
    lift(&world, "stranger").await;
    assert_eq!(app.redeem(&code).await.status, StatusCode::OK);
    world.end().await;
}

#[tokio::test]
async fn a_suspended_owners_client_gets_nowhere_with_its_users_tokens() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        let mut tokens = Vec::new();
        for kind in [Kind::Confidential, Kind::Public, Kind::Legacy] {
            let app = Application::register(&world, &mut owner, kind).await;
            tokens.push(app.tokens(&mut alice).await.access);
        }
        let others = Application::register(&world, &mut alice, Kind::Public).await;
        let others = others.tokens(&mut alice).await.access;
        suspend(&world, "stranger").await;
        for token in &tokens {
            assert_eq!(tried(&world.app, token).await, [401; 4]);
        }
        assert_eq!(tried(&world.app, &others).await, [200; 4]);
        lift(&world, "stranger").await;
        for token in &tokens {
            assert_eq!(tried(&world.app, token).await, [200; 4]);
        }
        world.end().await;
    }
}

#[tokio::test]
async fn no_page_asks_for_a_suspended_owners_client() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        for kind in [Kind::Confidential, Kind::Legacy] {
            let app = Application::register(&world, &mut owner, kind).await;
            let page = app.page(&[]);
            assert_eq!(alice.get(&page).await.status, StatusCode::OK);
            suspend(&world, "stranger").await;
            asks_for_nothing(&alice.get(&page).await);
            let fields = [
                ("decision", "allow"),
                ("git.sr.ht/OBJECTS", "RW"),
                ("git.sr.ht/PROFILE", "RO"),
                ("meta.sr.ht/PROFILE", "RO"),
            ];
            asks_for_nothing(&alice.submit(&page, &fields).await);
            lift(&world, "stranger").await;
            sent_to(&allow(&mut alice, &page).await);
            owner = Browser::of(&world, "stranger").await;
        }
        world.end().await;
    }
}

#[tokio::test]
async fn no_page_asks_for_a_device_of_a_suspended_owners_client() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        let app = Application::register(&world, &mut owner, Kind::Public).await;
        let device = app.device().await;
        let path = format!("/oauth2/device?user_code={}", device.user_code);
        assert_eq!(alice.get(&path).await.status, StatusCode::OK);
        suspend(&world, "stranger").await;
        let page = alice.get(&path).await;
        assert!(page.status.is_client_error(), "{page:?}");
        assert!(!page.text().contains("decision"), "{page:?}");
        let fields = [
            ("user_code", device.user_code.as_str()),
            ("decision", "allow"),
            ("git.sr.ht/OBJECTS", "RO"),
        ];
        let answer = alice.submit("/oauth2/device", &fields).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
        lift(&world, "stranger").await;
        refused(&app.poll(&device).await, "authorization_pending");
        world.end().await;
    }
}
