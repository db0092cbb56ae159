//! Conditional requests (RFC 9110 section 13): what is derived from object ids is known not to have changed.
//!
//! Invariant: a tag is compared only after the caller was permitted to see what it stands for.

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};

/// An entity tag with its quotes.
#[derive(Debug, Clone)]
pub(crate) struct Tag(String);

impl Tag {
    /// For content that follows byte by byte from `what`.
    pub(crate) fn strong(what: impl std::fmt::Display) -> Self {
        Self(format!("\"{what}\""))
    }

    /// For content whose meaning follows from `what`; abbreviations in it may grow.
    pub(crate) fn weak(what: impl std::fmt::Display) -> Self {
        Self(format!("W/\"{what}\""))
    }

    /// 304 if the request says it has this already.
    pub(crate) fn not_modified(&self, headers: &HeaderMap) -> Option<Response> {
        let opaque = self.0.trim_start_matches("W/");
        let matches = headers
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| {
                value
                    .split(',')
                    .map(str::trim)
                    .any(|tag| tag == "*" || tag.trim_start_matches("W/") == opaque)
            });
        matches.then(|| self.on(StatusCode::NOT_MODIFIED.into_response()))
    }

    /// The response with this tag: to be asked for anew each time, since access may end.
    pub(crate) fn on(&self, mut response: Response) -> Response {
        // Tags are made of ids and digits, which are always a header's value.
        if let Ok(tag) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        response
    }
}
