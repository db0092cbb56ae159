//! What the stock OpenSSH client can get out of the SSH server, and what it cannot: the rows S01 to S25 of the sheet.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use forge::access::Mode;
use forge::{Credentials, Limits, Page, Scope};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::clone::{all_gone, at_work, big};
use super::http::{PATIENCE, gated};
use crate::support::site::{Ran, Site, Way, command, run};
use crate::support::{Database, Persona, alice, fixture};

/// An `ssh` that is not run yet: its options, then what it is to run over there.
pub(super) fn command_of(site: &Site, key: &Path, options: &[&str], words: &[&str]) -> Command {
    let mut ssh = bare(site, options);
    ssh.arg("-i")
        .arg(key)
        .args(["-l", "git", "127.0.0.1"])
        .args(words);
    ssh
}

/// The same without a key.
fn bare(site: &Site, options: &[&str]) -> Command {
    let mut ssh = command("ssh", site.world.dir.path());
    ssh.args(["-F", "none", "-p", &site.ssh.port().to_string()])
        .args(options)
        .args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
        .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"])
        .args(["-o", "IdentitiesOnly=yes"]);
    ssh
}

/// Runs `ssh`, with nothing to read.
async fn ssh(site: &Site, key: &Path, options: &[&str], words: &[&str]) -> Ran {
    run(command_of(site, key, options, words), b"").await
}

/// Runs a command of git's as a persona, and says goodbye at once.
pub(super) async fn asks(site: &Site, persona: Persona, line: &str) -> Ran {
    let ssh = command_of(site, &site.key_of(persona), &[], &[line]);
    run(ssh, b"0000").await
}

trait Says {
    fn greeted(self, name: &str) -> Self;
    fn locked_out(self) -> Self;
    fn refused(self, why: &str) -> Self;
}

impl Says for Ran {
    #[track_caller]
    fn greeted(self, name: &str) -> Self {
        assert_eq!(
            (self.code, self.out.as_str()),
            (Some(128), ""),
            "{}",
            self.err
        );
        self.says(name)
    }

    #[track_caller]
    fn locked_out(self) -> Self {
        assert_eq!(
            (self.code, self.out.as_str()),
            (Some(255), ""),
            "{}",
            self.err
        );
        self.says("Permission denied (publickey).")
    }

    #[track_caller]
    fn refused(self, why: &str) -> Self {
        assert_eq!(
            (self.code, self.out.as_str()),
            (Some(128), ""),
            "{why}: {}",
            self.err
        );
        self.says(why)
    }
}

#[tokio::test]
async fn a_key_is_the_only_way_in() {
    let site = Site::new().await;
    let owner = site.key_of(Persona::Owner);
    ssh(&site, &owner, &[], &[]).await.greeted("alice");
    for methods in [
        "password",
        "keyboard-interactive",
        "hostbased",
        "gssapi-with-mic",
        "none",
    ] {
        let methods = format!("PreferredAuthentications={methods}");
        ssh(&site, &owner, &["-o", &methods], &[])
            .await
            .locked_out();
    }
    let unknown = site.make_key("unknown").await;
    ssh(&site, &unknown, &[], &[]).await.locked_out();
    for name in ["root", "alice", "Git", "git ", "~alice"] {
        ssh(&site, &owner, &["-l", name], &[]).await.locked_out();
    }
    // Getting in takes no longer than it must, whatever else the machine is doing.
    let mut times = Vec::new();
    for _ in 0..4 {
        let begun = Instant::now();
        ssh(&site, &owner, &[], &[]).await.greeted("alice");
        times.push(begun.elapsed());
    }
    let fastest = times.iter().min().unwrap();
    assert!(*fastest < Duration::from_millis(900), "{times:?}");
    site.end().await;
}

#[tokio::test]
async fn whoever_signed_it_is_not_who_was_offered_before() {
    let site = Site::new().await;
    for (offered, name, signed, other) in [
        (Persona::Owner, "alice", Persona::Stranger, "stranger"),
        (Persona::Stranger, "stranger", Persona::Owner, "alice"),
    ] {
        // A public half alone can be offered and not used.
        let half = site.world.dir.path().join(format!("keys/half-of-{name}"));
        let public = site.key_of(offered).with_extension("pub");
        fs::copy(public, half.with_extension("pub")).unwrap();
        let mut both = bare(&site, &["-v", "-o", "LogLevel=DEBUG1"]);
        both.arg("-i").arg(&half).arg("-i").arg(site.key_of(signed));
        both.args(["-l", "git", "127.0.0.1"]);
        let mut open = bare(&site, &[]);
        open.arg("-i").arg(&half).arg("-i").arg(site.key_of(signed));
        open.args(["-l", "git", "127.0.0.1", "git-upload-pack '~alice/secret'"]);
        let ran = run(both, b"").await;
        let accepted = format!("Server accepts key: {}", half.display());
        assert_eq!(ran.code, Some(128), "{}", ran.err);
        let offered_first = ran.err.contains(&accepted);
        assert!(offered_first, "the first key was not offered: {}", ran.err);
        let greeting = ran.err.lines().filter(|line| !line.starts_with("debug1:"));
        let greeting: String = greeting.collect();
        assert!(greeting.contains(other), "{greeting}");
        assert!(!greeting.contains(name), "{greeting}");
        let ran = run(open, b"0000").await;
        if signed == Persona::Owner {
            ran.good();
        } else {
            ran.refused("repository not found");
        }
    }
    // And nobody who did not sign gets in.
    let half = site.world.dir.path().join("keys/half-of-alice");
    ssh(&site, &half, &[], &[]).await.locked_out();
    site.end().await;
}

async fn keygen(site: &Site, arguments: &[&str]) {
    let mut keygen = command("ssh-keygen", &site.world.dir.path().join("keys"));
    keygen.arg("-q").args(arguments);
    run(keygen, b"").await.good();
}

#[tokio::test]
async fn keys_of_other_kinds_work_and_certificates_mean_nothing() {
    let site = Site::new().await;
    let keys = site.world.dir.path().join("keys");
    let account = site.world.owner().await.account().unwrap();
    for (name, kind) in [
        ("rsa", &["-t", "rsa", "-b", "2048"][..]),
        ("ecdsa", &["-t", "ecdsa", "-b", "256"]),
    ] {
        keygen(&site, &[kind, &["-N", "", "-f", name]].concat()).await;
        account
            .add_ssh_key(&site.public(&keys.join(name)))
            .await
            .unwrap();
        ssh(&site, &keys.join(name), &[], &[])
            .await
            .greeted("alice");
    }
    let old = ["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"];
    let ran = ssh(&site, &keys.join("rsa"), &old, &[]).await;
    assert_eq!(ran.code, Some(255), "{}", ran.err);
    let new = ["-o", "PubkeyAcceptedAlgorithms=rsa-sha2-256"];
    ssh(&site, &keys.join("rsa"), &new, &[])
        .await
        .greeted("alice");

    // Signed by somebody whom nobody asked.
    site.make_key("authority").await;
    let unknown = site.make_key("unknown").await;
    let certify = ["-s", "authority", "-I", "alice", "-n", "git,alice"];
    keygen(&site, &[&certify[..], &["unknown.pub"]].concat()).await;
    keygen(&site, &[&certify[..], &["Owner.pub"]].concat()).await;
    assert!(keys.join("unknown-cert.pub").exists());
    ssh(&site, &unknown, &[], &[]).await.locked_out();
    // The key beside a certificate is a key like others.
    ssh(&site, &keys.join("Owner"), &[], &[])
        .await
        .greeted("alice");

    for weak in [
        "HostKeyAlgorithms=ssh-rsa",
        "HostKeyAlgorithms=ssh-dss",
        "KexAlgorithms=diffie-hellman-group1-sha1",
        "KexAlgorithms=diffie-hellman-group-exchange-sha1",
        "Ciphers=3des-cbc",
        "Ciphers=aes128-cbc",
    ] {
        let ran = ssh(&site, &keys.join("Owner"), &["-o", weak], &[]).await;
        assert_eq!(ran.code, Some(255), "{weak}: {}", ran.err);
    }
    for good in [
        "Ciphers=chacha20-poly1305@openssh.com",
        "Ciphers=aes256-gcm@openssh.com",
        "KexAlgorithms=curve25519-sha256",
        "HostKeyAlgorithms=ssh-ed25519",
    ] {
        ssh(&site, &keys.join("Owner"), &["-o", good], &[])
            .await
            .greeted("alice");
    }
    site.end().await;
}

#[tokio::test]
async fn the_server_is_the_same_after_it_started_again() {
    let mut site = Site::new().await;
    let owner = site.key_of(Persona::Owner);
    let file = site.world.dir.path().join("data/ssh_host_ed25519_key");
    let first = fs::read(&file).unwrap();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let known = site.world.dir.path().join("known_hosts");
    let known = format!("UserKnownHostsFile={}", known.display());
    let accept = ["-o", &known, "-o", "StrictHostKeyChecking=accept-new"];
    ssh(&site, &owner, &accept, &[]).await.greeted("alice");
    site.restart().await;
    let check = ["-o", &known, "-o", "StrictHostKeyChecking=yes"];
    ssh(&site, &owner, &check, &[]).await.greeted("alice");
    assert_eq!(fs::read(&file).unwrap(), first);
    site.end().await;
}

#[tokio::test]
async fn only_the_version_of_the_protocol_is_taken_from_a_clients_environment() {
    let site = Site::new().await;
    let owner = site.key_of(Persona::Owner);
    let trace = site.world.dir.path().join("trace");
    let asks = async |env: &str| {
        let option = format!("SetEnv={env}");
        let ssh = command_of(
            &site,
            &owner,
            &["-o", &option],
            &["git-upload-pack '~alice/open'"],
        );
        run(ssh, b"0000").await.good().out
    };
    let second = asks("GIT_PROTOCOL=version=2").await;
    assert!(second.starts_with("000eversion 2\n"), "{second}");
    assert!(!second.contains("bundle-uri"), "{second}");
    let first = asks("GIT_PROTOCOL=version=1").await;
    assert!(first.starts_with("000eversion 1\n"), "{first}");
    let plain = asks("HELLO=1").await;
    assert!(plain.contains(" HEAD\0"), "{plain}");
    for env in [
        "GIT_PROTOCOL=version=0",
        "GIT_PROTOCOL=version=3",
        "GIT_PROTOCOL=version=2;id",
        "GIT_PROTOCOL=$(id)",
        "git_protocol=version=2",
        "LANG=C GIT_DIR=/ GIT_EXEC_PATH=/ PATH=/ LD_PRELOAD=/x HOME=/",
        "GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=uploadpack.hiderefs GIT_CONFIG_VALUE_0=refs/",
        "GIT_CONFIG_PARAMETERS='uploadpack.hiderefs=refs/'",
        &format!(
            "GIT_TRACE={0} GIT_TRACE2={0} GIT_TRACE_PACKET={0}",
            trace.display()
        ),
    ] {
        assert_eq!(asks(env).await, plain, "{env}");
    }
    assert!(!trace.exists());
    site.end().await;
}

#[tokio::test]
async fn commands_are_gits_own_with_one_path_and_nothing_else() {
    let site = Site::new().await;
    let key = site.key_of(Persona::Owner);
    let runs = async |line: &str| {
        let ssh = command_of(&site, &key, &[], &[line]);
        run(ssh, b"0000").await
    };
    for line in [
        "git-upload-pack '~alice/open'",
        "git-upload-pack ~alice/open",
        "git upload-pack '~alice/open'",
        "git-receive-pack '~alice/open'",
        "git receive-pack '~alice/open'",
        "git-upload-pack '/~alice/open'",
        "git-upload-pack '~alice/open/'",
        "git-upload-pack '/~alice/open.git/'",
        "git-upload-pack '~alice/open.git'",
        "git-upload-pack '~ali''ce/op'en",
        "git-upload-pack '~alice/o'\\p'en'",
    ] {
        let ran = runs(line).await;
        assert_eq!(ran.code, Some(0), "{line}: {}", ran.err);
        assert!(
            ran.out.contains(" refs/heads/master"),
            "{line}: {}",
            ran.out
        );
    }
    let long = format!("git-upload-pack '~alice/{}'", "x".repeat(60_000));
    let many = format!("git-upload-pack{}", " 'x'".repeat(10_000));
    for line in [
        // Paths that lead nowhere, or would lead out.
        "git-upload-pack '~alice/it'\\''s'",
        "git-upload-pack '~alice/wow'\\!''",
        "git-upload-pack '~alice/a b'",
        "git-upload-pack '~alice//open'",
        "git-upload-pack '//~alice/open'",
        "git-upload-pack '~alice/open//'",
        "git-upload-pack '~alice/open.git.git'",
        "git-upload-pack 'alice/open'",
        "git-upload-pack '~ALICE/open'",
        "git-upload-pack '~alice/../~alice/open'",
        "git-upload-pack '~stranger/../~alice/open'",
        "git-upload-pack '../~alice/open'",
        "git-upload-pack './~alice/open'",
        "git-upload-pack '~alice'",
        "git-upload-pack '~alice/'",
        "git-upload-pack '~alice/.git'",
        "git-upload-pack '/'",
        "git-upload-pack '..'",
        "git-upload-pack ''",
        "git-upload-pack '/etc'",
        "git-upload-pack 'repos/00/00/01.git'",
        "git-upload-pack '~alice/open\n'",
        "git-upload-pack '~alice/%6fpen'",
        &long,
        // Words that are no path.
        "git-upload-pack '--help'",
        "git-upload-pack --help",
        "git-upload-pack '--upload-pack=id'",
        "git-upload-pack --strict '~alice/open'",
        "git-upload-pack '--timeout=1' '~alice/open'",
        "git-upload-pack -- '~alice/open'",
        "git-receive-pack '--http-backend-info-refs' '~alice/open'",
        "git-upload-archive '--exec=id' '~alice/open'",
        "git-upload-pack '~alice/open' '~alice/open'",
        "git-upload-pack '~alice/open' extra",
        "git-upload-pack",
        "git upload-pack",
        &many,
        // Shells that are not there.
        "git-upload-pack '~alice/open'; id",
        "git-upload-pack '~alice/open';id",
        "git-upload-pack '~alice/open' && id",
        "git-upload-pack '~alice/open' | id",
        "git-upload-pack '~alice/open' > /tmp/x",
        "git-upload-pack '~alice/open'\nid",
        "git-upload-pack '~alice/open'\n",
        "git-upload-pack '~alice/open' &",
        "git-upload-pack `id`",
        "git-upload-pack $(id)",
        "git-upload-pack \"$(id)\"",
        "git-upload-pack $HOME",
        "X=1 git-upload-pack '~alice/open'",
        "exec git-upload-pack '~alice/open'",
        "git-upload-pack '~alice/open",
        "git-upload-pack \"~alice/open",
        "git-upload-pack '~alice/open'\\",
        // Commands that are not there.
        "id",
        "sh -c id",
        "git",
        "git ",
        "git gc",
        "git --exec-path",
        "git -c core.pager=id upload-pack '~alice/open'",
        "git config --list",
        "git shell",
        "git-shell -c 'git-upload-pack x'",
        "/usr/bin/git-upload-pack '~alice/open'",
        "GIT-UPLOAD-PACK '~alice/open'",
        "git-upload-packx '~alice/open'",
        "git-lfs-authenticate '~alice/open' download",
        "git-lfs-transfer '~alice/open' download",
        "scp -t .",
        "sftp",
        "rsync --server . .",
        "'git-upload-pack ~alice/open'",
        " ",
    ] {
        let ran = runs(line).await;
        let cut: String = line.chars().take(60).collect();
        assert_eq!(ran.code, Some(128), "{cut:?}: {}{}", ran.out, ran.err);
        assert_eq!(ran.out, "", "{cut:?}");
        assert!(!ran.err.trim().is_empty(), "{cut:?}: not a word");
        let evil = ran.err.contains("uid=") || ran.err.contains("usage:");
        assert!(!evil, "{cut:?}: {}", ran.err);
        assert!(ran.err.len() < 2_000, "{cut:?}: {}", ran.err);
        let is_plain = |c: char| c == '\n' || c == '\r' || !c.is_control();
        assert!(ran.err.chars().all(is_plain), "{cut:?}: {:?}", ran.err);
    }
    site.end().await;
}

#[tokio::test]
async fn gits_own_addresses_lead_to_the_repository() {
    let site = Site::new().await;
    let port = site.ssh.port();
    let client = site.client(Persona::Reader, 2);
    let ssh = format!(
        "ssh -F none -p {port} -i '{}'",
        site.key_of(Persona::Reader).display()
    );
    let ssh =
        ssh + " -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
    let client = client.with("GIT_SSH_COMMAND", ssh);
    for url in [
        "git@127.0.0.1:~alice/open".to_owned(),
        "git@127.0.0.1:~alice/open.git".to_owned(),
        "git@127.0.0.1:/~alice/open".to_owned(),
        "git@127.0.0.1:~alice/open/".to_owned(),
        format!("ssh://git@127.0.0.1:{port}/~alice/open"),
        format!("ssh://git@127.0.0.1:{port}/~alice/open.git/"),
        format!("git+ssh://git@127.0.0.1:{port}/~alice/secret"),
    ] {
        let ran = client.git(&["ls-remote", &url]).await.good();
        assert!(ran.out.contains("refs/heads/feature/x"), "{url}");
    }
    // With a name of one's own for the program, git sends two words.
    let url = "git@127.0.0.1:~alice/open";
    let custom = ["ls-remote", "--upload-pack=git upload-pack", url];
    client.git(&custom).await.good();
    for url in [
        "git@127.0.0.1:alice/open",
        "git@127.0.0.1:~alice/none",
        "git@127.0.0.1:open",
    ] {
        let ran = client.git(&["ls-remote", url]).await.bad();
        ran.says("repository not found");
    }
    // An archive of what is there, and of nothing else.
    let remote = format!("--remote={url}");
    for format in ["tar", "zip"] {
        let format = format!("--format={format}");
        let archive = ["archive", &remote, &format, "-o", "out", "master"];
        client.git(&archive).await.good();
        let bytes = fs::read(client.home().join("out")).unwrap();
        let name = b"README.md";
        assert!(bytes.windows(name.len()).any(|part| part == name));
    }
    let dir = site.dir_of("~alice/open").await;
    let old = fixture::git_text(&dir, &["rev-parse", "master^"]);
    client.git(&["archive", &remote, &old]).await.bad();
    let remote = "--remote=git@127.0.0.1:~alice/none";
    let ran = client.git(&["archive", remote, "master"]).await.bad();
    ran.says("repository not found");
    site.end().await;
}

#[tokio::test]
async fn there_is_no_shell_and_nothing_else_to_forward_to() {
    let site = Site::new().await;
    let key = site.key_of(Persona::Writer);
    for options in [&[][..], &["-T"], &["-tt"], &["-A"], &["-X"], &["-C"]] {
        let ran = ssh(&site, &key, options, &[]).await;
        assert_eq!(ran.code, Some(128), "{options:?}: {}", ran.err);
        assert!(ran.err.contains("writer"), "{options:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{options:?}");
    }
    // A terminal changes nothing about a command either.
    let ran = ssh(&site, &key, &["-tt"], &["id"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(128), ""), "{}", ran.err);
    for subsystem in ["sftp", "netconf", "git-upload-pack"] {
        let ran = ssh(&site, &key, &["-s"], &[subsystem]).await.bad();
        assert_eq!(ran.out, "", "{subsystem}");
    }
    let strict = ["-o", "ExitOnForwardFailure=yes", "-N"];
    for forward in [
        ["-R", "0:127.0.0.1:1"],
        ["-R", "/tmp/forge-forwarded:127.0.0.1:1"],
        ["-R", "0"],
    ] {
        let ran = ssh(&site, &key, &[&strict[..], &forward].concat(), &[]).await;
        assert_eq!(ran.code, Some(255), "{forward:?}: {}", ran.err);
    }
    let to = site.http.to_string();
    let mut tunnel = command_of(&site, &key, &["-W", &to], &[]);
    tunnel.kill_on_drop(true);
    let ran = run(tunnel, b"GET / HTTP/1.0\r\n\r\n").await.bad();
    assert_eq!(ran.out, "", "{}", ran.err);
    let device = ["-w", "0:0", "-o", "ExitOnForwardFailure=yes"];
    ssh(&site, &key, &device, &[]).await.bad();
    site.end().await;
}

/// A connection that others share.
struct Master {
    _ssh: tokio::process::Child,
    socket: String,
}

impl Master {
    async fn new(site: &Site, persona: Persona) -> Self {
        let file = site.world.dir.path().join(format!("m-{persona:?}"));
        let socket = file.display().to_string();
        let options = ["-M", "-S", &socket, "-N"];
        let ssh = command_of(site, &site.key_of(persona), &options, &[])
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while !file.exists() {
            assert!(begun.elapsed() < PATIENCE, "no connection");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { _ssh: ssh, socket }
    }

    /// A session on it.
    fn session(&self, site: &Site, line: &str) -> Command {
        let nobody = site.world.dir.path().join("keys/nobody");
        command_of(site, &nobody, &["-S", &self.socket], &[line])
    }
}

#[tokio::test]
async fn one_connection_carries_several_sessions_and_not_too_many() {
    let site = Site::with(Database::Sqlite, |builder| {
        let mut limits = Limits::default();
        limits.ssh.sessions = 3;
        builder.limits(limits)
    });
    let site = site.await;
    let master = Master::new(&site, Persona::Reader).await;
    let line = "git-upload-pack '~alice/secret'";
    for _ in 0..5 {
        run(master.session(&site, line), b"0000").await.good();
    }
    // Three that wait for their client.
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut child = master.session(&site, line).spawn().unwrap();
        let mut first = [0; 4];
        let out = child.stdout.as_mut().expect("a pipe");
        out.read_exact(&mut first).await.unwrap();
        open.push(child);
    }
    let ran = run(master.session(&site, line), b"0000").await.bad();
    assert_eq!(ran.out, "", "{}", ran.err);
    // The others were not disturbed.
    for mut child in open {
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(b"0000").await.unwrap();
        drop(stdin);
        let ended = tokio::time::timeout(PATIENCE, child.wait_with_output());
        let output = ended.await.unwrap().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{err}");
    }
    run(master.session(&site, line), b"0000").await.good();

    // Rights are asked anew for each session of a connection.
    let suspend = async |notice| {
        let name = "reader".parse().unwrap();
        site.world.system().suspend(&name, notice).await.unwrap();
    };
    suspend(Some("unpaid")).await;
    let ran = run(master.session(&site, line), b"0000").await;
    ran.refused("suspended");
    suspend(None).await;
    run(master.session(&site, line), b"0000").await.good();
    let owner = site.world.owner().await;
    let repo = owner
        .manage_repo(&alice("secret"), Scope::Acls)
        .await
        .unwrap();
    repo.set_acl(&"reader".parse().unwrap(), Mode::Write)
        .await
        .unwrap();
    run(
        master.session(&site, "git-receive-pack '~alice/secret'"),
        b"0000",
    )
    .await
    .good();
    drop(master);
    site.end().await;
}

#[tokio::test]
async fn a_client_that_is_killed_leaves_no_process() {
    let site = Site::new().await;
    big(&site).await;
    let key = site.key_of(Persona::Owner);
    for line in [
        "git-upload-pack '~alice/big'",
        "git-receive-pack '~alice/big'",
    ] {
        // It waits for a client that has nothing to say.
        let mut child = command_of(&site, &key, &[], &[line]).spawn().unwrap();
        let mut first = [0; 4];
        let out = child.stdout.as_mut().expect("a pipe");
        out.read_exact(&mut first).await.unwrap();
        child.kill().await.unwrap();
        all_gone(&site).await;
    }
    // A whole clone, with new keys for the cipher all the while.
    let client = site.client(Persona::Owner, 2);
    let ssh = format!(
        "ssh -F none -o RekeyLimit=1M -o StrictHostKeyChecking=no -o LogLevel=ERROR \
         -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes -i '{}'",
        key.display()
    );
    let client = client.with("GIT_SSH_COMMAND", ssh);
    let url = site.url(Way::Ssh, Persona::Owner, "~alice/big");
    client.git(&["clone", "-q", &url, "work"]).await.good();
    client.git_in("work", &["fsck"]).await.good();
    assert_eq!(at_work(&site), Vec::<String>::new());
    site.end().await;
}

#[tokio::test]
async fn strangers_cannot_keep_others_out() {
    let site = Site::with(Database::Sqlite, |builder| {
        let mut limits = Limits::default();
        limits.ssh.per_address = 4;
        limits.ssh.login = Duration::from_millis(1_500);
        limits.ssh.attempts = 3;
        builder.limits(limits)
    });
    let site = site.await;
    let owner = site.key_of(Persona::Owner);
    let connect = async || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, site.ssh.port()))
            .await
            .unwrap()
    };
    let closed = async |mut socket: TcpStream| {
        let mut all = Vec::new();
        // A reset is an end, too.
        let read = socket.read_to_end(&mut all);
        let ended = tokio::time::timeout(Duration::from_secs(20), read).await;
        assert!(
            ended.is_ok(),
            "it is still open: {:?}",
            String::from_utf8_lossy(&all)
        );
    };
    // Nonsense of several kinds.
    for nonsense in [
        &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        b"SSH-1.5-old\r\n",
        b"SSH-2.0-x\r\n\xff\xff\xff\xff\x04aaaaaaaaaaaaaaaa",
        b"SSH-2.0-x\r\n\x00\x00\x00\x01\x00",
        b"SSH-2.0-x\r\n\x00\x00\x00\x0c\x0a\x14\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        &[b'x'; 100_000],
        b"\x00\x00\x00\x00",
        b"",
    ] {
        let mut socket = connect().await;
        let _ = socket.write_all(nonsense).await;
        let _ = socket.shutdown().await;
        closed(socket).await;
    }
    ssh(&site, &owner, &[], &[]).await.greeted("alice");
    // Silence: each has its time, and one address has its share.
    let mut silent = Vec::new();
    for _ in 0..4 {
        let mut socket = connect().await;
        let mut banner = [0; 8];
        socket.read_exact(&mut banner).await.unwrap();
        assert_eq!(&banner, b"SSH-2.0-");
        silent.push(socket);
    }
    let begun = Instant::now();
    closed(connect().await).await;
    assert!(
        begun.elapsed() < Duration::from_millis(1_400),
        "the fifth had a place"
    );
    for socket in silent {
        closed(socket).await;
    }
    ssh(&site, &owner, &[], &[]).await.greeted("alice");
    // So many keys may be tried, and no more.
    let mut few = bare(&site, &[]);
    let mut many = bare(&site, &[]);
    for i in 0..6 {
        let key = site.make_key(&format!("wrong{i}")).await;
        if i < 2 {
            few.arg("-i").arg(&key);
        }
        many.arg("-i").arg(&key);
    }
    for ssh in [&mut few, &mut many] {
        ssh.arg("-i").arg(&owner).args(["-l", "git", "127.0.0.1"]);
    }
    run(few, b"").await.greeted("alice");
    let ran = run(many, b"").await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(255), ""), "{}", ran.err);
    ssh(&site, &owner, &[], &[]).await.greeted("alice");
    site.end().await;
}

#[tokio::test]
async fn a_deploy_key_opens_its_repositories_and_no_other() {
    let site = Site::new().await;
    let owner = site.world.owner().await;
    let manage = async |name: &str| {
        let repo = owner.manage_repo(&alice(name), Scope::Acls).await;
        repo.unwrap()
    };
    let (reads, writes) = (site.make_key("reads").await, site.make_key("writes").await);
    let (open, secret) = (manage("open").await, manage("secret").await);
    secret
        .add_deploy_key(&site.public(&reads), Mode::Read)
        .await
        .unwrap();
    secret
        .add_deploy_key(&site.public(&writes), Mode::Write)
        .await
        .unwrap();
    // One and the same key for two repositories.
    open.add_deploy_key(&site.public(&reads), Mode::Read)
        .await
        .unwrap();
    let asks = async |key: &Path, service: &str, repo: &str| {
        let line = format!("git-{service} '~alice/{repo}'");
        run(command_of(&site, key, &[], &[&line]), b"0000").await
    };
    let used = async || {
        let keys = secret.deploy_keys(Page::default()).await.unwrap().results;
        let used = keys
            .iter()
            .map(|key| (key.mode == Mode::Write, key.last_used.is_some()));
        used.collect::<Vec<_>>()
    };
    let ran = ssh(&site, &reads, &[], &[]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(128), ""), "{}", ran.err);
    asks(&reads, "receive-pack", "secret")
        .await
        .refused("access denied");
    asks(&reads, "upload-pack", "hidden")
        .await
        .refused("repository not found");
    asks(&writes, "upload-pack", "open")
        .await
        .refused("repository not found");
    asks(&writes, "receive-pack", "open")
        .await
        .refused("repository not found");
    asks(&writes, "receive-pack", "made-by-key")
        .await
        .refused("repository not found");
    asks(&writes, "upload-pack", "none")
        .await
        .refused("repository not found");
    // A refusal is no use.
    assert_eq!(used().await, [(true, false), (false, false)]);

    for (way, repo) in [(&reads, "secret"), (&reads, "open"), (&writes, "secret")] {
        asks(way, "upload-pack", repo).await.good();
    }
    let client = site.client(Persona::Owner, 2).with_key(&writes);
    let url = site.url(Way::Ssh, Persona::Owner, "~alice/secret");
    client.git(&["clone", "-q", &url, "work"]).await.good();
    let id = client.commit("work", "b.txt", "two\n").await;
    client
        .git_in("work", &["push", "-q", "origin", "master"])
        .await
        .good();
    let dir = site.dir_of("~alice/secret").await;
    assert_eq!(fixture::git_text(&dir, &["rev-parse", "master"]), id);
    let begun = Instant::now();
    while used().await != [(true, true), (false, true)] {
        assert!(begun.elapsed() < PATIENCE, "{:?}", used().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Whose repository it was: suspended people's keys are suspended with them, and what has another name is not found
    // by its old one.
    super::http::rename(&site, "open", "opened").await;
    asks(&reads, "upload-pack", "opened").await.good();
    let ran = asks(&reads, "upload-pack", "open").await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(128), ""), "{}", ran.err);
    let name = "alice".parse().unwrap();
    site.world
        .system()
        .suspend(&name, Some("unpaid"))
        .await
        .unwrap();
    asks(&writes, "upload-pack", "secret").await.refused("");
    site.world.system().suspend(&name, None).await.unwrap();
    asks(&writes, "upload-pack", "secret").await.good();
    // Taken away, it is unknown.
    let keys = secret.deploy_keys(Page::default()).await.unwrap().results;
    for key in keys.iter().filter(|key| key.mode == Mode::Write) {
        secret.remove_deploy_key(key.id).await.unwrap();
    }
    ssh(&site, &writes, &[], &[]).await.locked_out();
    asks(&reads, "upload-pack", "secret").await.good();
    site.end().await;
}

#[tokio::test]
async fn a_users_key_is_used_when_it_opened_something() {
    let site = Site::new().await;
    let token = site.world.token_of(Persona::Stranger).unwrap();
    let caller = site
        .world
        .forge()
        .authenticate(Credentials::Token(token))
        .await;
    let account = caller.unwrap().account().unwrap();
    let used = async || {
        let keys = account.ssh_keys(Page::default()).await.unwrap().results;
        keys[0].last_used.is_some()
    };
    let key = site.key_of(Persona::Stranger);
    ssh(&site, &key, &[], &[]).await.greeted("stranger");
    asks(&site, Persona::Stranger, "id").await.bad();
    let secret = "git-upload-pack '~alice/secret'";
    asks(&site, Persona::Stranger, secret)
        .await
        .refused("repository not found");
    let push = "git-receive-pack '~alice/open'";
    asks(&site, Persona::Stranger, push)
        .await
        .refused("access denied");
    assert!(!used().await);
    let client = site.client(Persona::Stranger, 2);
    let url = site.url(Way::Ssh, Persona::Stranger, "~alice/open");
    client.git(&["clone", "-q", &url, "work"]).await.good();
    let begun = Instant::now();
    while !used().await {
        assert!(begun.elapsed() < PATIENCE, "it is not noted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = account.ssh_keys(Page::default()).await.unwrap().results[0].id;
    account.remove_ssh_key(id).await.unwrap();
    ssh(&site, &key, &[], &[]).await.locked_out();
    site.end().await;
}

#[tokio::test]
async fn a_push_that_was_begun_is_finished_before_the_servers_end() {
    let (mut site, gate) = gated().await;
    for way in [Way::Http, Way::Ssh] {
        let client = site.client(Persona::Writer, 2);
        let url = site.url(way, Persona::Writer, "~alice/open");
        client.git(&["clone", "-q", &url, "work"]).await.good();
        let id = client.commit("work", "b.txt", &format!("{way:?}\n")).await;
        let push = client.command("work", &["push", "-q", "origin", "master"]);
        let push = tokio::spawn(run(push, b""));
        gate.reached().await;
        site.stop();
        // Nobody else gets in any more.
        let begun = Instant::now();
        loop {
            let port = if way == Way::Http {
                site.http
            } else {
                site.ssh
            };
            let Ok(mut socket) = TcpStream::connect(port).await else {
                break;
            };
            let mut nothing = Vec::new();
            let read = socket.read_to_end(&mut nothing);
            if tokio::time::timeout(Duration::from_millis(200), read)
                .await
                .is_ok()
            {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{way:?}: it still accepts");
        }
        assert!(!push.is_finished(), "{way:?}");
        gate.open();
        push.await.unwrap().good();
        let dir = site.dir_of("~alice/open").await;
        assert_eq!(
            fixture::git_text(&dir, &["rev-parse", "master"]),
            id,
            "{way:?}"
        );
        let stopping = Instant::now();
        site.restart().await;
        assert!(
            stopping.elapsed() < Duration::from_secs(20),
            "{way:?}: it went on"
        );
    }
    site.end().await;
}
