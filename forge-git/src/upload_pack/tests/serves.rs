//! Requests and sessions of a client that writes pkt-lines by hand.

use std::time::Duration;

use bstr::ByteSlice as _;
use forge_core::limits::FetchLimits;
use forge_core::testing::Fixture;
use forge_core::{Error, RepoId, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::{Bed, ls_refs, pkts};
use crate::format::Format;
use crate::permits::Client;
use crate::pkt::{self, Pkt};
use crate::transport::Version;

fn fetch(want: &str) -> Vec<u8> {
    let want = format!("want {want}\n");
    pkts(&[
        "command=fetch",
        "0001",
        "ofs-delta",
        "no-progress",
        &want,
        "done\n",
        "0000",
    ])
}

/// The pack in an answer to `fetch`.
async fn pack_of(mut answer: &[u8]) -> Vec<u8> {
    let mut pack = Vec::new();
    let first = pkt::read(&mut answer)
        .await
        .expect("a line")
        .expect("a line");
    assert_eq!(
        first.line(),
        Some(&b"packfile"[..]),
        "{:?}",
        answer.as_bstr()
    );
    while let Some(Pkt::Data(data)) = pkt::read(&mut answer).await.expect("a line") {
        if let Some(bytes) = data.strip_prefix(b"\x01") {
            pack.extend_from_slice(bytes);
        }
    }
    assert_eq!(answer, b"");
    pack
}

#[tokio::test]
async fn a_fetch_brings_a_pack() {
    let bed = Bed::tangled().await;
    let tip = bed.truth.ask(&["rev-parse", "b1"]);
    let (done, answer) = bed.answer(Version::V2, &fetch(&tip)).await;
    done.expect("answered");
    let clone = Fixture::empty(bed.root.path(), "clone");
    let _ = clone.feed(
        &["index-pack", "--stdin", "--strict"],
        &pack_of(&answer).await,
    );
    assert_eq!(clone.ask(&["cat-file", "-t", &tip]), "commit");
    clone.run(&["rev-list", "--objects", &tip]);
}

#[tokio::test]
async fn old_versions_are_a_childs() {
    let bed = Bed::tangled().await;
    let tip = bed.truth.ask(&["rev-parse", "b1"]);
    for (version, first) in [(Version::V0, "HEAD"), (Version::V1, "version 1")] {
        let (output, mut read) = duplex(1 << 20);
        let source = bed.source();
        let done = source.advertise(version, Box::new(output)).await;
        done.expect("advertised");
        let mut advert = Vec::new();
        read.read_to_end(&mut advert).await.expect("memory");
        let line = advert.lines().next().expect("a line");
        assert!(line.contains_str(first), "{:?}", line.as_bstr());
        assert!(!advert.contains_str("refs/forge"));
        let want = format!("want {tip} side-band-64k no-progress\n");
        let request = pkts(&[&want, "0000", "done\n"]);
        let (done, answer) = bed.answer(version, &request).await;
        done.expect("answered");
        assert!(answer.contains_str("PACK"));
    }
}

#[tokio::test]
async fn what_cannot_be_answered_is_said_in_band() {
    let bed = Bed::tangled().await;
    for (request, words) in [
        (
            pkts(&["command=bogus", "0000"]),
            "ERR there is no command \"bogus\" here",
        ),
        (
            pkts(&["command=object-info", "0001", "size", "0000"]),
            "ERR there is no command",
        ),
        (pkts(&["command=agent", "0000"]), "ERR there is no command"),
        (pkts(&["agent=x", "0000"]), "ERR no command requested"),
        (pkts(&["bogus", "0000"]), "ERR unknown capability 'bogus'"),
        (
            pkts(&["command=ls-refs", "0001", "bogus", "0000"]),
            "ERR unexpected line: 'bogus'",
        ),
        (
            pkts(&["command=ls-refs", "object-format=sha256", "0000"]),
            "ERR mismatched object format",
        ),
        (fetch(&"3".repeat(40)), "ERR upload-pack: not our ref"),
        (
            pkts(&[
                "command=fetch",
                "0001",
                "filter sparse:oid=x",
                "done",
                "0000",
            ]),
            "not supported",
        ),
        (
            pkts(&["command=fetch", "0001", "filter tree:5", "done", "0000"]),
            "ERR",
        ),
    ] {
        let (done, answer) = bed.answer(Version::V2, &request).await;
        done.expect("answered");
        assert!(
            answer.contains_str(words),
            "{words}: {:?}",
            answer.as_bstr()
        );
        assert!(!answer.contains_str(bed.root.path().to_str().expect("text")));
    }
    for nothing in [&b""[..], b"0000"] {
        let (done, answer) = bed.answer(Version::V2, nothing).await;
        done.expect("nothing is fine");
        assert_eq!(answer, b"");
    }
    for bad in [
        &b"zzzz"[..],
        b"0013command=ls-refs",
        b"0002",
        b"0003",
        b"00",
    ] {
        let (done, answer) = bed.answer(Version::V2, bad).await;
        assert!(matches!(done, Err(Error::Invalid(_))), "{bad:?}");
        assert_eq!(answer, b"");
    }
}

#[tokio::test]
async fn limits_hold_before_the_first_byte() {
    let mut limits = FetchLimits::default();
    limits.request_bytes = 1_000;
    limits.at_once = 1;
    limits.wait = Duration::from_millis(50);
    let bed = Bed::limited(limits).await;
    let have = format!("have {}\n", "4".repeat(40));
    let mut lines = vec!["command=fetch", "0001"];
    lines.extend(std::iter::repeat_n(have.as_str(), 50));
    lines.push("0000");
    let (done, answer) = bed.answer(Version::V2, &pkts(&lines)).await;
    assert!(matches!(done, Err(Error::Limit { .. })), "{done:?}");
    assert_eq!(answer, b"");
    let (done, _) = bed.answer(Version::V0, &[b'0'; 2_000]).await;
    assert!(done.is_err());

    let _taken = bed
        .permits
        .take(RepoId(2), Client::Unknown)
        .await
        .expect("one");
    let (done, answer) = bed.answer(Version::V2, &fetch(&"3".repeat(40))).await;
    assert!(matches!(done, Err(Error::Unavailable(_))), "{done:?}");
    assert_eq!(answer, b"");
    // What needs no child needs no permit.
    let (done, answer) = bed.answer(Version::V2, &ls_refs(Format::Sha1, &[])).await;
    done.expect("answered");
    assert_eq!(answer, b"0000");
}

/// A client of a session: what it writes to, what it reads.
fn session(
    bed: &Bed,
    version: Version,
) -> (impl Future<Output = (Result<u32>, Vec<u8>)>, DuplexStream) {
    let (client, server) = duplex(1 << 20);
    let (input, output) = tokio::io::split(server);
    let (messages, mut heard) = duplex(1 << 20);
    let source = bed.source();
    let serve = async move {
        let (input, output) = (Box::new(input), Box::new(output));
        let done = source
            .session(version, input, output, Box::new(messages))
            .await;
        let mut said = Vec::new();
        heard.read_to_end(&mut said).await.expect("memory");
        (done, said)
    };
    (serve, client)
}

#[tokio::test]
async fn a_session_answers_one_command_after_the_other() {
    let bed = Bed::tangled().await;
    let tip = bed.truth.ask(&["rev-parse", "b1"]);
    let (serve, mut client) = session(&bed, Version::V2);
    let talk = async {
        let first = pkt::read(&mut client)
            .await
            .expect("a line")
            .expect("a line");
        assert_eq!(first.line(), Some(&b"version 2"[..]));
        while pkt::read(&mut client).await.expect("a line") != Some(Pkt::Flush) {}
        for _ in 0..2 {
            client
                .write_all(&ls_refs(Format::Sha1, &["peel".into()]))
                .await
                .expect("sent");
            while pkt::read(&mut client).await.expect("a line") != Some(Pkt::Flush) {}
            client.write_all(&fetch(&tip)).await.expect("sent");
            let mut bytes = 0;
            loop {
                match pkt::read(&mut client)
                    .await
                    .expect("a line")
                    .expect("a line")
                {
                    Pkt::Data(data) => bytes += data.len(),
                    mark => break assert_eq!(mark, Pkt::Flush),
                }
            }
            assert!(bytes > 1_000);
        }
        client.write_all(b"0000").await.expect("sent");
        client
    };
    let ((done, said), _client) = tokio::join!(serve, talk);
    assert_eq!(done.expect("served"), 0);
    assert_eq!(said.as_bstr(), "");
}

#[tokio::test]
async fn a_session_of_version_0_is_a_proxy() {
    let bed = Bed::tangled().await;
    let tip = bed.truth.ask(&["rev-parse", "b1"]);
    let (serve, mut client) = session(&bed, Version::V0);
    let talk = async {
        while pkt::read(&mut client).await.expect("a line") != Some(Pkt::Flush) {}
        let want = format!("want {tip} no-progress\n");
        let request = pkts(&[&want, "0000", "done\n"]);
        client.write_all(&request).await.expect("sent");
        let nak = pkt::read(&mut client)
            .await
            .expect("a line")
            .expect("a line");
        assert_eq!(nak.line(), Some(&b"NAK"[..]));
        // The client's side stays open, as a connection does.
        let mut pack = [0; 4];
        client.read_exact(&mut pack).await.expect("a pack");
        assert_eq!(&pack, b"PACK");
        let mut rest = vec![0; 64 << 10];
        while client.read(&mut rest).await.expect("the rest") > 0 {}
    };
    let ((done, _), ()) = tokio::join!(serve, talk);
    assert_eq!(done.expect("served"), 0);

    let (serve, mut client) = session(&bed, Version::V0);
    let talk = async {
        while pkt::read(&mut client).await.expect("a line") != Some(Pkt::Flush) {}
        let want = format!("want {} no-progress\n", "5".repeat(40));
        client
            .write_all(&pkts(&[&want, "0000", "done\n"]))
            .await
            .expect("sent");
        client
    };
    let ((done, said), _client) = tokio::join!(serve, talk);
    assert_eq!(done.expect("served"), 128);
    assert!(said.contains_str("not our ref"), "{:?}", said.as_bstr());
}

#[tokio::test]
async fn an_archive_is_made_of_what_is_reachable() {
    let bed = Bed::tangled().await;
    for (rev, code, words) in [("b1", 0, "ustar"), ("b1~1^{tree}", 1, "git upload-archive")] {
        let (output, mut read) = duplex(1 << 20);
        let (messages, _heard) = duplex(1 << 20);
        let request = pkts(&[
            "argument --format=tar\n",
            &format!("argument {rev}\n"),
            "0000",
        ]);
        let input = Box::new(std::io::Cursor::new(request));
        let source = bed.source();
        let done = source.archive(input, Box::new(output), Some(Box::new(messages)));
        let mut answer = Vec::new();
        let (done, read) = tokio::join!(done, read.read_to_end(&mut answer));
        read.expect("memory");
        assert_eq!(done.expect("served").min(1), code, "{rev}");
        assert!(answer.contains_str(words), "{rev}: {:?}", answer.as_bstr());
    }
}

#[tokio::test]
async fn who_expects_ids_of_the_other_format_is_told_what_git_tells() {
    for format in [Format::Sha1, Format::Sha256] {
        let bed = Bed::tangled_of(format).await;
        let advert = bed.source().capabilities().await.expect("git");
        let said = format!("object-format={}\n", format.name());
        assert!(advert.contains_str(&said));
        let tip = bed.truth.ask(&["rev-parse", "b1"]);
        for asked in ["object-format=sha1", "object-format=sha256", "agent=x"] {
            let request = pkts(&["command=ls-refs", asked, "0001", "symrefs", "0000"]);
            let (done, answer) = bed.answer(Version::V2, &request).await;
            done.expect("answered");
            let answer = answer.as_bstr();
            let named = asked.trim_start_matches("object-format=").as_bytes();
            if Format::named(named).unwrap_or_default() == format {
                assert_eq!(answer, bed.git_answers(&request).await.as_bstr());
                assert!(answer.contains_str(&tip), "{answer:?}");
            } else {
                assert!(
                    answer.contains_str("mismatched object format"),
                    "{answer:?}"
                );
                assert!(!answer.contains_str(&tip), "{answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_given_up() {
    let mut limits = FetchLimits::default();
    limits.idle = Duration::from_millis(200);
    let bed = Bed::limited(limits).await;
    for version in [Version::V2, Version::V0] {
        let (serve, _client) = session(&bed, version);
        let begun = std::time::Instant::now();
        let (done, _) = serve.await;
        assert!(matches!(done, Err(Error::Invalid(_))), "{done:?}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
