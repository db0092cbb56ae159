//! What a client's token still stands for (RFC 7662), and the end of it (RFC 7009).
//!
//! Invariant: a client learns of and ends its own tokens alone; of any other text it is told what it would be told of
//! nonsense.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::credentials::FromClient;
use super::{Refusal, answer};
use crate::meta::site::Site;

/// `POST /oauth2/introspect`
pub(super) async fn introspect(
    State(site): State<Site>,
    FromClient { client, params }: FromClient,
) -> Result<Response, Refusal> {
    let token = params.get("token").ok_or_else(missing)?;
    let Some(found) = client.introspect(&token).await? else {
        return Ok(answer(StatusCode::OK, &json!({ "active": false })));
    };
    let mut body = json!({
        "active": true,
        "client_id": client.client().client_id.as_str(),
        "username": found.user.name.as_str(),
        "sub": found.user.name.canonical(),
        "scope": found.grants.to_string(),
        "exp": found.expires.timestamp(),
        "iss": site.forge.meta_origin().to_string(),
    });
    // A refresh token is of no type that can be shown (RFC 7662 2.2).
    if let (Some(issued), Some(fields)) = (found.issued, body.as_object_mut()) {
        fields.insert("token_type".to_owned(), "bearer".into());
        fields.insert("iat".to_owned(), issued.timestamp().into());
    }
    Ok(answer(StatusCode::OK, &body))
}

/// `POST /oauth2/revoke`: 200 whatever the token is.
pub(super) async fn revoke(
    FromClient { client, params }: FromClient,
) -> Result<StatusCode, Refusal> {
    let token = params.get("token").ok_or_else(missing)?;
    client.revoke(&token).await?;
    Ok(StatusCode::OK)
}

fn missing() -> Refusal {
    Refusal::new("invalid_request", "token is required")
}
