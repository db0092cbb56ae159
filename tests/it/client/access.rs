//! Who gets in where: section 1.3 of the sheet, for everybody, over both ways.
//!
//! Invariant: what somebody may not read is answered as what does not exist, to the byte.

use std::fmt::Write as _;

use forge::access::Mode;
use forge::keys::PublicKey;
use forge::repos::Visibility;
use forge::{Scope, UserName};

use super::http::{Ask, Raw, base64, rename, v2};
use super::ssh;
use crate::support::site::{Ran, Site, Way, run};
use crate::support::{Database, PERSONAS, Persona, alice, fixture};

const REPOS: [&str; 4] = ["open", "hidden", "secret", "missing"];

/// What becomes of whom. `login` is the request for credentials, `makes` the offer to make the repository.
const TABLE: &str = "
                         open      hidden    secret    missing
Anon        http fetch   ok        ok        login     login
Anon        http push    login     login     login     login
Forger      http fetch   login     login     login     login
Forger      http push    login     login     login     login
Expired     http fetch   login     login     login     login
Expired     http push    login     login     login     login
Suspended   http fetch   suspended suspended suspended suspended
Suspended   http push    suspended suspended suspended suspended
Stranger    http fetch   ok        ok        missing   missing
Stranger    http push    denied    denied    missing   missing
Reader      http fetch   ok        ok        ok        missing
Reader      http push    denied    denied    denied    missing
Writer      http fetch   ok        ok        ok        missing
Writer      http push    ok        ok        ok        missing
ProfileOnly http fetch   scope     scope     scope     scope
ProfileOnly http push    scope     scope     scope     scope
ReadOnly    http fetch   ok        ok        ok        missing
ReadOnly    http push    scope     scope     scope     scope
Owner       http fetch   ok        ok        ok        missing
Owner       http push    ok        ok        ok        makes
unknown     ssh  fetch   locked    locked    locked    locked
unknown     ssh  push    locked    locked    locked    locked
Suspended   ssh  fetch   suspended suspended suspended suspended
Suspended   ssh  push    suspended suspended suspended suspended
Stranger    ssh  fetch   ok        ok        missing   missing
Stranger    ssh  push    denied    denied    missing   missing
Reader      ssh  fetch   ok        ok        ok        missing
Reader      ssh  push    denied    denied    denied    missing
Writer      ssh  fetch   ok        ok        ok        missing
Writer      ssh  push    ok        ok        ok        missing
Owner       ssh  fetch   ok        ok        ok        missing
Owner       ssh  push    ok        ok        ok        makes
deploy-ro   ssh  fetch   missing   missing   ok        missing
deploy-ro   ssh  push    missing   missing   denied    missing
deploy-rw   ssh  fetch   missing   missing   ok        missing
deploy-rw   ssh  push    missing   missing   ok        missing
";

/// The word for an answer over HTTP.
fn http_word(raw: &Raw, repo: &str) -> &'static str {
    let text = raw.text();
    if raw.status == 200 {
        // What does not exist has nothing in it.
        let is_made = text.contains(" refs/heads/master");
        assert_eq!(is_made, repo != "missing", "{text}");
        return if is_made { "ok" } else { "makes" };
    }
    let kind = raw.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain"), "{kind}: {text}");
    let challenge = raw.header("www-authenticate");
    match raw.status {
        401 if challenge.is_some_and(|text| text.starts_with("Basic realm=")) => "login",
        404 if text.contains("repository not found") => "missing",
        403 if text.contains("suspended") => "suspended",
        403 if text.contains("scope") && text.contains("OBJECTS:R") => "scope",
        403 => "denied",
        status => panic!("{status}: {text}"),
    }
}

/// The word for an answer over SSH.
fn ssh_word(ran: &Ran, repo: &str) -> &'static str {
    match ran.code {
        Some(0) => {
            let is_made = ran.out.contains(" refs/heads/master");
            assert_eq!(is_made, repo != "missing", "{}", ran.out);
            if is_made { "ok" } else { "makes" }
        }
        Some(255) if ran.err.contains("Permission denied (publickey).") => "locked",
        Some(128) if ran.err.contains("repository not found") => "missing",
        Some(128) if ran.err.contains("access denied") => "denied",
        Some(128) if ran.err.contains("suspended") => "suspended",
        code => panic!("{code:?}: {}{}", ran.out, ran.err),
    }
}

/// Gives keys to those who have none: somebody unknown, a suspended account, the repository `secret`.
async fn give_keys(site: &Site) {
    site.make_key("unknown").await;
    let suspended = site.make_key("Suspended").await;
    let user = site.world.user("suspended").await;
    let key: PublicKey = site.public(&suspended);
    site.world
        .system()
        .ensure_ssh_key(user.id, &key)
        .await
        .unwrap();
    let owner = site.world.owner().await;
    let secret = owner
        .manage_repo(&alice("secret"), Scope::Acls)
        .await
        .unwrap();
    for (name, mode) in [("deploy-ro", Mode::Read), ("deploy-rw", Mode::Write)] {
        let key = site.public(&site.make_key(name).await);
        secret.add_deploy_key(&key, mode).await.unwrap();
    }
}

/// Asks over SSH for the listing that comes before a fetch or a push, and for no more.
async fn over_ssh(site: &Site, key: &str, service: &str, repo: &str) -> Ran {
    let key = site.world.dir.path().join("keys").join(key);
    let line = format!("git-{service} '~alice/{repo}'");
    run(ssh::command_of(site, &key, &[], &[&line]), b"0000").await
}

#[tokio::test]
async fn everybody_gets_where_the_table_says_and_nowhere_else() {
    for database in Database::all() {
        let site = Site::with(database, |builder| builder).await;
        give_keys(&site).await;
        let mut table = format!("\n{:25}", "");
        for repo in REPOS {
            write!(table, "{repo:10}").unwrap();
        }
        let mut line = |who: &str, way: &str, act: &str, words: Vec<&str>| {
            let words: String = words.iter().map(|word| format!("{word:10}")).collect();
            let head = table.trim_end().to_owned();
            table = format!("{head}\n{who:11} {way:4} {act:5}   {words}");
        };
        let acts = [("fetch", "upload-pack"), ("push", "receive-pack")];
        for persona in PERSONAS {
            for (act, service) in acts {
                let mut words = Vec::new();
                for repo in REPOS {
                    let path = format!("~alice/{repo}");
                    let listing = Ask::refs(&path, service).by(&site, *persona);
                    let listing = listing.send(&site).await;
                    let word = http_word(&listing, repo);
                    // What comes after the listing is decided in the same way.
                    let post = Ask::post(&path, service, "0000").by(&site, *persona);
                    let post = post.send(&site).await;
                    if listing.status == 200 {
                        assert_eq!(post.status, 200, "{persona:?} {act} {repo}");
                    } else {
                        assert_eq!(http_word(&post, repo), word, "{persona:?} {act} {repo}");
                    }
                    // So is who shows the token in another way.
                    if let Some(token) = site.world.token_of(*persona) {
                        let bearer = format!("Bearer {token}");
                        let ask = Ask::refs(&path, service).header("authorization", &bearer);
                        let raw = ask.send(&site).await;
                        assert_eq!(http_word(&raw, repo), word, "{persona:?} {act} {repo}");
                    }
                    words.push(word);
                }
                line(&format!("{persona:?}"), "http", act, words);
            }
        }
        for who in [
            "unknown",
            "Suspended",
            "Stranger",
            "Reader",
            "Writer",
            "Owner",
            "deploy-ro",
            "deploy-rw",
        ] {
            for (act, service) in acts {
                let asked = REPOS.map(|repo| over_ssh(&site, who, service, repo));
                let answers = futures::future::join_all(asked).await;
                let words = answers.iter().zip(REPOS);
                let words = words.map(|(ran, repo)| ssh_word(ran, repo)).collect();
                line(who, "ssh", act, words);
            }
        }
        let table = table.trim_end().to_owned() + "\n";
        for (ours, golden) in table.lines().zip(TABLE.lines()) {
            assert_eq!(ours, golden, "{table}");
        }
        assert_eq!(table, TABLE);
        // Nothing came into being by asking.
        let missing = site.world.system().find_repo(&alice("missing")).await;
        assert_eq!(missing.unwrap(), None);
        site.end().await;
    }
}

/// What was told, without what differs from answer to answer.
fn told(mut raw: Raw) -> Raw {
    raw.headers.remove("x-request-id");
    raw.headers.remove("date");
    raw
}

#[tokio::test]
async fn what_may_not_be_read_is_told_from_nothing_by_no_byte() {
    for database in Database::all() {
        let site = Site::with(database, |builder| builder).await;
        give_keys(&site).await;
        // Known by another name once, and as little to be read.
        let source = forge::objects::ImportSource::Path(fixture::small(site.world.dir.path()));
        site.world
            .import("before", Visibility::Private, &source)
            .await;
        rename(&site, "before", "after").await;
        let body = v2("ls-refs", &[]);
        let mut asks: Vec<(&str, String, &str, bool)> = Vec::new();
        for service in ["upload-pack", "receive-pack", "upload-archive"] {
            asks.push((
                "GET",
                format!("/info/refs?service=git-{service}"),
                "",
                false,
            ));
            asks.push((
                "HEAD",
                format!("/info/refs?service=git-{service}"),
                "",
                false,
            ));
            asks.push(("POST", format!("/git-{service}"), service, false));
            asks.push(("POST", format!("/git-{service}"), service, true));
            asks.push(("POST", format!("/git-{service}"), "nonsense", false));
            asks.push(("GET", format!("/git-{service}"), "", false));
        }
        for tail in [
            "/info/refs",
            "/HEAD",
            "/objects/info/packs",
            "?go-get=1",
            "",
        ] {
            asks.push(("GET", tail.to_owned(), "", false));
        }
        asks.push((
            "PUT",
            "/info/refs?service=git-upload-pack".to_owned(),
            "",
            false,
        ));
        for persona in [Persona::Anon, Persona::Stranger, Persona::Forger] {
            for (method, tail, service, is_packed) in &asks {
                let mut answers = Vec::new();
                for repo in [
                    "missing",
                    "secret",
                    "before",
                    "after",
                    "secret.git",
                    "missing.git",
                ] {
                    let mut ask = Ask::new(method, format!("/~alice/{repo}{tail}"));
                    if *method == "POST" {
                        let path = format!("~alice/{repo}");
                        ask = Ask::post(&path, tail.trim_start_matches("/git-"), body.clone());
                        if *service == "nonsense" {
                            ask = ask.header("content-type", "text/plain");
                        }
                        if *is_packed {
                            ask = ask.header("content-encoding", "gzip");
                        }
                    }
                    answers.push(told(ask.by(&site, persona).send(&site).await));
                }
                assert_ne!(answers[0].status, 200, "{persona:?} {method} {tail}");
                for answer in &answers {
                    assert_eq!(*answer, answers[0], "{persona:?} {method} {tail}");
                }
            }
        }
        for key in ["Stranger", "deploy-ro-of-nothing", "Suspended"] {
            if key == "deploy-ro-of-nothing" {
                let key = site.make_key(key).await;
                let owner = site.world.owner().await;
                let open = owner
                    .manage_repo(&alice("open"), Scope::Acls)
                    .await
                    .unwrap();
                open.add_deploy_key(&site.public(&key), Mode::Write)
                    .await
                    .unwrap();
            }
            for service in ["upload-pack", "receive-pack", "upload-archive"] {
                let repos = [
                    "missing",
                    "secret",
                    "before",
                    "after",
                    "secret.git",
                    "missing.git",
                ];
                let asked = repos.map(|repo| over_ssh(&site, key, service, repo));
                let answers = futures::future::join_all(asked).await;
                assert_eq!(answers[0].code, Some(128), "{key} {service}");
                for answer in &answers {
                    assert_eq!(answer.code, answers[0].code, "{key} {service}");
                    assert_eq!(answer.out, answers[0].out, "{key} {service}");
                    assert_eq!(answer.err, answers[0].err, "{key} {service}");
                }
            }
        }
        site.end().await;
    }
}

#[tokio::test]
async fn what_has_another_name_is_told_to_whoever_may_see_it() {
    for database in Database::all() {
        let site = Site::with(database, |builder| builder).await;
        rename(&site, "open", "opened").await;
        rename(&site, "secret", "kept").await;
        let address = format!("ssh://git@{}/~alice/", site.ssh);
        for (who, old, new, sees) in [
            ("Stranger", "open", "opened", true),
            ("Reader", "open", "opened", true),
            ("Owner", "open", "opened", true),
            ("Stranger", "secret", "kept", false),
            ("Reader", "secret", "kept", true),
            ("Owner", "secret", "kept", true),
        ] {
            for service in ["upload-pack", "receive-pack", "upload-archive"] {
                let names = [old.to_owned(), format!("{old}.git")];
                let asked = names
                    .each_ref()
                    .map(|old| over_ssh(&site, who, service, old));
                for ran in futures::future::join_all(asked).await {
                    let how = format!("{who} {service} {old}: {}", ran.err);
                    assert_eq!((ran.code, ran.out.as_str()), (Some(128), ""), "{how}");
                    let told = ran.err.contains(&format!("{address}{new}"));
                    assert_eq!(told, sees, "{how}");
                    assert_eq!(ran.err.contains("repository not found"), !sees, "{how}");
                }
            }
            let persona = PERSONAS
                .iter()
                .find(|persona| format!("{persona:?}") == who);
            for service in ["upload-pack", "receive-pack"] {
                let ask = Ask::refs(&format!("~alice/{old}"), service);
                let raw = ask.by(&site, *persona.unwrap()).send(&site).await;
                let status = if sees { 301 } else { 404 };
                assert_eq!(raw.status, status, "{who} {service} {old}");
            }
        }
        let raw = Ask::refs("~alice/open", "upload-pack").send(&site).await;
        raw.is(301);
        let raw = Ask::refs("~alice/secret", "upload-pack").send(&site).await;
        raw.is(401);
        site.end().await;
    }
}

#[tokio::test]
async fn pushing_makes_what_is_ones_own_and_nothing_else() {
    for database in Database::all() {
        let site = Site::with(database, |builder| builder).await;
        let client = site.client(Persona::Owner, 2);
        client.start("work").await;
        let id = client.id("work", "HEAD").await;
        let find = async |name: &str| {
            let path = format!("~{name}").parse().unwrap();
            site.world.system().find_repo(&path).await.unwrap()
        };
        for (way, name) in [(Way::Http, "by-http"), (Way::Ssh, "by-ssh")] {
            let to = site.url(way, Persona::Owner, &format!("~alice/{name}.git"));
            let ran = client.git_in("work", &["push", &to, "master"]).await.good();
            assert!(ran.err.contains("remote: "), "{way:?}: {}", ran.err);
            assert!(
                ran.err.to_lowercase().contains("private"),
                "{way:?}: {}",
                ran.err
            );
            let made = find(&format!("alice/{name}")).await.expect("it is made");
            assert_eq!(made.visibility, Visibility::Private, "{way:?}");
            let dir = site.dir_of(&format!("~alice/{name}")).await;
            assert_eq!(fixture::git_text(&dir, &["rev-parse", "master"]), id);
            // Once is enough to be told.
            let ran = client
                .git_in("work", &["push", &to, "master:again"])
                .await
                .good();
            assert!(
                !ran.err.to_lowercase().contains("private"),
                "{way:?}: {}",
                ran.err
            );
        }
        for way in [Way::Http, Way::Ssh] {
            for (name, why) in [
                ("~stranger/new", "repository not found"),
                ("~nobody/new", "repository not found"),
                ("~alice/.git", ""),
                ("~alice/b@d", ""),
            ] {
                let to = site.url(way, Persona::Owner, name);
                let ran = client.git_in("work", &["push", &to, "master"]).await.bad();
                assert!(ran.err.contains(why), "{way:?} {name}: {}", ran.err);
            }
        }
        assert_eq!(find("stranger/new").await, None);
        // A suspended account makes nothing, not even of its own.
        give_keys(&site).await;
        let name: UserName = "suspended".parse().unwrap();
        let key = site.world.dir.path().join("keys/Suspended");
        let line = format!("git-receive-pack '~{name}/new'");
        let ran = run(ssh::command_of(&site, &key, &[], &[&line]), b"0000").await;
        assert_eq!(ran.code, Some(128), "{}", ran.err);
        ran.says("suspended");
        let token = site.world.token_of(Persona::Suspended).unwrap();
        let basic = format!("Basic {}", base64(format!("x:{token}").as_bytes()));
        let ask = Ask::refs("~suspended/new", "receive-pack").header("authorization", &basic);
        ask.send(&site).await.is(403);
        assert_eq!(find("suspended/new").await, None);
        site.end().await;
    }
}
