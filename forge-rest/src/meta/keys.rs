//! SSH keys, and how they look in JSON (seed 003, "SSH key resource").
//!
//! Invariant: when a key was last used is told to its owner alone. Keys themselves are public, as on meta.sr.ht: other
//! services and scripts ask whose one is, and which ones somebody has, without credentials.

use std::str::FromStr;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use forge_core::access::Signed;
use forge_core::keys::{Fingerprint, PublicKey, SshKey};
use forge_core::{Error, KeyId, Mode, Scope};
use http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::number;
use crate::body::{Fields, whole};
use crate::caller::{Anyone, Auth};
use crate::error::Result;
use crate::git::App;
use crate::git::users::Short;
use crate::page::{self, Start};
use crate::time::TimestampStyle;

/// The field of a new key; what an error names, too.
const FIELD: &str = "ssh-key";
/// The largest body that is signed, in bytes.
const MAX_SIGNED: usize = 64 << 10;
/// Blobs come with and without the `=` at their end.
const BLOB: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: i64,
    authorized: String,
    comment: Option<String>,
    fingerprint: String,
    key: String,
    owner: Short,
    /// Left out for others, null if it was never used.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<Option<String>>,
}

impl View {
    fn public(key: &SshKey, time: TimestampStyle) -> Self {
        Self {
            id: key.id.0,
            authorized: time.text(key.authorized),
            comment: key.key.comment().map(ToOwned::to_owned),
            fingerprint: key.key.md5(),
            key: key.key.line().to_owned(),
            owner: Short::from(&key.user.name),
            last_used: None,
        }
    }

    fn own(key: &SshKey, time: TimestampStyle) -> Self {
        Self {
            last_used: Some(key.last_used.map(|used| time.text(used))),
            ..Self::public(key, time)
        }
    }
}

/// A line as it is sent.
struct Line(PublicKey);

impl FromStr for Line {
    type Err = Error;

    fn from_str(text: &str) -> forge_core::Result<Self> {
        PublicKey::parse(text, FIELD).map(Self)
    }
}

/// `GET /api/user/ssh-keys`
pub(crate) async fn list(
    State(app): State<App>,
    Auth(caller): Auth,
    Start(page): Start,
) -> Result<Response> {
    let keys = caller.account()?.ssh_keys(page).await?;
    Ok(page::list(keys, |key| View::own(&key, app.time)))
}

/// `POST /api/user/ssh-keys`
pub(crate) async fn create(
    State(app): State<App>,
    Auth(caller): Auth,
    fields: Fields,
) -> Result<(StatusCode, Json<View>)> {
    caller.require(Scope::SshKeys, Mode::Write)?;
    let mut fields = fields.read();
    let key = fields.required::<Line>(FIELD);
    fields.finish()?;
    // Without faults there is a key.
    let Line(key) = key.ok_or_else(|| Error::invalid(FIELD, "ssh-key is required"))?;
    let key = caller.account()?.add_ssh_key(&key).await?;
    Ok((StatusCode::CREATED, Json(View::own(&key, app.time))))
}

/// `GET /api/user/ssh-keys/:id`
pub(crate) async fn get(
    State(app): State<App>,
    Auth(caller): Auth,
    uri: Uri,
) -> Result<Json<View>> {
    let key = caller.account()?.ssh_key(id(&uri)?).await?;
    Ok(Json(View::own(&key, app.time)))
}

/// `PUT /api/user/ssh-keys/:id`: the key was used now. There is nothing to say in a body, so none is read.
pub(crate) async fn touch(
    State(app): State<App>,
    Auth(caller): Auth,
    uri: Uri,
) -> Result<Json<View>> {
    let key = caller.account()?.touch_ssh_key(id(&uri)?).await?;
    Ok(Json(View::own(&key, app.time)))
}

/// `DELETE /api/user/ssh-keys/:id`
pub(crate) async fn delete(Auth(caller): Auth, uri: Uri) -> Result<StatusCode> {
    caller.account()?.remove_ssh_key(id(&uri)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/ssh-key/:blob`: whose key that is. The blob is base64, so it may hold slashes, even at its end.
pub(crate) async fn find(
    State(app): State<App>,
    Anyone(caller): Anyone,
    uri: Uri,
) -> Result<Json<View>> {
    let key = caller.find_ssh_key(&blob(&uri)?).await?;
    Ok(Json(View::public(&key, app.time)))
}

/// `POST /api/ssh-key/:blob`: another server of the network has let somebody in by that key. What the body says does not
/// matter, but it is signed.
pub(crate) async fn touch_any(State(app): State<App>, request: Request) -> Result<Json<View>> {
    let (parts, body) = request.into_parts();
    let body = whole(body, MAX_SIGNED).await?;
    let header = |name| {
        let value = parts.headers.get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let signed = Signed {
        body: &body,
        nonce: header("x-payload-nonce").unwrap_or_default(),
        signature: header("x-payload-signature").unwrap_or_default(),
    };
    let network = app.forge.authenticate_network(&signed).await?;
    let key = network.touch_ssh_key(&blob(&parts.uri)?).await?;
    Ok(Json(View::own(&key, app.time)))
}

/// The key whose blob ends a path.
fn blob(uri: &Uri) -> Result<Fingerprint> {
    let blob = uri.path().strip_prefix("/api/ssh-key/");
    let blob: Vec<u8> = percent_decode_str(blob.ok_or(Error::NotFound)?).collect();
    let blob = BLOB.decode(blob).map_err(|_| Error::NotFound)?;
    Ok(Fingerprint::of(&blob))
}

fn id(uri: &Uri) -> Result<KeyId> {
    Ok(KeyId(number(uri)?))
}
