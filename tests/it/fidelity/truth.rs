//! What git says about a repository, in the form in which the REST API should say it.
//!
//! Invariant: everything comes from git's own commands. Only what they do not print, entries' names byte by byte and
//! what a signature signs, is taken out of the objects that git prints.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::fixtures::{command, git};

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List<T> {
    pub(super) next: Option<String>,
    pub(super) results: Vec<T>,
    pub(super) total: i64,
    pub(super) results_per_page: usize,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reference {
    pub(super) target: String,
    pub(super) name: String,
    pub(super) artifacts: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) email: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    pub(super) signature: String,
    pub(super) data: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Commit {
    pub(super) id: String,
    pub(super) short_id: String,
    pub(super) author: Person,
    pub(super) committer: Person,
    pub(super) timestamp: String,
    pub(super) message: String,
    pub(super) tree: String,
    pub(super) parents: Vec<String>,
    pub(super) signature: Option<Signature>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tree {
    pub(super) id: String,
    pub(super) short_id: String,
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) r#type: String,
    pub(super) mode: u32,
}

/// What git says.
pub(super) struct Truth {
    pub(super) path: PathBuf,
    pub(super) commits: HashMap<String, Commit>,
    /// The short ids of the commits' trees.
    pub(super) short_trees: HashMap<String, String>,
}

impl Truth {
    pub(super) fn read(path: PathBuf) -> Self {
        let mut signatures = HashMap::new();
        let format = git(&path, &["rev-parse", "--show-object-format"], b"");
        let header = match format.trim_ascii() {
            b"sha256" => "gpgsig-sha256 ",
            _ => "gpgsig ",
        };
        let ids = git(&path, &["rev-list", "--all"], b"");
        cat_file(&path, lines(&ids), |(id, _, content)| {
            if let Some(signature) = signature(&content, header) {
                signatures.insert(id, signature);
            }
        });
        // Fields end with NUL, which no commit can hold.
        let format = "--format=%H%x00%h%x00%an%x00%ae%x00%cn%x00%ce%x00%at%x00%B%x00%T%x00%t%x00%P";
        let arguments = [
            "log",
            "--all",
            "--abbrev=7",
            "--encoding=UTF-8",
            "-z",
            format,
        ];
        let output = git(&path, &arguments, b"");
        let fields: Vec<_> = output.split(|byte| *byte == 0).map(text).collect();
        let (mut commits, mut short_trees) = (HashMap::new(), HashMap::new());
        for fields in fields.chunks_exact(11) {
            let [
                id,
                short_id,
                name,
                email,
                committer,
                committer_email,
                time,
                message,
                tree,
                short_tree,
                parents,
            ] = fields
            else {
                unreachable!("chunks of eleven");
            };
            let commit = Commit {
                id: id.clone(),
                short_id: short_id.clone(),
                author: Person {
                    name: name.clone(),
                    email: email.clone(),
                },
                committer: Person {
                    name: committer.clone(),
                    email: committer_email.clone(),
                },
                timestamp: timestamp(time),
                message: message.clone(),
                tree: tree.clone(),
                parents: parents.split_whitespace().map(str::to_owned).collect(),
                signature: signatures.remove(id),
            };
            commits.insert(id.clone(), commit);
            short_trees.insert(tree.clone(), short_tree.clone());
        }
        assert!(signatures.is_empty(), "{:?}", signatures.keys());
        Self {
            path,
            commits,
            short_trees,
        }
    }

    pub(super) fn git(&self, arguments: &[&str]) -> Vec<u8> {
        git(&self.path, arguments, b"")
    }
}

/// An object: its id, its kind, its content.
pub(super) type Object = (String, String, Vec<u8>);

/// Has git read objects, all in one go.
pub(super) fn cat_file(
    repo: &Path,
    ids: impl Iterator<Item = String> + Send,
    mut each: impl FnMut(Object),
) {
    let mut child = command(repo, &["cat-file", "--batch", "--buffer"])
        .spawn()
        .expect("git");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for id in ids {
                writeln!(stdin, "{id}").expect("git reads");
            }
        });
        let mut line = String::new();
        while stdout.read_line(&mut line).expect("git writes") > 0 {
            let words: Vec<_> = line.split_whitespace().collect();
            let [id, kind, size] = words.as_slice() else {
                panic!("id, kind, size: {line:?}");
            };
            let mut content = vec![0; size.parse::<usize>().expect("a size") + 1];
            stdout.read_exact(&mut content).expect("git writes");
            content.pop();
            each(((*id).to_owned(), (*kind).to_owned(), content));
            line.clear();
        }
    });
    assert!(child.wait().expect("git").success());
}

/// A commit's signature: the header's lines, and the commit without them.
fn signature(commit: &[u8], header: &str) -> Option<Signature> {
    let (mut signature, mut data) = (Vec::new(), Vec::new());
    let (mut inside, mut above) = (false, true);
    for line in commit.split_inclusive(|byte| *byte == b'\n') {
        above &= line != b"\n";
        let value = match line.strip_prefix(header.as_bytes()) {
            Some(first) if above => Some(first),
            _ if inside && above => line.strip_prefix(b" "),
            _ => None,
        };
        inside = value.is_some();
        match value {
            Some(value) => signature.extend(value),
            None => data.extend(line),
        }
    }
    (!signature.is_empty()).then(|| Signature {
        signature: base64(&signature),
        data: base64(&data),
    })
}

/// A tree's entries, with the modes that `git ls-tree` shows; its ids have so many digits.
pub(super) fn entries(mut tree: &[u8], digits: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    while !tree.is_empty() {
        let space = tree.iter().position(|b| *b == b' ').expect("a mode");
        let end = tree.iter().position(|b| *b == 0).expect("a name");
        let (id, rest) = tree[end + 1..].split_at(digits / 2);
        let mode = u32::from_str_radix(&text(&tree[..space]), 8).expect("octal");
        let (r#type, mode) = match mode & 0o170_000 {
            0o040_000 => ("tree", 0o040_000),
            0o160_000 => ("commit", 0o160_000),
            0o120_000 => ("blob", 0o120_000),
            _ if mode & 0o100 != 0 => ("blob", 0o100_755),
            _ => ("blob", 0o100_644),
        };
        entries.push(Entry {
            name: text(&tree[space + 1..end]),
            id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            r#type: r#type.to_owned(),
            mode,
        });
        tree = rest;
    }
    entries
}

fn timestamp(seconds: &str) -> String {
    let time = chrono::DateTime::from_timestamp(seconds.parse().expect("seconds"), 0);
    let time = time.expect("a time that a calendar has");
    time.format("%Y-%m-%dT%H:%M:%S").to_string()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn split(output: &[u8], end: u8) -> impl Iterator<Item = &[u8]> {
    output
        .split(move |byte| *byte == end)
        .filter(|line| !line.is_empty())
}

pub(super) fn lines(output: &[u8]) -> impl Iterator<Item = String> {
    split(output, b'\n').map(text)
}
