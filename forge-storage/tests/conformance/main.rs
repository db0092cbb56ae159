//! The ports' conformance suites on SQLite, PostgreSQL and object stores, and what only these stores promise.

mod blobs;
mod databases;
mod postgres;
mod sqlite;
