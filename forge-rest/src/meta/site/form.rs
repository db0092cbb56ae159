//! What a form of a page sends.
//!
//! Invariant: fields are read up to the forge's limit on bodies, before anybody is asked who sends them: whoever it is must
//! be signed in when the form is whole. Of a field that comes twice, the first counts.

use std::fmt;

use axum::extract::{FromRequest, FromRequestParts as _, Request};
use forge_core::{Account, Error};
use http::header::CONTENT_TYPE;
use url::form_urlencoded;

use super::{Detour, Site, Visitor};
use crate::body::whole;

/// The fields of a form.
#[derive(Default)]
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
    whole(body, site.forge.limits().body_bytes).await
}

impl fmt::Debug for Form {
    /// Names alone: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(name, _)| name);
        f.debug_set().entries(names).finish()
    }
}

/// A form of one of our pages, and the browser that sends it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) visitor: Visitor,
    pub(crate) form: Form,
}

impl Sent {
    async fn read(request: Request, site: &Site) -> Result<Self, Detour> {
        let (mut parts, sent) = request.into_parts();
        if !is_form(&parts.headers) {
            return Err(Error::malformed("the body is not a form").into());
        }
        let form = Form::parse(&body(site, sent).await?);
        let visitor = Visitor::from_request_parts(&mut parts, site).await?;
        Ok(Self { visitor, form })
    }
}

impl FromRequest<Site> for Sent {
    type Rejection = Detour;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Detour> {
        let sent = Self::read(request, site).await?;
        sent.visitor.check(&sent.form)?;
        Ok(sent)
    }
}

/// A form of one of our pages, and who is signed in; others are led to sign in.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) visitor: Visitor,
    pub(crate) account: Account,
    pub(crate) form: Form,
}

impl FromRequest<Site> for Submitted {
    type Rejection = Detour;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Detour> {
        let Sent { visitor, form } = Sent::read(request, site).await?;
        let account = visitor.account(site)?;
        visitor.check(&form)?;
        Ok(Self {
            visitor,
            account,
            form,
        })
    }
}
