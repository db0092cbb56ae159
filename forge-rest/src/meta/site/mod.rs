//! Pages for people: what they share.
//!
//! Invariant: a page runs no script, shows in no other site's frame, and takes no form that it did not make for this very
//! browser and user. Which pages there are is not known here.

pub(super) mod form;
mod templates;
mod visitor;

use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use forge_core::http::Body;
use forge_core::{Error, Forge};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use minijinja::{Value, context};

pub(crate) use form::{Form, Sent, Submitted};
pub use templates::Templates;
pub(crate) use visitor::{SignedIn, Visitor, add_cookie};

use crate::table::Unserved;

/// What the pages share.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) forge: Forge,
    templates: Arc<Templates>,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Site")
    }
}

impl Site {
    pub(crate) fn new(forge: Forge, templates: Arc<Templates>) -> Self {
        Self { forge, templates }
    }

    /// A path of the meta service, as browsers know it.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.forge.meta_origin().prefix())
    }

    /// A page. `form_targets` are places outside this site to which its forms may lead in the end: browsers hold
    /// redirects after a form against the policy, too.
    pub(crate) fn page(
        &self,
        status: StatusCode,
        template: &str,
        values: Value,
        form_targets: &str,
    ) -> Response {
        let base = self.forge.meta_origin().prefix();
        match self.templates.render(template, base, values) {
            Ok(text) => {
                let policy = format!(
                    "default-src 'none'; style-src '{}'; form-action 'self' {form_targets}; base-uri 'none'; \
                     frame-ancestors 'none'",
                    self.templates.style_hash()
                );
                let mut response = (status, text).into_response();
                set(response.headers_mut(), &policy);
                response
            }
            Err(error) => {
                tracing::error!(
                    template,
                    error = &error as &dyn std::error::Error,
                    "a page cannot be made"
                );
                (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n").into_response()
            }
        }
    }

    /// The page that says why something did not happen.
    pub(crate) fn refusal(&self, error: &Error) -> Response {
        let (status, title) = match error {
            Error::NotFound => (StatusCode::NOT_FOUND, "Not found"),
            Error::Unauthenticated => (StatusCode::UNAUTHORIZED, "Sign in first"),
            Error::Forbidden { .. } => (StatusCode::FORBIDDEN, "Refused"),
            Error::Invalid(_) | Error::Conflict { .. } => {
                (StatusCode::BAD_REQUEST, "That did not work")
            }
            Error::Limit { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "Too large"),
            Error::Unavailable(source) => {
                let error = &**source as &dyn std::error::Error;
                tracing::error!(error, "something needed is not reachable");
                (StatusCode::SERVICE_UNAVAILABLE, "Try again later")
            }
            error => {
                tracing::error!(error = error as &dyn std::error::Error, "a page failed");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Something is broken here",
                )
            }
        };
        let mut page = self.message(status, title, &reasons(error));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let headers = page.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        page
    }

    /// A page with a few lines of text.
    pub(crate) fn message(&self, status: StatusCode, title: &str, lines: &[String]) -> Response {
        self.page(
            status,
            "message.html",
            context! { title, lines => lines.to_vec() },
            "",
        )
    }
}

/// What is wrong, for a person.
pub(crate) fn reasons(error: &Error) -> Vec<String> {
    match error {
        Error::Invalid(faults) => faults.iter().map(|fault| fault.reason.clone()).collect(),
        error => vec![error.to_string()],
    }
}

fn set(headers: &mut HeaderMap, policy: &str) {
    let fixed = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        // So that forms say where they come from, and nobody else learns of codes in addresses.
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Everything in it was checked to be ASCII; a policy that is none is the strictest.
    let policy = HeaderValue::from_str(policy);
    let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
}

/// Why a page is not what was asked for: made into one when the site is known.
#[derive(Debug)]
pub(crate) enum Detour {
    /// The error's page.
    Error(Error),
    /// Somewhere else first.
    To(String),
}

impl From<Error> for Detour {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl IntoResponse for Detour {
    fn into_response(self) -> Response {
        match self {
            Self::To(path) => see_other(&path),
            Self::Error(error) => {
                let mut response = Response::new(axum::body::Body::empty());
                response.extensions_mut().insert(error);
                response
            }
        }
    }
}

/// Puts the page of an error in its place.
pub(crate) fn with_page(site: &Site, mut response: http::Response<Body>) -> http::Response<Body> {
    match response.extensions_mut().remove::<Error>() {
        Some(error) => site.refusal(&error).map(Body::new),
        None => response,
    }
}

/// Puts a page in the place of what the table answers by itself.
pub(crate) fn with_unserved_page(
    site: &Site,
    mut response: http::Response<Body>,
) -> http::Response<Body> {
    if response.extensions().get::<Unserved>().is_none() {
        return response;
    }
    let page = match response.headers_mut().remove(ALLOW) {
        None => site.refusal(&Error::NotFound),
        Some(allow) => {
            let lines = ["This page cannot be asked for in that way.".to_owned()];
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let mut page = site.message(status, "Not this way", &lines);
            page.headers_mut().insert(ALLOW, allow);
            page
        }
    };
    page.map(Body::new)
}

/// The variable part of a page's path, decoded.
#[derive(Debug)]
pub(crate) struct Part(pub(crate) String);

impl Part {
    /// The number that it is. What is none has no page.
    pub(crate) fn number(&self) -> Result<i64, Error> {
        self.0.parse().map_err(|_| Error::NotFound)
    }
}

impl FromRequestParts<Site> for Part {
    type Rejection = Detour;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Detour> {
        let part = Path::<String>::from_request_parts(parts, site).await;
        // It is not UTF-8.
        let Path(part) = part.map_err(|_| Error::NotFound)?;
        Ok(Self(part))
    }
}

/// Sends a browser elsewhere, with `GET`.
pub(crate) fn see_other(to: &str) -> Response {
    match HeaderValue::from_str(to) {
        Ok(to) => {
            let mut response = StatusCode::SEE_OTHER.into_response();
            response.headers_mut().insert(http::header::LOCATION, to);
            let no_store = HeaderValue::from_static("no-store");
            response.headers_mut().insert(CACHE_CONTROL, no_store);
            response
        }
        Err(error) => Detour::Error(Error::internal(error)).into_response(),
    }
}
