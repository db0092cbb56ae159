//! Signing in and out with a password, for a forge without a host that has users.
//!
//! Invariant: these pages exist only where the forge itself knows who is signed in. After signing in, a browser goes to a
//! page of this service and nowhere else.

use axum::extract::State;
use axum::response::Response;
use forge_core::sessions::{COOKIE_NAME, SignIn};
use forge_core::{Error, Identity};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use minijinja::context;
use url::Url;

use super::site::{Detour, Form, Site, Visitor, add_cookie, see_other};
use crate::table::Table;

pub(super) fn routes(table: &mut Table<Site>) {
    table.get("/login", ask);
    table.add(Method::POST, "/login", sign_in);
    table.add(Method::POST, "/logout", sign_out);
}

/// `GET /login`
async fn ask(State(site): State<Site>, visitor: Visitor) -> Result<Response, Detour> {
    is_ours(&site)?;
    let query = Form::parse(visitor.parts.uri.query().unwrap_or_default().as_bytes());
    if visitor.caller.is_some() {
        return Ok(see_other(&destination(&site, query.text("return_to"))));
    }
    let page = blank(&site, &visitor, StatusCode::OK, &query, "");
    Ok(visitor.remember(&site, page))
}

/// `POST /login`
async fn sign_in(
    State(site): State<Site>,
    visitor: Visitor,
    form: Form,
) -> Result<Response, Detour> {
    is_ours(&site)?;
    visitor.check(&form)?;
    let (name, password) = (form.text("username"), form.text("password"));
    let name = name.trim().trim_start_matches('~');
    let (request, address) = (&visitor.parts, visitor.address);
    match site.forge.sign_in(request, name, password, address).await? {
        SignIn::Done(cookie, session) => {
            let mut response = see_other(&destination(&site, form.text("return_to")));
            let seconds = (session.expires - session.created).num_seconds();
            let headers = response.headers_mut();
            add_cookie(&site, headers, COOKIE_NAME, cookie.expose(), Some(seconds));
            Ok(response)
        }
        SignIn::Wrong => {
            let status = StatusCode::FORBIDDEN;
            Ok(blank(
                &site,
                &visitor,
                status,
                &form,
                "There is no such user, or that is not the password.",
            ))
        }
        SignIn::Suspended(notice) => {
            let text = format!("this account is suspended: {notice}");
            Err(Error::forbidden(text).into())
        }
        SignIn::TooOften(seconds) => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            let text = "Too many wrong passwords. Try again in a quarter of an hour.";
            let mut response = blank(&site, &visitor, status, &form, text);
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            Ok(response)
        }
    }
}

/// `POST /logout`
async fn sign_out(
    State(site): State<Site>,
    visitor: Visitor,
    form: Form,
) -> Result<Response, Detour> {
    is_ours(&site)?;
    visitor.check(&form)?;
    site.forge.sign_out(&visitor.parts, visitor.address).await?;
    let mut response = see_other(&site.path("/login"));
    add_cookie(&site, response.headers_mut(), COOKIE_NAME, "", Some(0));
    Ok(response)
}

fn is_ours(site: &Site) -> forge_core::Result<()> {
    match site.forge.identity() {
        Identity::Passwords => Ok(()),
        Identity::Nobody | Identity::Host(_) => Err(Error::NotFound),
    }
}

/// Where a browser goes that has signed in: a path of this service, whatever it was told.
fn destination(site: &Site, wanted: &str) -> String {
    let is_visible = |c: char| c.is_ascii_graphic() && c != '\\';
    let below = wanted.strip_prefix(site.forge.meta_origin().prefix());
    let is_path = below.is_some_and(|rest| rest.starts_with('/') && !rest.starts_with("//"));
    // Browsers shorten a path with dots in it: it must be below this service even then.
    let path = wanted.split(['?', '#']).next();
    let is_short =
        Url::parse(&format!("http://localhost{wanted}")).is_ok_and(|url| Some(url.path()) == path);
    if is_path && is_short && wanted.chars().all(is_visible) && !wanted.starts_with("//") {
        wanted.to_owned()
    } else {
        site.path("/oauth2")
    }
}

fn blank(site: &Site, visitor: &Visitor, status: StatusCode, form: &Form, error: &str) -> Response {
    let values = context! {
        error,
        token => visitor.token(),
        return_to => form.text("return_to"),
        username => form.text("username"),
    };
    site.page(status, "login.html", values, "")
}
