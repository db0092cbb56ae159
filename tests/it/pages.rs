//! The pages, as browsers see them, and signing in: what each answers to whom, and what nobody gets it to do.
//!
//! Invariant: browsers here send no more than real ones do, unless a test says so. What clients do with OAuth once a user
//! has consented is not looked at here.

mod confirm;
mod deletion;
mod forms;
mod guesses;
mod host;
mod login;
mod meanwhile;
mod sessions;
mod suspension;
mod sweep;
mod tokens;
mod unserved;

use http::Method;

use crate::support::browser::Browser;
use crate::support::{Answer, Persona, World};

/// What the cookies are called where there is TLS: one of that name cannot come from another host.
const SESSION: &str = "__Host-forge_session";
const FORM: &str = "__Host-forge_form";

/// Whether somebody is signed in with that browser.
async fn is_signed_in(browser: &mut Browser<'_>) -> bool {
    let page = browser.get("/oauth2").await;
    assert!(matches!(page.status.as_u16(), 200 | 303), "{page:?}");
    page.status == 200
}

/// Whether a cookie still means somebody.
async fn opens(world: &World, session: &str) -> bool {
    let mut browser = Browser::new(world);
    browser.keep(SESSION, session);
    is_signed_in(&mut browser).await
}

/// What the log of alice's account says, newest first.
async fn log(world: &World) -> Vec<String> {
    let token = world.token_of(Persona::Owner).unwrap();
    log_of(world, token).await
}

/// What the log of that token's user says.
async fn log_of(world: &World, token: &str) -> Vec<String> {
    let log = api(world, token, "/meta/api/user/audit-log").await.json();
    let entries = log["results"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap_or("-").to_owned();
            format!("{} | {} | {}", text("ip"), text("action"), text("details"))
        })
        .collect()
}

/// What the API answers to that token.
async fn api(world: &World, token: &str, path: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    world
        .request(Persona::Anon, Method::GET, path, &headers, "")
        .await
}

/// Expects a page: it runs nothing, shows in nobody's frame, and is not kept.
#[track_caller]
fn assert_is_page(page: &Answer) {
    let header = |name: &str| {
        let value = page.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    };
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(header(name), value, "{name} of {page:?}");
    }
    let policy = header("content-security-policy");
    for part in [
        "default-src 'none'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "no {part} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(!policy.contains("script-src"), "{policy}");
}
