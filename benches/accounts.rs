//! Whether the time of an answer tells what there is: a user, a password, a token, a client, a device's question.
//!
//! Invariant: what is compared is refused with the same status, and asked for in turns, request by request; two of the
//! series ask for what is not there. How far these two, which are alike, lie apart is the noise.

#[path = "accounts/host.rs"]
mod host;
#[expect(dead_code, reason = "other benches read a repository, too")]
mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::TimeDelta;
use forge::App;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use self::host::{Host, form, get};
use self::support::{is_test, report};

/// How many turns are not counted: until then, caches fill.
const WARM: usize = 20;
/// After how long wrong guesses are forgotten.
const WINDOW: TimeDelta = TimeDelta::minutes(16);
/// How many wrong passwords for one name, and wrong codes of one user, are certainly no reason to make them wait.
const PASSWORDS: usize = 8;
const CODES: usize = 5;

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    runtime.block_on(async {
        let host = Host::new(directory.path()).await;
        tokens(&host).await;
        clients(&host).await;
        user_codes(&host).await;
        passwords(&host).await;
    });
}

fn turns(measured: usize) -> usize {
    if is_test() { 2 } else { WARM + measured }
}

async fn tokens(host: &Host) {
    let expired = host.expired_token().await;
    let texts = [
        format!("forge_{}", "0123456789abcdef".repeat(4)),
        format!("forge_{}", "fedcba9876543210".repeat(4)),
        expired,
        format!("forge_{}", "not-hex-digits..".repeat(4)),
    ];
    let requests =
        texts.map(|text| get("/api/user", &[("authorization", format!("Bearer {text}"))]));
    let mut series = Series::new(["expired", "malformed"]);
    for turn in 0..turns(5_000) {
        series
            .take(&host.app, turn, &requests, StatusCode::UNAUTHORIZED)
            .await;
    }
    series.report("a token");
}

async fn clients(host: &Host) {
    let secret = "0123456789abcdef".repeat(4);
    let ids = [
        "01234567-89ab-4def-8123-456789abcdef",
        "fedcba98-7654-4210-8edc-ba9876543210",
        &host.client,
    ];
    let requests = ids.map(|id| {
        form(
            "/meta/oauth2/access-token",
            &[
                ("grant_type", "authorization_code"),
                ("code", "x"),
                ("client_id", id),
                ("client_secret", &secret),
            ],
            &[],
        )
    });
    let mut series = Series::new(["with another secret"]);
    for turn in 0..turns(5_000) {
        series
            .take(&host.app, turn, &requests, StatusCode::UNAUTHORIZED)
            .await;
    }
    series.report("a client");
}

async fn user_codes(host: &Host) {
    let cookies = host.sign_in().await;
    let mut series = Series::new(["answered"]);
    let mut answered = String::new();
    for turn in 0..turns(1_500) {
        if turn % CODES == 0 {
            host.advance(WINDOW);
            answered = host.answered_user_code().await;
        }
        let codes = ["BCDF-GHJK", "LMNP-QRST", &answered];
        let requests = codes.map(|code| {
            let path = format!("/meta/oauth2/device?user_code={code}");
            get(&path, &[("cookie", cookies.clone())])
        });
        series
            .take(&host.app, turn, &requests, StatusCode::NOT_FOUND)
            .await;
    }
    series.report("a device's question");
}

async fn passwords(host: &Host) {
    let (cookies, token) = host.login_form().await;
    let requests = ["unheard", "unknown", "someone", "keyless"].map(|name| {
        let fields = [
            ("username", name),
            ("password", "wrong horse"),
            ("return_to", ""),
            ("token", &token),
        ];
        form("/meta/login", &fields, &[("cookie", cookies.clone())])
    });
    let mut series = Series::new(["with another password", "without a password"]);
    for turn in 0..turns(150) {
        if turn % PASSWORDS == 0 {
            host.advance(WINDOW);
        }
        series
            .take(&host.app, turn, &requests, StatusCode::FORBIDDEN)
            .await;
    }
    series.report("a user");
}

/// What was asked for in turns: what is not there twice, then `K` things that are there and are refused all the same.
struct Series<const K: usize> {
    known: [&'static str; K],
    times: Vec<Vec<Duration>>,
}

impl<const K: usize> Series<K> {
    fn new(known: [&'static str; K]) -> Self {
        let times = vec![Vec::new(); K + 2];
        Self { known, times }
    }

    async fn take(
        &mut self,
        app: &App,
        turn: usize,
        requests: &[Request<Full<Bytes>>],
        expected: StatusCode,
    ) {
        assert_eq!(requests.len(), self.times.len());
        for place in 0..requests.len() {
            // Who comes first changes: what a request leaves in the caches is the next one's.
            let which = (place + turn) % requests.len();
            let (service, request) = (app.service(), requests[which].clone());
            let begin = Instant::now();
            let answer = service.oneshot(request).await.expect("an answer");
            let status = answer.status();
            answer.into_body().collect().await.expect("a body");
            let took = begin.elapsed();
            assert_eq!(status, expected, "{:?} {which}", self.known);
            if turn >= WARM || is_test() {
                self.times[which].push(took);
            }
        }
    }

    fn report(self, what: &str) {
        let medians = self.times.into_iter().map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1e6
        });
        let medians: Vec<_> = medians.collect();
        let (missing, other) = (medians[0], medians[1]);
        let noise = (missing - other).abs();
        for (name, known) in self.known.iter().zip(&medians[2..]) {
            let apart = (known - missing).abs();
            let found = format!(
                "refused after {known:.1} µs, and after {missing:.1} and {other:.1} µs where there is none"
            );
            let goal = "no further apart than the noise and 1 µs or 2 %";
            let is_met = apart <= noise + f64::max(1.0, 0.02 * missing);
            report(&format!("{what}, {name}"), &found, goal, is_met);
        }
    }
}
