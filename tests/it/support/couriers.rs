//! A courier that keeps what it is given.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use forge::{Courier, Error, Result};
use url::Url;

/// What services were told, and where; a cheap handle to clone.
#[derive(Clone, Default)]
pub(crate) struct Told {
    posts: Arc<Mutex<Vec<(String, String)>>>,
    broken: Arc<AtomicBool>,
    refused: Arc<Mutex<HashSet<String>>>,
}

impl Told {
    /// Takes out what was told so far.
    pub(crate) fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.posts.lock().unwrap())
    }

    /// Has the services refuse to be told that.
    pub(crate) fn refuse(&self, json: &str) {
        self.refused.lock().unwrap().insert(json.to_owned());
    }

    /// Makes telling fail from now on, or no more.
    pub(crate) fn fail(&self, on: bool) {
        self.broken.store(on, Ordering::SeqCst);
    }
}

#[async_trait]
impl Courier for Told {
    async fn post(&self, url: &Url, json: String) -> Result<bool> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::internal("nobody is there"));
        }
        let is_refused = self.refused.lock().unwrap().contains(&json);
        self.posts.lock().unwrap().push((url.to_string(), json));
        Ok(!is_refused)
    }
}
