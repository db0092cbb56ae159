//! Who may do what. The only place of the workspace that decides it.
//!
//! Nobody asks "may I?". A [`Caller`] asks for a capability ([`ReadRepo`], [`Objects`], [`WriteRepo`], [`ManageRepo`],
//! [`Account`]),
//! and the operations are methods of the capability that permits them.
//!
//! Invariant: the fields of a capability are private to this module, so having one is the proof that the check was
//! made. A capability is a snapshot for the length of one request: nothing stores one; jobs carry ids.
//!
//! ```compile_fail
//! // A capability cannot be made outside this module...
//! fn make(caller: forge_core::Caller) -> forge_core::ReadRepo { forge_core::ReadRepo { caller } }
//! ```
//!
//! ```compile_fail,E0423
//! // ... nor raised from a lesser one ...
//! fn raise(repo: forge_core::ReadRepo) -> forge_core::ManageRepo { forge_core::ManageRepo(repo) }
//! ```
//!
//! ```compile_fail,E0624
//! // ... nor gone around: the store is out of reach.
//! fn around(forge: &forge_core::Forge) { forge.store(); }
//! ```
//!
//! It does not know how credentials travel: each transport reads its own headers.

mod account;
mod actor;
mod caller;
mod client;
mod delegated;
mod grants;
mod network;
mod repo;
mod scope;
mod service;
mod system;

pub use account::Account;
pub use actor::{Actor, Credentials};
pub use caller::{Caller, NewPush, PushTarget};
pub use client::ActingClient;
pub use delegated::{Delegated, Named, ScopeName};
pub use grants::Grants;
pub(crate) use network::NONCES_KEPT;
pub use network::{Network, NetworkKey, Signed};
pub use repo::{Level, ManageRepo, Objects, ReadRepo, WriteRepo};
pub use scope::{Mode, Scope};
pub use service::Service;
pub use system::System;
