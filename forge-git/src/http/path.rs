//! Which requests are a git client's, and which repository they mean.
//!
//! Invariant: no text of a request's path ever becomes a path of the file system: what does not parse into names, as
//! strictly as they are made, is nobody's repository. Whether there is such a repository is not known here.

use forge_core::{RepoName, RepoPath, UserName};
use percent_encoding::percent_decode_str;

/// The longest path that is looked at, in bytes.
const MAX_PATH: usize = 4096;

/// Whether a request is one for [`crate::Transport::http`]: `path` is what follows the git service's prefix.
///
/// Those are a git client's requests for `/~owner/name`, with or without `.git`, and `?go-get=1`, which the `go` command
/// asks of `/~owner/name` and what is below it.
#[must_use]
pub fn claims(path: &str, query: Option<&str>) -> bool {
    split(path).is_some_and(|(_, _, rest)| Tail::of(rest, query).is_some())
}

/// What is asked of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// `info/refs`.
    Refs,
    /// A service's name, to send a request to.
    Service(Service),
    /// A file, as old clients fetch them one by one.
    File,
    /// Where Go finds the module.
    GoImport,
}

/// A program that a client talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    UploadPack,
    ReceivePack,
    UploadArchive,
}

impl Service {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "git-upload-pack" => Some(Self::UploadPack),
            "git-receive-pack" => Some(Self::ReceivePack),
            "git-upload-archive" => Some(Self::UploadArchive),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
            Self::UploadArchive => "git-upload-archive",
        }
    }
}

impl Tail {
    fn of(rest: &str, query: Option<&str>) -> Option<Self> {
        if parameter(query, "go-get") == Some("1") {
            return Some(Self::GoImport);
        }
        match rest {
            "/info/refs" => Some(Self::Refs),
            "/HEAD" => Some(Self::File),
            rest if rest.starts_with("/objects/") => Some(Self::File),
            rest => Service::named(rest.strip_prefix('/')?).map(Self::Service),
        }
    }
}

/// The value of a query's parameter, the first time that it is there.
pub(super) fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    let mut pairs = query.unwrap_or_default().split('&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// A request's repository, and what is asked of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    /// The names to try, one after the other: as it was written, then without `.git`.
    pub(super) names: Vec<RepoPath>,
    pub(super) tail: Tail,
    /// What follows the name.
    pub(super) rest: &'a str,
}

impl<'a> Wanted<'a> {
    /// Reads a path; `None` if it names no repository that there could be.
    pub(super) fn parse(path: &'a str, query: Option<&str>) -> Option<Self> {
        let (owner, name, rest) = split(path)?;
        let tail = Tail::of(rest, query)?;
        let (owner, name) = (decode(owner)?, decode(name)?);
        let owner = UserName::from_canonical(&owner)?;
        let names = [Some(&*name), name.strip_suffix(".git")];
        let names: Vec<_> = names
            .into_iter()
            .flatten()
            .filter_map(|name| name.parse::<RepoName>().ok())
            .map(|name| RepoPath {
                owner: owner.clone(),
                name,
            })
            .collect();
        (!names.is_empty()).then_some(Self { names, tail, rest })
    }
}

/// `/~owner`, `/name` and the rest, as they are written; the rest is empty or begins with a slash.
fn split(path: &str) -> Option<(&str, &str, &str)> {
    let path = path
        .strip_prefix('/')
        .filter(|path| path.len() < MAX_PATH)?;
    let (owner, path) = path.split_once('/')?;
    let escaped = owner.get(..3).unwrap_or_default();
    if !owner.starts_with('~') && !escaped.eq_ignore_ascii_case("%7e") {
        return None;
    }
    let end = path.find('/').unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    (!name.is_empty()).then_some((owner, name, rest))
}

/// A part of a path without its escapes; `None` where one of them is none, or stands for what splits paths.
fn decode(part: &str) -> Option<String> {
    let mut escapes = part.split('%').skip(1);
    let hex = |escape: &str| {
        let digits = escape.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !escapes.all(hex) {
        return None;
    }
    let text = percent_decode_str(part).decode_utf8().ok()?;
    (!text.contains(['/', '\0'])).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(path: &str) -> Option<(Vec<String>, Tail)> {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let wanted = Wanted::parse(path, query)?;
        assert!(claims(path, query), "{path}");
        let names = wanted.names.iter().map(ToString::to_string);
        Some((names.collect(), wanted.tail))
    }

    #[test]
    fn these_are_requests_of_git() {
        for (path, names, tail) in [
            ("/~al/r/info/refs", &["~al/r"] as &[_], Tail::Refs),
            (
                "/~al/r.git/info/refs?service=x",
                &["~al/r.git", "~al/r"],
                Tail::Refs,
            ),
            ("/%7Eal/%72/HEAD", &["~al/r"], Tail::File),
            ("/~al/r/objects/info/packs", &["~al/r"], Tail::File),
            (
                "/~al/r/git-upload-pack",
                &["~al/r"],
                Tail::Service(Service::UploadPack),
            ),
            (
                "/~al/r/git-receive-pack",
                &["~al/r"],
                Tail::Service(Service::ReceivePack),
            ),
            (
                "/~al/r/git-upload-archive",
                &["~al/r"],
                Tail::Service(Service::UploadArchive),
            ),
            ("/~al/r?go-get=1", &["~al/r"], Tail::GoImport),
            ("/~al/r/cmd/x?a=b&go-get=1", &["~al/r"], Tail::GoImport),
        ] {
            let names = names.iter().map(ToString::to_string).collect();
            assert_eq!(wanted(path), Some((names, tail)), "{path}");
        }
    }

    #[test]
    fn these_are_nobodys_repository() {
        for path in [
            "",
            "/",
            "/~al",
            "/~al/r",
            "/~al/r/",
            "/~al/r?go-get=0",
            "/~al/r/info/refs/",
            "/~al/r//info/refs",
            "/~al//info/refs",
            "//~al/r/info/refs",
            "/al/r/info/refs",
            "/~al/../info/refs",
            "/~al/%2e%2e/info/refs",
            "/~al/.git/info/refs",
            "/~al/r%2fs/info/refs",
            "/~al%2fr/info/refs",
            "/~al/r%00/info/refs",
            "/~al/r%/info/refs",
            "/~al/r%zz/info/refs",
            "/~al/r%f/info/refs",
            "/~al/r%ff/info/refs",
            "/~al/%C3%A9/info/refs",
            "/~../r/info/refs",
            "/~al/r/info%2frefs",
            "/~al/r/../r/info/refs",
            "/~al/r/refs/download/x/y",
        ] {
            assert_eq!(wanted(path), None, "{path}");
        }
        let long = format!("/~al/{}/info/refs", "r".repeat(5_000));
        assert!(!claims(&long, None));
    }

    #[test]
    fn a_parameter_is_found_among_others() {
        assert_eq!(
            parameter(Some("a=1&service=x&service=y"), "service"),
            Some("x")
        );
        assert_eq!(parameter(Some("services=x&service"), "service"), None);
        assert_eq!(parameter(None, "service"), None);
    }

    proptest! {
        #[test]
        fn no_path_panics_or_leads_anywhere_else(
            path in "(/?(~|%7e)?[a-z.%/\u{0}-\u{ff}]{0,12}){0,4}(/info/refs)?",
            query in proptest::option::of("[a-z=&1-]{0,12}"),
        ) {
            if let Some(wanted) = Wanted::parse(&path, query.as_deref()) {
                prop_assert!(claims(&path, query.as_deref()));
                for name in &wanted.names {
                    prop_assert!(name.to_string().parse::<RepoPath>().is_ok());
                }
                prop_assert!(path.ends_with(wanted.rest));
            }
        }

        #[test]
        fn no_text_panics_the_parser(path in any::<String>()) {
            let _ = Wanted::parse(&format!("/~{path}"), Some(&path));
        }
    }
}
