//! SourceHut's older scheme: `/oauth/authorize` and `/oauth/exchange`.
//!
//! Invariant: an exchange is bound to the client that asked, and a redirect URI is the registered one, letter by letter:
//! upstream checks neither. `profile:read` is always part of what is asked for.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use forge_core::access::{Mode, Scope};
use forge_core::delegation::Wanted;
use forge_core::oauth::{Client, ClientKind, Consent, OUT_OF_BAND};
use forge_core::{Error, FieldError};
use http::{Method, StatusCode};
use minijinja::{Value, context};
use serde_json::json;
use url::Url;

use super::oauth2::{Question, consent_page, decision};
use super::site::{Detour, Form, Site, Submitted, Visitor, form, see_other};
use crate::caller::address;
use crate::error::Failure;
use crate::table::Table;
use crate::time::TimestampStyle;

/// `profile:read`, which each token of this scheme has.
const PROFILE: [Scope; 2] = [Scope::GitProfile, Scope::MetaProfile];

pub(super) fn routes(table: &mut Table<Site>) {
    table.get("/oauth", index);
    table.get("/oauth/register", register);
    table.get("/oauth/personal-token", personal_token);
    table.get("/oauth/authorize", ask);
    table.add(Method::POST, "/oauth/authorize", answer);
    table.add(Method::POST, "/oauth/exchange", exchange);
}

/// `GET /oauth`: both schemes' things are on one page.
async fn index(State(site): State<Site>) -> Response {
    see_other(&site.path("/oauth2"))
}

/// `GET /oauth/personal-token`: tokens are of one kind.
async fn personal_token(State(site): State<Site>) -> Response {
    see_other(&site.path("/oauth2/personal-token"))
}

/// `GET /oauth/register`
async fn register(State(site): State<Site>) -> Response {
    see_other(&site.path("/oauth2/client-registration"))
}

/// A request for a user's consent.
struct Asked {
    client: Client,
    /// `None` if that cannot be read.
    wanted: Option<Wanted>,
    state: Option<String>,
}

impl Asked {
    async fn read(site: &Site, query: &Form) -> forge_core::Result<Self> {
        let unknown =
            || Error::invalid("client_id", "client_id is not that of an application here");
        let id = query.text("client_id").parse().map_err(|_| unknown())?;
        let client = site.forge.client(&id).await?;
        let client = client.filter(|client| client.kind == ClientKind::Legacy);
        let client = client.ok_or_else(unknown)?;
        let named = query.given("redirect_uri");
        if named.is_some_and(|named| named != client.redirect_uri) {
            let reason = "redirect_uri is not the one that the application is registered with";
            return Err(Error::invalid("redirect_uri", reason));
        }
        let scopes = query.given("scopes").or(query.given("scope"));
        let wanted = match scopes {
            None => None,
            Some(scopes) => match site.forge.legacy_grants(scopes).await {
                Err(Error::Invalid(_)) => None,
                wanted => Some(wanted?),
            },
        };
        let wanted = wanted.map(|mut wanted| {
            for scope in PROFILE {
                wanted.grants.grant(scope, Mode::Read);
            }
            wanted
        });
        Ok(Self {
            client,
            wanted,
            state: query.given("state").map(ToOwned::to_owned),
        })
    }

    /// Sends the browser back to the client with these parameters, or shows them if there is no place to go to.
    fn back(&self, site: &Site, pairs: &[(&str, &str)]) -> Result<Response, Detour> {
        if self.client.redirect_uri == OUT_OF_BAND {
            let values: Vec<_> = pairs
                .iter()
                .map(|(id, value)| context! { id => *id, name => *id, value => *value })
                .collect();
            let title = format!("For {}", self.client.name);
            let values =
                context! { title, values => Value::from(values), is_secret => false, back => () };
            return Ok(site.page(StatusCode::OK, "secret.html", values, ""));
        }
        let mut to = Url::parse(&self.client.redirect_uri).map_err(Error::internal)?;
        to.query_pairs_mut().extend_pairs(pairs);
        if let Some(state) = &self.state {
            to.query_pairs_mut().append_pair("state", state);
        }
        Ok(see_other(to.as_str()))
    }

    fn bad_scope(&self, site: &Site) -> Result<Response, Detour> {
        let details = "scopes must name scopes that there are, separated by commas";
        self.back(site, &[("error", "invalid_scope"), ("details", details)])
    }
}

/// `GET /oauth/authorize`
async fn ask(State(site): State<Site>, visitor: Visitor) -> Result<Response, Detour> {
    let query = visitor.parts.uri.query().unwrap_or_default();
    let asked = Asked::read(&site, &Form::parse(query.as_bytes())).await?;
    // Nobody is sent anywhere before they are signed in.
    let account = visitor.account(&site)?;
    let Some(wanted) = &asked.wanted else {
        return asked.bad_scope(&site);
    };
    let action = site.path(&format!("/oauth/authorize?{query}"));
    let uri = asked.client.redirect_uri.as_str();
    let page = consent_page(
        &site,
        &visitor,
        &account,
        &Question {
            client: &asked.client,
            grants: &wanted.grants,
            delegated: &wanted.scopes,
            action: &action,
            target: Some(uri).filter(|uri| *uri != OUT_OF_BAND),
            user_code: None,
            needed: &PROFILE,
        },
    );
    Ok(visitor.remember(&site, page))
}

/// `POST /oauth/authorize`
async fn answer(
    State(site): State<Site>,
    Submitted {
        visitor,
        account,
        form,
    }: Submitted,
) -> Result<Response, Detour> {
    let query = visitor.parts.uri.query().unwrap_or_default();
    let asked = Asked::read(&site, &Form::parse(query.as_bytes())).await?;
    let Some(wanted) = &asked.wanted else {
        return asked.bad_scope(&site);
    };
    let Some(mut granted) = decision(&form, &wanted.grants) else {
        let details = "the user refused";
        return asked.back(&site, &[("error", "user_declined"), ("details", details)]);
    };
    for scope in PROFILE {
        granted.grant(scope, Mode::Read);
    }
    let scopes = granted.legacy_text();
    let consent = Consent {
        client: &asked.client,
        grants: granted,
        redirect_uri: None,
        challenge: None,
    };
    let code = account.consent(consent).await?;
    asked.back(&site, &[("exchange", code.expose()), ("scopes", &scopes)])
}

/// `POST /oauth/exchange`, JSON or a form.
async fn exchange(State(site): State<Site>, request: Request) -> Result<Response, Failure> {
    let address = address(request.extensions());
    let names = ["client_id", "client_secret", "exchange"];
    let [id, secret, code] = required(&site, request, names).await?;
    let refused = || Error::malformed("there is no such client, or that is not its secret");
    let id = id.parse().map_err(|_| refused())?;
    let client = match site.forge.authenticate_client(&id, Some(&secret)).await {
        Err(Error::Unauthenticated) => return Err(refused().into()),
        outcome => outcome?.from_address(address),
    };
    let redeemed = match client.client().kind {
        ClientKind::Legacy => client.redeem(&code).await?,
        ClientKind::Public | ClientKind::Confidential => return Err(refused().into()),
    };
    let expired =
        || Error::malformed("the exchange token is not valid, was used before, or has expired");
    let code = redeemed.ok_or_else(expired)?;
    let issued = match client.issue(&code.authorization).await {
        // It has ended in this moment, or its user is suspended.
        Err(Error::NotFound | Error::Forbidden { .. }) => return Err(expired().into()),
        outcome => outcome?,
    };
    let expires = TimestampStyle::default().text(issued.expires);
    let body = json!({ "token": issued.token.expose(), "expires": expires });
    let no_store = [(http::header::CACHE_CONTROL, "no-store")];
    Ok((no_store, Json(body)).into_response())
}

/// The fields of a request of the older scheme, JSON or a form: all of them, or what is missing.
pub(super) async fn required<const N: usize>(
    site: &Site,
    request: Request,
    names: [&'static str; N],
) -> forge_core::Result<[String; N]> {
    let (parts, body) = request.into_parts();
    let body = form::body(site, body).await?;
    let fields = if form::is_form(&parts.headers) {
        let form = Form::parse(&body);
        names.map(|name| form.text(name).to_owned())
    } else {
        let json: serde_json::Value = serde_json::from_slice(&body)
            .map_err(|error| Error::malformed(format!("the body is not a JSON object: {error}")))?;
        names.map(|name| {
            let text = json.get(name).and_then(|value| value.as_str());
            text.unwrap_or_default().to_owned()
        })
    };
    let missing: Vec<_> = names
        .into_iter()
        .zip(&fields)
        .filter(|(_, value)| value.is_empty())
        .map(|(name, _)| FieldError {
            field: Some(name),
            reason: format!("{name} is required"),
        })
        .collect();
    if missing.is_empty() {
        Ok(fields)
    } else {
        Err(Error::Invalid(missing))
    }
}
