//! Users, and how they look in JSON (seed 000, "User resource").

use axum::Json;
use forge_core::UserName;
use forge_core::users::User;
use http::Uri;
use serde::Serialize;

use crate::caller::Auth;
use crate::error::Result;
use crate::target::user_name;

/// The short form.
#[derive(Debug, Serialize)]
pub(crate) struct Short {
    canonical_name: String,
    name: String,
}

impl From<&UserName> for Short {
    fn from(name: &UserName) -> Self {
        Self {
            canonical_name: name.canonical(),
            name: name.to_string(),
        }
    }
}

/// The full form.
#[derive(Debug, Serialize)]
pub(crate) struct Full {
    #[serde(flatten)]
    short: Short,
    email: Option<String>,
    url: Option<String>,
    location: Option<String>,
    bio: Option<String>,
}

impl From<User> for Full {
    fn from(user: User) -> Self {
        let short = Short::from(&user.name);
        Self {
            short,
            email: user.email,
            url: user.url,
            location: user.location,
            bio: user.bio,
        }
    }
}

/// `GET /api/user`
pub(crate) async fn own(Auth(caller): Auth) -> Result<Json<Full>> {
    Ok(Json(caller.own_profile()?.into()))
}

/// `GET /api/user/:username`
pub(crate) async fn get(Auth(caller): Auth, uri: Uri) -> Result<Json<Full>> {
    let name = user_name(uri.path().rsplit('/').next().unwrap_or_default())?;
    Ok(Json(caller.profile(&name).await?.into()))
}
