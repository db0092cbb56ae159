//! Requests that a machine made up, answered in process.
//!
//! Invariant: what they are changes from run to run, and a failure prints the smallest that fails. What they change in
//! the world, they may.

use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use tower::ServiceExt as _;

use super::{escaped, refusals};
use crate::support::{Database, Persona, World};

/// What stands for a segment of a path.
const SEGMENTS: &str = "open master v1 ~alice HEAD README.md .. %00 %2e%2e @{u} a..b  %ff";
/// What forms and JSON objects are made of.
const PIECES: [&str; 13] = [
    "--b\r\n",
    "--b--",
    "\r\n",
    "content-disposition: form-data; name=\"file\"; filename=\"x\"\r\n",
    "name=x&",
    "{\"name\":",
    "\"description\":",
    "\"x\"",
    "\"\\u0000\"",
    "null",
    "[",
    "}",
    ",",
];
const HEADERS: &str =
    "content-type if-none-match host accept range cookie x-request-id authorization";
const VALUES: &str = "application/json|multipart/form-data; boundary=b|text/html|*|W/\"|bytes=0-";
const METHODS: &str = "GET HEAD POST PUT DELETE PATCH OPTIONS";

/// A request.
#[derive(Debug, Clone)]
struct Wild {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

fn one_of(words: &'static str, separator: char) -> impl Strategy<Value = &'static str> {
    select(words.split(separator).collect::<Vec<_>>())
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..most)
}

/// A route with its variable parts filled in, or all of them.
fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        3 => one_of(SEGMENTS, ' ').prop_map(str::to_owned),
        2 => bytes(24).prop_map(|raw| String::from_utf8_lossy(&raw).into_owned()),
        2 => bytes(24).prop_map(|raw| escaped(&raw)),
    ];
    let routes: Vec<_> = forge::git_endpoints()
        .into_iter()
        .map(|endpoint| endpoint.path)
        .collect();
    let path = (select(routes), vec(segment, 6), any::<bool>());
    path.prop_map(|(route, segments, all)| {
        let mut segments = segments.into_iter();
        let mut filled = String::new();
        for (i, part) in route.split('/').skip(1).enumerate() {
            filled.push('/');
            if part.contains('{') || (all && i > 0) {
                filled += &segments.next().unwrap_or_default();
            } else {
                filled += part;
            }
        }
        filled
    })
}

fn wild() -> impl Strategy<Value = Wild> {
    let start = bytes(30).prop_map(|raw| format!("?start={}", String::from_utf8_lossy(&raw)));
    let query = prop_oneof![Just(String::new()), start];
    let value = prop_oneof![
        bytes(40),
        one_of(VALUES, '|').prop_map(|text| text.as_bytes().to_vec()),
    ];
    let piece = prop_oneof![
        4 => select(&PIECES).prop_map(|text| text.as_bytes().to_vec()),
        1 => bytes(10),
    ];
    let body = prop_oneof![
        bytes(300),
        vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
    ];
    let headers = vec((one_of(HEADERS, ' '), value), 0..4);
    (one_of(METHODS, ' '), path(), query, headers, body).prop_map(
        |(method, path, query, headers, body)| Wild {
            method,
            path: path + &query,
            headers,
            body,
        },
    )
}

impl Wild {
    fn request(&self, token: &str) -> Request<Full<bytes::Bytes>> {
        let uri = self
            .path
            .parse::<Uri>()
            .ok()
            .filter(|uri| uri.path().starts_with('/'));
        let uri = uri.unwrap_or_else(|| {
            let escaped = escaped(self.path.as_bytes());
            escaped.replace("%2F", "/").parse().expect("escaped")
        });
        let method: Method = self.method.parse().expect("a method");
        let mut request = Request::new(Full::new(self.body.clone().into()));
        (*request.uri_mut(), *request.method_mut()) = (uri, method);
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).expect("a header");
        request.headers_mut().insert("authorization", bearer);
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                request.headers_mut().insert(*name, value);
            }
        }
        request
    }
}

#[test]
fn no_request_whatever_is_answered_with_a_fault_of_ours() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let world = runtime.block_on(World::new(Database::Sqlite));
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&wild(), |wild| {
        // What is deleted could not be asked for any more.
        let persona = match wild.method {
            "DELETE" => Persona::Writer,
            _ => Persona::Owner,
        };
        let request = wild.request(world.token_of(persona).expect("a token"));
        runtime.block_on(async {
            let Ok(response) = world.app.service().oneshot(request).await;
            let (parts, body) = response.into_parts();
            let claimed = parts.headers.contains_key("x-request-id") && wild.method != "HEAD";
            let body = body.collect().await.expect("a body").to_bytes();
            refusals("a wild request", parts.status.as_u16(), claimed, &body);
        });
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    runtime.block_on(world.end());
}
