//! Suspended users: signed out at once, and told why when they come back.
//!
//! Invariant: the notice is for whoever has the password, and for nobody else. What suspension does to tokens and to git
//! is tested where those are.

use super::{SESSION, assert_is_page, is_signed_in, log, opens};
use crate::support::browser::{Browser, PASSWORD, sent_to};
use crate::support::{Database, World};

const LOGIN: &str = "https://git.example.org/meta/login";

async fn suspend(world: &World, notice: Option<&str>) {
    let alice = "alice".parse().unwrap();
    world.system().suspend(&alice, notice).await.unwrap();
}

#[tokio::test]
async fn a_suspended_user_is_signed_out() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut first = Browser::of(&world, "alice").await;
        let mut second = Browser::of(&world, "alice").await;
        let mut other = Browser::of(&world, "stranger").await;
        first.get("/oauth2").await;
        suspend(&world, Some("spam")).await;

        let made = [("everything", "on")];
        let sent = first.submit("/oauth2/personal-token", &made).await;
        assert_eq!(sent_to(&sent).0, LOGIN);
        assert!(!is_signed_in(&mut first).await);
        assert!(!is_signed_in(&mut second).await);
        assert!(is_signed_in(&mut other).await);
        world.end().await;
    }
}

#[tokio::test]
async fn a_user_whose_account_is_being_deleted_is_signed_out() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        let account = world.signed_in("alice").await.account().unwrap();
        account.delete().await.unwrap();
        assert!(!is_signed_in(&mut browser).await);
        let refused = browser.sign_in("alice", PASSWORD).await;
        assert_eq!(refused.status, 403);
        assert!(refused.text().contains("this account is being deleted"));
        world.settle().await;
        // Nobody is called so any more.
        let unknown = browser.sign_in("alice", PASSWORD).await;
        assert_eq!(unknown.status, 403);
        assert!(!unknown.text().contains("deleted"), "{}", unknown.text());
        world.end().await;
    }
}

#[tokio::test]
async fn a_suspended_user_who_signs_in_is_shown_the_notice() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        suspend(&world, Some("<b>unpaid</b> & late")).await;
        let mut browser = Browser::new(&world);
        let refused = browser.sign_in("alice", PASSWORD).await;
        assert_eq!(refused.status, 403);
        assert_is_page(&refused);
        let text = refused.text();
        assert!(text.contains("this account is suspended"), "{text}");
        assert!(
            text.contains("unpaid") && text.contains("&amp; late"),
            "{text}"
        );
        assert!(!text.contains("<b>"), "{text}");
        assert_eq!(browser.cookie(SESSION), None);
        assert!(!is_signed_in(&mut browser).await);
        world.end().await;
    }
}

#[tokio::test]
async fn who_does_not_have_the_password_learns_nothing_of_a_suspension() {
    let world = World::with_pages(Database::Sqlite).await;
    let mut browser = Browser::new(&world);
    let before = browser.sign_in("alice", "wrong horse").await;
    suspend(&world, Some("spam")).await;
    let after = browser.sign_in("alice", "wrong horse").await;
    assert_eq!((after.status, after.text()), (before.status, before.text()));
    world.end().await;
}

#[tokio::test]
async fn who_is_suspended_no_more_signs_in_again() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let mut browser = Browser::of(&world, "alice").await;
        let before = browser.cookie(SESSION).unwrap().to_owned();
        suspend(&world, Some("spam")).await;
        suspend(&world, None).await;
        assert!(!opens(&world, &before).await, "a session came back");
        let signed_in = browser.sign_in("alice", PASSWORD).await;
        assert_eq!(signed_in.status, 303);
        assert!(is_signed_in(&mut browser).await);
        world.end().await;
    }
}

#[tokio::test]
async fn the_log_tells_of_a_suspension_and_of_its_end() {
    for database in Database::all() {
        let world = World::with_pages(database).await;
        let long = "\u{e4}".repeat(400);
        suspend(&world, Some("spam")).await;
        suspend(&world, Some(&long)).await;
        suspend(&world, None).await;
        let log = log(&world).await;
        assert_eq!(log[0], "0.0.0.0 | suspension lifted | -");
        // 512 bytes, and no half of a letter.
        let cut = "\u{e4}".repeat(256);
        assert_eq!(log[1], format!("0.0.0.0 | account suspended | {cut}"));
        assert_eq!(log[2], "0.0.0.0 | account suspended | spam");
        world.end().await;
    }
}
