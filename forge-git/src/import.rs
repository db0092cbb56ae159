//! Fetching a whole repository from elsewhere.
//!
//! Invariant: everything happens in the scratch directory that is given; whatever goes wrong, nothing else was
//! touched. No hook and no setting of the source is taken over, and objects are checked as they arrive.

use std::path::Path;

use bstr::ByteSlice as _;
use forge_core::objects::{ImportSource, Oid};
use forge_core::repos::Progress;
use forge_core::{Error, RefName, Result};

use crate::child::{Git, Output};
use crate::disk::write_head;
use crate::gix::blocking;

/// Faults that old tools wrote into many histories and that hurt nobody.
const HARMLESS: [&str; 3] = [
    "badTimezone",
    "missingSpaceBeforeDate",
    "zeroPaddedFilemode",
];

/// Fetches all refs, what they reach, and HEAD into an empty bare repository, and prepares it for reading.
pub(crate) async fn fetch(into: &Path, from: &ImportSource, progress: &Progress) -> Result<()> {
    let from = &absolute(from).await?;
    let head = remote_head(into, from).await?;
    let mut fetch = remote(into, from, "fetch")
        .arg("--progress")
        .arg("--no-tags")
        .arg("--no-write-fetch-head")
        .arg("--no-recurse-submodules")
        .config("fetch.fsckObjects", "true")
        // One pack, however small: thousands of files are slow to read and to make durable.
        .config("fetch.unpackLimit", "1")
        // The caller makes all of it durable at once.
        .config("core.fsync", "none");
    for fault in HARMLESS {
        fetch = fetch.config(format!("fetch.fsck.{fault}"), "ignore");
    }
    let detached = matches!(head, Head::Detached(_)).then_some("HEAD");
    let refs = ["source", "+refs/*:refs/*"].into_iter().chain(detached);
    let output = fetch.operands(refs).run(|line| progress(line)).await?;
    check(into, &output)?;

    pack(into, progress).await?;
    let into = into.to_owned();
    blocking(move || match head {
        Head::Unknown => Ok(()),
        Head::Symbolic(name) => write_head(&into, &name).map_err(Error::internal),
        Head::Detached(id) => {
            std::fs::write(into.join("HEAD"), format!("{id}\n")).map_err(Error::internal)
        }
    })
    .await
}

/// What readers are faster with: few files, and a commit-graph.
async fn pack(repo: &Path, progress: &Progress) -> Result<()> {
    let pack_refs = Git::new(repo, "pack-refs")
        .arg("--all")
        .config("core.fsync", "none");
    pack_refs.run(|_| ()).await?.expect_success()?;
    let graph = Git::new(repo, "commit-graph")
        .arg("write")
        .arg("--reachable")
        .arg("--progress")
        .config("core.fsync", "none");
    graph.run(|line| progress(line)).await?.expect_success()?;
    Ok(())
}

/// A path of ours, relative to nothing.
async fn absolute(from: &ImportSource) -> Result<ImportSource> {
    Ok(match from {
        ImportSource::Url(url) => ImportSource::Url(url.clone()),
        ImportSource::Path(path) => {
            let absolute = tokio::fs::canonicalize(path).await.map_err(|e| {
                Error::invalid("source", format!("{} cannot be read: {e}", path.display()))
            })?;
            ImportSource::Path(absolute)
        }
    })
}

/// A command about the remote `source`. Its address may hold a password, so it is a setting and no argument.
fn remote(repo: &Path, from: &ImportSource, subcommand: &str) -> Git {
    let git = Git::new(repo, subcommand);
    match from {
        ImportSource::Url(url) => git
            .config("remote.source.url", url.as_str())
            .config("protocol.http.allow", "always")
            .config("protocol.https.allow", "always")
            .config("http.followRedirects", "initial")
            .config("http.lowSpeedLimit", "1")
            .config("http.lowSpeedTime", "120"),
        // The operator names the path, so it may belong to another user; serving a foreign repository is safe.
        ImportSource::Path(path) => git
            .config("remote.source.url", path)
            .config(
                "remote.source.uploadpack",
                "git -c safe.directory='*' upload-pack",
            )
            .config("protocol.file.allow", "always"),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Head {
    Symbolic(RefName),
    Detached(Oid),
    Unknown,
}

async fn remote_head(repo: &Path, from: &ImportSource) -> Result<Head> {
    let git = remote(repo, from, "ls-remote").arg("--symref");
    let output = git.operands(["source", "HEAD"]).run(|_| ()).await?;
    check(repo, &output)?;
    Ok(parse_head(&output.stdout))
}

/// Reads `ref: <name>\tHEAD` and `<id>\tHEAD`; `ls-remote` lists whatever ends in HEAD.
fn parse_head(listing: &[u8]) -> Head {
    let mut head = Head::Unknown;
    for line in listing.lines() {
        let Some(value) = line.strip_suffix(b"\tHEAD") else {
            continue;
        };
        if let Some(name) = value.strip_prefix(b"ref: ") {
            return RefName::new(name).map_or(Head::Unknown, Head::Symbolic);
        }
        if let Some(id) = value.to_str().ok().and_then(|id| id.parse().ok()) {
            head = Head::Detached(id);
        }
    }
    head
}

/// Git's words, if it failed.
fn check(repo: &Path, output: &Output) -> Result<()> {
    if output.success {
        return Ok(());
    }
    let blame = |line: &&String| line.starts_with("fatal:") || line.starts_with("error:");
    let mut words: Vec<_> = output.messages.iter().filter(blame).cloned().collect();
    if words.is_empty() {
        words.clone_from(&output.messages);
    }
    // Where it was going to lie is nobody's business.
    let words = words.join("; ").replace(&*repo.to_string_lossy(), ".");
    Err(Error::invalid(
        "source",
        if words.is_empty() {
            "git failed without a word".to_owned()
        } else {
            words
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_remote_is_read_from_its_listing() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let symbolic = format!("ref: refs/heads/m\u{e9}\tHEAD\n{id}\tHEAD\n{id}\trefs/x/HEAD\n");
        let name = RefName::new("refs/heads/m\u{e9}").expect("a name");
        assert_eq!(parse_head(symbolic.as_bytes()), Head::Symbolic(name));
        let detached = format!("{id}\tHEAD\n");
        assert_eq!(
            parse_head(detached.as_bytes()),
            Head::Detached(id.parse().expect("an id"))
        );
        assert_eq!(parse_head(b""), Head::Unknown);
        assert_eq!(parse_head(b"ref: nonsense\tHEAD\n"), Head::Unknown);
    }
}
