//! Paging of lists that are ordered by row number (seed 000, "Lists").
//!
//! Invariant: `next` is a string or null, also where the number behind it is an integer; clients decode it so.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use forge_core::{Error, PAGE_SIZE, Page, Paged};
use http::request::Parts;
use serde::Serialize;
use url::form_urlencoded;

use crate::error::Failure;

/// The envelope of every list.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    pub(crate) next: Option<String>,
    pub(crate) results: Vec<T>,
    pub(crate) total: i64,
    pub(crate) results_per_page: u64,
}

/// A page of rows as a response.
pub(crate) fn list<T, U: Serialize>(page: Paged<T>, view: impl FnMut(T) -> U) -> Response {
    let page = page.map(view);
    Json(List {
        next: page.next.map(|id| id.to_string()),
        results: page.results,
        total: i64::try_from(page.total).unwrap_or(i64::MAX),
        results_per_page: PAGE_SIZE,
    })
    .into_response()
}

/// The value of a query parameter, the first if it is given several times; `None` if it is absent or empty.
pub(crate) fn parameter(parts: &Parts, name: &str) -> Option<String> {
    let query = parts.uri.query()?;
    let value = form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)?
        .1;
    (!value.is_empty()).then(|| value.into_owned())
}

/// The query parameter `start`: a row number; absent, empty or -1 for the first page.
#[derive(Debug)]
pub(crate) struct Start(pub(crate) Page);

impl<S: Sync> FromRequestParts<S> for Start {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let start = match parameter(parts, "start") {
            None => None,
            Some(text) => match text.parse::<i64>() {
                Ok(-1) => None,
                Ok(id) if id >= 0 => Some(id),
                _ => return Err(Error::invalid("start", "start must be an id").into()),
            },
        };
        Ok(Self(Page {
            start,
            size: PAGE_SIZE,
        }))
    }
}
