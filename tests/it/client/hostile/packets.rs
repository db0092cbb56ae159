//! What is not even a list of commands.

use super::quarry::Quarry;
use super::wire::{self, CAPS, FLUSH, Reply, Report, ZERO, commands, pkt};
use super::{nothing_is_left, still_works};
use crate::client::push::refs;
use crate::support::Persona;
use crate::support::site::Site;

const REPO: &str = "~alice/open";

/// Expects an answer that is no success and no failure of the server's.
fn refused(what: &str, reply: &Reply) {
    assert!(
        reply.status < 500,
        "{what}: {} {}",
        reply.status,
        reply.text()
    );
    let report = reply.report();
    assert!(!report.is_good(), "{what}: {report:?}");
    let told = reply.status >= 400 || !report.reasons().trim().is_empty();
    assert!(
        told,
        "{what}: no word about it: {} {:?}",
        reply.status,
        reply.text()
    );
}

fn nonsense(quarry: &Quarry) -> Vec<(String, Vec<u8>)> {
    let master = &*quarry.master;
    let pack = quarry.pack(&[]);
    let name = "refs/heads/new";
    let line = |text: String| [pkt(text), FLUSH.to_vec(), pack.clone()].concat();
    let mut all: Vec<(String, Vec<u8>)> = [
        &b"zzzz"[..],
        b"0003",
        b"0003abc",
        b"fff",
        b"ff",
        b"f",
        b"-001",
        b"+004",
        b"0x10",
        b" 004",
        b"0001",
        b"0002",
        b"0004",
        b"00040004",
        b"0005",
        b"0005\n",
        b"0005\n0000",
        b"ffff",
        b"fff1",
        b"PACK",
        b"PACK\0\0\0\x02\0\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"000\n",
        b"0008ERR ",
        b"{\"a\":1}",
    ]
    .into_iter()
    .map(|bytes| {
        (
            format!("{:?}", String::from_utf8_lossy(bytes)),
            bytes.to_vec(),
        )
    })
    .collect();
    all.push((
        "a packet too large".to_owned(),
        [&b"fff5"[..], &[b'a'; 0xfff1]].concat(),
    ));
    all.push((
        "a packet too large for a file".to_owned(),
        [&b"ffff"[..], &[b'a'; 0xfffb]].concat(),
    ));
    let lines = [
        ("no capabilities and no name", format!("{ZERO} {master}")),
        ("one id", format!("{master}\0{CAPS}")),
        ("ids that touch", format!("{ZERO}{master} {name}\0{CAPS}")),
        ("two spaces", format!("{ZERO}  {master} {name}\0{CAPS}")),
        ("tabs", format!("{ZERO}\t{master}\t{name}\0{CAPS}")),
        (
            "an id of other letters",
            format!("{ZERO} {} {name}\0{CAPS}", "g".repeat(40)),
        ),
        (
            "an id that is short",
            format!("{ZERO} {} {name}\0{CAPS}", &master[..39]),
        ),
        (
            "an id that is long",
            format!("{ZERO} {master}0 {name}\0{CAPS}"),
        ),
        ("no old id", format!("{master} {name}\0{CAPS}")),
        ("only capabilities", format!("\0{CAPS}")),
        ("a shallow line of nonsense", "shallow nonsense".to_owned()),
        ("a word", "hello".to_owned()),
        ("a fetch", format!("want {master}\n")),
        (
            "a command of the other protocol",
            "command=ls-refs\n".to_owned(),
        ),
    ];
    all.extend(lines.map(|(what, text)| (what.to_owned(), line(text))));
    let second = [
        pkt(format!("{ZERO} {master} {name}\0{CAPS}")),
        pkt("nonsense"),
        FLUSH.to_vec(),
        pack.clone(),
    ];
    all.push(("a second line of nonsense".to_owned(), second.concat()));
    let delim = [
        pkt(format!("{ZERO} {master} {name}\0{CAPS}")),
        b"0001".to_vec(),
        pack.clone(),
    ];
    all.push(("another end of the list".to_owned(), delim.concat()));
    all
}

#[tokio::test]
async fn nonsense_is_refused_with_a_reason() {
    let site = Site::new().await;
    let quarry = Quarry::new(&site);
    let client = site.client(Persona::Owner, 0);
    let before = refs(&site, REPO).await;
    for (at, (what, body)) in nonsense(&quarry).into_iter().enumerate() {
        let reply = wire::post(&site, Persona::Owner, REPO, &body).await;
        refused(&what, &reply);
        assert_eq!(refs(&site, REPO).await, before, "{what}");
        // A process of ssh's for each is a lot to ask for.
        if at % 3 == 0 {
            let ran = wire::exec(&site, &client, REPO, &body).await;
            let report = Report::after_advertisement(&ran.raw);
            assert!(!report.is_good(), "{what}: {ran:?}");
            let told = format!("{}{}", report.reasons().trim(), ran.err.trim());
            assert!(!told.is_empty(), "{what}: no word about it: {ran:?}");
            assert_eq!(refs(&site, REPO).await, before, "{what}");
        }
        nothing_is_left(&site, REPO).await;
    }
    still_works(&site, REPO).await;
    site.end().await;
}

/// What git's client sends before a large push, and what a browser might.
#[tokio::test]
async fn a_push_of_nothing_is_answered_with_nothing() {
    let site = Site::new().await;
    let before = refs(&site, REPO).await;
    for repo in [REPO, "~alice/nothing"] {
        let reply = wire::post(&site, Persona::Owner, repo, FLUSH).await;
        assert_eq!((reply.status, &*reply.text()), (200, ""), "{repo}");
        let result = "content-type: application/x-git-receive-pack-result";
        assert!(reply.head.contains(result), "{}", reply.head);
        assert!(reply.head.contains("no-cache"), "{}", reply.head);
    }
    assert_eq!(
        crate::client::push::row(&site, "~alice/nothing").await,
        None
    );
    let shallow = [pkt(format!("shallow {}", "1".repeat(40))), FLUSH.to_vec()].concat();
    let reply = wire::post(&site, Persona::Owner, REPO, &shallow).await;
    assert!(reply.status < 500, "{reply:?}");
    assert!(!reply.report().is_good());
    let reply = wire::post(&site, Persona::Owner, REPO, b"").await;
    assert!(reply.status < 500, "{reply:?}");
    assert!(!reply.report().is_good());
    assert_eq!(refs(&site, REPO).await, before);
    still_works(&site, REPO).await;
    site.end().await;
}

#[tokio::test]
async fn a_push_that_ends_anywhere_changes_nothing() {
    let site = Site::new().await;
    let quarry = Quarry::new(&site);
    let client = site.client(Persona::Owner, 0);
    let new = quarry.upon(&quarry.tree);
    let list = [
        (ZERO, &*new, &b"refs/heads/new"[..]),
        (&*quarry.first, ZERO, b"refs/tags/light"),
    ];
    let caps = format!("{CAPS} push-options");
    let pack = quarry.pack(&[&new]);
    let options = [pkt("an=option"), FLUSH.to_vec()].concat();
    let body = [commands(&list, &caps), options, pack.clone()].concat();
    let before = refs(&site, REPO).await;
    let head = wire::head(&site, Persona::Owner, REPO);
    let commands_end = body.len() - pack.len();
    // Each place where a command may end, and many in the pack.
    let ends = (0..commands_end + 40).chain((commands_end + 40..body.len()).step_by(3));
    for end in ends {
        // An end that is said to be one, and one that is not.
        let reply = wire::post(&site, Persona::Owner, REPO, &body[..end]).await;
        assert!(reply.status < 500, "{end}: {reply:?}");
        assert!(!reply.report().is_good(), "{end}: {:?}", reply.report());
        if end % 4 == 0 {
            let head = format!("{head}content-length: {}\r\n\r\n", body.len());
            wire::abandon(&site, &[head.as_bytes(), &body[..end]].concat()).await;
            let chunk = format!("{head}transfer-encoding: chunked\r\n\r\n{end:x}\r\n");
            let chunk = [chunk.as_bytes(), &body[..end]].concat();
            wire::abandon(&site, &chunk).await;
        }
        if end % 37 == 0 {
            let ran = wire::exec(&site, &client, REPO, &body[..end]).await;
            assert!(
                !Report::after_advertisement(&ran.raw).is_good(),
                "{end}: {ran:?}"
            );
        }
        if end % 16 == 0 {
            assert_eq!(refs(&site, REPO).await, before, "{end}");
        }
    }
    nothing_is_left(&site, REPO).await;
    assert_eq!(refs(&site, REPO).await, before);
    let reply = wire::post(&site, Persona::Owner, REPO, &body).await;
    assert!(reply.report().is_good(), "{:?}", reply.report());
    still_works(&site, REPO).await;
    site.end().await;
}
