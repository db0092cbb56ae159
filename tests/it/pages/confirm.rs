//! The page to which a mail leads that was sent to a new address.
//!
//! Invariant: looking at it changes nothing; its form works once. What the code itself is worth is tested with accounts.

use chrono::TimeDelta;
use http::Method;
use serde_json::{Value, json};

use super::{assert_is_page, log};
use crate::support::browser::{Browser, hidden};
use crate::support::mails::Mails;
use crate::support::{Answer, Database, Persona, World};

const PAGE: &str = "/profile/confirm-email";
const PROFILE: &str = "/meta/api/user/profile";

async fn with_mail(database: Database) -> (World, Mails) {
    let mails = Mails::default();
    let mailer = mails.clone();
    let world = World::with(database, |builder| builder.passwords().mailer(mailer)).await;
    (world, mails)
}

async fn put(world: &World, persona: Persona, body: &Value) -> Answer {
    let json = [("content-type", "application/json")];
    world
        .request(persona, Method::PUT, PROFILE, &json, body.to_string())
        .await
}

/// Asks for another address for alice; the code that is mailed there.
async fn code(world: &World, mails: &Mails, email: &str) -> String {
    let asked = put(world, Persona::Owner, &json!({ "email": email })).await;
    assert_eq!(asked.status, 200, "{asked:?}");
    let mails = mails.take();
    let mail = mails.iter().find(|mail| mail.to == email).expect("a mail");
    let start = format!("https://git.example.org/meta{PAGE}?code=");
    let at = mail.body.find(&start).expect("an address") + start.len();
    let code = mail.body[at..].split_whitespace().next();
    code.unwrap().to_owned()
}

async fn email(world: &World) -> Value {
    let profile = world.get(Persona::Owner, PROFILE).await;
    profile.json()["email"].clone()
}

#[tokio::test]
async fn looking_changes_nothing_and_the_form_works_once() {
    for database in Database::all() {
        let (world, mails) = with_mail(database).await;
        let code = code(&world, &mails, "new@example.org").await;
        // Nobody is signed in: mail is often read elsewhere.
        let mut browser = Browser::new(&world).at("192.0.2.7");
        for _ in 0..2 {
            let page = browser.get(&format!("{PAGE}?code={code}")).await;
            assert_eq!(page.status, 200);
            assert_is_page(&page);
            assert_eq!(hidden(&page, "code").as_ref(), Some(&code));
            assert_eq!(email(&world).await, "alice@example.org");
        }
        let fields = [("code", code.as_str())];
        let confirmed = browser.submit(PAGE, &fields).await;
        assert_eq!(confirmed.status, 200, "{confirmed:?}");
        assert_is_page(&confirmed);
        assert_eq!(email(&world).await, "new@example.org");
        let again = browser.submit(PAGE, &fields).await;
        assert_eq!(again.status, 404);
        assert_is_page(&again);
        assert_eq!(
            log(&world).await[0],
            "192.0.2.7 | email updated | alice@example.org became new@example.org"
        );
        world.end().await;
    }
}

#[tokio::test]
async fn a_program_that_follows_links_confirms_nothing() {
    let (world, mails) = with_mail(Database::Sqlite).await;
    let code = code(&world, &mails, "new@example.org").await;
    let path = format!("{PAGE}?code={code}");
    let mut browser = Browser::new(&world);
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        let looked = browser.send(method, &path, &[], "".into()).await;
        assert_eq!(looked.status, 200);
    }
    // Nor does one that sends the address as it is.
    let sent = browser.post(&path, &[]).await;
    assert_eq!(sent.status, 403);
    assert_eq!(email(&world).await, "alice@example.org");
    world.end().await;
}

#[tokio::test]
async fn a_form_without_the_token_of_the_page_confirms_nothing() {
    let (world, mails) = with_mail(Database::Sqlite).await;
    let code = code(&world, &mails, "new@example.org").await;
    let mut browser = Browser::new(&world);
    browser.get(&format!("{PAGE}?code={code}")).await;
    let refused = browser.post(PAGE, &[("code", &code)]).await;
    assert_eq!(refused.status, 403);
    assert_eq!(email(&world).await, "alice@example.org");
    // The code is not spent by that.
    let confirmed = browser.submit(PAGE, &[("code", &code)]).await;
    assert_eq!(confirmed.status, 200);
    world.end().await;
}

#[tokio::test]
async fn a_code_that_is_none_is_escaped_and_confirms_nothing() {
    for database in Database::all() {
        let (world, _) = with_mail(database).await;
        let mut browser = Browser::new(&world);
        let page = browser
            .get(&format!(
                "{PAGE}?code=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"
            ))
            .await;
        assert!(!page.text().contains("<script>"), "{}", page.text());
        for code in ["", "\"><script>", "forge_email_\0", &"x".repeat(100_000)] {
            let refused = browser.submit(PAGE, &[("code", code)]).await;
            assert_eq!(refused.status, 404);
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_late_code_confirms_nothing() {
    let (world, mails) = with_mail(Database::Sqlite).await;
    let code = code(&world, &mails, "new@example.org").await;
    let late = TimeDelta::hours(24) + TimeDelta::seconds(1);
    world.clock.advance(late);
    let mut browser = Browser::new(&world);
    browser.get(&format!("{PAGE}?code={code}")).await;
    let refused = browser.submit(PAGE, &[("code", &code)]).await;
    assert_eq!(refused.status, 404);
    assert_eq!(email(&world).await, "alice@example.org");
    world.end().await;
}

#[tokio::test]
async fn a_suspended_user_confirms_nothing() {
    let (world, mails) = with_mail(Database::Sqlite).await;
    let code = code(&world, &mails, "new@example.org").await;
    let alice = "alice".parse().unwrap();
    world.system().suspend(&alice, Some("spam")).await.unwrap();
    let mut browser = Browser::new(&world);
    browser.get(&format!("{PAGE}?code={code}")).await;
    let refused = browser.submit(PAGE, &[("code", &code)]).await;
    assert_eq!(refused.status, 403);
    world.system().suspend(&alice, None).await.unwrap();
    assert_eq!(email(&world).await, "alice@example.org");
    world.end().await;
}

#[tokio::test]
async fn five_mails_are_sent_in_a_quarter_of_an_hour_and_no_more() {
    for database in Database::all() {
        let (world, mails) = with_mail(database).await;
        for i in 0..5 {
            code(&world, &mails, &format!("new{i}@example.org")).await;
        }
        let sixth = json!({ "email": "new5@example.org", "bio": "new" });
        let refused = put(&world, Persona::Owner, &sixth).await;
        assert_eq!(refused.status, 400);
        let errors = &refused.json()["errors"];
        assert_eq!(errors.as_array().unwrap().len(), 1);
        assert_eq!(errors[0]["field"], "email");
        assert!(mails.take().is_empty());
        let profile = world.get(Persona::Owner, PROFILE).await.json();
        assert_eq!(profile["bio"], Value::Null, "all or nothing");

        let others = put(
            &world,
            Persona::Stranger,
            &json!({ "email": "x@example.org" }),
        )
        .await;
        assert_eq!(others.status, 200, "others do not wait");
        mails.take();
        world.clock.advance(TimeDelta::minutes(15));
        code(&world, &mails, "new5@example.org").await;
        world.end().await;
    }
}

/// What changes nothing sends nothing, and so costs nothing.
#[tokio::test]
async fn the_address_that_one_has_and_other_changes_count_as_no_mail() {
    let (world, mails) = with_mail(Database::Sqlite).await;
    for i in 0..6 {
        let body = json!({ "email": "alice@example.org", "bio": format!("{i}") });
        assert_eq!(put(&world, Persona::Owner, &body).await.status, 200);
    }
    assert!(mails.take().is_empty());
    code(&world, &mails, "new@example.org").await;
    world.end().await;
}
