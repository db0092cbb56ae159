//! What is proved, beside git's own answer, with one object after the other left out.

use std::fmt::Write as _;

use forge_core::testing::{Fixture, tangled_history};

use super::*;

/// A repository that has part of a history, and one that has all of it.
struct Place {
    directory: tempfile::TempDir,
    has: Fixture,
    all: Fixture,
}

/// Commits one after the other, each of which changes a file in one of three directories; every fourth is a merge.
fn history() -> String {
    let mut stream = String::new();
    let mut commit = |branch: &str, n: u32, more: &str| {
        let person = format!("committer C <c@d> {n} +0000");
        let file = format!("M 644 inline d{}/e/f{n}\ndata 3\n{n:03}", n % 3);
        let _ = writeln!(
            stream,
            "commit refs/heads/{branch}\nmark :{n}\n{person}\ndata 1\nx\n{more}{file}"
        );
    };
    for n in 1..20 {
        commit("b0", n, "");
        if n % 4 == 0 {
            commit("side", n + 100, if n == 4 { "from :3\n" } else { "" });
            commit("b0", n + 200, &format!("merge :{}\n", n + 100));
        }
    }
    stream
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (has, all) = ["has.git", "all.git"]
            .map(|name| Fixture::empty(directory.path(), name))
            .into();
        all.import(history().as_bytes());
        Self {
            directory,
            has,
            all,
        }
    }

    fn ids(&self, revs: &[&str]) -> Vec<String> {
        let words = [&["rev-list", "--objects", "--no-object-names"], revs].concat();
        self.all
            .ask(&words)
            .lines()
            .map(ToOwned::to_owned)
            .collect()
    }

    /// Gives the repository all that a revision reaches.
    fn give(&self, rev: &str) {
        let pack = self.all.feed(
            &["pack-objects", "--revs", "--stdout", "-q"],
            format!("{rev}\n").as_bytes(),
        );
        let _ = self.has.feed(&["index-pack", "--stdin"], &pack);
    }

    /// Whether a tip is proved when these objects have come, and whether git says that it is complete.
    fn verdicts(&self, come: &[String], tip: &str, known: &[&str]) -> (bool, bool) {
        let id = |rev: &str| self.all.ask(&["rev-parse", rev]).parse().expect("an id");
        let quarantine = Fixture::empty(self.directory.path(), "quarantine.git");
        let pack = self.all.feed(
            &["pack-objects", "--stdout", "-q"],
            come.join("\n").as_bytes(),
        );
        let _ = quarantine.feed(&["index-pack", "--stdin"], &pack);
        let (new, old) = (
            quarantine.path().join("objects"),
            self.has.path().join("objects"),
        );
        let known: Vec<Oid> = known.iter().map(|rev| id(rev)).collect();
        let proved = is_plain(&new, &old, Format::Sha1, &[id(tip)], &known).unwrap_or(false);

        let alternates = format!("{}\n", old.display());
        fs::write(new.join("info/alternates"), alternates).expect("written");
        let tip = id(tip).to_string();
        let known: Vec<_> = known.iter().map(ToString::to_string).collect();
        let mut words = vec![
            &b"rev-list"[..],
            b"--objects",
            b"--quiet",
            tip.as_bytes(),
            b"--not",
        ];
        words.extend(known.iter().map(String::as_bytes));
        let is_whole = quarantine.try_ask(&words).is_some();
        fs::remove_dir_all(quarantine.path()).expect("removed");
        (proved, is_whole)
    }
}

#[test]
fn a_push_onto_what_a_ref_names_is_proved() {
    let place = Place::new();
    for back in [1, 2, 3] {
        let old = format!("b0~{back}");
        place.give(&old);
        let come = place.ids(&["b0", &format!("^{old}")]);
        assert_eq!(place.verdicts(&come, "b0", &[&old]), (true, true), "{old}");
    }
}

#[test]
fn a_whole_history_is_proved() {
    let place = Place::new();
    place.all.run(&["tag", "-a", "-m", "x", "v1", "b0"]);
    place
        .all
        .run(&["tag", "-a", "-m", "x", "files", "b0^{tree}"]);
    for tip in ["b0", "v1", "files", "b0^{tree}"] {
        assert_eq!(
            place.verdicts(&place.ids(&[tip]), tip, &[]),
            (true, true),
            "{tip}"
        );
    }
}

#[test]
fn what_lacks_an_object_is_never_proved() {
    let place = Place::new();
    place.give("b0~3");
    let come = place.ids(&["b0", "^b0~3"]);
    for n in 0..come.len() {
        let mut less = come.clone();
        let lacks = less.remove(n);
        assert_eq!(
            place.verdicts(&less, "b0", &["b0~3"]),
            (false, false),
            "without {lacks}"
        );
    }
}

#[test]
fn what_is_proved_is_complete_for_git_too() {
    let mut proved = 0;
    let mut place = Place::new();
    place.all = Fixture::empty(place.directory.path(), "tangled.git");
    place.all.import(&tangled_history(24, 2));
    for (tip, old) in [("b0", "b1"), ("b1~1", "b0~1")] {
        place.give(old);
        // As if each had a tag.
        let known = place.all.ask(&["rev-list", old]);
        let known: Vec<_> = known.lines().collect();
        let come = place.ids(&[tip, &format!("^{old}")]);
        for lacks in 0..=come.len() {
            let mut less = come.clone();
            if lacks < come.len() {
                less.remove(lacks);
            }
            let verdicts = place.verdicts(&less, tip, &known);
            assert_ne!(verdicts, (true, false), "{tip} on {old} without {lacks}");
            proved += usize::from(verdicts.0);
        }
    }
    assert!(proved > 0, "else nothing is said here");
}

#[test]
fn objects_that_no_ref_reaches_prove_nothing() {
    let place = Place::new();
    // They lie there, left by somebody, but what they need may go any day.
    place.give("b0");
    let come = place.ids(&["b0", "^b0~2"]);
    assert!(place.verdicts(&come, "b0", &["b0~2"]).0);
    assert!(
        !place.verdicts(&come, "b0", &["b0~3"]).0,
        "its parent is nobody's"
    );
    assert!(!place.verdicts(&[], "b0", &[]).0);
    let commit = [come[0].clone()];
    assert!(
        !place.verdicts(&commit, "b0", &["b0~1"]).0,
        "its tree is nobody's"
    );
}

#[test]
fn what_lies_too_deep_is_not_looked_for() {
    let place = Place::new();
    for (depth, expected) in [(200, true), (300, false)] {
        let path = "d/".repeat(depth);
        let tip = format!("deep{depth}");
        let stream = format!(
            "commit refs/heads/{tip}\ncommitter C <c@d> 1 +0000\ndata 1\nx\nM 644 inline {path}f\ndata 1\nx\n"
        );
        place.all.import(stream.as_bytes());
        let come = place.ids(&[&tip]);
        assert_eq!(place.verdicts(&come, &tip, &[]), (expected, true));
    }
}

#[test]
fn a_large_directory_is_no_reason_to_ask_git() {
    let place = Place::new();
    let mut stream = String::from("blob\nmark :1\ndata 1\nx\n");
    let _ = writeln!(
        stream,
        "commit refs/heads/wide\ncommitter C <c@d> 1 +0000\ndata 1\nx"
    );
    for n in 0..10_000 {
        let _ = writeln!(stream, "M 644 :1 f{n}");
    }
    for n in 0..2 {
        let _ = writeln!(
            stream,
            "commit refs/heads/wide\ncommitter C <c@d> 2 +0000\ndata 1\nx"
        );
        let _ = writeln!(stream, "M 644 inline new{n}\ndata 1\n{n}");
    }
    place.all.import(stream.as_bytes());
    place.give("wide~1");
    let come = place.ids(&["wide", "^wide~1"]);
    assert_eq!(place.verdicts(&come, "wide", &["wide~1"]), (true, true));
}
