//! Repositories that users have filled from elsewhere: asked for, watched, failed, cut off.

#[expect(dead_code, reason = "other tests serve sources in more ways")]
#[path = "../../forge-git/tests/source/mod.rs"]
mod source;

use std::time::Duration;

use chrono::TimeDelta;
use forge::push::PushOptions;
use forge::{Caller, Credentials, Error, PushTarget, Scope, WriteRepo};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::source::{Kind, Server};
use crate::support::{Answer, Database, Persona, World, alice, fixture};

/// A world whose users may import from this machine, and a server there.
async fn worlds() -> Vec<(World, Server, TempDir)> {
    let mut worlds = Vec::new();
    for database in Database::all() {
        let repositories = tempfile::tempdir().unwrap();
        let git = forge::Git::at(repositories.path()).allow_private_imports(true);
        let world = World::with(database, |builder| builder.git(git)).await;
        let server = Server::start(world.dir.path(), Kind::Smart).await;
        worlds.push((world, server, repositories));
    }
    worlds
}

async fn ask(world: &World, persona: Persona, name: &str, url: &str) -> Answer {
    let body = json!({ "name": name, "clone-url": url }).to_string();
    let headers = [("content-type", "application/json")];
    world
        .request(persona, Method::POST, "/api/repos", &headers, body)
        .await
}

async fn asked(world: &World, persona: Persona, name: &str, url: &str) {
    let answer = ask(world, persona, name, url).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
}

async fn import(world: &World, persona: Persona, path: &str) -> Value {
    let answer = world.get(persona, &format!("/api/{path}/import")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()
}

async fn refs(world: &World, path: &str) -> Vec<Value> {
    let refs = world
        .get(Persona::Owner, &format!("/api/{path}/refs"))
        .await;
    refs.json()["results"].as_array().unwrap().clone()
}

async fn to_push_to(caller: &Caller, name: &str) -> WriteRepo {
    match caller.push_to(&alice(name)).await.unwrap() {
        PushTarget::Repo(repo) => repo,
        PushTarget::New(new) => panic!("{new:?}"),
    }
}

#[tokio::test]
async fn a_user_imports_a_repository_and_everybody_watches() {
    for (world, server, _dir) in worlds().await {
        let url = server.url("small.git");
        asked(&world, Persona::Owner, "copy", &url).await;
        let before = import(&world, Persona::Stranger, "~alice/repos/copy").await;
        let owners = import(&world, Persona::Owner, "~alice/repos/copy").await;
        assert_eq!(owners["source"], json!(url));
        // Where it comes from is nobody else's business.
        assert_eq!(
            before,
            json!({
                "source": "",
                "state": "running",
                "error": null,
                "progress": "",
                "started": "2023-11-14T22:13:20",
                "updated": "2023-11-14T22:13:20",
            })
        );
        assert_eq!(refs(&world, "repos/copy").await, [] as [Value; 0]);
        world.clock.advance(TimeDelta::seconds(5));
        world.settle().await;
        let after = import(&world, Persona::Reader, "~alice/repos/copy").await;
        assert_eq!(after["state"], "done");
        assert_eq!(after["error"], Value::Null);
        assert_ne!(after["progress"], "");
        assert_eq!(after["started"], "2023-11-14T22:13:20");
        assert_eq!(after["updated"], "2023-11-14T22:13:25");
        let all = refs(&world, "repos/open").await;
        let usual = |found: &&Value| {
            let name = found["name"].as_str().unwrap();
            name.starts_with("refs/heads/") || name.starts_with("refs/tags/")
        };
        let expected: Vec<_> = all.iter().filter(usual).cloned().collect();
        assert!(expected.len() < all.len());
        assert_eq!(refs(&world, "repos/copy").await, expected);
        let log = |path: &'static str| world.get(Persona::Owner, path);
        let (copy, open) = (
            log("/api/repos/copy/log").await,
            log("/api/repos/open/log").await,
        );
        assert_eq!(copy.json(), open.json());
        world.settle().await;
        let again = import(&world, Persona::Reader, "~alice/repos/copy").await;
        assert_eq!(again, after);
        let plain = world.get(Persona::Owner, "/api/repos/open/import").await;
        assert_eq!(plain.status, StatusCode::NOT_FOUND);
        world.end().await;
    }
}

#[tokio::test]
async fn a_failure_is_shown_and_leaves_an_empty_repository() {
    for (world, server, _dir) in worlds().await {
        let url = server.url("missing.git");
        asked(&world, Persona::Owner, "copy", &url).await;
        world.settle().await;
        let failed = import(&world, Persona::Owner, "repos/copy").await;
        assert_eq!(failed["state"], "failed");
        let said = format!("fatal: repository '{url}/' not found");
        assert_eq!(failed["error"], said);
        assert_eq!(refs(&world, "repos/copy").await, [] as [Value; 0]);
        let requests = server.requests();
        world.clock.advance(TimeDelta::days(1));
        world.settle().await;
        assert_eq!(server.requests(), requests, "nobody tries again");
        let repo = to_push_to(&world.owner().await, "copy").await;
        let id = world.forge().push_id().unwrap();
        let options = PushOptions::default();
        drop(repo.admit(id, Vec::new(), options).await.unwrap());
        world.end().await;
    }
}

#[tokio::test]
async fn nobody_pushes_to_what_is_still_being_imported() {
    for (world, server, _dir) in worlds().await {
        asked(&world, Persona::Owner, "copy", &server.url("small.git")).await;
        let owner = world.owner().await;
        let admit = async || {
            let repo = to_push_to(&owner, "copy").await;
            let id = world.forge().push_id().unwrap();
            repo.admit(id, Vec::new(), PushOptions::default()).await
        };
        let refused = admit().await;
        assert!(
            matches!(refused, Err(Error::Forbidden { .. })),
            "{refused:?}"
        );
        world.settle().await;
        drop(admit().await.unwrap());
        world.end().await;
    }
}

#[tokio::test]
async fn a_private_repository_of_the_forge_is_as_one_that_is_not_there() {
    for (world, server, _dir) in worlds().await {
        let own = "https://git.example.org/~alice";
        let missing = ask(&world, Persona::Stranger, "a", &format!("{own}/nothing")).await;
        let private = ask(&world, Persona::Stranger, "a", &format!("{own}/secret")).await;
        assert_eq!(missing.status, StatusCode::BAD_REQUEST);
        assert_eq!(private.status, missing.status);
        assert_eq!(private.body, missing.body);
        assert_eq!(missing.json()["errors"][0]["field"], "clone-url");

        // Those who may see it may have it, from where it lies: nothing is asked over the network.
        asked(&world, Persona::Reader, "a", &format!("{own}/secret.git")).await;
        asked(&world, Persona::Owner, "a", &format!("{own}/secret/")).await;
        world.settle().await;
        for (persona, path) in [
            (Persona::Reader, "~reader/repos/a"),
            (Persona::Owner, "repos/a"),
        ] {
            let done = import(&world, persona, path).await;
            assert_eq!(
                (&done["state"], &done["error"]),
                (&json!("done"), &Value::Null)
            );
        }
        assert!(refs(&world, "repos/a").await.len() > 1);
        assert_eq!(server.requests(), 0);
        world.end().await;
    }
}

#[tokio::test]
async fn what_became_private_before_its_turn_is_not_imported() {
    for (world, _server, _dir) in worlds().await {
        let own = "https://git.example.org/~alice/open";
        asked(&world, Persona::Stranger, "a", own).await;
        let owner = world.owner().await;
        let repo = owner.manage_repo(&alice("open"), Scope::Repositories).await;
        let hide = forge::repos::RepoChange {
            visibility: Some(forge::repos::Visibility::Private),
            ..forge::repos::RepoChange::default()
        };
        repo.unwrap().update(&hide).await.unwrap();
        world.settle().await;
        let failed = import(&world, Persona::Stranger, "repos/a").await;
        assert_eq!(failed["state"], "failed");
        assert_eq!(failed["error"], "the source cannot be read");
        world.end().await;
    }
}

#[tokio::test]
async fn an_import_that_is_cut_off_is_tried_once_more() {
    for (world, server, _dir) in worlds().await {
        let soon = Duration::from_secs(2);
        let lease = TimeDelta::seconds(121);
        asked(&world, Persona::Owner, "lucky", &server.url("small.git")).await;
        server.becomes(Kind::Silent);
        assert!(tokio::time::timeout(soon, world.settle()).await.is_err());
        let running = import(&world, Persona::Owner, "repos/lucky").await;
        assert_eq!(running["state"], "running");
        assert_ne!(running["progress"], "", "it is written down meanwhile");
        server.becomes(Kind::Smart);
        world.clock.advance(lease);
        world.settle().await;
        let done = import(&world, Persona::Owner, "repos/lucky").await;
        assert_eq!(done["state"], "done");

        asked(&world, Persona::Owner, "unlucky", &server.url("small.git")).await;
        server.becomes(Kind::Silent);
        for _ in 0..2 {
            assert!(tokio::time::timeout(soon, world.settle()).await.is_err());
            world.clock.advance(lease);
        }
        world.settle().await;
        let failed = import(&world, Persona::Owner, "repos/unlucky").await;
        assert_eq!(failed["error"], "it was interrupted again and again");
        world.end().await;
    }
}

#[tokio::test]
async fn a_repository_that_is_deleted_meanwhile_stays_deleted() {
    for (world, server, _dir) in worlds().await {
        for is_fetching in [false, true] {
            asked(&world, Persona::Owner, "copy", &server.url("small.git")).await;
            server.becomes(if is_fetching {
                Kind::Silent
            } else {
                Kind::Smart
            });
            let delete = async {
                if is_fetching {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                let path = "/api/repos/copy";
                let gone = world
                    .request(Persona::Owner, Method::DELETE, path, &[], "")
                    .await;
                assert_eq!(gone.status, StatusCode::NO_CONTENT);
            };
            if is_fetching {
                tokio::join!(world.settle(), delete);
            } else {
                delete.await;
            }
            world.settle().await;
            let gone = world.get(Persona::Owner, "/api/repos/copy/import").await;
            assert_eq!(gone.status, StatusCode::NOT_FOUND);
        }
        world.end().await;
    }
}

#[tokio::test]
async fn bad_sources_make_nothing() {
    for database in Database::all() {
        let world = World::new(database).await;
        for url in [
            "git://example.org/x",
            "/etc",
            "file:///etc",
            "https://user:secret@example.org/x",
            "https://example.org/x?token=secret",
            "http://2130706433/x",
            "https://git.example.org/alice/open",
            "https://git.example.org/api/repos",
        ] {
            let answer = ask(&world, Persona::Owner, "copy", url).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{url}");
            assert_eq!(answer.json()["errors"][0]["field"], "clone-url", "{url}");
            assert!(!answer.text().contains("secret"), "{answer:?}");
        }
        let taken = ask(&world, Persona::Owner, "open", "https://example.org/x").await;
        assert_eq!(taken.json()["errors"][0]["field"], "name");
        let repo = world.get(Persona::Owner, "/api/repos/copy").await;
        assert_eq!(repo.status, StatusCode::NOT_FOUND);
        world.end().await;
    }
}

#[tokio::test]
async fn this_machine_is_not_imported_from_and_there_is_an_end_to_asking() {
    for database in Database::all() {
        let world = World::new(database).await;
        fixture::small(world.dir.path());
        let server = Server::start(world.dir.path(), Kind::Smart).await;
        let url = server.url("small.git");
        for n in 0..10 {
            asked(&world, Persona::Owner, &format!("copy-{n}"), &url).await;
        }
        let refused = ask(&world, Persona::Owner, "copy-10", &url).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
        asked(&world, Persona::Stranger, "copy", &url).await;
        for _ in 0..20 {
            world.settle().await;
            world.clock.advance(TimeDelta::minutes(1));
        }
        for n in 0..10 {
            let failed = import(&world, Persona::Owner, &format!("repos/copy-{n}")).await;
            let said = "its host is not to be found on the internet";
            assert_eq!(failed["error"], said, "{failed}");
        }
        assert_eq!(server.requests(), 0);
        asked(&world, Persona::Owner, "copy-10", &url).await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_token_needs_the_scopes_of_what_it_asks_for() {
    for (world, server, _dir) in worlds().await {
        let alice = world.user("alice").await;
        let own = "https://git.example.org/~alice/open";
        for (grants, url, expected) in [
            ("git.sr.ht/REPOSITORIES:RO", server.url("small.git"), false),
            ("git.sr.ht/REPOSITORIES:RW", server.url("small.git"), true),
            ("git.sr.ht/REPOSITORIES:RW", own.to_owned(), false),
            (
                "git.sr.ht/REPOSITORIES:RW git.sr.ht/OBJECTS:RO",
                own.to_owned(),
                true,
            ),
        ] {
            let parsed = forge::Grants::parse_oauth2(grants).unwrap();
            let token = world.token(&alice, parsed, TimeDelta::days(1)).await;
            let caller = world.forge().authenticate(Credentials::Token(&token)).await;
            let account = caller.unwrap().account().unwrap();
            let new = forge::repos::NewRepo {
                name: format!("copy-{}", world.forge().push_id().unwrap())
                    .parse()
                    .unwrap(),
                description: None,
                visibility: forge::repos::Visibility::Public,
            };
            let made = account.import_repo(&new, &url).await;
            match made {
                Ok(repo) => {
                    assert!(expected, "{grants} for {url}");
                    assert!(repo.is_being_imported().await.unwrap());
                }
                Err(error) => {
                    assert!(matches!(error, Error::Forbidden { .. }), "{error:?}");
                    assert!(!expected, "{grants} for {url}");
                }
            }
        }
        world.end().await;
    }
}
