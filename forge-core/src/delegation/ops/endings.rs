//! Telling services that tokens have ended.

use serde_json::json;
use url::Url;

use super::super::Ended;
use crate::events::{NewJob, Task};
use crate::store::Tx;
use crate::{Error, Forge, Result};

/// How many tokens one job tells of: it begins anew when one of them cannot be told.
const AT_ONCE: usize = 64;

impl Forge {
    /// Queues what services are to be told about tokens that have ended, in the transaction that ended them.
    pub(crate) async fn tell_ended(&self, tx: &mut dyn Tx, of: Ended) -> Result<()> {
        let now = self.now();
        let mut notices = tx.take_watches(of, now).await?;
        notices.sort_by(|one, other| one.url.cmp(&other.url));
        let of_one_place = notices.chunk_by(|one, other| one.url == other.url);
        for batch in of_one_place.flat_map(|notices| notices.chunks(AT_ONCE)) {
            let Some(first) = batch.first() else {
                continue;
            };
            let task = Task::TellEnded {
                url: first.url.clone(),
                tokens: batch.iter().map(|notice| notice.digest.hex()).collect(),
            };
            tx.enqueue(NewJob::at(now, task)).await?;
        }
        Ok(())
    }

    /// Tells a service that tokens have ended. Those that it does not take hold up no others: if it takes some, the rest is
    /// queued anew.
    pub(crate) async fn run_tell_ended(&self, url: &str, tokens: &[String]) -> Result<()> {
        let to = Url::parse(url).map_err(Error::internal)?;
        let mut failure = Error::unavailable("the service took none of it");
        let mut left = Vec::new();
        let mut rest = tokens.iter();
        while let Some(token) = rest.next() {
            let json = json!({ "token_hash": token }).to_string();
            match self.courier().post(&to, json).await {
                Ok(true) => {}
                Ok(false) => left.push(token.clone()),
                Err(error) => {
                    left.push(token.clone());
                    left.extend(rest.by_ref().cloned());
                    failure = error;
                }
            }
        }
        if left.len() == tokens.len() {
            return Err(failure);
        }
        if !left.is_empty() {
            let (url, tokens) = (url.to_owned(), left);
            let mut tx = self.store().begin().await?;
            tx.enqueue(NewJob::at(self.now(), Task::TellEnded { url, tokens }))
                .await?;
            tx.commit().await?;
        }
        Ok(())
    }
}
