//! Whose browser it is, and which forms it may send.
//!
//! Invariant: a form counts if it carries what a page gave this browser for this user, and comes from this site as far as
//! the browser says where it comes from. Who may do what is not decided here.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::response::Response;
use forge_core::http::{Origin, cookie};
use forge_core::oauth::SecretHash;
use forge_core::{Account, Caller, Error, Identity};
use http::header::{HOST, ORIGIN, SET_COOKIE};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Detour, Form, Site};
use crate::caller::address;

/// The cookie that forms are bound to.
const COOKIE_NAME: &str = "forge_form";

/// A browser, and who is signed in with it, if anybody.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) caller: Option<Caller>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) parts: Parts,
    /// What the browser keeps, and whether it is new to it.
    secret: String,
    is_new: bool,
    /// Whether the request comes from this site, as far as the browser says.
    is_from_here: bool,
}

impl Visitor {
    /// The account of whoever is signed in, or the way to sign in.
    pub(crate) fn account(&self, site: &Site) -> Result<Account, Detour> {
        match &self.caller {
            Some(caller) => Ok(caller.account()?),
            None => Err(self.login(site)?),
        }
    }

    fn login(&self, site: &Site) -> forge_core::Result<Detour> {
        let here = self.parts.uri.path_and_query();
        let here = site.path(here.map_or("/", |here| here.as_str()));
        Ok(Detour::To(match site.forge.identity() {
            Identity::Nobody => return Err(Error::NotFound),
            Identity::Host(host) => host.login_url(&here),
            Identity::Passwords => {
                let here = utf8_percent_encode(&here, NON_ALPHANUMERIC);
                site.path(&format!("/login?return_to={here}"))
            }
        }))
    }

    /// What a form carries to show that it comes from a page of ours.
    pub(crate) fn token(&self) -> String {
        self.hash().hex()
    }

    fn hash(&self) -> SecretHash {
        let user = self.caller.as_ref().and_then(|caller| caller.user().ok());
        let user = user.map_or("", |user| user.name.as_str());
        SecretHash::of(&format!("form {} {user}", self.secret))
    }

    /// Refuses a form that does not come from a page of ours.
    pub(crate) fn check(&self, form: &Form) -> Result<(), Error> {
        if self.is_from_here && self.hash().is_hex(form.text("token")) {
            return Ok(());
        }
        Err(Error::forbidden(
            "this form is not from a page that you have just seen: go back, load the page again and repeat",
        ))
    }

    /// The response, with the cookie that its forms are bound to.
    pub(crate) fn remember(&self, site: &Site, mut response: Response) -> Response {
        if self.is_new {
            add_cookie(
                site,
                response.headers_mut(),
                COOKIE_NAME,
                &self.secret,
                None,
            );
        }
        response
    }
}

impl FromRequestParts<Site> for Visitor {
    type Rejection = Detour;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Detour> {
        if matches!(site.forge.identity(), Identity::Nobody) {
            return Err(Error::NotFound.into());
        }
        let address = address(&parts.extensions);
        let origin = site.forge.meta_origin();
        let caller = site.forge.signed_in(parts).await?;
        let caller = caller.map(|caller| caller.from_address(address));
        let known = cookie(&parts.headers, &origin.cookie_name(COOKIE_NAME));
        let known = known.filter(|known| known.len() == 64);
        let (secret, is_new) = match known {
            Some(known) => (known.to_owned(), false),
            None => (site.forge.form_secret()?.expose().to_owned(), true),
        };
        Ok(Self {
            caller,
            address,
            parts: parts.clone(),
            secret,
            is_new,
            is_from_here: is_from_here(parts, origin),
        })
    }
}

/// A browser with which somebody is signed in; others are led to sign in.
#[derive(Debug)]
pub(crate) struct SignedIn {
    pub(crate) visitor: Visitor,
    pub(crate) account: Account,
}

impl FromRequestParts<Site> for SignedIn {
    type Rejection = Detour;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Detour> {
        let visitor = Visitor::from_request_parts(parts, site).await?;
        let account = visitor.account(site)?;
        Ok(Self { visitor, account })
    }
}

/// Sets a cookie that no script reads and no other site's form sends; `seconds` of life, or as long as the browser runs.
/// `name` is the part after what [`Origin::cookie_name`] puts before it.
pub(crate) fn add_cookie(
    site: &Site,
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
    seconds: Option<i64>,
) {
    let origin = site.forge.meta_origin();
    let name = origin.cookie_name(name);
    // A name with that prefix demands the whole site for its path.
    let path = if origin.is_secure() {
        ""
    } else {
        origin.prefix()
    };
    let mut text = format!("{name}={value}; Path={path}/; HttpOnly; SameSite=Lax");
    if let Some(seconds) = seconds {
        text.push_str(&format!("; Max-Age={seconds}"));
    }
    if origin.is_secure() {
        text.push_str("; Secure");
    }
    // Names and values are hex digits and letters; the prefix is an escaped path.
    if let Ok(text) = HeaderValue::from_str(&text) {
        headers.append(SET_COOKIE, text);
    }
}

/// Whether the browser, if it says so, says that a request comes from this very site: the one that is configured, or the
/// one that was asked. A proxy may ask by another name than browsers do.
fn is_from_here(parts: &Parts, ours: &Origin) -> bool {
    let text = |name| {
        let value = parts.headers.get(name);
        value.map(|value: &HeaderValue| value.to_str().unwrap_or("?"))
    };
    // HTTP/2 has the host in the URI.
    let asked = parts.uri.authority().map(Authority::as_str);
    let asked = asked.or(text(HOST.as_str()));
    let is_same = text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let is_named = text(ORIGIN.as_str()).is_none_or(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        ours.is_called(origin) || (authority.is_some() && authority == asked)
    });
    is_same && is_named
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(uri: &str, pairs: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn a_form_of_another_site_is_not_ours() {
        let ours = "https://forge.example/meta".parse().expect("an origin");
        let host = ("host", "localhost:8080");
        for (good, pair) in [
            (true, ("origin", "http://localhost:8080")),
            (true, ("origin", "https://forge.example")),
            (true, ("sec-fetch-site", "same-origin")),
            (false, ("origin", "https://evil.example")),
            (false, ("origin", "http://forge.example")),
            (false, ("origin", "https://forge.example:8443")),
            (false, ("origin", "null")),
            (false, ("origin", "http://localhost:8080.evil.example")),
            (false, ("sec-fetch-site", "cross-site")),
            (false, ("sec-fetch-site", "same-site")),
        ] {
            let asked = request("/login", &[host, pair]);
            assert_eq!(is_from_here(&asked, &ours), good, "{pair:?}");
        }
        let program = request("/login", &[host]);
        assert!(is_from_here(&program, &ours), "a program need not say");
        let newer = request("https://other/login", &[("origin", "https://other")]);
        assert!(is_from_here(&newer, &ours), "HTTP/2 has no Host");
    }
}
