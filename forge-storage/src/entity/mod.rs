//! Rows as the database has them: numbers, texts, bytes.
//!
//! Invariant: nothing here is checked; `sql/` turns rows into nouns and says what cannot be read. It does not make the
//! tables, which `migration/` does.

pub(crate) mod acls;
pub(crate) mod artifacts;
pub(crate) mod audit;
pub(crate) mod authorizations;
pub(crate) mod clients;
pub(crate) mod codes;
pub(crate) mod delegated_scopes;
pub(crate) mod deploy_keys;
pub(crate) mod devices;
pub(crate) mod imports;
pub(crate) mod jobs;
pub(crate) mod nonces;
pub(crate) mod passwords;
pub(crate) mod pgp_keys;
pub(crate) mod plugins;
pub(crate) mod pushes;
pub(crate) mod redirects;
pub(crate) mod refresh_tokens;
pub(crate) mod repos;
pub(crate) mod sessions;
pub(crate) mod ssh_keys;
pub(crate) mod token_watches;
pub(crate) mod tokens;
pub(crate) mod users;

use chrono::DateTime;
use forge_core::{Result, Timestamp};
use sea_orm::DeriveValueType;

use crate::error::unreadable;

/// A moment as microseconds since the Unix epoch.
///
/// Neither database's own type will do: SQLite has none, and texts stop sorting after the year 9999, which is where a
/// token without an end expires; PostgreSQL's covers fewer years than [`Timestamp`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, DeriveValueType)]
pub struct Micros(pub i64);

impl Micros {
    pub(crate) fn time(self) -> Result<Timestamp> {
        DateTime::from_timestamp_micros(self.0).ok_or_else(|| unreadable("time"))
    }
}

impl From<Timestamp> for Micros {
    fn from(time: Timestamp) -> Self {
        Self(time.timestamp_micros())
    }
}
