//! Repositories, and how they look in JSON (seed 001, "Repository resource").

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use forge_core::repos::{NewRepo, RepoChange, Repository, Visibility};
use forge_core::{Error, RepoName, Scope};
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{StatusCode, Uri};
use serde::Serialize;

use super::App;
use super::users::Short;
use crate::body::{Field, Fields, Raw};
use crate::caller::Auth;
use crate::error::Result;
use crate::page::{self, Start};
use crate::target::{Target, user_name};
use crate::time::TimestampStyle;

/// The one form there is.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    id: i64,
    created: String,
    updated: String,
    name: String,
    owner: Short,
    description: Option<String>,
    visibility: Visibility,
}

impl View {
    fn of(repo: Repository, time: TimestampStyle) -> Self {
        Self {
            id: repo.id.0,
            created: time.text(repo.created),
            updated: time.text(repo.updated),
            name: repo.name.to_string(),
            owner: Short::from(&repo.owner.name),
            description: repo.description,
            visibility: repo.visibility,
        }
    }
}

/// `GET /api/repos`
pub(crate) async fn list_own(
    State(app): State<App>,
    Auth(caller): Auth,
    Start(page): Start,
) -> Result<Response> {
    let repos = caller.repos_of(&caller.user()?.name, page).await?;
    Ok(page::list(repos, |repo| View::of(repo, app.time)))
}

/// `GET /api/:username/repos`
pub(crate) async fn list(
    State(app): State<App>,
    Auth(caller): Auth,
    uri: Uri,
    Start(page): Start,
) -> Result<Response> {
    let owner = user_name(uri.path().split('/').nth(2).unwrap_or_default())?;
    let repos = caller.repos_of(&owner, page).await?;
    Ok(page::list(repos, |repo| View::of(repo, app.time)))
}

/// `POST /api/repos`. With `clone-url`, which is ours, it is filled from there; see [`super::imports`].
pub(crate) async fn create(
    State(app): State<App>,
    Auth(caller): Auth,
    fields: Fields,
) -> Result<(StatusCode, Json<View>)> {
    let mut fields = fields.read();
    let name = fields.required::<RepoName>("name");
    let description = fields
        .optional("description")
        .filter(|text| !text.is_empty());
    let clone_url = fields.optional("clone-url").filter(|url| !url.is_empty());
    let visibility = fields
        .optional("visibility")
        .map(|text| fields.parse::<Visibility>(&text));
    fields.finish()?;
    // Without faults there is a name, and a visibility if one was given.
    let name = name.ok_or_else(|| Error::invalid("name", "name is required"))?;
    let visibility = visibility.flatten().unwrap_or(Visibility::Public);
    let new = NewRepo {
        name,
        description,
        visibility,
    };
    let account = caller.account()?;
    let repo = match clone_url {
        Some(url) => account.import_repo(&new, &url).await?,
        None => account.create_repo(&new).await?,
    };
    Ok((
        StatusCode::CREATED,
        Json(View::of(repo.get().clone(), app.time)),
    ))
}

/// `GET …/repos/:name`
pub(crate) async fn get(State(app): State<App>, target: Target) -> Result<Json<View>> {
    let repo = target.caller.read_repo(&target.path).await?;
    Ok(Json(View::of(repo.get().clone(), app.time)))
}

/// `PUT …/repos/:name`. Null leaves a field as it is; an empty description clears it, an empty name is ignored.
pub(crate) async fn update(
    State(app): State<App>,
    target: Target,
    fields: Fields,
) -> Result<Json<View>> {
    let repo = target
        .caller
        .manage_repo(&target.path, Scope::Repositories)
        .await?;
    let mut fields = fields.read();
    let given = |field: Field<String>| match field {
        Field::Given(text) => Some(text),
        Field::Null | Field::Absent => None,
    };
    let name = given(fields.text("name")).filter(|name| !name.is_empty());
    let name = name.and_then(|text| fields.parse(&text));
    let description = given(fields.text("description"));
    let visibility = given(fields.text("visibility")).and_then(|text| fields.parse(&text));
    fields.finish()?;
    let description = description.map(|text| (!text.is_empty()).then_some(text));
    let change = RepoChange {
        name,
        description,
        visibility,
        readme: None,
    };
    Ok(Json(View::of(repo.update(&change).await?, app.time)))
}

/// `DELETE …/repos/:name`
pub(crate) async fn delete(target: Target) -> Result<StatusCode> {
    target
        .caller
        .manage_repo(&target.path, Scope::Repositories)
        .await?
        .delete()
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET …/repos/:name/readme`: the custom README's HTML, as text so that no browser renders it on this origin.
pub(crate) async fn readme(target: Target) -> Result<Response> {
    let repo = target.caller.read_repo(&target.path).await?;
    let readme = repo.readme().await?.ok_or(Error::NotFound)?;
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, readme).into_response())
}

/// `PUT …/repos/:name/readme`
pub(crate) async fn set_readme(target: Target, raw: Raw) -> Result<StatusCode> {
    let repo = target
        .caller
        .manage_repo(&target.path, Scope::Repositories)
        .await?;
    if raw.media_type != "text/html" {
        return Err(Error::invalid("content-type", "the content type must be text/html").into());
    }
    let html = std::str::from_utf8(&raw.bytes);
    let html = html.map_err(|_| Error::invalid("body", "the body must be UTF-8"))?;
    repo.update(&RepoChange {
        readme: Some(Some(html.to_owned())),
        ..RepoChange::default()
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE …/repos/:name/readme`
pub(crate) async fn delete_readme(target: Target) -> Result<StatusCode> {
    let repo = target
        .caller
        .manage_repo(&target.path, Scope::Repositories)
        .await?;
    repo.update(&RepoChange {
        readme: Some(None),
        ..RepoChange::default()
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
