//! That secrets would be found in the logs, and that there are logs to find them in.
//!
//! Invariant: what is planted here goes to a log of its own. That the whole suite logs no secret is asked where its
//! worlds and processes end, and by `./test` in the end.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use http::StatusCode;

use crate::support::browser::{Browser, PASSWORD};
use crate::support::logs::{self, Log, SHAPES};
use crate::support::site::{command, run};
use crate::support::{Database, Persona, World};

/// 256 random bits, as every secret of the forge's own has them.
const DIGITS: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What a careless hand might log, in the order of the shapes, and what of it is secret.
const LEAKS: [(&str, &str); 14] = [
    ("it shows forge_DIGITS", "forge_DIGITS"),
    ("another: forge_refresh_DIGITS", "DIGITS"),
    ("mailed forge_email_DIGITS", "DIGITS"),
    ("cookie: a=b; __Host-forge_session=1a2b3c; c=d", "1a2b3c"),
    ("Secret(\"DIGITS\")", "DIGITS"),
    ("body: code_verifier=abcdefgh&client_id=x", "abcdefgh"),
    ("GET /oauth2/device?user_code=BCDF-GHJK", "BCDF-GHJK"),
    (
        "authorization: Basic YWxpY2U6Y29ycmVjdA==",
        "YWxpY2U6Y29ycmVjdA",
    ),
    (
        "authorization: Bearer QUFBQUFBQUFBQUFBQUFBQUFB",
        "QUFBQUFBQUFBQUFBQUFBQUFB",
    ),
    ("fetching https://alice:hunter2@example.org/x", "hunter2"),
    ("that is not PASSWORD", "PASSWORD"),
    ("stored: $argon2id$v=19$m=19456", "$argon2"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----", "PRIVATE KEY"),
    ("{\"x-oauth-secret\": \"1a2b3c\"}", "1a2b3c"),
];

fn leaks() -> impl Iterator<Item = (String, String)> {
    let fill = |text: &str| text.replace("DIGITS", DIGITS).replace("PASSWORD", PASSWORD);
    LEAKS
        .iter()
        .map(move |(line, secret)| (fill(line), fill(secret)))
}

/// What is logged rightly, though it looks a little like a secret.
const HARMLESS: [&str; 7] = [
    "request{id=0000000000000001 method=POST path=/meta/oauth2/access-token}: answered status=401",
    "set-cookie: forge_session=; Max-Age=0",
    "commit 0123456789abcdef0123456789abcdef01234567 is gone",
    "git ended with code=128",
    "no token was given, Basic or Bearer",
    "listening on ssh://git@127.0.0.1:2222",
    "a job of forge_core::users::deletion failed",
];

fn log_at(dir: &Path) -> Arc<Log> {
    Arc::new(Log::at(dir.join("planted.log")))
}

#[test]
fn a_secret_of_every_shape_is_found_and_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(LEAKS.len(), SHAPES.lines().count());
    for (number, (line, secret)) in leaks().enumerate() {
        let log = log_at(dir.path());
        let subscriber = logs::subscriber(Arc::clone(&log));
        tracing::subscriber::with_default(
            subscriber,
            || tracing::trace!(target: "forge_core", "{line}"),
        );
        let found = log.found();
        assert_eq!(found.len(), 1, "{line}");
        let mark = format!("<shape {}>", number + 1);
        assert!(found[0].contains(&mark), "{line} is {mark}: {found:?}");
        assert!(!found[0].contains(&secret), "{found:?}");
    }
}

#[test]
fn a_secret_in_a_span_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_at(dir.path());
    let subscriber = logs::subscriber(Arc::clone(&log));
    tracing::subscriber::with_default(subscriber, || {
        let _span = tracing::info_span!("request", query = %format!("code={DIGITS}"));
    });
    assert_eq!(log.found().len(), 1);
}

#[test]
fn what_is_no_secret_is_let_through() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_at(dir.path());
    for line in HARMLESS {
        log.keep("test", line, &[]);
    }
    assert_eq!(log.found(), [""; 0]);
    assert!(
        !SHAPES.lines().any(str::is_empty),
        "it would fit every line"
    );
}

#[test]
fn a_secret_that_another_process_has_is_found_whatever_its_shape() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_at(dir.path());
    log.keep("standalone", "fine\nit is 0a1b2c\nfine", &["0a1b2c"]);
    assert_eq!(log.found(), ["standalone: it is <a known secret>"]);
}

#[tokio::test]
async fn grep_finds_the_same_in_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let shapes = dir.path().join("secrets.txt");
    fs::write(&shapes, SHAPES).unwrap();
    let secret = leaks().map(|(line, _)| (line, true));
    let harmless = HARMLESS.iter().map(|line| ((*line).to_owned(), false));
    for (line, is_secret) in secret.chain(harmless) {
        let mut grep = command("grep", dir.path());
        grep.args(["-E", "-f", "secrets.txt"]).env("LC_ALL", "C");
        let ran = run(grep, line.as_bytes()).await;
        assert_eq!(ran.code, Some(i32::from(!is_secret)), "{line}: {}", ran.err);
    }
}

#[tokio::test]
async fn what_the_forge_does_is_logged() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::of(&world, "alice").await;
    assert_eq!(browser.get("/oauth2").await.status, StatusCode::OK);
    let path = "/api/user/what-the-forge-does-is-logged";
    world.get(Persona::Owner, path).await;
    let log = fs::read_to_string(logs::file()).unwrap();
    let mut lines = log.lines().filter(|line| line.contains(path));
    assert!(lines.any(|line| line.contains("DEBUG") && line.contains("answered")));
    world.end().await;
}
