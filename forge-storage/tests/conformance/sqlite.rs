//! SQLite.

use chrono::TimeDelta;
use forge_core::events::{NewJob, Task};
use forge_core::names::{RepoPath, UserName};
use forge_core::oauth::{NewToken, OauthReads as _, TokenHash};
use forge_core::repos::{NewRepo, RepoOrRedirect, RepoReads as _, Visibility};
use forge_core::store::Store as _;
use forge_core::testing::FixedClock;
use forge_core::users::{NewUser, UserReads as _};
use forge_core::{Clock as _, Error, Grants, Migration, RepoId, Timestamp, UserId};
use forge_storage::SqlStore;
use sea_orm::{ConnectionTrait as _, Statement};

use crate::databases::{migrated, sqlite, sqlite_url};

fn now() -> Timestamp {
    FixedClock::at(1_700_000_000).now()
}

fn new_user(name: &str) -> NewUser {
    NewUser {
        name: name.parse().expect("a name"),
        email: None,
    }
}

fn name(name: &str) -> UserName {
    name.parse().expect("a name")
}

async fn add_user(store: &SqlStore, name: &str) -> UserId {
    let mut tx = store.begin().await.expect("a transaction");
    let user = tx
        .insert_user(&new_user(name), now())
        .await
        .expect("a user");
    tx.commit().await.expect("a commit");
    user.id
}

async fn value(store: &SqlStore, sql: &str) -> String {
    let conn = store.connection();
    let query = Statement::from_string(conn.get_database_backend(), sql);
    let row = conn.query_one_raw(query).await.expect("an answer");
    let row = row.expect("a row");
    row.try_get_by_index::<i64>(0)
        .map(|number| number.to_string())
        .or_else(|_| row.try_get_by_index::<String>(0))
        .expect("a value")
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sqlite(&dir).await;
    forge_core::testing::store(&store).await;
    // Once more, on tables with rows in them.
    forge_core::testing::store(&store).await;
}

#[tokio::test]
async fn one_thread_is_enough() {
    let dir = tempfile::tempdir().expect("a directory");
    forge_core::testing::store(&sqlite(&dir).await).await;
}

#[tokio::test]
async fn a_second_store_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = sqlite(&dir).await;
    for url in [
        sqlite_url(&dir),
        format!("sqlite://{}/./forge.db?mode=rwc", dir.path().display()),
    ] {
        let second = SqlStore::connect(&url).await.expect_err("a refusal");
        assert!(
            matches!(&second, Error::Conflict { field: Some("database"), reason }
                if reason.contains("is in use by another process")),
            "{second:?}"
        );
    }
    let (handle, tx) = (first.clone(), first.begin().await.expect("a transaction"));
    drop(first);
    assert!(SqlStore::connect(&sqlite_url(&dir)).await.is_err());
    drop(handle);
    assert!(
        SqlStore::connect(&sqlite_url(&dir)).await.is_err(),
        "a transaction is open"
    );
    tx.commit().await.expect("a commit");
    // The commit's task lets go of the store a moment after it has answered.
    for _ in 0..100 {
        if SqlStore::connect(&sqlite_url(&dir)).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the lock is not released");
}

#[tokio::test]
async fn a_link_to_the_file_is_the_same_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let _first = sqlite(&dir).await;
    let link = dir.path().join("link.db");
    std::os::unix::fs::symlink(dir.path().join("forge.db"), &link).expect("a link");
    let second = SqlStore::connect(&format!("sqlite:{}", link.display())).await;
    assert!(matches!(second, Err(Error::Conflict { .. })));
}

#[tokio::test]
async fn rows_are_there_after_reopening() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sqlite(&dir).await;
    let id = add_user(&store, "alice").await;
    drop(store);
    let mut reopened = None;
    for _ in 0..100 {
        if let Ok(store) = SqlStore::connect(&sqlite_url(&dir)).await {
            reopened = Some(store);
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let store = reopened.expect("the lock is released");
    let user = store.user_by_name(&name("alice")).await.expect("a read");
    assert_eq!(user.map(|user| user.id), Some(id));
}

#[tokio::test]
async fn bad_urls_are_the_hosts_mistake() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = dir.path().join("missing");
    for url in [
        "sqlite::memory:".to_owned(),
        "sqlite://forge.db?mode=memory".to_owned(),
        "sqlite:".to_owned(),
        "mysql://localhost/forge".to_owned(),
        "forge.db".to_owned(),
        "postgres://localhost:port/forge".to_owned(),
        format!("sqlite:{}/forge.db", missing.display()),
        format!("sqlite:{}?mode=rw", dir.path().join("new.db").display()),
        format!("sqlite:{}", dir.path().display()),
    ] {
        let error = SqlStore::connect(&url).await.expect_err("a refusal");
        assert!(
            matches!(&error, Error::Invalid(faults) if faults[0].field == Some("database")),
            "{url}: {error:?}"
        );
    }
}

#[tokio::test]
async fn commits_are_flushed_and_keys_enforced() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sqlite(&dir).await;
    assert_eq!(value(&store, "PRAGMA journal_mode").await, "wal");
    assert_eq!(value(&store, "PRAGMA synchronous").await, "2");
    assert_eq!(value(&store, "PRAGMA foreign_keys").await, "1");
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sqlite(&dir).await;
    add_user(&store, "alice").await;
    let schema = "SELECT group_concat(sql) FROM sqlite_schema";
    let before = value(&store, schema).await;
    store.migrate(&[]).await.expect("no change");
    let (one, other) = futures::join!(store.migrate(&[]), store.migrate(&[]));
    one.and(other).expect("no change");
    assert_eq!(value(&store, schema).await, before);
    assert_eq!(
        value(&store, "SELECT count(*) FROM forge_migration").await,
        "1"
    );
    assert!(
        store
            .user_by_name(&name("alice"))
            .await
            .is_ok_and(|user| user.is_some())
    );
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

/// Shared with PostgreSQL.
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

#[tokio::test]
async fn a_plugins_migration_runs_once_and_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    check_plugins_migrations(&sqlite(&dir).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_take_turns() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sqlite(&dir).await;
    let writers = (0..64).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut tx = store.begin().await?;
            tx.insert_user(&new_user(&format!("u{number}")), now())
                .await?;
            // Every other one gives up, which must not keep the next one waiting.
            if number % 2 == 0 {
                tx.commit().await
            } else {
                Ok(())
            }
        })
    });
    for written in futures::future::join_all(writers).await {
        written.expect("no panic").expect("no busy database");
    }
    assert_eq!(value(&store, "SELECT count(*) FROM forge_user").await, "32");
}

#[tokio::test]
async fn a_commit_is_carried_through_when_its_caller_goes() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sqlite(&dir).await;
    let (user, hash) = (add_user(&store, "alice").await, TokenHash([1; 32]));
    let new = NewToken {
        grants: Grants::everything(),
        comment: None,
        expires: now() + TimeDelta::days(1),
    };
    let mut tx = store.begin().await.expect("a transaction");
    let token = tx
        .insert_token(user, &hash, &new, now())
        .await
        .expect("a token");
    tx.commit().await.expect("a commit");
    for _ in 0..2 {
        assert!(
            store
                .token_by_hash(&hash)
                .await
                .is_ok_and(|token| token.is_some())
        );
    }
    let mut tx = store.begin().await.expect("a transaction");
    tx.expire_token(token.id, now()).await.expect("a change");
    let mut commit = tx.commit();
    assert!(futures::poll!(&mut commit).is_pending());
    drop(commit);
    // The next turn comes when the commit is done.
    drop(store.begin().await.expect("a transaction"));
    let (token, _) = store
        .token_by_hash(&hash)
        .await
        .expect("a read")
        .expect("the token");
    assert_eq!(token.expires, now());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_never_seen_alive_after_the_commit() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sqlite(&dir).await;
    let user = add_user(&store, "alice").await;
    for round in 0..50_u8 {
        let hash = TokenHash([round; 32]);
        let new = NewToken {
            grants: Grants::everything(),
            comment: None,
            expires: now() + TimeDelta::days(1),
        };
        let mut tx = store.begin().await.expect("a transaction");
        let token = tx
            .insert_token(user, &hash, &new, now())
            .await
            .expect("a token");
        tx.commit().await.expect("a commit");
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    // Time does not go back: once the token is seen ended, it stays so.
                    let mut ended = false;
                    for _ in 0..50 {
                        let (token, _) = store
                            .token_by_hash(&hash)
                            .await
                            .expect("a read")
                            .expect("the token");
                        assert!(!ended || token.expires == now());
                        ended = token.expires == now();
                    }
                })
            })
            .collect();
        let mut tx = store.begin().await.expect("a transaction");
        tx.expire_token(token.id, now()).await.expect("a change");
        tx.commit().await.expect("a commit");
        let (token, _) = store
            .token_by_hash(&hash)
            .await
            .expect("a read")
            .expect("the token");
        assert_eq!(token.expires, now());
        for reader in readers {
            reader.await.expect("no panic");
        }
    }
}

#[tokio::test]
async fn an_unreadable_job_blocks_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sqlite(&dir).await;
    check_unreadable_jobs(&store).await;
}

/// Shared with PostgreSQL.
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

#[tokio::test]
async fn a_row_that_cannot_be_read_is_a_fault_of_ours() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sqlite(&dir).await;
    let user = add_user(&store, "alice").await;
    let new = NewRepo {
        name: "a".parse().expect("a name"),
        description: None,
        visibility: Visibility::Public,
    };
    let mut tx = store.begin().await.expect("a transaction");
    tx.insert_repo(user, &new, now())
        .await
        .expect("a repository");
    tx.commit().await.expect("a commit");
    let path: RepoPath = "~alice/a".parse().expect("a path");
    for sql in [
        "UPDATE forge_repository SET visibility = 'secret'",
        "UPDATE forge_repository SET visibility = 'public', name = 'a', created = 9223372036854775807",
    ] {
        store
            .connection()
            .execute_unprepared(sql)
            .await
            .expect("a change");
        let read = store.repo_by_path(&path).await;
        assert!(matches!(read, Err(Error::Internal(_))), "{read:?}");
    }
}

#[tokio::test]
async fn a_host_writes_beside_the_store() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sqlite(&dir).await;
    let host = store.connection().clone();
    host.execute_unprepared("CREATE TABLE host (n INTEGER)")
        .await
        .expect("a table");
    let theirs = async {
        for _ in 0..20 {
            host.execute_unprepared("INSERT INTO host VALUES (1)")
                .await
                .expect("a row");
        }
    };
    let ours = async {
        for number in 0..20 {
            add_user(&store, &format!("user{number}")).await;
        }
    };
    futures::join!(theirs, ours);
    assert_eq!(value(&store, "SELECT count(*) FROM host").await, "20");
}

/// How long the two most frequent reads take; run with `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a test"]
async fn the_cost_of_a_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = migrated(&sqlite_url(&dir)).await;
    let user = add_user(&store, "alice").await;
    let new = NewRepo {
        name: "a".parse().expect("a name"),
        description: Some("words".to_owned()),
        visibility: Visibility::Public,
    };
    let mut tx = store.begin().await.expect("a transaction");
    tx.insert_repo(user, &new, now())
        .await
        .expect("a repository");
    tx.commit().await.expect("a commit");
    let path: RepoPath = "~alice/a".parse().expect("a path");
    let start = std::time::Instant::now();
    for _ in 0..20_000 {
        let found = store.repo_by_path(&path).await.expect("a read");
        assert!(matches!(found, Some(RepoOrRedirect::Repository(_))));
    }
    println!("cached: {:?}", start.elapsed() / 20_000);
    let start = std::time::Instant::now();
    for number in 0..2_000 {
        let path: RepoPath = format!("~alice/r{number}").parse().expect("a path");
        assert!(store.repo_by_path(&path).await.expect("a read").is_none());
    }
    println!("miss, two statements: {:?}", start.elapsed() / 2_000);
    let tx = store.begin().await.expect("a transaction");
    let start = std::time::Instant::now();
    for _ in 0..2_000 {
        assert!(tx.repo_by_path(&path).await.expect("a read").is_some());
    }
    println!("uncached, in a transaction: {:?}", start.elapsed() / 2_000);
    drop(tx);
    let start = std::time::Instant::now();
    for number in 0..500 {
        add_user(&store, &format!("u{number}")).await;
    }
    println!("a transaction with one row: {:?}", start.elapsed() / 500);
}
