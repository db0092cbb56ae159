//! Repositories made by the installed git, whose answers are the truth.
//!
//! Invariant: the same names and dates each time, so ids do not change from run to run.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A bare repository, and the git that knows all about it.
#[derive(Debug)]
pub struct Fixture {
    path: PathBuf,
}

impl Fixture {
    /// A repository that is there already.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Makes an empty one below a directory.
    #[must_use]
    pub fn empty(below: &Path, name: &str) -> Self {
        std::fs::create_dir_all(below).expect("a directory for fixtures");
        let this = Self::at(below.join(name));
        let path = this.path.as_os_str().as_bytes();
        let made = run(
            below,
            &[b"init", b"--quiet", b"--bare", b"-b", b"main", path],
            b"",
        );
        assert!(made.status.success(), "git init: {made:?}");
        this
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a command says, without the last line end.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn ask(&self, args: &[&str]) -> String {
        let output = self.bytes(args, b"");
        let text = String::from_utf8_lossy(&output);
        text.trim_end_matches('\n').to_owned()
    }

    /// Runs a command.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&self, args: &[&str]) {
        self.bytes(args, b"");
    }

    /// What a command writes when it is given some input.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn feed(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        self.bytes(args, input)
    }

    /// What a command says, or that it fails.
    #[must_use]
    pub fn try_ask(&self, args: &[&[u8]]) -> Option<String> {
        let output = run(&self.path, args, b"");
        let text = String::from_utf8_lossy(&output.stdout);
        output.status.success().then(|| text.trim_end().to_owned())
    }

    fn bytes(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let words: Vec<_> = args.iter().map(|arg| arg.as_bytes()).collect();
        let output = run(&self.path, &words, input);
        assert!(output.status.success(), "git {args:?}: {output:?}");
        output.stdout
    }

    /// Adds what a `git fast-import` stream describes.
    pub fn import(&self, stream: &[u8]) {
        self.bytes(
            &["fast-import", "--quiet", "--force", "--date-format=raw"],
            stream,
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "fixtures are made by git itself")]
fn run(directory: &Path, args: &[&[u8]], input: &[u8]) -> Output {
    let mut command = Command::new("git");
    command
        .args(args.iter().map(|arg| OsStr::from_bytes(arg)))
        .current_dir(directory)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "A U Thor")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "a@example.org")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_DATE"), "1700000000 +0200")))
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("git is installed");
    let mut stdin = child.stdin.take().expect("piped");
    std::thread::scope(|scope| {
        // A child that does not read all of it is no fault of the fixture's.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().expect("git ends")
    })
}

/// A `git fast-import` stream of commits on branches `b0` to `b{branches - 1}` that has all that makes orders hard:
/// merges, criss-cross merges, octopus merges, several roots, equal dates and dates that go back.
#[must_use]
pub fn tangled_history(commits: u32, branches: u32) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut state = 42u32;
    let mut random = move |below: u32| {
        // Numerical Recipes' generator: nothing but repeatable.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let mut started = vec![false; branches as usize];
    for n in 0..commits {
        let branch = random(branches);
        let date = match random(10) {
            // Back by days, or the same second as others.
            0 => 1_600_000_000 + n * 60 - random(500_000),
            1..=4 => 1_600_000_000 + n / 8 * 480,
            _ => 1_600_000_000 + n * 60,
        };
        let is_root = random(40) == 0;
        let who = format!("C O Mitter <c@example.org> {date} +0{}00", n % 10);
        let text = format!("Commit {n}\n\nof branch {branch}\n");
        let mut commit = Vec::new();
        if is_root && started[branch as usize] {
            commit.extend(format!("reset refs/heads/b{branch}\n\n").into_bytes());
        }
        let author = format!("J\u{f6}rg {n} <j@example.org> {} -0330", date - 5);
        commit.extend(format!("commit refs/heads/b{branch}\nmark :{}\n", n + 1).into_bytes());
        commit.extend(format!("author {author}\ncommitter {who}\n").into_bytes());
        commit.extend(format!("data {}\n{text}", text.len()).into_bytes());
        if n > 0 && !is_root {
            if !started[branch as usize] {
                commit.extend(format!("from :{}\n", random(n) + 1).into_bytes());
            }
            let merges = [0, 0, 0, 1, 1, 2, 4][random(7) as usize];
            let mut others: Vec<_> = (0..merges).map(|_| random(n) + 1).collect();
            others.sort_unstable();
            others.dedup();
            for other in others {
                commit.extend(format!("merge :{other}\n").into_bytes());
            }
        }
        // One file that every commit has, and one that changes.
        let path = format!("d{}/e{}/f{}", n % 3, n % 5, n % 17);
        for (path, n) in [("d1/e1/always", 0), (path.as_str(), n)] {
            let file = format!("file {n}\n");
            commit.extend(format!("M 100644 inline {path}\n").into_bytes());
            commit.extend(format!("data {}\n{file}\n", file.len()).into_bytes());
        }
        started[branch as usize] = true;
        stream.extend(commit);
    }
    stream
}
