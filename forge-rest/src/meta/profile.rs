//! The caller's own profile, and how it looks in JSON (seed 003, the expanded user resource).
//!
//! Invariant: it is told to its owner alone. What others may see of a user is the git service's to tell.

use axum::Json;
use forge_core::users::{ProfileEdit, User};
use forge_core::{Mode, Scope};
use serde::Serialize;

use crate::body::{Field, Fields, Reader};
use crate::caller::Auth;
use crate::error::Result;
use crate::git::users::Full;

/// The full form, with what meta.sr.ht adds.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: i64,
    #[serde(flatten)]
    full: Full,
    /// The fingerprint, as clients of meta.sr.ht read it, and no number.
    use_pgp_key: Option<String>,
}

impl From<User> for View {
    fn from(user: User) -> Self {
        Self {
            id: user.id.0,
            use_pgp_key: user.pgp_key.as_ref().map(ToString::to_string),
            full: user.into(),
        }
    }
}

/// `GET /api/user/profile`
pub(crate) async fn get(Auth(caller): Auth) -> Result<Json<View>> {
    Ok(Json(caller.account()?.profile()?.clone().into()))
}

/// `PUT /api/user/profile`: what is absent stays, null clears; another address is asked for, not set.
pub(crate) async fn update(Auth(caller): Auth, fields: Fields) -> Result<Json<View>> {
    caller.require(Scope::MetaProfile, Mode::Write)?;
    let account = caller.account()?;
    let mut fields = fields.read();
    let edit = ProfileEdit {
        url: clearable(&mut fields, "url"),
        location: clearable(&mut fields, "location"),
        bio: clearable(&mut fields, "bio"),
        email: fields.optional("email"),
    };
    fields.also(edit.check());
    fields.finish()?;
    Ok(Json(account.update_profile(&edit).await?.into()))
}

fn clearable(fields: &mut Reader, field: &'static str) -> Option<Option<String>> {
    match fields.text(field) {
        Field::Absent => None,
        Field::Null => Some(None),
        Field::Given(text) => Some(Some(text)),
    }
}
