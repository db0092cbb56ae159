//! A plugin: it counts the pushes to each repository, in a table of its own beside the forge's.
//!
//! `cargo run --example plugin`, then push to where it says. `GET /x/pushes/~owner/name` tells how many pushes there
//! were, `/x/pushes/~owner/name/ids` which. Who may see a repository is the forge's decision: the plugin asks the caller
//! for it, and cannot learn its number otherwise.

use std::error::Error as StdError;
use std::fs;
use std::path::PathBuf;

use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Json, Router};
use forge::http::Routes;
use forge::oauth::NewToken;
use forge::push::Push;
use forge::users::NewUser;
use forge::{
    App, Caller, Error, Event, EventKind, Forge, Grants, Migration, Plugin, Result, SqlStore,
};
use lexopt::ValueExt as _;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr, QueryResult, Statement, Value};
use tokio::net::TcpListener;

const TABLE: &str = "
    CREATE TABLE pushes (
        id TEXT PRIMARY KEY, repo_id BIGINT NOT NULL, refs TEXT NOT NULL, deliveries BIGINT NOT NULL
    );
    CREATE INDEX pushes_repo ON pushes (repo_id)";

/// The plugin, with the database that the forge has its own tables in.
#[derive(Clone)]
struct Pushes(DatabaseConnection);

#[async_trait]
impl Plugin for Pushes {
    fn name(&self) -> &'static str {
        "pushes"
    }

    fn migrations(&self) -> &[Migration] {
        &[Migration {
            id: "1",
            sqlite: TABLE,
            postgres: TABLE,
        }]
    }

    fn routes(&self, _: &Forge) -> Option<Routes> {
        let routes = Router::new()
            .route("/{owner}/{name}", get(count))
            .route("/{owner}/{name}/ids", get(list));
        Some(Routes::new(routes.with_state(self.clone())))
    }

    async fn on_event(&self, _: &Forge, event: &Event) -> Result<()> {
        let EventKind::GitPostReceive(push) = &event.kind else {
            return Ok(());
        };
        let refs = serde_json::to_string(&push.updates).map_err(Error::internal)?;
        let statement = self.statement(
            // An event comes once at least: its id tells the repeats.
            "INSERT INTO pushes (id, repo_id, refs, deliveries) VALUES ($1, $2, $3, 1)
             ON CONFLICT (id) DO UPDATE SET deliveries = pushes.deliveries + 1",
            [
                event.id.to_string().into(),
                push.repository.id.0.into(),
                refs.into(),
            ],
        );
        let done = self.0.execute_raw(statement).await;
        done.map(drop).map_err(Error::internal)
    }

    async fn post_receive(&self, forge: &Forge, push: &Push) -> Result<Vec<String>> {
        let path = format!("/x/pushes/{}", push.repository.path());
        let url = forge.git_origin().url_of(&path);
        Ok(vec![format!("Thank you. This push is counted at {url}")])
    }
}

impl Pushes {
    fn statement<const N: usize>(&self, sql: &str, values: [Value; N]) -> Statement {
        Statement::from_sql_and_values(self.0.get_database_backend(), sql, values)
    }
}

async fn count(
    State(pushes): State<Pushes>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
) -> Result<String, StatusCode> {
    let repo = visible(&caller, path).await?;
    let sql = "SELECT count(*) AS pushes FROM pushes WHERE repo_id = $1";
    let row = pushes.0.query_one_raw(pushes.statement(sql, [repo.into()]));
    let row = row.await.map_err(fault)?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get("", "pushes").map_err(fault))?;
    Ok(count.to_string())
}

async fn list(
    State(pushes): State<Pushes>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
) -> Result<Json<serde_json::Value>, StatusCode> {
    let repo = visible(&caller, path).await?;
    // Push ids follow time.
    let sql = "SELECT id, refs, deliveries FROM pushes WHERE repo_id = $1 ORDER BY id";
    let rows = pushes.0.query_all_raw(pushes.statement(sql, [repo.into()]));
    let rows = rows.await.map_err(fault)?;
    let entries: std::result::Result<Vec<_>, _> = rows.iter().map(entry).collect();
    Ok(Json(entries.map_err(fault)?.into()))
}

fn entry(row: &QueryResult) -> std::result::Result<serde_json::Value, DbErr> {
    let (id, refs): (String, String) = (row.try_get("", "id")?, row.try_get("", "refs")?);
    let deliveries: i64 = row.try_get("", "deliveries")?;
    let refs: serde_json::Value =
        serde_json::from_str(&refs).map_err(|error| DbErr::Json(error.to_string()))?;
    Ok(serde_json::json!({ "id": id, "refs": refs, "deliveries": deliveries }))
}

/// The number of a repository, for those who may see it.
async fn visible(caller: &Caller, (owner, name): (String, String)) -> Result<i64, StatusCode> {
    let path = format!("{owner}/{name}").parse();
    let path = path.map_err(|_| StatusCode::NOT_FOUND)?;
    match caller.read_repo(&path).await {
        Ok(repo) => Ok(repo.id().0),
        Err(Error::Forbidden { .. }) => Err(StatusCode::FORBIDDEN),
        Err(Error::NotFound) => Err(StatusCode::NOT_FOUND),
        Err(error) => Err(fault(error)),
    }
}

fn fault(error: impl Into<Box<dyn StdError>>) -> StatusCode {
    tracing::error!(error = &*error.into(), "pushes cannot be told of");
    StatusCode::INTERNAL_SERVER_ERROR
}

struct Options {
    data: PathBuf,
    database: Option<String>,
    http: String,
    ssh: String,
    user: String,
    env: Option<PathBuf>,
}

fn options() -> std::result::Result<Options, lexopt::Error> {
    use lexopt::Arg::Long;

    let mut options = Options {
        data: "forge-data".into(),
        database: None,
        http: "127.0.0.1:8080".to_owned(),
        ssh: "127.0.0.1:2222".to_owned(),
        user: "you".to_owned(),
        env: None,
    };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("data") => options.data = arguments.value()?.into(),
            Long("database") => options.database = Some(arguments.value()?.string()?),
            Long("http") => options.http = arguments.value()?.string()?,
            Long("ssh") => options.ssh = arguments.value()?.string()?,
            Long("user") => options.user = arguments.value()?.string()?,
            Long("env") => options.env = Some(arguments.value()?.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn StdError>> {
    // Tests stop the process at places named in FAILPOINTS.
    #[cfg(feature = "testing")]
    let _scenario = fail::FailScenario::setup();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "warn".into()))
        .with_writer(std::io::stderr)
        .init();
    let options = options()?;
    let http = TcpListener::bind(&options.http).await?;
    let url = format!("http://{}", http.local_addr()?);
    let (mut ssh, mut ssh_url) = (None, String::new());
    if options.ssh != "off" {
        let listener = TcpListener::bind(&options.ssh).await?;
        ssh_url = format!("ssh://git@{}", listener.local_addr()?);
        ssh = Some(listener);
    }

    fs::create_dir_all(&options.data)?;
    let database = options.database.unwrap_or_else(|| {
        let file = options.data.join("forge.db");
        format!("sqlite:{}", file.display())
    });
    let store = SqlStore::connect(&database).await?;
    // One database does for both; a plugin keeps away from tables that begin with `forge_`.
    let pushes = Pushes(store.connection().clone());
    let app = forge::builder()
        .data_dir(&options.data)
        .store(store)
        .git_origin(&url)
        .ssh_origin(&ssh_url)
        .plugin(pushes)
        .build()
        .await?;

    let user = options.user;
    let token = token(&app, &user).await?;
    let mut serving = app.serve().listener(http);
    if let Some(listener) = ssh {
        serving = serving.ssh_listener(listener);
    }
    let lines = format!(
        "FORGE_GIT_URL={url}\nFORGE_META_URL={url}/meta\nFORGE_SSH_URL={ssh_url}\nFORGE_USER={user}\nFORGE_TOKEN={token}\n"
    );
    match options.env {
        Some(path) => {
            // There as a whole or not at all: whoever waits for it must not read half of it.
            let new = path.with_extension("new");
            fs::write(&new, lines)?;
            fs::rename(new, path)?;
        }
        None => {
            say(&format!("git push {url}/~{user}/hello HEAD"));
            say(&format!("curl -u {user} {url}/x/pushes/~{user}/hello"));
            say(&format!("The password for both, for {user}: {token}"));
        }
    }
    serving.until(forge::ctrl_c()).await?;
    Ok(())
}

/// A new token of the user, who is made if there is none.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever starts the process is its operator"
)]
async fn token(app: &App, name: &str) -> Result<String> {
    let system = app.forge().system();
    let user = NewUser {
        name: name.parse()?,
        email: None,
    };
    let user = system.ensure_user(&user).await?;
    let new = NewToken {
        grants: Grants::everything(),
        comment: Some("made by the plugin example".to_owned()),
        expires: app.forge().now() + chrono::TimeDelta::days(30),
    };
    let (_, token) = system.issue_token(user.id, &new).await?;
    Ok(token.expose().to_owned())
}

#[expect(clippy::print_stdout, reason = "it is a command that people watch")]
fn say(text: &str) {
    println!("{text}");
}
