//! What clients are told, word by word: statuses, headers and bodies.
//!
//! Invariant: clients read `error`, people the description beside it; both change here first. The API's own answers are in
//! `wire/*.http`, whose worlds have no pages and so no OAuth.

use std::fmt::Write as _;

use chrono::TimeDelta;
use http::Method;
use serde_json::{Value, json};

use super::application::{Application, DEVICE_CODE, Kind, SCOPE, Tokens, connect};
use crate::support::browser::Browser;
use crate::support::{Answer, Database, EPOCH, Persona, World};

/// The headers that are part of the contract.
const HEADERS: [&str; 3] = ["cache-control", "content-type", "www-authenticate"];

/// An answer as it is written here: the status, headers, the body.
fn said(answer: &Answer) -> String {
    let mut text = answer.status.as_u16().to_string();
    for name in HEADERS {
        if let Some(value) = answer.headers.get(name) {
            write!(text, "\n{name}: {}", value.to_str().unwrap()).unwrap();
        }
    }
    write!(text, "\n{}", answer.text()).unwrap();
    text
}

/// An error of OAuth 2.0 as it is said.
fn error(status: u16, error: &str, description: &str) -> String {
    let mut text = format!("{status}\ncache-control: no-store\ncontent-type: application/json");
    if status == 401 {
        text.push_str("\nwww-authenticate: Basic realm=\"oauth2\", charset=\"UTF-8\"");
    }
    let body = json!({"error": error, "error_description": description});
    format!("{text}\n{body}")
}

/// What a form holds.
type Fields<'a> = &'a [(&'a str, &'a str)];

const UNKNOWN: &str = "there is no such client, or that is not its secret";
const BAD_GRANT: &str =
    "the code or token is not valid, was used before, or was given for other parameters";

#[tokio::test]
async fn who_is_not_a_client_is_told_so() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Confidential).await;
    let public = Application::register(&world, &mut alice, Kind::Public).await;
    let legacy = Application::register(&world, &mut alice, Kind::Legacy).await;
    let nobody = "5c1b2ab4-0c5e-4d35-a77e-6a5b4f0a7e6f";
    let secret = legacy.secret.as_deref().unwrap();
    let cases: [Fields<'_>; 8] = [
        &[],
        &[("client_id", "x")],
        &[("client_id", nobody)],
        &[("client_id", nobody), ("client_secret", "x")],
        &[("client_id", &app.id)],
        &[("client_id", &app.id), ("client_secret", "wrong")],
        // Who has no secret shows none.
        &[("client_id", &public.id), ("client_secret", "x")],
        &[("client_id", &legacy.id), ("client_secret", secret)],
    ];
    for path in [
        "/oauth2/access-token",
        "/oauth2/introspect",
        "/oauth2/revoke",
        "/oauth2/device-authorization",
    ] {
        for fields in cases {
            let answer = app.ask_as_nobody(path, fields).await;
            let expected = error(401, "invalid_client", UNKNOWN);
            assert_eq!(said(&answer), expected, "{path} {fields:?}");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn what_is_no_request_for_tokens_is_told_so() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Confidential).await;
    let code = ("grant_type", "authorization_code");
    let refresh = ("grant_type", "refresh_token");
    let device = ("grant_type", DEVICE_CODE);
    let twice = "a parameter is there twice";
    let kinds = "grant_type must be authorization_code, refresh_token or that of device codes";
    let cases: [(Fields<'_>, &str, &str); 12] = [
        (&[], "invalid_request", "grant_type is required"),
        (
            &[("grant_type", "")],
            "invalid_request",
            "grant_type is required",
        ),
        (
            &[("grant_type", "password")],
            "unsupported_grant_type",
            kinds,
        ),
        (
            &[("grant_type", "client_credentials")],
            "unsupported_grant_type",
            kinds,
        ),
        (&[code], "invalid_request", "code is required"),
        (&[code, ("code", "x")], "invalid_grant", BAD_GRANT),
        (
            &[code, ("code", "x"), ("code", "y")],
            "invalid_request",
            twice,
        ),
        (&[refresh], "invalid_request", "refresh_token is required"),
        (
            &[refresh, ("refresh_token", "x")],
            "invalid_grant",
            BAD_GRANT,
        ),
        (&[refresh, code], "invalid_request", twice),
        (&[device], "invalid_request", "device_code is required"),
        (
            &[device, ("device_code", "x")],
            "invalid_grant",
            "the device code is not valid, or was used before",
        ),
    ];
    for (fields, kind, description) in cases {
        let answer = app.ask_token(fields).await;
        assert_eq!(said(&answer), error(400, kind, description), "{fields:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_body_that_is_no_form_is_told_so() {
    let world = World::with_pages(Database::Sqlite).await;
    let text = "the body must be application/x-www-form-urlencoded";
    for path in [
        "/meta/oauth2/access-token",
        "/meta/oauth2/introspect",
        "/meta/oauth2/revoke",
        "/meta/oauth2/device-authorization",
    ] {
        let (none, json): (Fields<'_>, Fields<'_>) = (&[], &[("content-type", "application/json")]);
        for headers in [none, json] {
            let method = Method::POST;
            let answer = world.request(Persona::Anon, method, path, headers, "{}");
            let expected = error(400, "invalid_request", text);
            assert_eq!(said(&answer.await), expected, "{path} {headers:?}");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_device_is_told_how_its_question_stands() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Public).await;
    let device = app.device().await;
    let answer = said(&app.poll(&device).await);
    let pending = "the user has not answered yet";
    assert_eq!(answer, error(400, "authorization_pending", pending));
    let answer = said(&app.poll(&device).await);
    let slow = "wait five seconds longer between two requests";
    assert_eq!(answer, error(400, "slow_down", slow));

    let refused = app.device().await;
    let page = format!("/oauth2/device?user_code={}", refused.user_code);
    alice.get(&page).await;
    let fields = [("user_code", &*refused.user_code), ("decision", "deny")];
    alice.submit("/oauth2/device", &fields).await;
    let answer = said(&app.poll(&refused).await);
    assert_eq!(answer, error(400, "access_denied", "the user refused"));

    world.clock.advance(TimeDelta::minutes(15));
    let answer = said(&app.poll(&device).await);
    let late = "the device code is not valid any more";
    assert_eq!(answer, error(400, "expired_token", late));
    world.end().await;
}

#[tokio::test]
async fn a_device_is_told_what_its_user_is_to_do() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Public).await;
    let answer = app.begin().await;
    let body = answer.json();
    let user_code = body["user_code"].as_str().unwrap();
    let page = "https://git.example.org/meta/oauth2/device";
    assert_eq!(
        body,
        json!({
            "device_code": body["device_code"],
            "user_code": user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={user_code}"),
            "expires_in": 900,
            "interval": 5,
        })
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    let letters: Vec<_> = user_code.split('-').map(str::len).collect();
    assert_eq!(letters, [4, 4], "{user_code}");

    let path = "/oauth2/device-authorization";
    let text = "scope must name scopes that there are, separated by spaces";
    for scope in [
        "",
        "x",
        "git.sr.ht/OBJECTS:XX",
        "git.sr.ht/OBJECTS,git.sr.ht/ACLS",
    ] {
        let answer = app.ask(path, &[("scope", scope)]).await;
        assert_eq!(said(&answer), error(400, "invalid_scope", text), "{scope}");
    }
    world.end().await;
}

#[tokio::test]
async fn tokens_are_given_with_what_they_are() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Confidential).await;
    let code = app.code(&mut alice).await;
    let first = app.redeem(&code).await;
    let renewed = app.refresh(&Tokens::of(&first).refresh).await;
    let device = app.device().await;
    connect(&mut alice, &device).await;
    let connected = app.poll(&device).await;
    for answer in [first, renewed, connected] {
        let tokens = Tokens::of(&answer);
        assert!(tokens.access.starts_with("forge_"));
        assert!(tokens.refresh.starts_with("forge_refresh_"));
        let body = json!({
            "access_token": tokens.access,
            "token_type": "bearer",
            "expires_in": 86400,
            "scope": SCOPE,
            "refresh_token": tokens.refresh,
        });
        assert_eq!(answer.json(), body);
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    world.end().await;
}

#[tokio::test]
async fn a_refresh_lowers_what_was_granted_and_does_not_raise_it() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Confidential).await;
    let mut refresh = app.tokens(&mut alice).await.refresh;
    let text = "scope must name scopes that there are, and not more than was granted before";
    let more = error(400, "invalid_scope", text);
    for (scope, granted) in [
        ("git.sr.ht/OBJECTS", Some("git.sr.ht/OBJECTS:RO")),
        ("git.sr.ht/OBJECTS:RO", Some("git.sr.ht/OBJECTS:RO")),
        ("git.sr.ht/OBJECTS:RW", Some("git.sr.ht/OBJECTS:RW")),
        ("meta.sr.ht/PROFILE", Some("meta.sr.ht/PROFILE:RO")),
        ("", Some(SCOPE)),
        (SCOPE, Some(SCOPE)),
        ("meta.sr.ht/PROFILE:RW", None),
        ("git.sr.ht/ACLS", None),
        ("git.sr.ht/OBJECTS git.sr.ht/ACLS:RO", None),
        ("no.such/SCOPE", None),
    ] {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.as_str()),
            ("scope", scope),
        ];
        let answer = app.ask_token(&fields).await;
        match granted {
            Some(granted) => {
                assert_eq!(answer.json()["scope"], granted, "{scope}: {answer:?}");
                refresh = Tokens::of(&answer).refresh;
            }
            None => assert_eq!(said(&answer), more, "{scope}"),
        }
    }
    // What was refused has spent nothing, and what was lowered is not lowered for good.
    let last = app.refresh(&refresh).await;
    assert_eq!(last.json()["scope"], SCOPE, "{last:?}");
    world.end().await;
}

#[tokio::test]
async fn a_client_is_told_of_its_own_tokens() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Public).await;
    let tokens = app.tokens(&mut alice).await;
    let common = json!({
        "active": true,
        "client_id": app.id,
        "username": "alice",
        "sub": "~alice",
        "scope": SCOPE,
        "iss": "https://git.example.org/meta",
    });
    let with = |more: Value| {
        let mut all = common.clone();
        let fields = all.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        all
    };
    let (day, year) = (86_400, 366 * 86_400);
    let access = with(json!({"exp": EPOCH + day, "iat": EPOCH, "token_type": "bearer"}));
    assert_eq!(app.introspect(&tokens.access).await.json(), access);
    let refresh = with(json!({"exp": EPOCH + year}));
    assert_eq!(app.introspect(&tokens.refresh).await.json(), refresh);
    world.end().await;
}

#[tokio::test]
async fn a_client_is_told_nothing_of_what_is_not_its_own() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Confidential).await;
    let other = Application::register(&world, &mut alice, Kind::Public).await;
    let legacy = Application::register(&world, &mut alice, Kind::Legacy).await;
    let others = other.tokens(&mut alice).await;
    let of_legacy = legacy.tokens(&mut alice).await;
    let personal = world.token_of(Persona::Owner).unwrap();
    let code = app.code(&mut alice).await;
    let nothing =
        "200\ncache-control: no-store\ncontent-type: application/json\n{\"active\":false}";
    let texts: [&str; 6] = [
        &others.access,
        &others.refresh,
        &of_legacy.access,
        personal,
        &code,
        "nonsense",
    ];
    for text in texts {
        assert_eq!(said(&app.introspect(text).await), nothing);
        assert_eq!(said(&app.revoke(text).await), "200\n");
    }
    assert!(other.is_active(&others.access).await);
    assert!(other.is_active(&others.refresh).await);
    let still = world.get(Persona::Owner, "/api/user").await;
    assert_eq!(still.status, 200);
    let missing = error(400, "invalid_request", "token is required");
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        assert_eq!(said(&app.ask(path, &[]).await), missing, "{path}");
    }
    world.end().await;
}

/// An error of the older scheme: a field, if it is one's, and a reason.
fn errors(faults: &[(&str, &str)]) -> String {
    let faults: Vec<_> = faults
        .iter()
        .map(|(field, reason)| match *field {
            "" => json!({"reason": reason}),
            field => json!({"field": field, "reason": reason}),
        })
        .collect();
    let body = json!({"errors": faults});
    format!("400\ncontent-type: application/json\n{body}")
}

#[tokio::test]
async fn a_client_of_the_older_scheme_is_told_what_is_wrong() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Legacy).await;
    let newer = Application::register(&world, &mut alice, Kind::Confidential).await;
    let id = ("client_id", app.id.as_str());
    let secret = ("client_secret", app.secret.as_deref().unwrap());
    let newer = [
        ("client_id", newer.id.as_str()),
        ("client_secret", newer.secret.as_deref().unwrap()),
    ];
    let code = ("exchange", "x");
    let all = [
        ("client_id", "client_id is required"),
        ("client_secret", "client_secret is required"),
        ("exchange", "exchange is required"),
    ];
    let unknown = errors(&[("", UNKNOWN)]);
    let bad = "the exchange token is not valid, was used before, or has expired";
    for (fields, expected) in [
        (vec![], errors(&all)),
        (vec![id], errors(&all[1..])),
        (vec![id, secret], errors(&all[2..])),
        (vec![secret, code], errors(&all[..1])),
        (vec![("client_id", "x"), secret, code], unknown.clone()),
        (
            vec![("client_id", "0123456789abcdef"), secret, code],
            unknown.clone(),
        ),
        (vec![id, ("client_secret", "wrong"), code], unknown.clone()),
        (vec![newer[0], newer[1], code], unknown.clone()),
        (vec![id, secret, code], errors(&[("", bad)])),
    ] {
        let answer = app.ask_as_nobody("/oauth/exchange", &fields).await;
        assert_eq!(said(&answer), expected, "{fields:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_client_of_the_older_scheme_may_send_json() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Legacy).await;
    let exchange = async |body: String| {
        let path = "/meta/oauth/exchange";
        let headers = [("content-type", "application/json")];
        let method = Method::POST;
        let answer = world.request(Persona::Anon, method, path, &headers, body);
        answer.await
    };
    for body in ["", "x", "[]", "{}", r#"{"client_id": 1}"#, "null"] {
        let answer = exchange(body.to_owned()).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json()["errors"][0]["reason"].is_string(), "{body}");
    }
    let code = app.code(&mut alice).await;
    let fields = json!({"client_id": app.id, "client_secret": app.secret, "exchange": code});
    let answer = exchange(fields.to_string()).await;
    let token = Tokens::of(&answer).access;
    let body = json!({"token": token, "expires": "2024-11-13T22:13:20"});
    assert_eq!(answer.json(), body);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let again = errors(&[(
        "",
        "the exchange token is not valid, was used before, or has expired",
    )]);
    assert_eq!(said(&exchange(fields.to_string()).await), again);
    world.end().await;
}
