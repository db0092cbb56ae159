//! The meta service: meta.sr.ht's REST API (seed 003). So far its version and SSH keys.
//!
//! Invariant: unlike on the git service, a trailing slash counts: the blob of a key may end in one.

mod keys;

use forge_core::Forge;
use forge_core::http::Routes;
use http::Method;

use crate::git::{App, version};
use crate::table::{Endpoint, Table};
use crate::time::TimestampStyle;

/// The routes, to be mounted at the meta service's origin.
#[must_use]
pub fn routes(forge: Forge, time: TimestampStyle) -> Routes {
    table().serve(App::new(forge, time))
}

/// What the routes serve.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    table().endpoints()
}

fn table() -> Table {
    let mut table = Table::default();
    table.get("/api/version", version);

    table.get("/api/user/ssh-keys", keys::list);
    table.add(Method::POST, "/api/user/ssh-keys", keys::create);
    table.get("/api/user/ssh-keys/{id}", keys::get);
    table.add(Method::PUT, "/api/user/ssh-keys/{id}", keys::touch);
    table.add(Method::DELETE, "/api/user/ssh-keys/{id}", keys::delete);
    table.get("/api/ssh-key/{*blob}", keys::find);
    // `/~{user}.keys`: the router knows no endings.
    table.get("/~{page}", keys::file);
    table
}
