//! A service of the forge's own network that has proved who it is.
//!
//! Invariant: a [`Service`] is an [`ActingClient`] that an operator has marked as first-party. Of users it sees what their
//! tokens say, of other services nothing.

use super::ActingClient;
use crate::oauth::{Client, ClientId};
use crate::{Error, Forge, Result};

/// A first-party client that has proved who it is.
#[derive(Debug, Clone)]
#[must_use]
pub struct Service(ActingClient);

impl Forge {
    /// Finds out which service is calling.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such client in force, or no operator has marked it;
    /// [`Error::Unauthenticated`] if the secret is not its own.
    pub async fn authenticate_service(&self, id: &ClientId, secret: &str) -> Result<Service> {
        let proved = match self.authenticate_client(id, Some(secret)).await {
            Err(Error::Unauthenticated) => None,
            outcome => Some(outcome?),
        };
        let known = self.client(id).await?;
        known
            .filter(|client| client.is_first_party)
            .ok_or(Error::NotFound)?;
        proved.map(Service).ok_or(Error::Unauthenticated)
    }
}

impl Service {
    /// Which one it is.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.0.client()
    }

    pub(crate) fn forge(&self) -> &Forge {
        self.0.forge()
    }
}
