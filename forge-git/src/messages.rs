//! The lines that a child writes for people.
//!
//! Invariant: a line is kept and told without control characters, and only so much of it. Who is told, and what it means,
//! is not known here.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::words;

/// The longest line of a child's messages that is kept whole, in bytes.
const MAX_LINE: usize = 1024;
/// How many lines of a child's messages are kept for the error.
const MAX_LINES: usize = 8;

/// The lines a child writes for people. Progress is overwritten in place by carriage returns: such lines are told, but
/// not kept.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    line: Vec<u8>,
    pub(crate) last: Vec<String>,
}

impl Messages {
    pub(crate) async fn read(
        &mut self,
        mut from: impl AsyncRead + Unpin,
        tell: &mut impl FnMut(&str),
    ) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                self.end_of_line(true, tell);
                return Ok(());
            }
            for &byte in buffer.get(..read).unwrap_or_default() {
                match byte {
                    b'\n' => self.end_of_line(true, tell),
                    b'\r' => self.end_of_line(false, tell),
                    byte if self.line.len() < MAX_LINE => self.line.push(byte),
                    _ => {}
                }
            }
        }
    }

    fn end_of_line(&mut self, keep: bool, tell: &mut impl FnMut(&str)) {
        let line = words::line(&std::mem::take(&mut self.line));
        if line.is_empty() {
            return;
        }
        tell(&line);
        if keep {
            if self.last.len() == MAX_LINES {
                self.last.remove(0);
            }
            self.last.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_told_line_by_line_without_control_characters() {
        let raw = b"Counting: 1%\rCounting: 2%\r\x1b[31mfatal:\x07 no\xff\n\nlast".as_slice();
        let mut told = Vec::new();
        let mut messages = Messages::default();
        messages
            .read(raw, &mut |line: &str| told.push(line.to_owned()))
            .await
            .expect("readable");
        assert_eq!(
            told,
            [
                "Counting: 1%",
                "Counting: 2%",
                "[31mfatal: no\u{fffd}",
                "last"
            ]
        );
        assert_eq!(messages.last, ["[31mfatal: no\u{fffd}", "last"]);
    }
}
