//! The forge as its users meet it: through the facade, with real databases and real git.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod access;
mod accounts;
mod client;
mod clients;
mod crash;
mod fidelity;
mod hostile;
mod imports;
mod layer;
mod logs;
mod oauth;
mod pages;
mod plugins;
mod standalone;
mod support;
mod wire;
