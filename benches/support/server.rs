//! A forge as its defaults make it, with one repository in it, and what is asked of it without a socket.
//!
//! Invariant: what is measured is the service itself; who asks shows a token, as a client would. Access decisions are
//! part of what is measured.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use forge::access::Grants;
use forge::http::Body;
use forge::oauth::NewToken;
use forge::objects::ImportSource;
use forge::repos::{NewRepo, Visibility};
use forge::users::NewUser;
use forge::{App, Limits};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::ServiceExt as _;

/// A forge, and the token of alice, whose the repository is.
pub(crate) struct Server {
    pub(crate) app: App,
    pub(crate) token: String,
}

impl Server {
    /// A forge in a directory, with a private copy of a repository as `~alice/history`.
    #[expect(clippy::disallowed_methods, reason = "a bench arranges what it needs")]
    pub(crate) async fn new(directory: &Path, repository: &Path) -> Self {
        let mut limits = Limits::default();
        // Streams that are held on purpose must not keep others waiting.
        limits.fetch.at_once = 64;
        limits.fetch.per_repo = 64;
        limits.fetch.per_client = 64;
        let app = forge::builder().data_dir(directory).limits(limits).build();
        let app = app.await.expect("a forge");
        let system = app.forge().system();
        let name = "alice".parse().expect("a name");
        let new = NewUser { name, email: None };
        let user = system.ensure_user(&new).await.expect("a user");
        let repo = NewRepo {
            name: "history".parse().expect("a name"),
            description: None,
            visibility: Visibility::Private,
        };
        let source = ImportSource::Path(repository.to_owned());
        let imported = system.import_repo(&user.name, &repo, &source, Arc::new(|_| {}));
        imported.await.expect("the fixture can be imported");
        let new = NewToken {
            grants: Grants::everything(),
            comment: None,
            expires: app.forge().now() + chrono::TimeDelta::days(1),
        };
        let (_, token) = system.issue_token(user.id, &new).await.expect("a token");
        Self {
            app,
            token: token.expose().to_owned(),
        }
    }

    /// Asks what git's clients ask of `~alice/history`; the body is still to be read.
    pub(crate) async fn ask(&self, rest: &str, version: u8, body: Option<Bytes>) -> Response<Body> {
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
    pub(crate) async fn bytes(&self, rest: &str, version: u8, body: Option<Bytes>) -> usize {
        let mut body = self.ask(rest, version, body).await.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.expect("a frame");
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
        bytes
    }
}
