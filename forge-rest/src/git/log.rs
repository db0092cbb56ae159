//! Commits, and how they look in JSON (seed 001, "Commit resource").

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bstr::BStr;
use bytes::Bytes;
use forge_core::objects::{self, CommitPage, OidPrefix};
use forge_core::{Error, Oid, PAGE_SIZE};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::Serialize;

use super::App;
use crate::error::Result;
use crate::etag::Tag;
use crate::page::{List, parameter};
use crate::target::Target;
use crate::time::TimestampStyle;

#[derive(Debug, Serialize)]
struct Person<'a> {
    email: &'a str,
    name: &'a str,
}

impl<'a> From<&'a objects::Person> for Person<'a> {
    fn from(person: &'a objects::Person) -> Self {
        Self {
            email: &person.email,
            name: &person.name,
        }
    }
}

#[derive(Debug, Serialize)]
struct Signature {
    signature: String,
    data: String,
}

#[derive(Debug, Serialize)]
struct View<'a> {
    id: String,
    short_id: String,
    author: Person<'a>,
    committer: Person<'a>,
    timestamp: String,
    message: &'a str,
    tree: String,
    parents: Vec<String>,
    signature: Option<Signature>,
}

impl<'a> View<'a> {
    fn of(commit: &'a objects::Commit, short_length: usize, time: TimestampStyle) -> Self {
        let id = commit.id.to_string();
        Self {
            short_id: id.chars().take(short_length).collect(),
            id,
            author: (&commit.author).into(),
            committer: (&commit.committer).into(),
            timestamp: time.text(commit.author.time),
            message: &commit.message,
            tree: commit.tree.to_string(),
            parents: commit.parents.iter().map(Oid::to_string).collect(),
            signature: commit.signature.as_ref().map(|signature| Signature {
                signature: STANDARD.encode(&signature.signature),
                data: STANDARD.encode(&signature.data),
            }),
        }
    }
}

/// `GET …/repos/:name/log[/:ref]`: newest first, by committer time over all parents. `start` is the `next` of the page
/// before. What follows the revision in the path is accepted and ignored, as git.sr.ht does.
pub(crate) async fn list(State(app): State<App>, target: Target, parts: Parts) -> Result<Response> {
    let objects = target.caller.objects(&target.path).await?;
    let tail = target.tail.as_deref().map(BStr::new);
    let at = match objects.locate(tail).await? {
        Some(at) => at,
        None if tail.is_none() => return Ok(page(&empty()?, None)),
        None => return Err(Error::NotFound.into()),
    };
    let start = match parameter(&parts, "start").filter(|text| text != "-1") {
        None => None,
        Some(text) => {
            let bad = |_| Error::invalid("start", "start must be the id of a commit");
            Some(text.parse::<OidPrefix>().map_err(bad)?)
        }
    };
    // A full id needs no looking up to be a key, and is what `next` gives.
    let full = start
        .as_ref()
        .map(|prefix| prefix.as_str().parse::<Oid>().ok());
    let key = match (full, objects.objects_version().await?) {
        (None, Some(version)) => Some((objects.repo().id, at.id, None, version)),
        (Some(Some(id)), Some(version)) => Some((objects.repo().id, at.id, Some(id), version)),
        _ => None,
    };
    let tag = Tag::weak(format!(
        "{}-{}",
        at.id,
        start.as_ref().map_or("", OidPrefix::as_str)
    ));
    if let Some(page) = key.and_then(|key| app.pages.get(&key)) {
        return Ok(tag
            .not_modified(&parts.headers)
            .unwrap_or_else(|| self::page(&page, Some(&tag))));
    }
    let tip = objects.commit_at(at.id).await?.ok_or(Error::NotFound)?;
    let commits = objects
        .log(
            tip,
            start.as_ref(),
            usize::try_from(PAGE_SIZE).unwrap_or(50),
        )
        .await?;
    let ids: Vec<_> = commits.commits.iter().map(|commit| commit.id).collect();
    let lengths = objects.short_lengths(&ids).await?;
    let json = Bytes::from(render(&commits, &lengths, &app)?);
    if let Some(key) = key {
        app.pages.insert(key, json.clone());
    }
    Ok(tag
        .not_modified(&parts.headers)
        .unwrap_or_else(|| page(&json, Some(&tag))))
}

fn page(json: &Bytes, tag: Option<&Tag>) -> Response {
    let response = ([(CONTENT_TYPE, "application/json")], json.clone()).into_response();
    match tag {
        Some(tag) => tag.on(response),
        None => response,
    }
}

fn empty() -> Result<Bytes> {
    let list = List::<()> {
        next: None,
        results: Vec::new(),
        total: 0,
        results_per_page: PAGE_SIZE,
    };
    Ok(serde_json::to_vec(&list).map_err(Error::internal)?.into())
}

fn render(page: &CommitPage, lengths: &[usize], app: &App) -> Result<Vec<u8>> {
    let commits = page.commits.iter().zip(lengths);
    let list = List {
        next: page.next.map(|id| id.to_string()),
        results: commits
            .map(|(commit, length)| View::of(commit, *length, app.time))
            .collect(),
        // Counting a history costs a walk of all of it, so no page does.
        total: -1,
        results_per_page: PAGE_SIZE,
    };
    Ok(serde_json::to_vec(&list).map_err(Error::internal)?)
}
