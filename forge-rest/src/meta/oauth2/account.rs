//! The page of a user's tokens, and of the applications that act for the user.
//!
//! Invariant: a token's text is on one page, the answer to the form that made it. Other users' things do not exist here.

use axum::extract::State;
use axum::response::Response;
use chrono::TimeDelta;
use forge_core::access::{Grants, Mode, Scope};
use forge_core::oauth::{ClientKind, NewToken};
use forge_core::{Account, AuthorizationId, Error, Identity, Page, Timestamp, TokenId};
use http::StatusCode;
use minijinja::{Value, context};

use crate::meta::site::{
    Detour, Form, Part, SignedIn, Site, Submitted, Visitor, reasons, see_other,
};

/// How many days a token lives unless its user says otherwise.
const DAYS: i64 = 366;
/// How many it may live.
const MOST_DAYS: i64 = 3660;
/// How many things of a kind are shown at once: of tokens and clients, nobody makes more.
const MOST: u64 = 256;

/// `GET /oauth2`
pub(super) async fn show(
    State(site): State<Site>,
    SignedIn { visitor, account }: SignedIn,
) -> Result<Response, Detour> {
    let page = overview(&site, &visitor, &account).await?;
    Ok(visitor.remember(&site, page))
}

/// `GET /oauth2/personal-token`, where programs send their users with what they need in `grants`.
pub(super) async fn ask_token(
    State(site): State<Site>,
    SignedIn { visitor, account }: SignedIn,
) -> Result<Response, Detour> {
    let query = Form::parse(visitor.parts.uri.query().unwrap_or_default().as_bytes());
    let asked = query.given("grants").map(|text| {
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        Grants::parse_oauth2(&words.join(" "))
    });
    let page = match asked {
        Some(Err(error)) => {
            let status = StatusCode::BAD_REQUEST;
            let wanted = wanted_token(&Form::default(), None);
            token_page(&site, &visitor, &account, status, wanted, &reasons(&error))
        }
        asked => {
            let asked = asked.transpose()?;
            let wanted = wanted_token(&Form::default(), asked.as_ref());
            token_page(&site, &visitor, &account, StatusCode::OK, wanted, &[])
        }
    };
    Ok(visitor.remember(&site, page))
}

/// `POST /oauth2/personal-token`
pub(super) async fn make_token(
    State(site): State<Site>,
    Submitted {
        visitor,
        account,
        form,
    }: Submitted,
) -> Result<Response, Detour> {
    let made = match new_token(&form, site.forge.now()) {
        Ok(new) => account.issue_token(&new).await,
        Err(error) => Err(error),
    };
    let (_, text) = match made {
        Ok(made) => made,
        Err(error @ Error::Invalid(_)) => {
            let errors = reasons(&error);
            let status = StatusCode::BAD_REQUEST;
            let wanted = wanted_token(&form, None);
            let page = token_page(&site, &visitor, &account, status, wanted, &errors);
            return Ok(page);
        }
        Err(error) => return Err(error.into()),
    };
    let values = [("token", "Your new token", text.expose())];
    Ok(secret_page(&site, "A personal access token", &values))
}

/// `POST /oauth2/personal-token/:id/revoke`
pub(super) async fn revoke_token(
    State(site): State<Site>,
    part: Part,
    Submitted { account, .. }: Submitted,
) -> Result<Response, Detour> {
    account.revoke_token(TokenId(part.number()?)).await?;
    Ok(see_other(&site.path("/oauth2")))
}

/// `POST /oauth2/authorization/:id/revoke`
pub(super) async fn revoke_authorization(
    State(site): State<Site>,
    part: Part,
    Submitted { account, .. }: Submitted,
) -> Result<Response, Detour> {
    let id = AuthorizationId(part.number()?);
    account.revoke_authorization(id).await?;
    Ok(see_other(&site.path("/oauth2")))
}

/// A page with what is shown once: each with its id, name and value.
pub(super) fn secret_page(site: &Site, title: &str, values: &[(&str, &str, &str)]) -> Response {
    let values: Vec<_> = values
        .iter()
        .map(|(id, name, value)| context! { id => *id, name => *name, value => *value })
        .collect();
    let back = site.path("/oauth2");
    let values = context! { title, values => Value::from(values), is_secret => true, back };
    site.page(StatusCode::OK, "secret.html", values, "")
}

fn new_token(form: &Form, now: Timestamp) -> forge_core::Result<NewToken> {
    let days = match form.given("days") {
        None => DAYS,
        Some(text) => text.parse().unwrap_or(0),
    };
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Error::invalid(
            "days",
            "days must be a number from 1 to 3660",
        ));
    }
    // What programs send that know the text of grants.
    let grants = match form.given("literal_grants") {
        Some(text) => Grants::parse_oauth2(text)?,
        None => chosen(form)?,
    };
    Ok(NewToken {
        grants,
        comment: form.given("comment").map(ToOwned::to_owned),
        expires: now + TimeDelta::days(days),
    })
}

fn chosen(form: &Form) -> forge_core::Result<Grants> {
    if form.given("everything").is_some() {
        return Ok(Grants::everything());
    }
    let mut grants = Grants::nothing();
    for scope in Scope::all() {
        match form.text(scope.name()) {
            "RO" => grants.grant(scope, Mode::Read),
            "RW" => grants.grant(scope, Mode::Write),
            _ => {}
        }
    }
    if grants.is_empty() {
        return Err(Error::invalid("grants", "say what the token may do"));
    }
    Ok(grants)
}

/// What the form for a token shows: what was asked for, or was sent before.
fn wanted_token(sent: &Form, asked: Option<&Grants>) -> Value {
    let mode = |scope: Scope| match asked {
        Some(grants) if grants.allow(scope, Mode::Write) => "RW",
        Some(grants) if grants.allow(scope, Mode::Read) => "RO",
        Some(_) => "",
        None => sent.text(scope.name()),
    };
    let scopes = Scope::all().map(|scope| {
        context! {
            name => scope.name(),
            means => scope.means(),
            is_writable => scope.is_writable(),
            mode => mode(scope),
        }
    });
    context! {
        is_asked => asked.is_some(),
        comment => sent.text("comment"),
        days => sent.given("days").map_or_else(|| DAYS.to_string(), ToOwned::to_owned),
        everything => sent.given("everything").is_some(),
        scopes => scopes.collect::<Vec<_>>(),
    }
}

/// The page with the form for a token alone.
fn token_page(
    site: &Site,
    visitor: &Visitor,
    account: &Account,
    status: StatusCode,
    wanted: Value,
    errors: &[String],
) -> Response {
    let values = context! {
        user => account.user().name.canonical(),
        token => visitor.token(),
        errors => errors.to_vec(),
        wanted,
    };
    site.page(status, "token.html", values, "")
}

async fn overview(
    site: &Site,
    visitor: &Visitor,
    account: &Account,
) -> forge_core::Result<Response> {
    let all = Page {
        start: None,
        size: MOST,
    };
    let tokens = account.tokens(all).await?.results.into_iter().map(|token| {
        context! {
            id => token.id.0,
            hint => token.hint,
            comment => token.comment,
            grants => grants_text(&token.grants),
            issued => day(token.issued),
            expires => day(token.expires),
            last_used => token.last_used.map_or_else(|| "never".to_owned(), day),
        }
    });
    let query = Form::parse(visitor.parts.uri.query().unwrap_or_default().as_bytes());
    let start = query.text("start").parse().ok();
    let authorizations = account.authorizations(Page { start, ..all }).await?;
    let older = authorizations.next;
    let authorizations = authorizations.results.into_iter().map(|(it, client)| {
        context! {
            id => it.id.0,
            client => client.name,
            created => day(it.created),
            grants => grants_text(&it.grants),
        }
    });
    let clients = account
        .clients(all)
        .await?
        .results
        .into_iter()
        .map(|client| {
            let kind = match client.kind {
                ClientKind::Confidential => "OAuth 2.0, confidential",
                ClientKind::Public => "OAuth 2.0, public",
                ClientKind::Legacy => "older scheme",
            };
            let (id, has_secret) = (client.client_id.to_string(), client.secret.is_some());
            context! { id, name => client.name, kind, has_secret }
        });
    let logout = match site.forge.identity() {
        Identity::Passwords => Some(site.path("/logout")),
        Identity::Host(host) => host.logout_url(),
        Identity::Nobody => None,
    };
    let values = context! {
        user => account.user().name.canonical(),
        token => visitor.token(),
        logout,
        is_our_logout => matches!(site.forge.identity(), Identity::Passwords),
        tokens => tokens.collect::<Vec<_>>(),
        authorizations => authorizations.collect::<Vec<_>>(),
        older,
        clients => clients.collect::<Vec<_>>(),
        wanted => wanted_token(&Form::default(), None),
    };
    Ok(site.page(StatusCode::OK, "account.html", values, ""))
}

fn grants_text(grants: &Grants) -> String {
    if grants.is_everything() {
        return "everything".to_owned();
    }
    let own = grants.scopes().next().map(|_| grants.to_string());
    // OAuth 2.0 has no words for these.
    let others = grants.delegated().map(|(scope, mode)| match mode {
        Mode::Read => format!("{}:read", scope.named),
        Mode::Write => format!("{}:write", scope.named),
    });
    own.into_iter().chain(others).collect::<Vec<_>>().join(" ")
}

fn day(time: Timestamp) -> String {
    time.format("%Y-%m-%d").to_string()
}
