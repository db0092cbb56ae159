//! What goes back to the client while its push is under way.
//!
//! Invariant: a client that does not listen any more holds nothing up and breaks nothing: from the first word on that
//! does not get through, nothing is sent. Text reaches only who has a side band for it, and carries no control
//! characters but line ends. What is said is decided elsewhere.

use std::future::Future;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt as _;

use super::commands::Wants;
use crate::pkt::{self, Band};
use crate::transport::Output;
use crate::words;

/// How long a client hears nothing before it is told that somebody is still there; git's own number.
const SILENCE: Duration = Duration::from_secs(5);

/// How many lines are said at once.
const MAX_LINES: usize = 64;

/// The way back to the client.
pub(super) struct Talk {
    output: Output,
    has_bands: bool,
    patience: Duration,
    silence: Duration,
    is_lost: bool,
}

impl Talk {
    /// No word may take longer than `patience` to get through.
    pub(super) fn new(output: Output, patience: Duration) -> Self {
        Self {
            output,
            has_bands: false,
            patience,
            silence: SILENCE,
            is_lost: false,
        }
    }

    /// Learns how the client wants to be talked to.
    pub(super) fn learn(&mut self, wants: Wants) {
        self.has_bands = wants.bands;
    }

    /// How long the client may hear nothing.
    pub(super) fn silence(&self) -> Duration {
        self.silence
    }

    /// Whether a word did not get through.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Lines for the person at the other end.
    pub(super) async fn say(&mut self, lines: &str) {
        for line in lines.lines().take(MAX_LINES) {
            let line = words::line(line.as_bytes());
            self.text(format!("{line}\n").as_bytes()).await;
        }
    }

    /// Text that is clean already.
    pub(super) async fn text(&mut self, text: &[u8]) {
        if self.has_bands {
            let mut out = BytesMut::new();
            pkt::put_band(&mut out, Band::Text, text, pkt::MAX_LINE);
            self.send(&out).await;
        }
    }

    pub(super) async fn keep_alive(&mut self) {
        if self.has_bands {
            let mut out = BytesMut::new();
            pkt::put_keep_alive(&mut out);
            self.send(&out).await;
        }
    }

    /// Waits for something that may take a while, without falling silent.
    pub(super) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(self.silence) => self.keep_alive().await,
            }
        }
    }

    /// What the client asked for, and that it was all.
    pub(super) async fn answer(&mut self, report: &[u8]) {
        let mut out = BytesMut::new();
        if self.has_bands {
            pkt::put_band(&mut out, Band::Data, report, pkt::MAX_LINE);
            pkt::put_flush(&mut out);
        } else {
            out.extend_from_slice(report);
        }
        self.send(&out).await;
    }

    /// What a client is told that has not said yet what it understands.
    pub(super) async fn reject(&mut self, why: &str) {
        let mut out = BytesMut::new();
        let why = words::line(why.as_bytes());
        pkt::put_error(&mut out, &why);
        self.send(&out).await;
    }

    /// Nothing more will be said.
    pub(super) async fn end(&mut self) {
        if !self.is_lost {
            let ended = tokio::time::timeout(self.patience, self.output.shutdown()).await;
            self.is_lost = !matches!(ended, Ok(Ok(())));
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        if self.is_lost {
            return;
        }
        let output = &mut self.output;
        let sending = async {
            output.write_all(bytes).await?;
            output.flush().await
        };
        let sent = tokio::time::timeout(self.patience, sending).await;
        self.is_lost = !matches!(sent, Ok(Ok(())));
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    async fn said(bands: bool) -> String {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let mut talk = Talk::new(Box::new(ours), Duration::from_secs(1));
        talk.learn(Wants {
            bands,
            ..Wants::default()
        });
        talk.say("hello\x1b[0m\nyou").await;
        talk.keep_alive().await;
        talk.answer(b"000eunpack ok\n0000").await;
        talk.end().await;
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).await.expect("text");
        heard
    }

    #[tokio::test]
    async fn text_goes_into_its_band_or_nowhere() {
        assert_eq!(
            said(true).await,
            "000e\x02hello[0m\n0009\x02you\n0005\x020017\x01000eunpack ok\n00000000"
        );
        assert_eq!(said(false).await, "000eunpack ok\n0000");
    }

    #[tokio::test]
    async fn a_client_that_does_not_listen_holds_nothing_up() {
        let (ours, theirs) = tokio::io::duplex(8);
        let mut talk = Talk::new(Box::new(ours), Duration::from_millis(20));
        talk.learn(Wants {
            bands: true,
            ..Wants::default()
        });
        talk.say("more than fits into the pipe").await;
        assert!(talk.is_lost());
        talk.say("nothing more").await;
        drop(theirs);
    }

    #[tokio::test]
    async fn a_client_is_not_left_in_silence() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let mut talk = Talk::new(Box::new(ours), Duration::from_secs(1));
        talk.learn(Wants {
            bands: true,
            ..Wants::default()
        });
        talk.silence = Duration::from_millis(40);
        talk.meanwhile(tokio::time::sleep(Duration::from_millis(150)))
            .await;
        drop(talk);
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).await.expect("text");
        assert!(heard.starts_with("0005\x020005\x02"), "{heard:?}");
    }
}
