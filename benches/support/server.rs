//! A forge as its defaults make it, with one repository in it.
//!
//! Invariant: the repository is private, so whoever asks has to show the token: access decisions are part of what is
//! measured.

use std::path::Path;
use std::sync::Arc;

use forge::access::Grants;
use forge::oauth::NewToken;
use forge::objects::ImportSource;
use forge::repos::{NewRepo, Visibility};
use forge::users::NewUser;
use forge::{App, Limits};

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
}
