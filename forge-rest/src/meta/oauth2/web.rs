//! What `oxide-auth` reads requests from and writes answers to.
//!
//! Invariant: a parameter that comes twice counts as none (RFC 6749 3.1). Bodies and headers of HTTP are not made here.

use std::borrow::Cow;
use std::collections::BTreeSet;

use forge_core::{Error, Result};
use oxide_auth::endpoint::{NormalizedParameter, QueryParameter, WebRequest, WebResponse};
use url::{Url, form_urlencoded};

/// A request's parameters.
#[derive(Debug, Clone, Default)]
pub(super) struct Params {
    known: NormalizedParameter,
    seen: BTreeSet<String>,
    twice: BTreeSet<String>,
}

impl Params {
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut params = Self::default();
        for (name, value) in form_urlencoded::parse(text) {
            params.insert(Cow::Owned(name.into_owned()), value.into_owned());
        }
        params
    }

    fn insert(&mut self, name: Cow<'static, str>, value: String) {
        if !self.seen.insert(name.to_string()) {
            self.twice.insert(name.to_string());
        }
        self.known.insert_or_poison(name, Cow::Owned(value));
    }

    /// Whether a parameter is there more than once.
    pub(super) fn is_twice(&self, name: &str) -> bool {
        self.twice.contains(name)
    }

    /// Whether any parameter is there more than once.
    pub(super) fn is_any_twice(&self) -> bool {
        !self.twice.is_empty()
    }

    /// The value of a parameter; `None` if it is absent, empty, or there twice.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let value = self.known.unique_value(name)?.into_owned();
        (!value.is_empty()).then_some(value)
    }

    /// The others than that one.
    pub(super) fn without(self, name: &str) -> Self {
        let others = self.seen.iter().filter(|known| *known != name);
        let mut rest = Self::default();
        for name in others {
            if let Some(value) = self.known.unique_value(name) {
                rest.insert(Cow::Owned(name.clone()), value.into_owned());
            }
        }
        rest
    }

    /// Adds a parameter that the request has left out.
    pub(super) fn add(&mut self, name: &'static str, value: String) {
        self.insert(Cow::Borrowed(name), value);
    }
}

/// What `oxide-auth` wants answered. Of an error's body, the caller makes its own.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) location: Option<Url>,
    pub(super) json: Option<String>,
    /// The user is still to be asked.
    pub(super) is_question: bool,
}

impl WebRequest for Params {
    type Error = Error;
    type Response = Answer;

    fn query(&mut self) -> Result<Cow<'_, dyn QueryParameter + 'static>> {
        Ok(Cow::Borrowed(&self.known))
    }

    fn urlbody(&mut self) -> Result<Cow<'_, dyn QueryParameter + 'static>> {
        Ok(Cow::Borrowed(&self.known))
    }

    /// Clients have shown who they are before.
    fn authheader(&mut self) -> Result<Option<Cow<'_, str>>> {
        Ok(None)
    }
}

impl WebResponse for Answer {
    type Error = Error;

    fn ok(&mut self) -> Result<()> {
        Ok(())
    }

    fn redirect(&mut self, url: Url) -> Result<()> {
        self.location = Some(url);
        Ok(())
    }

    fn client_error(&mut self) -> Result<()> {
        Ok(())
    }

    fn unauthorized(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    fn body_text(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    fn body_json(&mut self, data: &str) -> Result<()> {
        self.json = Some(data.to_owned());
        Ok(())
    }
}
