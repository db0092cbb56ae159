//! Signing in: who gets in, what the others are told, and where a browser goes afterwards.
//!
//! Invariant: a refusal does not tell whether there is such a user. How often one may try is in `guesses`.

use url::form_urlencoded::byte_serialize;

use super::{SESSION, assert_is_page};
use crate::support::browser::{Browser, PASSWORD, hidden, sent_to};
use crate::support::{Answer, Database, World};

const HOME: &str = "https://git.example.org/meta/oauth2";

/// Addresses to which nobody is to be sent, and spellings of ours that browsers might read as one of them.
const ELSEWHERE: &[&str] = &[
    "https://evil.example/",
    "https://evil.example/meta/oauth2",
    "http://git.example.org/meta/oauth2",
    "//evil.example",
    "//evil.example/meta/",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    " /meta/oauth2",
    "/meta//evil.example",
    "/meta/\\evil.example",
    "/meta@evil.example",
    "/meta.evil.example",
    "/metaevil",
    "/meta",
    "/",
    "/~alice/open",
    "/api/version",
    "/meta/../api/version",
    "/meta/..//evil.example",
    "/meta/%2e%2e/api/version",
    "/meta/.%2E//evil.example",
    "/meta/./oauth2",
    "/meta/x\r\nset-cookie: a=b",
    "/meta/x\0",
    "/meta/\u{e4}",
    "/meta/ x",
    "javascript:alert(1)",
    "data:text/html,x",
    "https:evil.example",
    "https:/meta/oauth2",
    "?//evil.example",
    "#x",
    "oauth2/device",
    "@evil.example",
    ".evil.example",
];

/// A browser with which alice signs in, to go on to that address.
async fn sign_in_for(world: &World, return_to: &str) -> Answer {
    let mut browser = Browser::new(world);
    browser.get("/login").await;
    let fields = [
        ("username", "alice"),
        ("password", PASSWORD),
        ("return_to", return_to),
    ];
    browser.submit("/login", &fields).await
}

#[tokio::test]
async fn who_has_the_password_is_signed_in() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        for name in ["alice", "~alice", " alice "] {
            let mut browser = Browser::new(&world);
            let signed_in = browser.sign_in(name, PASSWORD).await;
            assert_eq!(sent_to(&signed_in).0, HOME, "{name:?}");
            let page = browser.get("/oauth2").await;
            assert_eq!(page.status, 200);
            assert!(page.text().contains("<strong>~alice</strong>"));
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_told_the_same() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::new(&world);
        let wrong = browser.sign_in("alice", "wrong horse").await;
        assert_eq!(wrong.status, 403);
        assert_is_page(&wrong);
        let told = without_name(&wrong, "alice");
        // Nobody, nobody that could be, and an account that has no password.
        for name in ["bobby", "Alice", "al ice", "writer"] {
            let unknown = browser.sign_in(name, "wrong horse").await;
            assert_eq!(unknown.status, wrong.status, "{name}");
            assert_eq!(without_name(&unknown, name), told, "{name}");
            let names = |answer: &Answer| answer.headers.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&unknown), names(&wrong), "{name}");
        }
        assert_eq!(browser.cookie(SESSION), None);
        world.end().await;
    }
}

/// What a page says, whoever's name was typed. The hidden token is the browser's, and stays.
fn without_name(page: &Answer, name: &str) -> String {
    let typed = format!("name=\"username\" value=\"{name}\"");
    assert!(page.text().contains(&typed), "{page:?}");
    page.text()
        .replace(&typed, "name=\"username\" value=\"NAME\"")
}

#[tokio::test]
async fn what_can_be_no_name_and_no_password_is_wrong_and_no_fault() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let (long, longer) = ("x".repeat(1024), "x".repeat(100_000));
        for (name, password) in [
            ("", ""),
            ("alice", ""),
            ("alice", "correct horse\0"),
            ("alice", &long),
            ("alice", &longer),
            ("al\0ice", PASSWORD),
            ("alice\r\n", "wrong horse"),
            ("\u{202e}", PASSWORD),
            (longer.as_str(), PASSWORD),
        ] {
            let refused = Browser::new(&world).sign_in(name, password).await;
            assert_eq!(refused.status, 403, "{name:?}");
            assert_is_page(&refused);
        }
        world.end().await;
    }
}

#[tokio::test]
async fn the_password_is_not_shown_again_and_the_name_is_escaped() {
    let world = World::with_pages(Database::Sqlite).await;
    let name = "\"><script>alert(1)</script>";
    let page = Browser::new(&world).sign_in(name, "wrong horse").await;
    assert!(!page.text().contains("<script>"), "{}", page.text());
    assert!(!page.text().contains("wrong horse"));
    world.end().await;
}

#[tokio::test]
async fn a_browser_goes_on_to_the_page_that_it_asked_for() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::new(&world);
    let asked = "/oauth2/device?user_code=BCDF-GHJK&x=%26%2F";
    let (login, query) = sent_to(&browser.get(asked).await);
    assert_eq!(login, "https://git.example.org/meta/login");
    let return_to = query["return_to"].clone();
    assert_eq!(return_to, format!("/meta{asked}"));

    let encoded: String = byte_serialize(return_to.as_bytes()).collect();
    let page = browser.get(&format!("/login?return_to={encoded}")).await;
    let carried = hidden(&page, "return_to").expect("a hidden field");
    let carried = carried.replace("&amp;", "&").replace("&#x2f;", "/");
    assert_eq!(carried, return_to);
    let signed_in = sign_in_for(&world, &carried).await;
    assert_eq!(signed_in.headers["location"], return_to.as_str());
    world.end().await;
}

#[tokio::test]
async fn nobody_is_sent_elsewhere_after_signing_in() {
    let world = World::with_pages(Database::Sqlite).await;
    for return_to in ELSEWHERE {
        let signed_in = sign_in_for(&world, return_to).await;
        assert_eq!(
            signed_in.headers["location"], "/meta/oauth2",
            "{return_to:?}"
        );
    }
    world.end().await;
}

#[tokio::test]
async fn who_is_signed_in_is_sent_from_the_login_to_pages_of_ours_alone() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let good = "/meta/oauth2/device?user_code=BCDF-GHJK#x";
    for (return_to, place) in ELSEWHERE
        .iter()
        .map(|elsewhere| (*elsewhere, "/meta/oauth2"))
        .chain([(good, good)])
    {
        let encoded: String = byte_serialize(return_to.as_bytes()).collect();
        let sent = browser.get(&format!("/login?return_to={encoded}")).await;
        assert_eq!(sent.status, 303, "{return_to:?}");
        assert_eq!(sent.headers["location"], place, "{return_to:?}");
    }
    world.end().await;
}
