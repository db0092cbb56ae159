//! A forge in a directory: SQLite, repositories, HTTP and SSH. The command that the README shows.
//!
//! `cargo run --release --example standalone -- --help`

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forge::keys::PublicKey;
use forge::oauth::NewToken;
use forge::objects::ImportSource;
use forge::repos::{NewRepo, Visibility};
use forge::users::{NewUser, User};
use forge::{
    App, Credentials, Entropy as _, Error, Grants, Mail, Mailer, ObjectBlobs, RepoName, RepoPath,
    Result, SqlStore, SystemEntropy, TimestampStyle,
};
use lexopt::ValueExt as _;
use tokio::net::TcpListener;

const HELP: &str = "\
Serves a forge.

Usage: standalone [OPTIONS]

  --data DIR              where everything is kept (default: forge-data)
  --http ADDR             where HTTP is served (default: 127.0.0.1:8080)
  --ssh ADDR              where SSH is served, or \"off\" (default: 127.0.0.1:2222)
  --ssh-key FILE          a public key that may clone and push as the user; may be repeated
  --user NAME             whose the imported repositories are (default: you)
  --import NAME=SOURCE    a repository to import, from a URL or a path; may be repeated
  --database URL          postgres://… or sqlite:… instead of a database in DIR
  --blobs URL             where artifacts are kept: s3://…, file://… instead of DIR
  --zoned-timestamps      timestamps in the REST API end in +00:00
  --env FILE              write addresses, user and token to FILE once ready
  --help                  this text
";

struct Options {
    data: PathBuf,
    http: String,
    ssh: String,
    ssh_keys: Vec<PathBuf>,
    user: String,
    imports: Vec<(RepoName, ImportSource)>,
    database: Option<String>,
    blobs: Option<String>,
    zoned: bool,
    env: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    // Tests stop the process at places named in FAILPOINTS.
    #[cfg(feature = "testing")]
    let _scenario = fail::FailScenario::setup();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => {
            say(HELP.trim_end());
            return std::process::ExitCode::SUCCESS;
        }
        Err(error) => {
            complain(&format!("{error}; --help tells what can be said"));
            return std::process::ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            std::process::ExitCode::FAILURE
        }
    }
}

fn options() -> std::result::Result<Option<Options>, Box<dyn std::error::Error>> {
    use lexopt::Arg::Long;

    let mut options = Options {
        data: "forge-data".into(),
        http: "127.0.0.1:8080".to_owned(),
        ssh: "127.0.0.1:2222".to_owned(),
        ssh_keys: Vec::new(),
        user: "you".to_owned(),
        imports: Vec::new(),
        database: None,
        blobs: None,
        zoned: false,
        env: None,
    };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("data") => options.data = arguments.value()?.into(),
            Long("http") => options.http = arguments.value()?.string()?,
            Long("ssh") => options.ssh = arguments.value()?.string()?,
            Long("ssh-key") => options.ssh_keys.push(arguments.value()?.into()),
            Long("user") => options.user = arguments.value()?.string()?,
            Long("import") => {
                let value = arguments.value()?.string()?;
                let (name, source) = value
                    .split_once('=')
                    .ok_or("--import wants NAME=URL_OR_PATH")?;
                options.imports.push((name.parse()?, source.parse()?));
            }
            Long("database") => options.database = Some(arguments.value()?.string()?),
            Long("blobs") => options.blobs = Some(arguments.value()?.string()?),
            Long("zoned-timestamps") => options.zoned = true,
            Long("env") => options.env = Some(arguments.value()?.into()),
            Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(options))
}

async fn run(options: Options) -> Result<()> {
    // Listening comes first: an address in use must not cost an import.
    let (listener, address) = listen("http", &options.http).await?;
    let git_url = format!("http://{address}");
    let ssh = match &*options.ssh {
        "off" => None,
        ssh => Some(listen("ssh", ssh).await?),
    };
    let ssh_url = match &ssh {
        Some((_, address)) => format!("ssh://git@{address}"),
        None => String::new(),
    };

    let mut builder = forge::builder()
        .data_dir(&options.data)
        .git_origin(&git_url)
        .ssh_origin(&ssh_url)
        .passwords()
        .mailer(Printed);
    if let Some(url) = &options.database {
        builder = builder.store(SqlStore::connect(url).await?);
    }
    if let Some(url) = &options.blobs {
        builder = builder.blobs(ObjectBlobs::connect(url)?);
    }
    if options.zoned {
        builder = builder.timestamps(TimestampStyle::Zoned);
    }
    let app = builder.build().await?;

    let user = ensure_user(&app, &options.user).await?;
    let token = ensure_token(&app, &user, &options.data).await?;
    let password = ensure_password(&app, &user, &options.data).await?;
    for (name, source) in &options.imports {
        import(&app, &user, name, source).await?;
    }
    for file in &options.ssh_keys {
        add_key(&app, &user, file).await?;
    }
    greet(&git_url, &ssh_url, &user, &token, &options);
    say(&format!(
        "\nTo let applications act for you, and for more tokens: {git_url}/meta/oauth2\n  user {}, password {password}",
        user.name
    ));
    say("\nCtrl-C ends it; what is acknowledged is kept.");

    let mut serving = app.serve().listener(listener);
    if let Some((listener, _)) = ssh {
        serving = serving.ssh_listener(listener);
    }
    if let Some(path) = &options.env {
        // Connections are accepted from here on: they wait in the listener's queue.
        let meta_url = format!("{git_url}/meta");
        let lines = format!(
            "FORGE_GIT_URL={git_url}\nFORGE_META_URL={meta_url}\nFORGE_SSH_URL={ssh_url}\nFORGE_USER={}\nFORGE_TOKEN={token}\nFORGE_PASSWORD={password}\n",
            user.name
        );
        write_private(path, &lines)?;
    }
    serving.until(forge::ctrl_c()).await
}

/// A socket, and the address that a client connects to.
async fn listen(what: &'static str, address: &str) -> Result<(TcpListener, String)> {
    let refused = |error| Error::invalid(what, format!("cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(Error::internal)?;
    // "Everywhere" is no address to connect to.
    let address = if bound.ip().is_unspecified() {
        format!("localhost:{}", bound.port())
    } else {
        bound.to_string()
    };
    Ok((listener, address))
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever starts the process is its operator"
)]
async fn add_key(app: &App, user: &User, file: &Path) -> Result<()> {
    let unreadable = |why: String| Error::invalid("ssh-key", format!("{}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
    let key = PublicKey::parse(&text, "ssh-key").map_err(|error| unreadable(error.to_string()))?;
    app.forge().system().ensure_ssh_key(user.id, &key).await?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever starts the process is its operator"
)]
async fn ensure_user(app: &App, name: &str) -> Result<User> {
    let new = NewUser {
        name: name.parse()?,
        email: None,
    };
    app.forge().system().ensure_user(&new).await
}

/// The token of the last start, if it still works, else a new one. The forge itself keeps a hash alone; the text is
/// kept beside it, as a client of this user would.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever starts the process is its operator"
)]
async fn ensure_token(app: &App, user: &User, data: &Path) -> Result<String> {
    let path = data.join(format!("token-{}", user.name));
    if let Ok(text) = fs::read_to_string(&path) {
        let text = text.trim();
        let caller = app.forge().authenticate(Credentials::Token(text)).await;
        if caller.is_ok_and(|caller| caller.user().is_ok_and(|owner| owner.id == user.id)) {
            return Ok(text.to_owned());
        }
    }
    let new = NewToken {
        grants: Grants::everything(),
        comment: Some("made by the standalone example".to_owned()),
        expires: app.forge().now() + chrono::TimeDelta::days(366),
    };
    let (_, text) = app.forge().system().issue_token(user.id, &new).await?;
    fs::create_dir_all(data).map_err(Error::internal)?;
    write_private(&path, &format!("{}\n", text.expose()))?;
    Ok(text.expose().to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever starts the process is its operator"
)]
async fn import(app: &App, user: &User, name: &RepoName, source: &ImportSource) -> Result<()> {
    let system = app.forge().system();
    let path = RepoPath {
        owner: user.name.clone(),
        name: name.clone(),
    };
    if system.find_repo(&path).await?.is_some() {
        say(&format!("{path} is here already"));
        return Ok(());
    }
    say(&format!("importing {path} ..."));
    let new = NewRepo {
        name: name.clone(),
        description: None,
        visibility: Visibility::Public,
    };
    system
        .import_repo(&user.name, &new, source, Arc::new(progress))
        .await?;
    Ok(())
}

/// A line of git's: counting happens in place on a terminal, and is left out elsewhere.
#[expect(clippy::print_stdout, reason = "it is a command that people watch")]
fn progress(line: &str) {
    let counting = line.contains('%') && !line.contains("done");
    if !counting {
        // A longer count may still stand on this line.
        if std::io::stdout().is_terminal() {
            print!("\r{:62}\r", "");
        }
        println!("  {line}");
    } else if std::io::stdout().is_terminal() {
        print!("\r  {line:60}");
        // What cannot be shown is only progress.
        let _ = std::io::stdout().flush();
    }
}

fn greet(url: &str, ssh: &str, user: &User, token: &str, options: &Options) {
    let user = &user.name;
    let ssh = Some(ssh).filter(|ssh| !ssh.is_empty());
    let with_key = ssh.filter(|_| !options.ssh_keys.is_empty());
    say(&format!(
        "
The forge is at {url}. Paste these:

  export TOKEN={token}
  curl -H \"Authorization: Bearer $TOKEN\" {url}/api/user"
    ));
    if let Some((name, _)) = options.imports.first() {
        say(&format!(
            "  curl -H \"Authorization: Bearer $TOKEN\" {url}/api/~{user}/repos/{name}/log
  git clone {url}/~{user}/{name}"
        ));
        if let Some(ssh) = with_key {
            say(&format!("  git clone {ssh}/~{user}/{name}"));
        }
    }
    say(
        "\nIn a repository of yours, to push it here (what does not exist yet is made, private):\n",
    );
    say(&format!(
        "  git push {}/~{user}/hello HEAD",
        url.replacen("://", &format!("://{user}:$TOKEN@"), 1),
    ));
    match (ssh, with_key) {
        (_, Some(ssh)) => say(&format!("  git push {ssh}/~{user}/hello-ssh HEAD")),
        (Some(_), None) => say("\nTo push over SSH as well: --ssh-key ~/.ssh/id_ed25519.pub"),
        (None, _) => {}
    }
}

/// The password of the last start, or a new one; kept beside the token.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever starts the process is its operator"
)]
async fn ensure_password(app: &App, user: &User, data: &Path) -> Result<String> {
    let path = data.join(format!("password-{}", user.name));
    if let Ok(text) = fs::read_to_string(&path) {
        return Ok(text.trim().to_owned());
    }
    let mut random = [0; 12];
    SystemEntropy.fill(&mut random)?;
    let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let system = app.forge().system();
    system.set_password(&user.name, &password).await?;
    write_private(&path, &format!("{password}\n"))?;
    Ok(password)
}

/// A mailer that shows mail instead of sending it.
struct Printed;

#[async_trait::async_trait]
impl Mailer for Printed {
    async fn send(&self, mail: Mail) -> Result<()> {
        say(&format!(
            "\nMail to {}: {}\n\n{}",
            mail.to, mail.subject, mail.body
        ));
        Ok(())
    }
}

/// A file for nobody else's eyes, there as a whole or not at all.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| Error::invalid("env", format!("{}: {error}", path.display())))
}

#[expect(clippy::print_stdout, reason = "it is a command that people watch")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "it is a command that people watch")]
fn complain(text: &str) {
    eprintln!("error: {text}");
}
