//! SQLite.

use forge_core::Error;
use forge_core::names::RepoPath;
use forge_core::repos::{NewRepo, RepoReads as _, Visibility};
use forge_core::store::Store as _;
use forge_core::users::UserReads as _;
use forge_storage::SqlStore;
use sea_orm::ConnectionTrait as _;

use crate::databases::{sqlite, sqlite_url};
use crate::shared::{
    add_user, check_plugins_migrations, check_shared_addresses, check_unreadable_jobs, name,
    new_user, now, value,
};

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
        "5"
    );
    assert!(
        store
            .user_by_name(&name("alice"))
            .await
            .is_ok_and(|user| user.is_some())
    );
}

#[tokio::test]
async fn a_plugins_migration_runs_once_and_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    check_plugins_migrations(&sqlite(&dir).await).await;
}

#[tokio::test]
async fn an_address_that_two_users_had_stays_with_the_first() {
    let dir = tempfile::tempdir().expect("a directory");
    check_shared_addresses(&sqlite(&dir).await).await;
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
async fn an_unreadable_job_blocks_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sqlite(&dir).await;
    check_unreadable_jobs(&store).await;
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
        let read = store.repo_by_path(&path, None).await;
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
