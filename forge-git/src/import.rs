//! Fetching a whole repository from elsewhere.
//!
//! Invariant: everything happens in the scratch directory that is given; whatever goes wrong, nothing else was
//! touched. No hook and no setting of the source is taken over, and every object is checked. Nothing is kept of where it
//! came from. What a user names is fetched from the open internet alone, follows nobody elsewhere, and is bounded in
//! time and size; an operator's word is not doubted.

mod address;
pub(crate) mod bounds;
mod host;

use std::path::Path;
use std::time::Duration;

use bstr::ByteSlice as _;
use forge_core::objects::ImportSource;
use forge_core::repos::Progress;
use forge_core::{Error, Result};
pub(crate) use host::Reach;

use crate::child::{self, Git, Output};
use crate::layout::Layout;

/// Faults that old tools wrote into many histories and that hurt nobody.
pub(crate) const HARMLESS: [&str; 3] = [
    "badTimezone",
    "missingSpaceBeforeDate",
    "zeroPaddedFilemode",
];
/// The longest that all of it may take.
const MAX_TIME: Duration = Duration::from_hours(6);
/// The longest that it may take for a user.
const MAX_USERS_TIME: Duration = Duration::from_mins(30);
/// What the source is called on the command line, where others can see it: its address may hold a password.
const ALIAS: &str = "forge:source";
/// What `git index-pack` says while it checks what a server sends. A server's own words begin otherwise.
const CHECKING: &str = "Receiving objects:";
/// What HEAD names where the source's names no branch.
const DEFAULT_HEAD: &str = "refs/heads/master";

/// What is fetched, and how.
struct Source {
    git: Git,
    /// Whether a user has named it.
    is_users: bool,
    max_bytes: Option<u64>,
    /// Where it lies on this machine, which is nobody's business.
    path: Option<String>,
}

/// Fetches refs, what they reach, and HEAD into an empty directory, and prepares it for reading.
pub(crate) async fn fetch(
    into: &Path,
    from: &ImportSource,
    layout: &Layout,
    reach: Reach,
    progress: &Progress,
) -> Result<()> {
    let max_time = match from {
        ImportSource::UserUrl { .. } | ImportSource::Repo(_) => MAX_USERS_TIME,
        _ => MAX_TIME,
    };
    let fetching = async {
        let source = source(into, from, layout, reach).await?;
        clone(into, source, progress).await
    };
    let fetched = tokio::time::timeout(max_time, fetching).await;
    let minutes = max_time.as_secs() / 60;
    let late = |_| {
        Error::invalid(
            "source",
            format!("fetching it took more than {minutes} minutes"),
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

async fn clone(into: &Path, source: Source, progress: &Progress) -> Result<()> {
    // A clone takes HEAD along, unborn or detached as it may be, and writes all refs at once; `git fetch` does
    // neither, and is slow with many refs.
    let mut clone = source
        .git
        .arg(if source.is_users {
            "--bare"
        } else {
            "--mirror"
        })
        // Files are not to be shared or taken over unchecked.
        .arg("--no-local")
        .arg("--progress")
        .arg("--reject-shallow")
        .arg("--template=")
        .config("submodule.recurse", "false")
        .config("fetch.fsckObjects", "true")
        // The caller makes all of it durable at once.
        .config("core.fsync", "none");
    for fault in HARMLESS {
        clone = clone.config(format!("fetch.fsck.{fault}"), "ignore");
    }
    if let Some(most) = source.max_bytes {
        clone = clone.max_file(most);
    }
    let mut is_checked = false;
    let run = clone.operands([ALIAS, "."]).run(|line| {
        is_checked |= line.starts_with(CHECKING);
        progress(line);
    });
    let output = match source.max_bytes {
        None => run.await?,
        Some(most) => {
            let output = tokio::select! {
                output = run => output?,
                error = bounds::outgrown(into, most) => return Err(error?),
            };
            if bounds::has_outgrown(&output) {
                return Err(bounds::too_large(most));
            }
            output
        }
    };
    check(into, source.path.as_deref(), &output)?;

    if !is_checked {
        fsck(into, progress).await?;
    }
    if source.is_users {
        settle_head(into).await?;
    }
    let graph = Git::new(into, "commit-graph")
        .arg("write")
        .arg("--reachable")
        .arg("--progress")
        .config("core.fsync", "none");
    graph.run(|line| progress(line)).await?.expect_success()?;
    Ok(())
}

/// Checks objects that git took as they came: from a server of files, which knows nothing of git ("dumb HTTP").
async fn fsck(into: &Path, progress: &Progress) -> Result<()> {
    let mut fsck = Git::new(into, "fsck")
        .arg("--full")
        .arg("--strict")
        .arg("--no-dangling")
        .arg("--progress");
    for fault in HARMLESS {
        fsck = fsck.config(format!("fsck.{fault}"), "ignore");
    }
    let output = fsck.run(|line| progress(line)).await?;
    check(into, None, &output)
}

/// Makes HEAD name a branch: one that the source's HEAD stands on, if that names a commit.
async fn settle_head(into: &Path) -> Result<()> {
    let named = Git::new(into, "symbolic-ref").arg("--quiet").arg("HEAD");
    if named.run(|_| ()).await?.success {
        return Ok(());
    }
    let found = Git::new(into, "for-each-ref")
        .arg("--points-at=HEAD")
        .arg("--count=1")
        .arg("--format=%(refname)")
        .operands(["refs/heads/"]);
    let found = found.run(|_| ()).await?.expect_success()?;
    let found = found.trim_end_with(|c| c == '\n').to_os_str();
    let found = found.map_err(Error::internal)?;
    let head = if found.is_empty() {
        DEFAULT_HEAD.as_ref()
    } else {
        found
    };
    let settle = Git::new(into, "symbolic-ref").operands(["HEAD".as_ref(), head]);
    settle.run(|_| ()).await?.expect_success()?;
    Ok(())
}

/// Says what the alias stands for, and how git may get there.
async fn source(into: &Path, from: &ImportSource, layout: &Layout, reach: Reach) -> Result<Source> {
    let git = Git::outside(into, "clone").disposable();
    let source = |git: Git| Source {
        git,
        is_users: false,
        max_bytes: None,
        path: None,
    };
    match from {
        ImportSource::Url(url) => Ok(source(
            http(git, url.as_str()).config("http.followRedirects", "initial"),
        )),
        ImportSource::UserUrl { url, max_bytes } => {
            let mut git = http(git, url.as_str())
                // Elsewhere may be within; this goes for alternates on servers of files as well.
                .config("http.followRedirects", "false")
                .config("http.proxy", "");
            if let Some(pin) = host::pin(url, reach).await? {
                git = git.config("http.curloptResolve", pin);
            }
            Ok(Source {
                is_users: true,
                max_bytes: Some(*max_bytes),
                ..source(git)
            })
        }
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
            Ok(source(local(git, absolute)))
        }
        ImportSource::Repo(repo) => {
            let path = layout.repo(*repo).ok_or(Error::NotFound)?;
            let absolute = tokio::fs::canonicalize(path).await;
            let absolute = absolute.map_err(|_| Error::NotFound)?;
            let absolute = absolute
                .into_os_string()
                .into_string()
                .map_err(|_| Error::internal("the repositories lie below a name without UTF-8"))?;
            Ok(Source {
                is_users: true,
                path: Some(absolute.clone()),
                ..source(local(git, &absolute))
            })
        }
        _ => Err(Error::invalid("source", "source is of a kind unknown here")),
    }
}

fn http(git: Git, url: &str) -> Git {
    alias(git, url)
        .config("protocol.http.allow", "always")
        .config("protocol.https.allow", "always")
        .config("http.lowSpeedLimit", "1")
        .config("http.lowSpeedTime", "120")
}

fn local(git: Git, path: &str) -> Git {
    // The operator names the path, so it may belong to another user; serving a foreign repository is safe.
    alias(git, path)
        .arg("--upload-pack=git -c safe.directory='*' upload-pack")
        .config("protocol.file.allow", "always")
}

fn alias(git: Git, target: &str) -> Git {
    git.config(format!("url.{target}.insteadOf"), ALIAS)
}

/// Git's words, if it failed.
fn check(into: &Path, from: Option<&str>, output: &Output) -> Result<()> {
    if output.success {
        return Ok(());
    }
    let blame = |line: &&String| line.starts_with("fatal:") || line.starts_with("error:");
    let mut words: Vec<_> = output.messages.iter().filter(blame).cloned().collect();
    if words.is_empty() {
        words.clone_from(&output.messages);
    }
    // Where it was going to lie is nobody's business.
    let mut words = words.join("; ").replace(&*into.to_string_lossy(), ".");
    if let Some(from) = from {
        words = words.replace(from, "the source");
    }
    Err(Error::invalid(
        "source",
        if words.is_empty() {
            "git failed without a word".to_owned()
        } else {
            words
        },
    ))
}
