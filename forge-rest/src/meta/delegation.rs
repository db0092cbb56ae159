//! What other services ask of the meta service: `/api/delegate/scopes` and `/oauth/token/verify` (meta.sr.ht's own services
//! use these; no seed documents them).
//!
//! Invariant: a service shows its id and secret with each request, and another service's scopes do not exist for it. Users'
//! tokens open nothing here.

use axum::Json;
use axum::extract::{FromRequestParts, Request, State};
use axum::response::Response;
use forge_core::access::{ScopeName, Service};
use forge_core::delegation::{DelegatedScope, NewDelegatedScope};
use forge_core::{DelegatedScopeId, Error};
use http::request::Parts;
use http::{Method, StatusCode, Uri};
use serde::Serialize;
use serde_json::json;

use super::number;
use super::oauth::required;
use super::oauth2::answer;
use super::site::Site;
use crate::body::Fields;
use crate::error::{Failure, Result};
use crate::git::App;
use crate::page::{self, Start};
use crate::table::Table;
use crate::time::TimestampStyle;

pub(super) fn routes(table: &mut Table<Site>) {
    table.add(Method::POST, "/oauth/token/verify", verify);
}

/// A service that has shown who it is, in the headers `X-OAuth-ID` and `X-OAuth-Secret`.
#[derive(Debug)]
pub(super) struct FromService(Service);

impl FromRequestParts<App> for FromService {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        // As on meta.sr.ht, this is 400.
        let refused =
            || Error::malformed("X-OAuth-ID and X-OAuth-Secret must be those of a service");
        let header = |name| {
            let mut given = parts.headers.get_all(name).iter();
            let only = given.next().filter(|_| given.next().is_none());
            only.and_then(|value| value.to_str().ok())
        };
        let shown = header("x-oauth-id").zip(header("x-oauth-secret"));
        let (id, secret) = shown.ok_or_else(refused)?;
        let id = id.parse().map_err(|_| refused())?;
        match app.forge.authenticate_service(&id, secret).await {
            Err(Error::NotFound | Error::Unauthenticated) => Err(refused().into()),
            service => Ok(Self(service?)),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct View {
    id: i64,
    created: String,
    /// The same: a scope never changes.
    updated: String,
    name: String,
    description: String,
    writable: bool,
}

impl View {
    fn new(scope: DelegatedScope, time: TimestampStyle) -> Self {
        Self {
            id: scope.scope.id.0,
            created: time.text(scope.created),
            updated: time.text(scope.created),
            name: scope.scope.named.name.to_string(),
            description: scope.description,
            writable: scope.is_writable,
        }
    }
}

/// `GET /api/delegate/scopes`
pub(super) async fn list(
    State(app): State<App>,
    FromService(service): FromService,
    Start(page): Start,
) -> Result<Response> {
    let scopes = service.scopes(page).await?;
    Ok(page::list(scopes, |scope| View::new(scope, app.time)))
}

/// `POST /api/delegate/scopes`
pub(super) async fn create(
    State(app): State<App>,
    FromService(service): FromService,
    fields: Fields,
) -> Result<(StatusCode, Json<View>)> {
    let mut fields = fields.read();
    let name = fields.required::<ScopeName>("name");
    let description = fields.required_text("description");
    let is_writable = fields.required_flag("writable");
    fields.finish()?;
    // Without faults all three are there.
    let (Some(name), Some(description), Some(is_writable)) = (name, description, is_writable)
    else {
        return Err(Error::malformed("a field is missing").into());
    };
    let new = NewDelegatedScope {
        name,
        description,
        is_writable,
    };
    let made = service.create_scope(&new).await?;
    Ok((StatusCode::CREATED, Json(View::new(made, app.time))))
}

/// `GET /api/delegate/scopes/:id`
pub(super) async fn get(
    State(app): State<App>,
    FromService(service): FromService,
    uri: Uri,
) -> Result<Json<View>> {
    let scope = service.scope(id(&uri)?).await?;
    Ok(Json(View::new(scope, app.time)))
}

/// `DELETE /api/delegate/scopes/:id`
pub(super) async fn delete(FromService(service): FromService, uri: Uri) -> Result<StatusCode> {
    service.delete_scope(id(&uri)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn id(uri: &Uri) -> Result<DelegatedScopeId> {
    Ok(DelegatedScopeId(number(uri)?))
}

/// `POST /oauth/token/verify`, JSON or a form: whose a token is that a service was shown.
async fn verify(State(site): State<Site>, request: Request) -> Result<Response> {
    let names = [
        "oauth_token",
        "client_id",
        "client_secret",
        "revocation_url",
    ];
    let [token, id, secret, url] = required(&site, request, names).await?;
    let id = id.parse().map_err(|_| Error::NotFound)?;
    let service = match site.forge.authenticate_service(&id, &secret).await {
        Err(Error::Unauthenticated) => {
            let reason = "client_secret is not that of this service";
            return Err(Error::invalid("client_secret", reason).into());
        }
        service => service?,
    };
    let verified = service.verify(&token, &url).await?;
    let body = json!({
        "expires": TimestampStyle::default().text(verified.expires),
        "scopes": verified.grants.legacy_text(),
    });
    Ok(answer(StatusCode::OK, &body))
}
