//! A world to test in: one forge, the people around it, and what they ask of it.

pub(crate) mod browser;
pub(crate) mod couriers;
pub(crate) mod database;
pub(crate) mod fixture;
pub(crate) mod logs;
pub(crate) mod mails;
mod personas;
pub(crate) mod process;
pub(crate) mod site;

use std::sync::Arc;

use bytes::Bytes;
use forge::access::Grants;
use forge::oauth::NewToken;
use forge::objects::ImportSource;
use forge::repos::{NewRepo, RepoChange, Visibility};
use forge::testing::{FixedClock, SeededEntropy};
use forge::users::{NewUser, User};
use forge::{App, Caller, Credentials, Forge, Mode, RepoName, RepoPath, Scope, System, Timestamp};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tempfile::TempDir;
use tower::ServiceExt as _;

pub(crate) use database::Database;
pub(crate) use personas::{PERSONAS, Persona};

/// When every world begins: 2023-11-14T22:13:20Z.
pub(crate) const EPOCH: i64 = 1_700_000_000;

/// A forge with alice's repositories `open` (public), `hidden` (unlisted) and `secret` (private), all with the small
/// fixture in them and all shared with reader (RO) and writer (RW).
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) dir: TempDir,
    tokens: Vec<(Persona, String)>,
    database: Database,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.body))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }
}

struct SharedClock(Arc<FixedClock>);

impl forge::Clock for SharedClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl World {
    pub(crate) async fn new(database: Database) -> Self {
        Self::with(database, |builder| builder).await
    }

    /// A world with pages, in which alice, stranger and reader have a password.
    pub(crate) async fn with_pages(database: Database) -> Self {
        let world = Self::with(database, forge::Builder::passwords).await;
        for name in ["alice", "stranger", "reader"] {
            world.set_password(name, browser::PASSWORD).await;
        }
        world
    }

    pub(crate) async fn set_password(&self, user: &str, password: &str) {
        let user = user.parse().unwrap();
        self.system().set_password(&user, password).await.unwrap();
    }

    /// A world whose forge is configured further.
    pub(crate) async fn with(
        database: Database,
        configure: impl FnOnce(forge::Builder) -> forge::Builder,
    ) -> Self {
        logs::begin();
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(FixedClock::at(EPOCH));
        let builder = forge::builder()
            .data_dir(dir.path().join("data"))
            .git_origin("https://git.example.org")
            .clock(SharedClock(Arc::clone(&clock)))
            .entropy(SeededEntropy::new(1));
        let builder = match database.fresh().await {
            Some(store) => builder.store(store),
            None => builder,
        };
        let app = configure(builder).build().await.expect("a forge");
        let mut world = Self {
            app,
            clock,
            dir,
            tokens: Vec::new(),
            database,
        };
        world.populate().await;
        world
    }

    async fn populate(&mut self) {
        for name in ["alice", "stranger", "reader", "writer", "suspended"] {
            let user = self.user(name).await;
            for persona in PERSONAS
                .iter()
                .filter(|persona| persona.user() == Some(name))
            {
                let token = self
                    .token(&user, persona.grants(), persona.lifetime())
                    .await;
                self.tokens.push((*persona, token));
            }
        }
        self.system()
            .suspend(&"suspended".parse().unwrap(), Some("unpaid"))
            .await
            .unwrap();
        let fixture = fixture::small(self.dir.path());
        for (name, visibility) in [
            ("open", Visibility::Public),
            ("hidden", Visibility::Unlisted),
            ("secret", Visibility::Private),
        ] {
            self.import(name, visibility, &ImportSource::Path(fixture.clone()))
                .await;
            let repo = self
                .owner()
                .await
                .manage_repo(&alice(name), Scope::Acls)
                .await
                .unwrap();
            repo.set_acl(&"reader".parse().unwrap(), Mode::Read)
                .await
                .unwrap();
            let readme = Some(Some(format!("<p>{name}</p>")));
            let shown = RepoChange {
                readme,
                ..RepoChange::default()
            };
            if name != "open" {
                let repo = self
                    .owner()
                    .await
                    .manage_repo(&alice(name), Scope::Repositories)
                    .await;
                repo.unwrap().update(&shown).await.unwrap();
            }
            repo.set_acl(&"writer".parse().unwrap(), Mode::Write)
                .await
                .unwrap();
        }
    }

    #[expect(clippy::disallowed_methods, reason = "tests arrange what they need")]
    pub(crate) fn system(&self) -> System {
        self.forge().system()
    }

    pub(crate) fn forge(&self) -> &Forge {
        self.app.forge()
    }

    pub(crate) async fn user(&self, name: &str) -> User {
        let new = NewUser {
            name: name.parse().unwrap(),
            email: Some(format!("{name}@example.org")),
        };
        self.system().ensure_user(&new).await.unwrap()
    }

    pub(crate) async fn token(
        &self,
        user: &User,
        grants: Grants,
        lifetime: chrono::TimeDelta,
    ) -> String {
        let new = NewToken {
            grants,
            comment: None,
            expires: self.forge().now() + lifetime,
        };
        self.system()
            .issue_token(user.id, &new)
            .await
            .unwrap()
            .1
            .expose()
            .to_owned()
    }

    pub(crate) async fn import(&self, name: &str, visibility: Visibility, source: &ImportSource) {
        let new = NewRepo {
            name: name.parse::<RepoName>().unwrap(),
            description: None,
            visibility,
        };
        let owner = "alice".parse().unwrap();
        self.system()
            .import_repo(&owner, &new, source, Arc::new(|_| {}))
            .await
            .unwrap();
    }

    /// The token a persona shows.
    pub(crate) fn token_of(&self, persona: Persona) -> Option<&str> {
        self.tokens
            .iter()
            .find(|(known, _)| *known == persona)
            .map(|(_, token)| token.as_str())
    }

    /// Alice, with everything she may do.
    pub(crate) async fn owner(&self) -> Caller {
        let token = self.token_of(Persona::Owner).expect("alice has a token");
        self.forge()
            .authenticate(Credentials::Token(token))
            .await
            .unwrap()
    }

    /// A user as a page knows them who has signed in.
    pub(crate) async fn signed_in(&self, user: &str) -> Caller {
        let profile = forge::Profile {
            name: user.parse().unwrap(),
            email: None,
        };
        let session = Credentials::Session(&profile);
        self.forge().authenticate(session).await.unwrap()
    }

    pub(crate) async fn get(&self, persona: Persona, path: &str) -> Answer {
        self.request(persona, Method::GET, path, &[], Bytes::new())
            .await
    }

    pub(crate) async fn request(
        &self,
        persona: Persona,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "git.example.org");
        if persona == Persona::Forger {
            request = request.header(
                "authorization",
                "Bearer forge_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE",
            );
        }
        if let Some(token) = self.token_of(persona) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::new(body.into())).expect("a request"))
            .await
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self
            .app
            .service()
            .oneshot(request)
            .await
            .expect("an answer");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// Does what is queued, until nothing is due.
    pub(crate) async fn settle(&self) {
        while self.forge().work_once().await.expect("the queue") > 0 {}
        assert_eq!(
            self.system().jobs_due().await.unwrap(),
            0,
            "a job was left behind"
        );
    }

    /// Ends the world, with no job left behind and no secret in the log.
    pub(crate) async fn end(self) {
        self.settle().await;
        let Self { app, database, .. } = self;
        drop(app);
        database.drop_fresh().await;
        logs::check();
    }
}

/// One of alice's repositories.
pub(crate) fn alice(name: &str) -> RepoPath {
    format!("~alice/{name}").parse().expect("a path")
}
