//! The same pages where a host application knows who is signed in: here, one that reads it from a header.
//!
//! Invariant: the forge asks the host for each page and keeps nothing of the answer but the user. How the host signs its
//! users in is its own affair.

use async_trait::async_trait;
use chrono::TimeDelta;
use forge::access::Grants;
use forge::{Error, IdentityProvider, Profile, Result};
use http::request::Parts;
use http::{Method, Request};
use http_body_util::Full;
use url::form_urlencoded::byte_serialize;

use super::{api, assert_is_page, log_of};
use crate::support::browser::{Browser, hidden, sent_to, shown};
use crate::support::{Answer, Database, Persona, World};

/// The header that says who is signed in, and another for the address.
const USER: &str = "x-user";
const EMAIL: &str = "x-email";

struct Header;

#[async_trait]
impl IdentityProvider for Header {
    async fn current_user(&self, request: &Parts) -> Result<Option<Profile>> {
        let text = |name| request.headers.get(name)?.to_str().ok();
        match text(USER) {
            None => Ok(None),
            Some("DOWN") => Err(Error::unavailable("the directory does not answer")),
            Some("BROKEN") => Err(Error::internal("the directory is on fire")),
            Some(name) => Ok(Some(Profile {
                name: name.parse()?,
                email: text(EMAIL).map(ToOwned::to_owned),
            })),
        }
    }

    fn login_url(&self, return_to: &str) -> String {
        let encoded: String = byte_serialize(return_to.as_bytes()).collect();
        format!("/enter?next={encoded}")
    }

    fn logout_url(&self) -> Option<String> {
        Some("/leave".to_owned())
    }
}

async fn world(database: Database) -> World {
    World::with(database, |builder| builder.identity(Header)).await
}

/// What a browser sees with which the host knows that user.
async fn get(browser: &mut Browser<'_>, path: &str, headers: &[(&str, &str)]) -> Answer {
    browser.send(Method::GET, path, headers, "".into()).await
}

/// A token of a user who is there already.
async fn token(world: &World, name: &str) -> String {
    let user = world.user(name).await;
    world
        .token(&user, Grants::everything(), TimeDelta::days(1))
        .await
}

#[tokio::test]
async fn nobody_is_led_to_the_hosts_own_login_and_back() {
    let world = world(Database::Sqlite).await;
    let mut browser = Browser::new(&world);
    let asked = "/oauth2/device?user_code=BCDF-GHJK&x=%26";
    let (place, query) = sent_to(&browser.get(asked).await);
    assert_eq!(place, "https://git.example.org/enter");
    assert_eq!(query["next"], format!("/meta{asked}"));
    world.end().await;
}

#[tokio::test]
async fn a_user_is_mirrored_on_first_sight() {
    for database in Database::all() {
        let world = world(database).await;
        let mut browser = Browser::new(&world);
        let headers = [(USER, "newcomer"), (EMAIL, "new@example.org")];
        for _ in 0..2 {
            let page = get(&mut browser, "/oauth2", &headers).await;
            assert_eq!(page.status, 200);
            assert_is_page(&page);
            assert!(page.text().contains("<strong>~newcomer</strong>"));
        }
        let token = token(&world, "newcomer").await;
        let log = log_of(&world, &token).await;
        let registered: Vec<_> = log
            .iter()
            .filter(|line| line.contains("account registered"))
            .collect();
        let line = "0.0.0.0 | account registered | registered ~newcomer (new@example.org)";
        assert_eq!(registered, [line]);
        world.end().await;
    }
}

#[tokio::test]
async fn users_seen_twice_at_once_are_mirrored_once() {
    for database in Database::all() {
        let world = world(database).await;
        let headers = [(USER, "newcomer"), (EMAIL, "new@example.org")];
        let looks = (0..8).map(async |_| {
            let mut browser = Browser::new(&world);
            get(&mut browser, "/oauth2", &headers).await.status.as_u16()
        });
        assert_eq!(futures::future::join_all(looks).await, [200; 8]);
        let token = token(&world, "newcomer").await;
        let log = log_of(&world, &token).await;
        let registered = log.iter().filter(|line| line.contains("registered"));
        assert_eq!(registered.count(), 1, "{log:?}");
        world.end().await;
    }
}

#[tokio::test]
async fn the_hosts_users_make_tokens_on_the_same_page() {
    for database in Database::all() {
        let world = world(database).await;
        let mut browser = Browser::new(&world);
        let page = get(&mut browser, "/oauth2", &[(USER, "alice")]).await;
        let token = hidden(&page, "token").expect("a form");
        let headers = [
            (USER, "alice"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", "https://git.example.org"),
        ];
        let body = format!("token={token}&everything=on").into();
        let path = "/oauth2/personal-token";
        let made = browser.send(Method::POST, path, &headers, body).await;
        let profile = api(&world, &shown(&made, "token"), "/meta/api/user/profile").await;
        assert_eq!(profile.json()["name"], "alice");
        world.end().await;
    }
}

/// The host may have signed somebody else in since the page was made.
#[tokio::test]
async fn a_form_made_for_another_of_the_hosts_users_is_refused() {
    let world = world(Database::Sqlite).await;
    let mut browser = Browser::new(&world);
    let page = get(&mut browser, "/oauth2", &[(USER, "stranger")]).await;
    let token = hidden(&page, "token").expect("a form");
    let headers = [
        (USER, "alice"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let body = format!("token={token}&everything=on").into();
    let path = "/oauth2/personal-token";
    let refused = browser.send(Method::POST, path, &headers, body).await;
    assert_eq!(refused.status, 403);
    world.end().await;
}

#[tokio::test]
async fn the_page_offers_the_hosts_own_way_out() {
    let world = world(Database::Sqlite).await;
    let mut browser = Browser::new(&world);
    let page = get(&mut browser, "/oauth2", &[(USER, "alice")]).await;
    let text = page.text().replace("&#x2f;", "/");
    assert!(text.contains("action=\"/leave\""), "{text}");
    assert!(!text.contains("/logout"), "{text}");
    world.end().await;
}

/// The forge knows no password of theirs, and does not sign them out.
#[tokio::test]
async fn the_hosts_users_delete_their_accounts_by_name() {
    for database in Database::all() {
        let world = world(database).await;
        let mut browser = Browser::new(&world);
        let path = "/profile/delete";
        let page = get(&mut browser, path, &[(USER, "alice")]).await;
        assert_eq!(page.status, 200);
        assert!(!page.text().contains("name=\"password\""), "{page:?}");
        let token = hidden(&page, "token").expect("a form");
        let headers = [
            (USER, "alice"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", "https://git.example.org"),
        ];
        for (name, status) in [("stranger", 400), ("alice", 200)] {
            let body = format!("token={token}&username={name}").into();
            let answer = browser.send(Method::POST, path, &headers, body).await;
            assert_eq!(answer.status, status, "{name}");
            assert_is_page(&answer);
            assert!(!answer.text().contains("signed out"), "{answer:?}");
        }
        let page = get(&mut browser, "/oauth2", &[(USER, "alice")]).await;
        assert_eq!(page.status, 403);
        assert!(page.text().contains("this account is being deleted"));
        world.end().await;
    }
}

/// An answer of whatever is around the forge.
#[track_caller]
fn assert_not_ours(answer: &Answer) {
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (404, "404 not found\n")
    );
    assert!(!answer.headers.contains_key("x-request-id"), "{answer:?}");
}

#[tokio::test]
async fn signing_in_and_out_is_left_to_the_host() {
    let world = world(Database::Sqlite).await;
    let mut browser = Browser::new(&world);
    for path in ["/login", "/logout", "/login?return_to=%2Fmeta%2Foauth2"] {
        assert_not_ours(&browser.get(path).await);
        assert_not_ours(&browser.post(path, &[("username", "alice")]).await);
    }
    world.end().await;
}

#[tokio::test]
async fn where_nobody_can_be_signed_in_there_are_no_pages() {
    let world = World::new(Database::Sqlite).await;
    let mut browser = Browser::new(&world);
    for endpoint in forge::meta_endpoints() {
        let path = endpoint.path.as_str();
        if !path.starts_with("/api/") && !path.starts_with("/~") {
            let path = path.replace("{id}", "1").replace("{*path}", "meta");
            let asked = browser.send(endpoint.method, &path, &[], "".into()).await;
            assert_not_ours(&asked);
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_suspended_user_of_the_hosts_is_shown_the_notice() {
    for database in Database::all() {
        let world = world(database).await;
        let mut browser = Browser::new(&world);
        // The host knows nothing of it, so there is no login to send them to.
        for path in ["/oauth2", "/oauth2/device"] {
            let refused = get(&mut browser, path, &[(USER, "suspended")]).await;
            assert_eq!(refused.status, 403);
            assert_is_page(&refused);
            let text = refused.text();
            assert!(text.contains("this account is suspended: unpaid"), "{text}");
        }
        world.end().await;
    }
}

/// The name is nobody's from now on, whatever the host says.
#[tokio::test]
async fn a_user_of_the_hosts_who_was_deleted_here_is_not_made_anew() {
    for database in Database::all() {
        let world = world(database).await;
        let alice = "alice".parse().unwrap();
        world.system().delete_user(&alice, None).await.unwrap();
        world.settle().await;
        let mut browser = Browser::new(&world);
        let refused = get(&mut browser, "/oauth2", &[(USER, "alice")]).await;
        assert_eq!(refused.status, 400);
        assert_is_page(&refused);
        world.end().await;
    }
}

#[tokio::test]
async fn an_address_that_somebody_has_is_not_taken_over() {
    for database in Database::all() {
        let world = world(database).await;
        let mut browser = Browser::new(&world);
        let headers = [(USER, "newcomer"), (EMAIL, "alice@example.org")];
        let page = get(&mut browser, "/oauth2", &headers).await;
        assert_eq!(page.status, 200);
        let token = token(&world, "newcomer").await;
        let profile = api(&world, &token, "/meta/api/user/profile").await.json();
        assert_eq!(profile["name"], "newcomer");
        assert_eq!(profile["email"], serde_json::Value::Null);
        let alice = world.get(Persona::Owner, "/meta/api/user/profile").await;
        assert_eq!(alice.json()["email"], "alice@example.org");
        let log = log_of(&world, &token).await;
        let line = "0.0.0.0 | account registered | registered ~newcomer";
        assert_eq!(log.last().unwrap(), line);
        world.end().await;
    }
}

#[tokio::test]
async fn what_the_host_knows_opens_no_api() {
    let world = world(Database::Sqlite).await;
    for path in ["/meta/api/user/profile", "/api/user"] {
        let request = Request::get(path)
            .header("host", "git.example.org")
            .header(USER, "alice")
            .body(Full::default())
            .unwrap();
        assert_eq!(world.send(request).await.status, 401, "{path}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_host_that_fails_is_a_page_that_does_not_tell_why() {
    let world = world(Database::Sqlite).await;
    let mut browser = Browser::new(&world);
    for (user, status) in [("DOWN", 503), ("BROKEN", 500)] {
        for path in ["/oauth2", "/profile/confirm-email?code=x"] {
            let failed = get(&mut browser, path, &[(USER, user)]).await;
            assert_eq!(failed.status, status, "{path}");
            assert_is_page(&failed);
            assert!(!failed.text().contains("directory"), "{failed:?}");
        }
    }
    let page = get(&mut browser, "/oauth2", &[(USER, "alice")]).await;
    assert_eq!(page.status, 200, "it goes on");
    world.end().await;
}
