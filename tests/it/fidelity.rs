//! Whether everything comes out of the REST API as git itself tells it: refs, histories, commits, trees, blobs.
//!
//! The repository is made by git: more than 50,000 commits with merges of every kind, everything else that git allows
//! in small numbers. With `FORGE_REAL_REPO=/path/to/a/repository`, that one is compared too, after a `git clone
//! --mirror` which leaves out what no ref reaches.
//!
//! Invariant: what is expected comes from git alone, never from the code under test. How answers are spelled
//! otherwise, their headers and errors, is recorded in `wire`.

#[path = "../fixtures/mod.rs"]
mod fixtures;
mod truth;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use forge::objects::ImportSource;
use forge::repos::Visibility;
use http::StatusCode;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot};

use self::fixtures::{Shape, git};
use self::truth::{
    Commit, List, Object, Reference, Tree, Truth, cat_file, entries, lines, split, text,
};
use crate::support::{Database, Persona, World};

/// The shape of the repository that has everything.
const EVERYTHING: Shape = Shape {
    commits: 50_200,
    files: 3_000,
    refs: 5_000,
    seed: 7,
    format: "sha1",
    odd: true,
};

/// The same in small, with longer ids.
const LONGER: Shape = Shape {
    commits: 600,
    files: 200,
    refs: 300,
    seed: 8,
    format: "sha256",
    odd: true,
};

/// How many requests are made at once.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_a_repository_is_served_as_git_tells_it() {
    let world = Arc::new(World::new(Database::Sqlite).await);
    let mut sources = Vec::new();
    let made = world.dir.path().join("everything.git");
    EVERYTHING.make(&made);
    sources.push(("everything", made));
    if let Some(real) = std::env::var_os("FORGE_REAL_REPO") {
        let real = PathBuf::from(real).canonicalize().expect("FORGE_REAL_REPO");
        let shallow = git(&real, &["rev-parse", "--is-shallow-repository"], b"");
        assert_eq!(shallow, b"false\n", "FORGE_REAL_REPO must be complete");
        let mirror = world.dir.path().join("real.git");
        let (from, to) = (real.to_str().expect("text"), mirror.to_str().expect("text"));
        git(
            world.dir.path(),
            &["clone", "-q", "--mirror", "--no-local", from, to],
            b"",
        );
        sources.push(("real", mirror));
    }
    for (name, path) in sources {
        let source = ImportSource::Path(path.clone());
        world.import(name, Visibility::Private, &source).await;
        compare(&world, name, path).await;
    }
    world.settle().await;
    Arc::into_inner(world).expect("no reader left").end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_a_repository_with_longer_ids_is_served_as_git_tells_it() {
    let world = Arc::new(World::new(Database::Sqlite).await);
    let path = world.dir.path().join("longer.git");
    LONGER.make(&path);
    let source = ImportSource::Path(path.clone());
    let visibility = Visibility::Private;
    world.import("longer", visibility, &source).await;
    compare(&world, "longer", path).await;
    world.settle().await;
    Arc::into_inner(world).expect("no reader left").end().await;
}

async fn compare(world: &Arc<World>, name: &'static str, path: PathBuf) {
    let truth = Arc::new(Truth::read(path));
    let (stop, stopped) = oneshot::channel::<()>();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = world.app.serve().listener(listener);
    let serving = tokio::spawn(serving.until(async { drop(stopped.await) }));

    let near = Reader {
        world: Arc::clone(world),
        repo: name,
        socket: None,
    };
    // The client wants a provider for TLS even where it speaks none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let far = Reader {
        socket: Some((reqwest::Client::new(), format!("http://{address}"))),
        ..near.clone()
    };
    let mut seen = HashSet::new();
    truth.compare_log(&far, "HEAD", &mut seen).await;
    stop.send(()).expect("the forge is served");
    serving
        .await
        .expect("the forge is served")
        .expect("its end");

    truth.compare_refs(&near).await;
    truth.compare_other_logs(&near, &mut seen).await;
    truth.compare_paths(&near).await;
    Arc::clone(&truth).compare_objects(&near).await;
}

/// Reads one repository over REST: within the process, or over one connection that stays open.
#[derive(Clone)]
struct Reader {
    world: Arc<World>,
    repo: &'static str,
    socket: Option<(reqwest::Client, String)>,
}

impl Reader {
    async fn ask(&self, path: &str) -> (StatusCode, Bytes) {
        let path = format!("/api/~alice/repos/{}/{path}", self.repo);
        let Some((client, base)) = &self.socket else {
            let answer = self.world.get(Persona::Owner, &path).await;
            return (answer.status, answer.body);
        };
        let token = self.world.token_of(Persona::Owner).expect("a token");
        let request = client.get(format!("{base}{path}")).bearer_auth(token);
        let answer = request.send().await.expect("an answer");
        (answer.status(), answer.bytes().await.expect("a body"))
    }

    async fn get(&self, path: &str) -> Bytes {
        let (status, body) = self.ask(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body:?}");
        body
    }

    async fn json<T: for<'a> Deserialize<'a>>(&self, path: &str) -> T {
        let body = self.get(path).await;
        serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body:?}"))
    }
}

impl Truth {
    /// Follows a history to its end.
    async fn compare_log(&self, reader: &Reader, rev: &str, seen: &mut HashSet<String>) {
        let expected = self.git(&["rev-list", rev, "--"]);
        let mut expected = lines(&expected).peekable();
        let base = format!("log/{}", escaped(rev.as_bytes()));
        let mut path = base.clone();
        loop {
            let page: List<Commit> = reader.json(&path).await;
            assert_eq!((page.total, page.results_per_page), (-1, 50), "{path}");
            for commit in page.results {
                let id = expected.next();
                assert_eq!(Some(&commit.id), id.as_ref(), "{path}: the order");
                assert_eq!(Some(&commit), self.commits.get(&commit.id), "{path}");
                seen.insert(commit.id);
            }
            assert_eq!(page.next.as_ref(), expected.peek(), "{path}: the next page");
            match page.next {
                Some(next) => path = format!("{base}?start={next}"),
                None => return,
            }
        }
    }

    /// Some histories as a whole, and whatever commits are in none of them.
    async fn compare_other_logs(&self, reader: &Reader, seen: &mut HashSet<String>) {
        let refs = self.git(&["for-each-ref", "--format=%(refname)", "refs/heads/"]);
        let refs: Vec<_> = lines(&refs).filter(|name| name.is_ascii()).collect();
        let stray = |name: &&String| name.contains("/stray/") || name.contains("/special");
        for name in refs.iter().filter(stray) {
            self.compare_log(reader, name, seen).await;
        }
        for name in refs.iter().step_by(refs.len() / 3 + 1) {
            self.compare_log(reader, name, seen).await;
        }
        for id in self.commits.keys() {
            if seen.contains(id) {
                continue;
            }
            let page: List<Commit> = reader.json(&format!("log/{id}")).await;
            assert_eq!(page.results.first().map(|commit| &commit.id), Some(id));
            for commit in page.results {
                assert_eq!(Some(&commit), self.commits.get(&commit.id), "log/{id}");
                seen.insert(commit.id);
            }
        }
        assert_eq!(seen.len(), self.commits.len());
    }

    async fn compare_refs(&self, reader: &Reader) {
        let output = self.git(&["for-each-ref", "--format=%(objectname) %(refname)"]);
        let refs: Vec<_> = split(&output, b'\n')
            .map(|line| line.split_at(line.iter().position(|b| *b == b' ').expect("a space")))
            .map(|(id, name)| (text(id), &name[1..]))
            .collect();
        let list: List<Reference> = reader.json("refs").await;
        let expected = refs.iter().map(|(id, name)| Reference {
            target: id.clone(),
            name: text(name),
            artifacts: Vec::new(),
        });
        assert!(list.results.into_iter().eq(expected), "refs");
        assert_eq!(list.next, None);
        assert_eq!(list.results_per_page, refs.len());
        assert_eq!(usize::try_from(list.total), Ok(refs.len()));

        let rare = |name: &[u8]| {
            name.iter()
                .any(|b| !b.is_ascii_alphanumeric() && *b != b'/')
        };
        let chosen: Vec<_> = refs
            .iter()
            .enumerate()
            .filter(|(n, (_, name))| n % 10 == 0 || rare(name))
            .map(|(_, it)| it)
            .collect();
        let revs: String = chosen
            .iter()
            .map(|(id, _)| format!("{id}^{{}}\n"))
            .collect();
        let arguments = ["cat-file", "--batch-check=%(objectname)"];
        let peeled = git(&self.path, &arguments, revs.as_bytes());
        for ((id, name), peeled) in chosen.into_iter().zip(lines(&peeled)) {
            let path = format!("refdb/{}", escaped(name));
            let told = reader.get(&path).await;
            assert_eq!(text(&told), format!("{id} {peeled}"), "{path}");
        }
    }

    /// Entries by their paths below HEAD.
    async fn compare_paths(&self, reader: &Reader) {
        let output = self.git(&["ls-tree", "-r", "-t", "-z", "HEAD", "--"]);
        for (n, line) in split(&output, 0).enumerate() {
            let (about, path) =
                line.split_at(line.iter().position(|b| *b == b'\t').expect("a tab"));
            let (about, path) = (text(about), &path[1..]);
            let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/.-_".contains(b);
            let deep = path.split(|b| *b == b'/').count() > 4;
            if n % 50 != 0 && !deep && path.iter().all(plain) {
                continue;
            }
            let about: Vec<_> = about.split(' ').collect();
            let [_, kind, id] = about.as_slice() else {
                panic!("mode, kind, id: {about:?}");
            };
            let path = escaped(path);
            match *kind {
                "blob" => {
                    let content = reader.get(&format!("blob/HEAD/{path}")).await;
                    assert!(content == self.git(&["cat-file", "blob", id]), "{path}");
                }
                "tree" => {
                    let tree: Tree = reader.json(&format!("tree/HEAD/{path}")).await;
                    assert_eq!(tree.id, *id, "{path}");
                }
                _ => {
                    for verb in ["blob", "tree"] {
                        let (status, _) = reader.ask(&format!("{verb}/HEAD/{path}")).await;
                        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
                    }
                }
            }
        }
    }

    /// Every tree, blob and tag that a ref reaches, by its id; and some commits as git stores them.
    async fn compare_objects(self: Arc<Self>, reader: &Reader) {
        let arguments = ["rev-list", "--objects", "--no-object-names", "--all"];
        let ids = self.git(&arguments);
        let (send, receive) = mpsc::channel(4 * AT_ONCE);
        let receive = Arc::new(Mutex::new(receive));
        let readers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let (truth, reader) = (Arc::clone(&self), reader.clone());
                let receive = Arc::clone(&receive);
                tokio::spawn(async move {
                    loop {
                        let next = receive.lock().await.recv().await;
                        let Some((n, object)) = next else {
                            return;
                        };
                        compare_object(&truth, &reader, n, object).await;
                    }
                })
            })
            .collect();
        drop(receive);
        tokio::task::spawn_blocking(move || {
            let mut n = 0_usize;
            cat_file(&self.path, lines(&ids), |object| {
                n += 1;
                // Nobody receives once a comparison has failed.
                let _ = send.blocking_send((n, object));
            });
        })
        .await
        .expect("git");
        for reader in readers {
            reader.await.expect("no difference");
        }
    }
}

async fn compare_object(truth: &Truth, reader: &Reader, n: usize, object: Object) {
    let (id, kind, content) = object;
    match kind.as_str() {
        "tree" => {
            let tree: Tree = reader.json(&format!("tree/{id}")).await;
            assert_eq!(tree.entries, entries(&content, id.len()), "{id}");
            if let Some(short_id) = truth.short_trees.get(&id) {
                assert_eq!(tree.short_id, *short_id);
            }
            assert_eq!(tree.id, id);
        }
        "blob" => assert!(reader.get(&format!("blob/{id}")).await == content, "{id}"),
        _ => {}
    }
    if kind == "tag" || n.is_multiple_of(10) {
        assert!(reader.get(&format!("odb/{id}")).await == content, "{id}");
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'/' | b'.' | b'-' | b'_' => text.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
