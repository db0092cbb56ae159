//! Whether all that the new tips reach is there.
//!
//! Invariant: it is asked with the objects of the push beside those of the repository, before any ref moves; what the
//! repository's refs reach is taken for complete. Whether the objects themselves are sound was `index-pack`'s question.

use forge_core::push::RefUpdate;
use forge_core::{Oid, Result};

use crate::quarantine::Quarantine;

/// Git's word for a tip of which something is missing.
const MISSING: &str = "missing necessary objects";
/// Git's word for a tip that brings a new end of history.
const SHALLOW: &str = "shallow update not allowed";

/// The updates that cannot be made, each with git's word for why. With few objects, `known` are ids that refs name: what
/// builds on these alone is proved without a child.
pub(super) async fn check<'a>(
    quarantine: &Quarantine,
    updates: &'a [RefUpdate],
    known: Option<Vec<Oid>>,
) -> Result<Vec<(&'a RefUpdate, &'static str)>> {
    let tips: Vec<_> = updates.iter().filter_map(|update| update.new).collect();
    if tips.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(known) = known
        && quarantine.proves(tips.clone(), known).await
    {
        return Ok(Vec::new());
    }
    if is_connected(quarantine, &tips, false).await? {
        return Ok(Vec::new());
    }
    let mut refused = Vec::new();
    for update in updates {
        let Some(tip) = update.new else { continue };
        if is_connected(quarantine, &[tip], false).await? {
            continue;
        }
        let is_shallow =
            quarantine.shallow().is_some() && is_connected(quarantine, &[tip], true).await?;
        refused.push((update, if is_shallow { SHALLOW } else { MISSING }));
    }
    Ok(refused)
}

/// Whether everything is there that the tips reach and the refs do not; up to the client's shallow commits, if those
/// count.
async fn is_connected(quarantine: &Quarantine, tips: &[Oid], is_shallow: bool) -> Result<bool> {
    let mut git = quarantine
        .git("rev-list")
        .arg("--objects")
        .arg("--stdin")
        .arg("--not")
        .arg("--all")
        .arg("--quiet");
    if let Some(shallow) = quarantine.shallow().filter(|_| is_shallow) {
        git = git.env("GIT_SHALLOW_FILE", shallow);
    }
    let lines: String = tips.iter().map(|tip| format!("{tip}\n")).collect();
    let output = git.answer(lines.as_bytes()).await?;
    if !output.success {
        tracing::debug!(messages = ?output.messages, "objects are missing");
    }
    Ok(output.success)
}
