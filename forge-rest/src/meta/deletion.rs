//! The page on which users delete their accounts.
//!
//! Invariant: nothing is deleted unless the account's name was typed, and its password where the forge knows it. What is
//! deleted, and when, is decided in the operation; it cannot be called off here.

use axum::extract::State;
use axum::response::Response;
use forge_core::sessions::{COOKIE_NAME, ShownAgain};
use forge_core::{Account, Identity};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use minijinja::context;

use super::site::{Detour, SignedIn, Site, Submitted, Visitor, add_cookie};
use crate::table::Table;

const PATH: &str = "/profile/delete";

pub(super) fn routes(table: &mut Table<Site>) {
    table.get(PATH, ask);
    table.add(Method::POST, PATH, delete);
}

/// `GET /profile/delete`
async fn ask(
    State(site): State<Site>,
    SignedIn { visitor, account }: SignedIn,
) -> Result<Response, Detour> {
    let page = blank(&site, &visitor, &account, StatusCode::OK, None);
    Ok(visitor.remember(&site, page))
}

/// `POST /profile/delete`
async fn delete(
    State(site): State<Site>,
    Submitted {
        visitor,
        account,
        form,
    }: Submitted,
) -> Result<Response, Detour> {
    let again =
        |status, field, text: &str| blank(&site, &visitor, &account, status, Some((field, text)));
    let (name, typed) = (account.user().name.as_str(), form.text("username").trim());
    if typed.strip_prefix('~').unwrap_or(typed) != name {
        let text = format!("The user name must be “{name}”. Nothing was deleted.");
        return Ok(again(StatusCode::BAD_REQUEST, "username", &text));
    }
    let is_ours = is_ours(&site);
    if is_ours {
        match account.show_password(form.text("password")).await? {
            ShownAgain::Right => {}
            ShownAgain::Wrong => {
                let text = "That is not the password. Nothing was deleted.";
                return Ok(again(StatusCode::FORBIDDEN, "password", text));
            }
            ShownAgain::TooOften(seconds) => {
                let text = "Too many wrong passwords. Try again in a quarter of an hour.";
                let mut page = again(StatusCode::TOO_MANY_REQUESTS, "password", text);
                let headers = page.headers_mut();
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
                return Ok(page);
            }
        }
    }
    account.delete().await?;
    let mut lines = vec![
        "It is closed from now on. What belongs to it is being removed, which goes on by itself: \
         you can close this page."
            .to_owned(),
    ];
    if is_ours {
        lines.push("You are signed out.".to_owned());
    }
    let mut page = site.message(StatusCode::OK, "Your account is being deleted", &lines);
    if is_ours {
        add_cookie(&site, page.headers_mut(), COOKIE_NAME, "", Some(0));
    }
    Ok(page)
}

/// Whether the forge itself knows the passwords of its users.
fn is_ours(site: &Site) -> bool {
    matches!(site.forge.identity(), Identity::Passwords)
}

/// The form, with what is wrong about one of its fields.
fn blank(
    site: &Site,
    visitor: &Visitor,
    account: &Account,
    status: StatusCode,
    fault: Option<(&str, &str)>,
) -> Response {
    let (field, error) = fault.unwrap_or_default();
    let name = &account.user().name;
    let values = context! {
        user => name.canonical(),
        name => name.as_str(),
        token => visitor.token(),
        has_password => is_ours(site),
        field,
        error,
    };
    site.page(status, "deletion.html", values, "")
}
