//! Artifacts, and how they look in JSON (seed 001, "Artifact resource").

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bstr::BString;
use bytes::Bytes;
use forge_core::artifacts::Artifact;
use forge_core::http::BoxError;
use forge_core::repos::Repository;
use forge_core::{Error, RepoPath, RevSpec, Scope};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::App;
use super::objects::disposition_of;
use crate::caller::Anyone;
use crate::error::Result;
use crate::target::{Target, text, user_name};

/// How much of a form may come before the file's content, in bytes.
const MAX_PREAMBLE: usize = 256 * 1024;
/// How much of a form is looked at in one go until then, in bytes.
const SLICE: usize = 16 * 1024;

#[derive(Debug, Serialize)]
pub(crate) struct View {
    created: String,
    checksum: String,
    size: u64,
    filename: String,
    url: String,
}

impl View {
    /// The URL is made of the repository's present name, so it holds after a rename.
    pub(crate) fn of(artifact: &Artifact, repo: &Repository, app: &App) -> Self {
        let (commit, filename) = (artifact.commit, &artifact.filename);
        let path = format!("/{}/refs/download/{commit}/{filename}", repo.path());
        let digits = artifact.sha256.iter().map(|byte| format!("{byte:02x}"));
        Self {
            created: app.time.text(artifact.created),
            checksum: format!("sha256:{}", digits.collect::<String>()),
            size: artifact.size,
            filename: filename.clone(),
            url: app.forge.git_origin().url_of(&path.replace('+', "%2B")),
        }
    }
}

/// `POST …/repos/:name/artifacts/:ref`: a form with one file, called `file`.
pub(crate) async fn attach(
    State(app): State<App>,
    target: Target,
    request: Request,
) -> Result<(StatusCode, Json<View>)> {
    let repo = target
        .caller
        .manage_repo(&target.path, Scope::Objects)
        .await?;
    let rev = RevSpec::new(target.tail.unwrap_or_default())?;
    let header = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let boundary = multer::parse_boundary(header.unwrap_or_default())
        .map_err(|_| Error::invalid("file", "file must come as multipart/form-data"))?;
    let begun = Arc::new(AtomicBool::new(false));
    let content = bounded(request, Arc::clone(&begun));
    let mut form = multer::Multipart::new(content, boundary);
    let file = loop {
        match form.next_field().await.map_err(|error| broken(&error))? {
            None => return Err(Error::invalid("file", "file is required").into()),
            Some(part) if part.name() == Some("file") => break part,
            Some(_) => {}
        }
    };
    begun.store(true, Ordering::Relaxed);
    let name = file.file_name().unwrap_or_default().to_owned();
    // The form must outlive its part.
    let pieces = stream::unfold((file, form), |(mut file, form)| async move {
        let piece = file
            .chunk()
            .await
            .map_err(|error| broken(&error))
            .transpose()?;
        Some((piece, (file, form)))
    });
    let artifact = repo.attach(&rev, &name, pieces.boxed()).await?;
    Ok((
        StatusCode::CREATED,
        Json(View::of(&artifact, repo.get(), &app)),
    ))
}

/// The form's bytes. What comes before the file's content is parsed in memory, so it may not be long; and the parser
/// takes all it can get before it looks at it, so until then it gets little at a time.
///
/// The parser also gives up if the first boundary and the end of the body arrive between two looks of its own, so there is
/// a pause before each piece and before the end.
fn bounded(
    request: Request,
    begun: Arc<AtomicBool>,
) -> impl Stream<Item = std::result::Result<Bytes, BoxError>> + Send + 'static {
    let flag = Arc::clone(&begun);
    let slices = request
        .into_body()
        .into_data_stream()
        .flat_map(move |piece| {
            let begun = Arc::clone(&flag);
            let mut left = Some(piece);
            stream::iter(std::iter::from_fn(move || match left.take()? {
                Ok(mut piece) if piece.len() > SLICE && !begun.load(Ordering::Relaxed) => {
                    let slice = piece.split_to(SLICE);
                    left = Some(Ok(piece));
                    Some(Ok(slice))
                }
                piece => Some(piece),
            }))
        });
    let end = stream::once(async { None });
    let paced = slices.map(Some).chain(end).then(async |piece| {
        tokio::task::yield_now().await;
        piece
    });
    let mut before = 0;
    paced.filter_map(std::future::ready).map(move |piece| {
        let piece = piece?;
        if !begun.load(Ordering::Relaxed) {
            before += piece.len();
            if before > MAX_PREAMBLE {
                return Err("too much comes before the file".into());
            }
        }
        Ok(piece)
    })
}

fn broken(error: &multer::Error) -> Error {
    Error::invalid("file", format!("the form cannot be read: {error}"))
}

/// `GET /~:owner/:name/refs/download/:ref/:file`: for everybody who may see the repository, credentials or not.
pub(crate) async fn download(Anyone(caller): Anyone, uri: Uri) -> Result<Response> {
    let mut segments = uri.path().splitn(6, '/').skip(1);
    let mut next = || segments.next().unwrap_or_default();
    let (owner, name) = (user_name(next())?, text(next())?);
    let path = RepoPath {
        owner,
        name: name.parse().map_err(|_| Error::NotFound)?,
    };
    let (rev, file) = segments
        .nth(2)
        .and_then(|tail| tail.rsplit_once('/'))
        .ok_or(Error::NotFound)?;
    let rev = RevSpec::new(BString::from(percent_decode_str(rev).collect::<Vec<u8>>()))?;
    let (artifact, content) = caller
        .objects(&path)
        .await?
        .artifact(&rev, &text(file)?)
        .await?;
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
        (CONTENT_LENGTH, artifact.size.into()),
        (
            CONTENT_DISPOSITION,
            disposition_of("attachment", &artifact.filename),
        ),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    let body = axum::body::Body::from_stream(content.map_ok(Bytes::from));
    Ok((headers, body).into_response())
}
