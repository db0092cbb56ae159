//! The one place that starts `git`: its command line, environment and configuration, and its end.
//!
//! Invariant: a child sees no variable of ours but `PATH`, asks nobody anything, and ends with everything it started
//! when its handle is dropped: killed, or asked to and made to after a while, or only asked where killing would leave locks
//! behind. Nothing a user wrote is read as an option, and no shell is started here; git itself starts one for
//! `core.alternateRefsCommand` and to read from a path: it reads fixed words of ours, and the path as git quotes it.
//! What the subcommands mean is not known here.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use forge_core::{Error, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

use crate::import::bounds;
use crate::messages::Messages;

/// The most output kept of a child that is not streamed, in bytes.
const MAX_OUTPUT: u64 = 16 << 20;
/// How long a child that was asked to end may take before it is made to.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a child that has closed its output may take to end.
const GRACE: Duration = Duration::from_secs(30);

/// A `git` command line.
#[derive(Debug)]
pub(crate) struct Git {
    command: Command,
    config: Vec<(String, OsString)>,
    end: End,
    max_file: Option<u64>,
    is_low: bool,
}

/// How a child is ended that nobody waits for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is asked to, so that it can clear up, and killed if it does not.
    Asked,
    /// It is killed at once: what it writes goes anyway.
    Killed,
    /// It is asked and never killed: it holds locks, which would stay.
    Spared,
}

impl Git {
    /// `git <subcommand>` in a repository.
    pub(crate) fn new(repo: &Path, subcommand: &str) -> Self {
        let mut git = Self::bare(repo);
        git.command.arg("--git-dir=.").arg(subcommand);
        git.config("safe.directory", repo)
    }

    /// `git <subcommand>` in a directory that is no repository.
    pub(crate) fn outside(directory: &Path, subcommand: &str) -> Self {
        let mut git = Self::bare(directory);
        git.command.arg(subcommand);
        git
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is where children are built"
    )]
    fn bare(directory: &Path) -> Self {
        let mut command = Command::new(program());
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0);
        let git = Self {
            command,
            config: Vec::new(),
            end: End::Asked,
            max_file: None,
            is_low: false,
        };
        git.config("core.hooksPath", "/dev/null")
            .config("core.alternateRefsCommand", "exit 0 #")
            .config("core.useReplaceRefs", "false")
            .config("core.askPass", "")
            // Git would leave refs to chance: a file that takes the place of durable ones is to be durable before it does.
            .config("core.fsync", "committed,reference")
            .config("credential.helper", "")
            .config("gc.auto", "0")
            .config("maintenance.auto", "false")
            .config("pack.windowMemory", "100m")
            .config("core.bigFileThreshold", "50m")
            .config("protocol.allow", "never")
    }

    /// An option, or another word of ours.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Words that are no options, whatever they look like. The last of the command line.
    pub(crate) fn operands<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command.arg("--end-of-options").args(words);
        self
    }

    /// A setting, passed where `ps` does not show it; it outranks the repository's own.
    pub(crate) fn config(mut self, key: impl Into<String>, value: impl AsRef<OsStr>) -> Self {
        self.config.push((key.into(), value.as_ref().to_owned()));
        self
    }

    /// A variable of its environment.
    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// It holds locks: it is asked to end, but never killed, which would leave them behind.
    pub(crate) fn spared(mut self) -> Self {
        self.end = End::Spared;
        self
    }

    /// What it writes goes with it, so there is nothing for it to clear up.
    pub(crate) fn disposable(mut self) -> Self {
        self.end = End::Killed;
        self
    }

    /// It and what it starts may write no larger file, in bytes, where the system has such a limit.
    pub(crate) fn max_file(mut self, bytes: u64) -> Self {
        self.max_file = Some(bytes);
        self
    }

    /// Nobody waits for it: others go first.
    pub(crate) fn low(mut self) -> Self {
        self.is_low = true;
        self
    }

    /// Starts it to talk to: input, output and messages are pipes, and all of them must be served.
    pub(crate) fn converse(mut self) -> Result<Child> {
        self.command.stdin(Stdio::piped());
        self.start(Stdio::piped())
    }

    /// Starts it to read its output. Nobody hears its messages: a pipe for them that nobody empties would stop it.
    pub(crate) fn spawn(self) -> Result<Child> {
        self.start(Stdio::null())
    }

    fn start(mut self, messages: Stdio) -> Result<Child> {
        self.command
            .env("GIT_CONFIG_COUNT", self.config.len().to_string());
        for (n, (key, value)) in self.config.iter().enumerate() {
            self.command
                .env(format!("GIT_CONFIG_KEY_{n}"), key)
                .env(format!("GIT_CONFIG_VALUE_{n}"), value);
        }
        let child = self.command.stderr(messages).spawn();
        let child = child.map_err(|e| Error::internal(CannotStart(e)))?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.filter(|_| self.is_low) {
            // Where that is not permitted, it is as quick as any.
            let _ = rustix::process::setpriority_process(rustix::process::Pid::from_raw(id), 10);
        }
        if let Some(bytes) = self.max_file {
            bounds::limit(child.id(), bytes);
        }
        Ok(Child {
            group: id,
            child: Some(child),
            end: self.end,
        })
    }

    /// Runs it to its end, telling each line of its messages.
    pub(crate) async fn run(self, tell: impl FnMut(&str)) -> Result<Output> {
        let child = self.start(Stdio::piped())?;
        Self::finish(child, tell).await
    }

    /// Runs it to its end with something to read.
    pub(crate) async fn answer(mut self, input: &[u8]) -> Result<Output> {
        self.command.stdin(Stdio::piped());
        let mut child = self.start(Stdio::piped())?;
        let mut stdin = child.stdin()?;
        let write = async move {
            // One that has ended before it has read all of it says itself why.
            let _ = stdin.write_all(input).await;
        };
        let (output, ()) = futures::join!(Self::finish(child, |_| ()), write);
        output
    }

    async fn finish(mut child: Child, mut tell: impl FnMut(&str)) -> Result<Output> {
        let mut messages = Messages::default();
        let (stdout, stderr) = (child.stdout().ok(), child.stderr().ok());
        let read = async {
            let mut out = Vec::new();
            if let Some(stdout) = stdout {
                stdout.take(MAX_OUTPUT).read_to_end(&mut out).await?;
            }
            Ok::<_, io::Error>(out)
        };
        let listen = async {
            if let Some(stderr) = stderr {
                messages.read(stderr, &mut tell).await?;
            }
            Ok(())
        };
        let (stdout, ()) = futures::try_join!(read, listen).map_err(Error::internal)?;
        let success = child.wait().await?;
        Ok(Output {
            success,
            stdout,
            messages: messages.last,
        })
    }
}

/// Where `git` is, looked up once. A name alone would cost: with a `PATH` for the child beside it, the standard library
/// copies this process before it starts another program, which takes the longer the more memory this one has.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places = std::env::split_paths(&path).map(|place| place.join("git"));
        let found = places.find(|place| place.is_absolute() && is_executable(place));
        found.unwrap_or_else(|| "git".into())
    })
}

fn is_executable(path: &Path) -> bool {
    let meta = path.metadata();
    meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Why there is no child.
#[derive(Debug)]
struct CannotStart(io::Error);

impl fmt::Display for CannotStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "git cannot be started: {}", self.0)
    }
}

impl std::error::Error for CannotStart {}

/// Whether the error is that there is no `git` to start.
pub(crate) fn is_missing(error: &Error) -> bool {
    let Error::Internal(source) = error else {
        return false;
    };
    let cause = source.downcast_ref::<CannotStart>();
    cause.is_some_and(|CannotStart(e)| e.kind() == io::ErrorKind::NotFound)
}

/// What a child that has ended left.
#[derive(Debug)]
pub(crate) struct Output {
    /// Whether it ended well.
    pub(crate) success: bool,
    /// What it wrote.
    pub(crate) stdout: Vec<u8>,
    /// The last lines of its messages.
    pub(crate) messages: Vec<String>,
}

impl Output {
    /// What it wrote, or a fault of ours.
    pub(crate) fn expect_success(self) -> Result<Vec<u8>> {
        if self.success {
            Ok(self.stdout)
        } else {
            Err(Error::internal(format!(
                "git failed: {}",
                self.messages.join("; ")
            )))
        }
    }
}

/// A running `git`. Dropped, it is ended together with what it started.
#[derive(Debug)]
pub(crate) struct Child {
    /// Taken when it has ended, or by whoever ends it.
    child: Option<tokio::process::Child>,
    group: Option<i32>,
    end: End,
}

impl Child {
    /// What it reads, once.
    pub(crate) fn stdin(&mut self) -> Result<ChildStdin> {
        let stdin = self.child.as_mut().and_then(|child| child.stdin.take());
        stdin.ok_or_else(|| Error::internal("the input was taken already"))
    }

    /// Its output, once.
    pub(crate) fn stdout(&mut self) -> Result<ChildStdout> {
        let stdout = self.child.as_mut().and_then(|child| child.stdout.take());
        stdout.ok_or_else(|| Error::internal("the output was taken already"))
    }

    /// Its messages, once.
    pub(crate) fn stderr(&mut self) -> Result<ChildStderr> {
        let stderr = self.child.as_mut().and_then(|child| child.stderr.take());
        stderr.ok_or_else(|| Error::internal("the messages were taken already"))
    }

    /// Its process number, as long as nobody has waited for its end.
    #[cfg(test)]
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(tokio::process::Child::id)
    }

    /// Waits for its end, after its output has ended; whether that was a good one.
    pub(crate) async fn wait(&mut self) -> Result<bool> {
        Ok(self.exit_code().await? == Some(0))
    }

    /// Waits for its end, after its output has ended; its exit code, or `None` if a signal ended it.
    pub(crate) async fn exit_code(&mut self) -> Result<Option<i32>> {
        let Some(child) = &mut self.child else {
            return Err(Error::internal("a child is waited for twice"));
        };
        let status = tokio::time::timeout(GRACE, child.wait())
            .await
            .map_err(|_| Error::internal("git closed its output and did not end"))?;
        // Nobody is left whose group could be meant.
        self.child = None;
        Ok(status.map_err(Error::internal)?.code())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let (Some(mut child), Some(group)) = (self.child.take(), self.group) else {
            return;
        };
        // There is an id as long as nobody has waited for it, so the number still is this child's group.
        if child.id().is_none() {
            return;
        }
        // What it waits for or would write to: closed pipes end most of them by themselves.
        drop((child.stdin.take(), child.stdout.take(), child.stderr.take()));
        let may_kill = self.end != End::Spared;
        let first = match self.end {
            End::Killed => Signal::SIGKILL,
            End::Asked | End::Spared => Signal::SIGTERM,
        };
        signal(group, first);
        let end = async move {
            if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() && may_kill {
                signal(group, Signal::SIGKILL);
            }
            // What is not waited for stays as a zombie.
            let _ = child.wait().await;
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(end)),
            Err(_) if may_kill => signal(group, Signal::SIGKILL),
            Err(_) => {}
        }
    }
}

fn signal(group: i32, signal: Signal) {
    let _ = killpg(Pid::from_raw(group), signal);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_sees_our_settings_and_nothing_of_the_user() {
        let directory = tempfile::tempdir().expect("a directory");
        let output = Git::new(directory.path(), "config")
            .arg("--list")
            .config("remote.source.url", "https://user:secret@example.org/")
            .run(|_| ())
            .await
            .expect("git runs");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.contains("remote.source.url=https://user:secret@example.org/"));
        assert!(text.contains("protocol.allow=never"));
        assert!(!text.contains("user.name"), "{text}");
    }

    #[tokio::test]
    async fn a_child_that_cannot_be_started_says_so() {
        // A missing directory is reported as a missing program is.
        let nowhere = Path::new("/nonexistent");
        let error = Git::outside(nowhere, "version").spawn().expect_err("none");
        assert!(is_missing(&error));
        let source = std::error::Error::source(&error).expect("a cause");
        assert!(source.to_string().starts_with("git cannot be started: "));
        assert!(!is_missing(&Error::internal("git cannot be started")));
    }

    #[tokio::test]
    async fn a_dropped_child_takes_its_group_with_it() {
        let directory = tempfile::tempdir().expect("a directory");
        // An alias runs a shell that starts another process; only the group tells them apart from others.
        let child = Git::new(directory.path(), "linger")
            .config("alias.linger", "!sleep 600 & wait")
            .spawn()
            .expect("started");
        let group = Pid::from_raw(i32::try_from(child.id().expect("running")).expect("id"));
        killpg(group, None).expect("there is such a group");
        drop(child);
        for _ in 0..100 {
            if killpg(group, None).is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the group outlives its handle");
    }
}
