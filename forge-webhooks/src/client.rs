//! The client of outgoing HTTP, the only one.
//!
//! Invariant: it asks one address and follows no answer elsewhere, through no proxy, and is done in ten seconds; of an answer
//! it reads the status. It does not look where an address leads: those that come here are of services that an operator
//! trusts. Users' addresses, which webhooks will bring, must be looked at first.

use std::time::Duration;

use async_trait::async_trait;
use forge_core::{Courier, Error, Result};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use reqwest::Client;
use reqwest::redirect::Policy;
use url::Url;

/// How long one request may take in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells other services by HTTP; a cheap handle to clone.
#[derive(Debug, Clone)]
pub struct HttpCourier(Client);

impl HttpCourier {
    /// Makes one. This installs *ring* as the process's default provider of cryptography, unless the host has installed one.
    ///
    /// # Errors
    /// [`Error::Internal`] if the machine has no usable certificates.
    pub fn new() -> Result<Self> {
        // The client panics without a provider; a second installation is no harm.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .build();
        Ok(Self(client.map_err(Error::internal)?))
    }
}

#[async_trait]
impl Courier for HttpCourier {
    async fn post(&self, url: &Url, json: String) -> Result<bool> {
        let request = self.0.post(url.clone());
        let request = request.header(CONTENT_TYPE, "application/json").body(json);
        // An error would name the address.
        let answer = request.send().await;
        let answer = answer.map_err(|error| Error::unavailable(error.without_url()))?;
        let status = answer.status();
        let is_unknown = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        Ok(status.is_success() || is_unknown)
    }
}
