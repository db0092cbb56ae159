//! `/oauth2/access-token`: codes, refresh tokens and device codes become tokens (RFC 6749 4.1.3 and 6, RFC 8628 3.4).
//!
//! Invariant: whatever is wrong with a code or refresh token, the answer is `invalid_grant` and the code is used up.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use forge_core::access::Grants;
use forge_core::oauth::{Authorization, Code, Issued, Polled};
use forge_core::{ActingClient, Error};
use http::StatusCode;
use oxide_auth::code_grant::accesstoken::Request as TokenRequest;
use oxide_auth::code_grant::error::AccessTokenErrorType;
use oxide_auth::code_grant::extensions::Pkce;
use oxide_auth::endpoint::{OAuthError, Scopes, Template};
use oxide_auth::primitives::grant::{Extensions, Grant, Value};
use oxide_auth::primitives::issuer::{IssuedToken, RefreshedToken, TokenType};
use oxide_auth::primitives::registrar::{BoundClient, ClientUrl, PreGrant, RegistrarError};
use oxide_auth_async::endpoint::access_token::AccessTokenFlow;
use oxide_auth_async::endpoint::refresh::RefreshFlow;
use oxide_auth_async::endpoint::{AccessTokenExtension, Endpoint, Extension, OwnerSolicitor};
use oxide_auth_async::primitives::{Authorizer, Issuer, Registrar};
use serde_json::json;

use super::credentials::FromClient;
use super::web::{Answer, Params};
use super::{Refusal, answer, seconds_until, wanted};
use crate::meta::site::Site;

/// The grant type of RFC 8628.
pub(super) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// `POST /oauth2/access-token`
pub(super) async fn exchange(
    State(site): State<Site>,
    FromClient { client, params }: FromClient,
) -> Result<Response, Refusal> {
    if params.is_any_twice() {
        return Err(Refusal::new(
            "invalid_request",
            "a parameter is there twice",
        ));
    }
    let kind = params.get("grant_type");
    let issued = match kind.as_deref() {
        None => Err(Refusal::new("invalid_request", "grant_type is required")),
        Some("authorization_code") => code(client, params).await,
        Some("refresh_token") => refresh(client, params).await,
        Some(DEVICE_CODE) => device(&client, &params).await,
        Some(_) => Err(Refusal::new(
            "unsupported_grant_type",
            "grant_type must be authorization_code, refresh_token or that of device codes",
        )),
    }?;
    let mut body = json!({
        "access_token": issued.token.expose(),
        "token_type": "bearer",
        "expires_in": seconds_until(&site, issued.expires),
        "scope": issued.grants.to_string(),
    });
    if let (Some(refresh), Some(fields)) = (&issued.refresh, body.as_object_mut()) {
        fields.insert("refresh_token".to_owned(), refresh.expose().into());
    }
    Ok(answer(StatusCode::OK, &body))
}

async fn code(client: ActingClient, mut params: Params) -> Result<Issued, Refusal> {
    let named = params.get("redirect_uri");
    if named.is_none() {
        // Only who named none before may leave it out; `extract` sees to that.
        params.add("redirect_uri", client.client().redirect_uri.clone());
    }
    // Who authenticated with a header need not repeat its name.
    if params.get("client_id").is_none() {
        params.add("client_id", client.client().client_id.to_string());
    }
    if params.get("code").is_none() {
        return Err(Refusal::new("invalid_request", "code is required"));
    }
    let flow = Flow::new(client, named, params.get("code_verifier"));
    let (acting, done) = (flow.client.clone(), Arc::clone(&flow.done));
    let ran = AccessTokenFlow::prepare(flow)?.execute(params).await;
    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(issued) = done.issued.take() {
        return Ok(issued);
    }
    // A code that was shown and did not fit is used up; what it stood for must not linger.
    if let Some(authorization) = done.redeemed.take() {
        acting.discard(&authorization).await?;
    }
    refused(ran, &mut done)
}

async fn refresh(client: ActingClient, params: Params) -> Result<Issued, Refusal> {
    if params.get("refresh_token").is_none() {
        return Err(Refusal::new("invalid_request", "refresh_token is required"));
    }
    let narrowed = match params.get("scope") {
        None => None,
        Some(scope) => Some(wanted(&scope).ok_or_else(too_much)?),
    };
    let flow = Flow {
        narrowed,
        ..Flow::new(client, None, None)
    };
    let done = Arc::clone(&flow.done);
    // The flow would compare scopes as texts, and `X` with `X:RO`.
    let params = params.without("scope");
    let ran = RefreshFlow::prepare(flow)?.execute(params).await;
    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner).take();
    match done.issued.take() {
        Some(issued) => Ok(issued),
        None => refused(ran, &mut done),
    }
}

async fn device(client: &ActingClient, params: &Params) -> Result<Issued, Refusal> {
    let Some(code) = params.get("device_code") else {
        return Err(Refusal::new("invalid_request", "device_code is required"));
    };
    match client.poll(&code).await? {
        Polled::Approved(issued) => Ok(issued),
        Polled::Pending => Err(Refusal::new(
            "authorization_pending",
            "the user has not answered yet",
        )),
        Polled::SlowDown => Err(Refusal::new(
            "slow_down",
            "wait five seconds longer between two requests",
        )),
        Polled::Denied => Err(Refusal::new("access_denied", "the user refused")),
        Polled::Unknown => Err(Refusal::new(
            "invalid_grant",
            "the device code is not valid, or was used before",
        )),
        Polled::Expired => Err(Refusal::new(
            "expired_token",
            "the device code is not valid any more",
        )),
    }
}

/// What the flow had against it.
fn refused(ran: forge_core::Result<Answer>, done: &mut Done) -> Result<Issued, Refusal> {
    match done.fault.take() {
        Some(Error::Invalid(faults)) if faults.iter().any(|it| it.field == Some("scope")) => {
            return Err(too_much());
        }
        Some(fault) => return Err(fault.into()),
        None => {}
    }
    let Answer { json, .. } = ran?;
    let error = json.and_then(|json| serde_json::from_str::<serde_json::Value>(&json).ok());
    let error = error
        .as_ref()
        .and_then(|error| error.get("error")?.as_str());
    Err(match error {
        Some("invalid_grant") => Refusal::new(
            "invalid_grant",
            "the code or token is not valid, was used before, or was given for other parameters",
        ),
        _ => Refusal::new(
            "invalid_request",
            "a parameter is missing, malformed or there twice",
        ),
    })
}

fn too_much() -> Refusal {
    let text = "scope must name scopes that there are, and not more than was granted before";
    Refusal::new("invalid_scope", text)
}

/// What a run of the flow leaves behind.
#[derive(Default)]
struct Done {
    redeemed: Option<Authorization>,
    issued: Option<Issued>,
    fault: Option<Error>,
    /// Whether what was shown (code, verifier, token) is why it failed, rather than how.
    is_bad_grant: bool,
}

impl Done {
    fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// One run of the flow, for a client that has shown who it is.
struct Flow {
    client: ActingClient,
    named: Option<String>,
    verifier: Option<String>,
    challenge: Option<String>,
    /// What a refresh asks for, if that is less than there was.
    narrowed: Option<Grants>,
    done: Arc<Mutex<Done>>,
}

impl Flow {
    fn new(client: ActingClient, named: Option<String>, verifier: Option<String>) -> Self {
        Self {
            client,
            named,
            verifier,
            challenge: None,
            narrowed: None,
            done: Arc::default(),
        }
    }

    fn done(&self) -> std::sync::MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an error for which the flow has no word.
    fn park(&self, error: Error) {
        self.done().fault = Some(error);
    }

    fn failed<T>(&self, error: Error) -> Result<T, ()> {
        self.park(error);
        Err(())
    }

    /// The grant of a code, if it was given for these parameters.
    fn grant(&self, code: &Code) -> forge_core::Result<Option<Grant>> {
        let client = self.client.client();
        let named = code.code.redirect_uri.as_ref();
        if named.is_some() && self.named.as_ref() != named {
            return Ok(None);
        }
        let uri = named.unwrap_or(&client.redirect_uri);
        Ok(Some(Grant {
            redirect_uri: uri.parse().map_err(Error::internal)?,
            ..self.grant_of(&code.authorization)?
        }))
    }

    fn grant_of(&self, authorization: &Authorization) -> forge_core::Result<Grant> {
        let client = self.client.client();
        let scope = authorization.grants.to_string().parse();
        Ok(Grant {
            owner_id: authorization.user.to_string(),
            client_id: client.client_id.to_string(),
            redirect_uri: client.redirect_uri.parse().map_err(Error::internal)?,
            scope: scope.map_err(|_| Error::internal("grants that are no scope"))?,
            until: far(),
            extensions: Extensions::new(),
        })
    }
}

/// The flow looks at the machine's clock; when something ends is decided by the forge's own, before.
fn far() -> DateTime<Utc> {
    DateTime::<Utc>::MAX_UTC
}

#[async_trait]
impl Registrar for Flow {
    async fn bound_redirect<'a>(
        &self,
        _: ClientUrl<'a>,
    ) -> Result<BoundClient<'a>, RegistrarError> {
        Err(RegistrarError::Unspecified)
    }

    async fn negotiate<'a>(
        &self,
        _: BoundClient<'a>,
        _: Option<oxide_auth::primitives::scope::Scope>,
    ) -> Result<PreGrant, RegistrarError> {
        Err(RegistrarError::Unspecified)
    }

    async fn check(&self, id: &str, _: Option<&[u8]>) -> Result<(), RegistrarError> {
        if id == self.client.client().client_id.as_str() {
            Ok(())
        } else {
            Err(RegistrarError::Unspecified)
        }
    }
}

#[async_trait]
impl Authorizer for Flow {
    async fn authorize(&mut self, _: Grant) -> Result<String, ()> {
        Err(())
    }

    async fn extract(&mut self, code: &str) -> Result<Option<Grant>, ()> {
        let found = match self.client.redeem(code).await {
            Ok(found) => found,
            Err(error) => return self.failed(error),
        };
        let Some(code) = found else {
            self.done().is_bad_grant = true;
            return Ok(None);
        };
        self.done().redeemed = Some(code.authorization.clone());
        self.challenge.clone_from(&code.code.challenge);
        let grant = self.grant(&code).map_err(|error| self.park(error))?;
        self.done().is_bad_grant = grant.is_none();
        Ok(grant)
    }
}

#[async_trait]
impl Issuer for Flow {
    async fn issue(&mut self, _: Grant) -> Result<IssuedToken, ()> {
        let authorization = self.done().redeemed.clone().ok_or(())?;
        match self.client.issue(&authorization).await {
            Ok(issued) => {
                let token = IssuedToken::without_refresh(String::new(), far());
                self.done().issued = Some(issued);
                Ok(token)
            }
            Err(error) => self.failed(error),
        }
    }

    async fn refresh(&mut self, token: &str, _: Grant) -> Result<RefreshedToken, ()> {
        match self.client.refresh(token, self.narrowed.as_ref()).await {
            Ok(Some(issued)) => {
                self.done().issued = Some(issued);
                Ok(RefreshedToken {
                    token: String::new(),
                    refresh: None,
                    until: far(),
                    token_type: TokenType::Bearer,
                })
            }
            Ok(None) => {
                // It was spent before.
                let reason = "the refresh token is not valid or was used before";
                self.failed(Error::forbidden(reason))
            }
            Err(error) => self.failed(error),
        }
    }

    async fn recover_token(&mut self, _: &str) -> Result<Option<Grant>, ()> {
        Ok(None)
    }

    async fn recover_refresh(&mut self, token: &str) -> Result<Option<Grant>, ()> {
        let found = self.client.authorization_of(token).await;
        let found = found.map_err(|error| self.park(error))?;
        let grant = found.map(|found| self.grant_of(&found)).transpose();
        grant.map_err(|error| self.park(error))
    }
}

impl Extension for Flow {
    fn access_token(&mut self) -> Option<&mut (dyn AccessTokenExtension + Send)> {
        Some(self)
    }
}

#[async_trait]
impl AccessTokenExtension for Flow {
    async fn extend(
        &mut self,
        _: &(dyn TokenRequest + Sync),
        _: Extensions,
    ) -> Result<Extensions, ()> {
        let challenge = self.challenge.take();
        let is_good = match (&challenge, &self.verifier) {
            // A verifier without a challenge: somebody has taken the challenge out on the way (RFC 9700 2.1.1).
            (None, verifier) => verifier.is_none(),
            (Some(challenge), verifier) => {
                let encoded = Some(Value::private(Some(challenge.clone())));
                let verifier = verifier.as_deref().map(Into::into);
                Pkce::required().verify(encoded, verifier).is_ok()
            }
        };
        if is_good {
            return Ok(Extensions::new());
        }
        self.done().is_bad_grant = true;
        Err(())
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
        Some(self)
    }

    fn owner_solicitor(&mut self) -> Option<&mut (dyn OwnerSolicitor<Params> + Send)> {
        None
    }

    fn scopes(&mut self) -> Option<&mut dyn Scopes<Params>> {
        None
    }

    /// The flow has one word for a bad request and a bad code; RFC 6749 5.2 and RFC 7636 4.6 have two.
    fn response(&mut self, _: &mut Params, mut kind: Template<'_>) -> Result<Answer, Error> {
        if self.done().is_bad_grant
            && let Some(error) = kind.access_token_error()
        {
            error.set_type(AccessTokenErrorType::InvalidGrant);
        }
        Ok(Answer::default())
    }

    fn error(&mut self, _: OAuthError) -> Error {
        Error::internal("an OAuth flow failed")
    }

    fn web_error(&mut self, error: Error) -> Error {
        error
    }

    fn extension(&mut self) -> Option<&mut (dyn Extension + Send)> {
        Some(self)
    }
}
