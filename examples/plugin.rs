//! A plugin: it keeps stars for repositories in memory, behind routes of its own.
//!
//! `cargo run --example plugin`; `PUT` and `GET` on `/x/stars/~owner/name`, with a token. Who may see a repository is
//! the forge's decision: the plugin asks the caller for it, and cannot learn its number otherwise.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Router};
use forge::http::Routes;
use forge::{Caller, Error, Event, EventKind, Forge, Plugin, RepoPath, Result};

/// How many people starred which repository since the start.
#[derive(Clone, Default)]
struct Stars(Arc<Mutex<HashMap<i64, Vec<String>>>>);

#[async_trait]
impl Plugin for Stars {
    fn name(&self) -> &'static str {
        "stars"
    }

    fn routes(&self, _: &Forge) -> Option<Routes> {
        let routes = Router::new().route("/{owner}/{name}", get(count).put(star));
        Some(Routes::new(routes.with_state(self.clone())))
    }

    async fn on_event(&self, _: &Forge, event: &Event) -> Result<()> {
        if let EventKind::RepoDeleted(repo) = &event.kind {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&repo.id.0);
        }
        Ok(())
    }
}

async fn count(
    State(stars): State<Stars>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
) -> Result<String, StatusCode> {
    let id = visible(&caller, &path).await?;
    let stars = stars.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(stars.get(&id).map_or(0, Vec::len).to_string())
}

async fn star(
    State(stars): State<Stars>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
) -> Result<StatusCode, StatusCode> {
    let user = caller
        .user()
        .map_err(|_| StatusCode::UNAUTHORIZED)?
        .name
        .to_string();
    let id = visible(&caller, &path).await?;
    let mut stars = stars.0.lock().unwrap_or_else(PoisonError::into_inner);
    let stars = stars.entry(id).or_default();
    if !stars.contains(&user) {
        stars.push(user);
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn visible(caller: &Caller, (owner, name): &(String, String)) -> Result<i64, StatusCode> {
    let path: RepoPath = format!("{owner}/{name}")
        .parse()
        .map_err(|_| StatusCode::NOT_FOUND)?;
    match caller.read_repo(&path).await {
        Ok(repo) => Ok(repo.id().0),
        Err(Error::Forbidden { .. }) => Err(StatusCode::FORBIDDEN),
        Err(Error::NotFound) => Err(StatusCode::NOT_FOUND),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let app = forge::builder()
        .data_dir("forge-data")
        .plugin(Stars::default())
        .build()
        .await?;
    app.serve()
        .http("127.0.0.1:8080")
        .until(forge::ctrl_c())
        .await
}
