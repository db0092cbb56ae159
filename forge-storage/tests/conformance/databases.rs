//! Databases that exist for one test.

use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};

use forge_core::{Entropy as _, SystemEntropy};
use forge_storage::SqlStore;
use futures::FutureExt as _;
use sea_orm::{ConnectionTrait as _, Database};

/// The URL of a file in a directory.
pub(crate) fn sqlite_url(dir: &tempfile::TempDir) -> String {
    format!("sqlite:{}", dir.path().join("forge.db").display())
}

/// A store in a directory, its tables made.
pub(crate) async fn sqlite(dir: &tempfile::TempDir) -> SqlStore {
    migrated(&sqlite_url(dir)).await
}

/// A store, its tables made.
pub(crate) async fn migrated(url: &str) -> SqlStore {
    let store = SqlStore::connect(url).await.expect("the store opens");
    forge_core::store::Store::migrate(&store, &[])
        .await
        .expect("the tables are made");
    store
}

/// Runs a test on a PostgreSQL database of its own, made beside the one that `DATABASE_URL` names.
pub(crate) async fn with_postgres(test: impl AsyncFnOnce(&str)) {
    let Ok(base) = std::env::var("DATABASE_URL") else {
        let strict = std::env::var("FORGE_TEST_STRICT").is_ok_and(|strict| strict == "1");
        assert!(
            !strict,
            "FORGE_TEST_STRICT=1 is set, so DATABASE_URL must name a PostgreSQL server"
        );
        skipped();
        return;
    };
    let mut random = [0; 8];
    SystemEntropy.fill(&mut random).expect("randomness");
    let name = format!("forge_test_{:016x}", u64::from_le_bytes(random));
    let admin = Database::connect(&base).await.expect("DATABASE_URL");
    let make = format!("CREATE DATABASE {name}");
    admin.execute_unprepared(&make).await.expect("a database");

    let mut url = url::Url::parse(&base).expect("DATABASE_URL is a URL");
    url.set_path(&name);
    let outcome: Result<(), Box<dyn Any + Send>> =
        AssertUnwindSafe(test(url.as_str())).catch_unwind().await;

    let remove = format!("DROP DATABASE {name} WITH (FORCE)");
    admin.execute_unprepared(&remove).await.expect("a removal");
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests must see it")]
fn skipped() {
    eprintln!("*** SKIPPED: nothing was tried on PostgreSQL, because DATABASE_URL is not set ***");
}
