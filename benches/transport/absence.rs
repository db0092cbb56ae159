//! Whether a private repository takes another time to be denied than one that does not exist.
//!
//! Invariant: three series are taken in turns, request by request: the private one, and two that are missing. How far
//! the two that are alike lie apart is the noise.

use std::time::{Duration, Instant};

use forge::access::Grants;
use forge::oauth::NewToken;
use forge::users::NewUser;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::server::Server;
use crate::support::{is_test, report};

/// The private one, and two that are missing, of equal length.
const NAMES: [&str; 3] = ["history", "nothing", "nowhere"];

pub(crate) fn run(server: &Server, runtime: &Runtime) {
    let stranger = runtime.block_on(stranger(server));
    for (who, token) in [("a stranger", Some(stranger.as_str())), ("nobody", None)] {
        for service in ["git-upload-pack", "git-receive-pack"] {
            let medians = runtime.block_on(medians(server, service, token));
            let [private, missing, other] = medians.map(|median| median.as_secs_f64() * 1e6);
            let (apart, noise) = ((private - missing).abs(), (missing - other).abs());
            let found = format!(
                "denied after {private:.1} µs where it is private, {missing:.1} and {other:.1} µs where it is not there"
            );
            let goal = "apart by no more than 1 µs or 2 % beyond the noise";
            let is_met = apart <= noise + f64::max(1.0, 0.02 * missing);
            report(&format!("{service} for {who}"), &found, goal, is_met);
        }
    }
}

async fn medians(server: &Server, service: &str, token: Option<&str>) -> [Duration; 3] {
    let count = if is_test() { 10 } else { 5_000 };
    let mut times = [const { Vec::new() }; 3];
    for round in 0..count {
        for turn in 0..NAMES.len() {
            // Who comes first changes: what a request leaves in the caches is the next one's.
            let which = (turn + round) % NAMES.len();
            let begin = Instant::now();
            denied(server, NAMES[which], service, token).await;
            times[which].push(begin.elapsed());
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

async fn denied(server: &Server, name: &str, service: &str, token: Option<&str>) {
    let mut request = Request::builder()
        .uri(format!("/~alice/{name}/info/refs?service={service}"))
        .header("git-protocol", "version=2");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request
        .body(Full::<bytes::Bytes>::default())
        .expect("a request");
    let answer = server
        .app
        .service()
        .oneshot(request)
        .await
        .expect("an answer");
    let expected = if token.is_some() { 404 } else { 401 };
    assert_eq!(answer.status(), expected, "{name} {service}");
    answer.into_body().collect().await.expect("a body");
}

/// The token of a user who has nothing to do with it.
#[expect(clippy::disallowed_methods, reason = "a bench arranges what it needs")]
async fn stranger(server: &Server) -> String {
    let system = server.app.forge().system();
    let name = "mallory".parse().expect("a name");
    let user = system.ensure_user(&NewUser { name, email: None }).await;
    let new = NewToken {
        grants: Grants::everything(),
        comment: None,
        expires: server.app.forge().now() + chrono::TimeDelta::days(1),
    };
    let issued = system.issue_token(user.expect("a user").id, &new).await;
    issued.expect("a token").1.expose().to_owned()
}
