//! Whose a token is that a service was shown.

use url::Url;

use super::super::{NewWatch, TokenDigest};
use crate::access::{Grants, Mode, Scope, Service};
use crate::clock::Timestamp;
use crate::{Error, Result};

/// The longest address at which a service is told of a token's end.
const MAX_URL: usize = 256;

/// What a service is told of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// From when on it means nobody.
    pub expires: Timestamp,
    /// All that it may do, other services' scopes included as far as they are in force.
    pub grants: Grants,
}

impl Service {
    /// What there is to say of a token that somebody has shown the service. That counts as a use of the token; should it end
    /// before its time, the service is told at `revocation_url`.
    ///
    /// # Errors
    /// [`Error::Invalid`] on field `oauth_token` if the token means nobody, or has nothing for this service: neither a scope
    /// of its own nor the profile; on field `revocation_url` if that is not an address of the service.
    pub async fn verify(&self, token: &str, revocation_url: &str) -> Result<Verified> {
        let refused = || {
            let reason = "oauth_token is not valid, or has nothing for this service";
            Error::invalid("oauth_token", reason)
        };
        let (forge, client) = (self.forge(), self.client());
        if !is_of(&client.redirect_uri, revocation_url) {
            let reason = "revocation_url must be an http or https address of at most 256 characters, \
                with the scheme, host and port of the service's redirect URI";
            return Err(Error::invalid("revocation_url", reason));
        }
        let found = match forge.token_in_force(token).await {
            Err(Error::Unauthenticated | Error::Forbidden { .. }) => return Err(refused()),
            found => found?,
        };
        let mut grants = found.0.grants;
        forge.drop_dead_scopes(&mut grants).await?;
        let is_for_us = grants.allow(Scope::MetaProfile, Mode::Read)
            || grants
                .delegated()
                .any(|(scope, _)| scope.named.client == client.client_id);
        if !is_for_us {
            return Err(refused());
        }
        let watch = NewWatch {
            token: found.0.id,
            client: client.id,
            url: revocation_url.to_owned(),
            digest: TokenDigest::of(token),
        };
        let mut tx = forge.store().begin().await?;
        // Its end may have come nearer since it was read: whoever brought it there found nobody to tell.
        let expires = tx.watch_token(&watch, forge.now()).await?;
        let expires = expires.ok_or_else(refused)?;
        tx.commit().await?;
        Ok(Verified { expires, grants })
    }
}

/// Whether a service may be told something there: it has shown nothing but its redirect URI, and whoever tells is the forge,
/// which may reach what the service may not.
fn is_of(redirect_uri: &str, url: &str) -> bool {
    let (Ok(registered), Ok(parsed)) = (Url::parse(redirect_uri), Url::parse(url)) else {
        return false;
    };
    url.len() <= MAX_URL
        && matches!(parsed.scheme(), "http" | "https")
        && parsed.username().is_empty()
        && parsed.password().is_none()
        && parsed.fragment().is_none()
        && parsed.origin() == registered.origin()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::OUT_OF_BAND;

    #[test]
    fn a_service_is_told_where_its_users_are_sent() {
        let registered = "https://lists.example/oauth/callback";
        let long = format!("https://lists.example/{}", "a".repeat(MAX_URL));
        for (url, good) in [
            ("https://lists.example/oauth/revoke", true),
            ("https://lists.example:443/oauth/revoke?x=1", true),
            ("http://lists.example/oauth/revoke", false),
            ("https://lists.example:8443/oauth/revoke", false),
            ("https://www.lists.example/oauth/revoke", false),
            ("https://lists.example@evil.example/", false),
            ("https://user:secret@lists.example/", false),
            ("https://lists.example/#x", false),
            ("https://127.0.0.1/", false),
            ("file:///etc/passwd", false),
            ("/oauth/revoke", false),
            ("", false),
            (long.as_str(), false),
        ] {
            assert_eq!(is_of(registered, url), good, "{url}");
        }
        assert!(!is_of(OUT_OF_BAND, OUT_OF_BAND));
        assert!(!is_of("org.example.app:/cb", "org.example.app:/cb"));
    }
}
