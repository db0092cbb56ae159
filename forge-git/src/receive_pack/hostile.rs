//! Packs as no honest client sends them, and honest ones that are hard: what becomes of them before a ref is touched.

use std::time::Duration;

use forge_core::Oid;
use forge_core::push::RefUpdate;
use forge_core::testing::{Fixture, tangled_history};
use tokio::io::{AsyncRead, AsyncWriteExt as _};

use super::commands::Wants;
use super::connectivity;
use super::ingest::{PackLimits, ingest};
use super::report::Unpacked;
use super::talk::Talk;
use crate::quarantine::Quarantine;

/// Git's word for a pack that it does not take.
const REFUSED: &str = "index-pack abnormal exit";

/// A repository that is pushed to, and one with more that packs are made of.
struct Place {
    directory: tempfile::TempDir,
    repo: Fixture,
    source: Fixture,
}

/// What became of a pack.
#[derive(Debug, PartialEq)]
struct Fate {
    unpacked: Unpacked,
    /// Why its tip is refused.
    tip: Option<&'static str>,
}

fn refused() -> Fate {
    Fate {
        unpacked: Unpacked::Failed(REFUSED.to_owned()),
        tip: None,
    }
}

fn taken(tip: Option<&'static str>) -> Fate {
    let unpacked = Unpacked::Ok;
    Fate { unpacked, tip }
}

fn id(text: &str) -> Oid {
    text.parse().expect("an id")
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let repo = Fixture::empty(directory.path(), "repo.git");
        let source = Fixture::empty(directory.path(), "source.git");
        for place in [&repo, &source] {
            place.import(&tangled_history(20, 1));
        }
        source.import(
            b"commit refs/heads/b0\ncommitter C <c@d> 1 +0000\ndata 1\nx\nfrom refs/heads/b0^0\n\
              M 644 inline new\ndata 3\nnew\n",
        );
        Self {
            directory,
            repo,
            source,
        }
    }

    fn ask(&self, rev: &str) -> String {
        self.source.ask(&["rev-parse", rev])
    }

    /// A pack of these objects and no others.
    fn pack(&self, objects: &[&str]) -> Vec<u8> {
        let ids: Vec<_> = objects.iter().map(|rev| self.ask(rev)).collect();
        let list: String = ids.iter().map(|id| format!("{id}\n")).collect();
        self.source
            .feed(&["pack-objects", "--stdout", "-q"], list.as_bytes())
    }

    /// A pack of what one revision has and the others have not.
    fn thin(&self, revs: &str) -> Vec<u8> {
        let words = ["pack-objects", "--revs", "--thin", "--stdout", "-q"];
        self.source.feed(&words, revs.as_bytes())
    }

    /// An object that git itself would not write.
    fn raw(&self, kind: &str, content: &[u8]) -> String {
        let words = ["hash-object", "-t", kind, "--literally", "-w", "--stdin"];
        let written = self.source.feed(&words, content);
        String::from_utf8_lossy(&written).trim().to_owned()
    }

    fn commit(&self, tree: &str) -> String {
        let content =
            format!("tree {tree}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n");
        self.raw("commit", content.as_bytes())
    }

    async fn fate_of(&self, pack: &[u8], tip: &str) -> Fate {
        self.push(&mut &*pack, tip, &[], 1 << 20).await
    }

    async fn push(
        &self,
        mut input: &mut (impl AsyncRead + Unpin),
        tip: &str,
        shallow: &[Oid],
        bytes: u64,
    ) -> Fate {
        let scratch = self.directory.path().join("tmp");
        let quarantine = Quarantine::below(&scratch, self.repo.path(), shallow).expect("made");
        let mut talk = Talk::new(Box::new(tokio::io::sink()), Duration::from_secs(5));
        talk.learn(Wants {
            bands: true,
            ..Wants::default()
        });
        let limits = PackLimits {
            is_small: false,
            bytes,
            idle: [Duration::from_millis(300); 2],
        };
        let unpacked = ingest(&mut input, &quarantine, limits, false, &mut talk).await;
        let unpacked = unpacked.expect("git runs");
        let mut fate = Fate {
            unpacked,
            tip: None,
        };
        if fate.unpacked == Unpacked::Ok {
            let updates = [RefUpdate {
                name: forge_core::RefName::new("refs/heads/new").expect("a name"),
                old: None,
                new: Some(id(&self.ask(tip))),
            }];
            let of_refs = self
                .repo
                .try_ask(&[b"for-each-ref", b"--format=%(objectname)"]);
            let of_refs = of_refs.unwrap_or_default();
            let known = of_refs.lines().map(id).collect();
            let mut fates = Vec::new();
            for known in [None, Some(known)] {
                let checked = connectivity::check(&quarantine, &updates, known).await;
                fates.push(checked.expect("git runs").first().map(|(_, why)| *why));
            }
            assert_eq!(fates[0], fates[1], "it is the same without a child");
            fate.tip = fates[0];
        }
        // A child that was ended may be about to write still; it has a moment.
        quarantine.remove();
        assert_eq!(scratch.read_dir().expect("listed").count(), 0);
        self.repo.run(&["fsck", "--strict"]);
        let found = self
            .repo
            .try_ask(&[b"cat-file", b"-e", self.ask("b0").as_bytes()]);
        assert_eq!(found, None, "it is not in the repository");
        fate
    }
}

#[tokio::test]
async fn honest_packs_are_taken() {
    let place = Place::new();
    assert_eq!(
        place.fate_of(&place.thin("b0\n^b0~1\n"), "b0").await,
        taken(None)
    );
    assert_eq!(place.fate_of(&place.thin("b0\n"), "b0").await, taken(None));
    assert_eq!(place.fate_of(&place.pack(&[]), "b0~1").await, taken(None));
    // A pack ends where it ends.
    let pack = [place.thin("b0\n^b0~1\n"), b"garbage".repeat(20_000)].concat();
    assert_eq!(place.fate_of(&pack, "b0").await, taken(None));
}

#[tokio::test]
async fn a_client_that_waits_for_the_report_need_not_hang_up() {
    let place = Place::new();
    let (mut theirs, mut ours) = tokio::io::duplex(64);
    let pack = place.thin("b0\n^b0~1\n");
    let sending = async {
        for piece in pack.chunks(7) {
            theirs.write_all(piece).await.expect("read");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (fate, ()) = tokio::join!(place.push(&mut ours, "b0", &[], 1 << 20), sending);
    assert_eq!(fate, taken(None));
}

#[tokio::test]
async fn incomplete_packs_are_refused() {
    let place = Place::new();
    // The parent's trees and files are there, but not the new ones.
    let without_tree = place.fate_of(&place.pack(&["b0"]), "b0").await;
    assert_eq!(without_tree, refused());
    let without_blob = place.fate_of(&place.pack(&["b0", "b0^{tree}"]), "b0").await;
    assert_eq!(without_blob, refused());
    assert_eq!(
        place.fate_of(&place.pack(&[]), "b0").await,
        taken(Some("missing necessary objects"))
    );
    // All of the new commit, and nothing below it.
    place.repo.run(&["update-ref", "-d", "refs/heads/b0"]);
    place.repo.run(&["gc", "-q", "--prune=now"]);
    let without_parent = place.fate_of(&place.thin("b0\n^b0~1\n"), "b0").await;
    assert_eq!(without_parent, refused());
}

#[tokio::test]
async fn damaged_packs_are_refused() {
    let place = Place::new();
    let pack = place.thin("b0\n");
    for at in [0, 4, 9, 11, pack.len() / 2, pack.len() - 1] {
        let mut damaged = pack.clone();
        damaged[at] ^= 0x10;
        assert_eq!(place.fate_of(&damaged, "b0").await, refused(), "{at}");
    }
    for end in [0, 3, 12, pack.len() / 2, pack.len() - 1] {
        assert_eq!(place.fate_of(&pack[..end], "b0").await, refused(), "{end}");
    }
    // Fewer objects than there are: what follows them is no checksum.
    let mut lie = pack.clone();
    lie[11] -= 1;
    assert_eq!(place.fate_of(&lie, "b0").await, refused());
}

#[tokio::test]
async fn objects_that_hurt_are_refused_and_faults_of_old_tools_are_not() {
    let place = Place::new();
    let blob = place.ask("b0:new");
    let raw = id(&blob).as_bytes().to_vec();
    for (entry, fate) in [
        (&b"100644 .git\0"[..], refused()),
        (b"100644 .GIT\0", refused()),
        (b"100644 ..\0", refused()),
        (b"100644 a/b\0", refused()),
        (b"0100644 padded\0", taken(None)),
        (b"100644 fine\0", taken(None)),
    ] {
        let tree = place.raw("tree", &[entry, &raw].concat());
        let commit = place.commit(&tree);
        let pack = place.pack(&[&commit, &tree, &blob]);
        let name = String::from_utf8_lossy(entry);
        assert_eq!(place.fate_of(&pack, &commit).await, fate, "{name}");
    }
    let tree = place.ask("b0^{tree}");
    for (text, fate) in [
        (
            "author A <a@b> 1 +051800\ncommitter A <a@b> 1 +0000\n\nx\n",
            taken(None),
        ),
        (
            "author A <a@b>1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n",
            taken(None),
        ),
        ("author A <a@b> 1 +0000\n\nx\n", refused()),
    ] {
        let commit = place.raw("commit", format!("tree {tree}\n{text}").as_bytes());
        let pack = place.pack(&[&commit, &tree, &blob]);
        assert_eq!(place.fate_of(&pack, &commit).await, fate, "{text}");
    }
}

#[tokio::test]
async fn too_much_and_nothing_at_all_end_the_child() {
    let place = Place::new();
    let pack = place.thin("b0\n");
    let too_much = place.push(&mut &*pack, "b0", &[], 100).await;
    let why = "pack exceeds maximum allowed size (100 bytes)".to_owned();
    assert_eq!(too_much.unpacked, Unpacked::Failed(why));
    let (_theirs, mut ours) = tokio::io::duplex(64);
    let silence = place.push(&mut ours, "b0", &[], 1 << 20).await;
    let why = super::commands::SILENCE.to_owned();
    assert_eq!(silence.unpacked, Unpacked::Failed(why));
}

#[tokio::test]
async fn a_shallow_clone_may_add_to_what_is_there_but_not_cut_history_off() {
    let place = Place::new();
    let (tip, root) = (place.ask("b0"), id(&place.ask("b0~1")));
    let pack = place.thin("b0\n^b0~1\n");
    let fate = place.push(&mut &*pack, &tip, &[root], 1 << 20).await;
    assert_eq!(fate, taken(None));

    place.repo.run(&["update-ref", "-d", "refs/heads/b0"]);
    place.repo.run(&["gc", "-q", "--prune=now"]);
    let tree = place.ask("b0^{tree}");
    let objects = place
        .source
        .ask(&["ls-tree", "-rt", "--format=%(objectname)", &tree]);
    let objects: Vec<_> = [tip.as_str(), &tree]
        .into_iter()
        .chain(objects.lines())
        .collect();
    let pack = place.pack(&objects);
    let fate = place.push(&mut &*pack, &tip, &[id(&tip)], 1 << 20).await;
    assert_eq!(fate, taken(Some("shallow update not allowed")));
    // Said of another commit, it excuses nothing.
    let fate = place.push(&mut &*pack, &tip, &[root], 1 << 20).await;
    assert_eq!(fate, refused());
}
