//! The lives of clients, authorizations and tokens, by a clock that is set forward: when each of them ends, who ends it,
//! and what its user is told.
//!
//! Invariant: what is ended is refused on the next request, by every service and in every process. What Authlib sees of an
//! authorization server on the machine's own clock is in `tests/clients/oauth.py`, and not repeated here.

mod application;
mod codes;
mod delegation;
mod expiry;
mod limits;
mod log;
mod metadata;
mod network;
mod processes;
mod purge;
mod redirects;
mod revocation;
mod scopes;
mod standing;
mod verification;
mod words;

use chrono::TimeDelta;
use http::StatusCode;

use crate::support::Answer;

/// The shortest time that there is here.
const MOMENT: TimeDelta = TimeDelta::microseconds(1);

/// A client is refused, for this reason.
#[track_caller]
fn refused(answer: &Answer, error: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    assert_eq!(answer.json()["error"], error, "{answer:?}");
    assert!(answer.json().get("access_token").is_none(), "{answer:?}");
}

/// A client could not show who it is.
#[track_caller]
fn unknown(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    assert_eq!(answer.json()["error"], "invalid_client", "{answer:?}");
}
