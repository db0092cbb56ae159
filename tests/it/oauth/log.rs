//! What the log of an account says of clients and tokens.
//!
//! Invariant: every line is there that tells of a change, in order, in the log of whom it concerns, and no line holds a
//! secret. The rest of the log is in `accounts`.

use chrono::TimeDelta;
use forge::Grants;
use forge::oauth::{Consent, NewToken};
use serde_json::Value;

use super::application::{
    Application, Kind, NAME, REDIRECT, Tokens, allow, connect, registration, tried,
};
use super::revocation::{revoke_client, take_back};
use crate::support::browser::{Browser, PASSWORD, shown};
use crate::support::{Answer, Database, Persona, World};

/// From where the users' browsers ask.
const ADDRESS: &str = "192.0.2.7";
/// The most bytes of a line's details.
const MOST: usize = 512;

/// The lines of an account's log, oldest first.
async fn entries(world: &World, persona: Persona) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut start = String::new();
    loop {
        let path = format!("/meta/api/user/audit-log{start}");
        let page = world.get(persona, &path).await.json();
        entries.extend(page["results"].as_array().unwrap().iter().cloned());
        match &page["next"] {
            Value::Null => break,
            next => start = format!("?start={}", next.as_str().unwrap()),
        }
    }
    entries.reverse();
    entries
}

/// What one log says from a moment on.
struct Log<'a> {
    world: &'a World,
    persona: Persona,
    seen: usize,
}

impl<'a> Log<'a> {
    async fn of(world: &'a World, persona: Persona) -> Self {
        let seen = entries(world, persona).await.len();
        Self {
            world,
            persona,
            seen,
        }
    }

    async fn new_entries(&self) -> Vec<Value> {
        entries(self.world, self.persona).await.split_off(self.seen)
    }

    async fn lines(&self) -> Vec<String> {
        let entries = self.new_entries().await.into_iter();
        entries
            .map(|entry| {
                let text = |field: &str| entry[field].as_str().unwrap_or("-").to_owned();
                format!("{} | {}", text("action"), text("details"))
            })
            .collect()
    }
}

/// Sends the form beside a client on its owner's page.
async fn press(owner: &mut Browser<'_>, app: &Application, button: &str) -> Answer {
    owner.get("/oauth2").await;
    let path = format!("/oauth2/client/{}/{button}", app.id);
    owner.submit(&path, &[]).await
}

#[tokio::test]
async fn the_life_of_a_client_is_in_the_log() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let log = Log::of(&world, Persona::Owner).await;
        let app = Application::register(&world, &mut alice, Kind::Confidential).await;

        let code = app.code(&mut alice).await;
        app.redeem(&code).await;
        app.redeem(&code).await;

        let tokens = app.tokens(&mut alice).await;
        app.refresh(&tokens.refresh).await;
        app.refresh(&tokens.refresh).await;

        let tokens = app.tokens(&mut alice).await;
        app.revoke(&tokens.refresh).await;

        app.tokens(&mut alice).await;
        take_back(&mut alice).await;

        let device = app.device().await;
        connect(&mut alice, &device).await;
        app.poll(&device).await;

        press(&mut alice, &app, "reset-secret").await;
        press(&mut alice, &app, "revoke").await;
        world.settle().await;

        let (id, it) = (&app.id, app.logged());
        assert_eq!(
            log.lines().await,
            [
                format!("OAuth 2.0 client registered | {id}"),
                format!("OAuth 2.0 access grant issued | {it}"),
                format!("OAuth 2.0 grant revoked | {it}: a code was used twice"),
                format!("OAuth 2.0 access grant issued | {it}"),
                format!("OAuth 2.0 grant revoked | {it}: a refresh token was used twice"),
                format!("OAuth 2.0 access grant issued | {it}"),
                format!("OAuth 2.0 grant revoked | {it}: the application gave it back"),
                format!("OAuth 2.0 access grant issued | {it}"),
                format!("OAuth 2.0 grant revoked | {it}"),
                format!("OAuth 2.0 access grant issued | {it}"),
                format!("reset client secret | {id}"),
                format!("OAuth 2.0 client revoked | {id}"),
                format!("OAuth 2.0 grant revoked | {it}: the application was revoked"),
            ]
        );
        world.end().await;
    }
}

#[tokio::test]
async fn the_life_of_a_client_of_the_older_scheme_is_in_the_log() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let log = Log::of(&world, Persona::Owner).await;
        let app = Application::register(&world, &mut alice, Kind::Legacy).await;
        let code = app.code(&mut alice).await;
        app.redeem(&code).await;
        app.redeem(&code).await;
        app.tokens(&mut alice).await;
        app.tokens(&mut alice).await;
        take_back(&mut alice).await;
        app.tokens(&mut alice).await;
        press(&mut alice, &app, "reset-secret").await;
        press(&mut alice, &app, "revoke").await;
        world.settle().await;
        let (id, it) = (&app.id, app.logged());
        assert_eq!(
            log.lines().await,
            [
                format!("register oauth client | {id}"),
                format!("oauth token issued | {it}"),
                format!("revoked oauth tokens | {it}: a code was used twice"),
                format!("oauth token issued | {it}"),
                format!("oauth token issued | {it}"),
                // There is one for each user and client.
                format!("revoked oauth tokens | {it}: another was given"),
                format!("revoked oauth tokens | {it}"),
                format!("oauth token issued | {it}"),
                format!("reset client secret | {id}"),
                format!("deleted oauth client | {id}"),
                format!("revoked oauth tokens | {it}: the application was revoked"),
            ]
        );
        world.end().await;
    }
}

#[tokio::test]
async fn personal_tokens_are_in_the_log_whoever_makes_and_revokes_them() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let log = Log::of(&world, Persona::Owner).await;
        alice.get("/oauth2").await;
        let everything = [("everything", "on")];
        let made = alice.submit("/oauth2/personal-token", &everything).await;
        let own = shown(&made, "token");
        let page = alice.get("/oauth2").await;
        let (_, rest) = page.text().split_once("/oauth2/personal-token/").unwrap();
        let number = rest.split('/').next().unwrap();
        let path = format!("/oauth2/personal-token/{number}/revoke");
        alice.submit(&path, &[]).await;

        let new = NewToken {
            grants: Grants::everything(),
            comment: None,
            expires: world.forge().now() + TimeDelta::days(1),
        };
        let user = world.user("alice").await;
        let system = world.system();
        let (token, operators) = system.issue_token(user.id, &new).await.unwrap();
        system.revoke_token(token.id).await.unwrap();

        let hint = |token: &str| token["forge_".len()..][..8].to_owned();
        let (own, operators) = (hint(&own), hint(operators.expose()));
        assert_eq!(
            log.lines().await,
            [
                format!("OAuth 2.0 token issued | personal token {own}…"),
                format!("OAuth 2.0 token revoked | personal token {own}…"),
                format!("OAuth 2.0 token issued | personal token {operators}…"),
                format!("OAuth 2.0 token revoked | personal token {operators}…"),
            ]
        );
        world.end().await;
    }
}

#[tokio::test]
async fn a_user_and_the_owner_of_a_client_are_told_what_concerns_each() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        let users = Log::of(&world, Persona::Owner).await;
        let owners = Log::of(&world, Persona::Stranger).await;
        let app = Application::register(&world, &mut owner, Kind::Public).await;
        let tokens = app.tokens(&mut alice).await;
        app.refresh(&tokens.refresh).await;
        app.refresh(&tokens.refresh).await;
        revoke_client(&world.system(), &app).await;
        world.settle().await;
        let (id, it) = (&app.id, app.logged());
        assert_eq!(
            users.lines().await,
            [
                format!("OAuth 2.0 access grant issued | {it}"),
                format!("OAuth 2.0 grant revoked | {it}: a refresh token was used twice"),
            ]
        );
        assert_eq!(
            owners.lines().await,
            [
                format!("OAuth 2.0 client registered | {id}"),
                format!("OAuth 2.0 client revoked | {id}"),
            ]
        );
        world.end().await;
    }
}

/// Each of them once, however much they had let it do; not where its owner was then, and nothing of others.
#[tokio::test]
async fn a_client_that_is_revoked_is_in_the_logs_of_its_users() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut owner = Browser::of(&world, "stranger").await.at(ADDRESS);
        let mut users = Vec::new();
        for name in ["alice", "reader"] {
            users.push(Browser::of(&world, name).await);
        }
        let app = Application::register(&world, &mut owner, Kind::Public).await;
        let ended = app.tokens(&mut users[1]).await;
        let logs = [
            Log::of(&world, Persona::Owner).await,
            Log::of(&world, Persona::Reader).await,
            Log::of(&world, Persona::Stranger).await,
        ];
        for _ in 0..2 {
            app.tokens(&mut users[0]).await;
        }
        take_back(&mut users[1]).await;
        press(&mut owner, &app, "revoke").await;
        assert_eq!(tried(&world.app, &ended.access).await, [401; 4]);
        world.settle().await;
        let (id, it) = (&app.id, app.logged());
        let issued = format!("OAuth 2.0 access grant issued | {it}");
        let revoked = format!("OAuth 2.0 grant revoked | {it}: the application was revoked");
        let expected = [issued.clone(), issued, revoked];
        assert_eq!(logs[0].lines().await, expected);
        let last = logs[0].new_entries().await.pop().unwrap();
        assert_eq!(last["ip"], "0.0.0.0");
        let taken_back = format!("OAuth 2.0 grant revoked | {it}");
        assert_eq!(logs[1].lines().await, [taken_back]);
        let owners = format!("OAuth 2.0 client revoked | {id}");
        assert_eq!(logs[2].lines().await, [owners]);
        world.end().await;
    }
}

/// More than are told in one transaction.
#[tokio::test]
async fn each_of_very_many_users_is_told_once_that_a_client_was_revoked() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut owner = Browser::of(&world, "stranger").await;
        let app = Application::register(&world, &mut owner, Kind::Confidential).await;
        let client = world.forge().client(&app.id.parse().unwrap()).await;
        let client = client.unwrap().expect("it is in force");
        let mut names = Vec::new();
        for number in 0..501 {
            let name = format!("user{number}");
            world.user(&name).await;
            let account = world.signed_in(&name).await.account().unwrap();
            let code = account.consent(Consent {
                client: &client,
                grants: Grants::everything(),
                redirect_uri: Some(REDIRECT.to_owned()),
                challenge: None,
            });
            let issued = app.redeem(code.await.unwrap().expose()).await;
            assert_eq!(issued.status, 200, "{issued:?}");
            names.push(name);
        }
        revoke_client(&world.system(), &app).await;
        world.settle().await;
        let end = format!("{}: the application was revoked", app.logged());
        for name in names {
            let account = world.signed_in(&name).await.account().unwrap();
            let log = account.audit_log(forge::Page::default()).await.unwrap();
            let told = log.results.iter();
            let told = told.filter(|entry| entry.details.as_deref() == Some(&end));
            assert_eq!(told.count(), 1, "{name}");
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_code_in_the_wrong_hands_is_in_its_users_log() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let mut owner = Browser::of(&world, "stranger").await;
        let app = Application::register(&world, &mut owner, Kind::Public).await;
        let other = Application::register(&world, &mut owner, Kind::Public).await;
        let users = Log::of(&world, Persona::Owner).await;
        let owners = Log::of(&world, Persona::Stranger).await;
        let code = app.code(&mut alice).await;
        other.redeem(&code).await;
        let code = app.code(&mut alice).await;
        let wrong = [("code_verifier", REDIRECT)];
        app.redeem_with(&code, &wrong).await;
        let it = app.logged();
        assert_eq!(
            users.lines().await,
            [
                format!("OAuth 2.0 access grant issued | {it}"),
                format!("OAuth 2.0 grant revoked | {it}: another application showed its code"),
                format!("OAuth 2.0 access grant issued | {it}"),
                format!("OAuth 2.0 grant revoked | {it}: its code was shown with other parameters"),
            ]
        );
        assert_eq!(owners.lines().await, [""; 0]);
        world.end().await;
    }
}

#[tokio::test]
async fn what_comes_to_nothing_is_not_in_the_log() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let app = Application::register(&world, &mut alice, Kind::Confidential).await;
    let tokens = app.tokens(&mut alice).await;
    let log = Log::of(&world, Persona::Owner).await;
    let page = app.page(&[]);
    alice.get(&page).await;
    alice.submit(&page, &[("decision", "deny")]).await;
    registration(&mut alice, &[("name", ""), ("redirect_uri", "x")]).await;
    app.redeem("nonsense").await;
    app.refresh("nonsense").await;
    app.revoke("nonsense").await;
    app.introspect(&tokens.access).await;
    app.refresh(&tokens.refresh).await;
    app.device().await;
    assert_eq!(log.lines().await, [""; 0]);
    world.end().await;
}

#[tokio::test]
async fn suspensions_are_in_the_log() {
    for database in Database::all() {
        let world = World::new(database).await;
        let log = Log::of(&world, Persona::Owner).await;
        let name = "alice".parse().unwrap();
        world.system().suspend(&name, Some("spam")).await.unwrap();
        world.system().suspend(&name, None).await.unwrap();
        assert_eq!(
            log.lines().await,
            ["account suspended | spam", "suspension lifted | -"]
        );
        world.end().await;
    }
}

#[tokio::test]
async fn the_log_says_from_where_and_of_an_operator_nothing() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await.at(ADDRESS);
    let log = Log::of(&world, Persona::Owner).await;
    let app = Application::register(&world, &mut alice, Kind::Public).await;
    app.tokens(&mut alice).await;
    take_back(&mut alice).await;
    revoke_client(&world.system(), &app).await;
    let entries = log.new_entries().await;
    let from: Vec<_> = entries.iter().map(|entry| &entry["ip"]).collect();
    assert_eq!(from, [ADDRESS, ADDRESS, ADDRESS, "0.0.0.0"]);
    world.end().await;
}

#[tokio::test]
async fn a_long_name_is_cut_in_the_log() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut alice = Browser::of(&world, "alice").await;
        let name = "🦀".repeat(256);
        let fields = [
            ("name", name.as_str()),
            ("redirect_uri", REDIRECT),
            ("kind", "confidential"),
        ];
        let page = registration(&mut alice, &fields).await;
        let log = Log::of(&world, Persona::Owner).await;
        let id = shown(&page, "client-id");
        let asked =
            format!("/oauth2/authorize?response_type=code&scope=git.sr.ht/OBJECTS&client_id={id}");
        allow(&mut alice, &asked).await;
        let entries = log.new_entries().await;
        let details = entries[0]["details"].as_str().unwrap();
        assert_eq!(details, format!("{}… ({id})", "🦀".repeat(64)));
        world.end().await;
    }
}

#[tokio::test]
async fn a_line_of_the_log_has_an_end() {
    for database in Database::all() {
        let world = World::new(database).await;
        let log = Log::of(&world, Persona::Owner).await;
        let (alice, notice) = ("alice".parse().unwrap(), "🦀".repeat(256));
        let system = world.system();
        system.suspend(&alice, Some(&notice)).await.unwrap();
        system.suspend(&alice, None).await.unwrap();
        let entries = log.new_entries().await;
        let details = entries[0]["details"].as_str().unwrap();
        assert!(notice.starts_with(details), "{details}");
        assert!((MOST - 4..=MOST).contains(&details.len()), "{details}");
        world.end().await;
    }
}

#[tokio::test]
async fn no_secret_is_in_the_log() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut alice = Browser::of(&world, "alice").await;
    let mut secrets = vec![PASSWORD.to_owned()];
    for kind in [Kind::Confidential, Kind::Public, Kind::Legacy] {
        let app = Application::register(&world, &mut alice, kind).await;
        secrets.extend(app.secret.clone());
        let code = app.code(&mut alice).await;
        let tokens = Tokens::of(&app.redeem(&code).await);
        app.redeem(&code).await;
        secrets.extend([code, tokens.access]);
        if kind != Kind::Legacy {
            let tokens = app.tokens(&mut alice).await;
            let renewed = Tokens::of(&app.refresh(&tokens.refresh).await);
            app.refresh(&tokens.refresh).await;
            let device = app.device().await;
            connect(&mut alice, &device).await;
            let given = Tokens::of(&app.poll(&device).await);
            app.revoke(&given.refresh).await;
            secrets.extend([tokens.access, tokens.refresh, renewed.access]);
            secrets.extend([renewed.refresh, given.access, given.refresh]);
            secrets.extend([device.code, device.user_code.replace('-', "")]);
            secrets.push(device.user_code);
        }
    }
    alice.get("/oauth2").await;
    let everything = [("everything", "on")];
    let made = alice.submit("/oauth2/personal-token", &everything).await;
    secrets.push(shown(&made, "token"));
    for name in ["__Host-forge_session", "__Host-forge_form"] {
        secrets.push(alice.cookie(name).expect("a cookie").to_owned());
    }
    let log = Value::from(entries(&world, Persona::Owner).await).to_string();
    assert!(log.contains(NAME));
    for secret in secrets {
        assert!(secret.len() >= 8, "{secret:?} is no secret");
        assert!(!log.contains(&secret), "{secret} is in {log}");
    }
    world.end().await;
}
