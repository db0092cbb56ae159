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

use crate::pkt::{self, Pkt};

/// The hash of all repositories here, as `object-format` names it.
pub(super) const FORMAT: &str = "sha1";
/// Git's word for a name that it does not take.
const FUNNY: &str = "funny refname";
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

/// Why a request cannot be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is none; the text is for the client, which may understand bands by now.
    Bad(String, Wants),
    /// The client is not there any more.
    Lost,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => bad(error.to_string()),
            io::ErrorKind::UnexpectedEof => bad(CUT_OFF),
            _ => Self::Lost,
        }
    }
}

/// It was not said yet what the client understands.
fn bad(why: impl Into<String>) -> Fault {
    Fault::Bad(why.into(), Wants::default())
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
    /// Reads a request; `None` if there is nothing in it.
    pub(super) async fn read(
        from: &mut (impl AsyncRead + Unpin),
        limits: &PushLimits,
    ) -> Result<Option<Self>, Fault> {
        let mut asked = Self::default();
        match asked.read_all(from, limits).await {
            Ok(()) if asked.commands.is_empty() => Ok(None),
            Ok(()) => Ok(Some(asked)),
            Err(Fault::Bad(why, _)) => Err(Fault::Bad(why, asked.wants)),
            Err(Fault::Lost) => Err(Fault::Lost),
        }
    }

    async fn read_all(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        limits: &PushLimits,
    ) -> Result<(), Fault> {
        let asked = self;
        let mut seen = HashSet::new();
        while let Some(line) = line(from, limits.idle, asked.is_empty()).await? {
            if let Some(id) = line.strip_prefix(b"shallow ") {
                if asked.shallow.len() == MAX_SHALLOW {
                    return Err(bad("too many shallow commits".to_owned()));
                }
                let id = oid(id).ok_or_else(|| bad_line(&line))?;
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
                asked.wants = Wants::parse(wants.unwrap_or_default())?;
            }
            let mut command = Command::parse(command, limits).ok_or_else(|| bad_line(&line))?;
            if !seen.insert(command.raw.clone()) {
                command.refuse("failed to update ref");
            }
            asked.commands.push(command);
        }
        if asked.wants.options && !asked.commands.is_empty() {
            while let Some(line) = line(from, limits.idle, false).await? {
                asked.options.push(option(line, asked.options.len(), limits)?);
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
    fn parse(text: &[u8]) -> Result<Self, Fault> {
        let mut wants = Self::default();
        for word in text.split_str(" ") {
            match word {
                b"report-status" | b"report-status-v2" => wants.report = true,
                b"side-band-64k" => wants.bands = true,
                b"quiet" => wants.quiet = true,
                b"atomic" => wants.atomic = true,
                b"push-options" => wants.options = true,
                word => {
                    if let Some(format) = word.strip_prefix(b"object-format=")
                        && format != FORMAT.as_bytes()
                    {
                        let format = format.as_bstr();
                        return Err(bad(format!("unsupported object format '{format}'")));
                    }
                }
            }
        }
        Ok(wants)
    }
}

impl Command {
    /// Reads `old new name`; `None` if it is none.
    fn parse(line: &[u8], limits: &PushLimits) -> Option<Self> {
        let (old, rest) = line.split_once_str(" ")?;
        let (new, raw) = rest.split_once_str(" ")?;
        let (old, new) = (oid(old)?, oid(new)?);
        let fits = raw.len() <= limits.ref_name_bytes
            && raw.split_str("/").all(|part| part.len() <= MAX_PART);
        let name = if fits && raw.is_utf8() {
            RefName::new(raw).ok()
        } else {
            None
        };
        let refusal = name.is_none().then(|| FUNNY.to_owned());
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
) -> Result<Option<Vec<u8>>, Fault> {
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
fn oid(digits: &[u8]) -> Option<Option<Oid>> {
    if digits.len() != 40 {
        return None;
    }
    let id: Oid = digits.to_str().ok()?.parse().ok()?;
    Some(Some(id).filter(|id| id.as_bytes().iter().any(|byte| *byte != 0)))
}

fn bad_line(line: &[u8]) -> Fault {
    let line = crate::words::line(line.get(..100).unwrap_or(line));
    bad(format!("expected old/new/ref, got '{line}'"))
}

fn option(line: Vec<u8>, so_far: usize, limits: &PushLimits) -> Result<String, Fault> {
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
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const ZERO: &str = "0000000000000000000000000000000000000000";

    fn lines(lines: &[&[u8]]) -> Vec<u8> {
        let mut out = BytesMut::new();
        for line in lines {
            pkt::put(&mut out, line);
        }
        pkt::put_flush(&mut out);
        out.to_vec()
    }

    async fn read(bytes: &[u8]) -> Result<Option<Asked>, Fault> {
        let mut limits = PushLimits::default();
        limits.commands = 3;
        limits.options = 2;
        limits.option_bytes = 10;
        Asked::read(&mut &*bytes, &limits).await
    }

    async fn fault(bytes: &[u8]) -> String {
        match read(bytes).await {
            Err(Fault::Bad(why, _)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_request_is_read_with_all_that_belongs_to_it() {
        let mut request = lines(&[
            format!("shallow {A}\n").as_bytes(),
            format!("{ZERO} {A} refs/heads/a\0report-status-v2 side-band-64k push-options agent=x")
                .as_bytes(),
            format!("{A} {ZERO} refs/heads/b\0 atomic\n").as_bytes(),
        ]);
        request.extend(lines(&[b"debug", b"a=b\n"]));
        let asked = read(&request).await.expect("good").expect("something");
        assert_eq!(asked.shallow, [A.parse().expect("an id")]);
        assert_eq!(asked.options, ["debug", "a=b"]);
        assert!(asked.wants.report && asked.wants.bands && !asked.wants.atomic);
        let found: Vec<_> = asked.standing().iter().map(ToString::to_string).collect();
        let expected = [format!("- {A} refs/heads/a"), format!("{A} - refs/heads/b")];
        assert_eq!(found, expected);
        assert!(asked.brings_objects());
    }

    #[tokio::test]
    async fn nothing_asks_for_nothing() {
        assert!(read(b"0000").await.expect("a probe").is_none());
        assert!(read(b"").await.expect("a look").is_none());
        let shallow = lines(&[format!("shallow {A}").as_bytes()]);
        assert!(read(&shallow).await.expect("nothing").is_none());
    }

    #[tokio::test]
    async fn names_that_git_does_not_take_are_refused_for_themselves() {
        for name in [
            &b"refs/heads/a..b"[..],
            b"refs/heads/a.lock",
            b"refs/heads/a\xff",
            b"refs/heads/a b",
            b"refs/heads/@{x",
            b"main",
            b"",
            &[b"refs/heads/".as_slice(), &[b'x'; 256]].concat(),
            &[b"refs/heads/".as_slice(), &b"x/".repeat(600), b"x"].concat(),
        ] {
            let request = lines(&[
                &[format!("{ZERO} {A} ").as_bytes(), name, b"\0report-status"].concat(),
                format!("{ZERO} {A} refs/heads/-x").as_bytes(),
            ]);
            let asked = read(&request).await.expect("good").expect("something");
            assert_eq!(asked.commands[0].refusal.as_deref(), Some(FUNNY));
            assert_eq!(asked.commands[0].raw, name);
            assert_eq!(asked.standing().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_ref_is_changed_once() {
        let command = format!("{ZERO} {A} refs/heads/a");
        let request = lines(&[command.as_bytes(), command.as_bytes()]);
        let asked = read(&request).await.expect("good").expect("something");
        let refusals: Vec<_> = asked.commands.iter().map(|c| c.refusal.clone()).collect();
        assert_eq!(refusals, [None, Some("failed to update ref".to_owned())]);
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused_with_a_reason() {
        let command = format!("{ZERO} {A} refs/heads/");
        let numbered = |n: u32| format!("{command}{n}").into_bytes();
        let many: Vec<_> = (0..4).map(numbered).collect();
        let many: Vec<_> = many.iter().map(Vec::as_slice).collect();
        assert_eq!(fault(&lines(&many)).await, "a push changes 3 refs at most");
        for line in ["hello", &format!("{ZERO} {A}"), &format!("{A} x refs/heads/a")] {
            let why = fault(&lines(&[line.as_bytes()])).await;
            assert!(why.starts_with("expected old/new/ref, got"), "{why}");
        }
        for bytes in [b"zzzz".as_slice(), b"0003", b"ffff", b"0001"] {
            assert!(fault(bytes).await.starts_with("bad pkt-line"));
        }
        let foreign = format!("{command}a\0object-format=sha256");
        let why = fault(&lines(&[foreign.as_bytes()])).await;
        assert_eq!(why, "unsupported object format 'sha256'");
        let unfinished = lines(&[command.as_bytes()]);
        for bytes in [&b"0010abc"[..], b"000", &unfinished[..unfinished.len() - 4]] {
            assert_eq!(fault(bytes).await, CUT_OFF);
        }
        let wants = format!("{command}a\0side-band-64k");
        let both = lines(&[wants.as_bytes(), b"hello"]);
        let fault = read(&both).await;
        assert!(matches!(fault, Err(Fault::Bad(_, wants)) if wants.bands));
    }

    #[tokio::test]
    async fn options_are_few_and_short_and_text() {
        let command = format!("{ZERO} {A} refs/heads/a\0push-options");
        for options in [
            &[&b"a"[..], b"b", b"c"][..],
            &[b"12345678901"],
            &[b"\xff"],
            &[b"a\0b"],
        ] {
            let request = [lines(&[command.as_bytes()]), lines(options)].concat();
            assert!(fault(&request).await.contains("push"), "{options:?}");
        }
    }

    #[tokio::test]
    async fn all_or_nothing_is_nothing_if_one_is_refused() {
        let request = lines(&[
            format!("{ZERO} {A} refs/heads/a\0atomic").as_bytes(),
            format!("{ZERO} {A} bad").as_bytes(),
        ]);
        let mut asked = read(&request).await.expect("good").expect("something");
        asked.all_or_nothing("atomic push failure");
        let refusals: Vec<_> = asked.commands.iter().map(|c| c.refusal.as_deref()).collect();
        assert_eq!(refusals, [Some("atomic push failure"), Some(FUNNY)]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let runtime = runtime.expect("a runtime");
            let mut out = BytesMut::new();
            pkt::put(&mut out, &bytes);
            pkt::put_flush(&mut out);
            let _ = runtime.block_on(read(&out));
            let _ = runtime.block_on(read(&bytes));
        }
    }
}
