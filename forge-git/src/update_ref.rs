//! Refs moved by `git update-ref`: locked first, moved later, or let go.
//!
//! Invariant: a ref moves only from the value it was said to have. Between [`prepare`] and [`Prepared::commit`] the refs
//! are locked and nothing has changed; dropped there, the locks go. The child is never killed, which would leave them
//! behind. Whether anybody may do this is not asked here.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use bstr::{BStr, ByteSlice};
use forge_core::objects::GitRepo;
use forge_core::push::RefUpdate;
use forge_core::{Error, RefName, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use crate::child::{Child, Git};
use crate::gix::blocking;
use crate::quarantine::beside;
use crate::scratch::sync_dir;
use crate::words;

/// How often refs are locked anew when some of them got in the way.
const TRIES: usize = 3;
/// How many directories are made durable at once.
const AT_ONCE: usize = 8;
/// The most of a child's messages that is read, in bytes.
const MAX_MESSAGES: u64 = 4096;

/// Which repository's refs are moved, and by whom.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) repo: PathBuf,
    /// Objects that are not in the repository yet when its refs are locked.
    pub(crate) objects: Option<PathBuf>,
    /// Whom a reflog names.
    pub(crate) name: String,
    pub(crate) email: String,
}

/// What did not go through.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    pub(crate) names: Vec<RefName>,
    /// Git's words for it.
    pub(crate) words: Vec<String>,
}

impl Refused {
    fn add(&mut self, names: impl IntoIterator<Item = RefName>, words: String) {
        self.names.extend(names);
        if !self.words.contains(&words) {
            self.words.push(words);
        }
    }
}

/// Refs that are locked.
#[derive(Debug)]
#[must_use = "dropping it lets the refs go"]
pub(crate) struct Prepared {
    place: Place,
    open: Option<Transaction>,
    first: Vec<RefUpdate>,
    /// Those whose names stand in the way of a ref that is deleted first.
    later: Vec<RefUpdate>,
}

/// A child that waits for refs to lock: it can start while it is still found out which.
#[derive(Debug)]
#[must_use = "dropping it lets it go"]
pub(crate) struct Waiting {
    place: Place,
    child: Transaction,
}

impl Waiting {
    pub(crate) fn start(place: Place) -> Result<Self> {
        let child = Transaction::start(&place)?;
        Ok(Self { place, child })
    }
}

/// Locks refs whose old values still hold; all of them or none, if it is `atomic`.
pub(crate) async fn prepare(
    waiting: Waiting,
    updates: Vec<RefUpdate>,
    atomic: bool,
) -> Result<(Prepared, Refused)> {
    let Waiting { place, child } = waiting;
    let mut refused = Refused::default();
    let (mut first, later) = if atomic {
        (updates, Vec::new())
    } else {
        in_order(&updates, &mut refused)
    };
    let mut open = None;
    if !first.is_empty() {
        match child.locked(&first).await? {
            Ok(locked) => open = Some(locked),
            Err(words) if atomic => {
                refused.add(first.drain(..).map(|update| update.name), words);
            }
            Err(_) => (open, first) = lock_some(&place, first, &mut refused).await?,
        }
    }
    let prepared = Prepared {
        place,
        open,
        first,
        later,
    };
    Ok((prepared, refused))
}

/// Locks those of the refs that can be locked.
async fn lock_some(
    place: &Place,
    mut updates: Vec<RefUpdate>,
    refused: &mut Refused,
) -> Result<(Option<Transaction>, Vec<RefUpdate>)> {
    let mut last = String::new();
    for _ in 0..TRIES {
        updates = sift(place, updates, refused).await?;
        if updates.is_empty() {
            return Ok((None, updates));
        }
        match Transaction::prepared(place, &updates).await? {
            Ok(open) => return Ok((Some(open), updates)),
            // Another push was faster in between.
            Err(words) => last = words,
        }
    }
    refused.add(updates.into_iter().map(|update| update.name), last);
    Ok((None, Vec::new()))
}

/// The updates that go through, each for itself. A child ends at the first that does not.
async fn sift(
    place: &Place,
    updates: Vec<RefUpdate>,
    refused: &mut Refused,
) -> Result<Vec<RefUpdate>> {
    let mut good = Vec::new();
    let mut left = updates.into_iter();
    while left.len() > 0 {
        let mut child = Transaction::start(place)?;
        for update in left.by_ref() {
            let mut text = b"start\0".to_vec();
            put(&mut text, &update);
            text.extend_from_slice(b"prepare\0abort\0");
            if child.tell(&text, &["start", "prepare", "abort"]).await? {
                good.push(update);
            } else {
                refused.add([update.name], child.last_words().await?);
                break;
            }
        }
    }
    Ok(good)
}

/// What is tried at once, and what afterwards. Of two new refs of which one would be a directory of the other, the
/// second is refused; what takes the place of a ref that is deleted comes after that.
fn in_order(updates: &[RefUpdate], refused: &mut Refused) -> (Vec<RefUpdate>, Vec<RefUpdate>) {
    fn above(name: &RefName) -> impl Iterator<Item = &BStr> {
        let name = name.as_bstr();
        name.find_iter(b"/")
            .filter_map(|end| name.get(..end).map(BStr::new))
    }
    let (mut files, mut directories) = (HashSet::new(), HashSet::new());
    let (mut gone, mut gone_from) = (HashSet::new(), HashSet::new());
    for update in updates.iter().filter(|update| update.new.is_none()) {
        gone.insert(update.name.as_bstr());
        gone_from.extend(above(&update.name));
    }
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for update in updates {
        let name = update.name.as_bstr();
        if update.new.is_none() {
            first.push(update.clone());
            continue;
        }
        if directories.contains(name) || above(&update.name).any(|above| files.contains(above)) {
            let words = format!("cannot lock ref '{name}': another ref of this push is in its way");
            refused.add([update.name.clone()], words);
            continue;
        }
        files.insert(name);
        directories.extend(above(&update.name));
        let waits =
            gone_from.contains(name) || above(&update.name).any(|above| gone.contains(above));
        if waits { &mut later } else { &mut first }.push(update.clone());
    }
    (first, later)
}

impl Prepared {
    /// What is about to happen.
    pub(crate) fn updates(&self) -> Vec<RefUpdate> {
        [self.first.as_slice(), &self.later].concat()
    }

    /// Lets the refs go, and waits for that.
    pub(crate) async fn abort(self) {
        if let Some(open) = self.open {
            open.end().await;
        }
    }

    /// Moves the refs; which have moved, and what did not go through after all. `repo` is asked where it is in doubt.
    pub(crate) async fn commit(self, repo: &dyn GitRepo) -> (Vec<RefUpdate>, Refused) {
        let (mut moved, mut refused) = (Vec::new(), Refused::default());
        let committed = match self.open {
            Some(open) => open.commit().await,
            None => Ok(Ok(())),
        };
        settle(repo, committed, self.first, &mut moved, &mut refused).await;
        for update in self.later {
            let one = std::slice::from_ref(&update);
            let committed = match Transaction::prepared(&self.place, one).await {
                Ok(Ok(open)) => open.commit().await,
                Ok(Err(words)) => Ok(Err(words)),
                Err(error) => Err(error),
            };
            settle(repo, committed, vec![update], &mut moved, &mut refused).await;
        }
        (moved, refused)
    }
}

/// Makes the places durable in which refs have moved: a file that took another's place is not, until its directory is.
pub(crate) async fn sync(repo: &Path, moved: &[RefUpdate]) -> Result<()> {
    // Deleted ones may have been in `packed-refs`, which is here; HEAD is, too.
    let mut places = BTreeSet::from([repo.to_owned()]);
    for update in moved {
        let path = repo.join(update.name.as_bstr().to_path_lossy());
        let above = path.ancestors().skip(1);
        places.extend(above.take_while(|above| *above != repo).map(Path::to_owned));
    }
    let sync = |place: PathBuf| {
        blocking(move || match sync_dir(&place) {
            // Git removes empty directories.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            synced => synced.map_err(Error::internal),
        })
    };
    // Side by side: a disk takes about as long for some of them as for one.
    let synced = stream::iter(places).map(sync).buffer_unordered(AT_ONCE);
    synced.try_collect().await
}

/// Notes what became of some refs. A transaction that fails at its end may have moved some of them.
async fn settle(
    repo: &dyn GitRepo,
    committed: Result<Result<(), String>>,
    updates: Vec<RefUpdate>,
    moved: &mut Vec<RefUpdate>,
    refused: &mut Refused,
) {
    let words = match committed {
        Ok(Ok(())) => return moved.extend(updates),
        Ok(Err(words)) => words,
        Err(error) => words::of(&error),
    };
    for update in updates {
        let now = repo.find_ref(&update.name).await;
        if now.is_ok_and(|now| now.map(|found| found.target) == update.new) {
            moved.push(update);
        } else {
            refused.add([update.name], words.clone());
        }
    }
}

/// A child, and a transaction open in it.
#[derive(Debug)]
struct Transaction {
    child: Child,
    stdin: ChildStdin,
    replies: BufReader<ChildStdout>,
    messages: ChildStderr,
    /// How messages name the repository.
    repo: String,
}

impl Transaction {
    fn start(place: &Place) -> Result<Self> {
        let mut git = Git::new(&place.repo, "update-ref")
            .arg("-m")
            .arg("push")
            .arg("--stdin")
            .arg("-z")
            .config("core.filesRefLockTimeout", "1000")
            .config("core.packedRefsTimeout", "10000")
            .env("GIT_COMMITTER_NAME", &place.name)
            .env("GIT_COMMITTER_EMAIL", &place.email)
            .spared();
        if let Some(objects) = &place.objects {
            git = beside(git, objects);
        }
        let mut child = git.converse()?;
        Ok(Self {
            stdin: child.stdin()?,
            replies: BufReader::new(child.stdout()?),
            messages: child.stderr()?,
            // As git spells it.
            repo: format!(
                "{}/",
                place
                    .repo
                    .canonicalize()
                    .map_err(Error::internal)?
                    .display()
            ),
            child,
        })
    }

    /// Locks refs; git's words, if it cannot.
    async fn prepared(place: &Place, updates: &[RefUpdate]) -> Result<Result<Self, String>> {
        Self::start(place)?.locked(updates).await
    }

    async fn locked(mut self, updates: &[RefUpdate]) -> Result<Result<Self, String>> {
        let mut text = b"start\0".to_vec();
        for update in updates {
            put(&mut text, update);
        }
        text.extend_from_slice(b"prepare\0");
        if self.tell(&text, &["start", "prepare"]).await? {
            return Ok(Ok(self));
        }
        Ok(Err(self.last_words().await?))
    }

    async fn commit(mut self) -> Result<Result<(), String>> {
        if self.tell(b"commit\0", &["commit"]).await? {
            // It has done what there was to do: nobody need wait for its end.
            tokio::spawn(self.end());
            return Ok(Ok(()));
        }
        Ok(Err(self.last_words().await?))
    }

    /// Gives commands; whether each was followed.
    async fn tell(&mut self, text: &[u8], commands: &[&str]) -> Result<bool> {
        let write = async {
            self.stdin.write_all(text).await?;
            self.stdin.flush().await
        };
        // It ends at what it does not like, and then reads no more.
        if write.await.is_err() {
            return Ok(false);
        }
        for command in commands {
            let mut line = String::new();
            let read = self.replies.read_line(&mut line).await;
            read.map_err(Error::internal)?;
            if line.strip_prefix(command) != Some(": ok\n") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Why it has ended.
    async fn last_words(mut self) -> Result<String> {
        drop(self.stdin);
        let mut text = Vec::new();
        let mut messages = self.messages.take(MAX_MESSAGES);
        let read = messages.read_to_end(&mut text).await;
        read.map_err(Error::internal)?;
        self.child.wait().await?;
        // Advice comes after the fault.
        let fault = ByteSlice::lines(&*text).find(|line| line.starts_with(b"fatal: "));
        let line = words::line(fault.unwrap_or(b"git failed without a word"));
        // Where the repository lies is nobody's business.
        let mut line = line.replace(&*self.repo, "").replace("'./", "'");
        for prefix in ["fatal: ", "error: ", "prepare: ", "commit: "] {
            if let Some(rest) = line.strip_prefix(prefix) {
                line = rest.to_owned();
            }
        }
        Ok(line)
    }

    /// Lets it end; what it holds locked is free then.
    async fn end(mut self) {
        drop(self.stdin);
        if let Err(error) = self.child.wait().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "git does not end after moving refs"
            );
        }
    }
}

/// A command for one ref (`git-update-ref(1)`, "-z"). Symbolic refs are themselves meant, not what they name.
fn put(text: &mut Vec<u8>, update: &RefUpdate) {
    let mut word = |word: &[u8]| {
        text.extend_from_slice(word);
        text.push(0);
    };
    let name = &**update.name.as_bstr();
    word(b"option no-deref");
    match (update.old, update.new) {
        (old, None) => {
            word(&[b"delete ", name].concat());
            word(old.map(|id| id.to_string()).unwrap_or_default().as_bytes());
        }
        (None, Some(new)) => {
            word(&[b"create ", name].concat());
            word(new.to_string().as_bytes());
        }
        (Some(old), Some(new)) => {
            word(&[b"update ", name].concat());
            word(new.to_string().as_bytes());
            word(old.to_string().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
