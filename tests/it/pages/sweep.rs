//! Every page and every address of OAuth, asked by every browser, against a golden table: `pages.txt`.
//!
//! Invariant: a route without a row fails, and so does a row without a route; each form is sent with the token of a page
//! and without. `FORGE_BLESS=1` writes the table anew; read the difference before you commit it. What the answers say is
//! not looked at, but for the headers that every page has.

mod things;
mod visitors;

use std::collections::BTreeSet;

use forge::Endpoint;
use http::Method;
use http::header::{CACHE_CONTROL, LOCATION};
use url::Url;

use self::things::Things;
use self::visitors::{EVERYBODY, Visitors, Who};
use super::assert_is_page;
use crate::support::{Answer, Database, World};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/pages.txt");
/// How wide the names of rows are, and the columns.
const NAME: usize = 56;
const COLUMN: usize = 12;

#[tokio::test]
async fn every_page_answers_every_browser_as_the_table_says() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let table = Box::pin(sweep(&world)).await;
        world.end().await;
        if std::env::var_os("FORGE_BLESS").is_some() {
            std::fs::write(TABLE, &table).unwrap();
        }
        let golden = std::fs::read_to_string(TABLE).unwrap();
        assert_eq!(names(&table), names(&golden), "routes and rows differ");
        for (ours, golden) in table.lines().zip(golden.lines()) {
            assert_eq!(ours, golden);
        }
        assert_eq!(table.lines().count(), golden.lines().count());
    }
}

/// What the rows of a table are called.
fn names(table: &str) -> BTreeSet<&str> {
    let rows = table.lines().skip(1);
    rows.map(|row| row.get(..NAME).unwrap_or(row).trim_end())
        .collect()
}

async fn sweep(world: &World) -> String {
    let mut visitors = Visitors::new(world).await;
    let mut things = Things::new(world).await;
    let mut table = line("", &EVERYBODY.map(|who| format!("{who:?}")));
    for (endpoint, with_token) in rows() {
        let mut cells = Vec::new();
        for who in EVERYBODY {
            let ask = things.ask(&endpoint).await;
            let answer = visitors.visit(who).await.send(&ask, with_token).await;
            check(&endpoint, who, &answer);
            cells.push(shape(&answer));
        }
        assert_nobodies_are_alike(&endpoint, &cells);
        table.push_str(&line(&name(&endpoint, with_token), &cells));
    }
    table
}

/// All pages and addresses of OAuth, the forms among them with their token and without. Clients send no forms of pages.
fn rows() -> impl Iterator<Item = (Endpoint, bool)> {
    let is_api = |path: &str| path.starts_with("/api/") || path.starts_with("/~");
    let all = forge::meta_endpoints().into_iter();
    let pages = all.filter(move |endpoint| !is_api(&endpoint.path));
    pages.flat_map(|endpoint| {
        let is_form = endpoint.method == Method::POST && !is_for_clients(&endpoint.path);
        let kinds: &[_] = if is_form { &[true, false] } else { &[false] };
        kinds.iter().map(move |kind| (endpoint.clone(), *kind))
    })
}

fn name(endpoint: &Endpoint, with_token: bool) -> String {
    let Endpoint { method, path, .. } = endpoint;
    let with_token = if with_token { " +token" } else { "" };
    let name = format!("{method} {path}{with_token}");
    assert!(name.len() <= NAME, "{name} is too long for the table");
    name
}

fn line(name: &str, cells: &[String]) -> String {
    let mut line = format!("{name:NAME$}");
    for cell in cells {
        line = format!("{line} {cell:COLUMN$}");
    }
    format!("{}\n", line.trim_end())
}

/// Whether programs ask there, not browsers.
pub(super) fn is_for_clients(path: &str) -> bool {
    path.starts_with("/.well-known/")
        || [
            "/oauth2/access-token",
            "/oauth2/introspect",
            "/oauth2/revoke",
            "/oauth2/device-authorization",
            "/oauth/exchange",
            "/oauth/token/verify",
        ]
        .contains(&path)
}

/// What holds for every answer.
fn check(endpoint: &Endpoint, who: Who, answer: &Answer) {
    let what = format!("{} {} {who:?}", endpoint.method, endpoint.path);
    assert!(answer.status.as_u16() < 500, "{what}: {answer:?}");
    if answer.status.is_redirection() {
        assert_eq!(answer.headers[CACHE_CONTROL], "no-store", "{what}");
    } else if !is_for_clients(&endpoint.path) {
        assert_is_page(answer);
    }
}

/// Who shows a session that is none, or something else, is nobody. Only, where clients show who they are in the header,
/// a user's token stands in its place.
fn assert_nobodies_are_alike(endpoint: &Endpoint, cells: &[String]) {
    for (who, cell) in EVERYBODY.iter().zip(cells) {
        let is_shown_instead = *who == Who::Token && is_for_clients(&endpoint.path);
        if who.user().is_none() && !is_shown_instead {
            assert_eq!(*cell, cells[0], "{who:?} at {endpoint:?}");
        }
    }
}

/// An answer in the table: its status, and where it leads.
fn shape(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    match answer.headers.get(LOCATION) {
        Some(location) => format!("{status} {}", place(location.to_str().unwrap())),
        None => status.to_string(),
    }
}

/// The page to which an address leads, or `client`.
fn place(location: &str) -> String {
    let base = Url::parse("https://git.example.org").unwrap();
    let url = base.join(location).unwrap();
    if url.origin() != base.origin() {
        return "client".to_owned();
    }
    let path = url.path().strip_prefix("/meta/").expect("a page of ours");
    let page = match path {
        "oauth2/client-registration" => "register",
        "oauth2/personal-token" => "token",
        other => other,
    };
    page.to_owned()
}
