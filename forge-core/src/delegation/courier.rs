//! The port to whoever brings other services what they are to be told.
//!
//! Invariant: what is brought is queued first, so a courier that fails is asked again, for about four days. The same may be
//! brought twice. Addresses are those of services that an operator trusts; a courier looks no further into them.

use async_trait::async_trait;
use url::Url;

use crate::Result;

/// Brings other services what they are to be told.
#[async_trait]
pub trait Courier: Send + Sync + 'static {
    /// Posts a JSON text to an address; whether the service took it, or knows nothing of what it says. With `false` it is
    /// brought again, and with an error, if there is no answer, together with what else there is for that address. Neither
    /// text nor address is to be logged.
    async fn post(&self, url: &Url, json: String) -> Result<bool>;
}
