//! Personal tokens, as their users make, see and revoke them.
//!
//! Invariant: a token's text is on one page, the answer to the form that made it. What tokens open is tested with the
//! APIs.

use chrono::TimeDelta;
use forge::access::Grants;
use forge::oauth::NewToken;

use super::{api, assert_is_page, log};
use crate::support::browser::{Browser, PASSWORD, sent_to, shown};
use crate::support::{Answer, Database, World};

const MAKE: &str = "/oauth2/personal-token";
const PROFILE: &str = "/meta/api/user/profile";

/// Sends the form with which tokens are made.
async fn make(browser: &mut Browser<'_>, fields: &[(&str, &str)]) -> Answer {
    browser.get("/oauth2").await;
    browser.submit(MAKE, fields).await
}

/// A new token that may do everything.
async fn made(browser: &mut Browser<'_>) -> String {
    let page = make(browser, &[("everything", "on")]).await;
    assert_eq!(page.status, 200, "{page:?}");
    shown(&page, "token")
}

/// The digits by which its owner tells a token.
fn hint(token: &str) -> &str {
    let digits = token.strip_prefix("forge_").expect("a token");
    &digits[..8]
}

/// The address at which a token in the list is revoked; `None` if it is not there.
fn revocation(page: &Answer, token: &str) -> Option<String> {
    let text = page.text();
    let entry = &text[text.find(&format!("<code>{}…", hint(token)))?..];
    let start = "/oauth2/personal-token/";
    let id = entry[entry.find(start)? + start.len()..].split('/').next();
    Some(format!("{MAKE}/{}/revoke", id?))
}

/// How many tokens are in the list.
async fn count(browser: &mut Browser<'_>) -> usize {
    let page = browser.get("/oauth2").await;
    page.text().matches("/personal-token/").count()
}

/// Expects that no token came of these fields, and that the page says that word.
async fn assert_refused(browser: &mut Browser<'_>, fields: &[(&str, &str)], word: &str) {
    let before = count(browser).await;
    let refused = make(browser, fields).await;
    assert_eq!(refused.status, 400, "{fields:?}");
    assert_is_page(&refused);
    let text = refused.text();
    let at = text.find("role=\"alert\">").expect("a message");
    let message = text[at..].split("</p>").next().unwrap();
    assert!(message.contains(word), "no {word} in {message}");
    assert_eq!(count(browser).await, before, "{fields:?}");
}

#[tokio::test]
async fn a_token_is_shown_once_and_told_by_its_hint_afterwards() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        let fields = [
            ("comment", "my laptop"),
            ("days", "7"),
            ("everything", "on"),
        ];
        let page = make(&mut browser, &fields).await;
        assert_eq!(page.status, 200);
        assert_is_page(&page);
        let token = shown(&page, "token");
        assert_eq!(api(&world, &token, PROFILE).await.json()["name"], "alice");

        let list = browser.get("/oauth2").await;
        let text = list.text();
        assert!(!text.contains(&token));
        let entry = format!("<code>{}…</code> <strong>my laptop</strong>", hint(&token));
        let at = text
            .find(&entry)
            .unwrap_or_else(|| panic!("no {entry} in {text}"));
        let entry = text[at..].split("</li>").next().unwrap();
        assert!(entry.contains("everything"), "{entry}");
        assert!(
            entry.contains("made 2023-11-14, ends 2023-11-21"),
            "{entry}"
        );
        world.end().await;
    }
}

#[tokio::test]
async fn a_token_may_do_what_was_chosen_and_no_more() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    for fields in [
        [("git.sr.ht/PROFILE", "RO"), ("git.sr.ht/OBJECTS", "")],
        [("literal_grants", "git.sr.ht/PROFILE:RO"), ("days", "")],
    ] {
        let page = make(&mut browser, &fields).await;
        let token = shown(&page, "token");
        for (path, status) in [
            ("/api/user", 200),
            ("/api/repos", 403),
            ("/meta/api/user/audit-log", 403),
        ] {
            assert_eq!(api(&world, &token, path).await.status, status, "{path}");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_token_ends_after_as_many_days_as_were_said() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let page = make(&mut browser, &[("everything", "on"), ("days", "1")]).await;
    let token = shown(&page, "token");
    let almost = TimeDelta::days(1) - TimeDelta::seconds(1);
    world.clock.advance(almost);
    assert_eq!(api(&world, &token, PROFILE).await.status, 200);
    let list = browser.get("/oauth2").await;
    assert_ne!(revocation(&list, &token), None, "it is not in the list");
    world.clock.advance(TimeDelta::seconds(1));
    assert_eq!(api(&world, &token, PROFILE).await.status, 401);
    let list = browser.get("/oauth2").await;
    assert_eq!(revocation(&list, &token), None, "it is in the list");
    world.end().await;
}

#[tokio::test]
async fn days_that_are_none_are_refused() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        for days in [
            "0",
            "-1",
            "3661",
            "99999999999999999999",
            "9223372036854775807",
            "1.5",
            "1e3",
            "a week",
            "0x10",
        ] {
            let fields = [("everything", "on"), ("days", days)];
            assert_refused(&mut browser, &fields, "days").await;
        }
        for days in ["1", "3660"] {
            let page = make(&mut browser, &[("everything", "on"), ("days", days)]).await;
            assert_eq!(page.status, 200, "{days}");
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_token_that_may_do_nothing_is_refused() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    for fields in [
        &[][..],
        &[("comment", "x"), ("days", "1")],
        &[("git.sr.ht/OBJECTS", "")],
        &[("git.sr.ht/OBJECTS", "ALL")],
        &[("git.sr.ht/UNKNOWN", "RW")],
        &[("everything", "")],
    ] {
        assert_refused(&mut browser, fields, "what the token may do").await;
    }
    for text in ["git.sr.ht/UNKNOWN:RO", "git.sr.ht/OBJECTS:XX", "x"] {
        assert_refused(&mut browser, &[("literal_grants", text)], "is not a grant").await;
    }
    world.end().await;
}

/// What is chosen on a page with the form, but for "nothing": the scope and the mode.
fn chosen(page: &Answer) -> Vec<String> {
    assert_is_page(page);
    let text = page.text().replace("&#x2f;", "/");
    let selects = text.split("<select ").skip(1);
    let chosen = selects.filter_map(|select| {
        let select = select.split("</select>").next().unwrap();
        let (before, _) = select.split_once(" selected")?;
        let mode = before.rsplit("value=").next().unwrap().trim_matches('"');
        let name = select.split("name=\"").nth(1).unwrap();
        Some(format!("{}:{mode}", name.split('"').next().unwrap()))
    });
    chosen.collect()
}

#[tokio::test]
async fn what_an_address_asks_for_is_chosen() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let profile = "meta.sr.ht/PROFILE:RO";
    let repos = "git.sr.ht/REPOSITORIES:RW";
    for (query, expected) in [
        ("", &[][..]),
        ("?grants=", &[]),
        ("?grants=+", &[]),
        ("?grants=meta.sr.ht/PROFILE", &[profile]),
        ("?grants=meta.sr.ht/PROFILE:RO", &[profile]),
        (
            "?grants=meta.sr.ht%2FPROFILE%3ARO++git.sr.ht/REPOSITORIES:RW%20",
            &[repos, profile],
        ),
        (
            "?grants=meta.sr.ht/AUDIT_LOG:RO",
            &["meta.sr.ht/AUDIT_LOG:RO"],
        ),
        // Nothing else is taken from an address.
        ("?everything=on&days=7&comment=x&meta.sr.ht/PROFILE=RW", &[]),
    ] {
        let page = browser.get(&format!("{MAKE}{query}")).await;
        assert_eq!(page.status, 200, "{query}");
        assert_eq!(chosen(&page), expected, "{query}");
        assert!(page.text().contains("value=\"366\""), "{query}");
        assert!(!page.text().contains(" checked"), "{query}");
        assert!(!page.text().contains("role=\"alert\""), "{query}");
    }
    world.end().await;
}

#[tokio::test]
async fn what_an_address_asks_for_that_there_is_not_is_told() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let long = format!("?grants={}", "x".repeat(10_000));
    for query in [
        "?grants=git.sr.ht/UNKNOWN:RO",
        "?grants=meta.sr.ht/PROFILE+git.sr.ht/OBJECTS:XX",
        "?grants=meta.sr.ht/AUDIT_LOG:RW",
        "?grants=*",
        "?grants=%00",
        "?grants=%ff%fe",
        "?grants=%3Cscript%3E",
        &long,
    ] {
        let page = browser.get(&format!("{MAKE}{query}")).await;
        assert_eq!(page.status, 400, "{query}");
        assert_eq!(chosen(&page), [""; 0], "{query}");
        let (_, alert) = page.text().split_once("role=\"alert\">").expect(query);
        let alert = alert.split("</p>").next().unwrap();
        assert!(alert.contains("is not a grant"), "{alert}");
        assert!(!page.text().contains("<script>"));
    }
    world.end().await;
}

#[tokio::test]
async fn a_program_sends_its_user_to_a_token_with_what_it_needs() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::new(&world);
        let asked = format!("{MAKE}?grants=git.sr.ht/PROFILE:RO");
        let (place, query) = sent_to(&browser.get(&asked).await);
        assert_eq!(place, "https://git.example.org/meta/login");
        let back = query["return_to"].clone();
        assert_eq!(back, format!("/meta{asked}"));
        browser.get("/login").await;
        let fields = [
            ("username", "alice"),
            ("password", PASSWORD),
            ("return_to", &back),
        ];
        let signed_in = browser.submit("/login", &fields).await;
        assert_eq!(signed_in.headers["location"], back);
        let page = browser.get(&asked).await;
        let chosen = chosen(&page);
        let fields = chosen.iter().map(|grant| grant.split_once(':').unwrap());
        let fields: Vec<_> = fields.collect();
        let made = browser.submit(MAKE, &fields).await;
        let token = shown(&made, "token");
        assert_eq!(api(&world, &token, "/api/user").await.status, 200);
        assert_eq!(api(&world, &token, "/api/repos").await.status, 403);
        world.end().await;
    }
}

#[tokio::test]
async fn what_was_typed_is_there_again_when_it_is_refused() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let fields = [
        ("comment", "my \"laptop\""),
        ("days", "0"),
        ("everything", "on"),
        ("git.sr.ht/OBJECTS", "RW"),
        ("git.sr.ht/ACLS", "RO"),
    ];
    let refused = make(&mut browser, &fields).await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        chosen(&refused),
        ["git.sr.ht/OBJECTS:RW", "git.sr.ht/ACLS:RO"]
    );
    for words in [
        "value=\"my &quot;laptop&quot;\"",
        "value=\"0\"",
        "value=\"on\" checked",
    ] {
        assert!(refused.text().contains(words), "no {words} in {refused:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_comment_is_one_line_of_128_characters_at_most() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        let long = "\u{e4}".repeat(129);
        for comment in [
            "a\nb",
            "a\rb",
            "a\tb",
            "a\0b",
            "a\u{7f}b",
            "a\u{85}b",
            "a\u{1b}[2Jb",
            &long,
        ] {
            let fields = [("everything", "on"), ("comment", comment)];
            assert_refused(&mut browser, &fields, "comment").await;
        }
        let longest = "\u{e4}".repeat(128);
        let page = make(&mut browser, &[("everything", "on"), ("comment", &longest)]).await;
        assert_eq!(page.status, 200);
        world.end().await;
    }
}

#[tokio::test]
async fn a_comment_is_escaped() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    let comment = "<script>alert(1)</script>";
    make(&mut browser, &[("everything", "on"), ("comment", comment)]).await;
    let list = browser.get("/oauth2").await;
    assert!(list.text().contains("&lt;script&gt;"), "{}", list.text());
    assert!(!list.text().contains("<script>"));
    world.end().await;
}

#[tokio::test]
async fn an_account_has_256_tokens_in_force_at_most() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "stranger").await;
        let last = made(&mut browser).await;
        let stranger = world.user("stranger").await;
        for _ in count(&mut browser).await..256 {
            let grants = Grants::everything();
            world.token(&stranger, grants, TimeDelta::days(2)).await;
        }
        assert_eq!(count(&mut browser).await, 256);
        assert_refused(&mut browser, &[("everything", "on")], "256").await;

        let list = browser.get("/oauth2").await;
        let path = revocation(&list, &last).expect("it is in the list");
        assert_eq!(browser.submit(&path, &[]).await.status, 303);
        made(&mut browser).await;
        assert_refused(&mut browser, &[("everything", "on")], "256").await;
        world.clock.advance(TimeDelta::days(2));
        made(&mut browser).await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_token_that_is_revoked_means_nobody_from_then_on() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        let (token, other) = (made(&mut browser).await, made(&mut browser).await);
        assert_eq!(api(&world, &token, PROFILE).await.status, 200);
        let list = browser.get("/oauth2").await;
        let path = revocation(&list, &token).expect("it is in the list");
        assert_eq!(browser.submit(&path, &[]).await.status, 303);
        assert_eq!(api(&world, &token, PROFILE).await.status, 401);
        assert_eq!(api(&world, &other, PROFILE).await.status, 200);
        let list = browser.get("/oauth2").await;
        assert_eq!(revocation(&list, &token), None);
        assert_eq!(browser.submit(&path, &[]).await.status, 404, "once");
        world.end().await;
    }
}

#[tokio::test]
async fn nobody_revokes_somebody_elses_token() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        let token = made(&mut browser).await;
        let list = browser.get("/oauth2").await;
        let path = revocation(&list, &token).expect("it is in the list");
        let mut stranger = Browser::of(&world, "stranger").await;
        stranger.get("/oauth2").await;
        let refused = stranger.submit(&path, &[]).await;
        assert_eq!(refused.status, 404);
        assert_is_page(&refused);
        assert_eq!(api(&world, &token, PROFILE).await.status, 200);
        world.end().await;
    }
}

#[tokio::test]
async fn what_is_no_number_of_a_token_is_refused() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    browser.get("/oauth2").await;
    for id in [
        "0",
        "-1",
        "9223372036854775807",
        "9223372036854775808",
        "x",
        "%00",
        "%ff",
    ] {
        let path = format!("{MAKE}/{id}/revoke");
        let refused = browser.submit(&path, &[]).await;
        assert_eq!(refused.status, 404, "{id}");
        assert_is_page(&refused);
    }
    world.end().await;
}

#[tokio::test]
async fn the_log_tells_of_tokens_by_their_hints() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await.at("192.0.2.7");
        let token = made(&mut browser).await;
        let list = browser.get("/oauth2").await;
        let path = revocation(&list, &token).expect("it is in the list");
        browser.submit(&path, &[]).await;
        let it = format!("personal token {}…", hint(&token));
        assert_eq!(
            log(&world).await[..2],
            [
                format!("192.0.2.7 | OAuth 2.0 token revoked | {it}"),
                format!("192.0.2.7 | OAuth 2.0 token issued | {it}"),
            ]
        );
        world.end().await;
    }
}

#[tokio::test]
async fn the_log_tells_of_tokens_that_an_operator_makes_and_revokes() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let alice = world.user("alice").await;
        let new = NewToken {
            grants: Grants::everything(),
            comment: None,
            expires: world.forge().now() + TimeDelta::days(1),
        };
        let (token, text) = world.system().issue_token(alice.id, &new).await.unwrap();
        world.system().revoke_token(token.id).await.unwrap();
        let it = format!("personal token {}…", hint(text.expose()));
        assert_eq!(
            log(&world).await[..2],
            [
                format!("0.0.0.0 | OAuth 2.0 token revoked | {it}"),
                format!("0.0.0.0 | OAuth 2.0 token issued | {it}"),
            ]
        );
        world.end().await;
    }
}
