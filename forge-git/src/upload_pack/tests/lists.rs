//! `ls-refs`, next to git's own answers.

use std::path::Path;

use forge_core::RepoId;

use super::super::Query;
use super::{Bed, ls_refs};
use crate::format::Format;
use crate::transport::Version;

const FORMATS: [Format; 2] = [Format::Sha1, Format::Sha256];

#[tokio::test]
async fn refs_are_listed_as_git_lists_them() {
    for format in FORMATS {
        are_listed_as_git_lists_them(format).await;
    }
}

async fn are_listed_as_git_lists_them(format: Format) {
    let bed = Bed::of(format).await;
    bed.compare("unborn").await;

    let bed = Bed::tangled_of(format).await;
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
    // Packed, it would be hidden by git.
    git.run(&["update-ref", "-d", "refs/forgery"]);
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
    for n in 1..8 {
        let target = format!("ref: refs/heads/l{}\n", n - 1);
        bed.write(&format!("refs/heads/l{n}"), target);
    }
    bed.compare("symbolic").await;
    for n in 0..8 {
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
    for format in FORMATS {
        broken_refs_are_listed_as_git_lists_them(format).await;
    }
}

async fn broken_refs_are_listed_as_git_lists_them(format: Format) {
    let bed = Bed::tangled_of(format).await;
    let git = &bed.truth;
    let digits = format.digits();
    let (missing, tip) = ("1".repeat(digits), git.ask(&["rev-parse", "b1"]));
    // As long as an id of the other format.
    let other = tip.repeat(2)[..104 - digits].to_owned();
    let tag = |kind: &str, id: &str| {
        format!("object {id}\ntype {kind}\ntag x\ntagger a <a@b> 1 +0000\n\nx\n")
    };
    for (name, content) in [
        ("missing", missing.clone()),
        ("null", "0".repeat(digits)),
        ("other-format", other.clone()),
        ("tag-of-other-format", bed.tag(&tag("commit", &other))),
        ("short", "123".into()),
        ("empty", String::new()),
        ("long", format!("{tip}0")),
        ("words", format!("{tip} and more\n")),
        ("upper", tip.to_ascii_uppercase()),
        ("blank", format!(" {tip}\n")),
        ("ref-blank", "ref:refs/heads/b1".into()),
        ("ref-tabs", "ref:\t  refs/heads/b1  \n".into()),
        ("ref-bad", "ref: refs/heads/b..1\n".into()),
        ("ref-out", "ref: ../config\n".into()),
        ("ref-config", "ref: config\n".into()),
        ("ref-none", "ref:\n".into()),
        ("ref-loop", "ref: refs/heads/ref-loop\n".into()),
        ("ref-missing", "ref: refs/heads/missing\n".into()),
        ("ref-null", "ref: refs/heads/null\n".into()),
        ("ref-short", "ref: refs/heads/short\n".into()),
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
        &"0".repeat(digits),
        &other,
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
        let query = Query::parse(Format::Sha1, []).expect("good");
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
        "[Extensions]\n\tpreciousObjects = true\n",
        "[extensions]\n\tobjectformat = sha1\n\tworktreeConfig = true\n",
        "[extensions] ; noop\n",
    ] {
        bed.write("config", format!("[core]\n\tbare = true\n{config}"));
        assert!(!list().await, "{config}");
        let request = ls_refs(Format::Sha1, &["symrefs".into()]);
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

    let request = ls_refs(Format::Sha1, &["peel".into(), "symrefs".into()]);
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
