//! A client that has proved who it is.
//!
//! Invariant: an [`ActingClient`] is in force and has shown its secret, or has none. It acts for nobody by itself: what
//! it may see of users is what their authorizations gave it.

use subtle::ConstantTimeEq as _;

use crate::oauth::{Client, ClientId, SecretHash};
use crate::{Error, Forge, Result};

/// A client that has proved who it is.
#[derive(Debug, Clone)]
#[must_use]
pub struct ActingClient {
    forge: Forge,
    client: Client,
}

impl Forge {
    /// Finds out which client is calling. A client without a secret must not show one.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if there is no such client, it was revoked, or the secret is not its own.
    pub async fn authenticate_client(
        &self,
        id: &ClientId,
        secret: Option<&str>,
    ) -> Result<ActingClient> {
        let client = self.store().client(id).await?;
        // Hashed and compared in any case, so that an unknown client takes as long to refuse.
        let shown = SecretHash::of(secret.unwrap_or_default());
        let expected = client.as_ref().and_then(|client| client.secret);
        let unlike = expected.unwrap_or(SecretHash([0; 32]));
        let is_equal = bool::from(shown.0.ct_eq(&unlike.0));
        let client = client.ok_or(Error::Unauthenticated)?;
        let is_proved = match (expected, secret) {
            (Some(_), Some(_)) => is_equal,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !is_proved || client.revoked.is_some() {
            return Err(Error::Unauthenticated);
        }
        Ok(ActingClient {
            forge: self.clone(),
            client,
        })
    }
}

impl ActingClient {
    /// Which one it is.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn forge(&self) -> &Forge {
        &self.forge
    }
}
