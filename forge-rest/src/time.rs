//! Timestamps on the wire.
//!
//! Invariant: always UTC, always whole seconds. Requests hold no timestamps, so nothing is parsed here.

use forge_core::Timestamp;

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
        time.format(format).to_string()
    }
}
