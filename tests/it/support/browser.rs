//! A browser without scripts: it keeps cookies, sends the forms that it was given, and follows no redirect by itself.
//!
//! Invariant: what it sends, a real one would send: its cookies, its own `Origin`, and the hidden token of the last page.
//! How pages look is not its affair; `tests/clients` shows them to Chromium.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use forge::http::Peer;
use http::header::{CONTENT_TYPE, COOKIE, HOST, ORIGIN, SET_COOKIE};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use url::form_urlencoded::Serializer;

use super::{Answer, World};

/// Where the meta service of a [`World`] is.
pub(crate) const META: &str = "/meta";
/// The password of whoever has one.
pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct Browser<'a> {
    world: &'a World,
    cookies: BTreeMap<String, String>,
    address: Option<IpAddr>,
    /// What the last page's forms carry.
    token: String,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        Self {
            world,
            cookies: BTreeMap::new(),
            address: None,
            token: String::new(),
        }
    }

    /// One with which that user has signed in.
    pub(crate) async fn of(world: &'a World, user: &str) -> Self {
        let mut browser = Self::new(world);
        let signed_in = browser.sign_in(user, PASSWORD).await;
        assert_eq!(signed_in.status, StatusCode::SEE_OTHER, "{signed_in:?}");
        browser
    }

    /// The same, at another address.
    pub(crate) fn at(mut self, address: &str) -> Self {
        self.address = Some(address.parse().expect("an address"));
        self
    }

    /// The cookie of that name.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    /// Keeps a cookie, as if it had been given one.
    pub(crate) fn keep(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// Looks at a page of the meta service: `/oauth2`.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// Sends a form as it is.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [
            (CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded"),
            (ORIGIN.as_str(), "https://git.example.org"),
        ];
        self.send(Method::POST, path, &headers, body.into()).await
    }

    /// Sends a form of the last page, with its hidden token.
    pub(crate) async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token.clone();
        let mut all = vec![("token", token.as_str())];
        all.extend(fields);
        self.post(path, &all).await
    }

    /// Signs in.
    pub(crate) async fn sign_in(&mut self, user: &str, password: &str) -> Answer {
        self.get("/login").await;
        let fields = [
            ("username", user),
            ("password", password),
            ("return_to", ""),
        ];
        self.submit("/login", &fields).await
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{META}{path}"))
            .header(HOST, "git.example.org");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        let mut request = request.body(Full::new(body)).expect("a request");
        if let Some(address) = self.address {
            request.extensions_mut().insert(Peer(address));
        }
        let answer = self.world.send(request).await;
        for cookie in answer.headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().expect("text");
            let (name, rest) = cookie.split_once('=').expect("a cookie");
            let value = rest.split(';').next().unwrap_or_default();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.keep(name, value);
            }
        }
        if let Some(token) = hidden(&answer, "token") {
            self.token = token;
        }
        answer
    }
}

/// The value of a hidden field of a page, the first of that name.
pub(crate) fn hidden(page: &Answer, name: &str) -> Option<String> {
    let text = std::str::from_utf8(&page.body).ok()?;
    let start = format!("name=\"{name}\" value=\"");
    let rest = &text[text.find(&start)? + start.len()..];
    Some(rest.split('"').next()?.to_owned())
}

/// Where the first link of a page leads.
pub(crate) fn link(page: &Answer) -> String {
    let (_, rest) = page.text().split_once("href=\"").expect("a link");
    let escaped = rest.split('"').next().unwrap_or_default();
    let plain = [
        ("&#x2f;", "/"),
        ("&quot;", "\""),
        ("&#x27;", "'"),
        ("&amp;", "&"),
    ];
    plain.iter().fold(escaped.to_owned(), |text, (from, to)| {
        text.replace(from, to)
    })
}

/// What a page shows once: the output under the heading of that id.
pub(crate) fn shown(page: &Answer, id: &str) -> String {
    let text = page.text();
    let start = format!("aria-labelledby=\"{id}\"");
    let at = text
        .find(&start)
        .unwrap_or_else(|| panic!("no {id} in {text}"));
    let rest = &text[at..];
    let rest = &rest[rest.find('>').expect("a tag") + 1..];
    rest.split('<').next().unwrap_or_default().trim().to_owned()
}

/// The parameters of the address to which an answer sends a browser.
pub(crate) fn sent_to(answer: &Answer) -> (String, BTreeMap<String, String>) {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
    let location = answer.headers["location"].to_str().expect("text");
    let base = url::Url::parse("https://git.example.org").expect("a URL");
    let url = base.join(location).expect("a location");
    let query = url.query_pairs().into_owned().collect();
    let mut place = url;
    place.set_query(None);
    (place.to_string(), query)
}
