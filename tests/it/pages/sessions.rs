//! Sessions: how long a browser stays signed in, what ends that, and the cookies that it is told to keep.
//!
//! Invariant: a cookie whose session has ended means nobody, in whatever browser. Suspension is in `suspension`.

use chrono::TimeDelta;
use http::header::SET_COOKIE;

use super::{FORM, SESSION, is_signed_in, log, opens};
use crate::support::browser::{Browser, PASSWORD, sent_to};
use crate::support::{Answer, Database, World};

/// The session's cookie of a browser.
fn session(browser: &Browser<'_>) -> String {
    browser.cookie(SESSION).expect("a session").to_owned()
}

/// Signs in with a browser with which somebody is signed in already.
async fn sign_in_again(browser: &mut Browser<'_>, name: &str, password: &str) -> Answer {
    browser.get("/oauth2").await;
    let fields = [
        ("username", name),
        ("password", password),
        ("return_to", ""),
    ];
    browser.submit("/login", &fields).await
}

#[tokio::test]
async fn a_session_ends_after_thirty_days() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        let almost = TimeDelta::days(30) - TimeDelta::seconds(1);
        world.clock.advance(almost);
        assert!(is_signed_in(&mut browser).await);
        world.clock.advance(TimeDelta::seconds(1));
        assert!(!is_signed_in(&mut browser).await);
        world.end().await;
    }
}

#[tokio::test]
async fn signing_in_again_ends_the_session_before() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        let before = session(&browser);
        let again = sign_in_again(&mut browser, "stranger", PASSWORD).await;
        assert_eq!(again.status, 303, "{again:?}");
        assert_ne!(session(&browser), before);
        assert!(!opens(&world, &before).await);
        let page = browser.get("/oauth2").await;
        assert!(page.text().contains("<strong>~stranger</strong>"));
        world.end().await;
    }
}

#[tokio::test]
async fn who_fails_to_sign_in_again_stays_signed_in() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let again = sign_in_again(&mut browser, "stranger", "wrong horse").await;
    assert_eq!(again.status, 403);
    let page = browser.get("/oauth2").await;
    assert!(page.text().contains("<strong>~alice</strong>"));
    world.end().await;
}

#[tokio::test]
async fn sessions_in_other_browsers_go_on() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut first = Browser::of(&world, "alice").await;
    let mut second = Browser::of(&world, "alice").await;
    second.get("/oauth2").await;
    assert_eq!(second.submit("/logout", &[]).await.status, 303);
    assert!(is_signed_in(&mut first).await);
    world.end().await;
}

#[tokio::test]
async fn who_signs_out_is_nobody_and_so_is_the_cookie() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        let before = session(&browser);
        browser.get("/oauth2").await;
        let signed_out = browser.submit("/logout", &[]).await;
        let (place, _) = sent_to(&signed_out);
        assert_eq!(place, "https://git.example.org/meta/login");
        assert_eq!(browser.cookie(SESSION), None);
        assert!(!is_signed_in(&mut browser).await);
        assert!(!opens(&world, &before).await);
        world.end().await;
    }
}

#[tokio::test]
async fn a_new_password_ends_every_session() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut first = Browser::of(&world, "alice").await;
        let mut second = Browser::of(&world, "alice").await;
        let mut other = Browser::of(&world, "stranger").await;
        world.set_password("alice", "battery staple").await;
        assert!(!is_signed_in(&mut first).await);
        assert!(!is_signed_in(&mut second).await);
        assert!(is_signed_in(&mut other).await);
        let old = first.sign_in("alice", PASSWORD).await;
        assert_eq!(old.status, 403);
        let new = first.sign_in("alice", "battery staple").await;
        assert_eq!(new.status, 303);
        assert_eq!(log(&world).await[1], "0.0.0.0 | password reset | -");
        world.end().await;
    }
}

/// Somebody may have put a cookie of theirs into a browser.
#[tokio::test]
async fn a_session_that_was_not_given_is_not_taken_over() {
    let world = World::with_pages(Database::Sqlite).await;
    let planted = "0123456789abcdef".repeat(4);
    let mut browser = Browser::new(&world);
    browser.keep(SESSION, &planted);
    browser.sign_in("alice", PASSWORD).await;
    assert_ne!(session(&browser), planted);
    assert!(!opens(&world, &planted).await);
    world.end().await;
}

#[tokio::test]
async fn the_log_tells_when_somebody_came_and_went_and_from_where() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::new(&world).at("192.0.2.7");
        browser.sign_in("alice", "wrong horse").await;
        browser.sign_in("alice", PASSWORD).await;
        browser.get("/oauth2").await;
        let mut browser = browser.at("2001:db8::7");
        browser.submit("/logout", &[]).await;
        assert_eq!(
            log(&world).await[..3],
            [
                "2001:db8::7 | logged out | -",
                "192.0.2.7 | logged in | -",
                "0.0.0.0 | password reset | -",
            ]
        );
        world.end().await;
    }
}

/// How an answer sets a cookie: its attributes, sorted, without its value.
fn attributes(answer: &Answer, name: &str) -> Vec<String> {
    let cookies = answer.headers.get_all(SET_COOKIE).iter();
    let mut cookies = cookies.filter_map(|cookie| {
        let (known, rest) = cookie.to_str().expect("text").split_once('=')?;
        (known == name).then(|| rest.to_owned())
    });
    let cookie = cookies.next().expect("a cookie of that name");
    assert_eq!(cookies.next(), None, "{name} is set twice");
    let mut parts: Vec<_> = cookie.split("; ").skip(1).map(ToOwned::to_owned).collect();
    parts.sort_unstable();
    parts
}

/// What comes of seeing the login, signing in and signing out.
async fn come_and_go(world: &World) -> [Answer; 3] {
    let mut browser = Browser::new(world);
    let seen = browser.get("/login").await;
    let fields = [("username", "alice"), ("password", PASSWORD)];
    let signed_in = browser.submit("/login", &fields).await;
    browser.get("/oauth2").await;
    let signed_out = browser.submit("/logout", &[]).await;
    [seen, signed_in, signed_out]
}

#[tokio::test]
async fn cookies_over_tls_are_this_hosts_alone() {
    let world = World::with_pages(Database::Sqlite).await;
    let [seen, signed_in, signed_out] = come_and_go(&world).await;
    let fixed = ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"];
    assert_eq!(attributes(&seen, FORM), fixed);
    let lasting = [
        "HttpOnly",
        "Max-Age=2592000",
        "Path=/",
        "SameSite=Lax",
        "Secure",
    ];
    assert_eq!(attributes(&signed_in, SESSION), lasting);
    let over = ["HttpOnly", "Max-Age=0", "Path=/", "SameSite=Lax", "Secure"];
    assert_eq!(attributes(&signed_out, SESSION), over);
    world.end().await;
}

#[tokio::test]
async fn cookies_over_a_plain_connection_are_the_pages_alone() {
    let world = World::with(Database::Sqlite, |builder| {
        builder.git_origin("http://127.0.0.1:8080").passwords()
    })
    .await;
    world.set_password("alice", PASSWORD).await;
    let [seen, signed_in, signed_out] = come_and_go(&world).await;
    let fixed = ["HttpOnly", "Path=/meta/", "SameSite=Lax"];
    assert_eq!(attributes(&seen, "forge_form"), fixed);
    let lasting = ["HttpOnly", "Max-Age=2592000", "Path=/meta/", "SameSite=Lax"];
    assert_eq!(attributes(&signed_in, "forge_session"), lasting);
    let over = ["HttpOnly", "Max-Age=0", "Path=/meta/", "SameSite=Lax"];
    assert_eq!(attributes(&signed_out, "forge_session"), over);
    world.end().await;
}

/// Other hosts of the same domain can set cookies of other names.
#[tokio::test]
async fn a_cookie_that_another_host_can_set_means_nobody_where_there_is_tls() {
    let world = World::with_pages(Database::Sqlite).await;
    let session = session(&Browser::of(&world, "alice").await);
    let mut browser = Browser::new(&world);
    browser.keep("forge_session", &session);
    assert!(!is_signed_in(&mut browser).await);
    world.end().await;
}

#[tokio::test]
async fn a_page_that_is_seen_again_sets_no_cookie_again() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::new(&world);
    let seen = browser.get("/login").await;
    assert!(seen.headers.contains_key(SET_COOKIE));
    let again = browser.get("/login").await;
    assert!(!again.headers.contains_key(SET_COOKIE));
    world.end().await;
}
