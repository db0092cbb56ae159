//! Pushes: `git receive-pack`, spoken here, with git's plumbing for the work behind it.
//!
//! A push is read ([`commands`]), admitted, received into a quarantine ([`ingest`]), checked ([`connectivity`]), decided
//! on, its refs locked ([`crate::update_ref`]), recorded, moved in, and reported ([`report`]).
//!
//! Invariant: until it is recorded, whatever ends a push leaves the repository as it was; from then on it goes to its
//! end, whether anybody listens or not. Who may push what is the forge's to say: each step takes a proof of the one
//! before.

mod commands;
mod connectivity;
mod head;
mod ingest;
mod report;
mod talk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use forge_core::access::WriteRepo;
use forge_core::objects::{GitBackend as _, GitRepo, Ref};
use forge_core::push::{Decided, PushOptions, is_internal};
use forge_core::{Error, PushTarget, Result, Stop};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tracing::Instrument as _;
use uuid::Uuid;

use self::commands::{Asked, Fault, Wants};
use self::ingest::PackLimits;
use self::report::Unpacked;
use self::talk::Talk;
use crate::gix::blocking;
use crate::permits::{Client, Permit};
use crate::quarantine::Quarantine;
use crate::transport::{Input, Output, Transport};
use crate::update_ref::{self, Place, Prepared, Refused};
use crate::{pkt, words};

/// How much is read from a client at once.
const BUFFER: usize = 64 << 10;
/// Git's words.
const NOT_UPDATED: &str = "failed to update ref";
const NOT_ALL: &str = "atomic push failure";
const TOO_LONG: &str = "the push took too much time";

/// A place where a test can stop a push, or the process.
macro_rules! step {
    ($name:literal) => {{
        tracing::debug!(step = $name, "push");
        fail::fail_point!(concat!("push-", $name));
    }};
}

/// Writes what may be pushed to, as protocol version 0 has it.
pub(crate) async fn advertise(
    transport: &Transport,
    target: &PushTarget,
    output: &mut Output,
) -> Result<()> {
    let refs = match target {
        PushTarget::Repo(repo) => transport.git().open(repo.id())?.refs().await?,
        PushTarget::New(_) => Vec::new(),
    };
    let text = advertisement(&refs);
    output.write_all(&text).await.map_err(Error::unavailable)?;
    output.flush().await.map_err(Error::unavailable)
}

fn advertisement(refs: &[Ref]) -> BytesMut {
    let abilities = format!(
        "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta push-options \
         object-format={} agent=forge/{}\n",
        commands::FORMAT,
        env!("CARGO_PKG_VERSION")
    );
    let mut abilities = Some(abilities);
    let mut out = BytesMut::new();
    let mut put = |id: &str, name: &[u8]| {
        let tail = abilities.take().map(|abilities| format!("\0{abilities}"));
        let tail = tail.unwrap_or_else(|| "\n".to_owned());
        pkt::put(&mut out, &[id.as_bytes(), b" ", name, tail.as_bytes()].concat());
    };
    let mut is_empty = true;
    for found in refs.iter().filter(|found| !is_internal(&found.name)) {
        put(&found.target.to_string(), found.name.as_bstr());
        is_empty = false;
    }
    if is_empty {
        put(&"0".repeat(40), b"capabilities^{}");
    }
    pkt::put_flush(&mut out);
    out
}

/// Does a push, from its commands to its report. `gone` is given when the client is; dropping the future says the same.
pub(crate) async fn receive(
    transport: &Transport,
    target: PushTarget,
    client: Client,
    input: Input,
    output: Output,
    gone: Stop,
) -> Result<()> {
    /// Tells the task that nobody waits for it.
    struct HangUp(Stop);
    impl Drop for HangUp {
        fn drop(&mut self) {
            self.0.stop();
        }
    }
    let nobody = Stop::new();
    let _hang_up = HangUp(nobody.clone());
    let transport = transport.clone();
    // What is recorded goes to its end, so it must not end with whoever asked for it.
    let task = async move {
        let gone = async {
            tokio::select! {
                () = gone.stopped() => {}
                () = nobody.stopped() => {}
            }
        };
        serve(&transport, target, client, input, output, gone).await
    };
    tokio::spawn(task.in_current_span())
        .await
        .map_err(Error::internal)?
}

async fn serve(
    transport: &Transport,
    target: PushTarget,
    client: Client,
    input: Input,
    output: Output,
    gone: impl Future<Output = ()>,
) -> Result<()> {
    tokio::pin!(gone);
    let limits = &transport.forge().limits().push;
    let mut input = BufReader::with_capacity(BUFFER, input);
    let mut talk = Talk::new(output, limits.pack_idle);
    let end = tokio::time::Instant::now() + limits.total;
    let asking = tokio::time::timeout_at(end, Asked::read(&mut input, limits));
    let asked = tokio::select! {
        asked = asking => asked.unwrap_or_else(|_| Err(Fault::Bad(TOO_LONG.to_owned(), Wants::default()))),
        () = &mut gone => return Ok(()),
    };
    let asked = match asked {
        Ok(Some(asked)) => asked,
        Ok(None) | Err(Fault::Lost) => {
            talk.end().await;
            return Ok(());
        }
        Err(Fault::Bad(why, wants)) => {
            talk.learn(wants);
            talk.reject(&why).await;
            talk.end().await;
            drain(&mut input, limits).await;
            return Ok(());
        }
    };
    talk.learn(asked.wants);
    let mut session = Session {
        id: transport.forge().push_id()?,
        transport,
        input,
        talk,
        asked,
        unpacked: Unpacked::Ok,
        is_taken: false,
        repo: None,
        is_new: false,
        says_visibility: false,
        has_moved: false,
    };
    let span = tracing::info_span!("push", push.id = %session.id);
    async {
        let begun = Instant::now();
        let preparing = tokio::time::timeout_at(end, session.prepare(target, client));
        let prepared = tokio::select! {
            prepared = Box::pin(preparing) => Some(prepared),
            () = &mut gone => None,
        };
        match prepared {
            None => {
                tracing::debug!("the client is gone");
                session.discard().await;
                return Ok(());
            }
            Some(Ok(Ok(Some(ready)))) => Box::pin(session.carry_out(ready)).await,
            Some(Ok(Ok(None))) => {}
            Some(Ok(Err(error))) => session.fail(&error).await,
            Some(Err(_)) => session.asked.refuse_all(TOO_LONG),
        }
        session.conclude().await;
        let repo = session.repo.as_ref().map(|repo| repo.id().0);
        let (has_moved, duration_ms) = (session.has_moved, begun.elapsed().as_millis());
        tracing::info!(repo.id = repo, has_moved, duration_ms, "a push is done");
        Ok(())
    }
    .instrument(span)
    .await
}

/// A push that was read.
struct Session<'a> {
    transport: &'a Transport,
    id: Uuid,
    input: BufReader<Input>,
    talk: Talk,
    asked: Asked,
    unpacked: Unpacked,
    /// Whether the pack was read.
    is_taken: bool,
    repo: Option<WriteRepo>,
    /// Whether the repository was made for this push.
    is_new: bool,
    /// Whether the push says who is to see the repository.
    says_visibility: bool,
    has_moved: bool,
}

/// A push whose refs are locked.
struct Ready {
    dir: PathBuf,
    git: Arc<dyn GitRepo>,
    quarantine: Option<Quarantine>,
    decided: Decided,
    prepared: Prepared,
    _permit: Permit,
}

impl Session<'_> {
    /// Everything that can be undone. `None` if nothing of the push is left standing.
    async fn prepare(&mut self, target: PushTarget, client: Client) -> Result<Option<Ready>> {
        let limits = &self.transport.forge().limits().push;
        let is_atomic = self.asked.wants.atomic;
        self.asked.all_or_nothing(NOT_ALL);
        let Some(repo) = self.repo(target).await? else {
            return Ok(None);
        };
        let dir = self.transport.dir(&repo)?;
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
        let mut quarantine = None;
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
                idle: [limits.idle, limits.pack_idle],
            };
            let (input, talk) = (&mut self.input, &mut self.talk);
            let is_quiet = self.asked.wants.quiet;
            let unpacked = ingest::ingest(input, made, limits, is_quiet, talk).await?;
            if unpacked != Unpacked::Ok {
                return Ok(self.is_not_unpacked(unpacked));
            }
            self.is_taken = true;
            step!("ingested");
            let standing = self.asked.standing();
            let checked = connectivity::check(made, &standing);
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

        let view = quarantine.as_ref().map_or_else(|| Arc::clone(&git), |new| new.view());
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
        let host = self.transport.forge().git_origin().host();
        let place = Place {
            repo: dir.clone(),
            objects: quarantine.as_ref().map(|new| new.objects()),
            name: push.pusher.name.to_string(),
            email: format!("{}@{host}", push.pusher.name),
        };
        let preparing = update_ref::prepare(place, push.updates.clone(), is_atomic);
        let (prepared, refused) = self.talk.meanwhile(preparing).await?;
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
    async fn carry_out(&mut self, ready: Ready) {
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
        self.not_updated(refused).await;
        match head::repair(&dir, &*git, &moved).await {
            Ok(None) => {}
            Ok(Some(name)) => {
                let name = name.to_string();
                let name = name.strip_prefix("refs/heads/").unwrap_or(&name);
                let line = format!("the default branch is {name} now");
                self.talk.say(&line).await;
            }
            Err(error) => drop(words::of(&error)),
        }
        if let Some(quarantine) = quarantine {
            drop(tokio::task::spawn_blocking(|| quarantine.remove()));
        }
        let lines = recorded.finish(moved).await;
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
            let url = self.transport.forge().git_origin().url_of(&format!("/{path}"));
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
    async fn fail(&mut self, error: &Error) {
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
            let why = if is_atomic { "atomic transaction failed" } else { NOT_UPDATED };
            self.asked.refuse(name, why);
        }
    }

    /// Removes the repository that was made for nothing.
    async fn discard(&mut self) {
        if let Some(repo) = self.repo.take_if(|_| self.is_new && !self.has_moved)
            && let Err(error) = repo.discard_unused().await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "an unused repository is left to a job"
            );
        }
    }

    async fn conclude(&mut self) {
        self.discard().await;
        let report = report::report(&self.unpacked, &self.asked.commands);
        let report = if self.asked.wants.report { &report[..] } else { b"" };
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

/// Reads what nobody wants, within limits.
async fn drain(input: &mut BufReader<Input>, limits: &forge_core::limits::PushLimits) {
    let mut rest = input.take(limits.drain_bytes);
    let mut sink = tokio::io::sink();
    let reading = tokio::io::copy_buf(&mut rest, &mut sink);
    let _ = tokio::time::timeout(limits.drain_time, reading).await;
}

/// How many bytes a repository may still grow by; `None` if by none.
async fn room(dir: &Path, most: u64) -> Result<Option<u64>> {
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

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
