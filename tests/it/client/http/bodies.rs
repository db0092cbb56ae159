//! What is sent with a request, and how answers flow: the rows H15 to H20.

use forge::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::gated;
use super::wire::{Ask, PATIENCE, pkt, v2, v2_post};
use crate::support::site::{Site, command, run};
use crate::support::{Database, Persona, fixture};

/// Bytes as `gzip` packs them.
async fn gzip(site: &Site, bytes: &[u8]) -> Vec<u8> {
    let file = site.world.dir.path().join("to-gzip");
    std::fs::write(&file, bytes).unwrap();
    let mut gzip = command("gzip", site.world.dir.path());
    gzip.args(["-f", "-n", "to-gzip"]);
    run(gzip, b"").await.good();
    std::fs::read(file.with_extension("gz")).unwrap()
}

#[tokio::test]
async fn requests_come_packed_in_pieces_and_from_old_clients() {
    let site = Site::new().await;
    let body = v2("ls-refs", &["ref-prefix refs/heads/"]);
    let good = v2_post("~alice/open", body.clone()).send(&site).await;
    let good = good.smart("upload-pack-result").body;
    let packed = gzip(&site, body.as_bytes()).await;
    for name in ["gzip", "x-gzip", "GZIP", "identity"] {
        let body = if name == "identity" {
            body.as_bytes()
        } else {
            &packed
        };
        let ask = v2_post("~alice/open", body).header("content-encoding", name);
        for ask in [ask.clone(), ask.clone().chunked(7), ask.http10()] {
            let raw = ask.send(&site).await.smart("upload-pack-result");
            assert_eq!(raw.body, good, "{name}");
        }
    }
    // HTTP/1.0 knows no chunks, and an answer ends where the connection does.
    let raw = Ask::refs("~alice/open", "upload-pack").http10().send(&site);
    let raw = raw.await.smart("upload-pack-advertisement");
    assert_eq!(raw.header("transfer-encoding"), None);
    assert!(raw.body.ends_with(b"0000"));
    // A body of which nobody says how long it is: there is an answer, whether it is read or not.
    let endless = v2_post("~alice/open", body.clone())
        .http10()
        .without("content-length");
    let raw = endless.send(&site).await;
    assert!(matches!(raw.status, 200 | 400 | 411), "{}", raw.status);

    // What is packed badly.
    let mut cut = packed.clone();
    cut.truncate(packed.len() / 2);
    let mut flipped = packed.clone();
    let check = packed.len() - 6;
    flipped[check] ^= 0xff;
    let trailing = [&packed[..], b"and more"].concat();
    for (what, body) in [
        ("cut", cut),
        ("flipped", flipped),
        ("trailing", trailing),
        ("not packed", body.clone().into_bytes()),
        ("empty", Vec::new()),
    ] {
        let ask = v2_post("~alice/open", body).header("content-encoding", "gzip");
        let raw = ask.send(&site).await;
        let refused = (400..500).contains(&raw.status);
        assert!(refused, "{what}: {} {}", raw.status, raw.text());
        raw.tells_nothing();
    }
    for name in ["br", "deflate", "gzip, gzip", "zstd"] {
        let ask = v2_post("~alice/open", packed.clone()).header("content-encoding", name);
        let raw = ask.send(&site).await;
        raw.refused(&[400, 415]).tells_nothing();
    }
    site.end().await;
}

#[tokio::test]
async fn a_request_that_grows_beyond_the_limit_is_cut_off() {
    let site = Site::with(Database::Sqlite, |builder| {
        let mut limits = Limits::default();
        limits.fetch.request_bytes = 1 << 20;
        builder.limits(limits)
    });
    let site = site.await;
    let tip = fixture::git_text(&site.dir_of("~alice/open").await, &["rev-parse", "HEAD"]);
    let want = format!("want {tip}");
    // Haves that nobody has, then some that are true.
    let have = "have 1234567890123456789012345678901234567890";
    let few = [&[want.as_str()][..], &vec![have; 1_000], &["done"]].concat();
    let few = v2("fetch", &few);
    let many = [&[want.as_str()][..], &vec![have; 400_000], &["done"]].concat();
    let many = v2("fetch", &many);
    let (packed_few, packed_many) = (
        gzip(&site, few.as_bytes()).await,
        gzip(&site, many.as_bytes()).await,
    );
    assert!(packed_many.len() < 1 << 19, "{}", packed_many.len());
    let raw = v2_post("~alice/open", few.clone()).send(&site).await;
    assert!(raw.smart("upload-pack-result").text().contains("packfile"));
    let ask = v2_post("~alice/open", packed_few).header("content-encoding", "gzip");
    assert!(ask.send(&site).await.is(200).text().contains("packfile"));

    let bomb = v2_post("~alice/open", packed_many).header("content-encoding", "gzip");
    for ask in [bomb.clone(), bomb.clone().chunked(1 << 16)] {
        let raw = ask.send(&site).await;
        assert!(matches!(raw.status, 200 | 400 | 413), "{}", raw.status);
        raw.tells_nothing();
    }
    let raw = v2_post("~alice/open", many)
        .chunked(1 << 16)
        .send(&site)
        .await;
    assert!(matches!(raw.status, 200 | 400 | 413), "{}", raw.status);
    raw.tells_nothing();
    // The old protocol, whose requests have no end of their own.
    let v0 = pkt(&format!("want {tip} side-band-64k\n")) + "0000";
    let v0 = v0 + &pkt(&format!("{have}\n")).repeat(400_000) + &pkt("done\n");
    let packed = gzip(&site, v0.as_bytes()).await;
    let ask = Ask::post("~alice/open", "upload-pack", packed);
    let raw = ask.header("content-encoding", "gzip").send(&site).await;
    assert!(!raw.text().contains("PACK"), "{}", raw.status);
    // It serves the next one as if nothing had happened.
    Ask::refs("~alice/open", "upload-pack")
        .send(&site)
        .await
        .is(200);
    site.end().await;
}

#[tokio::test]
async fn what_is_no_request_of_gits_ends_cleanly() {
    let site = Site::new().await;
    let tip = fixture::git_text(&site.dir_of("~alice/open").await, &["rev-parse", "HEAD"]);
    let bad = [
        v2("frobnicate", &[]),
        pkt("command=ls-refs\n") + &pkt("nonsense=1\n") + "00010000",
        pkt("command=ls-refs\n") + &pkt("object-format=sha256\n") + "00010000",
        pkt("ls-refs\n") + "0000",
        v2("bundle-uri", &[]),
        v2("fetch", &["want nonsense", "done"]),
        v2("fetch", &["want-ref refs/forge/x", "done"]),
        v2("fetch", &[&format!("want {}", "1".repeat(40)), "done"]),
        "zzzz".to_owned(),
        "0003".to_owned(),
        "00".to_owned(),
        "ffff".to_owned(),
        "hello".to_owned(),
        pkt("command=fetch\n"),
    ];
    for body in &bad {
        let raw = v2_post("~alice/open", body.clone()).send(&site).await;
        assert!(raw.status < 500, "{body:?}: {} {}", raw.status, raw.text());
        raw.tells_nothing();
    }
    // An unknown command is an error in the protocol's own words.
    let raw = v2_post("~alice/open", bad[0].clone()).send(&site).await;
    assert!(raw.is(200).lines()[0].starts_with("ERR "));
    // Of the old protocol.
    for body in [
        pkt("want nonsense\n") + "0000",
        pkt(&format!("want {}\n", "1".repeat(40))) + "0000" + &pkt("done\n"),
        pkt(&format!("hello {tip}\n")) + "0000",
        "zzzz".to_owned(),
        "0003".to_owned(),
    ] {
        let raw = Ask::post("~alice/open", "upload-pack", body.clone())
            .send(&site)
            .await;
        assert!(raw.status < 500, "{body:?}: {} {}", raw.status, raw.text());
        assert!(!raw.text().contains("PACK"), "{body:?}");
    }
    site.end().await;
}

#[tokio::test]
async fn the_probe_before_a_large_push_makes_nothing() {
    let site = Site::new().await;
    for (repo, persona) in [
        ("~alice/open", Persona::Writer),
        ("~alice/never", Persona::Owner),
        ("~stranger/never", Persona::Stranger),
    ] {
        let ask = Ask::post(repo, "receive-pack", "0000").by(&site, persona);
        for ask in [ask.clone(), ask.clone().chunked(4), ask.clone().chunked(1)] {
            let raw = ask.send(&site).await.smart("receive-pack-result");
            assert_eq!(raw.text(), "", "{repo}");
        }
        // And neither does the listing that comes before it.
        let raw = Ask::refs(repo, "receive-pack").by(&site, persona);
        raw.send(&site).await.is(200);
    }
    for repo in ["~alice/never", "~stranger/never"] {
        let found = site.world.system().find_repo(&repo.parse().unwrap()).await;
        assert_eq!(found.unwrap(), None, "{repo}");
    }
    // Who may not push is told so by the probe as well.
    let ask = |repo| Ask::post(repo, "receive-pack", "0000");
    ask("~alice/open").send(&site).await.refused(&[401]);
    let reader = ask("~alice/open").by(&site, Persona::Reader).send(&site);
    reader.await.refused(&[403]);
    let stranger = ask("~alice/never").by(&site, Persona::Stranger);
    stranger.send(&site).await.refused(&[404]);
    site.end().await;
}

/// Reads until something has come.
async fn until(from: &mut TcpStream, got: &mut Vec<u8>, wanted: &[u8]) {
    let reading = async {
        while !got.windows(wanted.len()).any(|part| part == wanted) {
            let read = from.read_buf(got).await.expect("more");
            assert_ne!(read, 0, "{:?}", String::from_utf8_lossy(got));
        }
    };
    let came = tokio::time::timeout(PATIENCE, reading).await;
    let wanted = String::from_utf8_lossy(wanted);
    assert!(
        came.is_ok(),
        "no {wanted:?} in {:?}",
        String::from_utf8_lossy(got)
    );
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[tokio::test]
async fn answers_begin_while_requests_still_come() {
    let site = Site::new().await;
    let dir = site.dir_of("~alice/open").await;
    let id = |rev: &str| fixture::git_text(&dir, &["rev-parse", rev]);
    let (tip, base) = (id("HEAD"), id("HEAD^"));
    let ask = Ask::post("~alice/open", "upload-pack", "").without("content-length");
    let ask = ask.header("transfer-encoding", "chunked");
    let mut socket = TcpStream::connect(site.http).await.unwrap();
    socket.write_all(&ask.bytes()).await.unwrap();
    let caps = "multi_ack_detailed no-done side-band-64k ofs-delta";
    let wants = pkt(&format!("want {tip} {caps}\n")) + "0000";
    let have = pkt(&format!("have {base}\n"));
    socket
        .write_all(chunk(&(wants + &have)).as_bytes())
        .await
        .unwrap();
    let mut got = Vec::new();
    until(
        &mut socket,
        &mut got,
        format!("ACK {base} common").as_bytes(),
    )
    .await;
    let rest = chunk(&pkt("done\n")) + "0\r\n\r\n";
    socket.write_all(rest.as_bytes()).await.unwrap();
    until(&mut socket, &mut got, b"PACK").await;
    until(&mut socket, &mut got, b"\r\n0\r\n\r\n").await;

    // Who waits to be let send its body is let.
    let body = v2("ls-refs", &[]);
    let mut ask = v2_post("~alice/open", body.clone()).header("expect", "100-continue");
    ask.body.clear();
    // On the same connection: it is kept for the next request.
    socket.write_all(&ask.bytes()).await.unwrap();
    let mut got = Vec::new();
    until(&mut socket, &mut got, b"HTTP/1.1 100 Continue\r\n\r\n").await;
    socket.write_all(body.as_bytes()).await.unwrap();
    until(&mut socket, &mut got, b"refs/heads/master").await;
    until(&mut socket, &mut got, b"\r\n0\r\n\r\n").await;

    // It is kept after refusals, too.
    let refused = Ask::refs("~alice/secret", "upload-pack").bytes();
    let first = Ask::refs("~alice/open", "upload-pack").bytes();
    let last = Ask::refs("~alice/open", "upload-pack").header("connection", "close");
    let all = [refused, first, last.bytes()].concat();
    socket.write_all(&all).await.unwrap();
    let mut got = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut got))
        .await
        .unwrap()
        .unwrap();
    let got = String::from_utf8_lossy(&got);
    assert_eq!(got.matches("HTTP/1.1 401 ").count(), 1, "{got}");
    assert_eq!(got.matches("HTTP/1.1 200 ").count(), 2, "{got}");
    site.end().await;
}

#[tokio::test]
async fn a_client_that_waits_hears_that_somebody_is_there() {
    let (site, gate) = gated().await;
    let dir = site.dir_of("~alice/open").await;
    let old = fixture::git_text(&dir, &["rev-parse", "refs/heads/feature/x"]);
    let none = "0".repeat(40);
    let ask = format!("{old} {none} refs/heads/feature/x\0report-status side-band-64k");
    let ask = Ask::post("~alice/open", "receive-pack", pkt(&ask) + "0000");
    let ask = ask.by(&site, Persona::Writer).header("connection", "close");
    let mut socket = TcpStream::connect(site.http).await.unwrap();
    socket.write_all(&ask.bytes()).await.unwrap();
    gate.reached().await;
    let mut got = Vec::new();
    until(&mut socket, &mut got, b"0005\x02").await;
    gate.open();
    until(&mut socket, &mut got, b"ok refs/heads/feature/x").await;
    site.end().await;
}
