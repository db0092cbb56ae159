//! Connections and what happens to them, keys that open repositories, and the end of the servers: the rows S11, S14 to S18
//! and S22.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use forge::access::Mode;
use forge::{Credentials, Limits, Page, Scope};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{Says as _, asks, bare, command_of, ssh};
use crate::client::clone::{all_gone, at_work, big};
use crate::client::http::{PATIENCE, gated, rename};
use crate::support::site::{Site, Way, run};
use crate::support::{Database, Persona, alice, fixture};

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
    rename(&site, "open", "opened").await;
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
