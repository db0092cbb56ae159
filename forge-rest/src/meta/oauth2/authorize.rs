//! `/oauth2/authorize`: a user is asked, and the answer sent to the client (RFC 6749 4.1, 7636, 8252, 9207).
//!
//! Invariant: a browser is sent to a client's own redirect URI or nowhere. The answer to a question holds for what the
//! request, read anew, asks for, and never for more.

use std::borrow::Cow;

use async_trait::async_trait;
use axum::extract::State;
use axum::response::Response;
use forge_core::access::{Grants, Mode, Scope};
use forge_core::delegation::DelegatedScope;
use forge_core::oauth::{Client, ClientKind, Consent};
use forge_core::{Account, Error};
use http::StatusCode;
use minijinja::{Value, context};
use oxide_auth::code_grant::authorization::Request as AuthorizationRequest;
use oxide_auth::code_grant::extensions::Pkce;
use oxide_auth::endpoint::{OAuthError, OwnerConsent, Scopes, Solicitation, Template};
use oxide_auth::primitives::grant::{Extensions, Grant};
use oxide_auth::primitives::registrar::{
    BoundClient, ClientUrl, ExactUrl, PreGrant, RegisteredUrl, RegistrarError,
};
use oxide_auth_async::endpoint::authorization::AuthorizationFlow;
use oxide_auth_async::endpoint::{AuthorizationExtension, Endpoint, Extension, OwnerSolicitor};
use oxide_auth_async::primitives::{Authorizer, Issuer, Registrar};
use url::{Host, Url};

use super::wanted;
use super::web::{Answer, Params};
use crate::meta::site::{Detour, Form, Site, Submitted, Visitor, see_other};

/// The length of an S256 challenge: 32 bytes in base64 (RFC 7636 4.2).
const CHALLENGE: usize = 43;

fn is_challenge(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == CHALLENGE && text.bytes().all(is_digit)
}

/// What the user said.
enum Decision {
    NotYet,
    No,
    Yes(Grants),
}

/// One run of the flow.
struct Flow {
    client: Option<Client>,
    account: Option<Account>,
    decision: Decision,
    /// The redirect URI that the request names.
    named: Option<String>,
    challenge: Option<String>,
    /// Whether a parameter is there twice (RFC 6749 3.1).
    is_malformed: bool,
    /// What went wrong here, which the flow has no words for.
    fault: Option<Error>,
}

impl Flow {
    async fn of(site: &Site, params: &Params) -> forge_core::Result<Self> {
        for name in ["client_id", "redirect_uri"] {
            if params.is_twice(name) {
                return Err(Error::invalid(name, format!("{name} is there twice")));
            }
        }
        let id = params.get("client_id").and_then(|id| id.parse().ok());
        let client = match id {
            Some(id) => site.forge.client(&id).await?,
            None => None,
        };
        Ok(Self {
            client: client.filter(|client| client.kind != ClientKind::Legacy),
            account: None,
            decision: Decision::NotYet,
            named: params.get("redirect_uri"),
            challenge: None,
            is_malformed: params.is_any_twice(),
            fault: None,
        })
    }

    async fn run(self, params: Params) -> forge_core::Result<Answer> {
        AuthorizationFlow::prepare(self)?.execute(params).await
    }
}

/// `GET /oauth2/authorize`
pub(super) async fn ask(State(site): State<Site>, visitor: Visitor) -> Result<Response, Detour> {
    let query = visitor.parts.uri.query().unwrap_or_default();
    let params = Params::parse(query.as_bytes());
    let flow = Flow::of(&site, &params).await?;
    let client = flow.client.clone();
    let answer = flow.run(params.clone()).await?;
    // Nobody is sent anywhere before they are signed in: links to this site would be links to any client's (RFC 9700
    // 4.11.2).
    let account = visitor.account(&site)?;
    if !answer.is_question {
        return redirect(&site, answer);
    }
    // The flow asks if both are there.
    let client = client.ok_or(Error::NotFound)?;
    let grants = wanted(&params.get("scope").unwrap_or_default()).ok_or(Error::NotFound)?;
    let target = params
        .get("redirect_uri")
        .unwrap_or_else(|| client.redirect_uri.clone());
    let action = site.path(&format!("/oauth2/authorize?{query}"));
    let page = consent_page(
        &site,
        &visitor,
        &account,
        &Question {
            client: &client,
            grants: &grants,
            delegated: &[],
            action: &action,
            target: Some(&target),
            user_code: None,
            needed: &[],
        },
    );
    Ok(visitor.remember(&site, page))
}

/// `POST /oauth2/authorize`
pub(super) async fn answer(
    State(site): State<Site>,
    Submitted {
        visitor,
        account,
        form,
    }: Submitted,
) -> Result<Response, Detour> {
    let query = visitor.parts.uri.query().unwrap_or_default();
    let params = Params::parse(query.as_bytes());
    let mut flow = Flow::of(&site, &params).await?;
    let asked = wanted(&params.get("scope").unwrap_or_default()).unwrap_or_default();
    flow.decision = decision(&form, &asked).map_or(Decision::No, Decision::Yes);
    flow.account = Some(account);
    redirect(&site, flow.run(params).await?)
}

/// What the user lets the client do; `None` if nothing.
pub(in crate::meta) fn decision(form: &Form, asked: &Grants) -> Option<Grants> {
    if form.text("decision") != "allow" {
        return None;
    }
    let said = |name: &str, most| match form.text(name) {
        "RW" => Some(most),
        "RO" => Some(Mode::Read),
        _ => None,
    };
    let mut granted = Grants::nothing();
    for (scope, most) in asked.scopes() {
        if let Some(mode) = said(scope.name(), most) {
            granted.grant(scope, mode);
        }
    }
    for (scope, most) in asked.delegated() {
        if let Some(mode) = said(&scope.named.to_string(), most) {
            granted.grant_delegated(scope.clone(), mode);
        }
    }
    Some(granted).filter(|granted| !granted.is_empty())
}

/// What a user is asked.
pub(in crate::meta) struct Question<'a> {
    pub(in crate::meta) client: &'a Client,
    pub(in crate::meta) grants: &'a Grants,
    /// What there is to say of the other services' scopes among them.
    pub(in crate::meta) delegated: &'a [DelegatedScope],
    pub(in crate::meta) action: &'a str,
    /// Where the browser goes afterwards.
    pub(in crate::meta) target: Option<&'a str>,
    pub(in crate::meta) user_code: Option<&'a str>,
    /// What cannot be refused alone.
    pub(in crate::meta) needed: &'a [Scope],
}

/// The page that asks a user.
pub(in crate::meta) fn consent_page(
    site: &Site,
    visitor: &Visitor,
    account: &Account,
    question: &Question<'_>,
) -> Response {
    let own = question.grants.scopes().map(|(scope, mode)| {
        context! {
            name => scope.name(),
            means => scope.means(),
            service => (),
            is_write => mode == Mode::Write,
            is_needed => question.needed.contains(&scope),
        }
    });
    let others = question.grants.delegated().filter_map(|(scope, mode)| {
        let mut known = question.delegated.iter();
        let known = known.find(|known| known.scope == *scope)?;
        Some(context! {
            name => scope.named.to_string(),
            means => known.description.as_str(),
            service => known.service.as_str(),
            is_write => mode == Mode::Write,
            is_needed => false,
        })
    });
    let scopes: Vec<_> = own.chain(others).collect();
    let client = question.client;
    let values = context! {
        client => context! {
            name => client.name.as_str(),
            description => client.description.as_deref(),
            url => client.url.as_deref(),
        },
        user => account.user().name.canonical(),
        token => visitor.token(),
        action => question.action,
        target => question.target,
        user_code => question.user_code,
        scopes => Value::from(scopes),
    };
    let target = question.target.map(form_target).unwrap_or_default();
    site.page(StatusCode::OK, "consent.html", values, &target)
}

/// What a policy calls the place to which a redirect URI leads.
fn form_target(uri: &str) -> String {
    let Ok(url) = Url::parse(uri) else {
        return String::new();
    };
    match (url.scheme(), url.host()) {
        // A policy has no way to name such a host (CSP 3, 2.3.1).
        (scheme, Some(Host::Ipv6(_))) => format!("{scheme}:"),
        ("http" | "https", _) => url.origin().ascii_serialization(),
        (scheme, _) => format!("{scheme}:"),
    }
}

/// Sends the browser to the client, with who sends it (RFC 9207).
fn redirect(site: &Site, answer: Answer) -> Result<Response, Detour> {
    let mut to = answer
        .location
        .ok_or_else(|| Error::internal("no place to go to"))?;
    let issuer = site.forge.meta_origin().to_string();
    to.query_pairs_mut().append_pair("iss", &issuer);
    Ok(see_other(to.as_str()))
}

/// Whether a redirect URI is the one that was registered: letter by letter, but for the port of a program's own server
/// on the loopback interface (RFC 8252 7.3).
fn is_registered(registered: &str, named: &str) -> bool {
    if registered == named {
        return true;
    }
    let without_port = |text: &str| {
        let mut url = Url::parse(text).ok()?;
        let is_local = url.scheme() == "http"
            && matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        // What the parser would tidy up is not letter by letter the same.
        let is_tidy = url.as_str() == text || url.as_str().strip_suffix('/') == Some(text);
        (is_local && is_tidy && url.set_port(None).is_ok()).then(|| url.to_string())
    };
    without_port(registered).is_some_and(|registered| without_port(named) == Some(registered))
}

#[async_trait]
impl Registrar for Flow {
    async fn bound_redirect<'a>(
        &self,
        bound: ClientUrl<'a>,
    ) -> Result<BoundClient<'a>, RegistrarError> {
        let client = self.client.as_ref().ok_or(RegistrarError::Unspecified)?;
        let uri = match bound.redirect_uri {
            Some(named) if !is_registered(&client.redirect_uri, named.as_str()) => {
                return Err(RegistrarError::Unspecified);
            }
            Some(named) => named.into_owned(),
            None => ExactUrl::new(client.redirect_uri.clone())
                .map_err(|_| RegistrarError::PrimitiveError)?,
        };
        Ok(BoundClient {
            client_id: bound.client_id,
            redirect_uri: Cow::Owned(RegisteredUrl::Exact(uri)),
        })
    }

    async fn negotiate<'a>(
        &self,
        client: BoundClient<'a>,
        scope: Option<oxide_auth::primitives::scope::Scope>,
    ) -> Result<PreGrant, RegistrarError> {
        let asked = scope.and_then(|scope| wanted(&scope.to_string()));
        let asked = asked.ok_or(RegistrarError::Unspecified)?;
        let granted = match &self.decision {
            Decision::Yes(granted) if asked.cover(granted) => granted,
            _ => &asked,
        };
        Ok(PreGrant {
            client_id: client.client_id.into_owned(),
            redirect_uri: client.redirect_uri.into_owned(),
            scope: granted
                .to_string()
                .parse()
                .map_err(|_| RegistrarError::PrimitiveError)?,
        })
    }

    async fn check(&self, _: &str, _: Option<&[u8]>) -> Result<(), RegistrarError> {
        // Nobody exchanges anything here.
        Err(RegistrarError::Unspecified)
    }
}

#[async_trait]
impl Authorizer for Flow {
    async fn authorize(&mut self, grant: Grant) -> Result<String, ()> {
        let code = self.consent(&grant).await;
        code.map_err(|error| self.fault = Some(error))
    }

    async fn extract(&mut self, _: &str) -> Result<Option<Grant>, ()> {
        Ok(None)
    }
}

impl Flow {
    async fn consent(&self, grant: &Grant) -> forge_core::Result<String> {
        let account = self.account.as_ref().ok_or(Error::Unauthenticated)?;
        let client = self.client.as_ref().ok_or(Error::NotFound)?;
        let consent = Consent {
            client,
            grants: Grants::parse_oauth2(&grant.scope.to_string())?,
            redirect_uri: self.named.clone(),
            challenge: self.challenge.clone(),
        };
        let code = account.consent(consent).await?;
        Ok(code.expose().to_owned())
    }
}

#[async_trait]
impl OwnerSolicitor<Params> for Flow {
    async fn check_consent(&mut self, _: &mut Params, _: Solicitation<'_>) -> OwnerConsent<Answer> {
        match (&self.decision, &self.account) {
            (Decision::Yes(_), Some(account)) => {
                OwnerConsent::Authorized(account.user().name.to_string())
            }
            (Decision::No, _) => OwnerConsent::Denied,
            (Decision::NotYet | Decision::Yes(_), _) => OwnerConsent::InProgress(Answer {
                is_question: true,
                ..Answer::default()
            }),
        }
    }
}

impl Extension for Flow {
    fn authorization(&mut self) -> Option<&mut (dyn AuthorizationExtension + Send)> {
        Some(self)
    }
}

#[async_trait]
impl AuthorizationExtension for Flow {
    async fn extend(
        &mut self,
        request: &(dyn AuthorizationRequest + Sync),
    ) -> Result<Extensions, ()> {
        let is_public = |client: &Client| client.kind == ClientKind::Public;
        let pkce = if self.client.as_ref().is_some_and(is_public) {
            Pkce::required()
        } else {
            Pkce::optional()
        };
        let (method, challenge) = (
            request.extension("code_challenge_method"),
            request.extension("code_challenge"),
        );
        if self.is_malformed
            || challenge
                .as_ref()
                .is_some_and(|challenge| !is_challenge(challenge))
            || (challenge.is_none() && method.is_some())
        {
            return Err(());
        }
        let encoded = pkce.challenge(method, challenge)?;
        self.challenge = match encoded {
            Some(encoded) => encoded.into_private_value()?,
            None => None,
        };
        Ok(Extensions::new())
    }
}

impl Endpoint<Params> for Flow {
    type Error = Error;

    fn registrar(&self) -> Option<&(dyn Registrar + Sync)> {
        Some(self)
    }

    fn authorizer_mut(&mut self) -> Option<&mut (dyn Authorizer + Send)> {
        Some(self)
    }

    fn issuer_mut(&mut self) -> Option<&mut (dyn Issuer + Send)> {
        None
    }

    fn owner_solicitor(&mut self) -> Option<&mut (dyn OwnerSolicitor<Params> + Send)> {
        Some(self)
    }

    fn scopes(&mut self) -> Option<&mut dyn Scopes<Params>> {
        None
    }

    fn response(&mut self, params: &mut Params, mut kind: Template<'_>) -> Result<Answer, Error> {
        if let Some(error) = kind.authorization_error() {
            use oxide_auth::code_grant::error::AuthorizationErrorType as Kind;
            // The flow takes what is missing or there twice for something that it does not know.
            if self.is_malformed || params.get("response_type").is_none() {
                error.set_type(Kind::InvalidRequest);
                error.explain("a parameter is missing or there twice");
                return Ok(Answer::default());
            }
            match error.kind() {
                Kind::InvalidScope => {
                    error.explain("scope must name scopes that there are, separated by spaces");
                }
                Kind::AccessDenied => error.explain("the user refused"),
                Kind::UnsupportedResponseType => error.explain("response_type must be code"),
                Kind::InvalidRequest => {
                    error.explain(
                        "a code_challenge with code_challenge_method=S256 is required or malformed",
                    );
                }
                _ => {}
            }
        }
        Ok(Answer::default())
    }

    fn error(&mut self, error: OAuthError) -> Error {
        if let Some(fault) = self.fault.take() {
            return fault;
        }
        match error {
            OAuthError::PrimitiveError => Error::internal("an OAuth flow failed"),
            _ if self.client.is_none() => {
                Error::invalid("client_id", "client_id is not that of an application here")
            }
            _ => Error::invalid(
                "redirect_uri",
                "redirect_uri is not the one that the application is registered with",
            ),
        }
    }

    fn web_error(&mut self, error: Error) -> Error {
        error
    }

    fn extension(&mut self) -> Option<&mut (dyn Extension + Send)> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_uri_is_the_registered_one_but_for_a_loopback_port() {
        for (registered, named, good) in [
            ("https://a.example/cb", "https://a.example/cb", true),
            ("https://a.example/cb", "https://a.example/cb/", false),
            ("https://a.example/cb", "https://a.example/cb?x=1", false),
            ("https://a.example/cb", "https://a.example:8443/cb", false),
            ("https://a.example/cb", "https://A.example/cb", false),
            ("https://a.example/cb", "https://a.example/x/../cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", true),
            ("http://127.0.0.1:1/cb", "http://127.0.0.1:51004/cb", true),
            ("http://[::1]/cb", "http://[::1]:51004/cb", true),
            ("http://localhost/cb", "http://localhost:51004/cb", true),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/x", false),
            (
                "http://127.0.0.1/cb",
                "http://127.0.0.1:51004/x/../cb",
                false,
            ),
            (
                "http://127.0.0.1/cb",
                "http://127.0.0.1:51004@evil.example/cb",
                false,
            ),
            ("http://127.0.0.1/cb", "http://evil.example:51004/cb", false),
            ("http://127.0.0.1/cb", "https://127.0.0.1:51004/cb", false),
            ("org.example.app:/cb", "org.example.app:/cb", true),
        ] {
            assert_eq!(
                is_registered(registered, named),
                good,
                "{registered} {named}"
            );
        }
    }

    #[test]
    fn a_form_lowers_what_was_asked_for_and_never_raises_it() {
        let asked = wanted("git.sr.ht/OBJECTS:RW meta.sr.ht/PROFILE").expect("grants");
        let said = |text: &str| decision(&Form::parse(text.as_bytes()), &asked);
        let all =
            "decision=allow&git.sr.ht/OBJECTS=RW&meta.sr.ht/PROFILE=RW&meta.sr.ht/SSH_KEYS=RW";
        assert_eq!(said(all), wanted("git.sr.ht/OBJECTS:RW meta.sr.ht/PROFILE"));
        assert_eq!(
            said("decision=allow&git.sr.ht/OBJECTS=RO"),
            wanted("git.sr.ht/OBJECTS")
        );
        assert_eq!(said("decision=allow"), None);
        assert_eq!(said("decision=deny&git.sr.ht/OBJECTS=RO"), None);
        assert_eq!(said("git.sr.ht/OBJECTS=RO"), None);
    }
}
