//! A world that is served on real sockets, and stock clients that clone from it and push to it.
//!
//! Invariant: a client has a home of its own and nothing of the machine's configuration; it never asks a person. What it
//! is told comes back with what it says, good or bad.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use forge::keys::PublicKey;
use forge::{Credentials, Stop};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::{Database, Persona, World};

/// How long a client may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A way to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Http,
    Ssh,
}

/// Every way with every version of the protocol.
pub(crate) const WAYS: [(Way, u8); 6] = [
    (Way::Http, 0),
    (Way::Http, 1),
    (Way::Http, 2),
    (Way::Ssh, 0),
    (Way::Ssh, 1),
    (Way::Ssh, 2),
];

/// The personas who have an SSH key, too.
const WITH_KEYS: [Persona; 4] = [
    Persona::Owner,
    Persona::Stranger,
    Persona::Reader,
    Persona::Writer,
];

/// A world on sockets.
pub(crate) struct Site {
    pub(crate) world: World,
    pub(crate) http: SocketAddr,
    pub(crate) ssh: SocketAddr,
    stop: Stop,
    served: JoinHandle<forge::Result<()>>,
}

/// What a client did.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    /// What it wrote to its standard output, byte for byte.
    pub(crate) raw: Vec<u8>,
}

impl Ran {
    pub(crate) fn good(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self
    }

    pub(crate) fn bad(self) -> Self {
        assert!(
            self.code.is_some_and(|code| code != 0),
            "it should have failed: {}{}",
            self.out,
            self.err
        );
        self
    }

    /// Expects that it failed, if need be by a signal: a client that still writes when the other end is closed may be
    /// ended by one.
    pub(crate) fn cut_short(self) -> Self {
        assert_ne!(self.code, Some(0), "{}{}", self.out, self.err);
        self
    }

    /// Expects that it said something on its standard error.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "no {text:?} in: {}", self.err);
        self
    }
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with(Database::Sqlite, |builder| builder).await
    }

    /// A site whose forge is configured further.
    pub(crate) async fn with(
        database: Database,
        configure: impl FnOnce(forge::Builder) -> forge::Builder,
    ) -> Self {
        let [http, ssh] = [0, 0].map(|port| (Ipv4Addr::LOCALHOST, port).into());
        let (http, ssh) = (listen(http).await, listen(ssh).await);
        let addresses = (http.local_addr().unwrap(), ssh.local_addr().unwrap());
        let world = World::with(database, |builder| {
            configure(
                builder
                    .git_origin(format!("http://{}", addresses.0))
                    .ssh_origin(format!("ssh://git@{}", addresses.1)),
            )
        })
        .await;
        let (stop, served) = serve(&world, http, ssh);
        let site = Self {
            world,
            http: addresses.0,
            ssh: addresses.1,
            stop,
            served,
        };
        for persona in WITH_KEYS {
            let key = site.make_key(&format!("{persona:?}")).await;
            site.add_key(persona, &key).await;
        }
        site
    }

    /// Makes an SSH key; the file with the secret half.
    pub(crate) async fn make_key(&self, name: &str) -> PathBuf {
        let keys = self.world.dir.path().join("keys");
        fs::create_dir_all(&keys).unwrap();
        let file = keys.join(name);
        let mut command = command("ssh-keygen", &keys);
        command
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(&file);
        run(command, b"").await.good();
        file
    }

    /// The public half of a key.
    pub(crate) fn public(&self, key: &Path) -> PublicKey {
        let text = fs::read_to_string(key.with_extension("pub")).unwrap();
        PublicKey::parse(&text, "ssh-key").unwrap()
    }

    /// Gives a persona a key.
    pub(crate) async fn add_key(&self, persona: Persona, key: &Path) {
        let token = self.world.token_of(persona).expect("a token").to_owned();
        let caller = self.world.forge().authenticate(Credentials::Token(&token));
        let account = caller.await.unwrap().account().unwrap();
        account.add_ssh_key(&self.public(key)).await.unwrap();
    }

    pub(crate) fn key_of(&self, persona: Persona) -> PathBuf {
        self.world
            .dir
            .path()
            .join("keys")
            .join(format!("{persona:?}"))
    }

    /// The address of a repository, `~alice/open` for example, for whoever asks.
    pub(crate) fn url(&self, way: Way, persona: Persona, repo: &str) -> String {
        match (way, self.world.token_of(persona)) {
            (Way::Http, Some(token)) => {
                format!("http://{persona:?}:{token}@{}/{repo}", self.http)
            }
            (Way::Http, None) => format!("http://{}/{repo}", self.http),
            (Way::Ssh, _) => format!("ssh://git@{}/{repo}", self.ssh),
        }
    }

    /// A client in a directory of its own.
    pub(crate) fn client(&self, persona: Persona, version: u8) -> Client {
        let home = tempfile::tempdir_in(self.world.dir.path()).unwrap();
        let ssh = ssh_command(&self.key_of(persona));
        let mut env = BTreeMap::from([
            ("GIT_SSH_COMMAND", ssh.into()),
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_AUTHOR_NAME", "Ada".into()),
            ("GIT_AUTHOR_EMAIL", "ada@example.org".into()),
            ("GIT_COMMITTER_NAME", "Ada".into()),
            ("GIT_COMMITTER_EMAIL", "ada@example.org".into()),
            ("HOME", home.path().into()),
        ]);
        let config = format!(
            "[protocol]\n\tversion = {version}\n[init]\n\tdefaultBranch = master\n[advice]\n\tdetachedHead = false\n\
             [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[core]\n\tfsync = none\n"
        );
        fs::write(home.path().join(".gitconfig"), config).unwrap();
        env.insert("GIT_CONFIG_GLOBAL", home.path().join(".gitconfig").into());
        Client { home, env }
    }

    /// Where the files of a repository lie.
    pub(crate) async fn dir_of(&self, repo: &str) -> PathBuf {
        let path = repo.parse().unwrap();
        let repo = self.world.system().find_repo(&path).await.unwrap();
        let id = repo.expect("it exists").id.0;
        let file = format!(
            "repos/{:02}/{:02}/{:02}.git",
            id / 10_000,
            id / 100 % 100,
            id % 100
        );
        self.world.dir.path().join("data/repositories").join(file)
    }

    /// What the scratch directory of the repositories holds.
    pub(crate) fn scratch(&self) -> Vec<OsString> {
        let scratch = self.world.dir.path().join("data/repositories/tmp");
        let Ok(entries) = fs::read_dir(scratch) else {
            return Vec::new();
        };
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    /// Waits until nothing is left of pushes and imports.
    pub(crate) async fn scratch_is_empty(&self) {
        for _ in 0..200 {
            if self.scratch().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("left behind: {:?}", self.scratch());
    }

    /// Asks the servers to end, and does not wait until they have.
    pub(crate) fn stop(&self) {
        self.stop.stop();
    }

    /// Ends the servers and starts them anew at the same addresses, as a process that starts again does.
    pub(crate) async fn restart(&mut self) {
        self.stop.stop();
        (&mut self.served).await.unwrap().unwrap();
        let (http, ssh) = (listen(self.http).await, listen(self.ssh).await);
        (self.stop, self.served) = serve(&self.world, http, ssh);
    }

    /// Ends the site, with no job and no directory left behind.
    pub(crate) async fn end(self) {
        self.scratch_is_empty().await;
        self.stop.stop();
        self.served.await.unwrap().unwrap();
        self.world.end().await;
    }
}

/// A socket of this machine's own. A port that was let go may be another test's connection for a moment.
async fn listen(at: SocketAddr) -> TcpListener {
    for _ in 0..200 {
        if let Ok(listener) = TcpListener::bind(at).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{at} is taken");
}

fn serve(
    world: &World,
    http: TcpListener,
    ssh: TcpListener,
) -> (Stop, JoinHandle<forge::Result<()>>) {
    let stop = Stop::new();
    let serving = world.app.serve().listener(http).ssh_listener(ssh);
    let until = stop.clone();
    let served =
        tokio::spawn(async move { serving.until(async move { until.stopped().await }).await });
    (stop, served)
}

fn ssh_command(key: &Path) -> String {
    format!(
        "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR \
         -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -i '{}'",
        key.display()
    )
}

/// Somebody's git.
pub(crate) struct Client {
    home: tempfile::TempDir,
    env: BTreeMap<&'static str, OsString>,
}

impl Client {
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The same client with another variable in its environment.
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<OsString>) -> Self {
        self.env.insert(key, value.into());
        self
    }

    /// The same client with another SSH key.
    pub(crate) fn with_key(self, key: &Path) -> Self {
        self.with("GIT_SSH_COMMAND", ssh_command(key))
    }

    /// Runs git in the client's home.
    pub(crate) async fn git(&self, arguments: &[&str]) -> Ran {
        self.git_in(".", arguments).await
    }

    /// Runs git in a directory below the client's home.
    pub(crate) async fn git_in(&self, dir: &str, arguments: &[&str]) -> Ran {
        self.git_with(dir, arguments, b"").await
    }

    /// Runs git with something to read.
    pub(crate) async fn git_with(&self, dir: &str, arguments: &[&str], input: &[u8]) -> Ran {
        run(self.command(dir, arguments), input).await
    }

    /// A git that is not run yet.
    pub(crate) fn command(&self, dir: &str, arguments: &[&str]) -> Command {
        let mut command = command("git", &self.home.path().join(dir));
        command.args(arguments).envs(&self.env);
        command
    }

    /// Runs the `ssh` that git would run.
    pub(crate) async fn ssh(&self, site: &Site, arguments: &[&str]) -> Ran {
        self.ssh_with(site, arguments, b"").await
    }

    /// Runs that `ssh` with something to read.
    pub(crate) async fn ssh_with(&self, site: &Site, arguments: &[&str], input: &[u8]) -> Ran {
        let ssh = self.env["GIT_SSH_COMMAND"].to_str().expect("text");
        let mut command = command("sh", self.home.path());
        let port = site.ssh.port().to_string();
        command
            .args(["-c", &format!("{ssh} -p {port} \"$@\""), "ssh"])
            .args(arguments);
        run(command, input).await
    }

    /// Makes a repository with a commit in it.
    pub(crate) async fn start(&self, dir: &str) {
        self.git(&["init", "-q", dir]).await.good();
        self.commit(dir, "a.txt", "one\n").await;
    }

    /// Commits a file; the commit's id.
    pub(crate) async fn commit(&self, dir: &str, file: &str, text: &str) -> String {
        fs::write(self.home.path().join(dir).join(file), text).unwrap();
        self.git_in(dir, &["add", "--", file]).await.good();
        let message = format!("{file}: {}", text.trim());
        self.git_in(dir, &["commit", "-q", "-m", &message])
            .await
            .good();
        self.id(dir, "HEAD").await
    }

    /// What a revision names.
    pub(crate) async fn id(&self, dir: &str, rev: &str) -> String {
        let ran = self
            .git_in(dir, &["rev-parse", "--verify", rev])
            .await
            .good();
        ran.out.trim().to_owned()
    }

    /// All refs, `id name` on each line.
    pub(crate) async fn refs(&self, dir: &str) -> String {
        let format = "--format=%(objectname) %(refname)";
        self.git_in(dir, &["for-each-ref", format]).await.good().out
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "stock clients are what is tested with"
)]
pub(crate) fn command(program: &str, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command, input: &[u8]) -> Ran {
    use tokio::io::AsyncWriteExt as _;

    let mut child = command.spawn().expect("the client is installed");
    let mut stdin = child.stdin.take().expect("a pipe");
    let write = async move {
        // It may have had enough before the end of its input.
        let _ = stdin.write_all(input).await;
    };
    let ended = async { tokio::join!(write, child.wait_with_output()).1 };
    let output = tokio::time::timeout(PATIENCE, ended).await;
    let output = output.expect("the client ends in time").expect("a client");
    Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        raw: output.stdout,
    }
}
