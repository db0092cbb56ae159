//! The page to which the mail leads that was sent to a new e-mail address.
//!
//! Invariant: looking at it changes nothing: programs that check mail for harm follow links, too. Whoever has the code
//! may confirm, signed in or not.

use axum::extract::State;
use axum::response::Response;
use forge_core::Error;
use http::{Method, StatusCode};
use minijinja::context;

use super::site::{Detour, Form, Sent, Site, Visitor};
use crate::table::Table;

const PATH: &str = "/profile/confirm-email";

pub(super) fn routes(table: &mut Table<Site>) {
    table.get(PATH, ask);
    table.add(Method::POST, PATH, confirm);
}

/// `GET /profile/confirm-email`
async fn ask(State(site): State<Site>, visitor: Visitor) -> Result<Response, Detour> {
    let query = Form::parse(visitor.parts.uri.query().unwrap_or_default().as_bytes());
    let values = context! { code => query.text("code"), token => visitor.token() };
    let page = site.page(StatusCode::OK, "confirm.html", values, "");
    Ok(visitor.remember(&site, page))
}

/// `POST /profile/confirm-email`
async fn confirm(
    State(site): State<Site>,
    Sent { visitor, form }: Sent,
) -> Result<Response, Detour> {
    match site
        .forge
        .confirm_email(form.text("code"), visitor.address)
        .await
    {
        Ok(_) => {
            let lines = ["From now on, mail goes to your new address.".to_owned()];
            Ok(site.message(StatusCode::OK, "The address is confirmed", &lines))
        }
        Err(Error::NotFound) => {
            let lines = ["This link was used before, or has expired.".to_owned()];
            Ok(site.message(StatusCode::NOT_FOUND, "Nothing to confirm", &lines))
        }
        Err(error) => Err(error.into()),
    }
}
