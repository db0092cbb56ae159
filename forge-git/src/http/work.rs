//! Work whose answer is sent while it is done.
//!
//! Invariant: an error before the first piece of an answer is a status; after it, the answer breaks off, so that no client
//! takes it for whole. Work is a task of its own, since a client that does not read must not stop its clocks; it ends,
//! or is told, when nobody waits for its answer any more.

use std::future::Future;

use bytes::Bytes;
use forge_core::http::Body;
use forge_core::{Error, Result, Stop};
use futures::stream;
use http::{HeaderValue, Response, StatusCode};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::answer;
use crate::words;

/// A task that somebody waits for.
pub(super) struct Work {
    task: JoinHandle<Result<()>>,
    /// What is told when nobody does any more; without it, the task is ended then.
    gone: Option<Stop>,
}

impl Work {
    /// Ends with its client.
    pub(super) fn ending(work: impl Future<Output = Result<()>> + Send + 'static) -> Self {
        Self {
            task: tokio::spawn(work.in_current_span()),
            gone: None,
        }
    }

    /// Is told when its client is gone, and decides itself.
    pub(super) fn telling(
        gone: Stop,
        work: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Self {
        Self {
            task: tokio::spawn(work.in_current_span()),
            gone: Some(gone),
        }
    }

    async fn end(&mut self) -> Result<()> {
        (&mut self.task).await.map_err(Error::internal)?
    }

    /// The answer: the prefix, then what the work writes into the pipe of which this is the other end.
    pub(super) async fn answer(
        mut self,
        kind: HeaderValue,
        prefix: Bytes,
        mut pieces: mpsc::Receiver<Bytes>,
    ) -> Result<Response<Body>> {
        let Some(first) = pieces.recv().await else {
            self.end().await?;
            return Ok(answer::body(StatusCode::OK, kind, prefix));
        };
        let ahead = [prefix, first]
            .into_iter()
            .filter(|piece| !piece.is_empty());
        let state = (self, pieces, ahead);
        let pieces = stream::try_unfold(state, async |(mut work, mut pieces, mut ahead)| {
            let piece = match ahead.next() {
                Some(piece) => Some(piece),
                None => pieces.recv().await,
            };
            match piece {
                Some(piece) => Ok(Some((piece, (work, pieces, ahead)))),
                None => match work.end().await {
                    Ok(()) => Ok(None),
                    Err(error) => {
                        tracing::debug!(said = words::of(&error), "an answer breaks off");
                        Err(error)
                    }
                },
            }
        });
        Ok(answer::body(
            StatusCode::OK,
            kind,
            Body::from_stream(pieces),
        ))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        match &self.gone {
            Some(gone) => gone.stop(),
            None => self.task.abort(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::sync::oneshot;

    use super::super::body::pipe;
    use super::*;

    fn kind() -> HeaderValue {
        HeaderValue::from_static("x/y")
    }

    #[tokio::test]
    async fn an_answer_is_the_prefix_and_what_is_written() {
        let (mut output, pieces) = pipe();
        let work = Work::ending(async move {
            for text in ["one", "two"] {
                output
                    .write_all(text.as_bytes())
                    .await
                    .map_err(Error::internal)?;
            }
            Ok(())
        });
        let answer = work
            .answer(kind(), Bytes::from_static(b"zero"), pieces)
            .await;
        let body = answer.expect("an answer").into_body().collect().await;
        assert_eq!(body.expect("whole").to_bytes(), "zeroonetwo");
    }

    #[tokio::test]
    async fn an_error_is_a_status_first_and_a_broken_answer_later() {
        let (output, pieces) = pipe();
        let work = Work::ending(async move {
            drop(output);
            Err(Error::NotFound)
        });
        let answer = work
            .answer(kind(), Bytes::from_static(b"zero"), pieces)
            .await;
        assert!(matches!(answer, Err(Error::NotFound)));

        let (mut output, pieces) = pipe();
        let work = Work::ending(async move {
            output.write_all(b"one").await.map_err(Error::internal)?;
            Err(Error::NotFound)
        });
        let answer = work.answer(kind(), Bytes::new(), pieces).await;
        assert!(answer.expect("begun").into_body().collect().await.is_err());
    }

    #[tokio::test]
    async fn a_dropped_answer_ends_a_fetch_and_tells_a_push() {
        let (mut output, pieces) = pipe();
        let (alive, ended) = oneshot::channel::<()>();
        let work = Work::ending(async move {
            let _alive = alive;
            output.write_all(b"one").await.map_err(Error::internal)?;
            std::future::pending().await
        });
        drop(work.answer(kind(), Bytes::new(), pieces).await);
        let ended = tokio::time::timeout(Duration::from_secs(5), ended).await;
        assert!(ended.expect("in time").is_err());

        let (mut output, pieces) = pipe();
        let (gone, (done, heard)) = (Stop::new(), oneshot::channel());
        let told = gone.clone();
        let work = Work::telling(gone, async move {
            output.write_all(b"one").await.map_err(Error::internal)?;
            told.stopped().await;
            let _ = done.send(());
            Ok(())
        });
        drop(work.answer(kind(), Bytes::new(), pieces).await);
        let heard = tokio::time::timeout(Duration::from_secs(5), heard).await;
        heard.expect("in time").expect("told");
    }
}
