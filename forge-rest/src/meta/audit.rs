//! The account's log, and how it looks in JSON (seed 003, "audit log entry").

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::State;
use axum::response::Response;
use forge_core::audit::Entry;
use serde::Serialize;

use crate::caller::Auth;
use crate::error::Result;
use crate::git::App;
use crate::page::{self, Start};
use crate::time::TimestampStyle;

/// What stands for an address that is not known: clients read an address, not null.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: i64,
    ip: String,
    action: String,
    details: Option<String>,
    created: String,
}

impl View {
    fn new(entry: Entry, time: TimestampStyle) -> Self {
        Self {
            id: entry.id.0,
            ip: entry.ip.unwrap_or(UNKNOWN).to_string(),
            action: entry.action,
            details: entry.details,
            created: time.text(entry.created),
        }
    }
}

/// `GET /api/user/audit-log`
pub(crate) async fn list(
    State(app): State<App>,
    Auth(caller): Auth,
    Start(page): Start,
) -> Result<Response> {
    let log = caller.account()?.audit_log(page).await?;
    Ok(page::list(log, |entry| View::new(entry, app.time)))
}
