//! What a client gets that gets no repository: statuses and texts.
//!
//! Invariant: texts are plain (git hides any other from its user), carry no control characters and come from
//! [`crate::words`]; an anonymous client is told the same of what is not there and of what it may not see, byte for byte.

use bytes::Bytes;
use forge_core::http::Body;
use forge_core::{Error, Forge, RepoPath};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, EXPIRES, LOCATION, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::words;

const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"git\", charset=\"UTF-8\"");
/// When a client that was turned away may come again, in seconds.
const LATER: HeaderValue = HeaderValue::from_static("10");

/// An answer with a status and a line of text.
pub(super) fn text(status: StatusCode, text: &str) -> Response<Body> {
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    body(status, plain, Bytes::from(format!("{text}\n")))
}

/// An answer of one piece. Nothing that git asks for may be kept by those in between.
pub(super) fn body(status: StatusCode, kind: HeaderValue, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers: [(HeaderName, HeaderValue); 5] = [
        (CONTENT_TYPE, kind),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (
            EXPIRES,
            HeaderValue::from_static("Fri, 01 Jan 1980 00:00:00 GMT"),
        ),
        (PRAGMA, HeaderValue::from_static("no-cache")),
        (
            CACHE_CONTROL,
            HeaderValue::from_static("no-cache, max-age=0, must-revalidate"),
        ),
    ];
    response.headers_mut().extend(headers);
    response
}

/// What an error looks like; to an anonymous client, credentials are what every missing thing lacks.
pub(super) fn refusal(error: &Error, is_anonymous: bool) -> Response<Body> {
    let unknown = if is_anonymous {
        &Error::Unauthenticated
    } else {
        error
    };
    let error = match error {
        Error::NotFound => unknown,
        error => error,
    };
    let status = match error {
        Error::NotFound => StatusCode::NOT_FOUND,
        Error::Unauthenticated => StatusCode::UNAUTHORIZED,
        Error::Forbidden { .. } => StatusCode::FORBIDDEN,
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::Conflict { .. } => StatusCode::CONFLICT,
        Error::Limit { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = text(status, &words::of(error));
    match status {
        StatusCode::UNAUTHORIZED => {
            response.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            response.headers_mut().insert(RETRY_AFTER, LATER);
        }
        _ => {}
    }
    response
}

/// No repository has such a name.
pub(super) fn nowhere() -> Response<Body> {
    text(StatusCode::NOT_FOUND, &words::of(&Error::NotFound))
}

/// The method is not one of these.
pub(super) fn wrong_method(allowed: &'static str) -> Response<Body> {
    let mut response = text(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("this answers {allowed} only"),
    );
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(ALLOW, allowed);
    response
}

/// The repository is elsewhere: the same request there. Without the host: a client may have come by another than the
/// public one.
pub(super) fn moved(
    forge: &Forge,
    to: &RepoPath,
    rest: &str,
    query: Option<&str>,
) -> Response<Body> {
    let origin = forge.git_origin();
    let words = words::moved(&origin.url_of(&format!("/{to}")), to);
    let mut response = text(StatusCode::MOVED_PERMANENTLY, &words);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let place = format!("{}/{to}{rest}{query}", origin.prefix());
    // It consists of names and of what was a request's path.
    if let Ok(place) = HeaderValue::try_from(place) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

/// Where Go finds the module that a repository holds. Names need no escapes in HTML.
pub(super) fn go_import(forge: &Forge, path: &RepoPath) -> Response<Body> {
    let origin = forge.git_origin();
    let (host, prefix) = (origin.authority(), origin.prefix());
    let url = origin.url_of(&format!("/{path}"));
    let page = format!(
        "<!DOCTYPE html>\n<html><head><meta name=\"go-import\" content=\"{host}{prefix}/{path} git {url}\">\
         </head><body>go get {host}{prefix}/{path}</body></html>\n"
    );
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    body(StatusCode::OK, html, Bytes::from(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_statuses_and_plain_text() {
        for (error, anonymous, status) in [
            (Error::NotFound, false, 404),
            (Error::NotFound, true, 401),
            (Error::Unauthenticated, true, 401),
            (Error::forbidden("no"), false, 403),
            (Error::malformed("no"), true, 400),
            (Error::Limit { what: "request" }, true, 413),
            (Error::unavailable("busy"), true, 503),
            (Error::internal("secret"), true, 500),
        ] {
            let response = refusal(&error, anonymous);
            assert_eq!(response.status(), status, "{error:?}");
            let header = |name: HeaderName| response.headers().get(name).cloned();
            assert_eq!(
                header(CONTENT_TYPE).expect("a kind"),
                "text/plain; charset=utf-8"
            );
            assert_eq!(header(WWW_AUTHENTICATE).is_some(), status == 401);
            assert_eq!(header(RETRY_AFTER).is_some(), status == 503);
            assert!(header(CACHE_CONTROL).is_some());
        }
    }
}
