//! The `Authorization` header (seed 000; RFC 6750): `token X` and `Bearer X`, in any case, for every kind of token.
//!
//! Invariant: a header that is there but not understood is refused, never taken for an anonymous request.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use forge_core::http::Peer;
use forge_core::{Caller, Credentials, Error, Forge};
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, request::Parts};

use crate::error::Failure;
use crate::git::App;

/// The longest token accepted, in bytes.
const MAX_TOKEN: usize = 4096;

/// Finds out who makes a request, by its headers. Without credentials, the caller is anonymous. Where the request comes
/// from, its extensions say, as a [`Peer`].
///
/// # Errors
/// [`Error::Unauthenticated`] for a header that is malformed or a token that means nobody; [`Error::Forbidden`] for a
/// suspended account.
pub async fn authenticate(
    forge: &Forge,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> forge_core::Result<Caller> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let credentials = match (given.next(), given.next()) {
        (None, _) => Credentials::None,
        (Some(header), None) => {
            let text = header.to_str().map_err(|_| Error::Unauthenticated)?;
            Credentials::Token(token(text).ok_or(Error::Unauthenticated)?)
        }
        (Some(_), Some(_)) => return Err(Error::Unauthenticated),
    };
    let caller = forge.authenticate(credentials).await?;
    Ok(caller.from_address(address(extensions)))
}

/// Where a request comes from, if that is known.
pub(crate) fn address(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Peer>().map(|peer| peer.0)
}

/// The token in a header's value.
fn token(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer");
    let token = token.trim_start();
    let good = !token.is_empty() && token.len() <= MAX_TOKEN && !token.contains(' ');
    (known && good).then_some(token)
}

/// A caller with valid credentials.
#[derive(Debug)]
pub(crate) struct Auth(pub(crate) Caller);

impl FromRequestParts<App> for Auth {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let caller = authenticate(&app.forge, &parts.headers, &parts.extensions).await?;
        caller.user()?;
        Ok(Self(caller))
    }
}

/// A caller with valid credentials, or none.
#[derive(Debug)]
pub(crate) struct Anyone(pub(crate) Caller);

impl FromRequestParts<App> for Anyone {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let caller = authenticate(&app.forge, &parts.headers, &parts.extensions).await?;
        Ok(Self(caller))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::token;

    #[test]
    fn both_schemes_work_in_any_case() {
        for good in [
            "token abc",
            "Bearer abc",
            "TOKEN abc",
            "bearer  abc",
            " token abc ",
        ] {
            assert_eq!(token(good), Some("abc"), "{good:?}");
        }
        for bad in [
            "",
            "abc",
            "token",
            "token ",
            "Basic abc",
            "Internal abc",
            "token a b",
            "tokenabc",
        ] {
            assert_eq!(token(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics_the_parser(text in any::<String>()) {
            let _ = token(&text);
        }
    }
}
