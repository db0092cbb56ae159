//! Conformance suites for the ports, and stand-ins for time and randomness. Feature `testing`.
//!
//! Whoever implements a port runs its suite; a change here is a breaking change. The suites panic where a contract is
//! broken, as tests do.

mod blobs;
mod clock;
mod git;
mod store;

pub use blobs::blobs;
pub use clock::{FixedClock, SeededEntropy};
pub use git::{Fixture, git, git_reads, git_walks, tangled_history};
pub use store::store;
