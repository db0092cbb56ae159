//! What programs find out by themselves (RFC 8414).
//!
//! Invariant: every address in it is one that is served.

use axum::Json;
use axum::extract::{Path, State};
use forge_core::Error;
use forge_core::access::Scope;
use serde_json::{Value, json};

use super::token::DEVICE_CODE;
use crate::meta::site::{Detour, Site};

/// `GET /.well-known/oauth-authorization-server/:path`, where RFC 8414 3.1 puts it for an issuer whose address has a path.
pub(super) async fn show_below(
    State(site): State<Site>,
    Path(path): Path<String>,
) -> Result<Json<Value>, Detour> {
    if site.forge.meta_origin().prefix() != format!("/{path}") {
        return Err(Error::NotFound.into());
    }
    Ok(show(State(site)).await)
}

/// `GET /.well-known/oauth-authorization-server`
pub(super) async fn show(State(site): State<Site>) -> Json<Value> {
    let origin = site.forge.meta_origin();
    let scopes: Vec<String> = Scope::all()
        .flat_map(|scope| {
            let read = Some(format!("{}:RO", scope.name()));
            let write = scope.is_writable().then(|| format!("{}:RW", scope.name()));
            read.into_iter().chain(write)
        })
        .collect();
    let methods = json!(["client_secret_basic", "client_secret_post", "none"]);
    Json(json!({
        "issuer": origin.to_string(),
        "authorization_endpoint": origin.url_of("/oauth2/authorize"),
        "token_endpoint": origin.url_of("/oauth2/access-token"),
        "introspection_endpoint": origin.url_of("/oauth2/introspect"),
        "revocation_endpoint": origin.url_of("/oauth2/revoke"),
        "device_authorization_endpoint": origin.url_of("/oauth2/device-authorization"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", DEVICE_CODE],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "authorization_response_iss_parameter_supported": true,
    }))
}
