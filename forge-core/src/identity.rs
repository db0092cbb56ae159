//! The port to whoever knows which user a browser belongs to: the host's own sessions, or the forge's.
//!
//! Invariant: it is asked for pages alone. A session never authenticates a request to an API or to git.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::request::Parts;

use crate::Result;
use crate::names::UserName;

/// A user as the host knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The name, without tilde. It must not change: it is the user.
    pub name: UserName,
    /// E-mail address, if known. Taken over when the user is first seen.
    pub email: Option<String>,
}

/// Tells who is signed in.
#[async_trait]
pub trait IdentityProvider: Send + Sync + 'static {
    /// The user whose browser sent the request; `None` for nobody. On first sight, the user is added to the forge's.
    async fn current_user(&self, request: &Parts) -> Result<Option<Profile>>;
    /// The address to which a browser is sent to sign in and come back to `return_to`, a path and query of this forge's
    /// meta service, prefix included.
    fn login_url(&self, return_to: &str) -> String;
    /// The address at which a browser signs out, if the pages are to offer it, of the same origin as the pages; a `POST`
    /// without fields goes there.
    fn logout_url(&self) -> Option<String> {
        None
    }
}

/// Who tells which user a browser belongs to.
#[derive(Clone, Default)]
pub enum Identity {
    /// Nobody: there are no pages.
    #[default]
    Nobody,
    /// The host.
    Host(Arc<dyn IdentityProvider>),
    /// The forge itself: users sign in with a password, see [`crate::sessions`].
    Passwords,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Host(_) => "Host",
            Self::Passwords => "Passwords",
        })
    }
}
