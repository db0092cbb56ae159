//! PGP keys, and how they look in JSON (seed 003, "PGP key resource", with what meta.sr.ht has added since).
//!
//! Invariant: `key_id` and `fingerprint` are the primary key's, in upper-case hex digits. Keys are public: other services
//! ask whose one is, without credentials.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use forge_core::pgp_keys::{PgpFingerprint, PgpKey};
use forge_core::{Error, Mode, PgpKeyId, Scope};
use http::{StatusCode, Uri};
use serde::Serialize;

use super::number;
use crate::body::{Field, Fields};
use crate::caller::{Anyone, Auth};
use crate::error::Result;
use crate::git::App;
use crate::git::users::Short;
use crate::page::{self, Start};
use crate::target::text;
use crate::time::TimestampStyle;

/// The field of a new key; what an error names, too.
const FIELD: &str = "pgp-key";

#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: i64,
    key: String,
    key_id: String,
    fingerprint: String,
    email: Option<String>,
    authorized: String,
    expiration: Option<String>,
    owner: Short,
}

impl View {
    fn new(key: PgpKey, time: TimestampStyle) -> Self {
        let fingerprint = key.key.fingerprint.to_string();
        Self {
            id: key.id.0,
            key: key.key.text,
            key_id: fingerprint.clone(),
            fingerprint,
            email: key.key.email,
            authorized: time.text(key.authorized),
            expiration: key.key.expiration.map(|end| time.text(end)),
            owner: Short::from(&key.user.name),
        }
    }
}

/// `GET /api/user/pgp-keys`
pub(crate) async fn list(
    State(app): State<App>,
    Auth(caller): Auth,
    Start(page): Start,
) -> Result<Response> {
    let keys = caller.account()?.pgp_keys(page).await?;
    Ok(page::list(keys, |key| View::new(key, app.time)))
}

/// `POST /api/user/pgp-keys`
pub(crate) async fn create(
    State(app): State<App>,
    Auth(caller): Auth,
    fields: Fields,
) -> Result<(StatusCode, Json<View>)> {
    // Reading a key takes its time, and not everybody is to have it.
    caller.require(Scope::PgpKeys, Mode::Write)?;
    let mut fields = fields.read();
    let text = match fields.text(FIELD) {
        Field::Given(text) => text,
        Field::Absent | Field::Null => String::new(),
    };
    fields.finish()?;
    let key = app.forge.read_pgp_key(text, FIELD).await?;
    let key = caller.account()?.add_pgp_key(&key).await?;
    Ok((StatusCode::CREATED, Json(View::new(key, app.time))))
}

/// `GET /api/user/pgp-keys/:id`
pub(crate) async fn get(
    State(app): State<App>,
    Auth(caller): Auth,
    uri: Uri,
) -> Result<Json<View>> {
    let key = caller.account()?.pgp_key(id(&uri)?).await?;
    Ok(Json(View::new(key, app.time)))
}

/// `DELETE /api/user/pgp-keys/:id`
pub(crate) async fn delete(Auth(caller): Auth, uri: Uri) -> Result<StatusCode> {
    caller.account()?.remove_pgp_key(id(&uri)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/pgp-key/:fpr`: whose key that is. People paste fingerprints as they are printed, with blanks in them.
pub(crate) async fn find(
    State(app): State<App>,
    Anyone(caller): Anyone,
    uri: Uri,
) -> Result<Json<View>> {
    let given = text(uri.path().rsplit('/').next().unwrap_or_default())?;
    let digits: String = given.chars().filter(|c| !c.is_whitespace()).collect();
    let fingerprint = PgpFingerprint::parse(&digits).ok_or(Error::NotFound)?;
    let key = caller.find_pgp_key(&fingerprint).await?;
    Ok(Json(View::new(key, app.time)))
}

fn id(uri: &Uri) -> Result<PgpKeyId> {
    Ok(PgpKeyId(number(uri)?))
}
