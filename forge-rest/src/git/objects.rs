//! Trees, blobs and raw objects, and how trees look in JSON (seed 001, "Tree resource").

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bstr::{BStr, ByteSlice as _};
use forge_core::http::Body;
use forge_core::objects::{BlobContent, Lookup, OidPrefix};
use forge_core::{Error, Oid};
use futures::{StreamExt as _, stream};
use http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::App;
use crate::error::{Result, respond};
use crate::etag::Tag;
use crate::target::Target;

#[derive(Debug, Serialize)]
struct TreeView {
    id: String,
    short_id: String,
    entries: Vec<EntryView>,
}

#[derive(Debug, Serialize)]
struct EntryView {
    name: String,
    id: String,
    r#type: &'static str,
    mode: u32,
}

/// `GET …/repos/:name/tree[/:ref[/:path]]`, and by a tree's or commit's id.
pub(crate) async fn tree(
    State(_): State<App>,
    target: Target,
    headers: HeaderMap,
) -> Result<Response> {
    let objects = target.caller.objects(&target.path).await?;
    let at = objects
        .locate(target.tail.as_deref().map(BStr::new))
        .await?
        .ok_or(Error::NotFound)?;
    let tree = objects.tree(&at).await?;
    let tag = Tag::weak(tree.id);
    if let Some(response) = tag.not_modified(&headers) {
        return Ok(response);
    }
    let id = tree.id.to_string();
    let length = objects
        .short_lengths(&[tree.id])
        .await?
        .pop()
        .unwrap_or(id.len());
    let entries = tree.entries.iter().map(|entry| EntryView {
        name: entry.name.to_str_lossy().into_owned(),
        id: entry.id.to_string(),
        r#type: entry.kind().as_str(),
        mode: entry.mode,
    });
    let view = TreeView {
        short_id: id.chars().take(length).collect(),
        id,
        entries: entries.collect(),
    };
    Ok(tag.on(Json(view).into_response()))
}

/// `GET …/repos/:name/blob/:ref/:path`, and `…/blob/:id`.
pub(crate) async fn blob(target: Target, headers: HeaderMap) -> Result<Response> {
    let objects = target.caller.objects(&target.path).await?;
    let at = objects
        .locate(target.tail.as_deref().map(BStr::new))
        .await?
        .ok_or(Error::NotFound)?;
    let (id, content) = objects.blob(&at).await?;
    let tag = Tag::strong(id);
    if let Some(response) = tag.not_modified(&headers) {
        return Ok(response);
    }
    let name = match at.path.file_name() {
        Some(name) => name.to_str_lossy().into_owned(),
        None => format!("{id}.bin"),
    };
    let (media_type, disposition) = if is_binary(&content.head) {
        ("application/octet-stream", "attachment")
    } else {
        ("text/plain; charset=utf-8", "inline")
    };
    let mut response = stream_of(content, media_type);
    let headers = response.headers_mut();
    headers.insert(CONTENT_DISPOSITION, disposition_of(disposition, &name));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    Ok(tag.on(response))
}

/// `GET …/repos/:name/odb/:oid`: an object as git stores it, without its header.
pub(crate) async fn odb(target: Target, headers: HeaderMap) -> Result<Response> {
    let objects = target.caller.objects(&target.path).await?;
    let id: Oid = target.tail_text()?.parse()?;
    let content = objects.content(id).await?.ok_or(Error::NotFound)?;
    let tag = Tag::strong(id);
    if let Some(response) = tag.not_modified(&headers) {
        return Ok(response);
    }
    let kind = HeaderValue::from_static(content.kind.as_str());
    let mut response = stream_of(content, "application/octet-stream");
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-git-object-type"), kind);
    Ok(tag.on(response))
}

/// `GET …/repos/:name/lookup/:prefix`: the full id; 409 if several objects' ids begin so.
pub(crate) async fn lookup(target: Target) -> Result<Response> {
    let objects = target.caller.objects(&target.path).await?;
    let prefix: OidPrefix = target.tail_text()?.parse()?;
    Ok(match objects.lookup(&prefix).await? {
        Lookup::One(id) => {
            let headers = [
                (CONTENT_TYPE, "text/plain; charset=utf-8"),
                (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, id.to_string()).into_response()
        }
        Lookup::None => return Err(Error::NotFound.into()),
        Lookup::Ambiguous => respond(
            StatusCode::CONFLICT,
            Some("id"),
            "several objects' ids begin like this",
        ),
    })
}

fn stream_of(content: BlobContent, media_type: &'static str) -> Response {
    let BlobContent {
        size, head, rest, ..
    } = content;
    let whole = head.len() as u64 == size;
    let body = if whole {
        Body::from(head)
    } else {
        Body::from_stream(stream::once(async move { Ok(head) }).chain(rest))
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CONTENT_LENGTH, size.into()),
        // What people put into repositories must not run on this origin.
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, axum::body::Body::new(body)).into_response()
}

/// A `Content-Disposition` with a name of any alphabet (RFC 6266, RFC 8187).
pub(crate) fn disposition_of(kind: &str, name: &str) -> HeaderValue {
    const ATTR: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'.')
        .remove(b'-')
        .remove(b'_')
        .remove(b'~');
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ';
    let ascii: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    let value = if ascii == name {
        format!("{kind}; filename=\"{name}\"")
    } else {
        format!(
            "{kind}; filename=\"{ascii}\"; filename*=UTF-8''{}",
            utf8_percent_encode(name, ATTR)
        )
    };
    // Only graphic ASCII and spaces remain, which is always a header's value.
    HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

/// Whether a blob is binary, by its first 8,000 bytes: a NUL or a UTF-16 or UTF-32 byte order mark, or more than one
/// control character for each 128 printable ones.
fn is_binary(head: &[u8]) -> bool {
    let head = head.get(..8000).unwrap_or(head);
    let marked = head.starts_with(b"\xfe\xff") || head.starts_with(b"\xff\xfe");
    if marked || head.contains(&0) {
        return true;
    }
    let odd = |b: &&u8| matches!(**b, 0x01..=0x07 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f);
    let control = head.iter().filter(odd).count();
    let printable = head.iter().filter(|b| **b >= 0x20 && **b != 0x7f).count();
    control > printable / 128
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{disposition_of, is_binary};

    #[test]
    fn text_and_binary_are_told_apart() {
        let mostly_text = [b"x".repeat(128), b"\x01".to_vec()].concat();
        for text in [
            &b""[..],
            b"hello\n",
            b"\xe9\xff",
            b"a\tb\x0cc\x1b[0m",
            &mostly_text,
        ] {
            assert!(!is_binary(text), "{text:?}");
        }
        let late = [b"x".repeat(8000), b"\0".to_vec()].concat();
        assert!(!is_binary(&late), "only the first 8,000 bytes count");
        for binary in [
            &b"\0"[..],
            b"a\0b",
            b"\xff\xfea",
            b"\xfe\xff",
            b"\x01",
            b"a\x7f",
        ] {
            assert!(is_binary(binary), "{binary:?}");
        }
    }

    #[test]
    fn names_of_files_travel_in_a_header() {
        assert_eq!(
            disposition_of("inline", "a b.txt"),
            "inline; filename=\"a b.txt\""
        );
        assert_eq!(
            disposition_of("inline", "é\"\r\n.txt"),
            "inline; filename=\"____.txt\"; filename*=UTF-8''%C3%A9%22%0D%0A.txt"
        );
    }

    proptest! {
        #[test]
        fn no_name_breaks_the_header(name in any::<String>()) {
            prop_assert!(disposition_of("attachment", &name).to_str().is_ok_and(|text| text.contains("filename=")));
        }
    }
}
