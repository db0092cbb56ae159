//! SourceHut's REST APIs: requests in, operations of [`forge_core`] called, JSON out.
//!
//! Invariant: every status from 400 on carries the error body of seed 000, and no handler decides who may do what.
//! It does not speak to stores or repositories; it cannot reach them.

mod body;
mod caller;
mod error;
mod etag;
pub mod git;
pub mod meta;
mod page;
mod table;
mod target;
mod time;

pub use caller::authenticate;
pub use error::error_response;
pub use time::TimestampStyle;
