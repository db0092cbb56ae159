//! Accounts from their owner's side: the address, the log, what is mailed, and the end.

mod deletion;

use std::net::IpAddr;

use chrono::TimeDelta;
use forge::Error;
use forge::http::Peer;
use forge::pgp_keys::PublicPgpKey;
use forge::users::ProfileEdit;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::mails::Mails;
use crate::support::{Database, Persona, World};

const PROFILE: &str = "/meta/api/user/profile";
const LOG: &str = "/meta/api/user/audit-log";
const JSON: (&str, &str) = ("content-type", "application/json");
const PGP_KEY: &str = include_str!("../../forge-core/src/pgp_keys/fixtures/ed25519.asc");

async fn with_mail(database: Database) -> (World, Mails) {
    let mails = Mails::default();
    let mailer = mails.clone();
    let world = World::with(database, |builder| builder.mailer(mailer)).await;
    (world, mails)
}

async fn put(world: &World, persona: Persona, body: Value) -> crate::support::Answer {
    let body = body.to_string();
    world
        .request(persona, Method::PUT, PROFILE, &[JSON], body)
        .await
}

async fn profile(world: &World) -> Value {
    world.get(Persona::Owner, PROFILE).await.json()
}

/// What the log of alice's account says since the world began, newest first.
async fn log(world: &World) -> Vec<String> {
    let log = world.get(Persona::Owner, LOG).await.json();
    let entries = log["results"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap_or("-").to_owned();
            format!("{} | {} | {}", text("ip"), text("action"), text("details"))
        })
        // The last thing that a world gives her.
        .take_while(|line| !line.contains("OAuth 2.0 token issued"))
        .collect()
}

/// The code in a mail, which stands in an address of the meta service.
fn code(body: &str) -> String {
    let start = "https://git.example.org/meta/profile/confirm-email?code=";
    let at = body.find(start).expect("an address") + start.len();
    body[at..].split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn an_address_is_ones_own_when_its_mail_came_back() {
    for database in Database::all() {
        let (world, mails) = with_mail(database).await;
        let asked = put(
            &world,
            Persona::Owner,
            json!({"email": " new@example.org ", "bio": "x"}),
        )
        .await;
        assert_eq!(asked.status, 200);
        assert_eq!(asked.json()["email"], "alice@example.org");
        assert_eq!(asked.json()["bio"], "x");

        let sent = mails.take();
        let to: Vec<_> = sent.iter().map(|mail| mail.to.as_str()).collect();
        assert_eq!(to, ["alice@example.org", "new@example.org"]);
        assert!(sent[0].body.contains("new@example.org"));
        assert!(
            !sent[0].body.contains("code="),
            "the old address cannot confirm"
        );
        let code = code(&sent[1].body);

        let from: IpAddr = "192.0.2.7".parse().unwrap();
        let user = world
            .forge()
            .confirm_email(&code, Some(from))
            .await
            .unwrap();
        assert_eq!(user.email.as_deref(), Some("new@example.org"));
        assert_eq!(profile(&world).await["email"], "new@example.org");
        let again = world.forge().confirm_email(&code, None).await;
        assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
        assert_eq!(
            log(&world).await,
            [
                "192.0.2.7 | email updated | alice@example.org became new@example.org",
                "0.0.0.0 | Email change requested | alice@example.org => new@example.org",
                "0.0.0.0 | Profile updated | Profile updated",
            ]
        );
        world.end().await;
    }
}

#[tokio::test]
async fn a_code_is_worth_nothing_when_it_is_late_or_overtaken() {
    for database in Database::all() {
        let (world, mails) = with_mail(database).await;
        for email in ["first@example.org", "second@example.org"] {
            assert_eq!(
                put(&world, Persona::Owner, json!({"email": email}))
                    .await
                    .status,
                200
            );
        }
        let sent = mails.take();
        let (first, second) = (code(&sent[1].body), code(&sent[3].body));
        let overtaken = world.forge().confirm_email(&first, None).await;
        assert!(matches!(overtaken, Err(Error::NotFound)));
        for other in [
            "",
            "forge_email_",
            &second[..second.len() - 1],
            &second.to_uppercase(),
        ] {
            let unknown = world.forge().confirm_email(other, None).await;
            assert!(matches!(unknown, Err(Error::NotFound)), "{other}");
        }
        world
            .clock
            .advance(TimeDelta::hours(24) + TimeDelta::seconds(1));
        let late = world.forge().confirm_email(&second, None).await;
        assert!(matches!(late, Err(Error::NotFound)));
        assert_eq!(profile(&world).await["email"], "alice@example.org");
        world.end().await;
    }
}

#[tokio::test]
async fn an_address_that_somebody_has_is_refused_then_and_later() {
    for database in Database::all() {
        let (world, mails) = with_mail(database).await;
        let taken = put(
            &world,
            Persona::Owner,
            json!({"email": "reader@example.org", "url": "x"}),
        )
        .await;
        assert_eq!(taken.status, 400);
        let errors = taken.json()["errors"].clone();
        assert_eq!(errors[0]["field"], "url");
        let taken = put(
            &world,
            Persona::Owner,
            json!({"email": "reader@example.org"}),
        )
        .await;
        assert_eq!(
            taken.json(),
            json!({"errors": [{"field": "email", "reason": "email is another account's"}]})
        );
        assert!(mails.take().is_empty());
        // Both ask for one address; whoever confirms first has it.
        for persona in [Persona::Owner, Persona::Stranger] {
            assert_eq!(
                put(&world, persona, json!({"email": "new@example.org"}))
                    .await
                    .status,
                200
            );
        }
        let sent = mails.take();
        let (ours, theirs) = (code(&sent[1].body), code(&sent[3].body));
        assert!(world.forge().confirm_email(&theirs, None).await.is_ok());
        let late = world.forge().confirm_email(&ours, None).await;
        assert!(matches!(late, Err(Error::NotFound)));
        assert_eq!(profile(&world).await["email"], "alice@example.org");
        world.end().await;
    }
}

#[tokio::test]
async fn a_mail_that_cannot_be_sent_is_told_of_where_one_waits_for_it() {
    let (world, mails) = with_mail(Database::Sqlite).await;
    mails.fail(true);
    let asked = put(&world, Persona::Owner, json!({"email": "new@example.org"})).await;
    assert_eq!(asked.status, 503);
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICiGI03BBNea3NblRN3HJ+FIYwHPREIJ/hpjae6M+J2/";
    let body = json!({"ssh-key": key}).to_string();
    let path = "/meta/api/user/ssh-keys";
    let added = world
        .request(Persona::Owner, Method::POST, path, &[JSON], body)
        .await;
    assert_eq!(added.status, 201);
    world.end().await;
}

#[tokio::test]
async fn new_keys_are_told_of_by_mail() {
    let (world, mails) = with_mail(Database::Sqlite).await;
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICiGI03BBNea3NblRN3HJ+FIYwHPREIJ/hpjae6M+J2/";
    for (path, body) in [
        ("/meta/api/user/ssh-keys", json!({"ssh-key": ssh})),
        ("/meta/api/user/pgp-keys", json!({"pgp-key": PGP_KEY})),
    ] {
        let body = body.to_string();
        let added = world.request(Persona::Owner, Method::POST, path, &[JSON], body);
        let id = added.await.json()["id"].to_string();
        let path = format!("{path}/{id}");
        let removed = world.request(Persona::Owner, Method::DELETE, &path, &[], "");
        assert_eq!(removed.await.status, 204);
    }
    let sent = mails.take();
    assert!(sent.iter().all(|mail| mail.to == "alice@example.org"));
    let subjects: Vec<_> = sent.iter().map(|mail| mail.subject.as_str()).collect();
    assert_eq!(
        subjects,
        [
            "An SSH key was added to your account",
            "An SSH key was removed from your account",
            "A PGP key was added to your account",
            "A PGP key was removed from your account",
        ]
    );
    assert!(
        sent[0]
            .body
            .contains("b6:2d:19:6d:75:60:24:81:35:f2:ef:c8:bd:6c:8a:1f")
    );
    assert!(
        sent[3]
            .body
            .contains("D7EC572959D9D6ED9CA44FA0B1B577374ABA3569")
    );
    world.end().await;
}

#[tokio::test]
async fn the_preferred_key_stays_until_another_is_preferred() {
    for database in Database::all() {
        let world = World::new(database).await;
        let account = world.owner().await.account().unwrap();
        let key = PublicPgpKey::parse(PGP_KEY, "pgp-key", world.forge().now()).unwrap();
        let key = account.add_pgp_key(&key).await.unwrap();
        account.prefer_pgp_key(Some(key.id)).await.unwrap();
        let shown = profile(&world).await["use_pgp_key"].clone();
        assert_eq!(shown, "D7EC572959D9D6ED9CA44FA0B1B577374ABA3569");
        let path = format!("/meta/api/user/pgp-keys/{}", key.id);
        let refused = world
            .request(Persona::Owner, Method::DELETE, &path, &[], "")
            .await;
        assert_eq!(refused.status, 400);
        let reason = "this is your preferred PGP key; prefer another or none first";
        assert_eq!(refused.json(), json!({"errors": [{"reason": reason}]}));
        account.prefer_pgp_key(None).await.unwrap();
        assert_eq!(profile(&world).await["use_pgp_key"], Value::Null);
        account.remove_pgp_key(key.id).await.unwrap();
        let gone = account.prefer_pgp_key(Some(key.id)).await;
        assert!(matches!(gone, Err(Error::NotFound)));
        world.end().await;
    }
}

#[tokio::test]
async fn the_log_forgets_after_ninety_days() {
    for database in Database::all() {
        let world = World::new(database).await;
        let account = world.owner().await.account().unwrap();
        let write = async |bio: &str| {
            let edit = ProfileEdit {
                bio: Some(Some(bio.to_owned())),
                ..ProfileEdit::default()
            };
            account.update_profile(&edit).await.unwrap();
        };
        write("one").await;
        world.clock.advance(TimeDelta::days(89));
        write("two").await;
        purge(&world).await;
        assert_eq!(log(&world).await.len(), 2);
        world.clock.advance(TimeDelta::days(2));
        purge(&world).await;
        assert_eq!(log(&world).await.len(), 1);
        world.end().await;
    }
}

/// A worker that starts, purges, and ends.
async fn purge(world: &World) {
    let stop = forge::Stop::new();
    stop.stop();
    world.forge().work(stop).await.unwrap();
    world.settle().await;
}

#[tokio::test]
async fn the_log_says_from_where_as_far_as_proxies_are_trusted() {
    for (trusted, expected) in [(vec![], "10.0.0.1"), (vec!["10.0.0.0/8"], "198.51.100.7")] {
        let configure = |builder: forge::Builder| builder.trusted_proxies(trusted);
        let world = World::with(Database::Sqlite, configure).await;
        let token = world.token_of(Persona::Owner).unwrap();
        let mut request = Request::put(PROFILE)
            .header("host", "git.example.org")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .header("x-forwarded-for", "203.0.113.9, 198.51.100.7")
            .body(Full::from(r#"{"bio": "x"}"#))
            .unwrap();
        let peer = Peer("10.0.0.1".parse().unwrap());
        request.extensions_mut().insert(peer);
        assert_eq!(world.send(request).await.status, 200);
        assert_eq!(
            log(&world).await,
            [format!("{expected} | Profile updated | Profile updated")]
        );
        world.end().await;
    }
}
