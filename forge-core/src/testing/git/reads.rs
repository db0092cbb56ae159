//! Every read of a repository against git's own answer.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice as _};
use futures::TryStreamExt as _;

use super::fixture::Fixture;
use crate::objects::{
    BlobContent, GitRepo, Kind, Lookup, Object, Oid, OidPrefix, Ref, Walk, WalkPage,
};
use crate::{RefName, RevSpec};

/// Checks all that a repository says against what git says of one with the same refs and objects.
///
/// # Panics
/// Where they differ.
pub async fn git_reads(repo: &dyn GitRepo, truth: &Fixture) {
    refs(repo, truth).await;
    revisions(repo, truth).await;
    objects(repo, truth).await;
    shortened_ids(repo, truth).await;
    git_walks(repo, truth, &[1, 2, 7, 50]).await;
}

pub(super) fn oid(text: &str) -> Oid {
    text.parse().expect("git prints ids")
}

async fn refs(repo: &dyn GitRepo, truth: &Fixture) {
    let format = "--format=%(refname)%00%(objectname)%00%(*objectname)%00%(symref)";
    let listing = truth.feed(&["for-each-ref", format], b"");
    let mut expected: Vec<Ref> = Vec::new();
    for line in listing.lines() {
        let fields: Vec<_> = line.split_str("\0").collect();
        let text = |n: usize| fields[n].to_str().expect("an id");
        let name = |n: usize| RefName::new(fields[n]).expect("git checks names");
        expected.push(Ref {
            name: name(0),
            target: oid(text(1)),
            peeled: oid(if text(2).is_empty() { text(1) } else { text(2) }),
            symbolic: (!fields[3].is_empty()).then(|| name(3)),
        });
    }
    expected.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(repo.refs().await.expect("refs"), expected);
    for reference in expected.iter().take(40) {
        let found = repo.find_ref(&reference.name).await.expect("a ref");
        assert_eq!(found.as_ref(), Some(reference));
    }
    let missing = RefName::new("refs/heads/no/such/branch").expect("a name");
    assert_eq!(repo.find_ref(&missing).await.expect("no fault"), None);

    let head = truth.try_ask(&[b"symbolic-ref", b"-q", b"--no-recurse", b"HEAD"]);
    let name = head.map(|name| RefName::new(name).expect("git checks names"));
    assert_eq!(repo.head().await.expect("HEAD"), name);
    let id = truth.try_ask(&[b"rev-parse", b"-q", b"--verify", b"HEAD"]);
    let head = RefName::new("HEAD").expect("a name");
    let found = repo.find_ref(&head).await.expect("HEAD");
    assert_eq!(found.map(|found| found.target), id.map(|id| oid(&id)));
}

/// Suffixes to try with each of some names.
const SUFFIXES: [&str; 26] = [
    "",
    "~",
    "~3",
    "^",
    "^2",
    "^3",
    "^0",
    "^^",
    "~2^2~1",
    "^{}",
    "^{commit}",
    "^{tree}",
    "^{blob}",
    "^{tag}",
    "^{object}",
    "^{nonsense}",
    "~99999999999",
    "~2147483647",
    ":d1",
    ":d1/",
    ":d1/e1/",
    ":d1//e1",
    ":/d1",
    ":",
    ":no/such/path",
    "~1^{tree}:d1/e1",
];

async fn revisions(repo: &dyn GitRepo, truth: &Fixture) {
    let mut names: Vec<BString> = [
        "HEAD", "@", "refs", "heads", "config", "tags/", "a b", "x-gabc",
    ]
    .map(BString::from)
    .to_vec();
    let listing = truth.feed(&["for-each-ref", "--format=%(refname)"], b"");
    for full in listing.lines().take(30) {
        names.push(full.into());
        for cut in ["refs/", "refs/heads/", "refs/tags/", "refs/remotes/"] {
            names.extend(full.strip_prefix(cut.as_bytes()).map(BString::from));
        }
    }
    let ids = truth.ask(&["rev-list", "--all", "-n", "5"]);
    for id in ids.lines() {
        names.extend([id.into(), id[..9].into(), id[..9].to_uppercase().into()]);
        names.push(format!("v1-2-g{}", &id[..9]).into());
        names.push(format!("{}0", &id[..39]).into());
    }
    // What four digits leave open, what is expected of it may decide.
    let all = all_objects(truth);
    let mut prefixes: BTreeMap<String, usize> = BTreeMap::new();
    for id in all.keys() {
        *prefixes.entry(id.to_string()[..4].into()).or_default() += 1;
    }
    let ambiguous = prefixes.iter().filter(|(_, n)| **n > 1).take(12);
    let ambiguous: Vec<_> = ambiguous
        .map(|(text, _)| BString::from(text.as_str()))
        .collect();
    let mut texts = Vec::new();
    for name in names.iter().chain(&ambiguous) {
        for suffix in SUFFIXES {
            texts.push(BString::from([name.as_slice(), suffix.as_bytes()].concat()));
        }
    }
    let input = texts.join("\n".as_bytes());
    let answers = truth.feed(&["cat-file", "--batch-check=%(objectname)"], &input);
    assert_eq!(answers.lines().count(), texts.len(), "one answer to each");
    for (text, answer) in texts.into_iter().zip(answers.lines()) {
        let Ok(rev) = RevSpec::new(text.clone()) else {
            continue;
        };
        // What is missing or ambiguous is followed by that word.
        let expected = answer.to_str().ok().and_then(|id| id.parse().ok());
        let found = repo.resolve(&[rev]).await.expect("no fault");
        assert_eq!(found.map(|(_, id)| id), expected, "{text:?}");
    }
    if let Some(id) = ids.lines().next() {
        let revs = ["nothing", id, "HEAD"].map(|rev| RevSpec::new(rev).expect("a revision"));
        let found = repo.resolve(&revs).await.expect("no fault");
        assert_eq!(found, Some((1, oid(id))), "the first that names an object");
    }
}

pub(super) fn all_objects(truth: &Fixture) -> BTreeMap<Oid, (Kind, u64)> {
    let listing = truth.ask(&[
        "cat-file",
        "--batch-all-objects",
        "--unordered",
        "--batch-check=%(objectname) %(objecttype) %(objectsize)",
    ]);
    let kinds = [Kind::Commit, Kind::Tree, Kind::Blob, Kind::Tag];
    let entry = |line: &str| {
        let fields: Vec<_> = line.split(' ').collect();
        let kind = kinds.into_iter().find(|k| k.as_str() == fields[1]);
        let size = fields[2].parse().expect("a size");
        (oid(fields[0]), (kind.expect("a kind"), size))
    };
    listing.lines().map(entry).collect()
}

async fn objects(repo: &dyn GitRepo, truth: &Fixture) {
    let all = all_objects(truth);
    let missing = oid(&"1".repeat(40));
    let mut ids: Vec<_> = all.keys().copied().collect();
    ids.insert(ids.len() / 2, missing);
    // A part first: what some caller has asked for before must not shift the rest.
    let part: Vec<_> = ids.iter().copied().step_by(3).collect();
    repo.objects(&part).await.expect("objects");
    let found = repo.objects(&ids).await.expect("objects");
    assert_eq!(found.len(), ids.len());
    for (id, object) in ids.iter().zip(&found) {
        let kind = object.as_ref().map(Object::kind);
        assert_eq!(kind, all.get(id).map(|(kind, _)| *kind), "{id}");
    }
    assert!(repo.content(missing).await.expect("no fault").is_none());
    assert_eq!(repo.peel(missing).await.expect("no fault"), None);

    // Some of each kind whole.
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for (id, object) in ids.iter().zip(found) {
        let Some(object) = object else { continue };
        let (kind, size) = all[id];
        let left = left.entry(kind.as_str()).or_insert(15);
        if *left == 0 {
            continue;
        }
        *left -= 1;
        let raw = truth.feed(&["cat-file", kind.as_str(), &id.to_string()], b"");
        let content = repo.content(*id).await.expect("content").expect("there");
        assert_eq!((content.kind, content.size), (kind, size));
        assert_eq!(whole(content).await.as_bstr(), raw.as_bstr());
        let peeled = truth.ask(&["rev-parse", &format!("{id}^{{}}")]);
        let peeled = oid(&peeled);
        let found = repo.peel(*id).await.expect("an object");
        assert_eq!(found, Some((peeled, all[&peeled].0)));
        decoded(truth, *id, &object);
    }
}

/// The whole content, which must come as promised.
pub(super) async fn whole(content: BlobContent) -> Vec<u8> {
    let BlobContent {
        size, head, rest, ..
    } = content;
    assert!(head.len() as u64 >= size.min(8000), "the head is short");
    let mut all = head.to_vec();
    let pieces: Vec<_> = rest.try_collect().await.expect("content");
    for piece in pieces {
        all.extend_from_slice(&piece);
    }
    assert_eq!(all.len() as u64, size);
    all
}

fn decoded(truth: &Fixture, id: Oid, object: &Object) {
    match object {
        Object::Commit(commit) => {
            let format = "--format=%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B";
            let name = id.to_string();
            let log = truth.ask(&["log", "-1", "--encoding=UTF-8", format, &name]);
            let parents: Vec<_> = commit.parents.iter().map(ToString::to_string).collect();
            let (author, committer) = (&commit.author, &commit.committer);
            let found = [
                commit.tree.to_string(),
                parents.join(" "),
                author.name.clone(),
                author.email.clone(),
                author.time.timestamp().to_string(),
                committer.name.clone(),
                committer.email.clone(),
                committer.time.timestamp().to_string(),
                commit.message.clone(),
            ];
            assert_eq!(found.join("\0").trim_end(), log.trim_end());
        }
        Object::Tree(tree) => {
            let mut found = Vec::new();
            for entry in &tree.entries {
                let kind = entry.kind().as_str();
                found.extend(format!("{:06o} {kind} {}\t", entry.mode, entry.id).into_bytes());
                found.extend_from_slice(&entry.name);
                found.push(0);
            }
            let listing = truth.feed(&["ls-tree", "-z", &id.to_string()], b"");
            assert_eq!(found.as_bstr(), listing.as_bstr());
        }
        Object::Tag(tag) => {
            let name = id.to_string();
            let target = truth.ask(&["rev-parse", &format!("{name}^{{tag}}")]);
            assert_eq!((tag.id, oid(&target)), (id, id));
            let raw = truth.ask(&["cat-file", "tag", &name]);
            assert!(raw.starts_with(&format!("object {}", tag.target)), "{raw}");
            assert!(raw.contains(&format!("\ntype {}\n", tag.target_kind.as_str())));
            assert!(raw.contains(&format!("\ntag {}\n", tag.name)));
        }
        Object::Blob(_) => {}
    }
}

async fn shortened_ids(repo: &dyn GitRepo, truth: &Fixture) {
    let all: Vec<_> = all_objects(truth).into_keys().collect();
    let lengths = repo.short_lengths(&all).await.expect("lengths");
    for (n, id) in all.iter().enumerate() {
        let shared = |other: Option<&Oid>| {
            let (a, b) = (
                id.to_string(),
                other.map(ToString::to_string).unwrap_or_default(),
            );
            a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
        };
        // They are sorted, so the likest ids are neighbours.
        let before = n.checked_sub(1).and_then(|n| all.get(n));
        let like = shared(before).max(shared(all.get(n + 1)));
        assert_eq!(lengths[n], (like + 1).max(7), "{id}");
        for digits in [4, like, like + 1, 40] {
            let text = &id.to_string()[..digits.max(4)];
            let expected = if digits > like {
                Lookup::One(*id)
            } else if digits.max(4) <= like {
                Lookup::Ambiguous
            } else {
                Lookup::One(*id)
            };
            if n % 17 == 0 || expected == Lookup::Ambiguous {
                let prefix: OidPrefix = text.parse().expect("digits");
                assert_eq!(repo.lookup(&prefix).await.expect("no fault"), expected);
            }
        }
    }
    let missing = "1".repeat(40).parse().expect("digits");
    assert_eq!(repo.lookup(&missing).await.expect("no fault"), Lookup::None);
}

/// Checks the order of every branch's history, page by page, against `git rev-list`.
///
/// # Panics
/// Where they differ.
pub async fn git_walks(repo: &dyn GitRepo, truth: &Fixture, sizes: &[usize]) {
    let tips = truth.ask(&["for-each-ref", "--format=%(objectname)", "refs/heads/"]);
    for (n, tip) in tips.lines().take(8).enumerate() {
        let tip = oid(tip);
        let listing = truth.ask(&["rev-list", &tip.to_string()]);
        let expected: Vec<_> = listing.lines().map(oid).collect();
        for &count in sizes {
            // Single steps through one history are enough.
            if count > 2 || n == 0 {
                pages(repo, tip, &expected, count).await;
            }
        }
        let ids: Vec<_> = expected.iter().rev().take(3).collect();
        for start in ids {
            let walk = Walk {
                tip: *start,
                start: Some(tip),
                count: 5,
            };
            let page = repo.walk(&walk).await.expect("no fault");
            assert_eq!(
                page.is_some(),
                *start == tip,
                "a tip is not in its ancestor's history"
            );
        }
    }
    for (id, (kind, _)) in all_objects(truth) {
        if kind != Kind::Commit {
            let walk = Walk {
                tip: id,
                start: None,
                count: 1,
            };
            assert!(
                repo.walk(&walk).await.expect("no fault").is_none(),
                "{kind:?}"
            );
            break;
        }
    }
}

async fn pages(repo: &dyn GitRepo, tip: Oid, expected: &[Oid], count: usize) {
    let mut found = Vec::new();
    let mut start = None;
    loop {
        let walk = Walk { tip, start, count };
        let page = repo.walk(&walk).await.expect("a walk").expect("a page");
        let WalkPage { commits, next } = page;
        assert!(
            commits.len() == count || next.is_none(),
            "only the last page is short"
        );
        found.extend(commits.iter().map(|commit| commit.id));
        start = next;
        if start.is_none() {
            break;
        }
    }
    assert_eq!(found, expected, "{tip} by {count}");
}
