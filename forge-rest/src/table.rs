//! The table of routes: which methods a path has, and what becomes of the others.
//!
//! Invariant: what the table lists is what is served, so a test can walk it. `GET` routes serve `HEAD`; every path
//! answers `OPTIONS` with 200 and `Allow`, without credentials; other methods get 405 with the error body. Whoever shows
//! such answers to people knows them by [`Unserved`].

use axum::handler::Handler;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter};
use axum::{Extension, Router};
use forge_core::Error;
use forge_core::http::{Body, Routes};
use http::header::{ALLOW, CONTENT_LENGTH};
use http::{Method, Request, StatusCode, Uri};
use tower::ServiceExt as _;

use crate::error::{Failure, respond};
use crate::git::App;

/// One method of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path below the service's origin; `{name}` stands for a segment, `{*name}` for one or more.
    pub path: String,
}

/// In the extensions of answers that no handler has given: there is no such path, or with an `Allow`, not that method.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unserved;

/// Routes whose handlers share an `S`.
pub(crate) struct Table<S = App> {
    paths: Vec<(String, MethodRouter<S>, Vec<Method>)>,
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self { paths: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Table<S> {
    pub(crate) fn add<H, T>(&mut self, method: Method, path: &str, handler: H)
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let at = self
            .paths
            .iter()
            .position(|(known, ..)| known == path)
            .unwrap_or_else(|| {
                self.paths
                    .push((path.to_owned(), MethodRouter::new(), Vec::new()));
                self.paths.len() - 1
            });
        let (_, routes, methods) = &mut self.paths[at];
        // The methods given here are the common ones, which all have a filter.
        if let Ok(filter) = MethodFilter::try_from(method.clone()) {
            *routes = std::mem::take(routes).on(filter, handler);
            methods.push(method);
        }
    }

    pub(crate) fn get<H: Handler<T, S>, T: 'static>(&mut self, path: &str, handler: H) {
        self.add(Method::GET, path, handler);
    }

    /// A route of a repository, in both forms: by owner, and the caller's own.
    pub(crate) fn repo<H, T>(&mut self, method: &Method, rest: &str, handler: H)
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(
            method.clone(),
            &format!("/api/{{owner}}/repos/{{name}}{rest}"),
            handler.clone(),
        );
        self.add(
            method.clone(),
            &format!("/api/repos/{{name}}{rest}"),
            handler,
        );
    }

    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        let each = self.paths.iter();
        each.flat_map(|(path, _, methods)| {
            methods.iter().map(|method| Endpoint {
                method: method.clone(),
                path: path.clone(),
            })
        })
        .collect()
    }

    pub(crate) fn serve(self, state: S) -> Routes {
        let mut router = Router::new();
        for (path, routes, methods) in self.paths {
            let mut allowed: Vec<_> = methods.iter().map(Method::as_str).collect();
            if allowed.contains(&"GET") {
                allowed.push("HEAD");
            }
            allowed.push("OPTIONS");
            let allowed = allowed.join(", ");
            let allow = allowed.clone();
            let options = async move || [(ALLOW, allow)];
            let other = async move || {
                let refused = respond(
                    StatusCode::METHOD_NOT_ALLOWED,
                    None,
                    "405 method not allowed",
                );
                (Extension(Unserved), [(ALLOW, allowed)], refused)
            };
            router = router.route(
                &path,
                routes.on(MethodFilter::OPTIONS, options).fallback(other),
            );
        }
        let router = router
            .fallback(async || (Extension(Unserved), Failure(Error::NotFound)))
            .with_state(state);
        Routes::new(
            router
                .map_request(with_plain_tilde)
                .map_response(without_length),
        )
    }
}

/// Answers that never have a body do not say that it has no bytes (RFC 9110 8.6).
fn without_length(mut response: Response) -> Response {
    if matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}

/// `/%7Ealice…` means `/~alice…`, which is how routes have it.
fn with_plain_tilde(request: Request<Body>) -> Request<Body> {
    let path = request.uri().path();
    match path.strip_prefix("/%7e").or(path.strip_prefix("/%7E")) {
        Some(rest) => {
            let path = format!("/~{rest}");
            with_path(request, &path)
        }
        None => request,
    }
}

/// The request with another path.
pub(crate) fn with_path(mut request: Request<Body>, path: &str) -> Request<Body> {
    if request.uri().path() == path {
        return request;
    }
    let whole = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    if let Ok(uri) = whole.parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request
}
