//! A user's public keys as files, for scripts: `/~:user.keys` and `/~:user.pgp`.
//!
//! Invariant: what is sent is plain text in every case, and a browser is told not to take it for anything else.

use axum::response::{IntoResponse, Response};
use forge_core::Error;
use http::Uri;
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

use crate::caller::Anyone;
use crate::error::Result;
use crate::target::{text, user_name};

/// `GET /~:user.keys`: all SSH keys of a user as a file for `authorized_keys(5)`. `GET /~:user.pgp`: all PGP keys, one
/// armored block after the other.
pub(crate) async fn get(Anyone(caller): Anyone, uri: Uri) -> Result<Response> {
    let page = text(uri.path().trim_start_matches('/'))?;
    let mut lines = String::new();
    let mut add = |key: &str| {
        lines.push_str(key);
        if !key.ends_with('\n') {
            lines.push('\n');
        }
    };
    if let Some(user) = page.strip_suffix(".keys") {
        for key in caller.ssh_keys_of(&user_name(user)?).await? {
            add(key.key.line());
        }
    } else if let Some(user) = page.strip_suffix(".pgp") {
        for key in caller.pgp_keys_of(&user_name(user)?).await? {
            add(&key.key.text);
        }
    } else {
        return Err(Error::NotFound.into());
    }
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, lines).into_response())
}
