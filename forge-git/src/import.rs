//! Fetching a whole repository from elsewhere.
//!
//! Invariant: everything happens in the scratch directory that is given; whatever goes wrong, nothing else was
//! touched. No hook and no setting of the source is taken over, and objects are checked as they arrive. Nothing is
//! kept of where it came from.

use std::path::Path;
use std::time::Duration;

use forge_core::objects::ImportSource;
use forge_core::repos::Progress;
use forge_core::{Error, Result};

use crate::child::{self, Git, Output};

/// Faults that old tools wrote into many histories and that hurt nobody.
const HARMLESS: [&str; 3] = [
    "badTimezone",
    "missingSpaceBeforeDate",
    "zeroPaddedFilemode",
];
/// The longest that all of it may take.
const MAX_TIME: Duration = Duration::from_hours(6);
/// What the source is called on the command line, where others can see it: its address may hold a password.
const ALIAS: &str = "forge:source";

/// Fetches all refs, what they reach, and HEAD into an empty directory, and prepares it for reading.
pub(crate) async fn fetch(into: &Path, from: &ImportSource, progress: &Progress) -> Result<()> {
    let fetched = tokio::time::timeout(MAX_TIME, clone(into, from, progress)).await;
    let hours = MAX_TIME.as_secs() / 3600;
    let late = |_| {
        Error::invalid(
            "source",
            format!("fetching it took more than {hours} hours"),
        )
    };
    fetched.map_err(late)?.map_err(|error| {
        if child::is_missing(&error) {
            Error::invalid("source", "git is not installed, or not in PATH")
        } else {
            error
        }
    })
}

async fn clone(into: &Path, from: &ImportSource, progress: &Progress) -> Result<()> {
    // A clone takes HEAD along, unborn or detached as it may be, and writes all refs at once; `git fetch` does
    // neither, and is slow with many refs.
    let mut clone = Git::outside(into, "clone")
        .arg("--mirror")
        // Files are not to be shared or taken over unchecked.
        .arg("--no-local")
        .arg("--progress")
        .arg("--reject-shallow")
        .arg("--template=")
        .config("fetch.fsckObjects", "true")
        // The caller makes all of it durable at once.
        .config("core.fsync", "none");
    for fault in HARMLESS {
        clone = clone.config(format!("fetch.fsck.{fault}"), "ignore");
    }
    let clone = source(clone, from).await?.operands([ALIAS, "."]);
    let output = clone.run(|line| progress(line)).await?;
    check(into, &output)?;

    let format = Git::new(into, "rev-parse").arg("--show-object-format");
    let format = format.run(|_| ()).await?.expect_success()?;
    if format.trim_ascii() != b"sha1" {
        return Err(Error::invalid(
            "source",
            "only repositories with SHA-1 ids can be imported",
        ));
    }
    let graph = Git::new(into, "commit-graph")
        .arg("write")
        .arg("--reachable")
        .arg("--progress")
        .config("core.fsync", "none");
    graph.run(|line| progress(line)).await?.expect_success()?;
    Ok(())
}

/// Says what the alias stands for, and how git may get there.
async fn source(git: Git, from: &ImportSource) -> Result<Git> {
    match from {
        ImportSource::Url(url) => Ok(alias(git, url.as_str())
            .config("protocol.http.allow", "always")
            .config("protocol.https.allow", "always")
            .config("http.followRedirects", "initial")
            .config("http.lowSpeedLimit", "1")
            .config("http.lowSpeedTime", "120")),
        ImportSource::Path(path) => {
            let cannot = |why: &dyn std::fmt::Display| {
                Error::invalid(
                    "source",
                    format!("{} cannot be read: {why}", path.display()),
                )
            };
            let absolute = tokio::fs::canonicalize(path)
                .await
                .map_err(|e| cannot(&e))?;
            let absolute = absolute.to_str().ok_or_else(|| cannot(&"not UTF-8"))?;
            // The operator names the path, so it may belong to another user; serving a foreign repository is safe.
            Ok(alias(git, absolute)
                .arg("--upload-pack=git -c safe.directory='*' upload-pack")
                .config("protocol.file.allow", "always"))
        }
        _ => Err(Error::invalid("source", "source is of a kind unknown here")),
    }
}

fn alias(git: Git, target: &str) -> Git {
    git.config(format!("url.{target}.insteadOf"), ALIAS)
}

/// Git's words, if it failed.
fn check(into: &Path, output: &Output) -> Result<()> {
    if output.success {
        return Ok(());
    }
    let blame = |line: &&String| line.starts_with("fatal:") || line.starts_with("error:");
    let mut words: Vec<_> = output.messages.iter().filter(blame).cloned().collect();
    if words.is_empty() {
        words.clone_from(&output.messages);
    }
    // Where it was going to lie is nobody's business.
    let words = words.join("; ").replace(&*into.to_string_lossy(), ".");
    Err(Error::invalid(
        "source",
        if words.is_empty() {
            "git failed without a word".to_owned()
        } else {
            words
        },
    ))
}
