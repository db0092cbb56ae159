//! PostgreSQL, where `DATABASE_URL` names a server.

use forge_core::Error;
use forge_core::store::Store as _;
use forge_storage::SqlStore;
use sea_orm::ConnectionTrait as _;

use crate::databases::{migrated, with_postgres};
use crate::shared::{check_plugins_migrations, check_shared_addresses, check_unreadable_jobs};

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    with_postgres(async |url| {
        let store = migrated(url).await;
        forge_core::testing::store(&store).await;
        forge_core::testing::store(&store).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_commits_another_sees_at_once() {
    with_postgres(async |url| {
        let (one, other) = (migrated(url).await, migrated(url).await);
        let name = "alice".parse().expect("a name");
        let path = "~alice/a".parse().expect("a path");
        let now = forge_core::Timestamp::default();
        let new = forge_core::users::NewUser { name, email: None };
        let mut tx = one.begin().await.expect("a transaction");
        let user = tx.insert_user(&new, now).await.expect("a user");
        let new = forge_core::repos::NewRepo {
            name: "a".parse().expect("a name"),
            description: None,
            visibility: forge_core::repos::Visibility::Public,
        };
        let repo = tx
            .insert_repo(user.id, &new, now)
            .await
            .expect("a repository");
        tx.commit().await.expect("a commit");
        for _ in 0..2 {
            let found = forge_core::repos::RepoReads::repo_by_path(&other, &path, None).await;
            assert!(found.is_ok_and(|repo| repo.is_some()));
        }
        let mut tx = one.begin().await.expect("a transaction");
        tx.delete_repo(repo.id).await.expect("a deletion");
        tx.commit().await.expect("a commit");
        let found = forge_core::repos::RepoReads::repo_by_path(&other, &path, None).await;
        assert!(found.is_ok_and(|repo| repo.is_none()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_migrate_once() {
    with_postgres(async |url| {
        let mut stores = Vec::new();
        for _ in 0..4 {
            stores.push(SqlStore::connect(url).await.expect("a store"));
        }
        let migrated = futures::future::join_all(
            stores
                .iter()
                .flat_map(|store| [store.migrate(&[]), store.migrate(&[])]),
        );
        for outcome in migrated.await {
            outcome.expect("no clash");
        }
    })
    .await;
}

#[tokio::test]
async fn a_plugins_migration_runs_once_and_whole() {
    with_postgres(async |url| check_plugins_migrations(&migrated(url).await).await).await;
}

#[tokio::test]
async fn an_address_that_two_users_had_stays_with_the_first() {
    with_postgres(async |url| check_shared_addresses(&migrated(url).await).await).await;
}

#[tokio::test]
async fn an_unreadable_job_blocks_nobody() {
    with_postgres(async |url| check_unreadable_jobs(&migrated(url).await).await).await;
}

#[tokio::test]
async fn a_lost_race_can_be_run_again() {
    with_postgres(async |url| {
        let store = migrated(url).await;
        let deadlock = "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$";
        let migration = forge_core::Migration {
            id: "1",
            sqlite: "",
            postgres: deadlock,
        };
        let outcome = store.migrate(&[("plugin", &[migration])]).await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
        // The connection is not the worse for it.
        let one = store.connection().execute_unprepared("SELECT 1").await;
        one.expect("an answer");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    // Port 1 of this machine refuses connections; nothing leaves it.
    let outcome = SqlStore::connect("postgres://nobody@127.0.0.1:1/nothing").await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
}
