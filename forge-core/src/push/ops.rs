//! What is done with a push.

use std::fmt;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use uuid::Uuid;

use super::alive::Alive;
use super::{PendingPush, Push, PushOptions, PushState, Quarantined, RefUpdate, Verdict};
use crate::access::{Level, Mode, Objects, Scope, WriteRepo};
use crate::events::{Event, EventKind, NewJob, Task};
use crate::names::RefName;
use crate::{Error, Forge, Result};

/// Refs that belong to the forge: not shown, and not for writing.
const INTERNAL: &str = "refs/forge/";
/// How long after a push its repository is looked after, so that many pushes in a row cost one look.
const MAINTENANCE_DELAY: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

/// A push that may be asked for. Its objects may be received.
#[derive(Debug)]
#[must_use]
pub struct Admitted {
    repo: WriteRepo,
    push: Push,
    refusals: Vec<Option<String>>,
}

/// A push that nobody has anything against. Its refs may be locked.
#[derive(Debug)]
#[must_use]
pub struct Decided {
    repo: WriteRepo,
    push: Push,
}

/// What became of a push when the plugins were asked.
#[derive(Debug)]
#[must_use]
pub struct Decision {
    /// What remains of it; `None` if all was refused.
    pub decided: Option<Decided>,
    /// The refs that were refused, and why.
    pub refused: Vec<(RefName, String)>,
    /// Lines for the pusher.
    pub lines: Vec<String>,
}

/// A push of which a row says that its refs are about to move. They may be moved.
#[derive(Debug)]
#[must_use = "without an end, the refs tell later what became of it"]
pub struct Recorded {
    repo: WriteRepo,
    push: Push,
    alive: Alive,
}

impl WriteRepo {
    /// Begins a push. `id` is a [`Forge::push_id`]. Refs that nobody may write are refused at once, see
    /// [`Admitted::refusals`].
    ///
    /// # Errors
    /// [`Error::Forbidden`] while the repository is being imported.
    pub async fn admit(
        &self,
        id: Uuid,
        updates: Vec<RefUpdate>,
        options: PushOptions,
    ) -> Result<Admitted> {
        if self.is_being_imported().await? {
            return Err(Error::forbidden("this repository is still being imported"));
        }
        let refusals = updates.iter().map(refusal).collect();
        let push = Push {
            id,
            time: self.forge().now(),
            repository: self.get().clone(),
            pusher: self.pusher(),
            updates,
            options,
        };
        Ok(Admitted {
            repo: self.clone(),
            push,
            refusals,
        })
    }
}

fn refusal(update: &RefUpdate) -> Option<String> {
    let name = update.name.as_bstr();
    if is_internal(&update.name) {
        return Some("these refs are not for writing".to_owned());
    }
    if name.starts_with(b"refs/replace/") {
        return Some("replacements of objects cannot be pushed".to_owned());
    }
    // Git's own rule and word: `refs/` and two parts at least.
    if name.splitn(3, |byte| *byte == b'/').count() < 3 {
        return Some("funny refname".to_owned());
    }
    None
}

/// Whether a ref belongs to the forge: such refs are not shown to clients.
#[must_use]
pub fn is_internal(name: &RefName) -> bool {
    name.as_bstr().starts_with(INTERNAL.as_bytes())
}

impl Admitted {
    /// Why a ref may not be written, for each update in its order.
    #[must_use]
    pub fn refusals(&self) -> &[Option<String>] {
        &self.refusals
    }

    /// What is asked for.
    #[must_use]
    pub fn push(&self) -> &Push {
        &self.push
    }

    /// Asks the plugins, in their order, about the updates that are still standing. `objects` shows the repository with
    /// the new objects.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if a plugin fails or takes too long.
    pub async fn decide(self, standing: Vec<RefUpdate>, objects: Quarantined) -> Result<Decision> {
        let Self { repo, mut push, .. } = self;
        push.updates = standing;
        let mut decision = Decision {
            decided: None,
            refused: Vec::new(),
            lines: Vec::new(),
        };
        let forge = repo.forge().clone();
        let asking = ask(&forge, &repo, &mut push, objects, &mut decision);
        tokio::time::timeout(forge.limits().push.decision, asking)
            .await
            .map_err(|_| Error::unavailable("the plugins took too long to decide on a push"))??;
        if !push.updates.is_empty() {
            decision.decided = Some(Decided { repo, push });
        }
        Ok(decision)
    }
}

async fn ask(
    forge: &Forge,
    repo: &WriteRepo,
    push: &mut Push,
    objects: Quarantined,
    decision: &mut Decision,
) -> Result<()> {
    let objects = Objects::quarantined(repo, objects);
    for plugin in forge.plugins() {
        let pending = PendingPush {
            push,
            objects: &objects,
        };
        match calmly(plugin.pre_receive(forge, &pending)).await {
            Ok(Verdict::Accept) => {}
            Ok(Verdict::Refuse(reason)) => {
                decision.lines.push(reason);
                let declined =
                    |update: RefUpdate| (update.name, "pre-receive hook declined".into());
                decision
                    .refused
                    .extend(push.updates.drain(..).map(declined));
                return Ok(());
            }
            Ok(Verdict::RefuseRefs(refused)) => {
                push.updates
                    .retain(|update| refused.iter().all(|(name, _)| *name != update.name));
                decision.refused.extend(refused);
            }
            Err(error) => {
                tracing::error!(
                    plugin = plugin.name(),
                    error = &error as &dyn std::error::Error,
                    "a plugin cannot decide on a push"
                );
                return Err(Error::unavailable("a plugin cannot decide on a push"));
            }
        }
    }
    Ok(())
}

impl Decided {
    /// What is to happen.
    #[must_use]
    pub fn push(&self) -> &Push {
        &self.push
    }

    /// Writes the row, while the locks of `locked` are held: those of the updates whose old values still hold. The
    /// access decision is made once more, in the same transaction.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Forbidden`] if the pusher may not write any more.
    pub async fn record(self, locked: Vec<RefUpdate>) -> Result<Recorded> {
        let Self { repo, mut push } = self;
        push.updates = locked;
        let now = repo.forge().now();
        let alive = Alive::new(repo.forge(), push.id);
        let mut tx = repo.forge().store().begin().await?;
        // Written first: whoever would remove the repository at this moment waits for this, or this for them.
        let touched = tx.touch_repo(repo.id(), now).await?;
        push.repository = touched.ok_or(Error::NotFound)?;
        repo.still_holds(&*tx).await?;
        tx.insert_push(&push, now).await?;
        tx.commit().await?;
        Ok(Recorded { repo, push, alive })
    }
}

impl Recorded {
    /// Says which refs have moved. Returns lines for the pusher.
    ///
    /// # Errors
    /// Those of the store. The refs have moved all the same; the row is settled later.
    pub async fn finish(self, moved: Vec<RefUpdate>) -> Result<Vec<String>> {
        let Self {
            repo,
            mut push,
            alive: _alive,
        } = self;
        push.updates = moved;
        let forge = repo.forge();
        if push.updates.is_empty() {
            let mut tx = forge.store().begin().await?;
            tx.settle_push(push.id, PushState::Dropped).await?;
            tx.commit().await?;
            return Ok(Vec::new());
        }
        let mut lines = Vec::new();
        let change = match push.options.change() {
            Ok(change) => change,
            Err(error) => {
                lines.push(format!("push option ignored: {error}"));
                None
            }
        };
        let change = change.filter(|_| match may_change(&repo) {
            Ok(()) => true,
            Err(error) => {
                lines.push(format!("push option ignored: {error}"));
                false
            }
        });
        let mut tx = forge.store().begin().await?;
        if !tx.settle_push(push.id, PushState::Done).await? {
            return Ok(lines);
        }
        if let Some(change) = change {
            let changed = tx.update_repo(repo.id(), &change, forge.now()).await?;
            let event = forge.event(EventKind::RepoUpdated(changed.clone()))?;
            tx.emit(event).await?;
            push.repository = changed;
        }
        announce(forge, &mut *tx, &push).await?;
        tx.commit().await?;
        forge.wake();
        lines.extend(tell(forge, &push).await);
        Ok(lines)
    }
}

/// Queues the event of a push, and the look at its repository.
pub(super) async fn announce(
    forge: &Forge,
    tx: &mut dyn crate::store::Tx,
    push: &Push,
) -> Result<()> {
    // Its own id would be a second one for the same thing: who has seen the push has seen the event.
    tx.emit(Event {
        id: push.id,
        time: forge.now(),
        kind: EventKind::GitPostReceive(push.clone()),
    })
    .await?;
    tx.enqueue(NewJob {
        run_at: forge.now() + MAINTENANCE_DELAY,
        key: Some(format!("maintain:{}", push.repository.id)),
        task: Task::Maintain(push.repository.id),
    })
    .await
}

/// Tells the plugins, and collects what they have to say to the pusher. A plugin that fails or dawdles says nothing.
async fn tell(forge: &Forge, push: &Push) -> Vec<String> {
    let mut lines = Vec::new();
    let telling = async {
        for plugin in forge.plugins() {
            match calmly(plugin.post_receive(forge, push)).await {
                Ok(said) => lines.extend(said),
                Err(error) => tracing::error!(
                    plugin = plugin.name(),
                    error = &error as &dyn std::error::Error,
                    "a plugin failed after a push"
                ),
            }
        }
    };
    let told = tokio::time::timeout(forge.limits().push.decision, telling).await;
    if told.is_err() {
        tracing::warn!("the plugins took too long after a push");
    }
    lines
}

/// A plugin that panics has failed, and nothing else has.
async fn calmly<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    let asked = AssertUnwindSafe(asked).catch_unwind().await;
    asked.unwrap_or_else(|_| Err(Error::internal("it panicked")))
}

/// Whether this pusher may change the repository itself with a push option.
fn may_change(repo: &WriteRepo) -> Result<()> {
    repo.require(Scope::Repositories, Mode::Write)?;
    if repo.level() < Level::Manage {
        return Err(Error::forbidden(
            "only the owner of a repository may do this",
        ));
    }
    Ok(())
}

impl Forge {
    /// An id for a push that begins now.
    ///
    /// # Errors
    /// If there is no randomness to be had.
    pub fn push_id(&self) -> Result<Uuid> {
        self.uuid()
    }
}

impl fmt::Display for RefUpdate {
    /// `old new name`, as in the commands of a push (`gitprotocol-pack(5)`), without zeros: `-` stands for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = |id: &Option<crate::Oid>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        write!(f, "{} {} {}", id(&self.old), id(&self.new), self.name)
    }
}
