//! Scopes that a network's services make for themselves, from their making to the page on which a user grants them.
//!
//! Invariant: what a service has made, it alone sees and removes, and users grant it as long as it is there. What other
//! services make of a token is in `verification`.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::application::{Application, Kind, allow};
use super::revocation::revoke_client;
use super::verification::{service, verified};
use crate::support::browser::{Browser, sent_to};
use crate::support::{Answer, Database, Persona, World};

pub(super) const SCOPES: &str = "/meta/api/delegate/scopes";

/// Asks as a service does.
pub(super) async fn ask(
    world: &World,
    service: &Application,
    method: Method,
    path: &str,
    body: Value,
) -> Answer {
    let secret = service.secret.as_deref().unwrap();
    let headers = [
        ("x-oauth-id", service.id.as_str()),
        ("x-oauth-secret", secret),
        ("content-type", "application/json"),
    ];
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    world
        .request(Persona::Anon, method, path, &headers, body)
        .await
}

/// Makes a scope.
pub(super) async fn make(world: &World, service: &Application, name: &str, writable: bool) -> i64 {
    let new = json!({ "name": name, "description": format!("your {name}"), "writable": writable });
    let made = ask(world, service, Method::POST, SCOPES, new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    made.json()["id"].as_i64().unwrap()
}

fn fields(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    let fields = errors.iter().map(|error| error["field"].as_str());
    fields
        .map(|field| field.unwrap_or("-").to_owned())
        .collect()
}

#[tokio::test]
async fn a_service_makes_lists_and_removes_its_scopes() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let lists = service(&world, &mut alice).await;
        let new = json!({ "name": "lists", "description": "your \u{e9} lists", "writable": true });
        let made = ask(&world, &lists, Method::POST, SCOPES, new).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let first = made.json();
        let expected = json!({
            "id": first["id"],
            "created": "2023-11-14T22:13:20",
            "updated": "2023-11-14T22:13:20",
            "name": "lists",
            "description": "your \u{e9} lists",
            "writable": true,
        });
        assert_eq!(first, expected);
        let second = make(&world, &lists, "e_mail", false).await;

        let list = ask(&world, &lists, Method::GET, SCOPES, Value::Null).await;
        let list = list.json();
        assert_eq!(list["results"][1], first, "newest first");
        assert_eq!(list["results"][0]["writable"], json!(false));
        assert_eq!((&list["total"], &list["next"]), (&json!(2), &Value::Null));

        let path = format!("{SCOPES}/{second}");
        let one = ask(&world, &lists, Method::GET, &path, Value::Null).await;
        assert_eq!(one.json(), list["results"][0]);
        let gone = ask(&world, &lists, Method::DELETE, &path, Value::Null).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
        for method in [Method::GET, Method::DELETE] {
            let again = ask(&world, &lists, method, &path, Value::Null).await;
            assert_eq!(again.status, StatusCode::NOT_FOUND);
        }
        world.end().await;
    }
}

#[tokio::test]
async fn anothers_scope_does_not_exist() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let lists = service(&world, &mut alice).await;
        let builds = service(&world, &mut alice).await;
        let id = make(&world, &lists, "lists", true).await;
        for path in [id.to_string(), "0".into(), "x".into(), "9".repeat(30)] {
            let path = format!("{SCOPES}/{path}");
            for method in [Method::GET, Method::DELETE] {
                let answer = ask(&world, &builds, method, &path, Value::Null).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
            }
        }
        let list = ask(&world, &builds, Method::GET, SCOPES, Value::Null).await;
        assert_eq!(list.json()["results"], json!([]));
        // Names are each service's own.
        make(&world, &builds, "lists", true).await;
        world.end().await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_scope_is_named() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let lists = service(&world, &mut alice).await;
    make(&world, &lists, "lists", true).await;
    let long = ["a".repeat(65), "\u{e9}".repeat(513)];
    for (body, faults) in [
        (json!({}), &["name", "description", "writable"][..]),
        (
            json!({ "name": "", "description": "", "writable": null }),
            &["name", "description", "writable"],
        ),
        (
            json!({ "name": 1, "description": [], "writable": "true" }),
            &["name", "description", "writable"],
        ),
        (
            json!({ "name": "Lists", "description": "x", "writable": true }),
            &["name"],
        ),
        (
            json!({ "name": "a:b", "description": "x", "writable": true }),
            &["name"],
        ),
        (
            json!({ "name": long[0], "description": "x", "writable": true }),
            &["name"],
        ),
        (
            json!({ "name": "x", "description": "a\nb", "writable": true }),
            &["description"],
        ),
        (
            json!({ "name": "x", "description": long[1], "writable": true }),
            &["description"],
        ),
        (
            json!({ "name": "lists", "description": "x", "writable": true }),
            &["name"],
        ),
    ] {
        let answer = ask(&world, &lists, Method::POST, SCOPES, body.clone()).await;
        assert_eq!(fields(&answer), faults, "{body}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_service_has_64_scopes_at_most() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let lists = service(&world, &mut alice).await;
    let name = |number: u8| {
        format!("s{}", char::from(b'a' + number / 26)) + &char::from(b'a' + number % 26).to_string()
    };
    for number in 0..64 {
        make(&world, &lists, &name(number), false).await;
    }
    let new = json!({ "name": name(64), "description": "x", "writable": true });
    let answer = ask(&world, &lists, Method::POST, SCOPES, new).await;
    assert_eq!(fields(&answer), ["name"]);
    world.end().await;
}

#[tokio::test]
async fn a_form_makes_a_scope_too() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let lists = service(&world, &mut alice).await;
    for (writable, status) in [("true", 201), ("yes", 400), ("", 400)] {
        let headers = [
            ("x-oauth-id", lists.id.as_str()),
            ("x-oauth-secret", lists.secret.as_deref().unwrap()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let body = format!("name=lists&description=your+lists&writable={writable}");
        let answer = world
            .request(Persona::Anon, Method::POST, SCOPES, &headers, body)
            .await;
        assert_eq!(answer.status.as_u16(), status, "{writable}: {answer:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn whoever_is_no_service_is_refused_without_a_hint() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let lists = service(&world, &mut alice).await;
        let other = service(&world, &mut alice).await;
        let untrusted = Application::register(&world, &mut alice, Kind::Legacy).await;
        let modern = Application::register(&world, &mut alice, Kind::Confidential).await;
        let secret = |app: &Application| app.secret.clone().unwrap();
        let mut bodies = Vec::new();
        for (id, shown) in [
            (lists.id.clone(), secret(&other)),
            (lists.id.clone(), String::new()),
            (String::new(), secret(&lists)),
            ("0123456789abcdef".to_owned(), secret(&lists)),
            ("nobody".to_owned(), secret(&lists)),
            (untrusted.id.clone(), secret(&untrusted)),
            (modern.id.clone(), secret(&modern)),
        ] {
            let headers = [("x-oauth-id", id.as_str()), ("x-oauth-secret", &shown)];
            for path in [SCOPES.to_owned(), format!("{SCOPES}/1")] {
                let answer = world
                    .request(Persona::Owner, Method::GET, &path, &headers, "")
                    .await;
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{id}");
                bodies.push(answer.body);
            }
        }
        let once = [("x-oauth-id", lists.id.as_str())];
        let once = world
            .request(Persona::Owner, Method::GET, SCOPES, &once, "")
            .await;
        bodies.push(once.body);
        bodies.dedup();
        assert_eq!(bodies.len(), 1, "{bodies:?}");

        // What does not last.
        make(&world, &lists, "lists", true).await;
        let owner = "alice".parse().unwrap();
        let system = world.system();
        system.suspend(&owner, Some("unpaid")).await.unwrap();
        let answer = ask(&world, &lists, Method::GET, SCOPES, Value::Null).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        system.suspend(&owner, None).await.unwrap();
        let answer = ask(&world, &lists, Method::GET, SCOPES, Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK);
        revoke_client(&world.system(), &lists).await;
        let answer = ask(&world, &lists, Method::GET, SCOPES, Value::Null).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        world.end().await;
    }
}

#[tokio::test]
async fn an_operator_trusts_clients_of_the_older_scheme_alone() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let trust = async |id: &str| world.system().trust_client(&id.parse().unwrap()).await;
        for kind in [Kind::Confidential, Kind::Public] {
            let app = Application::register(&world, &mut alice, kind).await;
            let refused = trust(&app.id).await;
            assert!(matches!(refused, Err(forge::Error::Invalid(_))));
        }
        let unknown = trust("0123456789abcdef").await;
        assert!(matches!(unknown, Err(forge::Error::NotFound)));
        let app = Application::register(&world, &mut alice, Kind::Legacy).await;
        for _ in 0..2 {
            trust(&app.id).await.unwrap();
        }
        revoke_client(&world.system(), &app).await;
        assert!(matches!(trust(&app.id).await, Err(forge::Error::NotFound)));
        world.end().await;
    }
}

#[tokio::test]
async fn a_user_is_asked_for_a_services_scope_in_its_words() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let lists = service(&world, &mut alice).await;
        make(&world, &lists, "lists", true).await;
        make(&world, &lists, "drafts", true).await;
        let app = Application::register(&world, &mut alice, Kind::Legacy).await;
        let (wide, narrow) = (
            format!("{}/lists", lists.id),
            format!("{}/drafts", lists.id),
        );
        let scopes = format!("{wide}:write,{narrow},git.sr.ht/info");
        let page = app.page(&[("scopes", &scopes)]);
        let shown = alice.get(&page).await;
        for text in ["An application: your lists", "your drafts", &lists.id] {
            assert!(shown.text().contains(text), "{text}: {}", shown.text());
        }
        // All of it, some of it for reading, and none.
        let (_, query) = sent_to(&allow(&mut alice, &page).await);
        assert_eq!(
            query["scopes"],
            format!("git.sr.ht/info:read,profile:read,{narrow}:read,{wide}:write")
        );
        for (fields, scopes) in [
            (
                [(wide.as_str(), "RO"), (narrow.as_str(), "RW")],
                format!("profile:read,{narrow}:read,{wide}:read"),
            ),
            (
                [(wide.as_str(), ""), ("x/lists", "RW")],
                "profile:read".to_owned(),
            ),
        ] {
            alice.get(&page).await;
            let mut all = vec![("decision", "allow"), ("meta.sr.ht/PROFILE", "RO")];
            all.extend(fields);
            let (_, query) = sent_to(&alice.submit(&page, &all).await);
            assert_eq!(query["scopes"], scopes);
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_scope_that_is_not_there_is_invalid() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        let lists = service(&world, &mut owner).await;
        make(&world, &lists, "lists", false).await;
        let app = Application::register(&world, &mut alice, Kind::Legacy).await;
        let id = &lists.id;
        let untrusted = &app.id;
        let many: Vec<_> = (0..17).map(|i| format!("{i:016x}/lists")).collect();
        for scopes in [
            format!("{id}/drafts"),
            format!("{id}/lists:write"),
            format!("{id}/lists:RO"),
            format!("{id}/*"),
            format!("profile:read,{id}/"),
            format!("{untrusted}/lists"),
            "0123456789abcdef/lists".to_owned(),
            many.join(","),
        ] {
            let answer = alice.get(&app.page(&[("scopes", &scopes)])).await;
            let (_, query) = sent_to(&answer);
            assert_eq!(query["error"], "invalid_scope", "{scopes}");
        }
        // OAuth 2.0 has no words for them.
        let modern = Application::register(&world, &mut alice, Kind::Confidential).await;
        for scope in [format!("{id}/lists"), format!("{id}/lists:RO")] {
            let answer = alice.get(&modern.page(&[("scope", &scope)])).await;
            assert_eq!(sent_to(&answer).1["error"], "invalid_scope", "{scope}");
        }
        let page = app.page(&[("scopes", &format!("{id}/lists"))]);
        assert_eq!(alice.get(&page).await.status, StatusCode::OK);
        revoke_client(&world.system(), &lists).await;
        let answer = alice.get(&page).await;
        assert_eq!(sent_to(&answer).1["error"], "invalid_scope");
        world.end().await;
    }
}

#[tokio::test]
async fn a_deleted_scope_is_gone_from_tokens_and_does_not_come_back() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let lists = service(&world, &mut alice).await;
        let id = make(&world, &lists, "lists", true).await;
        let app = Application::register(&world, &mut alice, Kind::Legacy).await;
        let asked = format!("{}/lists:write", lists.id);
        let code = app.code_for(&mut alice, &[("scopes", &asked)]).await;
        let token = app.redeem(&code).await.json()["token"].clone();
        let token = token.as_str().unwrap();
        let scopes = async || verified(&lists, token).await.json()["scopes"].clone();
        assert_eq!(scopes().await, format!("profile:read,{asked}"));
        let page = alice.get("/oauth2").await;
        assert!(page.text().replace("&#x2f;", "/").contains(&asked));
        let path = format!("{SCOPES}/{id}");
        ask(&world, &lists, Method::DELETE, &path, Value::Null).await;
        assert_eq!(scopes().await, "profile:read");
        make(&world, &lists, "lists", true).await;
        assert_eq!(scopes().await, "profile:read");
        world.end().await;
    }
}
