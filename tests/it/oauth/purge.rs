//! What is forgotten of what has ended, and what is not.
//!
//! Invariant: what lives works after a purge as before. What has ended is known for a day more, so that a second use of it
//! is told from nonsense, and then forgotten.

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};

use super::application::{Application, Kind, Tokens, connect, tried};
use super::refused;
use crate::support::browser::Browser;
use crate::support::{Database, World};

/// A worker that starts, purges, and ends. It does so once in a day.
async fn purge(world: &World) {
    let stop = forge::Stop::new();
    stop.stop();
    world.forge().work(stop).await.unwrap();
    world.settle().await;
}

#[tokio::test]
async fn what_lives_works_after_a_purge() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Confidential).await;
        let tokens = app.tokens(&mut alice).await;
        let code = app.code(&mut alice).await;
        let device = app.device().await;
        purge(&world).await;
        assert_eq!(tried(&world.app, &tokens.access).await, [200; 4]);
        assert_eq!(app.refresh(&tokens.refresh).await.status, 200);
        assert_eq!(app.redeem(&code).await.status, 200);
        assert_eq!(connect(&mut alice, &device).await.status, 200);
        assert_eq!(app.poll(&device).await.status, 200);
        world.end().await;
    }
}

#[tokio::test]
async fn an_authorization_that_is_renewed_outlives_every_purge() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Public).await;
        let mut tokens = app.tokens(&mut alice).await;
        for _ in 0..3 {
            world.clock.advance(TimeDelta::days(300));
            purge(&world).await;
            tokens = Tokens::of(&app.refresh(&tokens.refresh).await);
        }
        assert_eq!(tried(&world.app, &tokens.access).await, [200; 4]);
        let mut alice = Browser::of(&world, "alice").await;
        let page = alice.get("/oauth2").await;
        assert!(page.text().contains("/oauth2/authorization/"), "{page:?}");
        world.end().await;
    }
}

#[tokio::test]
async fn a_code_that_is_used_again_ends_what_it_gave_for_a_day_and_then_nothing() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Confidential).await;
        let (known, forgotten) = (app.code(&mut alice).await, app.code(&mut alice).await);
        let ended = Tokens::of(&app.redeem(&known).await);
        let kept = Tokens::of(&app.redeem(&forgotten).await);
        world.clock.advance(TimeDelta::days(1));
        purge(&world).await;
        refused(&app.redeem(&known).await, "invalid_grant");
        refused(&app.refresh(&ended.refresh).await, "invalid_grant");
        world.clock.advance(TimeDelta::days(1));
        purge(&world).await;
        refused(&app.redeem(&forgotten).await, "invalid_grant");
        assert_eq!(app.refresh(&kept.refresh).await.status, 200);
        world.end().await;
    }
}

#[tokio::test]
async fn a_device_that_looks_after_a_day_finds_nothing() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Public).await;
        let device = app.device().await;
        world.clock.advance(TimeDelta::days(1));
        purge(&world).await;
        refused(&app.poll(&device).await, "expired_token");
        world.clock.advance(TimeDelta::days(1));
        purge(&world).await;
        refused(&app.poll(&device).await, "invalid_grant");
        world.end().await;
    }
}

#[tokio::test]
async fn a_spent_refresh_token_is_known_for_as_long_as_its_successor() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Public).await;
        let spent = app.tokens(&mut alice).await;
        let tokens = Tokens::of(&app.refresh(&spent.refresh).await);
        world.clock.advance(TimeDelta::days(365));
        purge(&world).await;
        refused(&app.refresh(&spent.refresh).await, "invalid_grant");
        refused(&app.refresh(&tokens.refresh).await, "invalid_grant");
        world.end().await;
    }
}

#[tokio::test]
async fn nothing_is_left_of_what_has_ended() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    for kind in [Kind::Confidential, Kind::Legacy] {
        let app = Application::register(&world, &mut alice, kind).await;
        app.tokens(&mut alice).await;
        app.code(&mut alice).await;
    }
    let app = Application::register(&world, &mut alice, Kind::Public).await;
    let tokens = app.tokens(&mut alice).await;
    app.revoke(&tokens.refresh).await;
    app.device().await;
    let connected = app.device().await;
    connect(&mut alice, &connected).await;
    app.poll(&connected).await;

    let database = database(&world).await;
    let tables = [
        "forge_code",
        "forge_device",
        "forge_refresh_token",
        "forge_authorization",
        "forge_token",
        "forge_session",
    ];
    for table in tables {
        assert!(rows(&database, table).await > 0, "{table}");
    }
    // Everything that lives longest, and the day for which it is known afterwards.
    world.clock.advance(TimeDelta::days(368));
    purge(&world).await;
    for table in tables {
        assert_eq!(rows(&database, table).await, 0, "{table}");
    }
    assert_eq!(rows(&database, "forge_oauth_client").await, 3);
    database.close().await.unwrap();
    world.end().await;
}

/// The database of a world, beside the forge.
async fn database(world: &World) -> DatabaseConnection {
    let file = world.dir.path().join("data/forge.db");
    let url = format!("sqlite://{}?mode=ro", file.display());
    sea_orm::Database::connect(url).await.unwrap()
}

async fn rows(database: &DatabaseConnection, table: &str) -> i64 {
    let query = format!("SELECT count(*) AS there FROM {table}");
    let query = Statement::from_string(database.get_database_backend(), query);
    let row = database.query_one_raw(query).await.unwrap();
    row.unwrap().try_get("", "there").unwrap()
}
