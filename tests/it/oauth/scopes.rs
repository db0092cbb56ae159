//! What a token opens that was given for some scopes, and what it does not.
//!
//! Invariant: every service asks for its own scope and for no other, git over HTTP too. What somebody may do at all, with
//! whatever token, is in `access.txt`.

use http::StatusCode;

use super::application::{Application, Kind, Tokens, basic, get, tried};
use super::expiry::ACCESS;
use crate::support::browser::Browser;
use crate::support::{Database, Persona, World};

/// What is asked: of the git service for a repository and for its refs, of the meta service for the profile, the keys and
/// the log, and of git for a clone and for a push.
const ASKED: [&str; 7] = [
    "/api/repos/secret",
    "/api/repos/secret/refs",
    "/meta/api/user/profile",
    "/meta/api/user/ssh-keys",
    "/meta/api/user/audit-log",
    "/~alice/secret/info/refs?service=git-upload-pack",
    "/~alice/secret/info/refs?service=git-receive-pack",
];

async fn opened(world: &World, token: &str) -> Vec<u16> {
    let mut statuses = Vec::new();
    for path in ASKED {
        let authorization = if path.starts_with("/~") {
            basic(token)
        } else {
            format!("token {token}")
        };
        let answer = get(&world.app, path, &authorization).await;
        statuses.push(answer.status.as_u16());
    }
    statuses
}

#[tokio::test]
async fn a_token_opens_what_its_scopes_name() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Confidential).await;
        for (scope, statuses) in [
            (
                "git.sr.ht/REPOSITORIES",
                [200, 403, 403, 403, 403, 403, 403],
            ),
            (
                "git.sr.ht/REPOSITORIES:RW",
                [200, 403, 403, 403, 403, 403, 403],
            ),
            ("git.sr.ht/OBJECTS", [403, 200, 403, 403, 403, 200, 403]),
            ("git.sr.ht/OBJECTS:RO", [403, 200, 403, 403, 403, 200, 403]),
            ("git.sr.ht/OBJECTS:RW", [403, 200, 403, 403, 403, 200, 200]),
            ("git.sr.ht/PROFILE:RO", [403; 7]),
            ("git.sr.ht/ACLS:RW", [403; 7]),
            ("meta.sr.ht/PROFILE:RW", [403, 403, 200, 403, 403, 403, 403]),
            (
                "meta.sr.ht/SSH_KEYS:RO",
                [403, 403, 403, 200, 403, 403, 403],
            ),
            (
                "meta.sr.ht/AUDIT_LOG:RO",
                [403, 403, 403, 403, 200, 403, 403],
            ),
        ] {
            let code = app.code_for(&mut alice, &[("scope", scope)]).await;
            let token = Tokens::of(&app.redeem(&code).await);
            assert_eq!(opened(&world, &token.access).await, statuses, "{scope}");
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_token_of_the_older_scheme_opens_what_its_scopes_name() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Legacy).await;
        // The profile is part of whatever is asked for.
        for (scopes, statuses) in [
            ("profile:read", [403, 403, 200, 403, 403, 403, 403]),
            ("git.sr.ht/info:read", [200, 403, 200, 403, 403, 403, 403]),
            ("git.sr.ht/data", [403, 200, 200, 403, 403, 200, 403]),
            ("git.sr.ht/data:write", [403, 200, 200, 403, 403, 200, 200]),
            ("keys:write", [403, 403, 200, 200, 403, 403, 403]),
            ("*:read", [200, 200, 200, 200, 200, 200, 403]),
        ] {
            let code = app.code_for(&mut alice, &[("scopes", scopes)]).await;
            let token = Tokens::of(&app.redeem(&code).await);
            assert_eq!(opened(&world, &token.access).await, statuses, "{scopes}");
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_token_for_reading_changes_nothing() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Public).await;
    let read = "git.sr.ht/REPOSITORIES git.sr.ht/OBJECTS meta.sr.ht/PROFILE meta.sr.ht/SSH_KEYS";
    let code = app.code_for(&mut alice, &[("scope", read)]).await;
    let token = Tokens::of(&app.redeem(&code).await).access;
    let bearer = format!("Bearer {token}");
    let json = ("content-type", "application/json");
    for (method, path, body) in [
        ("PUT", "/api/repos/secret", r#"{"description": "x"}"#),
        ("POST", "/api/repos", r#"{"name": "new"}"#),
        ("PUT", "/meta/api/user/profile", r#"{"bio": "x"}"#),
        ("DELETE", "/meta/api/user/ssh-keys/1", ""),
    ] {
        let method = method.parse().unwrap();
        let headers = [("authorization", bearer.as_str()), json];
        let nobody = Persona::Anon;
        let answer = world.request(nobody, method, path, &headers, body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}: {answer:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_token_that_has_ended_opens_nothing_not_even_what_is_open_to_all() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Confidential).await;
        let revoked = app.tokens(&mut alice).await.access;
        let expired = app.tokens(&mut alice).await.access;
        assert_eq!(app.revoke(&revoked).await.status, StatusCode::OK);
        assert_eq!(tried(&world.app, &expired).await, [200; 4]);
        world.clock.advance(ACCESS);
        for token in [&revoked, &expired] {
            assert_eq!(opened(&world, token).await, [401; 7]);
            for path in [
                "/api/~alice/repos/open",
                "/~alice/open/info/refs?service=git-upload-pack",
            ] {
                let answer = get(&world.app, path, &format!("Bearer {token}")).await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            }
        }
        world.end().await;
    }
}
