//! Clients that create, rename, describe, delete and upload, and remember what they were told.
//!
//! Invariant: a worker's names are its own, and it asks for one thing at a time. It does not look at what it did; see
//! the checks in `crash.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::json;

use super::Rng;
use crate::support::Answer;
use crate::support::process::{Client, Payload};

/// How many repositories a worker has at most.
const REPOS: usize = 8;

/// What a client asks for.
#[derive(Clone)]
pub(super) enum Op {
    Create(String),
    Rename(String, String),
    Describe(String, String),
    Delete(String),
    Upload(String, String, Bytes),
}

impl fmt::Debug for Op {
    /// Without the contents, which nobody can read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(name) => write!(f, "create {name}"),
            Self::Rename(old, new) => write!(f, "rename {old} to {new}"),
            Self::Describe(name, text) => write!(f, "describe {name} as {text:?}"),
            Self::Delete(name) => write!(f, "delete {name}"),
            Self::Upload(name, file, content) => {
                write!(f, "upload {} bytes to {name} as {file}", content.len())
            }
        }
    }
}

/// What a client believes of one of its repositories.
#[derive(Debug, Clone, Default)]
pub(super) struct Repo {
    /// Whether it is a copy of the fixture, or empty.
    pub(super) imported: bool,
    pub(super) description: Option<String>,
    pub(super) artifacts: BTreeMap<String, Bytes>,
}

/// A client, and what it believes of the server.
#[derive(Debug)]
pub(super) struct Worker {
    name: String,
    rng: Rng,
    count: u64,
    pub(super) repos: BTreeMap<String, Repo>,
    pub(super) gone: BTreeSet<String>,
    /// The operation that was not answered.
    unsure: Option<Op>,
}

impl Worker {
    pub(super) fn new(number: u64) -> Self {
        Self {
            name: format!("w{number}"),
            rng: Rng(number),
            count: 0,
            repos: BTreeMap::new(),
            gone: BTreeSet::new(),
            unsure: None,
        }
    }

    /// Works until the server goes away.
    pub(super) async fn work(mut self, client: Client, killed: Arc<AtomicBool>) -> Self {
        loop {
            let op = self.choose();
            if let Err(error) = perform(&client, &op).await {
                assert!(killed.load(Ordering::Relaxed), "{op:?}: {error:?}");
                self.unsure = Some(op);
                return self;
            }
            self.apply(op);
        }
    }

    fn choose(&mut self) -> Op {
        let imported = self.repos.iter().filter(|(_, repo)| repo.imported);
        let imported: Vec<_> = imported.map(|(name, _)| name.clone()).collect();
        let name = self
            .rng
            .pick(self.repos.keys().cloned().collect::<Vec<_>>().into_iter());
        let Some(name) = name.filter(|_| self.repos.len() > 2) else {
            return Op::Create(self.unused());
        };
        let room = self.repos.len() < REPOS;
        match self.rng.below(10) {
            0..=2 if room => Op::Create(self.unused()),
            0..=3 => Op::Delete(name),
            4 | 5 => {
                let new = self.unused();
                Op::Rename(name, new)
            }
            6 => Op::Describe(name, format!("description {}", self.rng.next())),
            _ => match self.rng.pick(imported.into_iter()) {
                Some(name) => {
                    self.count += 1;
                    Op::Upload(
                        name,
                        format!("{}-{}.bin", self.name, self.count),
                        self.content(),
                    )
                }
                None => Op::Delete(name),
            },
        }
    }

    /// A name that no repository has (any more).
    fn unused(&mut self) -> String {
        let again = self.rng.below(3) == 0;
        let gone: Vec<_> = self.gone.iter().cloned().collect();
        match self.rng.pick(gone.into_iter()).filter(|_| again) {
            Some(name) => name,
            None => {
                self.count += 1;
                format!("{}-{}", self.name, self.count)
            }
        }
    }

    fn content(&mut self) -> Bytes {
        let size = match self.rng.below(16) {
            0 => 9 << 20,
            1 | 2 => 1 << 20,
            3 => 0,
            4..=9 => 1000,
            _ => 50_000,
        };
        let mut content = Vec::with_capacity(size + 8);
        while content.len() < size {
            content.extend_from_slice(&self.rng.next().to_le_bytes());
        }
        content.truncate(size);
        content.into()
    }

    pub(super) fn apply(&mut self, op: Op) {
        match op {
            Op::Create(name) => {
                self.gone.remove(&name);
                self.repos.insert(name, Repo::default());
            }
            Op::Rename(old, new) => {
                let repo = self.repos.remove(&old).expect("known");
                self.gone.remove(&new);
                self.gone.insert(old);
                self.repos.insert(new, repo);
            }
            Op::Describe(name, text) => {
                self.repos.get_mut(&name).expect("known").description = Some(text);
            }
            Op::Delete(name) => {
                self.repos.remove(&name).expect("known");
                self.gone.insert(name);
            }
            Op::Upload(name, file, content) => {
                let repo = self.repos.get_mut(&name).expect("known");
                repo.artifacts.insert(file, content);
            }
        }
    }

    /// Finds out how the unanswered operation ended. What did not happen is returned.
    pub(super) async fn settle(&mut self, client: &Client) -> Option<Op> {
        let op = self.unsure.take()?;
        let happened = match &op {
            Op::Create(name) => exists(client, name).await,
            Op::Delete(name) => !exists(client, name).await,
            Op::Rename(old, new) => {
                let (before, after) = (exists(client, old).await, exists(client, new).await);
                assert_ne!(before, after, "{op:?}: both names, or none");
                after
            }
            Op::Describe(name, text) => {
                let now = client.get(&format!("/api/repos/{name}")).await.json();
                now["description"] == json!(text)
            }
            Op::Upload(name, file, _) => {
                let url = format!("/~you/{name}/refs/download/v1/{file}");
                found(&client.get(&url).await)
            }
        };
        if happened {
            self.apply(op);
            return None;
        }
        Some(op)
    }
}

/// Asks for it; an error if the server went away before it answered.
pub(super) async fn perform(client: &Client, op: &Op) -> reqwest::Result<()> {
    let repo = |name: &str| format!("/api/repos/{name}");
    let (method, path, payload, expected) = match op {
        Op::Create(name) => {
            let json = Payload::Json(json!({ "name": name }));
            (Method::POST, "/api/repos".to_owned(), json, 201)
        }
        Op::Rename(old, new) => {
            let json = Payload::Json(json!({ "name": new }));
            (Method::PUT, repo(old), json, 200)
        }
        Op::Describe(name, text) => {
            let json = Payload::Json(json!({ "description": text }));
            (Method::PUT, repo(name), json, 200)
        }
        Op::Delete(name) => (Method::DELETE, repo(name), Payload::Nothing, 204),
        Op::Upload(name, file, content) => {
            let file = Payload::File(file.clone(), content.clone());
            (Method::POST, repo(name) + "/artifacts/v1", file, 201)
        }
    };
    let answer = client.ask(method, &path, payload).await?;
    assert_eq!(answer.status, expected, "{op:?}: {answer:?}");
    Ok(())
}

fn found(answer: &Answer) -> bool {
    match answer.status {
        StatusCode::OK => true,
        StatusCode::NOT_FOUND => false,
        _ => panic!("{answer:?}"),
    }
}

pub(super) async fn exists(client: &Client, name: &str) -> bool {
    found(&client.get(&format!("/api/repos/{name}")).await)
}
