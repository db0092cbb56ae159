//! What happens to an account while its password is still being looked at.
//!
//! Invariant: each test lets the one thing happen between the look at the password and the making of the session, where
//! randomness is asked for. What happens before or after that is in `sessions` and `suspension`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use forge::testing::SeededEntropy;
use forge::{Entropy, Result, System};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::{SESSION, opens};
use crate::support::browser::{Browser, PASSWORD};
use crate::support::{Database, World};

type Act = Box<dyn FnOnce() + Send>;

/// Randomness during which something happens, once, when as much is asked for as a session's cookie takes.
#[derive(Clone)]
struct Meanwhile {
    act: Arc<Mutex<Option<Act>>>,
    random: Arc<SeededEntropy>,
}

impl Entropy for Meanwhile {
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        if out.len() == 32 {
            let act = self.act.lock().unwrap().take();
            if let Some(act) = act {
                std::thread::spawn(act).join().expect("it happens");
            }
        }
        self.random.fill(out)
    }
}

impl Meanwhile {
    fn new() -> Self {
        Self {
            act: Arc::default(),
            random: Arc::new(SeededEntropy::new(1)),
        }
    }

    async fn world(&self, database: Database) -> World {
        let entropy = self.clone();
        let world = World::with(database, |builder| builder.passwords().entropy(entropy)).await;
        world.set_password("alice", PASSWORD).await;
        world
    }

    /// The session that alice is given while an operator does that.
    async fn sign_in<F: Future<Output = Result<()>>>(
        &self,
        world: &World,
        act: impl FnOnce(System) -> F + Send + 'static,
    ) -> Option<String> {
        let mut browser = Browser::new(world);
        browser.get("/login").await;
        let (system, handle) = (world.system(), Handle::current());
        let act = move || {
            let done =
                handle.block_on(async { timeout(Duration::from_secs(30), act(system)).await });
            done.expect("nothing is locked").expect("it is done");
        };
        *self.act.lock().unwrap() = Some(Box::new(act));
        let fields = [("username", "alice"), ("password", PASSWORD)];
        browser.submit("/login", &fields).await;
        assert!(self.act.lock().unwrap().is_none(), "nothing happened");
        browser.cookie(SESSION).map(ToOwned::to_owned)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_shown_the_old_password_is_not_signed_in_after_a_new_one_is_set() {
    for database in Database::all() {
        let meanwhile = Meanwhile::new();
        let world = meanwhile.world(database).await;
        let act = |system: System| async move {
            let alice = "alice".parse().unwrap();
            system.set_password(&alice, "battery staple").await
        };
        if let Some(session) = meanwhile.sign_in(&world, act).await {
            assert!(!opens(&world, &session).await, "the old password is in");
        }
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_suspended_while_signing_in_has_no_session_afterwards() {
    for database in Database::all() {
        let meanwhile = Meanwhile::new();
        let world = meanwhile.world(database).await;
        let act = |system: System| async move {
            let alice = "alice".parse().unwrap();
            system.suspend(&alice, Some("spam")).await
        };
        let session = meanwhile.sign_in(&world, act).await;
        let alice = "alice".parse().unwrap();
        world.system().suspend(&alice, None).await.unwrap();
        if let Some(session) = session {
            assert!(!opens(&world, &session).await, "a session came back");
        }
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_let_alone_while_signing_in_is_signed_in() {
    let meanwhile = Meanwhile::new();
    let world = meanwhile.world(Database::Sqlite).await;
    let session = meanwhile.sign_in(&world, |_| async { Ok(()) }).await;
    assert!(opens(&world, &session.expect("a session")).await);
    world.end().await;
}
