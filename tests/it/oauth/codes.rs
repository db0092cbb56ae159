//! Codes in the wrong hands, and with the wrong proof.
//!
//! Invariant: a code that was shown is used up, whatever was wrong with what came along, and leaves nothing behind. Most
//! of it Authlib tries in `tests/clients/oauth.py`; here is what a well-made client does not send.

use http::StatusCode;

use super::application::{Application, Kind, REDIRECT, VERIFIER};
use super::refused;
use super::revocation::authorizations;
use crate::support::browser::{Browser, sent_to};
use crate::support::{Database, World};

#[tokio::test]
async fn a_verifier_has_43_to_128_characters() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Public).await;
    // Each with its own challenge (RFC 7636 4.1, 4.2): only the length is wrong.
    for (length, challenge, is_good) in [
        (42, "elOGB_2quSlplZKfRRVlu7gULhhEEXMiqv0rPXawGv8", false),
        (43, "ZtNPunH49FD35FWYhT5Tv8I7vRKQJ8uxMaL0_9eHjNA", true),
        (128, "aDbPE7rEAOkQUHHNavRwhN-srU5eMCyUv-0k4BOvtz4", true),
        (129, "wSywJKLlVRzKDgj86PHF4xRVXMP-9jKe6ZSj23UhZq4", false),
    ] {
        let asked = [("code_challenge", challenge)];
        let code = app.code_for(&mut alice, &asked).await;
        let verifier = "a".repeat(length);
        let shown = [("code_verifier", verifier.as_str())];
        let answer = app.redeem_with(&code, &shown).await;
        if is_good {
            assert_eq!(answer.status, StatusCode::OK, "{length}: {answer:?}");
        } else {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{length}");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_challenge_is_not_a_verifier() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Public).await;
    let challenge = [("code_challenge", VERIFIER)];
    let code = app.code_for(&mut alice, &challenge).await;
    // The method is S256: what would do for `plain` does not do.
    refused(&app.redeem(&code).await, "invalid_grant");
    world.end().await;
}

#[tokio::test]
async fn whatever_is_wrong_with_the_proof_the_code_is_used_up() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Public).await;
        let cut = &VERIFIER[..42];
        let wrong = format!("{cut}a");
        for change in [
            ("code_verifier", cut),
            ("code_verifier", wrong.as_str()),
            ("code_verifier", ""),
            ("redirect_uri", "https://evil.example/"),
            ("redirect_uri", ""),
        ] {
            let code = app.code(&mut alice).await;
            let answer = app.redeem_with(&code, &[change]).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{change:?}");
            refused(&app.redeem(&code).await, "invalid_grant");
        }
        assert!(authorizations(&mut alice).await.is_empty());
        world.end().await;
    }
}

#[tokio::test]
async fn another_clients_code_is_used_up_whichever_scheme_that_speaks() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut thief = Browser::of(&world, "stranger").await;
        for kind in [Kind::Confidential, Kind::Legacy] {
            let app = Application::register(&world, &mut alice, kind).await;
            for others in [Kind::Confidential, Kind::Public, Kind::Legacy] {
                let other = Application::register(&world, &mut thief, others).await;
                let code = app.code(&mut alice).await;
                for answer in [other.redeem(&code).await, app.redeem(&code).await] {
                    let status = answer.status;
                    assert_eq!(status, StatusCode::BAD_REQUEST, "{kind:?} {others:?}");
                }
            }
        }
        assert!(authorizations(&mut alice).await.is_empty());
        world.end().await;
    }
}

#[tokio::test]
async fn a_redirect_uri_that_was_named_is_named_again_port_and_all() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        let registered = format!("http://{host}/callback");
        let app = Application::register_at(&world, &mut alice, Kind::Public, &registered).await;
        let named = format!("http://{host}:8001/callback");
        let other = format!("http://{host}:8002/callback");
        let asked = [("redirect_uri", named.as_str())];
        for wrong in [other.as_str(), registered.as_str(), ""] {
            let code = app.code_for(&mut alice, &asked).await;
            let answer = app.redeem_with(&code, &[("redirect_uri", wrong)]).await;
            refused(&answer, "invalid_grant");
        }
        let code = app.code_for(&mut alice, &asked).await;
        let answer = app.redeem_with(&code, &asked).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_redirect_uri_that_was_not_named_may_be_named_later_as_it_is_registered() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Confidential).await;
    for (later, is_good) in [
        (REDIRECT, true),
        ("", true),
        ("https://app.example/other", false),
    ] {
        let code = app.code_for(&mut alice, &[("redirect_uri", "")]).await;
        let answer = app.redeem_with(&code, &[("redirect_uri", later)]).await;
        if is_good {
            assert_eq!(answer.status, StatusCode::OK, "{later}: {answer:?}");
        } else {
            refused(&answer, "invalid_grant");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_form_gives_no_more_than_its_page_asked_for() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Legacy).await;
    let page = app.page(&[("scopes", "git.sr.ht/info:read")]);
    alice.get(&page).await;
    let fields = [
        ("decision", "allow"),
        ("git.sr.ht/PROFILE", "RW"),
        ("git.sr.ht/REPOSITORIES", "RW"),
        ("git.sr.ht/OBJECTS", "RW"),
        ("meta.sr.ht/SSH_KEYS", "RW"),
    ];
    let answer = alice.submit(&page, &fields).await;
    let (_, query) = sent_to(&answer);
    assert_eq!(query["scopes"], "git.sr.ht/info:read,profile:read");
    world.end().await;
}
