//! The example `standalone`, or another, as a process of its own: started, asked over HTTP, stopped, killed.
//!
//! Invariant: a process does not outlive its handle, and nothing of the machine's configuration reaches it; what it logs
//! is searched for secrets. What it keeps on disk is not looked at here.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::{Answer, logs};

/// How long a start, an answer or an end may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(5);

/// A command line of `standalone`, unless it is [`Launch::of`] another example, and where the process writes.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    dir: PathBuf,
    name: String,
    example: &'static str,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, String)>,
}

impl Launch {
    /// Serves on a free port what is in `dir/data`, and says where in the file `dir/<name>.env`.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let launch = Self::bare(dir, name).with([
            "--http",
            "127.0.0.1:0",
            "--ssh",
            "127.0.0.1:0",
            "--data",
            "data",
        ]);
        let env = launch.env_file();
        launch.with([OsStr::new("--env"), env.as_os_str()])
    }

    /// Without arguments, in the directory `dir`.
    pub(crate) fn bare(dir: &Path, name: &str) -> Self {
        Self {
            dir: dir.to_owned(),
            name: name.to_owned(),
            example: "standalone",
            arguments: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// The same command line of another example.
    pub(crate) fn of(&self, example: &'static str) -> Self {
        Self {
            example,
            ..self.clone()
        }
    }

    /// The same with a variable in its environment.
    pub(crate) fn env(&self, key: &'static str, value: &str) -> Self {
        let mut more = self.clone();
        more.variables.push((key, value.to_owned()));
        more
    }

    /// The same with more arguments.
    pub(crate) fn with<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Self {
        let mut more = self.clone();
        let arguments = arguments.into_iter();
        more.arguments
            .extend(arguments.map(|argument| argument.as_ref().to_owned()));
        more
    }

    /// The same with a repository to import.
    pub(crate) fn importing(&self, name: &str, source: &Path) -> Self {
        self.with([
            "--import".to_owned(),
            format!("{name}={}", source.display()),
        ])
    }

    /// Where a process writes its addresses.
    pub(crate) fn env_file(&self) -> PathBuf {
        self.file("env")
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.dir.join(format!("{}.{kind}", self.name))
    }

    /// Starts a process.
    #[expect(
        clippy::disallowed_methods,
        reason = "the process is what is tested here"
    )]
    pub(crate) fn spawn(&self) -> Process {
        logs::begin();
        // What an earlier process wrote must not be taken for an answer of this one.
        let _ = fs::remove_file(self.env_file());
        let output = |kind| File::create(self.file(kind)).expect("a file");
        let child = Command::new(binary(self.example))
            .args(&self.arguments)
            .current_dir(&self.dir)
            .env("RUST_LOG", logs::FILTER)
            .env_remove("DATABASE_URL")
            .envs(self.variables.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(output("out"))
            .stderr(output("err"))
            .kill_on_drop(true)
            .spawn()
            .expect("the example starts");
        Process {
            child,
            launch: self.clone(),
        }
    }

    /// Starts a process and waits until it serves.
    pub(crate) async fn start(&self) -> Standalone {
        self.spawn().ready().await
    }

    /// Runs a process that ends by itself.
    pub(crate) async fn run(&self) -> Ended {
        self.spawn().ended().await
    }
}

/// An example, which cargo builds beside the tests.
fn binary(example: &str) -> PathBuf {
    let binary = profile().join("examples").join(example);
    assert!(
        binary.exists(),
        "{} is missing: `cargo build --workspace --all-features --examples` makes it",
        binary.display()
    );
    binary
}

/// Where cargo puts what it builds: `target/<profile>`.
pub(crate) fn profile() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.parent().and_then(Path::parent);
    profile.expect("target/<profile>").to_owned()
}

/// A process that need not serve (yet).
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    launch: Launch,
}

/// What a process left that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    /// What it complained of.
    pub(crate) err: String,
}

impl Process {
    /// What it has written to its standard output so far.
    pub(crate) fn out(&self) -> String {
        fs::read_to_string(self.launch.file("out")).expect("output")
    }

    /// What it has complained of so far: all of its standard error but what is logged when all is well.
    pub(crate) fn err(&self) -> String {
        let lines = self.log();
        let lines = lines.split_inclusive('\n');
        lines.filter(|line| !is_calm(line)).collect()
    }

    /// What it has written to its standard error so far.
    fn log(&self) -> String {
        fs::read_to_string(self.launch.file("err")).expect("messages")
    }

    /// Waits until it has written a text to its standard output.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        self.until(text, |process| {
            Some(process.out()).filter(|out| out.contains(text))
        })
        .await
    }

    /// Waits until it has written a text to its standard error.
    pub(crate) async fn complains(&mut self, text: &str) {
        let found = |process: &Self| process.log().contains(text).then_some(());
        self.until(text, found).await;
    }

    /// Waits until it serves.
    pub(crate) async fn ready(mut self) -> Standalone {
        let env = self.until("ready", Self::env).await;
        let client = Client::new(&env["FORGE_GIT_URL"], &env["FORGE_TOKEN"]);
        Standalone {
            process: self,
            env,
            client,
        }
    }

    /// What it says about itself, once it serves.
    pub(crate) fn env(&self) -> Option<BTreeMap<String, String>> {
        let text = fs::read_to_string(self.launch.env_file()).ok()?;
        let pair = |line: &str| {
            let (key, value) = line.split_once('=').expect("KEY=value");
            (key.to_owned(), value.to_owned())
        };
        Some(text.lines().map(pair).collect())
    }

    async fn until<T>(&mut self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("{status} before {what:?}: {}", self.err());
            }
            assert!(begun.elapsed() < PATIENCE, "never {what:?}: {}", self.err());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Kills it with the signal that it cannot see.
    pub(crate) async fn kill9(mut self) {
        self.child.kill().await.expect("killed");
        let err = self.err();
        assert!(!err.contains("panicked"), "{err}");
        drop(self);
        logs::check();
    }

    /// Sends it a signal, `TERM` for example.
    #[expect(
        clippy::disallowed_methods,
        reason = "the process is what is tested here"
    )]
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &id])
            .status()
            .await;
        assert!(sent.expect("sh").success());
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Ended {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it does not end: {}", self.err()));
        let ended = Ended {
            code: status.expect("a child").code(),
            out: self.out(),
            err: self.err(),
        };
        drop(self);
        logs::check();
        ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The directory may be gone before the process.
        let Ok(log) = fs::read(self.launch.file("err")) else {
            return;
        };
        let env = self.env().unwrap_or_default();
        let known = ["FORGE_TOKEN", "FORGE_PASSWORD"].map(|key| env.get(key));
        let known: Vec<_> = known.into_iter().flatten().map(String::as_str).collect();
        logs::of_process(&self.launch.name, &String::from_utf8_lossy(&log), &known);
    }
}

/// Whether a line is logged when all is well: `<time> DEBUG <where>: …`.
fn is_calm(line: &str) -> bool {
    let (time, rest) = line.split_once(' ').unwrap_or_default();
    let level = rest.trim_start().split(' ').next();
    time.ends_with('Z') && matches!(level, Some("TRACE" | "DEBUG" | "INFO"))
}

/// A process that serves.
#[derive(Debug)]
pub(crate) struct Standalone {
    pub(crate) process: Process,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) client: Client,
}

impl Standalone {
    pub(crate) async fn kill9(self) {
        self.process.kill9().await;
    }

    /// Ends it as an operator does, and expects that it has nothing to complain about.
    pub(crate) async fn stop(self) -> Ended {
        self.process.signal("TERM").await;
        let ended = self.process.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.err, "");
        ended
    }
}

/// Somebody with a token and connections that are kept alive.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

/// A request's body.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    Nothing,
    Json(Value),
    /// A form with one file.
    File(String, Bytes),
}

impl Client {
    pub(crate) fn new(url: &str, token: &str) -> Self {
        // Somebody else in this process may have been first; it is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build();
        Self {
            http: http.expect("a client"),
            url: url.to_owned(),
            token: token.to_owned(),
        }
    }

    /// The same server, asked with another token.
    pub(crate) fn showing(&self, token: &str) -> Self {
        Self::new(&self.url, token)
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Asks; an error if the server goes away before it has said how it went. With a body that breaks off, the answer
    /// is empty: that is an acknowledgement, too.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        payload: Payload,
    ) -> reqwest::Result<Answer> {
        let request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token);
        let request = match payload {
            Payload::Nothing => request,
            Payload::Json(json) => request.json(&json),
            Payload::File(name, content) => request
                .header("content-type", "multipart/form-data; boundary=end-of-file")
                .body(form(&name, &content)),
        };
        let response = request.send().await?;
        let (status, headers) = (response.status(), HeaderMap::clone(response.headers()));
        Ok(Answer {
            status,
            headers,
            body: response.bytes().await.unwrap_or_default(),
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.answered(Method::GET, path, Payload::Nothing).await
    }

    pub(crate) async fn post(&self, path: &str, json: Value) -> Answer {
        self.answered(Method::POST, path, Payload::Json(json)).await
    }

    pub(crate) async fn put(&self, path: &str, json: Value) -> Answer {
        self.answered(Method::PUT, path, Payload::Json(json)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.answered(Method::DELETE, path, Payload::Nothing).await
    }

    /// Attaches a file to a revision of one of the caller's repositories.
    pub(crate) async fn attach(&self, repo: &str, rev: &str, name: &str, content: &[u8]) -> Answer {
        let payload = Payload::File(name.to_owned(), Bytes::copy_from_slice(content));
        let path = format!("/api/repos/{repo}/artifacts/{rev}");
        self.answered(Method::POST, &path, payload).await
    }

    async fn answered(&self, method: Method, path: &str, payload: Payload) -> Answer {
        let answer = self.ask(method.clone(), path, payload).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    /// The names of all repositories of the caller's that are listed, over all pages.
    pub(crate) async fn listed(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut start = String::new();
        loop {
            let page = self.get(&format!("/api/repos?start={start}")).await;
            assert_eq!(page.status, 200, "{page:?}");
            let page = page.json();
            let results = page["results"].as_array().expect("results");
            names.extend(
                results
                    .iter()
                    .map(|repo| repo["name"].as_str().expect("a name").to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => start = next.to_owned(),
                None => return names,
            }
        }
    }
}

fn form(name: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "--end-of-file\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
    );
    [head.as_bytes(), content, b"\r\n--end-of-file--\r\n"].concat()
}
