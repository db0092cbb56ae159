//! The way around every check, for operators, workers and plugins.
//!
//! Invariant: each use outside tests is marked, because `clippy.toml` disallows [`Forge::system`]: the list of
//! exceptions is one search away. It is another type than [`super::Caller`], so neither passes for the other.

use crate::Forge;

/// The forge acting on its own account.
#[derive(Debug, Clone)]
#[must_use]
pub struct System(Forge);

impl Forge {
    /// Acts without a caller. Whoever uses it answers for the access decision.
    pub fn system(&self) -> System {
        System(self.clone())
    }
}

impl System {
    pub(crate) fn forge(&self) -> &Forge {
        &self.0
    }
}
