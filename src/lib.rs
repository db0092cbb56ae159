//! Forge.
