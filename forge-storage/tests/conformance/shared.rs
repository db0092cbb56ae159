//! What is tried on both databases and not by the suite, and what tests arrange with.

use forge_core::events::{NewJob, Task};
use forge_core::names::UserName;
use forge_core::store::Store as _;
use forge_core::testing::FixedClock;
use forge_core::users::{NewUser, UserReads as _};
use forge_core::{Clock as _, Error, Migration, RepoId, Timestamp, UserId};
use forge_storage::SqlStore;
use sea_orm::{ConnectionTrait as _, Statement};

pub(crate) fn now() -> Timestamp {
    FixedClock::at(1_700_000_000).now()
}

pub(crate) fn new_user(name: &str) -> NewUser {
    NewUser {
        name: name.parse().expect("a name"),
        email: None,
    }
}

pub(crate) fn name(name: &str) -> UserName {
    name.parse().expect("a name")
}

pub(crate) async fn add_user(store: &SqlStore, name: &str) -> UserId {
    let mut tx = store.begin().await.expect("a transaction");
    let user = tx
        .insert_user(&new_user(name), now())
        .await
        .expect("a user");
    tx.commit().await.expect("a commit");
    user.id
}

pub(crate) async fn value(store: &SqlStore, sql: &str) -> String {
    let conn = store.connection();
    let query = Statement::from_string(conn.get_database_backend(), sql);
    let row = conn.query_one_raw(query).await.expect("an answer");
    let row = row.expect("a row");
    row.try_get_by_index::<i64>(0)
        .map(|number| number.to_string())
        .or_else(|_| row.try_get_by_index::<String>(0))
        .expect("a value")
}

const MAKE: Migration = Migration {
    id: "1",
    sqlite: "CREATE TABLE notes_note (text TEXT); INSERT INTO notes_note VALUES ('one');",
    postgres: "CREATE TABLE notes_note (text TEXT); INSERT INTO notes_note VALUES ('one');",
};
const BREAK: Migration = Migration {
    id: "2",
    sqlite: "INSERT INTO notes_note VALUES ('two'); INSERT INTO nowhere VALUES (1);",
    postgres: "INSERT INTO notes_note VALUES ('two'); INSERT INTO nowhere VALUES (1);",
};

pub(crate) async fn check_plugins_migrations(store: &SqlStore) {
    let count = "SELECT count(*) FROM notes_note";
    for _ in 0..2 {
        store
            .migrate(&[("notes", &[MAKE]), ("other", &[])])
            .await
            .expect("a table");
        assert_eq!(value(store, count).await, "1", "it runs once");
    }
    let broken = store.migrate(&[("notes", &[MAKE, BREAK])]).await;
    assert!(matches!(broken, Err(Error::Internal(_))), "{broken:?}");
    assert_eq!(
        value(store, count).await,
        "1",
        "a broken one leaves nothing"
    );
    let same_id = Migration {
        id: "1",
        sqlite: "INSERT INTO notes_note VALUES ('three')",
        postgres: "INSERT INTO notes_note VALUES ('three')",
    };
    store
        .migrate(&[("other", &[same_id])])
        .await
        .expect("a row");
    assert_eq!(value(store, count).await, "2", "ids are the plugin's own");
}

pub(crate) async fn check_unreadable_jobs(store: &SqlStore) {
    let mut tx = store.begin().await.expect("a transaction");
    for _ in 0..3 {
        let task = Task::RemoveRepo(RepoId(1));
        tx.enqueue(NewJob::at(now(), task)).await.expect("a job");
    }
    tx.commit().await.expect("a commit");
    store
        .connection()
        .execute_unprepared("UPDATE forge_job SET task = '{\"task\":\"of_the_future\"}'")
        .await
        .expect("a change");
    let mut tx = store.begin().await.expect("a transaction");
    let task = Task::RemoveRepo(RepoId(2));
    tx.enqueue(NewJob::at(now(), task.clone()))
        .await
        .expect("a job");
    tx.commit().await.expect("a commit");

    let lease = std::time::Duration::from_secs(60);
    let mut tx = store.begin().await.expect("a transaction");
    let jobs = tx.claim(now(), lease, 2).await.expect("a claim");
    tx.commit().await.expect("a commit");
    let tasks: Vec<_> = jobs.into_iter().map(|job| job.task).collect();
    assert_eq!(tasks, [task]);
    assert_eq!(
        value(store, "SELECT count(*) FROM forge_job WHERE dead = false").await,
        "4"
    );
}

/// Puts the tables back to where two users could have the same address.
const FORGET_ACCOUNTS: &str = "
    DROP INDEX forge_user_email; DROP INDEX forge_user_parked_code; DROP INDEX forge_acl_user_id;
    DROP INDEX forge_token_user_id_id; DROP INDEX forge_token_authorization_id;
    DROP INDEX forge_token_expires;
    DROP TABLE forge_delegated_scope; DROP TABLE forge_token_watch; DROP TABLE forge_nonce;
    DROP TABLE forge_audit; DROP TABLE forge_pgp_key; DROP TABLE forge_session;
    DROP TABLE forge_password; DROP TABLE forge_device; DROP TABLE forge_refresh_token;
    DROP TABLE forge_code; DROP TABLE forge_authorization; DROP TABLE forge_oauth_client;
    ALTER TABLE forge_user DROP COLUMN pgp_key; ALTER TABLE forge_user DROP COLUMN parked_email;
    ALTER TABLE forge_user DROP COLUMN parked_code; ALTER TABLE forge_user DROP COLUMN parked;
    ALTER TABLE forge_user DROP COLUMN deleted; ALTER TABLE forge_token DROP COLUMN last_used;
    ALTER TABLE forge_token DROP COLUMN hint; ALTER TABLE forge_token DROP COLUMN is_legacy;
    ALTER TABLE forge_token DROP COLUMN authorization_id;
    DELETE FROM forge_migration WHERE version IN ('m0004_accounts', 'm0005_delegation');
    UPDATE forge_user SET email = 'shared@example.org' WHERE name IN ('alice', 'bob');
    UPDATE forge_user SET email = 'own@example.org' WHERE name = 'carol';";

pub(crate) async fn check_shared_addresses(store: &SqlStore) {
    for name in ["alice", "bob", "carol", "dave"] {
        add_user(store, name).await;
    }
    let conn = store.connection();
    let before = conn.execute_unprepared(FORGET_ACCOUNTS).await;
    before.expect("the tables as they were");
    store.migrate(&[]).await.expect("the tables as they are");
    let mut addresses = Vec::new();
    for user in ["alice", "bob", "carol", "dave"] {
        let read = store.user_by_name(&name(user)).await.expect("a read");
        addresses.push(read.expect("the user").email);
    }
    let expected = ["shared@example.org", "", "own@example.org", ""];
    let expected = expected.map(|address| Some(address.to_owned()).filter(|text| !text.is_empty()));
    assert_eq!(addresses, expected, "it stays with whoever came first");
}
