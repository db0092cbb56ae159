//! Imports: how far a repository has come that is filled from elsewhere. SourceHut keeps this to itself; the route is
//! ours.

use axum::Json;
use axum::extract::State;
use forge_core::Error;
use forge_core::imports::{Import, ImportState};
use serde::Serialize;

use super::App;
use crate::error::Result;
use crate::target::Target;
use crate::time::TimestampStyle;

/// The one form there is.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    source: String,
    state: &'static str,
    error: Option<String>,
    progress: String,
    started: String,
    updated: String,
}

impl View {
    fn of(import: Import, time: TimestampStyle) -> Self {
        let (state, error) = match import.state {
            ImportState::Running => ("running", None),
            ImportState::Done => ("done", None),
            ImportState::Failed(reason) => ("failed", Some(reason)),
        };
        Self {
            source: import.source,
            state,
            error,
            progress: import.progress,
            started: time.text(import.started),
            updated: time.text(import.updated),
        }
    }
}

/// `GET …/repos/:name/import`
pub(crate) async fn get(State(app): State<App>, target: Target) -> Result<Json<View>> {
    let repo = target.caller.read_repo(&target.path).await?;
    let import = repo.import().await?.ok_or(Error::NotFound)?;
    Ok(Json(View::of(import, app.time)))
}
