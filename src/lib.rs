#![doc = include_str!("../README.md")]

mod builder;
mod layer;
mod proxies;
mod serve;

pub use builder::{Builder, builder};
#[cfg(feature = "testing")]
pub use forge_core::testing;
pub use forge_core::{
    Account, Actor, Caller, Clock, Courier, Credentials, Entropy, Error, Event, EventKind,
    FieldError, Forge, Grants, Identity, IdentityProvider, Level, Limits, Mail, Mailer, ManageRepo,
    Migration, Mode, Objects, Oid, Page, Paged, Plugin, Profile, PushTarget, ReadRepo, RefName,
    RepoId, RepoName, RepoPath, Result, RevSpec, Scope, Stop, System, SystemClock, SystemEntropy,
    Timestamp, TreePath, UserName, WriteRepo,
};
pub use forge_core::{
    access, acls, artifacts, audit, blobs, clock, delegation, events, http, keys, limits, names,
    oauth, objects, pgp_keys, push, repos, sessions, store, users,
};
pub use forge_git::{Git, Transport};
pub use forge_rest::TimestampStyle;
pub use forge_rest::git::{Endpoint, endpoints as git_endpoints};
pub use forge_rest::meta::endpoints as meta_endpoints;
pub use forge_storage::{ObjectBlobs, SqlStore};
pub use forge_webhooks::HttpCourier;
pub use layer::{App, ForgeLayer, ForgeService};
pub use serve::{Serve, ctrl_c};
