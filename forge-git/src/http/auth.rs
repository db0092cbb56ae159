//! Who makes a request, by its `Authorization` header.
//!
//! Invariant: a header that is there but not understood is refused, never taken for an anonymous request. Passwords are
//! not known here: what stands in the place of one is a token.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use forge_core::{Caller, Credentials, Error, Forge, Result};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The longest token accepted, in bytes.
const MAX_TOKEN: usize = 4096;
/// What some clients send as the password where the user name is the token.
const NO_PASSWORD: &str = "x-oauth-basic";
/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Finds out who makes a request. Without credentials, the caller is anonymous.
pub(super) async fn authenticate(forge: &Forge, headers: &HeaderMap) -> Result<Caller> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => forge.authenticate(Credentials::None).await,
        (Some(header), None) => {
            let text = header.to_str().map_err(|_| Error::Unauthenticated)?;
            let token = token(text).ok_or(Error::Unauthenticated)?;
            forge.authenticate(Credentials::Token(&token)).await
        }
        (Some(_), Some(_)) => Err(Error::Unauthenticated),
    }
}

/// The token in a header's value: `Basic` with any user name (git's own helpers fill that in), `Bearer` or `token`.
fn token(header: &str) -> Option<String> {
    let (scheme, value) = header.trim().split_once(' ')?;
    let value = value.trim_start();
    let is = |known: &str| scheme.eq_ignore_ascii_case(known);
    let token = if is("basic") {
        let pair = BASE64.decode(value).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        match pair.split_once(':') {
            Some((user, "" | NO_PASSWORD)) => user.to_owned(),
            Some((_, password)) => password.to_owned(),
            None => return None,
        }
    } else if is("bearer") || is("token") {
        value.to_owned()
    } else {
        return None;
    };
    let is_good = !token.is_empty() && token.len() <= MAX_TOKEN && !token.contains(' ');
    is_good.then_some(token)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn basic(pair: &str) -> String {
        format!("Basic {}", BASE64.encode(pair))
    }

    #[test]
    fn a_token_is_found_wherever_a_client_puts_it() {
        for good in [
            "token abc".to_owned(),
            "Bearer abc".to_owned(),
            "bearer  abc ".to_owned(),
            basic("me:abc"),
            basic(":abc"),
            basic("abc:"),
            basic("abc:x-oauth-basic"),
            basic("me:abc").replace("Basic", "bASIC").replace('=', ""),
        ] {
            assert_eq!(token(&good).as_deref(), Some("abc"), "{good:?}");
        }
        assert_eq!(token(&basic("me:a:b")).as_deref(), Some("a:b"));
    }

    #[test]
    fn what_is_no_token_is_none() {
        for bad in [
            String::new(),
            "Basic".to_owned(),
            "Basic !".to_owned(),
            "Digest abc".to_owned(),
            "token ".to_owned(),
            "token a b".to_owned(),
            basic("abc"),
            basic(":"),
            basic(":x-oauth-basic"),
            basic("me:a b"),
            basic(&format!("me:{}", "x".repeat(5_000))),
        ] {
            assert_eq!(token(&bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics_the_parser(text in any::<String>()) {
            let _ = token(&text);
            let _ = token(&basic(&text));
        }
    }
}
