//! A mailer that keeps what it is given.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use forge::{Error, Mail, Mailer, Result};

/// Mails that were sent; a cheap handle to clone.
#[derive(Clone, Default)]
pub(crate) struct Mails {
    sent: Arc<Mutex<Vec<Mail>>>,
    broken: Arc<AtomicBool>,
}

impl Mails {
    /// Takes out what was sent so far.
    pub(crate) fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    /// Makes sending fail from now on, or no more.
    pub(crate) fn fail(&self, on: bool) {
        self.broken.store(on, Ordering::SeqCst);
    }
}

#[async_trait]
impl Mailer for Mails {
    async fn send(&self, mail: Mail) -> Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::internal("the line is dead"));
        }
        self.sent.lock().unwrap().push(mail);
        Ok(())
    }
}
