//! How each meaning of an error looks over HTTP (seed 000, "Error responses" and "Response codes").
//!
//! Invariant: what is inside an internal error is logged here, once, and never sent.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use forge_core::http::Body;
use forge_core::{Error, FieldError};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// An error on its way out.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

#[derive(Serialize)]
struct Errors<'a> {
    errors: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    reason: Cow<'a, str>,
}

/// The response that tells of an error, for whoever answers beside the routes of this crate.
#[must_use]
pub fn error_response(error: &Error) -> http::Response<Body> {
    Failure(error.clone()).into_response().map(Body::new)
}

/// A response with one error and any status.
pub(crate) fn respond(status: StatusCode, field: Option<&str>, reason: &str) -> Response {
    body(
        status,
        vec![Item {
            field,
            reason: reason.into(),
        }],
    )
}

fn body(status: StatusCode, errors: Vec<Item<'_>>) -> Response {
    // Strings alone cannot fail to serialise.
    let json = serde_json::to_vec(&Errors { errors }).unwrap_or_default();
    (status, [(CONTENT_TYPE, "application/json")], json).into_response()
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self.0 {
            Error::NotFound => respond(StatusCode::NOT_FOUND, None, "404 not found"),
            Error::Unauthenticated => {
                let mut response = respond(StatusCode::UNAUTHORIZED, None, "401 unauthorized");
                response
                    .headers_mut()
                    .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                response
            }
            Error::Forbidden { reason } => respond(StatusCode::FORBIDDEN, None, &reason),
            Error::Invalid(faults) => {
                let item = |FieldError { field, reason }| Item {
                    field,
                    reason: Cow::Owned(reason),
                };
                body(
                    StatusCode::BAD_REQUEST,
                    faults.into_iter().map(item).collect(),
                )
            }
            Error::Conflict { field, reason } => respond(StatusCode::BAD_REQUEST, field, &reason),
            Error::Limit { what } => respond(
                StatusCode::PAYLOAD_TOO_LARGE,
                Some(what),
                &format!("{what} is too large"),
            ),
            Error::Unavailable(source) => {
                tracing::error!(
                    error = &*source as &dyn std::error::Error,
                    "something needed is not reachable"
                );
                let reason = "temporarily unavailable, try again";
                let mut response = respond(StatusCode::SERVICE_UNAVAILABLE, None, reason);
                response
                    .headers_mut()
                    .insert(RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
            error => {
                let cause: &dyn std::error::Error = match &error {
                    Error::Internal(source) => &**source,
                    other => other,
                };
                tracing::error!(error = cause, "request failed");
                let reason = "something broke on our end; the X-Request-Id of this answer helps to find out what";
                respond(StatusCode::INTERNAL_SERVER_ERROR, None, reason)
            }
        }
    }
}
