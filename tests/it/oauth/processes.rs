//! Two processes on one database: what one does, the other knows on the next request, and of what works once, one of them
//! has it.
//!
//! Invariant: both share the database, the data directory and the clock, and nothing else. SQLite has one process, so
//! PostgreSQL is needed.

use std::sync::Arc;

use bytes::Bytes;
use forge::testing::{FixedClock, SeededEntropy};
use forge::{App, SqlStore, Timestamp};
use http::header::{COOKIE, HOST};
use http::{Request, StatusCode};
use http_body_util::Full;

use super::application::{Application, Kind, Tokens, connect, send, tried};
use super::revocation::{revoke_client, take_back};
use super::{refused, unknown};
use crate::support::browser::{Browser, META, PASSWORD, sent_to};
use crate::support::{Answer, Database, World};

/// How often what happens at once is tried.
const ROUNDS: usize = 12;
/// What holds a session in a browser.
const SESSION: &str = "__Host-forge_session";

struct SameClock(Arc<FixedClock>);

impl forge::Clock for SameClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// A world, and another process with the same users, repositories and clients.
struct Two {
    world: World,
    other: App,
    database: Database,
}

impl Two {
    /// `None` without PostgreSQL.
    async fn new() -> Option<Self> {
        let is_shared = |database: &Database| matches!(database, Database::Postgres { .. });
        let database = Database::all().into_iter().find(is_shared)?;
        let store = database.fresh().await?;
        let configure = |builder: forge::Builder| builder.passwords().store(store);
        let world = World::with(Database::Sqlite, configure).await;
        for name in ["alice", "stranger"] {
            world.set_password(name, PASSWORD).await;
        }
        let store = SqlStore::connect(&database.url()?).await.unwrap();
        let other = forge::builder()
            .data_dir(world.dir.path().join("data"))
            .git_origin("https://git.example.org")
            .clock(SameClock(Arc::clone(&world.clock)))
            // Another process has other secrets.
            .entropy(SeededEntropy::new(2))
            .passwords()
            .store(store)
            .build();
        let other = other.await.expect("another process");
        Some(Self {
            world,
            other,
            database,
        })
    }

    async fn end(self) {
        drop(self.other);
        self.world.end().await;
        self.database.drop_fresh().await;
    }

    /// How both answer to a token.
    async fn tried(&self, token: &str) -> [[u16; 4]; 2] {
        [
            tried(&self.world.app, token).await,
            tried(&self.other, token).await,
        ]
    }

    /// A page of the other process, for a browser that is signed in by the first.
    async fn page(&self, browser: &Browser<'_>) -> Answer {
        let session = browser.cookie(SESSION).expect("a session");
        let request = Request::get(format!("{META}/oauth2"))
            .header(HOST, "git.example.org")
            .header(COOKIE, format!("{SESSION}={session}"))
            .body(Full::<Bytes>::default())
            .expect("a request");
        send(&self.other, request).await
    }
}

/// Of two answers, the one that went well; the other is a refusal.
#[track_caller]
fn winner<'a>(one: &'a Answer, other: &'a Answer) -> &'a Answer {
    let (won, lost) = if one.status == StatusCode::OK {
        (one, other)
    } else {
        (other, one)
    };
    refused(lost, "invalid_grant");
    assert_eq!(won.status, StatusCode::OK, "{won:?}");
    won
}

#[tokio::test]
async fn what_is_given_by_one_process_is_good_in_the_other() {
    let Some(two) = Two::new().await else { return };
    let mut alice = Browser::of(&two.world, "alice").await;
    for kind in [Kind::Confidential, Kind::Public, Kind::Legacy] {
        let app = Application::register(&two.world, &mut alice, kind).await;
        let code = app.code(&mut alice).await;
        let tokens = Tokens::of(&app.asking(&two.other).redeem(&code).await);
        assert_eq!(two.tried(&tokens.access).await, [[200; 4]; 2], "{kind:?}");
    }
    two.end().await;
}

#[tokio::test]
async fn what_is_revoked_in_one_process_is_dead_in_the_other() {
    let Some(two) = Two::new().await else { return };
    let mut alice = Browser::of(&two.world, "alice").await;
    let here = Application::register(&two.world, &mut alice, Kind::Confidential).await;
    let there = here.asking(&two.other);
    let dead = [[401; 4]; 2];

    let by_user = there.tokens(&mut alice).await;
    assert_eq!(two.tried(&by_user.access).await, [[200; 4]; 2]);
    take_back(&mut alice).await;
    assert_eq!(two.tried(&by_user.access).await, dead);
    refused(&there.refresh(&by_user.refresh).await, "invalid_grant");

    let by_client = here.tokens(&mut alice).await;
    assert_eq!(two.tried(&by_client.access).await, [[200; 4]; 2]);
    assert_eq!(there.revoke(&by_client.refresh).await.status, 200);
    assert_eq!(two.tried(&by_client.access).await, dead);
    refused(&here.refresh(&by_client.refresh).await, "invalid_grant");

    let by_operator = there.tokens(&mut alice).await;
    assert_eq!(two.tried(&by_operator.access).await, [[200; 4]; 2]);
    revoke_client(&two.world.system(), &here).await;
    assert_eq!(two.tried(&by_operator.access).await, dead);
    unknown(&there.refresh(&by_operator.refresh).await);
    two.end().await;
}

#[tokio::test]
async fn who_is_suspended_in_one_process_is_refused_by_the_other() {
    let Some(two) = Two::new().await else { return };
    let mut alice = Browser::of(&two.world, "alice").await;
    let mut owner = Browser::of(&two.world, "stranger").await;
    let app = Application::register(&two.world, &mut owner, Kind::Public).await;
    let token = app.tokens(&mut alice).await.access;
    assert_eq!(two.page(&alice).await.status, StatusCode::OK);
    let (system, name) = (two.world.system(), "alice".parse().unwrap());
    system.suspend(&name, Some("spam")).await.unwrap();
    assert_eq!(two.tried(&token).await, [[403; 4]; 2]);
    assert!(!app.asking(&two.other).is_active(&token).await);
    let (place, _) = sent_to(&two.page(&alice).await);
    assert!(place.ends_with("/meta/login"), "{place}");
    system.suspend(&name, None).await.unwrap();
    assert_eq!(two.tried(&token).await, [[200; 4]; 2]);
    two.end().await;
}

#[tokio::test]
async fn whose_owner_is_suspended_in_one_process_is_no_client_in_the_other() {
    let Some(two) = Two::new().await else { return };
    let mut alice = Browser::of(&two.world, "alice").await;
    let mut owner = Browser::of(&two.world, "stranger").await;
    let here = Application::register(&two.world, &mut owner, Kind::Public).await;
    let there = here.asking(&two.other);
    let token = there.tokens(&mut alice).await.access;
    let (system, name) = (two.world.system(), "stranger".parse().unwrap());
    system.suspend(&name, Some("spam")).await.unwrap();
    assert_eq!(two.tried(&token).await, [[401; 4]; 2]);
    unknown(&there.introspect(&token).await);
    system.suspend(&name, None).await.unwrap();
    assert_eq!(two.tried(&token).await, [[200; 4]; 2]);
    two.end().await;
}

#[tokio::test]
async fn who_signs_out_in_one_process_is_nobody_in_the_other() {
    let Some(two) = Two::new().await else { return };
    let mut alice = Browser::of(&two.world, "alice").await;
    alice.get("/oauth2").await;
    let session = alice.cookie(SESSION).expect("a session").to_owned();
    assert_eq!(two.page(&alice).await.status, StatusCode::OK);
    sent_to(&alice.submit("/logout", &[]).await);
    alice.keep(SESSION, &session);
    let (place, _) = sent_to(&two.page(&alice).await);
    assert!(place.ends_with("/meta/login"), "{place}");
    two.end().await;
}

#[tokio::test]
async fn a_code_shown_to_one_process_after_the_other_ends_what_it_gave() {
    let Some(two) = Two::new().await else { return };
    let mut alice = Browser::of(&two.world, "alice").await;
    let here = Application::register(&two.world, &mut alice, Kind::Confidential).await;
    let there = here.asking(&two.other);
    let code = here.code(&mut alice).await;
    let tokens = Tokens::of(&here.redeem(&code).await);
    assert_eq!(two.tried(&tokens.access).await, [[200; 4]; 2]);
    refused(&there.redeem(&code).await, "invalid_grant");
    assert_eq!(two.tried(&tokens.access).await, [[401; 4]; 2]);
    refused(&here.refresh(&tokens.refresh).await, "invalid_grant");
    two.end().await;
}

#[tokio::test]
async fn a_code_shown_to_both_processes_at_once_gives_nothing_that_lasts() {
    let Some(two) = Two::new().await else { return };
    let mut alice = Browser::of(&two.world, "alice").await;
    let here = Application::register(&two.world, &mut alice, Kind::Public).await;
    let there = here.asking(&two.other);
    for _ in 0..ROUNDS {
        let code = here.code(&mut alice).await;
        let (one, other) = tokio::join!(here.redeem(&code), there.redeem(&code));
        // Whoever is second may end the authorization before the first has its tokens: then nobody has any.
        let answers = [one, other];
        let (won, lost): (Vec<_>, Vec<_>) = answers
            .iter()
            .partition(|answer| answer.status == StatusCode::OK);
        assert!(won.len() <= 1, "{answers:?}");
        for answer in lost {
            refused(answer, "invalid_grant");
        }
        for answer in won {
            let tokens = Tokens::of(answer);
            assert_eq!(two.tried(&tokens.access).await, [[401; 4]; 2]);
            refused(&there.refresh(&tokens.refresh).await, "invalid_grant");
        }
    }
    two.end().await;
}

#[tokio::test]
async fn a_refresh_token_shown_to_both_processes_at_once_is_spent_by_one_and_nothing_lasts() {
    let Some(two) = Two::new().await else { return };
    let mut alice = Browser::of(&two.world, "alice").await;
    let here = Application::register(&two.world, &mut alice, Kind::Confidential).await;
    let there = here.asking(&two.other);
    for _ in 0..ROUNDS {
        let first = here.tokens(&mut alice).await;
        let (one, other) =
            tokio::join!(here.refresh(&first.refresh), there.refresh(&first.refresh));
        let second = Tokens::of(winner(&one, &other));
        for tokens in [&first, &second] {
            assert_eq!(two.tried(&tokens.access).await, [[401; 4]; 2]);
        }
        refused(&there.refresh(&second.refresh).await, "invalid_grant");
    }
    two.end().await;
}

#[tokio::test]
async fn a_device_that_looks_in_both_processes_at_once_is_told_by_one() {
    let Some(two) = Two::new().await else { return };
    let mut alice = Browser::of(&two.world, "alice").await;
    let here = Application::register(&two.world, &mut alice, Kind::Public).await;
    let there = here.asking(&two.other);
    for _ in 0..ROUNDS {
        let device = here.device().await;
        assert_eq!(connect(&mut alice, &device).await.status, StatusCode::OK);
        let (one, other) = tokio::join!(here.poll(&device), there.poll(&device));
        let tokens = Tokens::of(winner(&one, &other));
        assert_eq!(two.tried(&tokens.access).await, [[200; 4]; 2]);
    }
    two.end().await;
}

#[tokio::test]
async fn an_exchange_shown_to_both_processes_at_once_gives_nothing_that_lasts() {
    let Some(two) = Two::new().await else { return };
    let mut alice = Browser::of(&two.world, "alice").await;
    let here = Application::register(&two.world, &mut alice, Kind::Legacy).await;
    let there = here.asking(&two.other);
    for _ in 0..ROUNDS {
        let code = here.code(&mut alice).await;
        let (one, other) = tokio::join!(here.redeem(&code), there.redeem(&code));
        let answers = [one, other];
        let (won, lost): (Vec<_>, Vec<_>) = answers
            .iter()
            .partition(|answer| answer.status == StatusCode::OK);
        assert!(won.len() <= 1, "{answers:?}");
        for answer in lost {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        }
        for answer in won {
            let token = Tokens::of(answer).access;
            assert_eq!(two.tried(&token).await, [[401; 4]; 2]);
        }
    }
    two.end().await;
}
