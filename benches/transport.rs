//! What the transports cost: telling which refs there are, serving a clone, taking a push. Beside each, git doing the
//! same for itself. And whether what may not be seen is denied as fast as what is not there.
//!
//! Invariant: the service is asked without a socket, by somebody who shows a token as a client would. Both answers are
//! read to their ends.

#[path = "transport/absence.rs"]
mod absence;
#[path = "transport/clone.rs"]
mod clone;
#[path = "support/cpu.rs"]
mod cpu;
#[path = "transport/push.rs"]
mod push;
#[path = "transport/refs.rs"]
mod refs;
#[path = "support/server.rs"]
mod server;
mod support;

use bytes::Bytes;
use forge::http::Body;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use server::Server;
use tower::ServiceExt as _;

fn main() {
    // First: ext4 passes over the places of files that were deleted in the last minutes when it makes others, one by one, and
    // what comes after many deletions pays for them.
    push::run();
    refs::run();
    clone::run();
}

impl Server {
    /// Asks what git's clients ask of `~alice/history`; the body is still to be read.
    async fn ask(&self, rest: &str, version: u8, body: Option<Bytes>) -> Response<Body> {
        let mut request = Request::builder()
            .uri(format!("/~alice/history/{rest}"))
            .header("authorization", format!("Bearer {}", self.token))
            .header("git-protocol", format!("version={version}"));
        if let Some(service) = rest.strip_prefix("git-")
            && body.is_some()
        {
            let kind = format!("application/x-git-{service}-request");
            request = request.method("POST").header("content-type", kind);
        }
        let request = request.body(Full::new(body.unwrap_or_default()));
        let answer = self.app.service().oneshot(request.expect("a request"));
        let answer = answer.await.expect("an answer");
        assert_eq!(answer.status(), 200, "{rest}");
        answer.map(Body::new)
    }

    /// Asks, and reads the answer to its end; how many bytes it has.
    async fn bytes(&self, rest: &str, version: u8, body: Option<Bytes>) -> usize {
        let mut body = self.ask(rest, version, body).await.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.expect("a frame");
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
        bytes
    }
}
