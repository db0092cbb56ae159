//! Paths that no page has, and methods that a page's path has not.
//!
//! Invariant: where people look, they are shown a page; where programs ask, they get the error body of the API. Which of
//! both a path is for does not depend on what a request says that it takes.

use http::Method;
use http::header::ALLOW;

use super::assert_is_page;
use super::sweep::is_for_clients;
use crate::support::browser::Browser;
use crate::support::{Answer, Database, World};

/// What browsers and programs say that they take.
const TAKES: [&str; 3] = ["text/html", "application/json", "*/*"];

async fn ask(browser: &mut Browser<'_>, method: &Method, path: &str, takes: &str) -> Answer {
    let headers = [("accept", takes)];
    browser
        .send(method.clone(), path, &headers, "".into())
        .await
}

#[track_caller]
fn assert_is_json(answer: &Answer, reason: &str) {
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.json()["errors"][0]["reason"], reason);
}

#[tokio::test]
async fn a_method_that_is_not_a_pages_is_told_on_a_page() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let is_page = |path: &str| !path.starts_with("/api/") && !path.starts_with("/~");
    let endpoints = forge::meta_endpoints().into_iter();
    for endpoint in endpoints.filter(|endpoint| is_page(&endpoint.path)) {
        let path = endpoint
            .path
            .replace("{id}", "1")
            .replace("{*path}", "meta");
        for method in [Method::DELETE, Method::from_bytes(b"BREW").unwrap()] {
            for takes in TAKES {
                let refused = ask(&mut browser, &method, &path, takes).await;
                assert_eq!(refused.status, 405, "{method} {path}");
                let allowed = refused.headers[ALLOW].to_str().unwrap().to_owned();
                assert!(allowed.contains(endpoint.method.as_str()), "{allowed}");
                assert!(allowed.ends_with("OPTIONS"), "{allowed}");
                if is_for_clients(&endpoint.path) {
                    assert_is_json(&refused, "405 method not allowed");
                } else {
                    assert_is_page(&refused);
                    assert!(refused.text().contains("<h1>Not this way</h1>"), "{path}");
                }
            }
        }
        let options = ask(&mut browser, &Method::OPTIONS, &path, "*/*").await;
        assert_eq!(
            (options.status.as_u16(), options.text()),
            (200, ""),
            "{path}"
        );
    }
    world.end().await;
}

#[tokio::test]
async fn what_only_forms_are_sent_to_is_a_page_for_whoever_looks() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    for path in ["/logout", "/oauth2/client/x/revoke"] {
        let refused = browser.get(path).await;
        assert_eq!(refused.status, 405, "{path}");
        assert_is_page(&refused);
        assert_eq!(refused.headers[ALLOW], "POST, OPTIONS");
    }
    world.end().await;
}

#[tokio::test]
async fn a_path_that_no_page_has_is_told_on_a_page() {
    let world = World::with_pages(Database::Sqlite).await;
    for mut browser in [Browser::new(&world), Browser::of(&world, "alice").await] {
        for path in [
            "/oauth2/",
            "/oauth2/nothing",
            "/oauth/nothing/at/all",
            "/oauth2/%00",
        ] {
            for method in [Method::GET, Method::POST, Method::PUT] {
                for takes in TAKES {
                    let missing = ask(&mut browser, &method, path, takes).await;
                    assert_eq!(missing.status, 404, "{method} {path}");
                    assert_is_page(&missing);
                    assert!(!missing.headers.contains_key(ALLOW), "{missing:?}");
                    assert!(missing.text().contains("<h1>Not found</h1>"));
                }
            }
        }
    }
    world.end().await;
}

#[tokio::test]
async fn the_api_tells_in_json_whatever_is_asked() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    for takes in TAKES {
        let missing = ask(&mut browser, &Method::GET, "/api/nothing", takes).await;
        assert_eq!(missing.status, 404);
        assert_is_json(&missing, "404 not found");
        let refused = ask(&mut browser, &Method::PATCH, "/api/user/profile", takes).await;
        assert_eq!(refused.status, 405);
        assert_is_json(&refused, "405 method not allowed");
    }
    world.end().await;
}
