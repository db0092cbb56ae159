//! The example `standalone` as its operator meets it: what it prints, keeps, refuses, and how it ends.
//!
//! Invariant: every process here works in a fresh directory of its own. Crashes are in `crash.rs`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use forge::access::Grants;
use forge::oauth::NewToken;
use forge::repos::{RepoOrRedirect, RepoReads as _};
use forge::{RepoPath, SqlStore};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::support::process::Launch;
use crate::support::{Database, fixture};

fn fresh() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn mode(path: &Path) -> u32 {
    let metadata = path.metadata().expect("a file");
    metadata.permissions().mode() & 0o777
}

#[tokio::test]
async fn a_newcomer_pastes_what_is_printed_and_has_pushed_a_repository() {
    let dir = fresh();
    // The usual ports may be taken here; all else is as without arguments.
    let launch = Launch::bare(dir.path(), "plain").with(PORTS);
    let mut process = launch.spawn();
    let printed = process.says("Ctrl-C ends it").await;
    let pasted = paste(dir.path(), &printed).await;
    assert!(pasted.contains("~you"), "{pasted}");
    assert!(
        pasted.contains("* [new branch]      HEAD -> master"),
        "{pasted}"
    );
    // It did not exist, and git says what happened.
    assert!(pasted.contains("remote: "), "{pasted}");
    assert!(pasted.contains("~you/hello"), "{pasted}");
    assert!(pasted.contains("private"), "{pasted}");
    assert_eq!(mode(&dir.path().join("forge-data")), 0o700);
    assert_eq!(
        mode(&dir.path().join("forge-data/ssh_host_ed25519_key")),
        0o600
    );
    process.signal("INT").await;
    let ended = process.ended().await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_start_with_an_import_and_a_key_prints_commands_for_both_transports() {
    let dir = fresh();
    let key = ["-q", "-t", "ed25519", "-N", "", "-f", "id"];
    run("ssh-keygen", &key, dir.path()).await;
    let launch = Launch::bare(dir.path(), "plain")
        .with(PORTS)
        .with(["--ssh-key", "id.pub"])
        .importing("small", &fixture::small(dir.path()));
    let mut process = launch.spawn();
    let printed = process.says("Ctrl-C ends it").await;
    assert!(printed.contains("importing ~you/small"), "{printed}");
    let pasted = paste(dir.path(), &printed).await;
    assert!(pasted.contains("Merge it."), "{pasted}");
    assert_eq!(pasted.matches("Cloning into").count(), 2, "{pasted}");
    assert_eq!(pasted.matches("HEAD -> master").count(), 2, "{pasted}");
}

/// Free ports instead of the usual ones.
const PORTS: [&str; 4] = ["--http", "127.0.0.1:0", "--ssh", "127.0.0.1:0"];

/// Has a shell do what was printed, in a repository with a commit in it; what it says to that.
async fn paste(dir: &Path, printed: &str) -> String {
    let commands: String = printed
        .lines()
        .filter(|line| line.starts_with("  "))
        .filter(|line| {
            ["export ", "curl ", "git "]
                .iter()
                .any(|c| line.trim().starts_with(c))
        })
        // Each clone needs a place of its own.
        .map(|line| format!("{}\n", in_its_own_place(line)))
        .collect();
    let settings = "silent\nshow-error\nfail\nnoproxy = \"*\"\n";
    std::fs::write(dir.join(".curlrc"), settings).expect("settings");
    std::fs::create_dir(dir.join("work")).expect("a directory");
    let begin = "git init -q -b master; git -c user.name=A -c user.email=a@b commit -q --allow-empty -m Begin";
    let script = format!("set -ex; {begin}\n{commands}");
    run("sh", &["-c", &script], &dir.join("work")).await
}

/// Two clones of one name need two places.
fn in_its_own_place(line: &str) -> String {
    if line.starts_with("  git clone") {
        format!("(cd \"$(mktemp -d -p .)\" &&{line})")
    } else {
        line.to_owned()
    }
}

/// Runs a person's program, with nothing of this machine's configuration; everything that it says.
#[expect(clippy::disallowed_methods, reason = "what a person would run")]
async fn run(program: &str, arguments: &[&str], dir: &Path) -> String {
    let home = dir
        .ancestors()
        .find(|dir| dir.join(".curlrc").exists())
        .unwrap_or(dir);
    let key = home.join("id");
    let output = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", home)
        .env("CURL_HOME", home)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env(
            "GIT_SSH_COMMAND",
            format!(
                "ssh -F none -i '{}' -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
                key.display()
            ),
        )
        .output()
        .await
        .expect("it is installed");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test]
async fn the_environment_file_tells_everything_to_its_owner_alone() {
    let dir = fresh();
    let launch = Launch::new(dir.path(), "forge").with(["--user", "alice"]);
    let server = launch.start().await;
    let text = std::fs::read_to_string(launch.env_file()).expect("a file");
    let keys: Vec<_> = text
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    assert_eq!(
        keys,
        [
            "FORGE_GIT_URL",
            "FORGE_META_URL",
            "FORGE_SSH_URL",
            "FORGE_USER",
            "FORGE_TOKEN",
            "FORGE_PASSWORD"
        ]
    );
    assert_eq!(mode(&launch.env_file()), 0o600);
    assert_eq!(mode(&dir.path().join("data/token-alice")), 0o600);
    assert_eq!(mode(&dir.path().join("data/password-alice")), 0o600);
    assert_eq!(server.env["FORGE_USER"], "alice");
    assert!(server.env["FORGE_SSH_URL"].starts_with("ssh://git@127.0.0.1:"));
    let meta = server.env["FORGE_META_URL"].strip_prefix(&server.env["FORGE_GIT_URL"]);
    let version = server
        .client
        .get(&format!("{}/api/version", meta.expect("below")))
        .await;
    assert_eq!(version.status, 200);
    let profile = server.client.get("/api/user").await;
    assert_eq!(profile.json()["canonical_name"], json!("~alice"));
    server.stop().await;
}

#[tokio::test]
async fn a_second_start_finds_everything_as_it_was() {
    let dir = fresh();
    let launch = Launch::new(dir.path(), "forge");
    let importing = launch.importing("old", &fixture::small(dir.path()));
    let server = importing.start().await;
    let client = &server.client;
    let attached = client
        .attach("old", "v1", "notes.txt", b"The notes.\n")
        .await;
    assert_eq!(attached.status, 201, "{attached:?}");
    assert_eq!(
        client
            .put("/api/repos/old", json!({ "name": "new" }))
            .await
            .status,
        200
    );
    let empty = json!({ "name": "empty", "visibility": "private" });
    assert_eq!(client.post("/api/repos", empty).await.status, 201);
    let paths = [
        "/api/user",
        "/api/repos",
        "/api/repos/new/log",
        "/api/repos/new/tree",
    ];
    let mut before = Vec::new();
    for path in paths {
        before.push(client.get(path).await.json());
    }
    let token = client.token().to_owned();
    server.stop().await;

    let url = format!("sqlite:{}", dir.path().join("data/forge.db").display());
    let store = SqlStore::connect(&url).await.expect("a database");
    let old: RepoPath = "~you/old".parse().expect("a path");
    let moved = RepoOrRedirect::Moved("~you/new".parse().expect("a path"));
    let found = store.repo_by_path(&old, None).await;
    assert_eq!(found.expect("rows"), Some(moved));
    drop(store);

    let server = launch.start().await;
    assert_eq!(server.client.token(), token);
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(server.client.get(path).await.json(), before, "{path}");
    }
    let download = server
        .client
        .get("/~you/new/refs/download/v1/notes.txt")
        .await;
    assert_eq!(
        (download.status.as_u16(), download.text()),
        (200, "The notes.\n")
    );
    assert_eq!(server.client.get("/api/repos/old").await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn another_process_on_the_same_sqlite_directory_is_refused() {
    let dir = fresh();
    let first = Launch::new(dir.path(), "first").start().await;
    let refused = Launch::new(dir.path(), "second").run().await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.err.contains("in use by another process"),
        "{refused:?}"
    );
    assert_eq!(refused.out, "");
    let created = first
        .client
        .post("/api/repos", json!({ "name": "hello" }))
        .await;
    assert_eq!(created.status, 201);
    first.stop().await;
}

#[tokio::test]
async fn timestamps_have_a_zone_if_asked_for() {
    let dir = fresh();
    let launch = Launch::new(dir.path(), "forge");
    for (launch, zone) in [
        (&launch, ""),
        (&launch.with(["--zoned-timestamps"]), "+00:00"),
    ] {
        let server = launch.start().await;
        server
            .client
            .post("/api/repos", json!({ "name": "hello" }))
            .await;
        let repo = server.client.get("/api/repos/hello").await.json();
        let created = repo["created"].as_str().expect("a timestamp");
        let (time, rest) = created.split_at("2023-11-14T22:13:20".len());
        assert!(time.parse::<chrono::NaiveDateTime>().is_ok(), "{created}");
        assert_eq!(rest, zone, "{created}");
        server.stop().await;
    }
}

#[tokio::test]
async fn importing_a_repository_again_is_harmless() {
    let dir = fresh();
    let small = fixture::small(dir.path());
    let launch = Launch::new(dir.path(), "forge").importing("small", &small);
    let twice = launch.importing("small", &small);
    let server = twice.start().await;
    assert!(server.process.out().contains("~you/small is here already"));
    let before = server.client.get("/api/repos").await.json();
    assert_eq!(before["total"], json!(1));
    server.stop().await;
    let server = launch.start().await;
    assert!(server.process.out().contains("~you/small is here already"));
    assert_eq!(server.client.get("/api/repos").await.json(), before);
    server.stop().await;
}

#[tokio::test]
async fn an_import_of_nothing_fails_and_leaves_nothing() {
    let dir = fresh();
    let launch = Launch::new(dir.path(), "forge");
    let plain = dir.path().join("plain");
    std::fs::create_dir(&plain).expect("a directory");
    for missing in [dir.path().join("missing"), plain] {
        let failed = launch.importing("missing", &missing).run().await;
        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert!(failed.err.starts_with("error: "), "{failed:?}");
        assert!(
            failed.err.contains(&*missing.to_string_lossy()),
            "{failed:?}"
        );
        assert!(!launch.env_file().exists());
    }
    let server = launch.start().await;
    assert_eq!(server.client.listed().await, Vec::<String>::new());
    let created = server
        .client
        .post("/api/repos", json!({ "name": "missing" }))
        .await;
    assert_eq!(created.status, 201);
    server.stop().await;
    let scratch = dir.path().join("data/repositories/tmp");
    assert_eq!(std::fs::read_dir(scratch).expect("scratch").count(), 0);
}

#[tokio::test]
async fn bad_options_are_refused_with_a_hint() {
    let dir = fresh();
    let bad: [(&[&str], &str); 8] = [
        (&["--nonsense"], "--nonsense"),
        (&["-x"], "-x"),
        (&["extra"], "extra"),
        (&["--data"], "--data"),
        (&["--import", "hello"], "NAME=URL_OR_PATH"),
        (&["--import", "../x=."], "name may hold"),
        (&["--import", "=."], "name is required"),
        (&["--zoned-timestamps=yes"], "--zoned-timestamps"),
    ];
    for (arguments, why) in bad {
        let ended = Launch::bare(dir.path(), "bad").with(arguments).run().await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains(why), "{ended:?}");
        assert!(ended.err.contains("--help"), "{ended:?}");
        assert_eq!(ended.out, "");
    }
    for (arguments, why) in [
        (["--http", "nonsense"], "cannot listen on nonsense"),
        (["--user", "Not A Name"], "username"),
        (
            ["--database", "mysql://localhost/x"],
            "sqlite: or postgres://",
        ),
        (["--blobs", "nonsense"], "not a URL"),
    ] {
        let launch = Launch::new(dir.path(), "bad").with(arguments);
        let ended = launch.run().await;
        assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
        assert!(ended.err.starts_with("error: "), "{ended:?}");
        assert!(ended.err.contains(why), "{ended:?}");
        assert!(!launch.env_file().exists());
    }
    let help = Launch::bare(dir.path(), "help")
        .with(["--help"])
        .run()
        .await;
    assert_eq!(help.code, Some(0), "{help:?}");
    assert!(help.out.contains("--import NAME=SOURCE"), "{help:?}");
}

#[tokio::test]
async fn an_address_in_use_is_named_and_nothing_is_made() {
    let dir = fresh();
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let launch = Launch::new(dir.path(), "forge").with(["--http", &address]);
    let ended = launch.run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let why = format!("cannot listen on {address}: Address already in use");
    assert!(ended.err.contains(&why), "{ended:?}");
    assert!(!dir.path().join("data").exists());
}

#[tokio::test]
async fn large_files_are_attached_one_after_the_other_over_one_connection() {
    let dir = fresh();
    let launch = Launch::new(dir.path(), "forge").importing("small", &fixture::small(dir.path()));
    let server = launch.start().await;
    for (n, size) in [0, 9 << 20, 1 << 20, 9 << 20, 300 << 10, 9 << 20]
        .into_iter()
        .enumerate()
    {
        let content = vec![b'x'; size];
        let name = format!("file-{n}");
        let attached = server.client.attach("small", "v1", &name, &content).await;
        assert_eq!(attached.status, 201, "{name}: {attached:?}");
        assert_eq!(attached.json()["size"], json!(size));
        let path = format!("/~you/small/refs/download/v1/{name}");
        assert!(server.client.get(&path).await.body == content, "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_graceful_stop_finishes_what_was_begun() {
    let dir = fresh();
    let launch = Launch::new(dir.path(), "forge").importing("small", &fixture::small(dir.path()));
    let server = launch.start().await;
    let address = server.env["FORGE_GIT_URL"]
        .trim_start_matches("http://")
        .to_owned();
    let (head, rest) = (
        "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"late\"\r\n\r\nbegun, ",
        "finished\r\n--b--\r\n",
    );
    let request = format!(
        "POST /api/repos/small/artifacts/v1 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: multipart/form-data; boundary=b\r\ncontent-length: {}\r\n\r\n{head}",
        server.client.token(),
        head.len() + rest.len()
    );
    let mut upload = TcpStream::connect(&address).await.expect("a connection");
    upload.write_all(request.as_bytes()).await.expect("sent");
    // What is acknowledged after this was accepted before: one listener, one queue.
    assert_eq!(server.client.get("/api/user").await.status, 200);
    server.process.signal("TERM").await;
    let begun = Instant::now();
    while TcpStream::connect(&address).await.is_ok() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it still listens"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    upload.write_all(rest.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    upload.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let ended = server.process.ended().await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));

    let server = launch.start().await;
    let download = server.client.get("/~you/small/refs/download/v1/late").await;
    assert_eq!(download.text(), "begun, finished");
    server.stop().await;
}

#[tokio::test]
async fn two_processes_share_one_postgresql_and_one_directory() {
    for database in Database::all() {
        if matches!(database, Database::Sqlite) {
            continue;
        }
        let dir = fresh();
        let store = database.fresh().await.expect("a store");
        let url = database.url().expect("a URL");
        let launch = |name| Launch::new(dir.path(), name).with(["--database", &url]);
        let first = launch("first")
            .importing("small", &fixture::small(dir.path()))
            .start()
            .await;
        let second = launch("second").start().await;
        let (a, b) = (&first.client, &second.client);
        assert_eq!(a.token(), b.token());

        assert_eq!(b.get("/api/repos/small/log").await.status, 200);
        for (writer, reader) in [(a, b), (b, a)] {
            let created = writer.post("/api/repos", json!({ "name": "one" })).await;
            assert_eq!(created.status, 201);
            assert_eq!(reader.get("/api/repos/one").await.json(), created.json());
            assert_eq!(reader.get("/api/repos/one/refs").await.status, 200);
            let again = reader.post("/api/repos", json!({ "name": "one" })).await;
            assert_eq!(again.json()["errors"][0]["field"], json!("name"));
            let renamed = writer.put("/api/repos/one", json!({ "name": "two" })).await;
            assert_eq!(renamed.status, 200);
            assert_eq!(reader.get("/api/repos/one").await.status, 404);
            assert_eq!(reader.get("/api/repos/two").await.json(), renamed.json());
            assert_eq!(writer.delete("/api/repos/two").await.status, 204);
            for path in ["", "/refs", "/log"] {
                let gone = reader.get(&format!("/api/repos/two{path}")).await;
                assert_eq!(gone.status, 404, "{path}");
            }
        }
        let attached = a.attach("small", "v1", "notes.txt", b"The notes.\n").await;
        assert_eq!(attached.status, 201, "{attached:?}");
        let download = b.get("/~you/small/refs/download/v1/notes.txt").await;
        assert_eq!(download.text(), "The notes.\n");
        let (one, other) = tokio::join!(
            a.post("/api/repos", json!({ "name": "race" })),
            b.post("/api/repos", json!({ "name": "race" })),
        );
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 400], "{one:?} {other:?}");

        revoke(dir.path(), store, [a, b]).await;
        first.stop().await;
        second.stop().await;
        database.drop_fresh().await;
    }
}

/// A token that a third process takes back means nobody at once.
#[expect(clippy::disallowed_methods, reason = "tests arrange what they need")]
async fn revoke(dir: &Path, store: SqlStore, processes: [&crate::support::process::Client; 2]) {
    let app = forge::builder()
        .data_dir(dir.join("data"))
        .store(store)
        .build();
    let app = app.await.expect("a third process, in effect");
    let system = app.forge().system();
    let you = forge::users::NewUser {
        name: "you".parse().expect("a name"),
        email: None,
    };
    let you = system.ensure_user(&you).await.expect("a user");
    let new = NewToken {
        grants: Grants::everything(),
        comment: None,
        expires: app.forge().now() + chrono::TimeDelta::days(1),
    };
    let (token, text) = system.issue_token(you.id, &new).await.expect("a token");
    for process in processes {
        let answer = process.showing(text.expose()).get("/api/user").await;
        assert_eq!(answer.status, 200);
    }
    system.revoke_token(token.id).await.expect("revoked");
    for process in processes {
        let answer = process.showing(text.expose()).get("/api/user").await;
        assert_eq!(answer.status, 401);
    }
}
