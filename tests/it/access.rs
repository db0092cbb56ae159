//! Every route, asked by everybody, against a golden table: `access.txt`.
//!
//! A route without a row fails, and so does a row without a route. `FORGE_BLESS=1` writes the table anew; read the
//! difference before you commit it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use forge::Endpoint;
use forge::keys::PublicKey;
use forge::pgp_keys::PublicPgpKey;
use forge::repos::{NewRepo, Visibility};
use forge::{Credentials, Page};
use http::Method;

use crate::support::{Database, PERSONAS, Persona, World};

macro_rules! pgp_key {
    ($name:literal) => {
        include_str!(concat!(
            "../../forge-core/src/pgp_keys/fixtures/",
            $name,
            ".asc"
        ))
    };
}

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/access.txt");

/// How a route is asked: its variable parts filled in, and a body that the route would accept.
fn fill(path: &str, repo: &str, key: &str) -> String {
    let tail = match path.rsplit('/').nth(1) {
        Some("refdb") => "refs/heads/master",
        Some("blob") => "master/README.md",
        Some("download") => "master/file.txt",
        _ => "master",
    };
    path.replace("{username}", "~alice")
        .replace("~{owner}", "~alice")
        .replace("{owner}", "~alice")
        .replace("{name}", repo)
        .replace("{*ref}", tail)
        .replace("{*file}", tail)
        .replace("{oid}", README)
        .replace("{prefix}", &README[..10])
        .replace("{id}", key)
        .replace("{fpr}", PGP_FINGERPRINT)
        .replace("{*blob}", &a_key("alice"))
        .replace("~{page}", "~alice.keys")
}

/// The id of README.md in the fixture.
const README: &str = "b69b48d84942714512f7bbcd0cb990250baec5b8";

/// A PGP key of alice's, and its fingerprint.
const PGP_KEY: &str = pgp_key!("spare");
const PGP_FINGERPRINT: &str = "93460DBC48A8ABE388200105CE4F7695B2088FF4";

/// A PGP key that nobody else adds.
fn a_pgp_key(persona: Persona) -> &'static str {
    match persona {
        Persona::Stranger => pgp_key!("rsa2048"),
        Persona::Reader => pgp_key!("expiring"),
        Persona::Writer => pgp_key!("several"),
        _ => pgp_key!("ed25519"),
    }
}

/// The blob of a key that is named so.
fn a_key(name: &str) -> String {
    format!("AAAAC3NzaC1lZDI1NTE5AAAAI{name:A>43}")
}

fn body(
    method: &Method,
    path: &str,
    persona: Persona,
) -> (Vec<(&'static str, &'static str)>, String) {
    if path.contains("artifacts") {
        // Names are unique in a repository, and it has two paths.
        let name = if path.contains("{owner}") {
            "file.txt"
        } else {
            "own.txt"
        };
        let disposition =
            format!("content-disposition: form-data; name=\"file\"; filename=\"{name}\"");
        let form = format!("--b\r\n{disposition}\r\n\r\nhello\r\n--b--\r\n");
        return (
            vec![("content-type", "multipart/form-data; boundary=b")],
            form,
        );
    }
    let json = vec![("content-type", "application/json")];
    match *method {
        Method::PUT if path.ends_with("readme") => (
            vec![("content-type", "text/html")],
            "<p>Hello.</p>".to_owned(),
        ),
        Method::POST if path.ends_with("ssh-keys") => {
            let key = a_key(&format!("{persona:?}"));
            (json, format!(r#"{{"ssh-key": "ssh-ed25519 {key}"}}"#))
        }
        Method::POST if path.ends_with("pgp-keys") => {
            let key = serde_json::json!({ "pgp-key": a_pgp_key(persona) });
            (json, key.to_string())
        }
        Method::PUT if path.ends_with("profile") => (json, r#"{"bio": "new"}"#.to_owned()),
        Method::PUT => (json, r#"{"description": "new"}"#.to_owned()),
        Method::POST => (json, r#"{"name": "created"}"#.to_owned()),
        _ => (Vec::new(), String::new()),
    }
}

#[tokio::test]
async fn every_route_answers_everybody_as_the_table_says() {
    for database in Database::all() {
        let world = World::new(database).await;
        let table = sweep(&world).await;
        world.end().await;
        if std::env::var_os("FORGE_BLESS").is_some() {
            std::fs::write(TABLE, &table).unwrap();
        }
        let golden = std::fs::read_to_string(TABLE).unwrap();
        for (ours, golden) in table.lines().zip(golden.lines()) {
            assert_eq!(ours, golden);
        }
        assert_eq!(
            table.lines().count(),
            golden.lines().count(),
            "rows and routes are not the same"
        );
    }
}

async fn sweep(world: &World) -> String {
    let mut table = String::new();
    write!(table, "{:62}", "").unwrap();
    for persona in PERSONAS {
        write!(table, " {:>11}", format!("{persona:?}")).unwrap();
    }
    table.push('\n');
    let mut rows = BTreeSet::new();
    let key = spare_key(world, "alice").await;
    for (i, endpoint) in endpoints().iter().enumerate() {
        let (method, path) = (&endpoint.method, endpoint.path.as_str());
        let of_a_repo = path.contains("{name}");
        let visibilities: &[_] = if of_a_repo {
            &["open", "hidden", "secret"]
        } else {
            &[""]
        };
        for repo in visibilities {
            // What a delete takes away must not be missing in the next row.
            let name = if method == Method::DELETE {
                spare(world, repo, i).await
            } else {
                (*repo).to_owned()
            };
            let key = if path.contains("pgp-key") {
                spare_pgp_key(world).await
            } else if method == Method::DELETE {
                spare_key(world, "spare").await
            } else {
                key.clone()
            };
            let row = format!("{method} {path} {repo}");
            assert!(rows.insert(row.clone()), "{row} is there twice");
            write!(table, "{row:62}").unwrap();
            for persona in PERSONAS {
                let (headers, body) = body(method, path, *persona);
                let path = fill(path, &name, &key);
                let answer = world
                    .request(*persona, method.clone(), &path, &headers, body)
                    .await;
                let status = answer.status.as_u16();
                assert!(status < 500, "{row}: {persona:?} got {status}");
                if status >= 400 {
                    let errors = answer.json();
                    assert!(
                        errors["errors"][0]["reason"].is_string(),
                        "{row}: {persona:?} got {errors}"
                    );
                }
                write!(table, " {status:>11}").unwrap();
            }
            table.push('\n');
        }
    }
    table
}

/// All routes of the APIs, where a forge has them that is mounted at one address. Pages and OAuth's own addresses answer
/// in other forms, and have tests of their own.
fn endpoints() -> Vec<Endpoint> {
    let meta = forge::meta_endpoints().into_iter();
    let meta = meta.map(|endpoint| Endpoint {
        path: format!("/meta{}", endpoint.path),
        ..endpoint
    });
    let is_api = |endpoint: &Endpoint| {
        let path = endpoint.path.trim_start_matches("/meta");
        path.starts_with("/api/") || path.starts_with("/~")
    };
    let all = forge::git_endpoints().into_iter().chain(meta);
    all.filter(is_api).collect()
}

/// The number of a key of alice's that is named so, made if there is none.
async fn spare_key(world: &World, name: &str) -> String {
    let key = PublicKey::parse(&format!("ssh-ed25519 {}", a_key(name)), "ssh-key").unwrap();
    let alice = world.user("alice").await;
    let key = world.system().ensure_ssh_key(alice.id, &key).await.unwrap();
    key.id.to_string()
}

/// The number of alice's PGP key, added if she has none.
async fn spare_pgp_key(world: &World) -> String {
    let token = world.token_of(Persona::Owner).unwrap();
    let caller = world.forge().authenticate(Credentials::Token(token));
    let account = caller.await.unwrap().account().unwrap();
    let keys = account.pgp_keys(Page::default()).await.unwrap().results;
    let is_spare = |key: &PublicPgpKey| key.fingerprint.to_string() == PGP_FINGERPRINT;
    if let Some(key) = keys.iter().find(|key| is_spare(&key.key)) {
        return key.id.to_string();
    }
    let key = PublicPgpKey::parse(PGP_KEY, "pgp-key", world.forge().now()).unwrap();
    account.add_pgp_key(&key).await.unwrap().id.to_string()
}

/// A repository of alice's with that visibility, to be deleted.
async fn spare(world: &World, visibility: &str, i: usize) -> String {
    let name = format!("spare-{visibility}-{i}");
    let visibility = match visibility {
        "open" => Visibility::Public,
        "hidden" => Visibility::Unlisted,
        _ => Visibility::Private,
    };
    let new = NewRepo {
        name: name.parse().unwrap(),
        description: None,
        visibility,
    };
    let repo = world
        .owner()
        .await
        .account()
        .unwrap()
        .create_repo(&new)
        .await
        .unwrap();
    for (user, mode) in [
        ("reader", forge::Mode::Read),
        ("writer", forge::Mode::Write),
    ] {
        repo.set_acl(&user.parse().unwrap(), mode).await.unwrap();
    }
    name
}

#[tokio::test]
async fn methods_that_a_path_does_not_have_are_refused_in_the_error_form() {
    let world = World::new(Database::Sqlite).await;
    let paths: BTreeSet<_> = endpoints()
        .into_iter()
        .map(|endpoint| endpoint.path)
        .collect();
    for path in paths {
        let path = fill(&path, "open", "1");
        let options = world
            .request(Persona::Anon, Method::OPTIONS, &path, &[], "")
            .await;
        assert_eq!(options.status, 200, "{path}");
        assert!(options.body.is_empty(), "{path}");
        let allowed = options.headers["allow"].to_str().unwrap().to_owned();
        let patched = world
            .request(Persona::Owner, Method::PATCH, &path, &[], "")
            .await;
        assert_eq!(patched.status, 405, "{path}");
        assert_eq!(
            patched.headers["allow"].to_str().unwrap(),
            allowed,
            "{path}"
        );
        assert_eq!(
            patched.json()["errors"][0]["reason"],
            "405 method not allowed",
            "{path}"
        );
    }
    world.end().await;
}
