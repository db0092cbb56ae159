//! The port to whoever sends mail.
//!
//! Invariant: a mail is handed over after the change it tells of is committed. The forge neither queues nor repeats it:
//! that is the mailer's affair.

use std::fmt;

use async_trait::async_trait;

use crate::users::User;
use crate::{Error, Forge, Result};

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

impl Forge {
    /// Sends a mail on which the user waits.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it cannot be sent, or there is nobody to send it.
    pub(crate) async fn send(&self, mail: Mail) -> Result<()> {
        let mailer = self.mailer();
        let mailer = mailer.ok_or_else(|| Error::unavailable("there is no mailer"))?;
        mailer.send(mail).await.map_err(Error::unavailable)
    }

    /// Tells a user of what was done to their account, where mail is sent. It was done, so that they are not told is no
    /// reason to fail.
    pub(crate) async fn notify(&self, user: &User, subject: &str, what: &str) {
        let (Some(_), Some(to)) = (self.mailer(), user.email.clone()) else {
            return;
        };
        let body = format!(
            "Hello {},\n\n{what}\n\nIf this was not you, look at your account's log, and change what opens it:\n{}\n",
            user.name.canonical(),
            self.meta_origin(),
        );
        let mail = Mail {
            to,
            subject: subject.to_owned(),
            body,
        };
        if let Err(error) = self.send(mail).await {
            tracing::error!(
                user.id = user.id.0,
                error = &error as &dyn std::error::Error,
                "a notice could not be sent"
            );
        }
    }
}
