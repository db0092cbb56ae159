//! A forge with users of its own, asked without a socket, at a time that is set by hand.
//!
//! Invariant: its limits are those of every forge; who would be made to wait by them lets time pass. What it takes to
//! arrange something is no part of any measurement.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use chrono::TimeDelta;
use forge::access::Grants;
use forge::oauth::{ClientKind, NewClient, NewToken};
use forge::users::NewUser;
use forge::{Account, App, Credentials, Profile, Timestamp};
use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tower::ServiceExt as _;
use url::form_urlencoded::Serializer;

/// When it begins, in seconds since the Unix epoch.
const BEGIN: i64 = 1_700_000_000;
/// What the device asks for.
const SCOPE: &str = "git.sr.ht/PROFILE:RO";
const PASSWORD: &str = "correct horse";

/// A clock that is moved.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl forge::Clock for Hands {
    fn now(&self) -> Timestamp {
        let seconds = self.0.load(Ordering::Relaxed);
        Timestamp::from_timestamp(seconds, 0).expect("a time")
    }
}

/// A forge with the users `someone`, who has a password and a client, and `keyless`, who has none.
pub(crate) struct Host {
    pub(crate) app: App,
    clock: Hands,
    /// The client's name.
    pub(crate) client: String,
    secret: String,
}

impl Host {
    #[expect(clippy::disallowed_methods, reason = "a bench arranges what it needs")]
    pub(crate) async fn new(directory: &Path) -> Self {
        let clock = Hands(Arc::new(AtomicI64::new(BEGIN)));
        let builder = forge::builder().data_dir(directory).passwords();
        let app = builder.clock(clock.clone()).build().await.expect("a forge");
        let system = app.forge().system();
        for name in ["someone", "keyless"] {
            let name = name.parse().expect("a name");
            let user = system.ensure_user(&NewUser { name, email: None }).await;
            user.expect("a user");
        }
        let someone = "someone".parse().expect("a name");
        let set = system.set_password(&someone, PASSWORD).await;
        set.expect("a password");
        let account = account(&app).await;
        let new = NewClient {
            kind: ClientKind::Confidential,
            name: "a client".to_owned(),
            description: None,
            url: None,
            redirect_uri: "https://client.example.org/".to_owned(),
        };
        let (client, secret) = account.register_client(&new).await.expect("a client");
        Self {
            app,
            clock,
            client: client.client_id.to_string(),
            secret: secret.expect("a secret").expose().to_owned(),
        }
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        self.clock.0.fetch_add(by.num_seconds(), Ordering::Relaxed);
    }

    /// The text of a token that was good for no time at all.
    #[expect(clippy::disallowed_methods, reason = "a bench arranges what it needs")]
    pub(crate) async fn expired_token(&self) -> String {
        let user = account(&self.app).await.user().id;
        let new = NewToken {
            grants: Grants::everything(),
            comment: None,
            expires: self.app.forge().now(),
        };
        let issued = self.app.forge().system().issue_token(user, &new).await;
        issued.expect("a token").1.expose().to_owned()
    }

    /// The code of a device to which `someone` has said yes.
    pub(crate) async fn answered_user_code(&self) -> String {
        let fields = [
            ("client_id", self.client.as_str()),
            ("client_secret", &self.secret),
            ("scope", SCOPE),
        ];
        let path = "/meta/oauth2/device-authorization";
        let (_, body) = self.ask(form(path, &fields, &[]), StatusCode::OK).await;
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let code = body["user_code"].as_str().expect("a code").to_owned();
        let grants = Grants::parse_oauth2(SCOPE).expect("a scope");
        let account = account(&self.app).await;
        let answered = account.answer_device(&code, Some(grants)).await;
        answered.expect("an answer");
        code
    }

    /// The cookies of a browser that has loaded the page to sign in, and what its form carries.
    pub(crate) async fn login_form(&self) -> (String, String) {
        let (cookies, page) = self.ask(get("/meta/login", &[]), StatusCode::OK).await;
        let start = "name=\"token\" value=\"";
        let at = page.find(start).expect("a hidden field") + start.len();
        let token = page[at..].split('"').next().unwrap_or_default();
        (cookies, token.to_owned())
    }

    /// The cookies of a browser with which `someone` has signed in.
    pub(crate) async fn sign_in(&self) -> String {
        let (cookies, token) = self.login_form().await;
        let fields = [
            ("username", "someone"),
            ("password", PASSWORD),
            ("return_to", ""),
            ("token", &token),
        ];
        let request = form("/meta/login", &fields, &[("cookie", cookies.clone())]);
        let (more, _) = self.ask(request, StatusCode::SEE_OTHER).await;
        format!("{cookies}; {more}")
    }

    /// The cookies and the body of an answer.
    async fn ask(&self, request: Request<Full<Bytes>>, expected: StatusCode) -> (String, String) {
        let answer = self.app.service().oneshot(request).await;
        let (parts, body) = answer.expect("an answer").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(parts.status, expected, "{body}");
        let cookies = parts.headers.get_all(SET_COOKIE).iter();
        let cookies = cookies.map(|cookie| {
            let cookie = cookie.to_str().expect("text");
            cookie.split(';').next().unwrap_or_default()
        });
        let cookies: Vec<_> = cookies.collect();
        (cookies.join("; "), body)
    }
}

/// The account of `someone`, as pages have it.
async fn account(app: &App) -> Account {
    let profile = Profile {
        name: "someone".parse().expect("a name"),
        email: None,
    };
    let caller = app.forge().authenticate(Credentials::Session(&profile));
    let account = caller.await.expect("a caller").account();
    account.expect("an account")
}

/// A question.
pub(crate) fn get(path: &str, headers: &[(&str, String)]) -> Request<Full<Bytes>> {
    request("GET", path, headers, String::new())
}

/// A form that is sent.
pub(crate) fn form(
    path: &str,
    fields: &[(&str, &str)],
    headers: &[(&str, String)],
) -> Request<Full<Bytes>> {
    let body = Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut all = headers.to_vec();
    let kind = "application/x-www-form-urlencoded".to_owned();
    all.push((CONTENT_TYPE.as_str(), kind));
    request("POST", path, &all, body)
}

fn request(
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    body: String,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost:8080");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.body(Full::from(body)).expect("a request")
}
