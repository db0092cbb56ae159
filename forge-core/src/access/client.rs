//! A client that has proved who it is.
//!
//! Invariant: an [`ActingClient`] is in force, its owner is in good standing, and it has shown its secret or has none. It
//! acts for nobody by itself: what it may see of users is what their authorizations gave it.

use std::net::IpAddr;

use crate::oauth::{Client, ClientId, SecretHash};
use crate::{Error, Forge, Result};

/// A client that has proved who it is.
#[derive(Debug, Clone)]
#[must_use]
pub struct ActingClient {
    forge: Forge,
    client: Client,
    /// Where the request comes from, if that is known.
    peer: Option<IpAddr>,
}

impl Forge {
    /// Finds out which client is calling. A client without a secret must not show one.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if there is no such client in force, or the secret is not its own.
    pub async fn authenticate_client(
        &self,
        id: &ClientId,
        secret: Option<&str>,
    ) -> Result<ActingClient> {
        let secret = secret.map(SecretHash::of);
        let found = self.store().client_by_secret(id, secret.as_ref()).await?;
        let client = self.in_force(found).await?;
        Ok(ActingClient {
            forge: self.clone(),
            client: client.ok_or(Error::Unauthenticated)?,
            peer: None,
        })
    }
}

impl ActingClient {
    /// The same client, known to call from this address.
    pub fn from_address(self, peer: Option<IpAddr>) -> Self {
        Self { peer, ..self }
    }

    /// The address of whoever is calling, if it is known.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Which one it is.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn forge(&self) -> &Forge {
        &self.forge
    }
}
