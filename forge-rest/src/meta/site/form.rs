//! What a form of a page sends.
//!
//! Invariant: fields are read up to the forge's limit on bodies; of a field that comes twice, the first counts.

use axum::extract::{FromRequest, Request};
use forge_core::Error;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, Limited};
use url::form_urlencoded;

use super::{Detour, Site};

/// The fields of a form.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`.
    pub(crate) fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// A field; empty if it is absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// A field that says something.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name).trim()).filter(|text| !text.is_empty())
    }
}

/// Whether a request's body says that it is a form.
pub(crate) fn is_form(headers: &http::HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    kind.trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// A request's body, whole.
pub(crate) async fn body(site: &Site, body: axum::body::Body) -> forge_core::Result<bytes::Bytes> {
    let body = Limited::new(body, site.forge.limits().body_bytes)
        .collect()
        .await;
    Ok(body.map_err(|_| Error::Limit { what: "body" })?.to_bytes())
}

impl FromRequest<Site> for Form {
    type Rejection = Detour;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Detour> {
        if !is_form(request.headers()) {
            return Err(Error::malformed("the body is not a form").into());
        }
        Ok(Self::parse(&body(site, request.into_body()).await?))
    }
}
