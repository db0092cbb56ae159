//! One push, step by step: each takes a proof of the one before.
//!
//! Invariant: what [`Session::prepare`] does can be undone by dropping it; what [`Session::carry_out`] does goes to its
//! end. How the client is read and drained is [`super`]'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use forge_core::access::WriteRepo;
use forge_core::objects::{GitBackend as _, GitRepo};
use forge_core::push::{Decided, PushOptions, RefUpdate};
use forge_core::{Error, Oid, PushTarget, Result};
use tokio::io::BufReader;
use uuid::Uuid;

use super::commands::Asked;
use super::ingest::{self, PackLimits};
use super::report::{self, Unpacked};
use super::talk::Talk;
use super::{connectivity, drain, head};
use crate::format::Format;
use crate::gix::blocking;
use crate::permits::{Client, Permit};
use crate::quarantine::Quarantine;
use crate::transport::{Input, Transport};
use crate::update_ref::{self, Place, Prepared, Refused, Waiting};
use crate::words;

/// Up to so many refs are looked up one by one.
const FEW: usize = 16;
/// Git's words.
const NOT_UPDATED: &str = "failed to update ref";
const NOT_ALL: &str = "atomic push failure";

/// A place where a test can stop a push, or the process.
macro_rules! step {
    ($name:literal) => {{
        tracing::debug!(step = $name, "push");
        fail::fail_point!(concat!("push-", $name));
    }};
}

/// A push that was read.
pub(super) struct Session<'a> {
    pub(super) transport: &'a Transport,
    pub(super) id: Uuid,
    pub(super) input: BufReader<Input>,
    pub(super) talk: Talk,
    pub(super) asked: Asked,
    pub(super) unpacked: Unpacked,
    /// Whether the pack was read.
    pub(super) is_taken: bool,
    pub(super) repo: Option<WriteRepo>,
    /// Whether the repository was made for this push.
    pub(super) is_new: bool,
    /// Whether the push says who is to see the repository.
    pub(super) says_visibility: bool,
    pub(super) has_moved: bool,
}

/// A push whose refs are locked.
pub(super) struct Ready {
    dir: PathBuf,
    git: Arc<dyn GitRepo>,
    quarantine: Option<Quarantine>,
    decided: Decided,
    prepared: Prepared,
    _permit: Permit,
}

impl Session<'_> {
    /// Everything that can be undone. `None` if nothing of the push is left standing.
    pub(super) async fn prepare(
        &mut self,
        target: PushTarget,
        client: Client,
    ) -> Result<Option<Ready>> {
        let limits = &self.transport.forge().limits().push;
        let is_atomic = self.asked.wants.atomic;
        self.asked.all_or_nothing(NOT_ALL);
        let Some(repo) = self.repo(target).await? else {
            return Ok(None);
        };
        let dir = self.transport.dir(&repo)?;
        // Between the request and now, somebody may have imported another one where there was none.
        if Format::of(&dir).await? != self.asked.format {
            let why = "the repository has ids of another format now, try again";
            return Err(Error::conflict("repository", why));
        }
        let git = self.transport.git().open(repo.id())?;
        let options = PushOptions::new(std::mem::take(&mut self.asked.options));
        self.says_visibility = options.get("visibility").is_some();
        if options.get("debug").is_some() {
            self.talk.say(&format!("push {}", self.id)).await;
        }
        let updates = self.asked.standing();
        let admitted = repo.admit(self.id, updates.clone(), options).await?;
        for (update, refusal) in updates.iter().zip(admitted.refusals()) {
            if let Some(why) = refusal {
                self.asked.refuse(&update.name, why);
            }
        }
        self.pass_over_void(&*git).await?;
        self.asked.all_or_nothing(NOT_ALL);
        step!("admitted");
        if self.asked.standing().is_empty() {
            return Ok(None);
        }

        let permit = self.transport.pushes().take(repo.id(), client);
        let permit = self.talk.meanwhile(permit).await?;
        let host = self.transport.forge().git_origin().host();
        let pusher = &admitted.push().pusher.name;
        let mut place = Place {
            repo: dir.clone(),
            objects: None,
            name: pusher.to_string(),
            email: format!("{pusher}@{host}"),
        };
        let mut waiting = None;
        let mut quarantine = None;
        let mut is_small = false;
        if self.asked.brings_objects() {
            let Some(room) = room(&dir, limits.repo_bytes).await? else {
                let most = report::size(limits.repo_bytes);
                let why = format!("the repository is full ({most})");
                return Ok(self.is_not_unpacked(Unpacked::Failed(why)));
            };
            let (scratch, at) = (self.transport.scratch(), dir.clone());
            let shallow = std::mem::take(&mut self.asked.shallow);
            let made = blocking(move || Quarantine::below(&scratch, &at, &shallow)).await?;
            let made = &*quarantine.insert(made);
            step!("quarantined");
            let limits = PackLimits {
                bytes: limits.pack_bytes.min(room),
                is_small: ingest::is_small(self.input.buffer()),
                idle: [limits.idle, limits.pack_idle],
            };
            is_small = limits.is_small;
            place.objects = Some(made.objects());
            if is_small {
                // The child that moves refs starts while another one reads the pack.
                waiting = Some(Waiting::start(place.clone())?);
            }
            let (input, talk) = (&mut self.input, &mut self.talk);
            let is_quiet = self.asked.wants.quiet;
            let unpacked = ingest::ingest(input, made, limits, is_quiet, talk).await?;
            if unpacked != Unpacked::Ok {
                return Ok(self.is_not_unpacked(unpacked));
            }
            self.is_taken = true;
            step!("ingested");
        }
        let waiting = match waiting {
            Some(waiting) => waiting,
            None => Waiting::start(place)?,
        };
        // The disk works while it is still found out whether anything is to move; of a large pack, it waits for that.
        let syncing = quarantine.as_ref().filter(|_| is_small);
        let syncing = syncing.map(Quarantine::sync);
        if let Some(made) = &quarantine {
            let standing = self.asked.standing();
            let known = match is_small && standing.len() <= FEW {
                true => known(&*git, &standing).await.ok(),
                false => None,
            };
            let checked = connectivity::check(made, &standing, known);
            for (update, why) in self.talk.meanwhile(checked).await? {
                self.asked.refuse(&update.name, why);
            }
            self.asked.all_or_nothing(NOT_ALL);
        }
        step!("checked");
        let standing = self.asked.standing();
        if standing.is_empty() {
            return Ok(None);
        }

        let has_plugins = !self.transport.forge().plugins().is_empty();
        let view = match &quarantine {
            Some(new) if has_plugins => new.view()?,
            // Nobody looks.
            _ => Arc::clone(&git),
        };
        let decision = admitted.decide(standing, view);
        let decision = match self.talk.meanwhile(decision).await {
            Err(error @ Error::Unavailable(_)) => {
                drop(words::of(&error));
                self.tell("it was not decided on in time").await;
                self.asked.refuse_all("not decided on in time, try again");
                return Ok(None);
            }
            decision => decision?,
        };
        for line in &decision.lines {
            self.talk.say(line).await;
        }
        for (name, why) in &decision.refused {
            self.asked.refuse(name, why);
        }
        self.asked.all_or_nothing(NOT_ALL);
        step!("decided");
        let Some(decided) = decision.decided else {
            return Ok(None);
        };
        if self.asked.standing().is_empty() {
            return Ok(None);
        }
        if self.talk.is_lost() {
            self.asked.refuse_all("the connection was lost");
            return Ok(None);
        }

        let push = decided.push();
        let synced = async {
            match (syncing, &quarantine) {
                (Some(syncing), _) => syncing.await,
                (None, Some(new)) => new.sync().await,
                (None, None) => Ok(()),
            }
        };
        let prepared = update_ref::prepare(waiting, push.updates.clone(), is_atomic);
        let both = futures::future::try_join(synced, prepared);
        let ((), (prepared, refused)) = self.talk.meanwhile(both).await?;
        self.not_updated(refused).await;
        if prepared.updates().is_empty() {
            return Ok(None);
        }
        step!("prepared");
        Ok(Some(Ready {
            dir,
            git,
            quarantine,
            decided,
            prepared,
            _permit: permit,
        }))
    }

    /// Where it goes to: made now, if it is not there yet and a ref is to come.
    async fn repo(&mut self, target: PushTarget) -> Result<Option<WriteRepo>> {
        let repo = match target {
            PushTarget::Repo(repo) => repo,
            PushTarget::New(new) => {
                let standing = self.asked.standing();
                if standing.iter().all(|update| update.new.is_none()) {
                    self.asked.refuse_all("repository not found");
                    return Ok(None);
                }
                match new.create().await {
                    Ok(made) => {
                        self.is_new = true;
                        made
                    }
                    // Another push of the same client, most likely.
                    Err(Error::Conflict { .. }) => new.existing().await?,
                    Err(error) => return Err(error),
                }
            }
        };
        self.repo = Some(repo.clone());
        Ok(Some(repo))
    }

    /// Deleting what is not there is done already.
    async fn pass_over_void(&mut self, git: &dyn GitRepo) -> Result<()> {
        for command in &mut self.asked.commands {
            let Some(update) = command.update().filter(|_| command.is_void()) else {
                continue;
            };
            if git.find_ref(&update.name).await?.is_some() {
                command.refuse(NOT_UPDATED);
            } else {
                self.talk.say("warning: deleting a non-existent ref").await;
            }
        }
        Ok(())
    }

    /// Everything that cannot be undone.
    pub(super) async fn carry_out(&mut self, ready: Ready) {
        let Ready {
            dir,
            git,
            quarantine,
            decided,
            prepared,
            _permit,
        } = ready;
        let recorded = match decided.record(prepared.updates()).await {
            Ok(recorded) => recorded,
            Err(error) => {
                prepared.abort().await;
                return self.fail(&error).await;
            }
        };
        step!("recorded");
        let migrated = blocking(move || {
            if let Some(quarantine) = &quarantine {
                quarantine.migrate().map_err(Error::internal)?;
            }
            Ok(quarantine)
        });
        let quarantine = match migrated.await {
            Ok(quarantine) => quarantine,
            Err(error) => {
                prepared.abort().await;
                self.fail(&error).await;
                return self.say_all(recorded.finish(Vec::new()).await).await;
            }
        };
        step!("migrated");
        let (moved, refused) = prepared.commit(&*git).await;
        self.has_moved = !moved.is_empty();
        step!("committed");
        let (synced, head) = futures::join!(
            update_ref::sync(&dir, &moved),
            head::repair(&dir, &*git, &moved)
        );
        let synced = match head {
            // It lies among what was made durable, perhaps a moment too early.
            Ok(Some(_)) => update_ref::sync(&dir, &moved).await,
            _ => synced,
        };
        if let Err(error) = synced {
            // They have moved, and are told of; what the disk makes of it is out of our hands.
            self.tell(&words::of(&error)).await;
        }
        if let Some(quarantine) = quarantine {
            drop(tokio::task::spawn_blocking(|| quarantine.remove()));
        }
        // Nothing is said before this is done: a client that does not listen must not hold it up.
        let lines = recorded.finish(moved).await;
        self.not_updated(refused).await;
        match head {
            Ok(None) => {}
            Ok(Some(name)) => {
                let name = name.to_string();
                let name = name.strip_prefix("refs/heads/").unwrap_or(&name);
                let line = format!("the default branch is {name} now");
                self.talk.say(&line).await;
            }
            Err(error) => drop(words::of(&error)),
        }
        self.tell_of_new().await;
        self.say_all(lines).await;
        step!("finished");
    }

    async fn say_all(&mut self, lines: Result<Vec<String>>) {
        match lines {
            Ok(lines) => {
                for line in lines {
                    self.talk.say(&line).await;
                }
            }
            // The refs have moved, or have not; what is to follow from that follows later.
            Err(error) => self.tell(&words::of(&error)).await,
        }
    }

    async fn tell_of_new(&mut self) {
        if let Some(repo) = self.repo.as_ref().filter(|_| self.is_new && self.has_moved) {
            let path = repo.get().path().to_string();
            let url = self
                .transport
                .forge()
                .git_origin()
                .url_of(&format!("/{path}"));
            let kind = if self.says_visibility { "" } else { "private " };
            let line = format!("made the {kind}repository {path}: {url}");
            self.talk.say(&line).await;
        }
    }

    /// An error, and by which number to ask for what happened.
    async fn tell(&mut self, words: &str) {
        let line = format!("error: {words} (push {})", self.id);
        self.talk.say(&line).await;
    }

    /// Refuses what is still standing, because something went wrong.
    pub(super) async fn fail(&mut self, error: &Error) {
        let words = words::of(error);
        if matches!(error, Error::Internal(_) | Error::Unavailable(_)) {
            self.tell(&words).await;
        }
        self.asked.refuse_all(&words);
    }

    fn is_not_unpacked(&mut self, unpacked: Unpacked) -> Option<Ready> {
        self.unpacked = unpacked;
        self.asked.refuse_all("unpacker error");
        None
    }

    async fn not_updated(&mut self, refused: Refused) {
        for line in &refused.words {
            self.talk.say(&format!("error: {line}")).await;
        }
        for name in &refused.names {
            let is_atomic = self.asked.wants.atomic;
            let why = if is_atomic {
                "atomic transaction failed"
            } else {
                NOT_UPDATED
            };
            self.asked.refuse(name, why);
        }
    }

    /// Removes the repository that was made for nothing.
    pub(super) async fn discard(&mut self) {
        if let Some(repo) = self.repo.take_if(|_| self.is_new && !self.has_moved)
            && let Err(error) = repo.discard_unused().await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "an unused repository is left to a job"
            );
        }
    }

    pub(super) async fn conclude(&mut self) {
        self.discard().await;
        let report = report::report(&self.unpacked, &self.asked.commands);
        let report = if self.asked.wants.report {
            &report[..]
        } else {
            b""
        };
        self.talk.answer(report).await;
        step!("reported");
        self.talk.end().await;
        if let Some(repo) = &self.repo {
            repo.note_key_use().await;
        }
        // A client that is still sending sees a broken pipe instead of the report.
        if self.asked.brings_objects() && !self.is_taken {
            drain(&mut self.input, &self.transport.forge().limits().push).await;
        }
    }
}

/// What the refs that are to move name now, and HEAD, on which new ones are likely to build.
async fn known(git: &dyn GitRepo, updates: &[RefUpdate]) -> Result<Vec<Oid>> {
    let mut known = Vec::new();
    let head = if updates.iter().any(|update| update.old.is_none()) {
        git.head().await?
    } else {
        None
    };
    for name in updates.iter().map(|update| update.name.clone()).chain(head) {
        if let Some(found) = git.find_ref(&name).await? {
            known.extend([found.target, found.peeled]);
        }
    }
    Ok(known)
}

/// How many bytes a repository may still grow by; `None` if by none.
pub(super) async fn room(dir: &Path, most: u64) -> Result<Option<u64>> {
    let packs = dir.join("objects/pack");
    let used = blocking(move || {
        let mut used = 0;
        for entry in packs.read_dir().map_err(Error::internal)? {
            // What has gone in between takes no room.
            if let Ok(meta) = entry.and_then(|entry| entry.metadata()) {
                used += meta.len();
            }
        }
        Ok(used)
    });
    Ok(most.checked_sub(used.await?).filter(|room| *room > 0))
}
