//! Device authorization: a program without a browser asks, its user answers elsewhere (RFC 8628).
//!
//! Invariant: a device code gives one authorization at most. The user code that a person types is short, so it lives
//! shortly and is guessed at no faster than the pages permit.

use crate::access::Grants;
use crate::clock::Timestamp;
use crate::ids::{ClientRow, UserId};

/// A question to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDevice {
    /// Who asks.
    pub client: ClientRow,
    /// For what.
    pub grants: Grants,
    /// From when on it is moot.
    pub expires: Timestamp,
}

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The question.
    pub asked: NewDevice,
    /// When the program last looked for the answer.
    pub polled: Option<Timestamp>,
    /// How many seconds it is to wait between two looks.
    pub interval: u32,
    /// The answer.
    pub state: DeviceState,
}

/// How a question stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceState {
    /// Nobody has answered.
    Pending,
    /// The user said no.
    Denied,
    /// The user said yes, to this much.
    Approved(UserId, Grants),
}
