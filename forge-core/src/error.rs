//! Errors as meanings: what went wrong, said so that each transport can print it in its own form.
//!
//! Invariant: nothing inside [`Error::Internal`] or [`Error::Unavailable`] is ever shown to a caller.
//! It does not know HTTP statuses or exit codes; every transport maps it in one file of its own.

use std::borrow::Cow;
use std::sync::Arc;

/// The cause of an internal error: logged, never shown.
pub type Source = Arc<dyn std::error::Error + Send + Sync>;

/// What the operations of this workspace return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One thing that is wrong with the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The input's name as the caller spelt it on the wire; `None` if the whole request is meant.
    pub field: Option<&'static str>,
    /// A sentence for a person, without a final full stop.
    pub reason: String,
}

/// Why an operation did not happen. Whatever the variant, nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It does not exist, or this caller may not know that it does.
    #[error("not found")]
    NotFound,
    /// No credentials, or credentials that mean nobody (any more).
    #[error("authentication required")]
    Unauthenticated,
    /// The caller may know the thing but not do this with it.
    #[error("{reason}")]
    Forbidden {
        /// A sentence for a person.
        reason: Cow<'static, str>,
    },
    /// The input is malformed; one entry for each fault, in the order of the checks.
    #[error("invalid input: {}", .0.first().map_or("", |e| e.reason.as_str()))]
    Invalid(Vec<FieldError>),
    /// The input is well-formed but contradicts what exists already.
    #[error("{reason}")]
    Conflict {
        /// The input that collides.
        field: Option<&'static str>,
        /// A sentence for a person.
        reason: String,
    },
    /// A limit of the forge was exceeded.
    #[error("{what} is too large")]
    Limit {
        /// The input that is too large.
        what: &'static str,
    },
    /// Something needed is not reachable now; trying again later can help.
    #[error("temporarily unavailable")]
    Unavailable(#[source] Source),
    /// A fault of ours.
    #[error("internal error")]
    Internal(#[source] Source),
}

impl Error {
    /// One malformed input.
    pub fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError {
            field: Some(field),
            reason: reason.into(),
        }])
    }

    /// A malformed request where no single input is to blame.
    pub fn malformed(reason: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError {
            field: None,
            reason: reason.into(),
        }])
    }

    /// The caller may not do this.
    pub fn forbidden(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Forbidden {
            reason: reason.into(),
        }
    }

    /// The input collides with something that exists.
    pub fn conflict(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Conflict {
            field: Some(field),
            reason: reason.into(),
        }
    }

    /// A fault of ours, with its cause.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(Arc::from(source.into()))
    }

    /// Something needed is not reachable now.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(Arc::from(source.into()))
    }
}
