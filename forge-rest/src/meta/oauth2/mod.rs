//! OAuth 2.0: the endpoints of RFC 6749, 7009, 7662, 8414 and 8628, and the pages on which users and clients meet.
//!
//! Invariant: `oxide-auth` decides which request leads to which answer; what is stored and who may have it is decided in
//! [`forge_core::oauth`]. The older scheme is in [`super::oauth`].

mod account;
mod authorize;
mod clients;
mod credentials;
mod device;
mod introspect;
mod metadata;
mod token;
mod web;

use axum::Json;
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use forge_core::Timestamp;
use forge_core::access::Grants;
use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

pub(super) use self::authorize::{Question, consent_page, decision};
use super::site::Site;
use crate::table::Table;

pub(super) fn routes(table: &mut Table<Site>) {
    table.get("/oauth2", account::show);
    table.get("/oauth2/personal-token", account::ask_token);
    table.add(Method::POST, "/oauth2/personal-token", account::make_token);
    table.add(
        Method::POST,
        "/oauth2/personal-token/{id}/revoke",
        account::revoke_token,
    );
    table.add(
        Method::POST,
        "/oauth2/authorization/{id}/revoke",
        account::revoke_authorization,
    );
    table.get("/oauth2/client-registration", clients::ask);
    table.add(
        Method::POST,
        "/oauth2/client-registration",
        clients::register,
    );
    table.add(Method::POST, "/oauth2/client/{id}/revoke", clients::revoke);
    table.add(
        Method::POST,
        "/oauth2/client/{id}/reset-secret",
        clients::reset_secret,
    );

    table.get("/oauth2/authorize", authorize::ask);
    table.add(Method::POST, "/oauth2/authorize", authorize::answer);
    table.add(Method::POST, "/oauth2/access-token", token::exchange);
    table.add(Method::POST, "/oauth2/introspect", introspect::introspect);
    table.add(Method::POST, "/oauth2/revoke", introspect::revoke);
    table.add(Method::POST, "/oauth2/device-authorization", device::begin);
    table.get("/oauth2/device", device::ask);
    table.add(Method::POST, "/oauth2/device", device::answer);
    table.get("/.well-known/oauth-authorization-server", metadata::show);
    table.get(
        "/.well-known/oauth-authorization-server/{*path}",
        metadata::show_below,
    );
}

/// How many seconds something lives that was just made; one that has begun counts.
fn seconds_until(site: &Site, expires: Timestamp) -> i64 {
    (expires - site.forge.now() + TimeDelta::milliseconds(999)).num_seconds()
}

/// An error as clients read it (RFC 6749 5.2).
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: String,
}

impl Refusal {
    pub(super) fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description: description.into(),
        }
    }

    /// Too many requests came from one address.
    pub(super) fn too_often() -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            ..Self::new("slow_down", "try again in a quarter of an hour")
        }
    }

    /// The client could not show who it is.
    pub(super) fn client() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..Self::new(
                "invalid_client",
                "there is no such client, or that is not its secret",
            )
        }
    }
}

impl From<forge_core::Error> for Refusal {
    fn from(error: forge_core::Error) -> Self {
        use forge_core::Error;
        match error {
            Error::Unauthenticated => Self::client(),
            Error::Limit { .. } => Self {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                ..Self::new("invalid_request", error.to_string())
            },
            Error::Forbidden { .. } => Self::new("invalid_grant", error.to_string()),
            // What was shown led to something that has ended in this moment.
            Error::NotFound => Self::new("invalid_grant", "it is not valid any more"),
            Error::Unavailable(ref source) => {
                let cause = &**source as &dyn std::error::Error;
                tracing::error!(error = cause, "something needed is not reachable");
                Self {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    ..Self::new("temporarily_unavailable", error.to_string())
                }
            }
            Error::Internal(_) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "an OAuth request failed"
                );
                Self {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    ..Self::new("server_error", "internal error")
                }
            }
            error => Self::new("invalid_request", super::site::reasons(&error).join("; ")),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "error_description": self.description });
        let mut response = answer(self.status, &body);
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Basic realm=\"oauth2\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// JSON that nobody keeps.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

/// The scopes that a client asks for: by name, for it knows what it needs. Everything at once is for personal tokens.
pub(super) fn wanted(scope: &str) -> Option<Grants> {
    let words: Vec<_> = scope.split_ascii_whitespace().collect();
    Grants::parse_oauth2(&words.join(" "))
        .ok()
        .filter(|grants| !grants.is_everything())
}
