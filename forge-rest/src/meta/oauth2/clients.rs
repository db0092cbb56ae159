//! Pages on which users register applications.
//!
//! Invariant: a secret is on one page, the answer to the form that made it.

use axum::extract::State;
use axum::response::Response;
use forge_core::Error;
use forge_core::oauth::{ClientId, ClientKind, NewClient};
use http::StatusCode;
use minijinja::context;

use super::account::secret_page;
use crate::meta::site::{
    Detour, Form, Part, SignedIn, Site, Submitted, Visitor, reasons, see_other,
};

/// `GET /oauth2/client-registration`
pub(super) async fn ask(
    State(site): State<Site>,
    SignedIn { visitor, .. }: SignedIn,
) -> Result<Response, Detour> {
    let page = blank(&site, &visitor, StatusCode::OK, &Form::default(), &[]);
    Ok(visitor.remember(&site, page))
}

/// `POST /oauth2/client-registration`
pub(super) async fn register(
    State(site): State<Site>,
    Submitted {
        visitor,
        account,
        form,
    }: Submitted,
) -> Result<Response, Detour> {
    let text = |name| form.given(name).map(ToOwned::to_owned);
    let new = NewClient {
        kind: match form.text("kind") {
            "public" => ClientKind::Public,
            "legacy" => ClientKind::Legacy,
            _ => ClientKind::Confidential,
        },
        name: text("name").unwrap_or_default(),
        description: text("description"),
        url: text("url"),
        redirect_uri: text("redirect_uri").unwrap_or_default(),
    };
    let (client, secret) = match account.register_client(&new).await {
        Ok(registered) => registered,
        Err(error @ Error::Invalid(_)) => {
            let errors = reasons(&error);
            return Ok(blank(
                &site,
                &visitor,
                StatusCode::BAD_REQUEST,
                &form,
                &errors,
            ));
        }
        Err(error) => return Err(error.into()),
    };
    let mut values = vec![("client-id", "Client id", client.client_id.as_str())];
    if let Some(secret) = &secret {
        values.push(("client-secret", "Client secret", secret.expose()));
    }
    Ok(secret_page(&site, "The application is registered", &values))
}

/// `POST /oauth2/client/:id/revoke`
pub(super) async fn revoke(
    State(site): State<Site>,
    Part(id): Part,
    Submitted { account, .. }: Submitted,
) -> Result<Response, Detour> {
    account.revoke_client(&client_id(&id)?).await?;
    Ok(see_other(&site.path("/oauth2")))
}

/// `POST /oauth2/client/:id/reset-secret`
pub(super) async fn reset_secret(
    State(site): State<Site>,
    Part(id): Part,
    Submitted { account, .. }: Submitted,
) -> Result<Response, Detour> {
    let id = client_id(&id)?;
    let secret = account.reset_client_secret(&id).await?;
    let values = [
        ("client-id", "Client id", id.as_str()),
        ("client-secret", "Client secret", secret.expose()),
    ];
    Ok(secret_page(&site, "A new secret", &values))
}

fn client_id(text: &str) -> forge_core::Result<ClientId> {
    text.parse().map_err(|_| Error::NotFound)
}

fn blank(
    site: &Site,
    visitor: &Visitor,
    status: StatusCode,
    form: &Form,
    errors: &[String],
) -> Response {
    let values = context! {
        errors => errors.to_vec(),
        token => visitor.token(),
        name => form.text("name"),
        description => form.text("description"),
        url => form.text("url"),
        redirect_uri => form.text("redirect_uri"),
        kind => form.text("kind"),
    };
    site.page(status, "register.html", values, "")
}
