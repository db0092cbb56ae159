//! Refs, and how they look in JSON (seed 001, "Reference resource").

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use forge_core::{Error, RefName};
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use serde::Serialize;

use super::App;
use super::artifacts;
use crate::error::Result;
use crate::page::List;
use crate::target::Target;

#[derive(Debug, Serialize)]
struct View<'a> {
    target: String,
    name: String,
    artifacts: &'a [artifacts::View],
}

/// `GET …/repos/:name/refs`: every ref below `refs/` by name, on one page. Artifacts are shown with every ref that
/// leads to their commit, annotated tags included.
pub(crate) async fn list(State(app): State<App>, target: Target) -> Result<Response> {
    let objects = target.caller.objects(&target.path).await?;
    let refs = objects.refs().await?;
    let mut attached: HashMap<_, Vec<_>> = HashMap::new();
    for artifact in objects.artifacts().await? {
        let view = artifacts::View::of(&artifact, objects.repo(), &app);
        attached.entry(artifact.commit).or_default().push(view);
    }
    let results: Vec<_> = refs
        .iter()
        .map(|it| View {
            target: it.target.to_string(),
            name: it.name.to_string(),
            artifacts: attached.get(&it.peeled).map_or(&[], Vec::as_slice),
        })
        .collect();
    let count = results.len() as u64;
    let total = i64::try_from(count).unwrap_or(i64::MAX);
    Ok(Json(List {
        next: None,
        results,
        total,
        results_per_page: count,
    })
    .into_response())
}

/// `GET …/repos/:name/refdb/:ref`: the ref's id and what it leads to, or the name of the ref it stands for.
pub(crate) async fn get(target: Target) -> Result<Response> {
    let objects = target.caller.objects(&target.path).await?;
    let name = RefName::new(target.tail.unwrap_or_default())?;
    let text = if name.as_bstr() == "HEAD" {
        // Unlike other symbolic refs, HEAD names a branch before that branch exists.
        objects
            .head()
            .await?
            .map(|branch| branch.as_bstr().to_owned())
    } else {
        None
    };
    let text = match text {
        Some(text) => text,
        None => {
            let found = objects.find_ref(&name).await?.ok_or(Error::NotFound)?;
            match found.symbolic {
                Some(name) => name.as_bstr().to_owned(),
                None => format!("{} {}", found.target, found.peeled).into(),
            }
        }
    };
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, Vec::from(text)).into_response())
}
