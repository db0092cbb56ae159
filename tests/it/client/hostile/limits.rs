//! Pushes that are too large, too many, too deep, or never end.

use std::fs;
use std::time::{Duration, Instant};

use forge::Limits;

use super::quarry::Quarry;
use super::wire::{self, CAPS, Report, ZERO, commands};
use super::{nothing_is_left, still_works};
use crate::client::push::{Work, is_sound, refs, row, tip};
use crate::support::fixture::{git, git_text};
use crate::support::site::{Site, Way};
use crate::support::{Database, Persona};

const REPO: &str = "~alice/open";

async fn site(set: impl FnOnce(&mut Limits)) -> Site {
    let mut limits = Limits::default();
    set(&mut limits);
    Site::with(Database::Sqlite, |builder| builder.limits(limits)).await
}

/// Expects that a push ended as it should: with a reason, and without what the client says when it lost its server.
fn told(ran: &crate::support::site::Ran, why: &[&str]) {
    let said = format!("{}{}", ran.out, ran.err);
    assert!(
        why.iter().any(|why| said.contains(why)),
        "none of {why:?}: {said}"
    );
    for lost in [
        "roken pipe",
        "Everything up-to-date",
        "RPC failed",
        "hung up",
        "panicked",
    ] {
        assert!(!said.contains(lost), "{lost}: {said}");
    }
}

#[tokio::test]
async fn a_push_of_too_many_refs_is_refused_with_a_reason() {
    let site = site(|limits| {
        limits.push.commands = 10;
        limits.push.ref_name_bytes = 100;
    })
    .await;
    for way in [Way::Http, Way::Ssh] {
        let work = Work::at(&site, way, 2, Persona::Owner, REPO).await;
        let before = refs(&site, REPO).await;
        let all: Vec<_> = (0..11)
            .map(|at| format!("HEAD:refs/heads/many/{at}"))
            .collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        for options in [&[][..], &["--atomic"]] {
            let ran = work.push_with(options, &all).await.bad();
            told(&ran, &["10", "too many"]);
            assert_eq!(refs(&site, REPO).await, before);
        }
        work.push(&all[..10]).await.good();
        let back: Vec<_> = all[..10]
            .iter()
            .map(|spec| spec.trim_start_matches("HEAD"))
            .collect();
        work.push(&back).await.good();

        let long = format!("HEAD:refs/heads/{}", "a".repeat(90));
        let ran = work.push(&[&long, "HEAD:refs/heads/ok"]).await.bad();
        told(&ran, &["long", "100"]);
        assert_eq!(work.tip(&long[5..]).await, None);
        work.push(&[":refs/heads/ok"]).await;
        assert_eq!(refs(&site, REPO).await, before);
    }
    still_works(&site, REPO).await;
    site.end().await;
}

#[tokio::test]
async fn a_hundred_thousand_commands_are_refused_in_little_time() {
    let site = Site::new().await;
    let quarry = Quarry::new(&site);
    let names: Vec<_> = (0..100_000)
        .map(|at| format!("refs/heads/many/{at}"))
        .collect();
    let before = refs(&site, REPO).await;
    let client = site.client(Persona::Owner, 0);
    for old in [ZERO, &quarry.first] {
        let list: Vec<_> = names
            .iter()
            .map(|name| (old, &*quarry.master, name.as_bytes()))
            .collect();
        let body = [commands(&list, CAPS), quarry.pack(&[])].concat();
        let begun = Instant::now();
        let reply = wire::post(&site, Persona::Owner, REPO, &body).await;
        let report = reply.report();
        assert!(reply.status < 500, "{}", reply.status);
        assert!(!report.is_good());
        let said = format!("{}{}", report.reasons(), reply.text());
        assert!(
            said.contains("many") || said.contains("5000") || said.contains("5,000"),
            "{said:.300}"
        );
        assert_eq!(refs(&site, REPO).await, before);

        let ran = wire::exec(&site, &client, REPO, &body).await;
        assert!(!Report::after_advertisement(&ran.raw).is_good());
        assert_eq!(refs(&site, REPO).await, before);
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
    }
    still_works(&site, REPO).await;
    site.end().await;
}

#[tokio::test]
async fn a_pack_that_is_too_large_is_refused_and_the_client_hears_of_it() {
    let site = site(|limits| limits.push.pack_bytes = 1_000_000).await;
    for (way, version) in [(Way::Http, 0), (Way::Http, 2), (Way::Ssh, 2)] {
        let work = Work::at(&site, way, version, Persona::Owner, REPO).await;
        let before = refs(&site, REPO).await;
        let mut state = 7_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(4_000_000)
        .collect();
        fs::write(work.client.home().join("work/noise"), &noise).unwrap();
        work.git(&["add", "noise"]).await.good();
        work.git(&["commit", "-q", "-m", "noise"]).await.good();
        for buffer in ["1048576", "20000000"] {
            work.git(&["config", "http.postBuffer", buffer])
                .await
                .good();
            let ran = work.push(&["master", "HEAD:refs/heads/other"]).await.bad();
            assert_eq!(ran.out.matches("[remote rejected]").count(), 2, "{ran:?}");
            told(&ran, &["large", "size", "limit", "too big", "exceeds"]);
            assert_eq!(refs(&site, REPO).await, before);
            nothing_is_left(&site, REPO).await;
        }
        let new = format!("~alice/new-{way:?}-{version}").to_lowercase();
        let url = site.url(way, Persona::Owner, &new);
        work.git(&["push", "--porcelain", &url, "master"])
            .await
            .bad();
        crate::client::push::until("gone", async || row(&site, &new).await.is_none()).await;
    }
    still_works(&site, REPO).await;
    site.end().await;
}

#[tokio::test]
async fn a_repository_that_is_full_takes_no_more() {
    let site = site(|limits| limits.push.repo_bytes = 300_000).await;
    let work = Work::at(&site, Way::Http, 2, Persona::Owner, REPO).await;
    let mut state = 3_u64;
    let mut refused = 0;
    for round in 0..8 {
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(100_000)
        .collect();
        fs::write(work.client.home().join("work/noise"), &noise).unwrap();
        work.git(&["add", "noise"]).await.good();
        work.git(&["commit", "-q", "-m", "noise"]).await.good();
        let before = refs(&site, REPO).await;
        let ran = work.push(&[&format!("HEAD:refs/heads/{round}")]).await;
        if ran.code != Some(0) {
            told(&ran, &["large", "size", "full", "limit", "quota", "room"]);
            assert_eq!(refs(&site, REPO).await, before);
            refused += 1;
        }
    }
    // Two or three fit, and what was pushed can be taken away again.
    assert!((4..=6).contains(&refused), "{refused} of 8");
    work.push(&[":refs/heads/0"]).await.good();
    is_sound(&site, REPO).await;
    site.end().await;
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_is_not_waited_for_forever() {
    let site = site(|limits| {
        limits.push.idle = Duration::from_secs(1);
        limits.push.pack_idle = Duration::from_secs(1);
    })
    .await;
    let quarry = Quarry::new(&site);
    let new = quarry.upon(&quarry.tree);
    let list = [(ZERO, &*new, &b"refs/heads/new"[..])];
    let pack = quarry.pack(&[&new]);
    let all = [commands(&list, CAPS), pack.clone()].concat();
    let before = refs(&site, REPO).await;
    let commands_end = all.len() - pack.len();
    let client = site.client(Persona::Owner, 0);
    for (what, end) in [
        ("in its commands", commands_end - 10),
        ("before its pack", commands_end),
        ("in its pack", all.len() - 30),
    ] {
        for chunked in [false, true] {
            let head = wire::head(&site, Persona::Owner, REPO);
            let head = if chunked {
                format!("{head}transfer-encoding: chunked\r\n\r\n{end:x}\r\n")
            } else {
                format!("{head}content-length: {}\r\n\r\n", all.len())
            };
            let begun = Instant::now();
            let held = [head.as_bytes(), &all[..end]].concat();
            let reply = wire::hold(&site, &held).await.expect("an answer");
            assert!(
                begun.elapsed() < Duration::from_secs(8),
                "{what}: {:?}",
                begun.elapsed()
            );
            assert!(
                reply.status < 500 && !reply.report().is_good(),
                "{what}: {reply:?}"
            );
            let said = reply.text().to_lowercase();
            let why = ["time", "idle", "slow", "silent", "nothing", "waited"];
            assert!(
                why.iter().any(|why| said.contains(why)),
                "{what}: {} {said}",
                reply.status
            );
            assert_eq!(refs(&site, REPO).await, before);
            nothing_is_left(&site, REPO).await;
        }
        // Over SSH: the server ends it while the client still could say more.
        let file = client.home().join("held");
        fs::write(&file, &all[..end]).unwrap();
        let ssh = format!(
            "alias.held=!(cat held; exec sleep 5) | (eval \"$GIT_SSH_COMMAND -p {} git@{} \\\"git-receive-pack {REPO}\\\"\"; date +%s%N >ended)",
            site.ssh.port(),
            site.ssh.ip(),
        );
        let ran = client.git(&["-c", &ssh, "held"]).await;
        let report = Report::after_advertisement(&ran.raw);
        assert!(!report.is_good(), "{what}: {ran:?}");
        let said = format!("{}{}", report.reasons(), ran.err).to_lowercase();
        let why = ["time", "idle", "slow", "silent", "nothing", "waited"];
        assert!(why.iter().any(|why| said.contains(why)), "{what}: {said}");
        assert_eq!(refs(&site, REPO).await, before);
        nothing_is_left(&site, REPO).await;
    }
    still_works(&site, REPO).await;
    site.end().await;
}

/// A client that trickles is alive, but not for ever.
#[tokio::test]
async fn a_push_ends_after_its_time_even_if_it_goes_on() {
    let site = site(|limits| {
        limits.push.pack_idle = Duration::from_secs(5);
        limits.push.total = Duration::from_secs(2);
    })
    .await;
    let quarry = Quarry::new(&site);
    let new = quarry.upon(&quarry.tree);
    let pack = quarry.pack(&[&new]);
    let body = [commands(&[(ZERO, &*new, b"refs/heads/new")], CAPS), pack].concat();
    let before = refs(&site, REPO).await;
    let client = site.client(Persona::Owner, 0);
    fs::write(client.home().join("body"), &body).unwrap();
    let head = wire::head(&site, Persona::Owner, REPO);
    fs::write(
        client.home().join("head"),
        format!("{head}content-length: {}\r\n\r\n", body.len()),
    )
    .unwrap();
    let begun = Instant::now();
    let reply = trickle(
        &site,
        &[
            head.as_bytes(),
            format!("content-length: {}\r\n\r\n", body.len()).as_bytes(),
        ]
        .concat(),
        &body,
    )
    .await;
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    if let Some(reply) = reply {
        assert!(!reply.report().is_good(), "{reply:?}");
    }
    assert_eq!(refs(&site, REPO).await, before);
    nothing_is_left(&site, REPO).await;
    site.end().await;
}

/// Sends a byte every now and then until the server has had enough.
async fn trickle(site: &Site, head: &[u8], body: &[u8]) -> Option<wire::Reply> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let stream = tokio::net::TcpStream::connect(site.http).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    write.write_all(head).await.unwrap();
    let write = async {
        for byte in body {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut raw = Vec::new();
    let read = async {
        let _ = read.read_to_end(&mut raw).await;
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
    wire::Reply::parse(&raw)
}

/// The most memory that a child of the server's has had so far, in KiB.
fn peak(site: &Site) -> u64 {
    let data = site.world.dir.path().join("data/");
    let data = data.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let peaks = ids.filter_map(|id| {
        let read = |name| fs::read(format!("/proc/{id}/{name}")).unwrap_or_default();
        let words = [read("cmdline"), read("environ")].concat();
        let words = String::from_utf8_lossy(&words).into_owned();
        if !(words.contains("git") && words.contains(data)) {
            return None;
        }
        let status = String::from_utf8_lossy(&read("status")).into_owned();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    });
    peaks.max().unwrap_or(0)
}

#[tokio::test]
async fn a_small_pack_of_a_large_blob_takes_little_memory() {
    let site = Site::new().await;
    let quarry = Quarry::new(&site);
    let blob = git(
        &quarry.dir,
        &["hash-object", "-w", "--stdin"],
        &vec![0; 120_000_000],
    );
    let blob = String::from_utf8(blob).unwrap().trim().to_owned();
    let tree = quarry.tree(&[("100644", b"zeros", &blob)]);
    let commit = quarry.upon(&tree);
    let pack = quarry.pack(&[&commit, &tree, &blob]);
    assert!(pack.len() < 1_000_000);
    let body = [
        commands(&[(ZERO, &commit, b"refs/heads/zeros")], CAPS),
        pack,
    ]
    .concat();
    let done = std::sync::atomic::AtomicBool::new(false);
    let watch = async {
        let mut most = 0;
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            most = most.max(peak(&site));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        most
    };
    let push = async {
        let reply = wire::post(&site, Persona::Owner, REPO, &body).await;
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        reply
    };
    let (most, reply) = futures::future::join(watch, push).await;
    assert!(most > 0, "nothing was seen");
    assert!(most < 90 * 1024, "{most} KiB");
    assert_eq!(reply.status, 200);
    let there = tip(&site, REPO, "refs/heads/zeros").await;
    assert_eq!(
        there.is_some(),
        reply.report().is_good(),
        "{:?}",
        reply.report()
    );
    super::restore(
        &site.dir_of(REPO).await,
        &refs(&site, "~alice/hidden").await,
    );
    still_works(&site, REPO).await;
    site.end().await;
}

#[tokio::test]
async fn a_long_chain_of_deltas_is_followed_or_refused() {
    let site = Site::new().await;
    let mut stream = Vec::new();
    for at in 0..1_500 {
        let text: String = (0..40)
            .map(|line| format!("{line} {}\n", if line == at % 40 { at } else { 0 }))
            .collect();
        stream.extend(
            format!(
                "commit refs/heads/deep\ncommitter A <a@b> {} +0000\ndata 0\nM 100644 inline a\ndata {}\n{text}\n",
                1_500_000_000 + at,
                text.len()
            )
            .into_bytes(),
        );
    }
    let dir = site.world.dir.path();
    git(dir, &["init", "-q", "--bare", "deep.git"], b"");
    let deep = dir.join("deep.git");
    let import = [
        "-c",
        "fastimport.unpackLimit=0",
        "fast-import",
        "--quiet",
        "--depth=4000",
        "--date-format=raw",
    ];
    git(&deep, &import, &stream);
    let tip_id = git_text(&deep, &["rev-parse", "deep"]);
    let pack = git(
        &deep,
        &[
            "pack-objects",
            "-q",
            "--revs",
            "--depth=4000",
            "--stdout",
            "--delta-base-offset",
        ],
        b"refs/heads/deep\n",
    );
    let body = [commands(&[(ZERO, &tip_id, b"refs/heads/deep")], CAPS), pack].concat();
    let reply = wire::post(&site, Persona::Owner, REPO, &body).await;
    assert_eq!(reply.status, 200);
    let report = reply.report();
    let there = tip(&site, REPO, "refs/heads/deep").await;
    assert_eq!(there.is_some(), report.is_good(), "{report:?}");
    if report.is_good() {
        let list = [(&*tip_id, ZERO, &b"refs/heads/deep"[..])];
        let gone = wire::post(&site, Persona::Owner, REPO, &commands(&list, CAPS)).await;
        assert!(gone.report().is_good());
    }
    still_works(&site, REPO).await;
    site.end().await;
}

/// More than the server wants to hear is read for a while, so the client hears why.
#[tokio::test]
async fn what_comes_after_a_refusal_is_read_within_bounds() {
    let site = site(|limits| {
        limits.push.drain_bytes = 3 << 20;
        limits.push.drain_time = Duration::from_secs(2);
    })
    .await;
    let quarry = Quarry::new(&site);
    let before = refs(&site, REPO).await;
    let list = [(ZERO, &*quarry.master, &b"refs/forge/no"[..])];
    let small = [commands(&list, CAPS), vec![0; 2 << 20]].concat();
    let reply = wire::post(&site, Persona::Owner, REPO, &small).await;
    assert_eq!(reply.status, 200);
    assert!(!reply.report().is_good() && !reply.report().reasons().trim().is_empty());
    // This one may be cut off, but the server is not kept busy with it.
    let large = [commands(&list, CAPS), vec![0; 40 << 20]].concat();
    let begun = Instant::now();
    let head = format!(
        "{}content-length: {}\r\n\r\n",
        wire::head(&site, Persona::Owner, REPO),
        large.len()
    );
    let reply = wire::send(&site, &[head.as_bytes(), &large].concat()).await;
    assert!(reply.is_none_or(|reply| !reply.report().is_good()));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    let silent = [commands(&list, CAPS), b"PACK".to_vec()].concat();
    let head = format!(
        "{}content-length: 1000000\r\n\r\n",
        wire::head(&site, Persona::Owner, REPO)
    );
    let begun = Instant::now();
    let reply = wire::hold(&site, &[head.as_bytes(), &silent].concat()).await;
    assert!(reply.is_none_or(|reply| !reply.report().is_good()));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(refs(&site, REPO).await, before);
    still_works(&site, REPO).await;
    site.end().await;
}
