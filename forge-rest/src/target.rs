//! Which repository a path means, and what comes after it.
//!
//! `/api/~alice/repos/hello/tree/…` names it in full, `/api/repos/hello/tree/…` means the caller's own. The rest may be
//! any bytes, since names in trees and refs are.
//!
//! Invariant: a path that cannot name a repository is a repository that does not exist.

use axum::extract::{FromRequestParts, MatchedPath};
use bstr::BString;
use forge_core::{Caller, Error, RepoPath, UserName};
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::caller::Auth;
use crate::error::{Failure, Result};
use crate::git::App;

/// A repository that an authenticated caller means.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) caller: Caller,
    pub(crate) path: RepoPath,
    /// What comes after the verb, decoded; `None` if nothing does.
    pub(crate) tail: Option<BString>,
}

impl Target {
    /// What comes after the verb, as text.
    pub(crate) fn tail_text(&self) -> Result<&str> {
        let tail = self.tail.as_deref().map_or(&[][..], Vec::as_slice);
        std::str::from_utf8(tail).map_err(|_| Error::NotFound.into())
    }
}

impl FromRequestParts<App> for Target {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let Auth(caller) = Auth::from_request_parts(parts, app).await?;
        // The router says which form it is: a repository may be called `repos`.
        let route = parts
            .extensions
            .get::<MatchedPath>()
            .map_or("", MatchedPath::as_str);
        let path = parts.uri.path();
        let (owner, rest) = if route.starts_with("/api/repos/") {
            let rest = path.strip_prefix("/api/repos/").ok_or(Error::NotFound)?;
            (caller.user()?.name.clone(), rest)
        } else {
            let path = path.strip_prefix("/api/").ok_or(Error::NotFound)?;
            let (owner, rest) = path.split_once("/repos/").ok_or(Error::NotFound)?;
            (user_name(owner)?, rest)
        };
        let mut segments = rest.splitn(3, '/');
        let name = text(segments.next().unwrap_or_default())?
            .parse()
            .map_err(|_| Error::NotFound)?;
        let tail = segments
            .nth(1)
            .map(|tail| percent_decode_str(tail).collect::<Vec<u8>>().into());
        Ok(Self {
            caller,
            path: RepoPath { owner, name },
            tail,
        })
    }
}

/// A user's name in a path: with a tilde, escaped or not.
pub(crate) fn user_name(segment: &str) -> Result<UserName> {
    UserName::from_canonical(&text(segment)?).ok_or_else(|| Error::NotFound.into())
}

/// A path segment's text.
pub(crate) fn text(segment: &str) -> Result<String> {
    Ok(percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| Error::NotFound)?
        .into_owned())
}
