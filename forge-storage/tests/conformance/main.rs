//! The ports' conformance suites on SQLite, PostgreSQL and object stores, and what only these stores promise.

mod blobs;
mod cached;
mod databases;
mod postgres;
mod shared;
mod sqlite;
