//! Clients that others wrote, against the example `standalone`: Authlib, and Chromium with axe-core.
//!
//! Invariant: what is expected is written in `tests/clients`, in the clients' own language; here it is only run. A script
//! that fails shows everything that it has said.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::support::process::{Launch, Standalone};

/// How long a script may take.
const PATIENCE: Duration = Duration::from_secs(600);

#[tokio::test]
async fn authlib_gets_what_it_may_have_and_attackers_get_nothing() {
    run("oauth.py").await;
}

#[tokio::test]
async fn people_get_along_with_the_pages_in_a_browser() {
    run("pages.py").await;
}

/// Runs a script against a forge of its own.
async fn run(script: &str) {
    let Some(clients) = clients() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let server = Launch::new(dir.path(), "forge").start().await;
    let (passed, said) = output_of(&clients, script, dir.path(), &server).await;
    assert!(
        passed,
        "{script}:\n{said}\nthe forge:\n{}",
        server.process.err()
    );
    server.stop().await;
}

/// Where `./test` has put Python and what the scripts need; `None` without it.
#[expect(clippy::print_stderr, reason = "a skipped test says so loudly")]
fn clients() -> Option<PathBuf> {
    let clients = std::env::var_os("FORGE_TEST_CLIENTS").map(PathBuf::from);
    if clients.is_none() {
        assert!(
            std::env::var_os("FORGE_TEST_STRICT").is_none(),
            "FORGE_TEST_CLIENTS is not set"
        );
        eprintln!("SKIPPED with other clients: FORGE_TEST_CLIENTS is not set; ./test makes it");
    }
    clients
}

/// Whether a script is content, and all that it says.
#[expect(
    clippy::disallowed_methods,
    reason = "a client is a program of its own"
)]
async fn output_of(
    clients: &Path,
    script: &str,
    home: &Path,
    server: &Standalone,
) -> (bool, String) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let child = Command::new(clients.join("bin/python"))
        .arg(scripts.join(script))
        .current_dir(home)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", home)
        .env("LANG", "C.UTF-8")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(&server.env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python starts");
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("{script} does not end"));
    let output = output.expect("a child");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}
