//! What services are told of tokens: whose one is, and when it has ended.
//!
//! Invariant: who was told that a token holds is told when it ends early, whoever ends it, once; and of nobody else's.

use std::fmt::Write as _;

use chrono::TimeDelta;
use forge::Grants;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::application::{Application, Kind, tried};
use super::delegation::make;
use super::revocation::{revoke_client, take_back};
use crate::support::browser::Browser;
use crate::support::couriers::Told;
use crate::support::{Answer, Database, Persona, World};

/// Where the services here are told of tokens' ends.
const TOLD_AT: &str = "https://app.example/oauth/revoke";

/// A client of the older scheme that an operator has marked.
pub(super) async fn service(world: &World, owner: &mut Browser<'_>) -> Application {
    let service = Application::register(world, owner, Kind::Legacy).await;
    let id = service.id.parse().unwrap();
    world.system().trust_client(&id).await.unwrap();
    service
}

/// What a service is told that was shown a token.
pub(super) async fn verified(service: &Application, token: &str) -> Answer {
    verified_with(service, token, TOLD_AT).await
}

async fn verified_with(service: &Application, token: &str, url: &str) -> Answer {
    let fields = [("oauth_token", token), ("revocation_url", url)];
    service.ask("/oauth/token/verify", &fields).await
}

/// A token with that scope of the older scheme.
async fn token_for(app: &Application, user: &mut Browser<'_>, scopes: &str) -> String {
    let code = app.code_for(user, &[("scopes", scopes)]).await;
    let answer = app.redeem(&code).await;
    answer.json()["token"].as_str().unwrap().to_owned()
}

fn digest(token: &str) -> String {
    let mut text = String::new();
    for byte in Sha512::digest(token.as_bytes()) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn faults(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    errors.iter().map(|error| error["field"].clone()).collect()
}

async fn world_with(database: Database, told: &Told) -> World {
    let told = told.clone();
    let world = World::with(database, |builder| builder.passwords().courier(told)).await;
    for name in ["alice", "stranger", "reader"] {
        world
            .set_password(name, crate::support::browser::PASSWORD)
            .await;
    }
    world
}

/// What services were told since the last look, by the tokens that it was about.
async fn told(world: &World, told: &Told, tokens: &[&str]) -> Vec<usize> {
    world.settle().await;
    let posts = told.take();
    let found = posts.iter().map(|(url, json)| {
        assert_eq!(url, TOLD_AT);
        let json: Value = serde_json::from_str(json).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 1, "{json}");
        let of = |token: &&&str| json["token_hash"] == digest(token);
        tokens.iter().position(|token| of(&token)).expect("a token")
    });
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn a_service_is_told_what_a_token_may_do() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        let lists = service(&world, &mut owner).await;
        let builds = service(&world, &mut owner).await;
        make(&world, &lists, "lists", true).await;
        make(&world, &builds, "builds", true).await;
        let app = Application::register(&world, &mut owner, Kind::Legacy).await;
        let scopes = format!(
            "git.sr.ht/data:write,{}/lists:write,{}/builds",
            lists.id, builds.id
        );
        let token = token_for(&app, &mut alice, &scopes).await;
        // Column order is by client, so the text is sorted for the comparison.
        let answer = verified(&lists, &token).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        let body = answer.json();
        assert_eq!(body["expires"], "2024-11-13T22:13:20");
        assert_eq!(body.as_object().unwrap().len(), 2);
        let mut told: Vec<_> = body["scopes"].as_str().unwrap().split(',').collect();
        told.sort_unstable();
        let (ours, theirs) = (
            format!("{}/lists:write", lists.id),
            format!("{}/builds:read", builds.id),
        );
        let mut expected = vec!["git.sr.ht/data:write", "profile:read", &ours, &theirs];
        expected.sort_unstable();
        assert_eq!(told, expected);

        // JSON does as well, and personal tokens.
        let owners = world.token_of(Persona::Owner).unwrap();
        let body = json!({
            "oauth_token": owners,
            "client_id": lists.id,
            "client_secret": lists.secret,
            "revocation_url": TOLD_AT,
        });
        let json = [("content-type", "application/json")];
        let path = "/meta/oauth/token/verify";
        let answer = world
            .request(Persona::Anon, Method::POST, path, &json, body.to_string())
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.json()["scopes"], "*");

        // One of a service that is gone is not told of.
        revoke_client(&world.system(), &builds).await;
        let body = verified(&lists, &token).await.json();
        assert!(!body["scopes"].as_str().unwrap().contains(&builds.id));
        world.end().await;
    }
}

#[tokio::test]
async fn a_verification_counts_as_a_use() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let lists = service(&world, &mut alice).await;
        let user = world.user("alice").await;
        let grants = Grants::everything();
        let token = world.token(&user, grants, TimeDelta::days(30)).await;
        world.clock.advance(TimeDelta::days(2));
        let mut alice = Browser::of(&world, "alice").await;
        let before = alice.get("/oauth2").await;
        assert!(!before.text().contains("last used 2023-11-16"));
        assert_eq!(verified(&lists, &token).await.status, StatusCode::OK);
        let after = alice.get("/oauth2").await;
        assert!(after.text().contains("last used 2023-11-16"));
        world.end().await;
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let lists = service(&world, &mut alice).await;
    let names = [
        "oauth_token",
        "client_id",
        "client_secret",
        "revocation_url",
    ];
    let answer = lists.ask_as_nobody("/oauth/token/verify", &[]).await;
    assert_eq!(faults(&answer), names);
    for missing in names {
        let fields: Vec<_> = names
            .iter()
            .filter(|name| **name != missing)
            .map(|name| (*name, "x"))
            .collect();
        let answer = lists.ask_as_nobody("/oauth/token/verify", &fields).await;
        assert_eq!(faults(&answer), [missing]);
    }
    world.end().await;
}

#[tokio::test]
async fn who_is_no_service_is_not_found_and_a_wrong_secret_refused() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let lists = service(&world, &mut alice).await;
        let untrusted = Application::register(&world, &mut alice, Kind::Legacy).await;
        let revoked = service(&world, &mut alice).await;
        revoke_client(&world.system(), &revoked).await;
        let token = world.token_of(Persona::Owner).unwrap();
        for app in [&untrusted, &revoked] {
            assert_eq!(verified(app, token).await.status, StatusCode::NOT_FOUND);
        }
        for (id, secret, status) in [
            ("nobody", "x", 404),
            ("0123456789abcdef", "x", 404),
            (lists.id.as_str(), "x", 400),
            (lists.id.as_str(), untrusted.secret.as_deref().unwrap(), 400),
        ] {
            let fields = [
                ("client_id", id),
                ("client_secret", secret),
                ("oauth_token", token),
                ("revocation_url", TOLD_AT),
            ];
            let answer = lists.ask_as_nobody("/oauth/token/verify", &fields).await;
            assert_eq!(answer.status.as_u16(), status, "{id}");
            assert!(answer.json()["errors"][0]["reason"].is_string());
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_token_that_means_nobody_or_is_for_others_is_refused() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut owner = Browser::of(&world, "stranger").await;
        let lists = service(&world, &mut owner).await;
        let user = world.user("alice").await;
        let month = TimeDelta::days(30);
        let grants = |text| Grants::parse_oauth2(text).unwrap();
        let others = grants("git.sr.ht/OBJECTS:RW git.sr.ht/PROFILE");
        let others = world.token(&user, others, month).await;
        let profile = grants("meta.sr.ht/PROFILE");
        let profile = world.token(&user, profile, month).await;
        assert_eq!(verified(&lists, &profile).await.status, StatusCode::OK);
        let suspended = world.token_of(Persona::Suspended).unwrap();
        let expired = world.token_of(Persona::Expired).unwrap();
        for token in [&others, suspended, expired, "x", &"0".repeat(64)] {
            assert_eq!(faults(&verified(&lists, token).await), ["oauth_token"]);
        }
        // Whoever was told so once is not told so again.
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Legacy).await;
        let token = token_for(&app, &mut alice, "profile:read").await;
        take_back(&mut alice).await;
        assert_eq!(faults(&verified(&lists, &token).await), ["oauth_token"]);
        world.clock.advance(month);
        assert_eq!(faults(&verified(&lists, &profile).await), ["oauth_token"]);
        world.end().await;
    }
}

#[tokio::test]
async fn a_service_is_told_nothing_elsewhere() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let lists = service(&world, &mut alice).await;
    let token = world.token_of(Persona::Owner).unwrap();
    let long = format!("https://app.example/{}", "a".repeat(256));
    for url in [
        "http://app.example/revoke",
        "https://app.example:8443/revoke",
        "https://other.example/revoke",
        "https://app.example@127.0.0.1/",
        "http://127.0.0.1:8080/",
        "file:///etc/passwd",
        "revoke",
        &long,
    ] {
        let answer = verified_with(&lists, token, url).await;
        assert_eq!(faults(&answer), ["revocation_url"], "{url}");
    }
    world.end().await;
}

#[tokio::test]
async fn whoever_ends_a_token_early_its_services_are_told() {
    for database in Database::all() {
        let posts = Told::default();
        let world = world_with(database, &posts).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        let lists = service(&world, &mut owner).await;
        let builds = service(&world, &mut owner).await;
        let user = world.user("alice").await;
        let system = world.system();
        let (alice_name, owner_name) = ("alice".parse().unwrap(), "stranger".parse().unwrap());

        // A personal token, by its user and by an operator. Another's is not touched.
        let kept = world.token_of(Persona::Writer).unwrap().to_owned();
        assert_eq!(verified(&lists, &kept).await.status, StatusCode::OK);
        for by_operator in [false, true] {
            let new = forge::oauth::NewToken {
                grants: Grants::everything(),
                comment: None,
                expires: world.forge().now() + TimeDelta::days(1),
            };
            let (token, text) = system.issue_token(user.id, &new).await.unwrap();
            for service in [&lists, &builds, &lists] {
                let answer = verified(service, text.expose()).await;
                assert_eq!(answer.status, StatusCode::OK);
            }
            if by_operator {
                system.revoke_token(token.id).await.unwrap();
            } else {
                let account = world.signed_in("alice").await.account().unwrap();
                account.revoke_token(token.id).await.unwrap();
            }
            let tokens = [text.expose(), kept.as_str()];
            assert_eq!(told(&world, &posts, &tokens).await, [0, 0]);
        }

        // A client's token: by its user, by the next one, by the end of the client.
        let app = Application::register(&world, &mut owner, Kind::Legacy).await;
        let first = token_for(&app, &mut alice, "profile:read").await;
        verified(&lists, &first).await;
        let second = token_for(&app, &mut alice, "profile:read").await;
        assert_eq!(told(&world, &posts, &[&first]).await, [0]);
        verified(&lists, &second).await;
        take_back(&mut alice).await;
        assert_eq!(told(&world, &posts, &[&second]).await, [0]);
        let third = token_for(&app, &mut alice, "profile:read").await;
        verified(&lists, &third).await;
        revoke_client(&world.system(), &app).await;
        assert_eq!(told(&world, &posts, &[&third]).await, [0]);

        // One of OAuth 2.0, given back, and shown twice in its making.
        let modern = Application::register(&world, &mut owner, Kind::Confidential).await;
        let tokens = modern.tokens(&mut alice).await;
        verified(&lists, &tokens.access).await;
        modern.revoke(&tokens.access).await;
        assert_eq!(told(&world, &posts, &[&tokens.access]).await, [0]);
        let code = modern.code(&mut alice).await;
        let tokens = super::application::Tokens::of(&modern.redeem(&code).await);
        verified(&lists, &tokens.access).await;
        modern.redeem(&code).await;
        assert_eq!(told(&world, &posts, &[&tokens.access]).await, [0]);

        // Suspension, of the user and of the client's owner; the token comes back, and so does the question.
        let mut reader = Browser::of(&world, "reader").await;
        let app = Application::register(&world, &mut reader, Kind::Legacy).await;
        let token = token_for(&app, &mut alice, "profile:read").await;
        for name in [&alice_name, &"reader".parse().unwrap()] {
            assert_eq!(verified(&lists, &token).await.status, StatusCode::OK);
            system.suspend(name, Some("unpaid")).await.unwrap();
            assert_eq!(told(&world, &posts, &[&token]).await, [0], "{name}");
            assert_eq!(faults(&verified(&lists, &token).await), ["oauth_token"]);
            system.suspend(name, None).await.unwrap();
            assert_eq!(told(&world, &posts, &[&token]).await, [0; 0], "{name}");
        }

        // What ends in its time is known to whoever was told its end.
        let short = world
            .token(&user, Grants::everything(), TimeDelta::hours(1))
            .await;
        verified(&lists, &short).await;
        world.clock.advance(TimeDelta::hours(2));
        assert_eq!(told(&world, &posts, &[&short]).await, [0; 0]);

        // Deletion.
        assert_eq!(verified(&lists, &token).await.status, StatusCode::OK);
        system.delete_user(&alice_name, None).await.unwrap();
        let ended = told(&world, &posts, &[&token, &short]).await;
        assert_eq!(
            ended,
            [0, 1],
            "one that has ended by itself may be among them"
        );
        system.delete_user(&owner_name, None).await.unwrap();
        assert_eq!(told(&world, &posts, &[&kept]).await, [0; 0]);
        assert_eq!(tried(&world.app, &token).await, [401; 4]);
        world.end().await;
    }
}

#[tokio::test]
async fn a_service_that_cannot_be_told_is_told_later() {
    let posts = Told::default();
    let world = world_with(Database::Sqlite, &posts).await;
    let mut owner = Browser::of(&world, "stranger").await;
    let lists = service(&world, &mut owner).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Legacy).await;
    let token = token_for(&app, &mut alice, "profile:read").await;
    verified(&lists, &token).await;
    posts.fail(true);
    take_back(&mut alice).await;
    assert_eq!(told(&world, &posts, &[]).await, [0; 0]);
    posts.fail(false);
    assert_eq!(told(&world, &posts, &[]).await, [0; 0], "not at once");
    world.clock.advance(TimeDelta::seconds(10));
    assert_eq!(told(&world, &posts, &[&token]).await, [0]);
    world.end().await;
}

#[tokio::test]
async fn a_token_that_a_service_does_not_take_holds_up_no_other() {
    let posts = Told::default();
    let world = world_with(Database::Sqlite, &posts).await;
    let mut owner = Browser::of(&world, "stranger").await;
    let lists = service(&world, &mut owner).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Legacy).await;
    let other = Application::register(&world, &mut alice, Kind::Legacy).await;
    let first = token_for(&app, &mut alice, "profile:read").await;
    let second = token_for(&other, &mut alice, "profile:read").await;
    for token in [&first, &second] {
        verified(&lists, token).await;
    }
    posts.refuse(&json!({ "token_hash": digest(&first) }).to_string());
    let name = &"alice".parse().unwrap();
    let system = world.system();
    system.suspend(name, Some("unpaid")).await.unwrap();
    let tokens = [&*first, &*second];
    let mut tries = told(&world, &posts, &tokens).await;
    world.clock.advance(TimeDelta::minutes(1));
    tries.extend(told(&world, &posts, &tokens).await);
    let of = |which: usize| tries.iter().filter(|found| **found == which).count();
    assert!(of(0) > 1, "it is tried again: {tries:?}");
    assert_eq!(of(1), 1, "{tries:?}");
    world.end().await;
}

#[tokio::test]
async fn a_service_that_was_revoked_is_told_nothing() {
    for database in Database::all() {
        let posts = Told::default();
        let world = world_with(database, &posts).await;
        let mut owner = Browser::of(&world, "stranger").await;
        let lists = service(&world, &mut owner).await;
        let mut alice = Browser::of(&world, "alice").await;
        let app = Application::register(&world, &mut alice, Kind::Legacy).await;
        let token = token_for(&app, &mut alice, "profile:read").await;
        verified(&lists, &token).await;
        revoke_client(&world.system(), &lists).await;
        take_back(&mut alice).await;
        assert_eq!(told(&world, &posts, &[&token]).await, [0; 0]);
        world.end().await;
    }
}

#[tokio::test]
async fn a_service_is_told_by_http_and_not_where_it_sends_the_forge_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let back = format!("{base}/callback");
    let lists = Application::register_at(&world, &mut alice, Kind::Legacy, &back).await;
    let id = lists.id.parse().unwrap();
    world.system().trust_client(&id).await.unwrap();
    let app = Application::register(&world, &mut alice, Kind::Legacy).await;
    let token = token_for(&app, &mut alice, "profile:read").await;
    let answer = verified_with(&lists, &token, &format!("{base}/revoke")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    take_back(&mut alice).await;
    for status in ["307 Temporary Redirect\r\nlocation: /elsewhere", "200 OK"] {
        let asked = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            let end = "content-length: 0\r\nconnection: close\r\n\r\n";
            let answer = format!("HTTP/1.1 {status}\r\n{end}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        };
        let (request, ()) = futures::join!(asked, world.settle());
        assert!(
            request.starts_with("POST /revoke HTTP/1.1\r\n"),
            "{request}"
        );
        let body = format!("{{\"token_hash\":\"{}\"}}", digest(&token));
        assert!(request.ends_with(&body), "{request}");
        world.clock.advance(TimeDelta::seconds(10));
    }
    world.end().await;
}
