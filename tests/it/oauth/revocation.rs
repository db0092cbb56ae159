//! Ends that somebody makes: the user, the client, its owner, an operator.
//!
//! Invariant: an end is effective on the next request, and ends what belongs to it and nothing beside. The same across
//! processes is in `processes`.

use chrono::TimeDelta;
use forge::oauth::{ClientId, NewToken};
use forge::{Grants, System};
use http::StatusCode;
use serde_json::json;

use super::application::{Application, Kind, Tokens, connect, tried};
use super::{refused, unknown};
use crate::support::browser::Browser;
use crate::support::{Database, World};

/// The numbers of the authorizations on a user's page, newest first.
pub(super) async fn authorizations(user: &mut Browser<'_>) -> Vec<String> {
    let page = user.get("/oauth2").await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    let rest = page.text().split("/oauth2/authorization/").skip(1);
    rest.map(|rest| rest.split('/').next().unwrap_or_default().to_owned())
        .collect()
}

/// Takes the newest authorization back.
pub(super) async fn take_back(user: &mut Browser<'_>) {
    let newest = authorizations(user).await.swap_remove(0);
    let path = format!("/oauth2/authorization/{newest}/revoke");
    let answer = user.submit(&path, &[]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
}

/// An operator ends a client.
pub(super) async fn revoke_client(system: &System, app: &Application) {
    let id: ClientId = app.id.parse().unwrap();
    system.revoke_client(&id).await.unwrap();
}

#[tokio::test]
async fn a_user_takes_one_authorization_back_and_keeps_the_others() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        for kind in [Kind::Confidential, Kind::Public] {
            let app = Application::register(&world, &mut alice, kind).await;
            let kept = app.tokens(&mut alice).await;
            let first = app.tokens(&mut alice).await;
            let second = Tokens::of(&app.refresh(&first.refresh).await);
            take_back(&mut alice).await;
            for tokens in [&first, &second] {
                assert_eq!(tried(&world.app, &tokens.access).await, [401; 4]);
                assert!(!app.is_active(&tokens.access).await);
                assert!(!app.is_active(&tokens.refresh).await);
            }
            refused(&app.refresh(&second.refresh).await, "invalid_grant");
            assert_eq!(tried(&world.app, &kept.access).await, [200; 4]);
            assert_eq!(app.refresh(&kept.refresh).await.status, StatusCode::OK);
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_user_takes_a_token_of_the_older_scheme_back() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Legacy).await;
        let token = app.tokens(&mut alice).await.access;
        take_back(&mut alice).await;
        assert_eq!(tried(&world.app, &token).await, [401; 4]);
        world.end().await;
    }
}

#[tokio::test]
async fn nobody_takes_back_what_another_user_has_given() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        let app = Application::register(&world, &mut owner, Kind::Public).await;
        let tokens = app.tokens(&mut alice).await;
        let number = authorizations(&mut alice).await.swap_remove(0);
        owner.get("/oauth2").await;
        let path = format!("/oauth2/authorization/{number}/revoke");
        let answer = owner.submit(&path, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
        assert_eq!(tried(&world.app, &tokens.access).await, [200; 4]);
        world.end().await;
    }
}

#[tokio::test]
async fn a_client_gives_an_access_token_back_and_keeps_the_rest() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Confidential).await;
        let first = app.tokens(&mut alice).await;
        let second = Tokens::of(&app.refresh(&first.refresh).await);
        assert_eq!(app.revoke(&first.access).await.status, StatusCode::OK);
        assert_eq!(tried(&world.app, &first.access).await, [401; 4]);
        assert_eq!(tried(&world.app, &second.access).await, [200; 4]);
        let third = Tokens::of(&app.refresh(&second.refresh).await);
        assert_eq!(tried(&world.app, &third.access).await, [200; 4]);
        world.end().await;
    }
}

#[tokio::test]
async fn a_client_gives_a_refresh_token_back_and_all_that_came_of_it() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Public).await;
        // One that was spent is as good for that as the last one.
        for is_spent in [false, true] {
            let first = app.tokens(&mut alice).await;
            let second = Tokens::of(&app.refresh(&first.refresh).await);
            let given = if is_spent { &first } else { &second };
            assert_eq!(app.revoke(&given.refresh).await.status, StatusCode::OK);
            for tokens in [&first, &second] {
                assert_eq!(tried(&world.app, &tokens.access).await, [401; 4]);
            }
            refused(&app.refresh(&second.refresh).await, "invalid_grant");
            assert!(authorizations(&mut alice).await.is_empty());
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_spent_refresh_token_is_not_active() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Confidential).await;
        let spent = app.tokens(&mut alice).await;
        let tokens = Tokens::of(&app.refresh(&spent.refresh).await);
        let found = app.introspect(&spent.refresh).await;
        assert_eq!(found.json(), json!({"active": false}));
        // Asking about it is no abuse of it.
        assert!(app.is_active(&tokens.refresh).await);
        assert_eq!(tried(&world.app, &tokens.access).await, [200; 4]);
        world.end().await;
    }
}

#[tokio::test]
async fn an_operator_revokes_a_client_with_all_that_it_has() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        let app = Application::register(&world, &mut owner, Kind::Confidential).await;
        let kept = Application::register(&world, &mut owner, Kind::Confidential).await;
        let (tokens, others) = (app.tokens(&mut alice).await, kept.tokens(&mut alice).await);
        let (code, device) = (app.code(&mut alice).await, app.device().await);
        revoke_client(&world.system(), &app).await;
        assert_eq!(tried(&world.app, &tokens.access).await, [401; 4]);
        for answer in [
            app.redeem(&code).await,
            app.refresh(&tokens.refresh).await,
            app.introspect(&tokens.access).await,
            app.poll(&device).await,
        ] {
            unknown(&answer);
        }
        for path in [
            app.page(&[]),
            format!("/oauth2/device?user_code={}", device.user_code),
        ] {
            let page = alice.get(&path).await;
            assert!(page.status.is_client_error(), "{page:?}");
        }
        assert_eq!(authorizations(&mut alice).await.len(), 1);
        assert_eq!(tried(&world.app, &others.access).await, [200; 4]);
        world.end().await;
    }
}

#[tokio::test]
async fn an_operator_revokes_a_client_of_the_older_scheme() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Legacy).await;
        let token = app.tokens(&mut alice).await.access;
        let code = app.code(&mut alice).await;
        revoke_client(&world.system(), &app).await;
        assert_eq!(tried(&world.app, &token).await, [401; 4]);
        assert_eq!(app.redeem(&code).await.status, StatusCode::BAD_REQUEST);
        let page = alice.get(&app.page(&[])).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{page:?}");
        world.end().await;
    }
}

#[tokio::test]
async fn a_revoked_client_does_not_come_back_with_its_owner() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut owner = Browser::of(&world, "stranger").await;
        let app = Application::register(&world, &mut owner, Kind::Public).await;
        let mut alice = Browser::of(&world, "alice").await;
        let tokens = app.tokens(&mut alice).await;
        let name = "stranger".parse().unwrap();
        let system = world.system();
        system.suspend(&name, Some("spam")).await.unwrap();
        revoke_client(&world.system(), &app).await;
        system.suspend(&name, None).await.unwrap();
        assert_eq!(tried(&world.app, &tokens.access).await, [401; 4]);
        unknown(&app.refresh(&tokens.refresh).await);
        let mut owner = Browser::of(&world, "stranger").await;
        let page = owner.get("/oauth2").await;
        assert!(!page.text().contains(&app.id), "{page:?}");
        world.end().await;
    }
}

#[tokio::test]
async fn an_operator_revokes_a_personal_token() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let new = NewToken {
            grants: Grants::everything(),
            comment: None,
            expires: world.forge().now() + TimeDelta::days(1),
        };
        let alice = world.user("alice").await;
        let system = world.system();
        let (token, text) = system.issue_token(alice.id, &new).await.unwrap();
        assert_eq!(tried(&world.app, text.expose()).await, [200; 4]);
        system.revoke_token(token.id).await.unwrap();
        assert_eq!(tried(&world.app, text.expose()).await, [401; 4]);
        world.end().await;
    }
}

#[tokio::test]
async fn a_device_that_was_connected_is_taken_back_like_any_other() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Public).await;
        let device = app.device().await;
        connect(&mut alice, &device).await;
        let tokens = Tokens::of(&app.poll(&device).await);
        take_back(&mut alice).await;
        assert_eq!(tried(&world.app, &tokens.access).await, [401; 4]);
        refused(&app.refresh(&tokens.refresh).await, "invalid_grant");
        refused(&app.poll(&device).await, "invalid_grant");
        world.end().await;
    }
}
