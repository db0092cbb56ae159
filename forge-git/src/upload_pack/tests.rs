//! Fetches by a client of pkt-lines, and git's own answers next to ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bstr::{BString, ByteSlice as _};
use bytes::BytesMut;
use forge_core::RefName;
use forge_core::objects::GitBackend as _;
use forge_core::testing::{Fixture, tangled_history};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

use super::*;
use crate::pkt::Pkt;

/// A repository, and those who fetch from it.
struct Bed {
    root: TempDir,
    git: Git,
    limits: FetchLimits,
    permits: Permits,
    truth: Fixture,
}

impl Bed {
    async fn new() -> Self {
        Self::limited(FetchLimits::default()).await
    }

    async fn limited(limits: FetchLimits) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let git = Git::at(root.path());
        let head = RefName::new("refs/heads/main").expect("a name");
        git.create(RepoId(1), &head).await.expect("made");
        Self {
            truth: Fixture::at(root.path().join("repos/00/00/01.git")),
            permits: Permits::for_fetches(&limits),
            limits,
            git,
            root,
        }
    }

    async fn tangled() -> Self {
        let this = Self::new().await;
        this.truth.import(&tangled_history(40, 3));
        this.truth
            .run(&["update-ref", "refs/heads/main", "refs/heads/b0"]);
        this
    }

    fn dir(&self) -> PathBuf {
        self.truth.path().to_owned()
    }

    fn source(&self) -> Source<'_> {
        Source {
            git: &self.git,
            permits: &self.permits,
            limits: &self.limits,
            id: RepoId(1),
            dir: self.dir(),
            client: Client::Unknown,
        }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.dir().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, content).expect("written");
    }

    fn tag(&self, text: &str) -> String {
        let args = ["hash-object", "-t", "tag", "-w", "--stdin", "--literally"];
        let id = self.truth.feed(&args, text.as_bytes());
        id.trim_ascii().to_str().expect("an id").to_owned()
    }

    /// What git answers.
    async fn git_answers(&self, request: &[u8]) -> Vec<u8> {
        let child = self.source().child("upload-pack", Version::V2);
        let child = child.arg("--strict").arg("--stateless-rpc").arg(".");
        child.answer(request).await.expect("git").stdout
    }

    async fn answer(&self, version: Version, request: &[u8]) -> (Result<()>, Vec<u8>) {
        let (output, mut read) = duplex(1 << 20);
        let input = Box::new(std::io::Cursor::new(request.to_vec()));
        let source = self.source();
        let answer = source.request(version, input, Box::new(output));
        let mut answered = Vec::new();
        let (done, read) = tokio::join!(answer, read.read_to_end(&mut answered));
        read.expect("memory");
        (done, answered)
    }

    /// Asks in process and asks git, in all the ways there are.
    async fn compare(&self, what: &str) {
        let prefixes: [&[&str]; 12] = [
            &[],
            &["HEAD"],
            &["refs/heads/", "refs/tags/"],
            &["refs/tags/v", "HEAD", "refs/heads/a", "refs/heads/a/b"],
            &["refs/heads/main", "refs/main", "main", "refs/heads/main/"],
            &["refs/remotes/"],
            &["refs/z", "refs/heads/m", "refs/heads/m", "refs/heads/zz"],
            &[
                "refs/../",
                "/etc",
                "../",
                "refs//heads",
                "",
                "refs/heads/x y",
            ],
            &["refs/h", "re"],
            &["refs/heads/../tags/", "refs/heads/."],
            &["refs/forge", "refs/forge/", "refs/forgery"],
            &["refs/heads/a/b/c", "refs/heads/a-b", "H", "HEADS"],
        ];
        for flags in 0..8 {
            for prefixes in prefixes {
                let mut args = Vec::new();
                for (bit, flag) in ["symrefs", "peel", "unborn"].into_iter().enumerate() {
                    if flags & (1 << bit) != 0 {
                        args.push(flag.to_owned());
                    }
                }
                args.extend(prefixes.iter().map(|prefix| format!("ref-prefix {prefix}")));
                self.compare_one(what, &args).await;
            }
        }
    }

    async fn compare_one(&self, what: &str, args: &[String]) {
        let expected = self.git_answers(&ls_refs(args)).await;
        let query = Query::parse(args.iter().map(String::as_bytes)).expect("good");
        let begun = self.git.disk.list_refs(RepoId(1), query).await;
        let (first, mut rest) = begun.expect("no fault").expect("in process");
        let mut found = first.to_vec();
        while let Some(listing) = rest {
            let piece;
            (piece, rest) = listing.next().await.expect("no fault");
            found.extend_from_slice(&piece);
        }
        assert_eq!(
            BString::from(found),
            BString::from(expected),
            "{what}: {args:?}"
        );
    }
}

fn pkts(lines: &[&str]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for line in lines {
        match *line {
            "0000" => pkt::put_flush(&mut out),
            "0001" => out.extend_from_slice(b"0001"),
            line => pkt::put(&mut out, line.as_bytes()),
        }
    }
    out.to_vec()
}

fn ls_refs(args: &[String]) -> Vec<u8> {
    let mut lines = vec![
        "command=ls-refs\n",
        "agent=git/x",
        "object-format=sha1",
        "0001",
    ];
    lines.extend(args.iter().map(String::as_str));
    lines.push("0000");
    pkts(&lines)
}

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
async fn refs_are_listed_as_git_lists_them() {
    let bed = Bed::new().await;
    bed.compare("unborn").await;

    let bed = Bed::tangled().await;
    let git = &bed.truth;
    bed.compare("loose and packed by import").await;
    git.run(&["tag", "-a", "-m", "x", "v1", "b1"]);
    git.run(&["tag", "-a", "-m", "x", "v2", "v1"]);
    git.run(&["tag", "v0", "b1"]);
    git.run(&["update-ref", "refs/heads/a/b/c", "b2"]);
    bed.write("refs/heads/a-b", git.ask(&["rev-parse", "v2"]));
    bed.write("refs/heads/a.b", git.ask(&["rev-parse", "b2^{tree}"]));
    git.run(&["update-ref", "refs/forge/secret", "b2"]);
    git.run(&["update-ref", "refs/forgery", "b2"]);
    git.run(&["update-ref", "refs/one", "b2"]);
    bed.compare("loose").await;
    git.run(&["pack-refs", "--all"]);
    bed.compare("packed").await;
    git.run(&["update-ref", "refs/heads/b1", "b2"]);
    git.run(&["tag", "-f", "-a", "-m", "y", "v1", "b2"]);
    git.run(&["update-ref", "-d", "refs/heads/a-b"]);
    git.run(&["update-ref", "refs/heads/zzz", "b2"]);
    git.run(&["update-ref", "refs/forge/other", "b2"]);
    bed.compare("mixed").await;

    git.run(&["symbolic-ref", "refs/remotes/o/HEAD", "refs/heads/main"]);
    git.run(&["symbolic-ref", "refs/heads/link", "refs/remotes/o/HEAD"]);
    git.run(&["symbolic-ref", "refs/heads/nowhere", "refs/heads/none"]);
    git.run(&["symbolic-ref", "refs/heads/up", "HEAD"]);
    bed.write(
        "refs/heads/l0",
        format!("{}\n", git.ask(&["rev-parse", "b1"])),
    );
    for n in 1..5 {
        let target = format!("ref: refs/heads/l{}\n", n - 1);
        bed.write(&format!("refs/heads/l{n}"), target);
    }
    bed.compare("symbolic").await;
    for n in 0..5 {
        git.run(&["symbolic-ref", "HEAD", &format!("refs/heads/l{n}")]);
        bed.compare_one("a HEAD far away", &["symrefs".into(), "unborn".into()])
            .await;
    }
    git.run(&["symbolic-ref", "HEAD", "refs/heads/none"]);
    bed.compare("a HEAD that dangles").await;
    git.run(&["symbolic-ref", "HEAD", "refs/heads/l4"]);
    git.run(&["update-ref", "--no-deref", "HEAD", "v2^{}"]);
    bed.compare("a detached HEAD").await;
}

#[tokio::test]
async fn what_is_broken_is_listed_as_git_lists_it() {
    let bed = Bed::tangled().await;
    let git = &bed.truth;
    let (missing, tip) = ("1".repeat(40), git.ask(&["rev-parse", "b1"]));
    let tag = |kind: &str, id: &str| {
        format!("object {id}\ntype {kind}\ntag x\ntagger a <a@b> 1 +0000\n\nx\n")
    };
    for (name, content) in [
        ("missing", missing.clone()),
        ("null", "0".repeat(40)),
        ("short", "123".into()),
        ("empty", String::new()),
        ("long", format!("{tip}0")),
        ("words", format!("{tip} and more\n")),
        ("upper", tip.to_ascii_uppercase()),
        ("blank", format!(" {tip}\n")),
        ("ref-blank", "ref:refs/heads/b1".into()),
        ("ref-tabs", "ref:\t  refs/heads/b1  \n".into()),
        ("ref-dangles", "ref: refs/heads/none\n".into()),
        ("ref-one-level", "ref: NONE\n".into()),
        ("x.lock", tip.clone()),
        (".hidden", tip.clone()),
        ("sp ace", tip.clone()),
        ("é", tip.clone()),
        ("tag-missing", bed.tag(&tag("commit", &missing))),
        ("tag-of-missing-tag", bed.tag(&tag("tag", &missing))),
        ("tag-lies", bed.tag(&tag("tag", &tip))),
        ("tag-odd", bed.tag(&tag("thing", &tip))),
        (
            "tag-short",
            bed.tag(&format!("object {tip}\ntype commit\n")),
        ),
        (
            "tag-cut",
            bed.tag(&format!("object {tip}\ntype commit\ntag x")),
        ),
        (
            "tag-old",
            bed.tag(&format!("object {tip}\ntype commit\ntag x\n")),
        ),
    ] {
        bed.write(&format!("refs/heads/{name}"), content);
    }
    bed.compare("broken loose refs").await;
    for (name, target) in [
        ("bad", "refs/heads/b..1"),
        ("out", "../config"),
        ("config", "config"),
        ("none", ""),
        ("broken", "refs/heads/short"),
        ("loop", "refs/heads/ref"),
        ("far", "refs/heads/l4"),
    ] {
        for n in 0..5 {
            let target = match n {
                0 => "refs/heads/b1".to_owned(),
                n => format!("refs/heads/l{}", n - 1),
            };
            bed.write(&format!("refs/heads/l{n}"), format!("ref: {target}\n"));
        }
        bed.write("refs/heads/ref", format!("ref: {target}\n"));
        bed.compare_one(name, &["peel".into()]).await;
        let request = ls_refs(&["symrefs".into()]);
        let (done, answer) = bed.answer(Version::V2, &request).await;
        done.expect("answered");
        assert_eq!(
            answer.as_bstr(),
            bed.git_answers(&request).await.as_bstr(),
            "{name}"
        );
    }
    fs::remove_file(bed.dir().join("refs/heads/ref")).expect("removed");
    let of_missing = bed.tag(&tag("commit", &missing));
    let packed = format!(
        "# pack-refs with: peeled sorted \n\
         {missing} refs/heads/packed-missing\n\
         {of_missing} refs/heads/packed-tag\n\
         {tip} refs/heads/words\n\
         {of_missing} refs/tags/packed-tag\n\
         {of_missing} refs/tags/peeled-elsewhere\n^{tip}\n"
    );
    bed.write("packed-refs", packed);
    bed.compare("broken packed refs").await;
    for head in [
        &missing,
        &"0".repeat(40),
        "ref: refs/heads/null",
        "ref: refs/heads/short",
    ] {
        bed.write("HEAD", format!("{head}\n"));
        bed.compare("a broken HEAD").await;
    }
}

#[tokio::test]
async fn what_git_would_not_have_written_is_left_to_git() {
    let bed = Bed::tangled().await;
    let tip = bed.truth.ask(&["rev-parse", "b1"]);
    let header = "# pack-refs with: peeled fully-peeled sorted \n";
    let list = async || {
        let query = Query::parse([]).expect("good");
        let listed = bed.git.disk.list_refs(RepoId(1), query).await;
        listed.ok().flatten().is_some()
    };
    assert!(list().await);
    for lines in [
        format!("{tip} refs/heads/x"),
        format!("{tip} refs/heads/y\n{tip} refs/heads/x\n"),
        format!("{tip} refs/heads/x..y\n"),
        format!("{tip}  refs/heads/x\n"),
        format!("{} refs/heads/x\n", tip.to_ascii_uppercase()),
        "what?\n".to_owned(),
        format!("{tip} refs/heads/x\n^{tip}{tip}\n"),
    ] {
        bed.write("packed-refs", format!("{header}{lines}"));
        assert!(!list().await, "{lines}");
    }
    bed.write("packed-refs", header);
    assert!(list().await);
    for config in [
        "[uploadpack]\n\thideRefs = refs/heads/b\n",
        "[lsrefs]\n\tunborn = ignore\n",
    ] {
        bed.write("config", format!("[core]\n\tbare = true\n{config}"));
        assert!(!list().await, "{config}");
        let request = ls_refs(&["symrefs".into()]);
        let (done, answer) = bed.answer(Version::V2, &request).await;
        done.expect("answered");
        assert_eq!(answer, bed.git_answers(&request).await);
    }
}

#[tokio::test]
async fn ten_thousand_refs_are_listed_as_git_lists_them() {
    let bed = Bed::tangled().await;
    let tip = bed.truth.ask(&["rev-parse", "b1"]);
    let tag = bed.tag(&format!("object {tip}\ntype commit\ntag x\n"));
    let mut lines: Vec<_> = (0..10_000)
        .map(|n| {
            let id = if n % 7 == 0 { &tag } else { &tip };
            let peeled = if n % 7 == 0 {
                format!("^{tip}\n")
            } else {
                String::new()
            };
            format!(
                "{id} refs/{}/r{n}\n{peeled}",
                ["heads", "tags", "pull"][n % 3]
            )
        })
        .collect();
    lines.sort_by_key(|line| line[41..].lines().next().map(str::to_owned));
    let header = "# pack-refs with: peeled fully-peeled sorted \n";
    bed.write("packed-refs", format!("{header}{}", lines.concat()));
    bed.truth.run(&["update-ref", "refs/heads/r77", "b2"]);
    bed.compare("many").await;

    let request = ls_refs(&["peel".into(), "symrefs".into()]);
    let begun = std::time::Instant::now();
    for _ in 0..10 {
        let (done, answer) = bed.answer(Version::V2, &request).await;
        done.expect("answered");
        assert!(answer.len() > 500_000);
    }
    let ours = begun.elapsed() / 10;
    let begun = std::time::Instant::now();
    for _ in 0..10 {
        bed.git_answers(&request).await;
    }
    println!("10,000 refs: {ours:?}, git {:?}", begun.elapsed() / 10);
}

#[tokio::test]
async fn a_random_repository_is_listed_as_git_lists_it() {
    let bed = Bed::tangled().await;
    let git = &bed.truth;
    git.run(&["tag", "-a", "-m", "x", "v1", "b1"]);
    let mut ids: Vec<_> = ["b0", "b1", "b2", "v1", "b0^{tree}"]
        .map(|rev| git.ask(&["rev-parse", rev]))
        .into();
    ids.push("2".repeat(40));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("small")
    };
    const PARTS: [&str; 8] = ["a", "ab", "a-b", "a.b", "é", "heads", "z", "\u{1f600}"];
    for round in 0..15 {
        for _ in 0..6 {
            let depth = 1 + random(3);
            let parts: Vec<_> = (0..depth).map(|_| PARTS[random(PARTS.len())]).collect();
            let name = format!("refs/{}", parts.join("/"));
            let path = bed.dir().join(&name);
            let inside = path.ancestors().skip(1).any(Path::is_file);
            if !path.exists() && !inside {
                bed.write(&name, &ids[random(ids.len())]);
            }
        }
        if round % 3 == 1 {
            let _ = git.try_ask(&[b"pack-refs", b"--all"]);
        }
        for _ in 0..10 {
            let mut args = vec!["peel".to_owned(), "symrefs".to_owned()];
            for _ in 0..random(4) {
                let parts: Vec<_> = (0..random(3)).map(|_| PARTS[random(PARTS.len())]).collect();
                args.push(format!("ref-prefix refs/{}", parts.join("/")));
            }
            bed.compare_one("random", &args).await;
        }
    }
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
    let (done, answer) = bed.answer(Version::V2, &ls_refs(&[])).await;
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
                .write_all(&ls_refs(&["peel".into()]))
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
async fn a_sha_256_repository_is_git_s_alone() {
    let bed = Bed::new().await;
    fs::remove_dir_all(bed.dir()).expect("removed");
    let other = Fixture::at(bed.dir().parent().expect("a parent"));
    other.run(&["init", "-q", "--bare", "--object-format=sha256", "01.git"]);
    let tree = bed.truth.feed(&["mktree"], b"");
    let tree = tree.trim_ascii().to_str().expect("an id").to_owned();
    let commit = bed.truth.ask(&["commit-tree", "-m", "x", &tree]);
    bed.truth.run(&["update-ref", "refs/heads/main", &commit]);
    let source = bed.source();
    let advert = source.capabilities().await.expect("git");
    assert!(advert.contains_str("object-format=sha256"));
    let request = pkts(&[
        "command=ls-refs",
        "object-format=sha256",
        "0001",
        "symrefs",
        "0000",
    ]);
    let (done, answer) = bed.answer(Version::V2, &request).await;
    done.expect("answered");
    assert!(answer.contains_str(&commit), "{:?}", answer.as_bstr());
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
