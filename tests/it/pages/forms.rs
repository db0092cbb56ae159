//! Forms that others have made: what is sent from another site, by another browser or for another user changes nothing.
//!
//! Invariant: each test sends what would succeed but for one thing. Forms of clients, which are no browsers, are not here.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use url::form_urlencoded::Serializer;

use super::{FORM, SESSION, assert_is_page, is_signed_in};
use crate::support::browser::{Browser, PASSWORD, hidden};
use crate::support::{Answer, Database, World};

/// A form whose effect can be seen: it makes a token.
const MAKE: &str = "/oauth2/personal-token";
const HOST: &str = "git.example.org";
const OURS: &str = "https://git.example.org";
const FORM_TYPE: &str = "application/x-www-form-urlencoded";

/// What the forms of a browser carry.
async fn token(browser: &mut Browser<'_>, path: &str) -> String {
    hidden(&browser.get(path).await, "token").expect("a page with a form")
}

/// How many tokens the browser's user has.
async fn count(browser: &mut Browser<'_>) -> usize {
    let page = browser.get("/oauth2").await;
    page.text().matches("/personal-token/").count()
}

#[track_caller]
fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_is_page(answer);
}

/// Sends a form as a browser does that calls the forge so, with these headers.
async fn send(
    world: &World,
    browser: &Browser<'_>,
    host: &str,
    headers: &[(&str, &str)],
    (path, fields): (&str, &[(&str, &str)]),
) -> Answer {
    let body = Serializer::new(String::new()).extend_pairs(fields).finish();
    let cookies = [SESSION, FORM].into_iter().filter_map(|name| {
        let value = browser.cookie(name)?;
        Some(format!("{name}={value}"))
    });
    let mut request = Request::post(format!("/meta{path}"))
        .header("host", host)
        .header("content-type", FORM_TYPE)
        .header("cookie", cookies.collect::<Vec<_>>().join("; "));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body)));
    world.send(request.unwrap()).await
}

#[tokio::test]
async fn a_form_without_the_token_of_a_page_is_refused() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        let (token, before) = (
            token(&mut browser, "/oauth2").await,
            count(&mut browser).await,
        );
        let none = browser.post(MAKE, &[("everything", "on")]).await;
        assert_refused(&none);
        for other in [
            "",
            "x",
            &token[..63],
            &token.to_uppercase(),
            &format!("{token}0"),
            &format!("{token} "),
        ] {
            let fields = [("everything", "on"), ("token", other)];
            assert_refused(&browser.post(MAKE, &fields).await);
        }
        assert_eq!(count(&mut browser).await, before);
        world.end().await;
    }
}

#[tokio::test]
async fn a_token_of_another_browser_is_refused() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let mut other = Browser::of(&world, "alice").await;
    let token = token(&mut other, "/oauth2").await;
    let before = count(&mut browser).await;
    let fields = [("everything", "on"), ("token", token.as_str())];
    assert_refused(&browser.post(MAKE, &fields).await);
    assert_eq!(count(&mut browser).await, before);
    world.end().await;
}

/// Whoever used the browser before may have left a page open, or kept its token.
#[tokio::test]
async fn a_token_that_this_browser_had_for_another_user_is_refused() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::new(&world);
    let nobodys = token(&mut browser, "/login").await;
    browser.sign_in("stranger", PASSWORD).await;
    let strangers = token(&mut browser, "/oauth2").await;
    browser.submit("/logout", &[]).await;
    browser.sign_in("alice", PASSWORD).await;
    let before = count(&mut browser).await;
    for token in [&nobodys, &strangers] {
        let fields = [("everything", "on"), ("token", token.as_str())];
        assert_refused(&browser.post(MAKE, &fields).await);
    }
    assert_eq!(count(&mut browser).await, before);
    world.end().await;
}

#[tokio::test]
async fn a_token_in_the_address_does_not_count() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let token = token(&mut browser, "/oauth2").await;
    let path = format!("{MAKE}?token={token}");
    assert_refused(&browser.post(&path, &[("everything", "on")]).await);
    world.end().await;
}

#[tokio::test]
async fn what_is_sent_in_another_form_is_refused() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let token = token(&mut browser, "/oauth2").await;
    let before = count(&mut browser).await;
    let body = format!("token={token}&everything=on");
    // What a page of another site can send without asking, and what it cannot.
    for kind in [
        "text/plain",
        "multipart/form-data; boundary=b",
        "application/json",
        "",
    ] {
        let headers = [("content-type", kind), ("origin", OURS)];
        let sent = browser.send(Method::POST, MAKE, &headers, body.clone().into());
        let sent = sent.await;
        assert_eq!(sent.status, 400, "{kind}");
        assert_is_page(&sent);
    }
    assert_eq!(count(&mut browser).await, before);
    world.end().await;
}

#[tokio::test]
async fn a_form_that_is_too_large_is_refused() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::new(&world);
    browser.get("/login").await;
    let long = "x".repeat(2 << 20);
    let fields = [("username", "alice"), ("password", long.as_str())];
    let refused = browser.submit("/login", &fields).await;
    assert_eq!(refused.status, 413);
    assert_is_page(&refused);
    world.end().await;
}

#[tokio::test]
async fn a_form_from_another_site_is_refused() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let token = token(&mut browser, "/oauth2").await;
    let before = count(&mut browser).await;
    let fields = [("everything", "on"), ("token", token.as_str())];
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "https://git.example.org.evil.example")],
        &[("origin", "https://evil.example/git.example.org")],
        &[("origin", "https://git.example.org:8443")],
        &[("origin", "https://example.org")],
        &[("origin", "https://meta.git.example.org")],
        &[("origin", "https://git.example.org@evil.example")],
        &[("origin", "null")],
        &[("origin", "")],
        &[("origin", "git.example.org")],
        &[("origin", OURS), ("sec-fetch-site", "cross-site")],
        &[("origin", OURS), ("sec-fetch-site", "same-site")],
        &[("origin", OURS), ("sec-fetch-site", "none")],
        &[("origin", OURS), ("sec-fetch-site", "")],
        &[("sec-fetch-site", "cross-site")],
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
        &[
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "same-origin"),
        ],
    ] {
        let sent = send(&world, &browser, HOST, headers, (MAKE, &fields)).await;
        assert_eq!(sent.status, 403, "{headers:?}");
    }
    assert_eq!(count(&mut browser).await, before);
    world.end().await;
}

#[tokio::test]
async fn a_form_of_ours_counts_however_much_the_browser_says() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let token = token(&mut browser, "/oauth2").await;
    let fields = [("everything", "on"), ("token", token.as_str())];
    for headers in [
        &[][..],
        &[("origin", OURS)],
        &[("sec-fetch-site", "same-origin")],
        &[("origin", OURS), ("sec-fetch-site", "same-origin")],
    ] {
        let sent = send(&world, &browser, HOST, headers, (MAKE, &fields)).await;
        assert_eq!(sent.status, 200, "{headers:?}");
    }
    world.end().await;
}

/// A proxy may ask under another name than the browser did.
#[tokio::test]
async fn behind_a_proxy_that_renames_the_host_the_configured_origin_is_ours() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let token = token(&mut browser, "/oauth2").await;
    let fields = [("everything", "on"), ("token", token.as_str())];
    let inside = "127.0.0.1:8080";
    for (status, origin) in [
        (200, OURS),
        (200, "http://127.0.0.1:8080"),
        (403, "https://evil.example"),
        (403, "http://127.0.0.1:8081"),
        (403, "http://git.example.org"),
        (403, "https://git.example.org.evil.example"),
        (403, "null"),
    ] {
        let headers = [("origin", origin)];
        let sent = send(&world, &browser, inside, &headers, (MAKE, &fields)).await;
        assert_eq!(sent.status, status, "{origin}");
    }
    world.end().await;
}

#[tokio::test]
async fn another_site_signs_nobody_in() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::new(&world);
    let token = token(&mut browser, "/login").await;
    let evil = [("origin", "https://evil.example")];
    let ours = [("origin", OURS)];
    for (headers, token) in [(evil, token.as_str()), (ours, "x"), (ours, "")] {
        let fields = with_password(token);
        let sent = send(&world, &browser, HOST, &headers, ("/login", &fields)).await;
        assert_refused(&sent);
        assert!(!sent.headers.contains_key("set-cookie"), "{sent:?}");
    }
    let fields = with_password(&token);
    let good = send(&world, &browser, HOST, &ours, ("/login", &fields)).await;
    assert_eq!(good.status, 303, "{good:?}");
    world.end().await;
}

fn with_password(token: &str) -> [(&str, &str); 3] {
    [
        ("username", "alice"),
        ("password", PASSWORD),
        ("token", token),
    ]
}

#[tokio::test]
async fn another_site_signs_nobody_out() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let token = token(&mut browser, "/oauth2").await;
    let evil = [("origin", "https://evil.example")];
    let with_token = [("token", token.as_str())];
    for (headers, fields) in [(&evil[..], &with_token[..]), (&[], &[])] {
        assert_refused(&send(&world, &browser, HOST, headers, ("/logout", fields)).await);
        assert!(is_signed_in(&mut browser).await);
    }
    // An image of another site's page is asked for with the cookies, too.
    assert_eq!(browser.get("/logout").await.status, 405);
    assert!(is_signed_in(&mut browser).await);
    world.end().await;
}
