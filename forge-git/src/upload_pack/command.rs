//! One command of protocol 2, as far as it must be read to know who answers it.
//!
//! Invariant: what was read is kept as it came, so a child that is given it, and then the rest, sees what the client sent.
//! Nothing is refused here that is well-formed: git does that.

use bstr::ByteSlice as _;
use bytes::{Bytes, BytesMut};
use forge_core::{Error, Oid, Result};

use super::exchange::Client;
use crate::format::Format;
use crate::gix::Query;
use crate::pkt::{self, Pkt};

/// The most that is read before the arguments, in bytes.
const MAX_HEAD: usize = 128 << 10;
/// The most arguments that are read here, in bytes: all of `ls-refs`, and the beginning of `fetch`.
const MAX_ARGS: usize = 1 << 20;
const MAX_WANTS: usize = 64 << 10;

/// A command.
#[derive(Debug)]
pub(super) struct Command {
    head: Vec<Bytes>,
    args: Vec<Bytes>,
    bytes: BytesMut,
    is_complete: bool,
}

impl Command {
    /// Reads one up to its arguments, and as many of those as are looked at here; `None` if there is none.
    pub(super) async fn read(client: &mut Client) -> Result<Option<Self>> {
        let mut command = Self {
            head: Vec::new(),
            args: Vec::new(),
            bytes: BytesMut::new(),
            is_complete: false,
        };
        loop {
            let Some(pkt) = client.pkt().await? else {
                if command.bytes.is_empty() {
                    return Ok(None);
                }
                return Err(Error::malformed("the request ends in the middle"));
            };
            pkt::put_pkt(&mut command.bytes, &pkt);
            match pkt {
                Pkt::Data(line) => command.head.push(line),
                Pkt::Delim => break,
                Pkt::Flush if command.head.is_empty() => return Ok(None),
                Pkt::Flush => {
                    command.is_complete = true;
                    return Ok(Some(command));
                }
                Pkt::ResponseEnd => return Err(Error::malformed("0002 ends no request")),
            }
            if command.bytes.len() > MAX_HEAD {
                return Err(Error::Limit { what: "request" });
            }
        }
        let most = match command.name() {
            Some(b"ls-refs") => MAX_ARGS,
            Some(b"fetch") => MAX_WANTS,
            _ => 0,
        };
        while command.bytes.len() < most {
            let Some(pkt) = client.pkt().await? else {
                return Err(Error::malformed("the request ends in the middle"));
            };
            pkt::put_pkt(&mut command.bytes, &pkt);
            match pkt {
                Pkt::Data(line) => command.args.push(line),
                Pkt::Flush => {
                    command.is_complete = true;
                    break;
                }
                Pkt::Delim | Pkt::ResponseEnd => {
                    return Err(Error::malformed("a mark among the arguments"));
                }
            }
        }
        Ok(Some(command))
    }

    /// What is to be done; `None` if that is not said exactly once.
    pub(super) fn name(&self) -> Option<&[u8]> {
        let mut names = self
            .head
            .iter()
            .filter_map(|line| chomp(line).strip_prefix(b"command="));
        names.next().filter(|_| names.next().is_none())
    }

    /// What was read.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it was read to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The objects that a `fetch` wants, if it may be one of a partial clone that lacks them: such a request names a filter,
    /// and nothing that the client has.
    pub(super) fn wants_late(&self) -> Option<Vec<Oid>> {
        let args = self.args.iter().map(|line| chomp(line));
        if !self.is_complete || self.name() != Some(b"fetch") {
            return None;
        }
        let is_filtered = args.clone().any(|arg| arg.starts_with(b"filter "));
        let has_something = args.clone().any(|arg| arg.starts_with(b"have "));
        let wants = args.filter_map(|arg| arg.strip_prefix(b"want "));
        let wants: Option<Vec<Oid>> = wants.map(|id| id.to_str().ok()?.parse().ok()).collect();
        wants.filter(|_| is_filtered && !has_something)
    }

    /// What is asked of `ls-refs`; `None` if it is another command, or anything about it is out of the ordinary.
    pub(super) fn ls_refs(&self) -> Option<Query> {
        if !self.is_complete || self.name() != Some(b"ls-refs") {
            return None;
        }
        // Who says nothing means the first one there was.
        let mut format = Format::Sha1;
        for line in &self.head {
            let line = chomp(line);
            let (key, value) = line.split_once_str("=").unwrap_or((line, b""));
            match key {
                b"command" | b"agent" | b"server-option" => {}
                b"object-format" => format = Format::named(value)?,
                _ => return None,
            }
        }
        Query::parse(format, self.args.iter().map(|line| chomp(line)))
    }
}

fn chomp(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}
