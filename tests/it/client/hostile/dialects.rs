//! Clients that ask for an answer of another shape, or for none.

use super::quarry::Quarry;
use super::still_works;
use super::wire::{self, FLUSH, ZERO, commands, packets, pkt};
use crate::client::push::{refs, tip};
use crate::support::Persona;
use crate::support::site::Site;

const REPO: &str = "~alice/open";

#[tokio::test]
async fn a_report_has_the_shape_that_was_asked_for() {
    let site = Site::new().await;
    let quarry = Quarry::new(&site);
    let client = site.client(Persona::Owner, 0);
    let master = &*quarry.master;
    for (at, caps) in [
        "",
        "quiet",
        "side-band-64k",
        "report-status",
        "report-status-v2",
        "report-status report-status-v2",
        "report-status side-band-64k",
        "report-status-v2 side-band-64k quiet",
    ]
    .into_iter()
    .enumerate()
    {
        let (good, bad) = (
            format!("refs/heads/good-{at}"),
            format!("refs/heads/bad-{at}"),
        );
        let list = [
            (ZERO, master, good.as_bytes()),
            (&*quarry.first, master, bad.as_bytes()),
        ];
        let body = [commands(&list, caps), quarry.pack(&[])].concat();
        let check = async |answer: &[u8]| {
            let report = wire::Report::parse(answer);
            let listed = caps.contains("report-status");
            assert_eq!(
                report.refs.len(),
                if listed { 2 } else { 0 },
                "{caps}: {report:?}"
            );
            assert_eq!(report.unpack.as_deref(), listed.then_some("ok"));
            let banded = caps.contains("side-band");
            assert!(banded || !report.banded, "{caps}: {report:?}");
            if listed && banded {
                assert!(report.banded, "{caps}: {report:?}");
            }
            if listed {
                assert_eq!(report.refs[0], (good.clone(), None));
                assert_eq!(report.refs[1].0, bad);
                assert!(report.refs[1].1.as_ref().is_some_and(|why| !why.is_empty()));
                assert_eq!(packets(answer).last(), Some(None), "no flush at the end");
            }
            assert_eq!(tip(&site, REPO, &good).await.as_deref(), Some(master));
            assert_eq!(tip(&site, REPO, &bad).await, None);
        };
        let reply = wire::post(&site, Persona::Owner, REPO, &body).await;
        assert_eq!(reply.status, 200);
        check(&reply.body).await;

        let list = [(master, ZERO, good.as_bytes())];
        let gone = wire::post(&site, Persona::Owner, REPO, &commands(&list, caps)).await;
        assert_eq!(gone.status, 200);
        assert_eq!(tip(&site, REPO, &good).await, None);

        let ran = wire::exec(&site, &client, REPO, &body).await;
        let end = ran.raw.windows(4).position(|window| window == FLUSH);
        check(&ran.raw[end.expect("an advertisement") + 4..]).await;
    }
    still_works(&site, REPO).await;
    site.end().await;
}

#[tokio::test]
async fn an_advertisement_promises_what_is_kept() {
    let site = Site::new().await;
    let client = site.client(Persona::Owner, 0);
    let auth = wire::authorization(&site, Persona::Owner);
    for version in [
        "",
        "git-protocol: version=1\r\n",
        "git-protocol: version=2\r\n",
    ] {
        let get = format!(
            "GET /{REPO}/info/refs?service=git-receive-pack HTTP/1.1\r\nhost: {}\r\nauthorization: {auth}\r\n\
             {version}connection: close\r\n\r\n",
            site.http
        );
        let reply = wire::send(&site, get.as_bytes()).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let wanted = "content-type: application/x-git-receive-pack-advertisement";
        assert!(reply.head.contains(wanted), "{}", reply.head);
        let start = [pkt("# service=git-receive-pack\n"), FLUSH.to_vec()].concat();
        assert!(reply.body.starts_with(&start), "{}", reply.text());
        let over_ssh = wire::exec(&site, &client, REPO, FLUSH).await;
        let http = advertised(&reply.body[start.len()..]);
        assert_eq!(http, advertised(&over_ssh.raw), "{version}");
        let (caps, refs) = http;
        for cap in [
            "report-status",
            "report-status-v2",
            "delete-refs",
            "side-band-64k",
            "quiet",
            "atomic",
            "ofs-delta",
            "push-options",
            "object-format=sha1",
        ] {
            assert!(
                caps.iter().any(|known| known == cap),
                "{cap} is not in {caps:?}"
            );
        }
        assert!(caps.iter().any(|cap| cap.starts_with("agent=")), "{caps:?}");
        assert!(
            !caps.iter().any(|cap| cap.starts_with("push-cert")),
            "{caps:?}"
        );
        let all = crate::client::push::refs(&site, REPO).await;
        let there: Vec<_> = all.lines().filter(|line| line.contains(' ')).collect();
        assert_eq!(refs, there, "{version}");
    }
    site.end().await;
}

/// The capabilities and the refs of an advertisement.
fn advertised(stream: &[u8]) -> (Vec<String>, Vec<String>) {
    let mut caps = Vec::new();
    let mut refs = Vec::new();
    for packet in packets(stream).map_while(|packet| packet) {
        let line = String::from_utf8_lossy(packet);
        let line = line.trim_end();
        let line = match line.split_once('\0') {
            Some((line, list)) => {
                caps.extend(list.split_whitespace().map(str::to_owned));
                line
            }
            None => line,
        };
        if line.starts_with("version ") {
            continue;
        }
        refs.push(line.to_owned());
    }
    (caps, refs)
}

#[tokio::test]
async fn options_that_are_no_text_hurt_nobody() {
    let site = Site::new().await;
    let quarry = Quarry::new(&site);
    let caps = "report-status side-band-64k push-options";
    let long = [b'a'; 4_097];
    let options: &[(&str, bool, &[&[u8]])] = &[
        ("none", true, &[]),
        ("text", true, &[b"a", b"k=v", b""]),
        ("a line's end", true, &[b"a\n"]),
        ("no UTF-8", false, &[b"\xff\xfe=\xff"]),
        ("a NUL", false, &[b"a\0b", b"\0"]),
        ("lines", false, &[b"a\nb\nc=d\n\n"]),
        (
            "colours",
            false,
            &[b"description=\x1b[31mred\x1b]0;title\x07", b"\x1b[2J"],
        ),
        ("one too long", false, &[&long]),
        ("too many", false, &[&b"a"[..]; 65]),
        ("far too many", false, &[&b"a=b"[..]; 20_000]),
    ];
    for (at, (what, good, list)) in options.iter().enumerate() {
        let name = format!("refs/heads/{at}");
        let command = [(ZERO, &*quarry.master, name.as_bytes())];
        let lines: Vec<_> = list.iter().flat_map(pkt).collect();
        let body = [
            commands(&command, caps),
            lines,
            FLUSH.to_vec(),
            quarry.pack(&[]),
        ]
        .concat();
        let reply = wire::post(&site, Persona::Owner, REPO, &body).await;
        let report = reply.report();
        assert!(reply.status < 500, "{what}: {reply:?}");
        assert!(report.is_good() || !good, "{what}: {report:?}");
        let there = tip(&site, REPO, &name).await.is_some();
        assert_eq!(there, report.is_good(), "{what}: {report:?}");
        if !report.is_good() {
            assert!(
                !report.reasons().trim().is_empty() || reply.status >= 400,
                "{what}"
            );
        }
        let shown = reply.text();
        assert!(
            !shown.contains('\x1b') && !shown.contains('\x07'),
            "{what}: {shown:?}"
        );
    }
    let before = refs(&site, REPO).await;
    // Options that were not announced are no pack.
    let command = [(ZERO, &*quarry.master, &b"refs/heads/no"[..])];
    let sent = [
        commands(&command, "report-status"),
        pkt("a"),
        FLUSH.to_vec(),
        quarry.pack(&[]),
    ];
    let reply = wire::post(&site, Persona::Owner, REPO, &sent.concat()).await;
    assert!(!reply.report().is_good(), "{:?}", reply.report());
    assert_eq!(refs(&site, REPO).await, before);
    still_works(&site, REPO).await;
    site.end().await;
}
