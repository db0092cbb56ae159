//! How a client shows who it is: `Authorization: Basic`, or `client_id` and `client_secret` in the body (RFC 6749 2.3.1).
//!
//! Invariant: one of both, never both at once. Whether the secret is right is decided in [`forge_core::access`].

use axum::extract::{FromRequest, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forge_core::ActingClient;
use forge_core::oauth::ClientKind;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;

use super::Refusal;
use super::web::Params;
use crate::caller::address;
use crate::meta::site::{Site, form};

/// A request of a client that has shown who it is.
#[derive(Debug)]
pub(super) struct FromClient {
    pub(super) client: ActingClient,
    pub(super) params: Params,
}

impl FromRequest<Site> for FromClient {
    type Rejection = Refusal;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        if !form::is_form(&parts.headers) {
            let text = "the body must be application/x-www-form-urlencoded";
            return Err(Refusal::new("invalid_request", text));
        }
        let params = Params::parse(&form::body(site, body).await?);
        let (id, secret) = shown(&parts.headers, &params)?;
        let id = id.parse().map_err(|_| Refusal::client())?;
        let client = site
            .forge
            .authenticate_client(&id, secret.as_deref())
            .await?
            .from_address(address(&parts.extensions));
        if client.client().kind == ClientKind::Legacy {
            return Err(Refusal::client());
        }
        Ok(Self { client, params })
    }
}

fn shown(headers: &HeaderMap, params: &Params) -> Result<(String, Option<String>), Refusal> {
    let (id, secret) = (params.get("client_id"), params.get("client_secret"));
    let Some(header) = headers.get(AUTHORIZATION) else {
        let id = id.ok_or_else(Refusal::client)?;
        return Ok((id, secret));
    };
    let basic = header
        .to_str()
        .ok()
        .and_then(basic)
        .ok_or_else(Refusal::client)?;
    if secret.is_some() || id.is_some_and(|id| id != basic.0) {
        let text = "the client is to show who it is in one way";
        return Err(Refusal::new("invalid_request", text));
    }
    Ok((basic.0, Some(basic.1)))
}

/// Name and password, each of which is encoded like a form's value before both are together.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, pair) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(pair.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        Some(percent_decode_str(&text).decode_utf8().ok()?.into_owned())
    };
    Some((decoded(id)?, decoded(secret)?))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(pair: &str) -> HeaderMap {
        let text = format!("Basic {}", STANDARD.encode(pair));
        let value = HeaderValue::from_str(&text).expect("ASCII");
        [(AUTHORIZATION, value)].into_iter().collect()
    }

    #[test]
    fn a_client_shows_who_it_is_in_one_way() {
        let none = Params::default();
        let body = Params::parse(b"client_id=a&client_secret=b");
        let ok = |found: Result<(String, Option<String>), Refusal>| found.expect("a client");
        assert_eq!(
            ok(shown(&HeaderMap::new(), &body)),
            ("a".into(), Some("b".into()))
        );
        assert_eq!(
            ok(shown(&with("a:b%3Ac"), &none)),
            ("a".into(), Some("b:c".into()))
        );
        let public = Params::parse(b"client_id=a");
        assert_eq!(ok(shown(&HeaderMap::new(), &public)), ("a".into(), None));
        assert_eq!(
            ok(shown(&with("a:b"), &public)),
            ("a".into(), Some("b".into()))
        );
        for (headers, params) in [
            (with("a:b"), &body),
            (with("c:b"), &public),
            (with("a"), &none),
            (HeaderMap::new(), &none),
            (HeaderMap::new(), &Params::parse(b"client_id=a&client_id=b")),
        ] {
            assert!(shown(&headers, params).is_err(), "{headers:?} {params:?}");
        }
    }
}
