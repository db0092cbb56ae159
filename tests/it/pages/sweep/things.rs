//! What the sweep asks for: things of alice's, new ones for each question, since some questions end them.
//!
//! Invariant: what is asked would succeed if alice asked it, but for codes that come by mail, and for the end of her account:
//! she is still needed.

use chrono::TimeDelta;
use forge::Endpoint;
use forge::access::Grants;
use forge::oauth::NewToken;
use http::Method;
use http::header::CONTENT_TYPE;
use url::form_urlencoded::Serializer;

use crate::support::browser::{Browser, PASSWORD, sent_to, shown};
use crate::support::{Answer, Persona, World};

const BACK: &str = "https://client.example/back";
const SCOPE: &str = "git.sr.ht/PROFILE";

/// A question: a route with its variable parts filled in, and the fields of its form.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) fields: Vec<(&'static str, String)>,
}

/// A client's id and secret.
#[derive(Debug, Clone)]
struct Client(String, String);

impl Client {
    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("client_id", self.0.clone()),
            ("client_secret", self.1.clone()),
        ]
    }
}

pub(super) struct Things<'a> {
    world: &'a World,
    /// A browser with which alice makes what is asked for.
    alice: Browser<'a>,
    client: Client,
    legacy: Client,
    /// A client of the network's own.
    service: Client,
}

impl<'a> Things<'a> {
    pub(super) async fn new(world: &'a World) -> Self {
        let mut alice = Browser::of(world, "alice").await;
        let client = register(&mut alice, "confidential").await;
        let legacy = register(&mut alice, "legacy").await;
        let service = register(&mut alice, "legacy").await;
        let id = service.0.parse().unwrap();
        world.system().trust_client(&id).await.unwrap();
        Self {
            world,
            alice,
            client,
            legacy,
            service,
        }
    }

    /// How a route is asked.
    pub(super) async fn ask(&mut self, endpoint: &Endpoint) -> Ask {
        let Endpoint { method, path, .. } = endpoint;
        let is_form = *method == Method::POST;
        Ask {
            method: method.clone(),
            path: self.path(path, is_form).await,
            fields: if is_form {
                self.fields(path).await
            } else {
                Vec::new()
            },
        }
    }

    async fn path(&mut self, path: &str, is_form: bool) -> String {
        match path {
            "/oauth2/authorize" => self.question(),
            "/oauth/authorize" => self.legacy_question(),
            "/oauth2/device" if !is_form => format!("{path}?user_code={}", self.user_code().await),
            "/oauth2/personal-token/{id}/revoke" => path.replace("{id}", &self.token().await),
            "/oauth2/authorization/{id}/revoke" => {
                path.replace("{id}", &self.authorization().await)
            }
            "/oauth2/client/{id}/revoke" | "/oauth2/client/{id}/reset-secret" => {
                let client = register(&mut self.alice, "confidential").await;
                path.replace("{id}", &client.0)
            }
            _ => path.replace("{*path}", "meta"),
        }
    }

    async fn fields(&mut self, path: &str) -> Vec<(&'static str, String)> {
        let mut fields = match path {
            "/login" => texts(&[("username", "alice"), ("password", PASSWORD)]),
            "/profile/confirm-email" => texts(&[("code", "forge_email_x")]),
            "/profile/delete" => texts(&[("username", "nobody"), ("password", PASSWORD)]),
            "/oauth2/personal-token" => texts(&[("everything", "on")]),
            "/oauth2/client-registration" => texts(&[("name", "app"), ("redirect_uri", BACK)]),
            "/oauth2/authorize" | "/oauth/authorize" | "/oauth2/device" => {
                texts(&[("decision", "allow"), (SCOPE, "RO")])
            }
            "/oauth2/access-token" => texts(&[
                ("grant_type", "authorization_code"),
                ("code", &self.code().await),
            ]),
            "/oauth/exchange" => texts(&[("exchange", &self.exchange().await)]),
            "/oauth/token/verify" => texts(&[
                (
                    "oauth_token",
                    self.world.token_of(Persona::Owner).expect("a token"),
                ),
                ("revocation_url", "https://client.example/revoke"),
            ]),
            "/oauth2/introspect" | "/oauth2/revoke" => texts(&[("token", "forge_x")]),
            "/oauth2/device-authorization" => texts(&[("scope", SCOPE)]),
            _ => Vec::new(),
        };
        match path {
            "/oauth2/access-token"
            | "/oauth2/introspect"
            | "/oauth2/revoke"
            | "/oauth2/device-authorization" => fields.extend(self.client.fields()),
            "/oauth/exchange" => fields.extend(self.legacy.fields()),
            "/oauth/token/verify" => fields.extend(self.service.fields()),
            "/oauth2/device" => fields.push(("user_code", self.user_code().await)),
            _ => {}
        }
        fields
    }

    /// The address at which a client asks.
    fn question(&self) -> String {
        let query = Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client.0)
            .append_pair("scope", SCOPE)
            .finish();
        format!("/oauth2/authorize?{query}")
    }

    fn legacy_question(&self) -> String {
        let id = &self.legacy.0;
        format!("/oauth/authorize?client_id={id}&scopes=profile:read")
    }

    /// The number of a new personal token.
    async fn token(&self) -> String {
        let new = NewToken {
            grants: Grants::everything(),
            comment: None,
            expires: self.world.forge().now() + TimeDelta::days(1),
        };
        let alice = self.world.user("alice").await;
        let issued = self.world.system().issue_token(alice.id, &new).await;
        issued.unwrap().0.id.to_string()
    }

    /// The number of what alice has just let the client do.
    async fn authorization(&mut self) -> String {
        let mut fields = self.client.fields();
        let code = self.code().await;
        fields.extend([
            ("grant_type", "authorization_code".to_owned()),
            ("code", code),
        ]);
        let issued = self.post("/oauth2/access-token", &fields).await;
        assert_eq!(issued.status, 200, "{issued:?}");
        let page = self.alice.get("/oauth2").await;
        // The newest stands first.
        let text = page.text();
        let start = "/oauth2/authorization/";
        let at = text.find(start).expect("an authorization") + start.len();
        text[at..].split('/').next().unwrap().to_owned()
    }

    /// A code that alice has given the client.
    async fn code(&mut self) -> String {
        let path = self.question();
        self.consent(&path, "code").await
    }

    async fn exchange(&mut self) -> String {
        let path = self.legacy_question();
        self.consent(&path, "exchange").await
    }

    async fn consent(&mut self, path: &str, field: &str) -> String {
        let page = self.alice.get(path).await;
        assert_eq!(page.status, 200, "{page:?}");
        let fields = [("decision", "allow"), (SCOPE, "RO")];
        let answer = self.alice.submit(path, &fields).await;
        let (place, query) = sent_to(&answer);
        assert_eq!(place, BACK);
        query[field].clone()
    }

    /// A code that a device shows.
    async fn user_code(&mut self) -> String {
        let mut fields = self.client.fields();
        fields.push(("scope", SCOPE.to_owned()));
        let asked = self.post("/oauth2/device-authorization", &fields).await;
        assert_eq!(asked.status, 200, "{asked:?}");
        asked.json()["user_code"].as_str().unwrap().to_owned()
    }

    /// What a client asks by itself.
    async fn post(&self, path: &str, fields: &[(&str, String)]) -> Answer {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")];
        let mut client = Browser::new(self.world);
        client.send(Method::POST, path, &headers, body.into()).await
    }
}

fn texts(fields: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let fields = fields.iter();
    fields
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

/// Registers a client of alice's.
async fn register(alice: &mut Browser<'_>, kind: &str) -> Client {
    alice.get("/oauth2/client-registration").await;
    let fields = [("name", "app"), ("redirect_uri", BACK), ("kind", kind)];
    let page = alice.submit("/oauth2/client-registration", &fields).await;
    assert_eq!(page.status, 200, "{page:?}");
    Client(shown(&page, "client-id"), shown(&page, "client-secret"))
}
