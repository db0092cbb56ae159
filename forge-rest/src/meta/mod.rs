//! The meta service: meta.sr.ht's REST API (seed 003), OAuth, and the pages of both.
//!
//! Invariant: unlike on the git service, a trailing slash counts: the blob of a key may end in one.

mod audit;
mod confirm;
mod delegation;
mod deletion;
mod files;
mod keys;
mod login;
mod oauth;
mod oauth2;
mod pgp;
mod profile;
mod site;

use std::sync::Arc;

use forge_core::http::{Body, Routes};
use forge_core::{Error, Forge, Identity};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
};
use http::{HeaderValue, Method, Request, Uri};
use tower::{ServiceExt as _, service_fn};

pub use self::site::Templates;
use self::site::{Site, with_page, with_unserved_page};

use crate::error::Result;
use crate::git::{App, version};
use crate::table::{Endpoint, Table};
use crate::time::TimestampStyle;

/// Where programs look for what an OAuth server can do.
const METADATA: &str = "/.well-known/oauth-authorization-server";
/// Addresses that programs in browsers may ask, too, as on meta.sr.ht.
const SHARED: [&str; 4] = [
    METADATA,
    "/oauth2/access-token",
    "/oauth2/introspect",
    "/oauth2/revoke",
];

/// The routes, to be mounted at the meta service's origin.
#[must_use]
pub fn routes(forge: Forge, time: TimestampStyle, templates: Templates) -> Routes {
    let api = table().serve(App::new(forge.clone(), time));
    let site = Site::new(forge, Arc::new(templates));
    let pages = pages().serve(site.clone());
    Routes::new(service_fn(move |request: Request<Body>| {
        let path = request.uri().path();
        let is_page = claims(path, site.forge.identity());
        let is_shared = is_shared(path);
        let is_for_people = is_page && !is_for_programs(path);
        let routes = if is_page { pages.clone() } else { api.clone() };
        let site = site.clone();
        async move {
            let mut response = with_page(&site, routes.oneshot(request).await?);
            if is_for_people {
                response = with_unserved_page(&site, response);
            }
            if is_shared {
                let headers = response.headers_mut();
                for (name, value) in [
                    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
                    (ACCESS_CONTROL_ALLOW_METHODS, "OPTIONS, GET, POST"),
                    (ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type, Authorization"),
                ] {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            Ok(response)
        }
    }))
}

fn is_shared(path: &str) -> bool {
    SHARED.contains(&path) || path.starts_with(METADATA)
}

/// Whether programs ask there by themselves, and want their errors in JSON. Everywhere else that [`claims`] names, they are
/// people, who are shown a page.
fn is_for_programs(path: &str) -> bool {
    let theirs = [
        "/oauth2/device-authorization",
        "/oauth/exchange",
        "/oauth/token/verify",
    ];
    is_shared(path) || theirs.contains(&path)
}

/// Whether a path below the meta service's origin is one of its pages or of the addresses of OAuth. The API and the
/// files of keys are not among them. There are none where nobody knows who is signed in.
#[must_use]
pub fn claims(path: &str, identity: &Identity) -> bool {
    if matches!(identity, Identity::Nobody) {
        return false;
    }
    let is_below = |root: &str| {
        let rest = path.strip_prefix(root);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    ["/oauth", "/oauth2", METADATA].into_iter().any(is_below)
        || matches!(path, "/profile/confirm-email" | "/profile/delete")
        || (matches!(identity, Identity::Passwords) && matches!(path, "/login" | "/logout"))
}

/// What the routes serve.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = table().endpoints();
    endpoints.extend(pages().endpoints());
    endpoints
}

fn pages() -> Table<Site> {
    let mut table = Table::default();
    oauth2::routes(&mut table);
    oauth::routes(&mut table);
    delegation::routes(&mut table);
    login::routes(&mut table);
    confirm::routes(&mut table);
    deletion::routes(&mut table);
    table
}

fn table() -> Table {
    let mut table = Table::default();
    table.get("/api/version", version);

    table.get("/api/user/profile", profile::get);
    table.add(Method::PUT, "/api/user/profile", profile::update);
    table.get("/api/user/audit-log", audit::list);

    table.get("/api/user/ssh-keys", keys::list);
    table.add(Method::POST, "/api/user/ssh-keys", keys::create);
    table.get("/api/user/ssh-keys/{id}", keys::get);
    table.add(Method::PUT, "/api/user/ssh-keys/{id}", keys::touch);
    table.add(Method::DELETE, "/api/user/ssh-keys/{id}", keys::delete);
    table.get("/api/ssh-key/{*blob}", keys::find);
    table.add(Method::POST, "/api/ssh-key/{*blob}", keys::touch_any);

    table.get("/api/user/pgp-keys", pgp::list);
    table.add(Method::POST, "/api/user/pgp-keys", pgp::create);
    table.get("/api/user/pgp-keys/{id}", pgp::get);
    table.add(Method::DELETE, "/api/user/pgp-keys/{id}", pgp::delete);
    table.get("/api/pgp-key/{fpr}", pgp::find);

    table.get("/api/delegate/scopes", delegation::list);
    table.add(Method::POST, "/api/delegate/scopes", delegation::create);
    table.get("/api/delegate/scopes/{id}", delegation::get);
    table.add(
        Method::DELETE,
        "/api/delegate/scopes/{id}",
        delegation::delete,
    );

    // `/~{user}.keys` and `/~{user}.pgp`: the router knows no endings.
    table.get("/~{page}", files::get);
    table
}

/// The number at the end of a path; what is none is something that does not exist.
fn number(uri: &Uri) -> Result<i64> {
    let text = uri.path().rsplit('/').next().unwrap_or_default();
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::NotFound.into());
    }
    Ok(text.parse().map_err(|_| Error::NotFound)?)
}
