//! Request bodies: a JSON object, or a form with the same fields.
//!
//! Invariant: a body is read up to the forge's limit and no further. Which fields there are is the handlers' affair;
//! unknown ones are ignored.

use std::str::FromStr;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use bstr::ByteSlice as _;
use bytes::Bytes;
use forge_core::{Error, FieldError};
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use percent_encoding::percent_decode;
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::error::{Failure, Result};
use crate::git::App;

/// How long a body may take in all: who sends it was asked before, and may have been turned away since.
const PATIENCE: Duration = Duration::from_secs(60);

/// A body as it came.
pub(crate) struct Raw {
    /// The media type in lower case, without parameters; empty if there is none.
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
    content_type: String,
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raw")
            .field("media_type", &self.media_type)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl FromRequest<App> for Raw {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        let header = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let content_type = header.unwrap_or_default().to_owned();
        let media_type = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let bytes = whole(request.into_body(), app.forge.limits().body_bytes).await?;
        Ok(Self {
            media_type,
            bytes,
            content_type,
        })
    }
}

/// A body, whole: of `most` bytes, within [`PATIENCE`].
pub(crate) async fn whole(body: axum::body::Body, most: usize) -> forge_core::Result<Bytes> {
    match timeout(PATIENCE, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(unreadable(&*error)),
        Err(_) => Err(Error::malformed("the body took too long")),
    }
}

/// Why a body could not be read: it is the caller's doing, a limit or a broken connection.
fn unreadable(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    if error.downcast_ref::<LengthLimitError>().is_some() {
        return Error::Limit { what: "body" };
    }
    Error::malformed("the body ended early")
}

/// The fields of a JSON object or a form.
#[derive(Default)]
pub(crate) struct Fields {
    fields: Map<String, Value>,
    /// Fields of a form whose values are no UTF-8.
    mangled: Vec<String>,
    /// Whether it is a form, which knows texts alone.
    is_form: bool,
}

impl std::fmt::Debug for Fields {
    /// Names alone: values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.fields.keys()).finish()
    }
}

impl FromRequest<App> for Fields {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        let raw = Raw::from_request(request, app).await?;
        let json = match raw.media_type.as_str() {
            "application/json" => true,
            "" => raw.bytes.trim_ascii_start().starts_with(b"{"),
            _ => false,
        };
        if json {
            let fields = serde_json::from_slice(&raw.bytes).map_err(|error| {
                Error::malformed(format!("the body is not a JSON object: {error}"))
            })?;
            return Ok(Self {
                fields,
                mangled: Vec::new(),
                is_form: false,
            });
        }
        let pairs = if raw.media_type == "multipart/form-data" {
            multipart(&raw).await?
        } else {
            urlencoded(&raw.bytes)
        };
        let mut form = Self {
            is_form: true,
            ..Self::default()
        };
        for (name, value) in pairs {
            match String::from_utf8(value) {
                Ok(text) => drop(form.fields.insert(name, Value::String(text))),
                Err(_) => form.mangled.push(name),
            }
        }
        Ok(form)
    }
}

/// The pairs of a form (the URL standard, `application/x-www-form-urlencoded` parsing), values as bytes.
fn urlencoded(body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let decode = |part: &[u8]| percent_decode(&part.replace("+", " ")).collect::<Vec<u8>>();
    let pairs = body.split_str("&").filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once_str("=").unwrap_or((pair, b""));
            (
                String::from_utf8_lossy(&decode(name)).into_owned(),
                decode(value),
            )
        })
        .collect()
}

async fn multipart(raw: &Raw) -> Result<Vec<(String, Vec<u8>)>> {
    let malformed =
        |error: multer::Error| Error::malformed(format!("the body is not a form: {error}"));
    let boundary = multer::parse_boundary(&raw.content_type).map_err(malformed)?;
    let bytes = raw.bytes.clone();
    let once = futures::stream::once(async move { Ok::<_, std::convert::Infallible>(bytes) });
    let mut parts = multer::Multipart::new(once, boundary);
    let mut pairs = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        let Some(name) = part.name().map(ToOwned::to_owned) else {
            continue;
        };
        pairs.push((name, part.bytes().await.map_err(malformed)?.into()));
    }
    Ok(pairs)
}

/// What a field holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Field<T> {
    Absent,
    Null,
    Given(T),
}

/// Takes fields out of a body one by one and collects what is wrong with them.
#[derive(Debug)]
pub(crate) struct Reader {
    given: Fields,
    faults: Vec<FieldError>,
}

impl Fields {
    pub(crate) fn read(self) -> Reader {
        Reader {
            given: self,
            faults: Vec::new(),
        }
    }
}

impl Reader {
    /// A text, or null, or nothing.
    pub(crate) fn text(&mut self, field: &'static str) -> Field<String> {
        if self.given.mangled.iter().any(|name| name == field) {
            self.fault(field, format!("{field} must be UTF-8"));
            return Field::Absent;
        }
        match self.given.fields.remove(field) {
            None => Field::Absent,
            Some(Value::Null) => Field::Null,
            Some(Value::String(text)) => Field::Given(text),
            Some(_) => {
                self.fault(field, format!("{field} must be a string"));
                Field::Absent
            }
        }
    }

    /// A text that must be there: null and the empty text count as missing.
    pub(crate) fn required<T: FromStr<Err = Error>>(&mut self, field: &'static str) -> Option<T> {
        let text = self.required_text(field)?;
        self.parse(&text)
    }

    /// A text that must be there, as it is.
    pub(crate) fn required_text(&mut self, field: &'static str) -> Option<String> {
        let known = self.faults.len();
        match self.text(field) {
            Field::Given(text) if !text.is_empty() => Some(text),
            _ if self.faults.len() > known => None,
            _ => {
                self.fault(field, format!("{field} is required"));
                None
            }
        }
    }

    /// Yes or no, which must be there: a boolean, or in a form the word for it.
    pub(crate) fn required_flag(&mut self, field: &'static str) -> Option<bool> {
        match self.given.fields.remove(field) {
            Some(Value::Bool(flag)) => Some(flag),
            Some(Value::String(text)) if self.given.is_form && text == "true" => Some(true),
            Some(Value::String(text)) if self.given.is_form && text == "false" => Some(false),
            None | Some(Value::Null) => {
                self.fault(field, format!("{field} is required"));
                None
            }
            Some(_) => {
                self.fault(field, format!("{field} must be true or false"));
                None
            }
        }
    }

    /// A text that may be absent but not null.
    pub(crate) fn optional(&mut self, field: &'static str) -> Option<String> {
        match self.text(field) {
            Field::Given(text) => Some(text),
            Field::Absent => None,
            Field::Null => {
                self.fault(field, format!("{field} may not be null"));
                None
            }
        }
    }

    /// A value of its text form; a fault if it has none.
    pub(crate) fn parse<T: FromStr<Err = Error>>(&mut self, text: &str) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.also(Err(error));
                None
            }
        }
    }

    fn fault(&mut self, field: &'static str, reason: String) {
        self.faults.push(FieldError {
            field: Some(field),
            reason,
        });
    }

    /// Adds what a check of the values found wrong.
    pub(crate) fn also(&mut self, checked: forge_core::Result<()>) {
        match checked {
            Ok(()) => {}
            Err(Error::Invalid(faults)) => self.faults.extend(faults),
            Err(error) => self.faults.push(FieldError {
                field: None,
                reason: error.to_string(),
            }),
        }
    }

    /// Ends the reading: everything that is wrong at once.
    pub(crate) fn finish(self) -> Result<()> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(self.faults).into())
        }
    }
}
