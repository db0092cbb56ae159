//! What a user gives as the source of an import.
//!
//! Invariant: what passes here is a URL that every program reads alike: no credentials, nothing that is written in one
//! way and means another. Whether there is anything to be fetched, and whether it lies where fetching is allowed, is
//! found out by whoever fetches.

use url::{Host, Url};

use crate::http::Origin;
use crate::names::{RepoName, RepoPath};
use crate::{Error, Result};

/// The longest URL, in bytes.
const MAX_URL: usize = 2048;

/// Reads the URL of a source.
pub(super) fn parse(text: &str) -> Result<Url> {
    if text.is_empty() {
        return Err(bad("clone-url is required"));
    }
    if text.len() > MAX_URL {
        return Err(bad("clone-url must have at most 2048 bytes"));
    }
    // Parsers drop or turn around such characters, each its own.
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if text.contains(odd) {
        return Err(bad(
            "clone-url may hold neither spaces nor backslashes nor control characters",
        ));
    }
    // Some readers forgive a missing slash, and some a third.
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    if !["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return Err(bad("clone-url must begin with https:// or http://"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(bad("clone-url needs a host"));
    }
    if authority.contains('@') {
        return Err(bad("clone-url may not hold credentials"));
    }
    let url = Url::parse(text).map_err(|error| bad(&format!("clone-url is not a URL: {error}")))?;
    // They may hold secrets too, and no forge has any.
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("clone-url may hold neither a query nor a fragment"));
    }
    check_host(&url, authority)?;
    // The text that is kept has a bound too.
    if url.as_str().len() > MAX_URL {
        return Err(bad("clone-url must have at most 2048 bytes"));
    }
    Ok(url)
}

fn check_host(url: &Url, authority: &str) -> Result<()> {
    let Some(host) = url.host() else {
        return Err(bad("clone-url needs a host"));
    };
    match host {
        Host::Domain(name) if name.ends_with('.') => {
            Err(bad("clone-url must name its host without a final dot"))
        }
        Host::Domain(_) => Ok(()),
        // 0x7f.1 and 2130706433 are addresses as well, to some.
        Host::Ipv4(_) | Host::Ipv6(_) => {
            let canonical = host.to_string();
            let rest = authority.strip_prefix(canonical.as_str());
            match rest {
                Some(rest) if rest.is_empty() || rest.starts_with(':') => Ok(()),
                _ => Err(bad("clone-url must write an address in its usual form")),
            }
        }
    }
}

/// What a URL leads to at the forge's own address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// It is no address of the forge's.
    No,
    /// These, the first of them that exists; none if it can be no repository.
    Paths(Vec<RepoPath>),
}

/// Whether a URL is below the forge's own address, whichever of the two schemes it has.
pub(super) fn own(url: &Url, origin: &Origin) -> Own {
    if !url.authority().eq_ignore_ascii_case(origin.authority()) {
        return Own::No;
    }
    let Some(path) = url.path().strip_prefix(origin.prefix()) else {
        return Own::No;
    };
    let Some(path) = path.strip_prefix('/') else {
        return Own::No;
    };
    let path = path.trim_end_matches('/').replace("%7E", "~");
    let path = path.replace("%7e", "~");
    let Ok(exact) = path.parse::<RepoPath>() else {
        return Own::Paths(Vec::new());
    };
    let short = exact.name.as_str().strip_suffix(".git");
    let short = short.and_then(|name| name.parse::<RepoName>().ok());
    let short = short.map(|name| RepoPath {
        owner: exact.owner.clone(),
        name,
    });
    Own::Paths([Some(exact), short].into_iter().flatten().collect())
}

pub(super) fn bad(reason: &str) -> Error {
    Error::invalid("clone-url", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        match parse(text) {
            Err(Error::Invalid(faults)) => {
                assert!(faults.iter().all(|fault| fault.field == Some("clone-url")));
                faults[0].reason.clone()
            }
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn urls_of_forges_are_taken() {
        for text in [
            "https://git.example.org/~ann/repo",
            "http://git.example.org:8080/ann/repo.git",
            "https://127.0.0.1:3000/x",
            "https://[2001:db8::1]/x",
            "HTTPS://Git.Example.ORG/x",
            "https://b\u{fc}cher.example/x",
            "https://example.org",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_may_mean_something_else_is_refused() {
        for (text, why) in [
            ("", "required"),
            ("git.example.org/x", "begin with"),
            ("https://", "needs a host"),
            ("https://:80/x", "not a URL"),
            ("ssh://git@example.org/x", "begin with https"),
            ("git://example.org/x", "begin with https"),
            ("file:///etc", "begin with https"),
            ("ext::sh -c id", "spaces"),
            ("--upload-pack=id", "begin with"),
            ("https://user:secret@example.org/x", "credentials"),
            ("https://token@example.org/x", "credentials"),
            ("https://@example.org/x", "credentials"),
            ("https://example.org/x?token=1", "query"),
            ("https://example.org/x#y", "fragment"),
            ("https://example.org./x", "final dot"),
            ("https://example.org\\@127.0.0.1/x", "backslashes"),
            ("https://exa\tmple.org/x", "spaces"),
            (" https://example.org/x", "spaces"),
            ("https://example.org/x\n", "spaces"),
            ("https:example.org/x", "begin with"),
            ("https:///example.org/x", "needs a host"),
            ("http://2130706433/", "usual form"),
            ("http://0x7f.0.0.1/", "usual form"),
            ("http://0177.0.0.1/", "usual form"),
            ("http://127.1/", "usual form"),
            ("http://127.0.0.1./", "usual form"),
            ("http://%31%32%37.0.0.1/", "usual form"),
            ("http://\u{ff11}27.0.0.1/", "usual form"),
            ("http://[::ffff:127.0.0.1]/", "usual form"),
            ("http://[0:0:0:0:0:0:0:1]/", "usual form"),
        ] {
            let reason = reason(text);
            assert!(reason.contains(why), "{text:?}: {reason}");
        }
        let long = format!("https://example.org/{}", "x".repeat(MAX_URL));
        assert!(reason(&long).contains("2048"));
    }

    #[test]
    fn ones_own_address_is_recognized() {
        let plain: Origin = "https://git.example.org".parse().expect("an origin");
        let below: Origin = "http://example.org:81/git".parse().expect("an origin");
        let paths = |paths: &[&str]| {
            Own::Paths(
                paths
                    .iter()
                    .map(|path| path.parse().expect("a path"))
                    .collect(),
            )
        };
        for (origin, url, expected) in [
            (&plain, "https://git.example.org/~ann/a", paths(&["~ann/a"])),
            (&plain, "http://GIT.example.org/~ann/a/", paths(&["~ann/a"])),
            (
                &plain,
                "https://git.example.org/%7Eann/a",
                paths(&["~ann/a"]),
            ),
            (
                &plain,
                "https://git.example.org/~ann/a.git",
                paths(&["~ann/a.git", "~ann/a"]),
            ),
            (&plain, "https://git.example.org/ann/a", paths(&[])),
            (&plain, "https://git.example.org/~ann/a/b", paths(&[])),
            (&plain, "https://git.example.org", paths(&[])),
            (&plain, "https://git.example.org:444/~ann/a", Own::No),
            (&plain, "https://example.org/~ann/a", Own::No),
            (
                &below,
                "http://example.org:81/git/~ann/a",
                paths(&["~ann/a"]),
            ),
            (&below, "http://example.org:81/other/~ann/a", Own::No),
            (&below, "http://example.org:81/github/~ann/a", Own::No),
        ] {
            let url = parse(url).expect("a URL");
            assert_eq!(own(&url, origin), expected, "{url}");
        }
    }
}
