//! The few HTTP types that cross crate boundaries: a body, a boxed service, a public address.
//!
//! Invariant: only `http` and `tower` types show here, so a host's web framework (or its version) never matters.
//! It does not route; the facade does.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _, future::BoxFuture};
use http::header::COOKIE;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};
use url::Url;

use crate::{Error, Result};

/// Any error, boxed: what bodies and foreign services fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's or response's body, of any origin.
pub struct Body(UnsyncBoxBody<Bytes, BoxError>);

impl Body {
    /// Wraps a body of any kind.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }

    /// A body without content.
    #[must_use]
    pub fn empty() -> Self {
        Self::from(Bytes::new())
    }

    /// A body that is sent piece by piece as the stream yields.
    pub fn from_stream<S, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        Self(StreamBody::new(stream.map_ok(Frame::data).map_err(Into::into)).boxed_unsync())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::new(Full::new(bytes))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body")
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// The address of the client, as whoever accepted the connection knows it: put into a request's extensions by the
/// server, or by a host that knows better because it stands behind a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(pub std::net::IpAddr);

/// A tower service that answers every request it is given: one service of the forge, or a plugin's routes.
#[derive(Clone)]
pub struct Routes(BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>);

impl Routes {
    /// Boxes a service, an axum `Router` for example.
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(BoxCloneSyncService::new(service.map_response(
            |response: Response<B>| response.map(Body::new),
        )))
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Routes")
    }
}

impl Service<Request<Body>> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}

/// The public address of one service: scheme, host, and the path prefix it is mounted at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    url: Url,
    prefix: String,
}

impl Origin {
    /// The path prefix: empty, or `/segment…` without a final slash.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Host and, if it is not the scheme's own, port; as a `Host` header spells it.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.url.authority()
    }

    /// The host alone.
    #[must_use]
    pub fn host(&self) -> &str {
        // Parsing has made sure that there is one.
        self.url.host_str().unwrap_or_default()
    }

    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether a browser that is at this origin calls it so in an `Origin` header (RFC 6454 6.2).
    #[must_use]
    pub fn is_called(&self, text: &str) -> bool {
        text == self.url.origin().ascii_serialization()
    }

    /// What a cookie of this origin is called. Over TLS, the prefix keeps other hosts and plain connections from setting
    /// one (RFC 6265bis 4.1.3.2).
    #[must_use]
    pub fn cookie_name(&self, name: &str) -> String {
        if self.is_secure() {
            format!("__Host-{name}")
        } else {
            name.to_owned()
        }
    }

    /// The absolute URL of a path below this origin. `path` starts with a slash and is escaped already.
    #[must_use]
    pub fn url_of(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid =
            |why: &str| Error::invalid("origin", format!("{text:?} is not an origin: {why}"));
        let url = Url::parse(text).map_err(|e| invalid(&e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(invalid("it needs http or https and a host"));
        }
        if url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(invalid("it has nothing but scheme, host, port and path"));
        }
        let prefix = url.path().trim_end_matches('/').to_owned();
        Ok(Self { url, prefix })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

/// The value of a cookie that a browser sends.
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let texts = headers.get_all(COOKIE).iter();
    let texts = texts.filter_map(|header| header.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';'));
    pairs.find_map(|pair| {
        let (known, value) = pair.trim().split_once('=')?;
        (known == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().expect("an origin")
    }

    #[test]
    fn a_browser_calls_an_origin_by_scheme_host_and_port() {
        let ours = origin("https://forge.example:443/meta");
        assert!(ours.is_called("https://forge.example"));
        for other in [
            "http://forge.example",
            "https://forge.example:8443",
            "https://forge.example.evil.example",
            "https://forge.example/meta",
            "null",
            "",
        ] {
            assert!(!ours.is_called(other), "{other}");
        }
        assert!(origin("http://[::1]:8080").is_called("http://[::1]:8080"));
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let text = "a=1; forge_form=x; b=2".parse().expect("a value");
        let headers = HeaderMap::from_iter([(COOKIE, text)]);
        assert_eq!(cookie(&headers, "forge_form"), Some("x"));
        assert_eq!(cookie(&headers, "form"), None);
    }
}
