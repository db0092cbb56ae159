//! Timestamps on the wire.
//!
//! Invariant: always UTC, always whole seconds. Requests hold no timestamps, so nothing is parsed here.

use chrono::{DateTime, Datelike as _};
use forge_core::Timestamp;

/// 9999-12-31T23:59:59Z.
const END_OF_9999: i64 = 253_402_300_799;

/// How timestamps are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TimestampStyle {
    /// `2026-01-31T12:00:00`, as seed 000 says.
    #[default]
    Plain,
    /// `2026-01-31T12:00:00+00:00`, for clients that demand a zone.
    Zoned,
}

impl TimestampStyle {
    /// The text of a moment.
    pub(crate) fn text(self, time: Timestamp) -> String {
        let format = match self {
            Self::Plain => "%Y-%m-%dT%H:%M:%S",
            Self::Zoned => "%Y-%m-%dT%H:%M:%S+00:00",
        };
        // Commits may claim any year; four digits are what clients read.
        let time = match time.year() {
            ..0 => DateTime::UNIX_EPOCH,
            10_000.. => DateTime::from_timestamp(END_OF_9999, 0).unwrap_or(time),
            _ => time,
        };
        time.format(format).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_have_four_digits() {
        let text =
            |seconds| TimestampStyle::Plain.text(DateTime::from_timestamp(seconds, 0).unwrap());
        assert_eq!(text(END_OF_9999), "9999-12-31T23:59:59");
        assert_eq!(text(END_OF_9999 + 1), "9999-12-31T23:59:59");
        assert_eq!(text(-100_000_000_000), "1970-01-01T00:00:00");
        assert_eq!(text(-1), "1969-12-31T23:59:59");
    }
}
