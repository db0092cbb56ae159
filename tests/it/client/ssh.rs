//! What the stock OpenSSH client can get out of the SSH server, and what it cannot: the rows S01 to S25 of the sheet.

mod commands;
mod sessions;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::support::site::{Ran, Site, command, run};
use crate::support::{Persona, fixture};

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
    let as_git_runs_it = site.client(Persona::Owner, 2);
    let ran = as_git_runs_it.ssh(&site, &["git@127.0.0.1"]).await;
    ran.greeted("alice");
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

/// An identity that is offered even if its secret half is not there.
fn identity(key: &Path) -> String {
    format!("IdentityFile={}", key.display())
}

#[tokio::test]
async fn whoever_signed_it_is_not_who_was_offered_before() {
    let site = Site::new().await;
    let pairs = [
        (Persona::Owner, "alice", Persona::Stranger, "stranger"),
        (Persona::Stranger, "stranger", Persona::Owner, "alice"),
    ];
    for (i, (offered, name, signed, other)) in pairs.into_iter().enumerate() {
        // A public half alone can be offered and not used.
        let half = site.world.dir.path().join(format!("keys/half{i}"));
        let public = site.key_of(offered).with_extension("pub");
        fs::copy(public, half.with_extension("pub")).unwrap();
        let mut both = bare(&site, &["-v", "-o", "LogLevel=DEBUG1"]);
        both.arg("-o")
            .arg(identity(&half))
            .arg("-i")
            .arg(site.key_of(signed));
        both.args(["-l", "git", "127.0.0.1"]);
        let mut open = bare(&site, &[]);
        open.arg("-o")
            .arg(identity(&half))
            .arg("-i")
            .arg(site.key_of(signed));
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
    let half = site.world.dir.path().join("keys/half0");
    let option = identity(&half);
    let mut alone = bare(&site, &["-o", &option]);
    alone.args(["-l", "git", "127.0.0.1"]);
    run(alone, b"").await.locked_out();
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
        "git-upload-pack '~alice/o'\\p'en'",
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
    for options in [&[][..], &["-T"], &["-A"], &["-X"], &["-C"]] {
        let ran = ssh(&site, &key, options, &[]).await;
        assert_eq!(ran.code, Some(128), "{options:?}: {}", ran.err);
        assert!(ran.err.contains("writer"), "{options:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{options:?}");
    }
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

#[tokio::test]
async fn who_asks_for_a_terminal_is_greeted_without_one() {
    let site = Site::new().await;
    let key = site.key_of(Persona::Writer);
    // At a terminal, `ssh` asks for one by itself, and goes on without.
    let ssh_itself = command_of(&site, &key, &[], &[]);
    let line = ssh_itself.as_std().get_args().map(|word| {
        let word = word.to_str().expect("text");
        format!("'{word}'")
    });
    let line = format!("ssh {}", line.collect::<Vec<_>>().join(" "));
    let mut script = command("script", site.world.dir.path());
    script.args(["-q", "-e", "-c", &line, "/dev/null"]);
    let ran = run(script, b"").await;
    assert_eq!(ran.code, Some(128), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("writer"), "{}", ran.out);
    // Nor does whoever insists get anything else.
    for words in [&[][..], &["id"]] {
        let ran = ssh(&site, &key, &["-tt"], words).await.bad();
        assert_eq!(ran.out, "", "{}", ran.err);
    }
    site.end().await;
}
