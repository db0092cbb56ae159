//! Conformance suites for the ports, and stand-ins for time and randomness. Feature `testing`.
//!
//! Whoever implements a port runs its suite; a change here is a breaking change. The suites panic where a contract is
//! broken, as tests do.

mod clock;

pub use clock::{FixedClock, SeededEntropy};
