//! Applications that ask users for authorizations, and what they get.
//!
//! Invariant: an application goes the way of a real one: registered on the page, allowed on the page, and everything else
//! by the addresses that the metadata name. It expects success only where there is no other way on; what an answer must be
//! is the tests' affair.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use forge::App;
use forge::http::Peer;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tower::ServiceExt as _;
use url::form_urlencoded::Serializer;

use crate::support::browser::{Browser, META, hidden, sent_to, shown};
use crate::support::{Answer, World};

/// What every application here is called.
pub(super) const NAME: &str = "An application";
/// Where its users are sent back to.
pub(super) const REDIRECT: &str = "https://app.example/callback";
/// What it asks for, with every mode spelled out.
pub(super) const SCOPE: &str =
    "git.sr.ht/REPOSITORIES:RW git.sr.ht/OBJECTS:RW meta.sr.ht/PROFILE:RO";
/// The same in the older scheme.
const SCOPES: &str = "git.sr.ht/info:write,git.sr.ht/data:write";
/// What it sends along and wants back.
pub(super) const STATE: &str = "a state";
/// A verifier and its challenge, from RFC 7636, appendix B.
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// The grant type of devices.
pub(super) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Confidential,
    Public,
    Legacy,
}

impl Kind {
    fn text(self) -> &'static str {
        match self {
            Self::Confidential => "confidential",
            Self::Public => "public",
            Self::Legacy => "legacy",
        }
    }
}

/// An application that is registered, and the process that it asks.
#[derive(Clone)]
pub(super) struct Application {
    process: App,
    address: Option<IpAddr>,
    kind: Kind,
    pub(super) id: String,
    pub(super) secret: Option<String>,
    redirect_uri: String,
}

/// What an application has of an authorization.
pub(super) struct Tokens {
    pub(super) access: String,
    /// Empty in the older scheme.
    pub(super) refresh: String,
}

impl Tokens {
    pub(super) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let access = text("access_token");
        Self {
            access: if access.is_empty() {
                text("token")
            } else {
                access
            },
            refresh: text("refresh_token"),
        }
    }
}

/// What a device is told that asks.
pub(super) struct Device {
    pub(super) code: String,
    pub(super) user_code: String,
}

impl Application {
    pub(super) async fn register(world: &World, owner: &mut Browser<'_>, kind: Kind) -> Self {
        Self::register_at(world, owner, kind, REDIRECT).await
    }

    /// One whose users are sent back elsewhere.
    pub(super) async fn register_at(
        world: &World,
        owner: &mut Browser<'_>,
        kind: Kind,
        redirect_uri: &str,
    ) -> Self {
        let fields = [
            ("name", NAME),
            ("redirect_uri", redirect_uri),
            ("kind", kind.text()),
        ];
        let page = registration(owner, &fields).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        Self {
            process: world.app.clone(),
            address: None,
            kind,
            id: shown(&page, "client-id"),
            secret: (kind != Kind::Public).then(|| shown(&page, "client-secret")),
            redirect_uri: redirect_uri.to_owned(),
        }
    }

    /// The same, asking another process.
    pub(super) fn asking(&self, process: &App) -> Self {
        Self {
            process: process.clone(),
            ..self.clone()
        }
    }

    /// The same, at an address.
    pub(super) fn at(&self, address: &str) -> Self {
        Self {
            address: Some(address.parse().expect("an address")),
            ..self.clone()
        }
    }

    /// Its name in the log.
    pub(super) fn logged(&self) -> String {
        format!("{NAME} ({})", self.id)
    }

    /// The page to which it sends its user, with parameters changed, or left out where they are empty.
    pub(super) fn page(&self, changes: &[(&str, &str)]) -> String {
        let mut parameters = BTreeMap::from([
            ("client_id", self.id.as_str()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("state", STATE),
        ]);
        let path = if self.kind == Kind::Legacy {
            parameters.insert("scopes", SCOPES);
            "/oauth/authorize"
        } else {
            parameters.extend([("response_type", "code"), ("scope", SCOPE)]);
            "/oauth2/authorize"
        };
        if self.kind == Kind::Public {
            parameters.extend([
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
            ]);
        }
        parameters.extend(changes.iter().copied());
        parameters.retain(|_, value| !value.is_empty());
        format!("{path}?{}", encoded(parameters))
    }

    /// The code that it gets once its user has consented to all that it asks for.
    pub(super) async fn code(&self, user: &mut Browser<'_>) -> String {
        self.code_for(user, &[]).await
    }

    /// The same, with parameters changed.
    pub(super) async fn code_for(
        &self,
        user: &mut Browser<'_>,
        changes: &[(&str, &str)],
    ) -> String {
        let page = self.page(changes);
        let (_, query) = sent_to(&allow(user, &page).await);
        let name = if self.kind == Kind::Legacy {
            "exchange"
        } else {
            "code"
        };
        let code = query.get(name);
        code.unwrap_or_else(|| panic!("no {name} in {query:?}"))
            .clone()
    }

    /// Shows a code.
    pub(super) async fn redeem(&self, code: &str) -> Answer {
        self.redeem_with(code, &[]).await
    }

    /// The same, with parameters changed, or left out where they are empty.
    pub(super) async fn redeem_with(&self, code: &str, changes: &[(&str, &str)]) -> Answer {
        if self.kind == Kind::Legacy {
            return self.ask("/oauth/exchange", &[("exchange", code)]).await;
        }
        let mut fields = BTreeMap::from([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.redirect_uri.as_str()),
        ]);
        if self.kind == Kind::Public {
            fields.insert("code_verifier", VERIFIER);
        }
        fields.extend(changes.iter().copied());
        fields.retain(|_, value| !value.is_empty());
        self.ask_token(&fields.into_iter().collect::<Vec<_>>())
            .await
    }

    /// What its user lets it have.
    pub(super) async fn tokens(&self, user: &mut Browser<'_>) -> Tokens {
        let code = self.code(user).await;
        Tokens::of(&self.redeem(&code).await)
    }

    pub(super) async fn refresh(&self, token: &str) -> Answer {
        self.ask_token(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            .await
    }

    pub(super) async fn introspect(&self, token: &str) -> Answer {
        self.ask("/oauth2/introspect", &[("token", token)]).await
    }

    /// Whether a token is in force, as far as it is told.
    pub(super) async fn is_active(&self, token: &str) -> bool {
        let answer = self.introspect(token).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["active"].as_bool().expect("a boolean")
    }

    /// Gives a token back.
    pub(super) async fn revoke(&self, token: &str) -> Answer {
        self.ask("/oauth2/revoke", &[("token", token)]).await
    }

    /// Asks as a device does.
    pub(super) async fn begin(&self) -> Answer {
        self.ask("/oauth2/device-authorization", &[("scope", SCOPE)])
            .await
    }

    pub(super) async fn device(&self) -> Device {
        let answer = self.begin().await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let body = answer.json();
        let text = |name: &str| body[name].as_str().expect("text").to_owned();
        Device {
            code: text("device_code"),
            user_code: text("user_code"),
        }
    }

    /// Looks for a device's answer.
    pub(super) async fn poll(&self, device: &Device) -> Answer {
        self.ask_token(&[("grant_type", DEVICE_CODE), ("device_code", &device.code)])
            .await
    }

    pub(super) async fn ask_token(&self, fields: &[(&str, &str)]) -> Answer {
        self.ask("/oauth2/access-token", fields).await
    }

    /// Asks something, with what shows which application it is.
    pub(super) async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = vec![("client_id", self.id.as_str())];
        all.extend(
            self.secret
                .as_deref()
                .map(|secret| ("client_secret", secret)),
        );
        all.extend(fields);
        self.ask_as_nobody(path, &all).await
    }

    /// Asks something with just these fields.
    pub(super) async fn ask_as_nobody(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = Request::post(format!("{META}{path}"))
            .header(HOST, "git.example.org")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(encoded(fields.iter().copied())))
            .expect("a request");
        if let Some(address) = self.address {
            request.extensions_mut().insert(Peer(address));
        }
        send(&self.process, request).await
    }
}

/// Sends the form with which applications are registered.
pub(super) async fn registration(owner: &mut Browser<'_>, fields: &[(&str, &str)]) -> Answer {
    let path = "/oauth2/client-registration";
    owner.get(path).await;
    owner.submit(path, fields).await
}

/// Consents on a page to all that it offers.
pub(super) async fn allow(user: &mut Browser<'_>, path: &str) -> Answer {
    let page = user.get(path).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    let user_code = hidden(&page, "user_code");
    // The questions of devices have a form that goes elsewhere.
    let to = match &user_code {
        Some(_) => "/oauth2/device",
        None => path,
    };
    let chosen = chosen(&page);
    let mut fields = vec![("decision", "allow")];
    fields.extend(user_code.as_deref().map(|code| ("user_code", code)));
    fields.extend(chosen.iter().map(|(name, mode)| (name.as_str(), *mode)));
    user.submit(to, &fields).await
}

/// Lets a device have what it asks for.
pub(super) async fn connect(user: &mut Browser<'_>, device: &Device) -> Answer {
    allow(
        user,
        &format!("/oauth2/device?user_code={}", device.user_code),
    )
    .await
}

/// What a page's fields stand at.
fn chosen(page: &Answer) -> Vec<(String, &'static str)> {
    let selects = page.text().split("<select ").skip(1);
    selects
        .map(|select| {
            let (select, _) = select.split_once("</select>").expect("an end");
            let (_, name) = select.split_once("name=\"").expect("a name");
            let name = name.split('"').next().unwrap_or_default();
            // Pages escape slashes.
            let name = name.replace("&#x2f;", "/");
            let is_write = select.contains("value=\"RW\" selected");
            (name, if is_write { "RW" } else { "RO" })
        })
        .collect()
}

fn encoded<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Sends a request to a process.
pub(super) async fn send(process: &App, request: Request<Full<Bytes>>) -> Answer {
    let response = process.service().oneshot(request).await;
    let (parts, body) = response.expect("an answer").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

/// How a process answers to a token: the git service, the meta service, and git itself with `Bearer` and with `Basic`.
pub(super) async fn tried(process: &App, token: &str) -> [u16; 4] {
    let clone = "/~alice/secret/info/refs?service=git-upload-pack";
    let bearer = format!("Bearer {token}");
    let basic = basic(token);
    let mut statuses = [0; 4];
    for (status, (path, authorization)) in statuses.iter_mut().zip([
        ("/api/repos/secret", &bearer),
        ("/meta/api/user/profile", &bearer),
        (clone, &bearer),
        (clone, &basic),
    ]) {
        let answer = get(process, path, authorization).await;
        *status = answer.status.as_u16();
    }
    statuses
}

/// Asks a process for something, and shows what stands in `Authorization`.
pub(super) async fn get(process: &App, path: &str, authorization: &str) -> Answer {
    let request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(HOST, "git.example.org")
        .header(AUTHORIZATION, authorization)
        .body(Full::default())
        .expect("a request");
    send(process, request).await
}

/// A token as git shows it: in the place of a password.
pub(super) fn basic(token: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = "Basic ".to_owned();
    for chunk in format!("alice:{token}").as_bytes().chunks(3) {
        let mut bits = [0; 4];
        bits[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(bits);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 63;
            text.push(if place > chunk.len() {
                '='
            } else {
                char::from(DIGITS[digit as usize])
            });
        }
    }
    text
}
