//! What people at the other end of a connection read.
//!
//! Invariant: no text from here carries a control character to a terminal, and none tells what is inside an internal
//! error, which is logged here, once. Where a text is shown is the protocols' affair.

use bstr::ByteSlice as _;
use forge_core::{Error, RepoPath};

/// The longest line shown, in characters.
const MAX_LINE: usize = 1024;

/// What a git user is told of an error.
pub(crate) fn of(error: &Error) -> String {
    match error {
        Error::NotFound => "repository not found".to_owned(),
        Error::Unauthenticated => "authentication required".to_owned(),
        Error::Unavailable(source) => {
            tracing::warn!(
                error = &**source as &dyn std::error::Error,
                "something needed is not reachable"
            );
            "temporarily unavailable, try again".to_owned()
        }
        Error::Internal(source) => {
            tracing::error!(
                error = &**source as &dyn std::error::Error,
                "a transfer failed"
            );
            "something broke on our end".to_owned()
        }
        error => line(error.to_string().as_bytes()),
    }
}

/// The notice that a repository has another name now, and its address there.
pub(crate) fn moved(url: &str, to: &RepoPath) -> String {
    format!("this repository has moved to {to}; update your remote: {url}")
}

/// A line for people: UTF-8 without control characters, and not endless.
pub(crate) fn line(text: &[u8]) -> String {
    let text = text.to_str_lossy();
    let mut clean: String = text
        .chars()
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .take(MAX_LINE)
        .collect();
    clean.truncate(clean.trim_end().len());
    clean
}

/// Marks that turn the direction of text around: they make it say what it does not.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_cannot_move_the_cursor() {
        assert_eq!(line(b"\x1b[31mred\x07\r\n"), "[31mred");
        assert_eq!(line("a\u{9b}2Jb\u{202e}c \n".as_bytes()), "a2Jbc");
        assert_eq!(line(&[b'x'; 5_000]).len(), MAX_LINE);
        assert_eq!(line(b"no\xff"), "no\u{fffd}");
    }

    proptest! {
        #[test]
        fn nothing_gets_through(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!line(&bytes).chars().any(char::is_control));
        }
    }
}
