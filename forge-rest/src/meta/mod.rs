//! The meta service: meta.sr.ht's REST API (seed 003). So far its version alone.

use forge_core::Forge;
use forge_core::http::Routes;

use crate::git::{App, version};
use crate::table::Table;
use crate::time::TimestampStyle;

/// The routes, to be mounted at the meta service's origin.
#[must_use]
pub fn routes(forge: Forge, time: TimestampStyle) -> Routes {
    let mut table = Table::default();
    table.get("/api/version", version);
    table.serve(App::new(forge, time))
}
