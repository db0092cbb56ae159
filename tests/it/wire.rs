//! Requests and their answers, word by word: `wire/*.http`.
//!
//! A file is a series of exchanges with one fresh world, each `### title`, the request, `---`, the answer.
//! `FORGE_BLESS=1` writes the answers anew; read the difference before you commit it.

use std::fmt::Write as _;
use std::path::PathBuf;

use http::Method;

use crate::support::{Answer, Database, PERSONAS, Persona, World};

/// The headers that are part of the contract; others come from the machinery beneath.
const HEADERS: &[&str] = &[
    "allow",
    "cache-control",
    "content-disposition",
    "content-length",
    "content-security-policy",
    "content-type",
    "etag",
    "retry-after",
    "www-authenticate",
    "x-content-type-options",
    "x-git-object-type",
];

struct Exchange {
    title: String,
    request: String,
}

#[tokio::test]
async fn requests_are_answered_word_by_word_as_recorded() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/wire");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in &files {
        for database in Database::all() {
            let recorded = std::fs::read_to_string(file).unwrap();
            let world = World::new(database).await;
            let played = play(&world, &recorded).await;
            world.end().await;
            if std::env::var_os("FORGE_BLESS").is_some() {
                std::fs::write(file, &played).unwrap();
                continue;
            }
            for (number, (ours, recorded)) in played.lines().zip(recorded.lines()).enumerate() {
                assert_eq!(ours, recorded, "{}:{}", file.display(), number + 1);
            }
            assert_eq!(
                played.lines().count(),
                recorded.lines().count(),
                "{}",
                file.display()
            );
        }
    }
}

async fn play(world: &World, recorded: &str) -> String {
    let mut played = String::new();
    for exchange in exchanges(recorded) {
        let answer = ask(world, &exchange).await;
        write!(
            played,
            "### {}\n{}\n---\n{}\n",
            exchange.title,
            exchange.request,
            text(&answer)
        )
        .unwrap();
    }
    played
}

fn exchanges(recorded: &str) -> Vec<Exchange> {
    let blocks = recorded.split("### ").skip(1);
    blocks
        .map(|block| {
            let (title, rest) = block.split_once('\n').expect("a title");
            let request = rest
                .split_once("\n---\n")
                .map_or(rest, |(request, _)| request);
            Exchange {
                title: title.to_owned(),
                request: request.trim_end().to_owned(),
            }
        })
        .collect()
}

/// The first line is `persona: METHOD path`; headers follow, an empty line, the body.
async fn ask(world: &World, exchange: &Exchange) -> Answer {
    let (head, body) = exchange
        .request
        .split_once("\n\n")
        .unwrap_or((&exchange.request, ""));
    let mut lines = head.lines();
    let (persona, line) = lines
        .next()
        .and_then(|line| line.split_once(": "))
        .expect("persona: METHOD path");
    let persona = *PERSONAS
        .iter()
        .find(|known| format!("{known:?}").eq_ignore_ascii_case(persona))
        .expect("a persona");
    let (method, path) = line.split_once(' ').expect("METHOD path");
    let headers: Vec<_> = lines
        .map(|line| line.split_once(": ").expect("Name: value"))
        .collect();
    let form = headers
        .iter()
        .any(|(_, value)| value.starts_with("multipart/"));
    // Lines of a multipart form end in CRLF.
    let body = if form {
        body.replace('\n', "\r\n") + "\r\n"
    } else {
        body.to_owned()
    };
    let method: Method = method.parse().expect("a method");
    let persona = if headers.iter().any(|(name, _)| *name == "Authorization") {
        Persona::Anon
    } else {
        persona
    };
    world.request(persona, method, path, &headers, body).await
}

fn text(answer: &Answer) -> String {
    let mut text = format!("{}\n", answer.status);
    for name in HEADERS {
        for value in answer.headers.get_all(*name) {
            writeln!(
                text,
                "{name}: {}",
                String::from_utf8_lossy(value.as_bytes())
            )
            .unwrap();
        }
    }
    if !answer.body.is_empty() {
        let body = String::from_utf8_lossy(&answer.body);
        let body = body
            .trim_end_matches('\n')
            .replace('\0', "\\0")
            .replace("\r\n", "\n");
        write!(text, "\n{body}\n").unwrap();
    }
    text
}
