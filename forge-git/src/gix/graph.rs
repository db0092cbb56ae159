//! The commit-graph file, kept open.
//!
//! Invariant: the graph given is of the file that lies there now; a missing or damaged one is no graph, and histories
//! are then read from the commits. It is never written here.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ::gix::commitgraph::Graph;
use ::gix::hash::Kind as Hash;

/// Tells versions of a file apart. The number does the work: git replaces the files, and the old one's number is not
/// free while it is mapped.
type Stamp = Option<(u64, u64, i64, i64)>;

/// What lay there at some time: one file, or the list of several.
struct Seen {
    stamps: [Stamp; 2],
    graph: Option<Arc<Graph>>,
}

/// The place of a commit-graph.
pub(super) struct GraphFile {
    info: PathBuf,
    hash: Hash,
    seen: Mutex<Option<Seen>>,
}

impl GraphFile {
    pub(super) fn of(objects: &Path, hash: Hash) -> Self {
        Self {
            info: objects.join("info"),
            hash,
            seen: Mutex::new(None),
        }
    }

    /// The graph as it is now.
    pub(super) fn get(&self) -> Option<Arc<Graph>> {
        let now = ["commit-graph", "commit-graphs/commit-graph-chain"]
            .map(|name| stamp(&self.info.join(name)));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = &*seen
            && seen.stamps == now
        {
            return seen.graph.clone();
        }
        let graph = now.iter().any(Option::is_some).then(|| self.read());
        let graph = graph.flatten().map(Arc::new);
        *seen = Some(Seen {
            stamps: now,
            graph: graph.clone(),
        });
        graph
    }

    fn read(&self) -> Option<Graph> {
        Graph::at(&self.info, self.hash, None)
            .inspect_err(|error| tracing::warn!(?error, "a commit-graph is unusable"))
            .ok()
    }
}

fn stamp(path: &Path) -> Stamp {
    let meta = path.metadata().ok()?;
    Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}
