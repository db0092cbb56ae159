//! Commands for hosts with an SSH server of their own: what a client wants is a text, and its bytes come from anywhere.
//!
//! Stock git is the client. Over `git://` it sends first what it wants and then speaks as it does over SSH, so a socket and
//! no second program is between it and [`Transport::serve_command`](forge_git::Transport::serve_command).

use std::net::Ipv4Addr;

use forge::{Caller, Credentials};
use tokio::io::{AsyncReadExt as _, duplex, sink};
use tokio::net::{TcpListener, TcpStream};

use crate::client::clone::refs_of;
use crate::client::push::{copy, copy_as, is_sound, tip};
use crate::support::Persona;
use crate::support::site::{Ran, Site};

async fn caller(site: &Site, persona: Persona) -> Caller {
    let forge = site.world.forge();
    let credentials = match site.world.token_of(persona) {
        Some(token) => Credentials::Token(token),
        None => Credentials::None,
    };
    forge.authenticate(credentials).await.unwrap()
}

/// What a client wants, and which version it speaks: `git-upload-pack /~alice/open\0host=…\0\0version=2\0`.
async fn wanted(socket: &mut TcpStream) -> (String, Option<String>) {
    let mut length = [0; 4];
    socket.read_exact(&mut length).await.unwrap();
    let length = std::str::from_utf8(&length).unwrap();
    let mut line = vec![0; usize::from_str_radix(length, 16).unwrap() - 4];
    socket.read_exact(&mut line).await.unwrap();
    let line = String::from_utf8(line).unwrap();
    let mut parts = line.split('\0');
    let (program, path) = parts.next().unwrap().split_once(' ').unwrap();
    let version = parts.find(|part| part.starts_with("version="));
    (format!("{program} '{path}'"), version.map(str::to_owned))
}

/// Runs git with `there` for the address of a repository; what it says, and the exit code of the command.
async fn git(
    site: &Site,
    (persona, version): (Persona, u8),
    dir: &str,
    words: &[&str],
    client: &crate::support::site::Client,
) -> (Ran, u32) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let there = format!("git://{}/", listener.local_addr().unwrap());
    let config = format!("url.{there}.insteadOf=there:");
    let version = format!("protocol.version={version}");
    let words = [&["-c", &config, "-c", &version], words].concat();
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (command, version) = wanted(&mut socket).await;
        let (input, output) = socket.into_split();
        let transport = site.world.app.transport().expect("the forge's own git");
        let caller = caller(site, persona).await;
        transport
            .serve_command(caller, &command, version.as_deref(), input, output, sink())
            .await
    };
    tokio::join!(client.git_in(dir, &words), serve)
}

#[tokio::test]
async fn a_host_s_own_ssh_server_serves_clones_fetches_and_pushes() {
    let site = Site::new().await;
    for (format, version) in [("sha1", 0), ("sha1", 1), ("sha1", 2), ("sha256", 2)] {
        let how = format!("{format} {version}");
        let name = format!("hosts-{format}-{version}");
        let repo = copy_as(format, &site, &name).await;
        let url = format!("there:{repo}");
        let client = site.client(Persona::Owner, version);
        let owner = (Persona::Owner, version);
        let ask = async |dir: &str, words: &[&str]| {
            let (ran, code) = git(&site, owner, dir, words, &client).await;
            assert_eq!(code, 0, "{how}: {words:?}: {}", ran.err);
            ran.good()
        };
        ask(".", &["clone", "-q", "--mirror", &url, "mirror"]).await;
        assert_eq!(
            client.refs("mirror").await,
            refs_of(&site, &repo).await,
            "{how}"
        );
        ask(".", &["clone", "-q", &url, "work"]).await;
        let new = client.commit("work", "new.txt", "new").await;
        ask("work", &["push", "-q", &url, "HEAD:master", ":feature/x"]).await;
        assert_eq!(
            tip(&site, &repo, "refs/heads/master").await.as_ref(),
            Some(&new)
        );
        assert_eq!(tip(&site, &repo, "refs/heads/feature/x").await, None);
        ask(
            "mirror",
            &["fetch", "-q", "--prune", &url, "+refs/*:refs/*"],
        )
        .await;
        assert_eq!(client.id("mirror", "master").await, new, "{how}");
        client.git_in("mirror", &["fsck", "--strict"]).await.good();
        is_sound(&site, &repo).await;
    }
    site.end().await;
}

#[tokio::test]
async fn a_command_gets_what_its_caller_may_have_and_an_exit_code() {
    let site = Site::new().await;
    let repo = copy(&site, "kept").await;
    let url = format!("there:{repo}");
    let client = site.client(Persona::Stranger, 2);
    client.start("work").await;
    for words in [
        &["ls-remote", &url][..],
        &["push", "-q", &url, "HEAD:refs/heads/x"],
    ] {
        let stranger = (Persona::Stranger, 2);
        let (ran, code) = git(&site, stranger, "work", words, &client).await;
        assert_eq!(code, 128, "{words:?}");
        ran.bad();
    }
    assert_eq!(tip(&site, &repo, "refs/heads/x").await, None);
    // What is said to a person is said where messages go.
    let transport = site.world.app.transport().expect("the forge's own git");
    for (command, words) in [
        ("", "You are authenticated, but this forge offers no shell."),
        ("rm -rf /", "this command is not offered here"),
        ("git-upload-pack '/~alice/kept'", "not found"),
        ("git-receive-pack '/~alice/kept'", "not found"),
    ] {
        let (messages, mut heard) = duplex(4096);
        let caller = caller(&site, Persona::Stranger).await;
        let code = transport
            .serve_command(caller, command, None, tokio::io::empty(), sink(), messages)
            .await;
        assert_eq!(code, 128, "{command}");
        let mut said = String::new();
        heard.read_to_string(&mut said).await.unwrap();
        assert!(said.contains(words), "{command}: {said}");
    }
    site.end().await;
}
