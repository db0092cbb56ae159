//! The forge as its users meet it: through the facade, with real databases and real git.

mod access;
mod crash;
mod layer;
mod plugins;
mod support;
mod wire;
