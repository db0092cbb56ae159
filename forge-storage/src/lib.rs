//! Rows in SQLite or PostgreSQL, artifacts' content in any object store: the ports [`forge_core::store`] and
//! [`forge_core::blobs`], implemented.
//!
//! The same statements serve the pool and a transaction ([`Sql`]), and the same tables serve both databases. What one
//! noun reads and writes is in `sql/<noun>.rs`, its rows in `entity/`, the tables in `migration/`.
//!
//! Invariant: what a commit acknowledged survives the machine's power being cut. It does not know permissions.

mod blobs;
mod cache;
mod connect;
#[expect(
    unreachable_pub,
    reason = "the derives name these types in items that are `pub` themselves"
)]
mod entity;
mod error;
mod migration;
mod sql;
mod store;

pub use blobs::ObjectBlobs;
pub use store::{Pool, Sql, SqlStore};
