//! The port to whoever sends mail.
//!
//! Invariant: a mail is handed over after the change it tells of is committed. The forge neither queues nor repeats it:
//! that is the mailer's affair.

use std::fmt;

use async_trait::async_trait;

use crate::Result;

/// A mail to one person.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text. May hold a secret: it is not to be logged.
    pub body: String,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// Sends mail.
#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Takes a mail over. An error tells the user that it could not be sent.
    async fn send(&self, mail: Mail) -> Result<()>;
}
