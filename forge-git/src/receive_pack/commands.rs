//! What a push asks for: its commands, its options and what the client understands (`gitprotocol-pack(5)`, "Reference
//! Update Request").
//!
//! Invariant: a list of commands is read whole or not at all, within the limits; a name that git would not take is
//! refused for itself alone. Whether anybody may do this is not asked here.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use bstr::{BString, ByteSlice as _};
use forge_core::limits::PushLimits;
use forge_core::push::RefUpdate;
use forge_core::{Oid, RefName};
use tokio::io::AsyncRead;

use crate::format::Format;
use crate::pkt::{self, Pkt};

/// The longest name that is refused for itself, in bytes; a longer one spoils the whole request.
const MOST_NAME_BYTES: usize = 8 << 10;
/// Git's word for a name that it does not take.
const FUNNY: &str = "funny refname";
const TOO_LONG: &str = "refname is too long";
/// What a client is told that says no more.
pub(super) const SILENCE: &str = "nothing came for too long a time";
const CUT_OFF: &str = "the request ends in the middle";
/// The longest part of a ref's name, in bytes: file names are not longer.
const MAX_PART: usize = 255;
/// The most roots of a shallow clone that are told.
const MAX_SHALLOW: usize = 100_000;

/// What a client asks for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// What its ids are.
    pub(super) format: Format,
    pub(super) commands: Vec<Command>,
    /// Commits that the client holds without their parents.
    pub(super) shallow: Vec<Oid>,
    pub(super) wants: Wants,
    pub(super) options: Vec<String>,
}

/// What a client understands and wishes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wants {
    /// It reads a report. The second version differs only where a hook renames refs, which nothing does here.
    pub(super) report: bool,
    pub(super) bands: bool,
    pub(super) quiet: bool,
    pub(super) atomic: bool,
    pub(super) options: bool,
}

/// One command, and what becomes of it.
#[derive(Debug)]
pub(super) struct Command {
    /// The name as it came.
    pub(super) raw: BString,
    pub(super) old: Option<Oid>,
    pub(super) new: Option<Oid>,
    /// The name, if git takes it.
    name: Option<RefName>,
    /// Why it did not happen; none as long as nothing is against it.
    pub(super) refusal: Option<String>,
}

/// Why a request cannot be read, for the client; and what was read of it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) why: String,
    pub(super) asked: Box<Asked>,
}

/// Why a request cannot be read.
struct Bad(String);

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        bad(match error.kind() {
            io::ErrorKind::UnexpectedEof => CUT_OFF.to_owned(),
            io::ErrorKind::TimedOut => SILENCE.to_owned(),
            io::ErrorKind::InvalidData => error.to_string(),
            _ => "the rest of the request did not come, or not in time".to_owned(),
        })
    }
}

fn bad(why: impl Into<String>) -> Bad {
    Bad(why.into())
}

impl Command {
    /// The change of a ref that is still standing.
    pub(super) fn update(&self) -> Option<RefUpdate> {
        let name = self.name.clone().filter(|_| self.refusal.is_none())?;
        let (old, new) = (self.old, self.new);
        Some(RefUpdate { name, old, new })
    }

    /// Whether it deletes what the client has never seen, which git permits.
    pub(super) fn is_void(&self) -> bool {
        self.old.is_none() && self.new.is_none()
    }

    /// Refuses it, unless it is refused already.
    pub(super) fn refuse(&mut self, why: impl Into<String>) {
        self.refusal.get_or_insert_with(|| why.into());
    }
}

impl Asked {
    /// Reads a request to a repository of a format; `None` if there is nothing in it.
    pub(super) async fn read(
        from: &mut (impl AsyncRead + Unpin),
        format: Format,
        limits: &PushLimits,
    ) -> Result<Option<Self>, Fault> {
        let mut asked = Self {
            format,
            ..Self::default()
        };
        match asked.read_all(from, limits).await {
            Ok(()) if asked.is_empty() => Ok(None),
            Ok(()) => Ok(Some(asked)),
            Err(Bad(why)) => {
                asked.refuse_all(&why);
                let asked = Box::new(asked);
                Err(Fault { why, asked })
            }
        }
    }

    async fn read_all(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        limits: &PushLimits,
    ) -> Result<(), Bad> {
        let asked = self;
        let mut seen = HashSet::new();
        while let Some(line) = line(from, limits.idle, asked.is_empty()).await? {
            if let Some(id) = line.strip_prefix(b"shallow ") {
                if asked.shallow.len() == MAX_SHALLOW {
                    return Err(bad("too many shallow commits".to_owned()));
                }
                let id = oid(id, asked.format).ok_or_else(|| bad_line(&line))?;
                asked.shallow.extend(id);
                continue;
            }
            if asked.commands.len() == limits.commands {
                let most = limits.commands;
                return Err(bad(format!("a push changes {most} refs at most")));
            }
            let (command, wants) = match line.split_once_str(&[0]) {
                Some((command, wants)) => (command, Some(wants)),
                None => (&*line, None),
            };
            if asked.commands.is_empty() {
                asked.wants = wants.map_or(Ok(Wants::default()), |wants| {
                    Wants::parse(wants, asked.format)
                })?;
            }
            let command = Command::parse(command, asked.format, limits);
            let mut command = command.ok_or_else(|| bad_line(&line))?;
            if !seen.insert(command.raw.clone()) {
                command.refuse("failed to update ref");
            }
            asked.commands.push(command);
        }
        if asked.commands.is_empty() && !asked.shallow.is_empty() {
            return Err(bad("nothing is asked for"));
        }
        if asked.wants.options {
            while let Some(line) = line(from, limits.idle, false).await? {
                asked
                    .options
                    .push(option(line, asked.options.len(), limits)?);
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.shallow.is_empty()
    }

    /// Whether objects come after the request, whatever becomes of its commands.
    pub(super) fn brings_objects(&self) -> bool {
        self.commands.iter().any(|command| command.new.is_some())
    }

    /// The changes that are still standing.
    pub(super) fn standing(&self) -> Vec<RefUpdate> {
        let standing = self.commands.iter().filter(|command| !command.is_void());
        standing.filter_map(Command::update).collect()
    }

    pub(super) fn refuse(&mut self, name: &RefName, why: &str) {
        for command in &mut self.commands {
            if command.name.as_ref() == Some(name) {
                command.refuse(why);
            }
        }
    }

    pub(super) fn refuse_all(&mut self, why: &str) {
        for command in &mut self.commands {
            command.refuse(why);
        }
    }

    /// If it is all or nothing and something was refused: refuses the rest.
    pub(super) fn all_or_nothing(&mut self, why: &str) {
        let refused = |command: &Command| command.refusal.is_some();
        if self.wants.atomic && self.commands.iter().any(refused) {
            self.refuse_all(why);
        }
    }
}

impl Wants {
    fn parse(text: &[u8], ours: Format) -> Result<Self, Bad> {
        let mut wants = Self::default();
        // As git takes it: who says nothing means the first one there was.
        let mut theirs = Format::Sha1.name().as_bytes();
        for word in text.split_str(" ") {
            match word {
                b"report-status" | b"report-status-v2" => wants.report = true,
                b"side-band-64k" => wants.bands = true,
                b"quiet" => wants.quiet = true,
                b"atomic" => wants.atomic = true,
                b"push-options" => wants.options = true,
                word => theirs = word.strip_prefix(b"object-format=").unwrap_or(theirs),
            }
        }
        if Format::named(theirs) != Some(ours) {
            let theirs = theirs.as_bstr();
            return Err(bad(format!("unsupported object format '{theirs}'")));
        }
        Ok(wants)
    }
}

impl Command {
    /// Reads `old new name`; `None` if it is none.
    fn parse(line: &[u8], format: Format, limits: &PushLimits) -> Option<Self> {
        let (old, rest) = line.split_once_str(" ")?;
        let (new, raw) = rest.split_once_str(" ")?;
        let (old, new) = (oid(old, format)?, oid(new, format)?);
        // Who sends many of these means to fill the memory.
        if raw.len() > MOST_NAME_BYTES.max(limits.ref_name_bytes) {
            return None;
        }
        let fits = raw.len() <= limits.ref_name_bytes
            && raw.split_str("/").all(|part| part.len() <= MAX_PART);
        let name = RefName::new(raw).ok();
        let name = name.filter(|_| fits && raw.is_utf8());
        let refusal = match (fits, &name) {
            (false, _) => Some(TOO_LONG.to_owned()),
            (true, None) => Some(FUNNY.to_owned()),
            (true, Some(_)) => None,
        };
        Some(Self {
            raw: raw.into(),
            old,
            new,
            name,
            refusal,
        })
    }
}

/// The next line; `None` at the flush that ends the list.
async fn line(
    from: &mut (impl AsyncRead + Unpin),
    idle: Duration,
    may_end: bool,
) -> Result<Option<Vec<u8>>, Bad> {
    let read = tokio::time::timeout(idle, pkt::read(from));
    let pkt = read.await.map_err(|_| bad(SILENCE))??;
    match &pkt {
        Some(Pkt::Flush) => Ok(None),
        // Who only wanted to look goes without a word.
        None if may_end => Ok(None),
        None => Err(bad(CUT_OFF)),
        Some(pkt) => match pkt.line() {
            Some(line) => Ok(Some(line.to_vec())),
            None => Err(bad("bad pkt-line: not expected here".to_owned())),
        },
    }
}

/// An id, of which `None` is the one that is all zeros; `None` if it is none.
fn oid(digits: &[u8], format: Format) -> Option<Option<Oid>> {
    let id = format.oid(digits)?;
    Some(Some(id).filter(|id| id.as_bytes().iter().any(|byte| *byte != 0)))
}

fn bad_line(line: &[u8]) -> Bad {
    let line = crate::words::line(line.get(..100).unwrap_or(line));
    bad(format!("expected old/new/ref, got '{line}'"))
}

fn option(line: Vec<u8>, so_far: usize, limits: &PushLimits) -> Result<String, Bad> {
    if so_far == limits.options {
        let most = limits.options;
        return Err(bad(format!("a push has {most} options at most")));
    }
    if line.len() > limits.option_bytes {
        let most = limits.option_bytes;
        let text = format!("a push option has {most} bytes at most");
        return Err(bad(text));
    }
    match String::from_utf8(line) {
        Ok(option) if !option.contains('\0') => Ok(option),
        _ => Err(bad("a push option is no text".to_owned())),
    }
}

#[cfg(test)]
mod tests;
