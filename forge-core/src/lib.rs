//! The nouns of a git forge, the rules about them, the operations on them, and the ports behind them.
//!
//! Everything else in the workspace is a translator: a transport parses a request, asks a [`Caller`] for a capability,
//! calls one operation and prints; a store or a backend implements a port. All of them depend on this crate and on
//! none of each other.
//!
//! A noun is a module, with the same file names in each: `mod.rs` its types, `store.rs` its storage contract, `ops.rs`
//! what is done with it. Where who may do what is decided: [`access`].

pub mod access;
pub mod acls;
pub mod artifacts;
pub mod audit;
pub mod blobs;
pub mod clock;
pub mod delegation;
pub mod events;
pub mod http;
pub mod identity;
pub mod imports;
pub mod keys;
pub mod limits;
pub mod mailer;
pub mod names;
pub mod oauth;
pub mod objects;
pub mod pgp_keys;
pub mod push;
pub mod repos;
pub mod sessions;
pub mod store;
pub mod users;

mod error;
mod forge;
mod ids;
mod page;
mod plugin;
mod stop;
#[cfg(feature = "testing")]
pub mod testing;

pub use access::{
    Account, ActingClient, Actor, Caller, Credentials, Grants, Level, ManageRepo, Mode, Objects,
    PushTarget, ReadRepo, Scope, System, WriteRepo,
};
pub use clock::{Clock, Entropy, SystemClock, SystemEntropy, Timestamp};
pub use delegation::Courier;
pub use error::{Error, FieldError, Result, Source};
pub use events::{Event, EventKind};
pub use forge::{Forge, Parts};
pub use identity::{Identity, IdentityProvider, Profile};
pub use ids::{
    AclId, ArtifactId, AuditId, AuthorizationId, ClientRow, DelegatedScopeId, DeployKeyId, JobId,
    KeyId, PgpKeyId, RepoId, TokenId, UserId,
};
pub use limits::Limits;
pub use mailer::{Mail, Mailer};
pub use names::{RefName, RepoName, RepoPath, RevSpec, TreePath, UserName};
pub use objects::Oid;
pub use page::{PAGE_SIZE, Page, Paged};
pub use plugin::{Migration, Plugin};
pub use stop::Stop;
