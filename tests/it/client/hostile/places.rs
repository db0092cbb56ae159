//! Pushes that are asked for in the wrong place, or wrapped in the wrong way.

use super::quarry::Quarry;
use super::wire::{self, CAPS, FLUSH, Report, ZERO, commands};
use super::{nothing_is_left, still_works};
use crate::client::push::{refs, row, tip};
use crate::support::Persona;
use crate::support::site::{Client, Site};

const REPO: &str = "~alice/open";

async fn gzip(client: &Client, bytes: &[u8]) -> Vec<u8> {
    let ran = client
        .git_with(".", &["-c", "alias.gz=!gzip -c", "gz"], bytes)
        .await;
    ran.good().raw
}

#[tokio::test]
async fn a_body_of_another_kind_is_not_taken_for_a_push() {
    let site = Site::new().await;
    let quarry = Quarry::new(&site);
    let list = [(ZERO, &*quarry.master, &b"refs/heads/new"[..])];
    let body = [commands(&list, CAPS), quarry.pack(&[])].concat();
    let before = refs(&site, REPO).await;
    let auth = wire::authorization(&site, Persona::Owner);
    for kind in [
        "",
        "content-type: application/x-git-upload-pack-request\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: text/plain\r\n",
        "content-type: application/json\r\n",
        "content-type: application/x-git-receive-pack-result\r\n",
    ] {
        let head = format!(
            "POST /{REPO}/git-receive-pack HTTP/1.1\r\nhost: {}\r\nauthorization: {auth}\r\n{kind}connection: close\r\ncontent-length: {}\r\n\r\n",
            site.http,
            body.len()
        );
        let reply = wire::send(&site, &[head.as_bytes(), &body].concat())
            .await
            .unwrap();
        assert_eq!(reply.status, 415, "{kind:?}: {}", reply.text());
        assert_eq!(refs(&site, REPO).await, before, "{kind:?}");
    }
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let head = wire::head(&site, Persona::Owner, REPO).replacen("POST", method, 1);
        let head = format!("{head}content-length: {}\r\n\r\n", body.len());
        let reply = wire::send(&site, &[head.as_bytes(), &body].concat())
            .await
            .unwrap();
        assert!(
            matches!(reply.status, 404 | 405),
            "{method}: {} {}",
            reply.status,
            reply.text()
        );
        assert_eq!(refs(&site, REPO).await, before, "{method}");
    }
    still_works(&site, REPO).await;
    site.end().await;
}

#[tokio::test]
async fn a_compressed_push_is_unpacked_or_refused() {
    let site = Site::new().await;
    let quarry = Quarry::new(&site);
    let client = site.client(Persona::Owner, 0);
    let new = quarry.upon(&quarry.tree);
    let body = |name: &str| {
        let list = [(ZERO, &*new, name.as_bytes())];
        [commands(&list, CAPS), quarry.pack(&[&new])].concat()
    };
    for (at, name) in ["gzip", "x-gzip"].into_iter().enumerate() {
        let branch = format!("refs/heads/gzip-{at}");
        let packed = gzip(&client, &body(&branch)).await;
        let header = format!("content-encoding: {name}\r\n");
        let reply = wire::post_with(&site, Persona::Owner, REPO, &header, &packed).await;
        assert!(
            reply.report().is_good(),
            "{name}: {} {}",
            reply.status,
            reply.text()
        );
        assert_eq!(tip(&site, REPO, &branch).await.as_ref(), Some(&new));
    }
    let before = refs(&site, REPO).await;
    let other = quarry.commit(&quarry.tree, &[&quarry.first]);
    let plain = [
        commands(&[(ZERO, &*other, b"refs/heads/no")], CAPS),
        quarry.pack(&[&other]),
    ]
    .concat();
    let packed = gzip(&client, &plain).await;
    let mut flipped = packed.clone();
    let middle = packed.len() / 2;
    flipped[middle] ^= 0x55;
    let bomb = gzip(&client, &vec![b'x'; 100_000_000]).await;
    for (what, encoding, body) in [
        ("cut off", "gzip", &packed[..middle]),
        ("with a fault", "gzip", &flipped),
        ("that is not compressed", "gzip", &plain),
        (
            "that is compressed and does not say so",
            "identity",
            &packed,
        ),
        ("of nothing but one letter", "gzip", &bomb),
        ("of an unknown kind", "zstd", &packed),
        ("of two kinds", "gzip, gzip", &packed),
    ] {
        let header = format!("content-encoding: {encoding}\r\n");
        let reply = wire::post_with(&site, Persona::Owner, REPO, &header, body).await;
        assert!(
            reply.status < 500,
            "{what}: {} {}",
            reply.status,
            reply.text()
        );
        assert!(!reply.report().is_good(), "{what}: {:?}", reply.report());
        let told = reply.status >= 400 || !reply.report().reasons().trim().is_empty();
        assert!(told, "{what}: no word about it");
        assert_eq!(refs(&site, REPO).await, before, "{what}");
        nothing_is_left(&site, REPO).await;
    }
    still_works(&site, REPO).await;
    site.end().await;
}

#[tokio::test]
async fn no_path_leads_past_the_access_list() {
    let site = Site::new().await;
    let quarry = Quarry::new(&site);
    let list = [(ZERO, &*quarry.master, &b"refs/heads/new"[..])];
    let body = [commands(&list, CAPS), quarry.pack(&[])].concat();
    let secret = refs(&site, "~alice/secret").await;
    let open = refs(&site, REPO).await;
    let long = format!("~alice/{}", "a".repeat(20_000));
    let client = site.client(Persona::Stranger, 0);
    for path in [
        "~alice/secret",
        "~alice/secret.git",
        "~alice/open/../secret",
        "~stranger/../~alice/secret",
        "~alice/./secret",
        "~alice//secret",
        "/~alice/secret",
        "~alice/secret/",
        "~alice%2fsecret",
        "%7ealice/secret",
        "~alice/%73ecret",
        "~alice/open%2f..%2fsecret",
        "~alice/%2e%2e/~alice/secret",
        "~alice/secret%00",
        "~alice/secret%0a",
        "~alice/secret%ff",
        "~alice/..",
        "~alice",
        "..",
        "../../../../etc",
        "repos/00/00/03.git",
        "data/repositories/repos/00/00/03.git",
        &long,
    ] {
        let reply = wire::post(&site, Persona::Stranger, path, &body).await;
        let bad = matches!(reply.status, 300..=499);
        assert!(bad, "{path:.60}: {} {}", reply.status, reply.text());
        if path.len() < 100 && !path.contains('%') {
            let ran = wire::exec(&site, &client, path, &body).await;
            assert!(
                !Report::after_advertisement(&ran.raw).is_good(),
                "{path}: {ran:?}"
            );
            assert_ne!(ran.code, Some(0), "{path}: {ran:?}");
            assert!(!ran.err.trim().is_empty(), "{path}: no word about it");
        }
        assert_eq!(refs(&site, "~alice/secret").await, secret, "{path:.60}");
        assert_eq!(refs(&site, REPO).await, open, "{path:.60}");
    }
    for command in [
        "git-receive-pack",
        "git-receive-pack ''",
        "git-receive-pack ~alice/open ~alice/open",
        "git-receive-pack --help ~alice/open",
        "git-receive-pack '--stateless-rpc' '~alice/open'",
        "git-receive-pack '~alice/open'; id",
        "git-receive-pack '~alice/open' && id",
        "git-receive-pack $(id)",
        "git-receive-pack '~alice/open",
        "git-receive-pack /etc",
        "git-receive-pack '~alice/op\\en'",
        "git-shell -c \"git-receive-pack '~alice/open'\"",
        "sh -c 'git-receive-pack ~alice/open'",
    ] {
        let address = format!("git@{}", site.ssh.ip());
        let owner = site.client(Persona::Owner, 0);
        let ran = owner.ssh_with(&site, &[&address, command], &body).await;
        assert_ne!(ran.code, Some(0), "{command}: {ran:?}");
        assert!(
            !ran.out.contains("uid=") && !ran.err.trim().is_empty(),
            "{command}: {ran:?}"
        );
        assert_eq!(refs(&site, REPO).await, open, "{command}");
    }
    // The two ways to say it that git has.
    for command in [
        "git-receive-pack '/~alice/open.git/'",
        "git receive-pack '~alice/open'",
    ] {
        let address = format!("git@{}", site.ssh.ip());
        let owner = site.client(Persona::Owner, 0);
        let ran = owner.ssh_with(&site, &[&address, command], FLUSH).await;
        assert_eq!(ran.code, Some(0), "{command}: {ran:?}");
    }
    still_works(&site, REPO).await;
    site.end().await;
}

#[tokio::test]
async fn a_post_without_the_right_to_push_changes_nothing() {
    let site = Site::new().await;
    let quarry = Quarry::new(&site);
    let list = [(ZERO, &*quarry.master, &b"refs/heads/new"[..])];
    let body = [commands(&list, CAPS), quarry.pack(&[])].concat();
    for repo in [REPO, "~alice/secret", "~alice/nothing"] {
        for persona in [
            Persona::Anon,
            Persona::Forger,
            Persona::Expired,
            Persona::Suspended,
            Persona::Stranger,
            Persona::Reader,
            Persona::ProfileOnly,
            Persona::ReadOnly,
        ] {
            for probe in [FLUSH, &body] {
                let reply = wire::post(&site, persona, repo, probe).await;
                let bad = matches!(reply.status, 401 | 403 | 404);
                assert!(bad, "{persona:?} {repo}: {} {}", reply.status, reply.text());
            }
        }
        if repo != "~alice/nothing" {
            assert_eq!(tip(&site, repo, "refs/heads/new").await, None);
        }
    }
    assert_eq!(row(&site, "~alice/nothing").await, None);
    still_works(&site, REPO).await;
    site.end().await;
}
