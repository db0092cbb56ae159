//! The git service: git.sr.ht's REST API (seed 001).
//!
//! Invariant: every route works for `/api/:username/repos/:name…` and, meaning the caller's own, `/api/repos/:name…`.
//! It does not serve clones and pushes; those are a transport of their own.

mod artifacts;
mod imports;
mod log;
mod objects;
mod refs;
mod repos;
pub(crate) mod users;

use axum::Json;
use bytes::Bytes;
use forge_core::http::{Body, Routes};
use forge_core::{Forge, Oid, RepoId};
use http::{Method, Request};
use moka::sync::Cache;
use serde_json::json;
use tower::ServiceExt as _;

use crate::table::{Table, with_path};
use crate::time::TimestampStyle;

pub use crate::table::Endpoint;

/// How many bytes of finished log pages are kept.
const PAGES_BYTES: u64 = 32 << 20;

/// What the handlers of one service share.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) forge: Forge,
    pub(crate) time: TimestampStyle,
    /// Log pages as they are sent. A page follows from its key: the ids say which commits, the version of the objects
    /// says how far ids must be written out.
    pub(crate) pages: Cache<(RepoId, Oid, Option<Oid>, u64), Bytes>,
}

impl App {
    pub(crate) fn new(forge: Forge, time: TimestampStyle) -> Self {
        let weigh = |_: &_, page: &Bytes| u32::try_from(page.len() + 128).unwrap_or(u32::MAX);
        let pages = Cache::builder()
            .max_capacity(PAGES_BYTES)
            .weigher(weigh)
            .build();
        Self { forge, time, pages }
    }
}

/// The routes, to be mounted at the git service's origin.
#[must_use]
pub fn routes(forge: Forge, time: TimestampStyle) -> Routes {
    let routes = table().serve(App::new(forge, time));
    Routes::new(routes.map_request(without_trailing_slashes))
}

/// What the routes serve.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    table().endpoints()
}

/// `/api/repos/` means `/api/repos`: clients of git.sr.ht send both.
fn without_trailing_slashes(request: Request<Body>) -> Request<Body> {
    let trimmed = request.uri().path().trim_end_matches('/').to_owned();
    if trimmed.is_empty() {
        return request;
    }
    with_path(request, &trimmed)
}

fn table() -> Table {
    let (get, post, put, delete) = (&Method::GET, &Method::POST, &Method::PUT, &Method::DELETE);
    let mut table = Table::default();
    table.get("/api/version", version);

    table.get("/api/user", users::own);
    table.get("/api/user/{username}", users::get);

    table.get("/api/repos", repos::list_own);
    table.get("/api/{owner}/repos", repos::list);
    table.add(Method::POST, "/api/repos", repos::create);
    table.repo(get, "", repos::get);
    table.repo(put, "", repos::update);
    table.repo(delete, "", repos::delete);
    table.repo(get, "/readme", repos::readme);
    table.repo(put, "/readme", repos::set_readme);
    table.repo(delete, "/readme", repos::delete_readme);

    table.repo(get, "/import", imports::get);

    table.repo(get, "/refs", refs::list);
    table.repo(get, "/refdb/{*ref}", refs::get);
    table.repo(post, "/artifacts/{*ref}", artifacts::attach);
    table.get(
        "/~{owner}/{name}/refs/download/{*file}",
        artifacts::download,
    );

    table.repo(get, "/log", log::list);
    table.repo(get, "/log/{*ref}", log::list);
    table.repo(get, "/tree", objects::tree);
    table.repo(get, "/tree/{*ref}", objects::tree);
    table.repo(get, "/blob/{*ref}", objects::blob);
    table.repo(get, "/odb/{oid}", objects::odb);
    table.repo(get, "/lookup/{prefix}", objects::lookup);
    table
}

pub(crate) async fn version() -> Json<serde_json::Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}
