//! Where browsers are sent that come with a client's request.
//!
//! Invariant: nobody is sent to a client before somebody has signed in, and then to the client's own redirect URI alone:
//! a link to a forge must not lead elsewhere by itself. How spellings of a redirect URI are told apart, Authlib tries.

use std::collections::BTreeMap;

use http::StatusCode;
use http::header::LOCATION;

use super::application::{Application, Kind, REDIRECT, STATE, VERIFIER, registration};
use crate::support::browser::{Browser, META, PASSWORD, link, sent_to};
use crate::support::{Answer, Database, World};

const ISSUER: &str = "https://git.example.org/meta";
const LOGIN: &str = "https://git.example.org/meta/login";

type Changes = &'static [(&'static str, &'static str)];

/// Requests of a public client that is registered, and what it is told of each.
const BAD: &[(Changes, &str)] = &[
    (&[("scope", "no.such/SCOPE")], "invalid_scope"),
    (&[("scope", "git.sr.ht/OBJECTS:XX")], "invalid_scope"),
    (&[("scope", "meta.sr.ht/AUDIT_LOG:RW")], "invalid_scope"),
    (&[("scope", "")], "invalid_scope"),
    (&[("response_type", "")], "invalid_request"),
    (&[("response_type", "token")], "unsupported_response_type"),
    (
        &[("code_challenge", ""), ("code_challenge_method", "")],
        "invalid_request",
    ),
    (&[("code_challenge", "")], "invalid_request"),
    (&[("code_challenge", "short")], "invalid_request"),
    (&[("code_challenge_method", "")], "invalid_request"),
    (
        &[
            ("code_challenge", VERIFIER),
            ("code_challenge_method", "plain"),
        ],
        "invalid_request",
    ),
    // All that is wrong together.
    (
        &[("scope", "no.such/SCOPE"), ("code_challenge", "")],
        "invalid_",
    ),
];

/// Requests of which nobody knows where they come from.
const FOREIGN: &[Changes] = &[
    &[("client_id", "")],
    &[("client_id", "nobody")],
    &[("client_id", "0123456789abcdef")],
    &[("client_id", "5c1b2ab4-0c5e-4d35-a77e-6a5b4f0a7e6f")],
    &[("redirect_uri", "https://evil.example/")],
    &[("redirect_uri", "http://app.example/callback")],
    &[("redirect_uri", "https://app.example/callback/")],
    &[("redirect_uri", "https://app.example/callback?next=x")],
    &[("redirect_uri", "https://app.example/")],
    &[("redirect_uri", "//app.example/callback")],
    &[("redirect_uri", "/meta/login")],
];

/// An error's page, which leads nowhere.
#[track_caller]
fn stays(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}: {answer:?}");
    assert!(!answer.headers.contains_key(LOCATION), "{what}: {answer:?}");
    assert!(!answer.text().contains("decision"), "{what}: {answer:?}");
}

/// Signs alice in who was sent to do so, and follows to where she was; where she is sent from there.
async fn after_signing_in(
    nobody: &mut Browser<'_>,
    page: &str,
) -> (String, BTreeMap<String, String>) {
    let (place, query) = sent_to(&nobody.get(page).await);
    assert_eq!(place, LOGIN, "{page}");
    let back = &query["return_to"];
    assert_eq!(*back, format!("{META}{page}"));
    nobody.get("/login").await;
    let fields = [
        ("username", "alice"),
        ("password", PASSWORD),
        ("return_to", back.as_str()),
    ];
    let signed_in = nobody.submit("/login", &fields).await;
    // The form ends on a page of ours: browsers hold all that follows a form against its policy.
    assert_eq!(signed_in.status, StatusCode::OK);
    assert!(signed_in.text().contains("http-equiv=\"refresh\""));
    assert_eq!(link(&signed_in), *back);
    sent_to(&nobody.get(page).await)
}

#[tokio::test]
async fn a_bad_request_leads_to_the_login_first_and_then_back_to_the_client() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut owner = Browser::of(&world, "stranger").await;
    let app = Application::register(&world, &mut owner, Kind::Public).await;
    for (changes, error) in BAD {
        let page = app.page(changes);
        let (place, query) = after_signing_in(&mut Browser::new(&world), &page).await;
        assert_eq!(place, REDIRECT, "{changes:?}");
        assert!(query["error"].starts_with(error), "{changes:?}: {query:?}");
        assert_eq!(query["state"], STATE, "{changes:?}");
        assert_eq!(query["iss"], ISSUER, "{changes:?}");
        assert!(!query.contains_key("code"), "{changes:?}: {query:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_bad_request_of_the_older_scheme_leads_to_the_login_first_and_then_back() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut owner = Browser::of(&world, "stranger").await;
    let app = Application::register(&world, &mut owner, Kind::Legacy).await;
    for scopes in ["", "no.such/scope:read", "audit:write", "git.sr.ht/info:x"] {
        let page = app.page(&[("scopes", scopes)]);
        let (place, query) = after_signing_in(&mut Browser::new(&world), &page).await;
        assert_eq!(place, REDIRECT, "{scopes}");
        assert_eq!(query["error"], "invalid_scope", "{scopes}");
        assert_eq!(query["state"], STATE, "{scopes}");
        assert!(!query.contains_key("exchange"), "{scopes}: {query:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_request_of_nobody_or_for_elsewhere_leads_nowhere() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut nobody = Browser::new(&world);
        for kind in [Kind::Confidential, Kind::Public, Kind::Legacy] {
            let app = Application::register(&world, &mut alice, kind).await;
            for changes in FOREIGN {
                let what = format!("{kind:?} {changes:?}");
                let page = app.page(changes);
                stays(&nobody.get(&page).await, &what);
                stays(&alice.get(&page).await, &what);
            }
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_form_for_elsewhere_leads_nowhere() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    for kind in [Kind::Confidential, Kind::Public, Kind::Legacy] {
        let app = Application::register(&world, &mut alice, kind).await;
        for changes in FOREIGN {
            // The token of a page that was shown, for another question.
            alice.get(&app.page(&[])).await;
            for decision in ["allow", "deny"] {
                let fields = [("decision", decision), ("git.sr.ht/OBJECTS", "RW")];
                let answer = alice.submit(&app.page(changes), &fields).await;
                stays(&answer, &format!("{kind:?} {changes:?} {decision}"));
            }
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_form_of_nobody_leads_to_the_login() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut owner = Browser::of(&world, "stranger").await;
    for kind in [Kind::Confidential, Kind::Public, Kind::Legacy] {
        let app = Application::register(&world, &mut owner, kind).await;
        let mut nobody = Browser::new(&world);
        nobody.get("/login").await;
        let (good, bad): (Changes, Changes) = (&[], &[("scope", "x"), ("scopes", "x")]);
        for changes in [good, bad] {
            for decision in ["allow", "deny", ""] {
                let fields = [("decision", decision)];
                let answer = nobody.submit(&app.page(changes), &fields).await;
                assert_eq!(sent_to(&answer).0, LOGIN, "{kind:?} {changes:?}");
            }
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_good_request_leads_to_the_login_and_then_asks() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut owner = Browser::of(&world, "stranger").await;
    for kind in [Kind::Confidential, Kind::Public, Kind::Legacy] {
        let app = Application::register(&world, &mut owner, kind).await;
        let page = app.page(&[]);
        let mut browser = Browser::new(&world);
        assert_eq!(sent_to(&browser.get(&page).await).0, LOGIN);
        browser.sign_in("alice", PASSWORD).await;
        assert_eq!(browser.get(&page).await.status, StatusCode::OK, "{kind:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_refusal_goes_to_the_client_with_its_state() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    for (kind, error) in [
        (Kind::Public, "access_denied"),
        (Kind::Legacy, "user_declined"),
    ] {
        let app = Application::register(&world, &mut alice, kind).await;
        let page = app.page(&[]);
        alice.get(&page).await;
        let answer = alice.submit(&page, &[("decision", "deny")]).await;
        let (place, query) = sent_to(&answer);
        assert_eq!(place, REDIRECT, "{kind:?}");
        assert_eq!(query["error"], error);
        assert_eq!(query["state"], STATE);
    }
    world.end().await;
}

#[tokio::test]
async fn a_redirect_uri_leads_to_a_client_and_is_not_overheard() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    for (uri, is_good) in [
        ("https://app.example/callback", true),
        ("https://app.example:8443/callback?x=1", true),
        ("http://127.0.0.1/callback", true),
        ("http://127.0.0.1:8001/callback", true),
        ("http://[::1]:8001/callback", true),
        ("http://localhost/callback", true),
        ("org.example.app:/callback", true),
        ("http://app.example/callback", false),
        ("http://127.0.0.2/callback", false),
        ("http://127.0.0.1.evil.example/callback", false),
        ("http://localhost.evil.example/callback", false),
        ("http://0.0.0.0/callback", false),
        ("http://[::2]/callback", false),
        ("myapp:/callback", false),
        ("javascript:alert(1)", false),
        ("ftp://app.example/callback", false),
        ("https://app.example/callback#x", false),
        ("https://somebody@app.example/callback", false),
    ] {
        for kind in ["confidential", "public", "legacy"] {
            let fields = [("name", "x"), ("redirect_uri", uri), ("kind", kind)];
            let page = registration(&mut alice, &fields).await;
            if is_good {
                assert_eq!(page.status, StatusCode::OK, "{uri} {kind}: {page:?}");
            } else {
                assert_eq!(page.status, StatusCode::BAD_REQUEST, "{uri} {kind}");
                assert!(page.text().contains("redirect_uri"), "{uri} {kind}");
            }
        }
    }
    world.end().await;
}
