//! Programs without a browser ask, users answer on a page (RFC 8628).
//!
//! Invariant: an answer takes two steps: the code is typed, then the program named and the answer given. Wrong codes are
//! counted for each user.

use axum::extract::State;
use axum::response::Response;
use forge_core::Error;
use forge_core::oauth::{Device, as_shown};
use http::StatusCode;
use minijinja::context;
use serde_json::json;

use super::authorize::{Question, consent_page, decision};
use super::credentials::FromClient;
use super::{Refusal, answer as json_answer, seconds_until, wanted};
use crate::meta::site::{Detour, Form, SignedIn, Site, Submitted};

/// `POST /oauth2/device-authorization`
pub(super) async fn begin(
    State(site): State<Site>,
    FromClient { client, params }: FromClient,
) -> Result<Response, Refusal> {
    let scope = params.get("scope").unwrap_or_default();
    let Some(grants) = wanted(&scope) else {
        let text = "scope must name scopes that there are, separated by spaces";
        return Err(Refusal::new("invalid_scope", text));
    };
    let asked = client.ask(&grants).await?;
    let asked = asked.ok_or_else(Refusal::too_often)?;
    let page = site.forge.meta_origin().url_of("/oauth2/device");
    let body = json!({
        "device_code": asked.device.expose(),
        "user_code": asked.user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={}", asked.user_code),
        "expires_in": seconds_until(&site, asked.expires),
        "interval": asked.interval,
    });
    Ok(json_answer(StatusCode::OK, &body))
}

/// `GET /oauth2/device`
pub(super) async fn ask(
    State(site): State<Site>,
    SignedIn { visitor, account }: SignedIn,
) -> Result<Response, Detour> {
    let query = Form::parse(visitor.parts.uri.query().unwrap_or_default().as_bytes());
    let user_code = query.text("user_code");
    let blank = |status, error: &str| {
        let values = context! { error, user_code };
        site.page(status, "device.html", values, "")
    };
    if user_code.is_empty() {
        return Ok(blank(StatusCode::OK, ""));
    }
    let page = match account.device(user_code).await {
        Ok((Device { asked, .. }, client)) => {
            let action = site.path("/oauth2/device");
            consent_page(
                &site,
                &visitor,
                &account,
                &Question {
                    client: &client,
                    grants: &asked.grants,
                    delegated: &[],
                    action: &action,
                    target: None,
                    user_code: Some(&as_shown(user_code)),
                    needed: &[],
                },
            )
        }
        Err(Error::NotFound) => blank(
            StatusCode::NOT_FOUND,
            "This code is not known, or has expired. Look at the device again.",
        ),
        Err(error) => return Err(error.into()),
    };
    Ok(visitor.remember(&site, page))
}

/// `POST /oauth2/device`
pub(super) async fn answer(
    State(site): State<Site>,
    Submitted { account, form, .. }: Submitted,
) -> Result<Response, Detour> {
    let user_code = form.text("user_code");
    let (device, _) = account.device(user_code).await?;
    let granted = decision(&form, &device.asked.grants);
    let title = match granted {
        Some(_) => "The device is connected",
        None => "The device was refused",
    };
    account.answer_device(user_code, granted).await?;
    let lines = ["You can close this page and go back to the device.".to_owned()];
    Ok(site.message(StatusCode::OK, title, &lines))
}
