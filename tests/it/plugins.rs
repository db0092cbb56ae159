//! Extensions: tables, routes, events, jobs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use axum::extract::Path;
use axum::routing::get;
use axum::{Extension, Router};
use forge::events::Job;
use forge::http::Routes;
use forge::{Caller, Error, Event, EventKind, Forge, Migration, Plugin, RepoPath, Result};
use http::{Method, StatusCode};

use crate::support::{Database, Persona, World};

#[derive(Default, Clone)]
struct Diary(std::sync::Arc<Entries>);

#[derive(Default)]
struct Entries {
    lines: Mutex<Vec<String>>,
    failures: AtomicU32,
}

#[async_trait]
impl Plugin for Diary {
    fn name(&self) -> &'static str {
        "diary"
    }

    fn migrations(&self) -> &[Migration] {
        &[Migration {
            id: "1",
            sqlite: "CREATE TABLE diary (line TEXT NOT NULL); CREATE INDEX diary_line ON diary (line)",
            postgres: "CREATE TABLE diary (line TEXT NOT NULL); CREATE INDEX diary_line ON diary (line)",
        }]
    }

    fn routes(&self, _: &Forge) -> Option<Routes> {
        Some(Routes::new(
            Router::new().route("/{owner}/{name}", get(see)),
        ))
    }

    async fn on_event(&self, _: &Forge, event: &Event) -> Result<()> {
        let line = match &event.kind {
            EventKind::RepoCreated(repo) => format!("created {}", repo.path()),
            EventKind::RepoUpdated(repo) => format!("updated {}", repo.path()),
            EventKind::RepoDeleted(repo) => format!("deleted {}", repo.path()),
            other => format!("{other:?}"),
        };
        self.0.lines.lock().unwrap().push(line);
        Ok(())
    }

    async fn run_job(&self, _: &Forge, job: &Job, payload: &serde_json::Value) -> Result<()> {
        assert!(
            payload["panic"] != true || job.attempt > 1,
            "as the test wants"
        );
        if job.attempt < 3 {
            self.0.failures.fetch_add(1, Ordering::Relaxed);
            return Err(Error::internal("not yet"));
        }
        self.0.lines.lock().unwrap().push(format!("job {payload}"));
        Ok(())
    }
}

async fn see(
    Extension(caller): Extension<Caller>,
    Path((owner, name)): Path<(String, String)>,
) -> Result<String, StatusCode> {
    let path: RepoPath = format!("{owner}/{name}")
        .parse()
        .map_err(|_| StatusCode::BAD_REQUEST)?;
    let repo = caller
        .read_repo(&path)
        .await
        .map_err(|_| StatusCode::NOT_FOUND)?;
    Ok(format!("{:?}", repo.level()))
}

#[tokio::test]
async fn a_plugin_hears_of_every_change_once_it_is_committed() {
    for database in Database::all() {
        let diary = Diary::default();
        let world = World::with(database, |builder| builder.plugin(diary.clone())).await;
        world.settle().await;
        diary.0.lines.lock().unwrap().clear();
        let json = [("content-type", "application/json")];
        let made = world
            .request(
                Persona::Owner,
                Method::POST,
                "/api/repos",
                &json,
                r#"{"name": "a1"}"#,
            )
            .await;
        assert_eq!(made.status, 201);
        world
            .request(
                Persona::Owner,
                Method::PUT,
                "/api/repos/a1",
                &json,
                r#"{"name": "a2"}"#,
            )
            .await;
        let refused = world
            .request(
                Persona::Owner,
                Method::POST,
                "/api/repos",
                &json,
                r#"{"name": "a2"}"#,
            )
            .await;
        assert_eq!(refused.status, 400);
        world
            .request(Persona::Owner, Method::DELETE, "/api/repos/a2", &[], "")
            .await;
        assert!(
            diary.0.lines.lock().unwrap().is_empty(),
            "nobody has worked yet"
        );
        world.settle().await;
        let mut lines = diary.0.lines.lock().unwrap().clone();
        lines.sort();
        assert_eq!(
            lines,
            [
                "created ~alice/a1",
                "deleted ~alice/a2",
                "updated ~alice/a2"
            ]
        );
        world.end().await;
    }
}

#[tokio::test]
async fn a_job_that_fails_is_tried_again_later() {
    for database in Database::all() {
        let diary = Diary::default();
        let world = World::with(database, |builder| builder.plugin(diary.clone())).await;
        world.settle().await;
        diary.0.lines.lock().unwrap().clear();
        let now = world.forge().now();
        world
            .system()
            .enqueue("diary", now, serde_json::json!({"n": 1}))
            .await
            .unwrap();
        for failures in [1, 2, 2] {
            world.settle().await;
            assert_eq!(diary.0.failures.load(Ordering::Relaxed), failures);
            world.clock.advance(chrono::TimeDelta::minutes(1));
        }
        assert_eq!(*diary.0.lines.lock().unwrap(), [r#"job {"n":1}"#]);
        world.end().await;
    }
}

#[tokio::test]
async fn a_job_that_panics_is_a_job_that_fails() {
    let diary = Diary::default();
    let world = World::with(Database::Sqlite, |builder| builder.plugin(diary.clone())).await;
    world.settle().await;
    diary.0.lines.lock().unwrap().clear();
    let now = world.forge().now();
    world
        .system()
        .enqueue("diary", now, serde_json::json!({"panic": true}))
        .await
        .unwrap();
    for _ in 0..3 {
        world.settle().await;
        world.clock.advance(chrono::TimeDelta::minutes(1));
    }
    assert_eq!(*diary.0.lines.lock().unwrap(), [r#"job {"panic":true}"#]);
    world.end().await;
}

#[tokio::test]
async fn a_plugins_routes_know_who_is_calling() {
    let world = World::with(Database::Sqlite, |builder| builder.plugin(Diary::default())).await;
    for (persona, path, status, body) in [
        (Persona::Anon, "/x/diary/~alice/open", 200, "Read"),
        (Persona::Owner, "/x/diary/~alice/secret", 200, "Manage"),
        (Persona::Writer, "/x/diary/~alice/secret", 200, "Write"),
        (Persona::Stranger, "/x/diary/~alice/secret", 404, ""),
        (
            Persona::Expired,
            "/x/diary/~alice/open",
            401,
            r#"{"errors":[{"reason":"401 unauthorized"}]}"#,
        ),
    ] {
        let answer = world.get(persona, path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (status, body),
            "{persona:?} {path}"
        );
    }
    world.end().await;
}

#[tokio::test]
async fn a_plugin_with_a_bad_or_taken_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let twice = forge::builder()
        .data_dir(dir.path())
        .plugin(Diary::default())
        .plugin(Diary::default());
    let error = twice.build().await.unwrap_err();
    assert!(
        matches!(&error, Error::Invalid(faults) if faults[0].field == Some("plugin")),
        "{error:?}"
    );
}
