//! Fetches by a client of pkt-lines, and git's own answers next to ours.

mod lists;
mod serves;

use std::fs;
use std::path::PathBuf;

use bstr::{BString, ByteSlice as _};
use bytes::BytesMut;
use forge_core::RefName;
use forge_core::objects::GitBackend as _;
use forge_core::testing::{Fixture, tangled_history};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, duplex};

use super::*;

/// A repository, and those who fetch from it.
struct Bed {
    root: TempDir,
    git: Git,
    limits: FetchLimits,
    permits: Permits,
    truth: Fixture,
    format: Format,
}

impl Bed {
    async fn new() -> Self {
        Self::limited(FetchLimits::default()).await
    }

    /// With ids of a format.
    async fn of(format: Format) -> Self {
        let this = Self::new().await;
        this.write("config", format.config());
        Self { format, ..this }
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
            format: Format::Sha1,
        }
    }

    async fn tangled() -> Self {
        Self::tangled_of(Format::Sha1).await
    }

    async fn tangled_of(format: Format) -> Self {
        let this = Self::of(format).await;
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
        let expected = self.git_answers(&ls_refs(self.format, args)).await;
        let query = Query::parse(self.format, args.iter().map(String::as_bytes));
        let query = query.expect("good");
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

fn ls_refs(format: Format, args: &[String]) -> Vec<u8> {
    let format = format!("object-format={}", format.name());
    let mut lines = vec!["command=ls-refs\n", "agent=git/x", &format, "0001"];
    lines.extend(args.iter().map(String::as_str));
    lines.push("0000");
    pkts(&lines)
}
