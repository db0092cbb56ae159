//! What is logged while the forge is tested, all of it: kept in a file below the target directory, and searched for
//! secrets.
//!
//! Invariant: no line is kept that was not searched, and a secret in one fails every test that looks after that; `./test`
//! searches the files once more, for what came after the last look. What a process prints for its operator on its
//! standard output is no log.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use regex::{Regex, RegexSet};
use tracing::Subscriber;
use tracing_subscriber::fmt::format::FmtSpan;

use super::process::profile;

/// What is logged: everything of the forge's own, and of others what is meant for whoever looks for a fault.
pub(crate) const FILTER: &str = "debug,forge=trace";
/// What secrets look like, as `grep -E` and Rust both read it.
pub(crate) const SHAPES: &str = include_str!("../../secrets.txt");
/// How many lines are shown: one fault may leave thousands.
const SHOWN: usize = 20;

static ALL: LazyLock<RegexSet> =
    LazyLock::new(|| RegexSet::new(SHAPES.lines()).expect("regular expressions"));
static EACH: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let shapes = SHAPES.lines().map(Regex::new);
    shapes.map(|shape| shape.expect("checked before")).collect()
});
static LOG: LazyLock<Arc<Log>> = LazyLock::new(|| {
    let log = Arc::new(Log::of_all());
    let subscriber = subscriber(Arc::clone(&log));
    tracing::subscriber::set_global_default(subscriber).expect("the only one");
    log::set_boxed_logger(Box::new(Bridge(Arc::clone(&log)))).expect("the only one");
    log::set_max_level(log::LevelFilter::Debug);
    log
});

/// Has everything logged from now on that this process does.
pub(crate) fn begin() {
    LazyLock::force(&LOG);
}

/// Fails if there was a secret in anything logged so far, be it another test's doing.
pub(crate) fn check() {
    let found = LOG.found();
    assert!(
        found.is_empty(),
        "secrets in the log:\n{}",
        found.join("\n")
    );
}

/// Keeps what another process has logged; `known` are secrets that this one has.
pub(crate) fn of_process(name: &str, text: &str, known: &[&str]) {
    LOG.keep(name, text, known);
}

/// The file of this process.
pub(crate) fn file() -> &'static Path {
    &LOG.path
}

/// Lines, and what was wrong with them.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    found: Mutex<Vec<String>>,
}

impl Log {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self {
            file: File::create(&path).expect("a file for the log"),
            path,
            found: Mutex::default(),
        }
    }

    /// The one of this process, in the directory that `./test` names. Without one, only the last run's is kept.
    fn of_all() -> Self {
        let named = std::env::var_os("FORGE_TEST_LOGS").map(PathBuf::from);
        let kept = named.is_some();
        let directory = named.unwrap_or_else(|| profile().join("test-logs"));
        if !kept {
            let _ = fs::remove_dir_all(&directory);
        }
        fs::create_dir_all(&directory).expect("a directory for logs");
        let test = std::env::current_exe().expect("the test's own path");
        let name = test.file_stem().expect("a name").to_string_lossy();
        Self::at(directory.join(format!("{name}-{}.log", std::process::id())))
    }

    /// What was found, without the secrets themselves.
    pub(crate) fn found(&self) -> Vec<String> {
        self.found.lock().unwrap().clone()
    }

    pub(crate) fn keep(&self, from: &str, text: &str, known: &[&str]) {
        for line in text.lines() {
            let is_known = known.iter().any(|secret| line.contains(secret));
            if is_known || ALL.is_match(line) {
                self.complain(&format!("{from}: {}", redacted(line, known)));
            }
        }
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let text = format!("{text}{end}");
        (&self.file).write_all(text.as_bytes()).expect("room");
    }

    fn complain(&self, line: &str) {
        let mut found = self.found.lock().unwrap();
        if found.len() < SHOWN {
            found.push(line.to_owned());
        }
    }
}

fn redacted(line: &str, known: &[&str]) -> String {
    let mut line = line.to_owned();
    for secret in known {
        line = line.replace(secret, "<a known secret>");
    }
    for (number, shape) in EACH.iter().enumerate() {
        let mark = format!("<shape {}>", number + 1);
        line = shape.replace_all(&line, mark.as_str()).into_owned();
    }
    line
}

impl io::Write for &Log {
    /// One event, as a whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.keep("this process", &String::from_utf8_lossy(event), &[]);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What writes events, and the spans that they are in, to a log.
pub(crate) fn subscriber(log: Arc<Log>) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt()
        .with_env_filter(FILTER)
        .with_span_events(FmtSpan::NEW)
        .with_writer(log)
        .finish()
}

/// What crates log that know another way than `tracing`; a host may have both in one log.
struct Bridge(Arc<Log>);

impl log::Log for Bridge {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        // It dumps public keys, whose long numbers look like ours.
        let is_loud = metadata.target().starts_with("pgp::");
        let level = if is_loud {
            log::Level::Info
        } else {
            log::Level::Debug
        };
        metadata.level() <= level
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let (level, target) = (record.level(), record.target());
            let line = format!("{level:>5} {target}: {}\n", record.args());
            self.0.keep("this process", &line, &[]);
        }
    }

    fn flush(&self) {}
}
