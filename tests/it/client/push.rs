//! Pushes by stock git: each thing that `git push` can do, on each way, and what is left on both sides.
//!
//! Invariant: a test looks at the files of the repository with git itself, never with the code that wrote them. What a
//! client sends that git would not send is in `hostile.rs`; whether git's own server agrees, in `oracle.rs`.

mod atomic;
mod basics;
mod formats;
mod leaks;
mod newcomers;
mod options;
mod patience;
mod people;
mod races;
mod shapes;

use std::path::PathBuf;
use std::time::Duration;

use forge::RepoPath;
use forge::objects::ImportSource;
use forge::repos::{NewRepo, Repository, Visibility};

use crate::support::fixture::git_text;
use crate::support::site::{Client, Ran, Site, Way};
use crate::support::{Persona, fixture};

/// Each way once. A push is of version 0 whatever the client is set to, so that all versions are tried with the plain
/// pushes alone: see `basics.rs`.
pub(super) const BOTH: [(Way, u8); 2] = [(Way::Http, 2), (Way::Ssh, 0)];

/// What a repository that every client can tell apart is called.
pub(super) fn name_of(what: &str, way: Way, version: u8) -> String {
    format!("{what}-{way:?}-{version}").to_lowercase()
}

/// Gives alice another private copy of the fixture.
pub(super) async fn copy(site: &Site, name: &str) -> String {
    copy_as("sha1", site, name).await
}

/// The same with ids of a format.
pub(super) async fn copy_as(format: &str, site: &Site, name: &str) -> String {
    let source = ImportSource::Path(fixture::small_as(format, site.world.dir.path()));
    site.world.import(name, Visibility::Private, &source).await;
    format!("~alice/{name}")
}

/// Gives alice a private repository with nothing in it.
pub(super) async fn empty(site: &Site, name: &str) -> String {
    let new = NewRepo {
        name: name.parse().unwrap(),
        description: None,
        visibility: Visibility::Private,
    };
    let account = site.world.owner().await.account().unwrap();
    let _made = account.create_repo(&new).await.unwrap();
    format!("~alice/{name}")
}

/// What is known of a repository; `None` if there is none.
pub(super) async fn row(site: &Site, repo: &str) -> Option<Repository> {
    let path: RepoPath = repo.parse().unwrap();
    site.world.system().find_repo(&path).await.unwrap()
}

/// All refs of a repository on the server, and what HEAD names.
pub(super) async fn refs(site: &Site, repo: &str) -> String {
    let dir = site.dir_of(repo).await;
    let refs = git_text(&dir, &["for-each-ref", "--format=%(objectname) %(refname)"]);
    format!("{refs}\n{}", git_text(&dir, &["symbolic-ref", "HEAD"]))
}

/// What a ref of a repository on the server names.
pub(super) async fn tip(site: &Site, repo: &str, name: &str) -> Option<String> {
    let refs = refs(site, repo).await;
    let mut lines = refs.lines().filter_map(|line| line.split_once(' '));
    lines
        .find(|(_, known)| *known == name)
        .map(|(id, _)| id.to_owned())
}

/// Expects that git finds nothing wrong with a repository on the server, and that every object its refs need is there.
pub(super) async fn is_sound(site: &Site, repo: &str) {
    let dir = site.dir_of(repo).await;
    git_text(&dir, &["fsck", "--full", "--strict", "--no-dangling"]);
}

/// Polls until something holds.
pub(super) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}

/// A client that has what the fixture has, and a remote to push to.
pub(super) struct Work<'a> {
    pub(super) site: &'a Site,
    pub(super) client: Client,
    pub(super) repo: String,
}

impl<'a> Work<'a> {
    /// With a repository of alice's of its own, which has what the fixture has.
    pub(super) async fn new(site: &'a Site, what: &str, way: Way, version: u8) -> Self {
        Self::new_as("sha1", site, what, way, version).await
    }

    /// The same with ids of a format.
    pub(super) async fn new_as(
        format: &str,
        site: &'a Site,
        what: &str,
        way: Way,
        version: u8,
    ) -> Self {
        let what = match format {
            "sha1" => what.to_owned(),
            format => format!("{what}-{format}"),
        };
        let name = name_of(&what, way, version);
        let repo = copy_as(format, site, &name).await;
        Self::at_as(format, site, way, version, Persona::Owner, &repo).await
    }

    /// With a repository that is there, or is not.
    pub(super) async fn at(
        site: &'a Site,
        way: Way,
        version: u8,
        persona: Persona,
        repo: &str,
    ) -> Self {
        Self::at_as("sha1", site, way, version, persona, repo).await
    }

    /// The same, where the client's ids are of a format.
    pub(super) async fn at_as(
        format: &str,
        site: &'a Site,
        way: Way,
        version: u8,
        persona: Persona,
        repo: &str,
    ) -> Self {
        let client = site.client(persona, version);
        let init = ["init", "-q", &format!("--object-format={format}"), "work"];
        client.git(&init).await.good();
        let source = fixture::small_as(format, site.world.dir.path());
        let source = source.to_str().unwrap();
        let fetch = ["fetch", "-q", "--update-head-ok", source, "+refs/*:refs/*"];
        client.git_in("work", &fetch).await.good();
        let checkout = ["reset", "-q", "--hard"];
        client.git_in("work", &checkout).await.good();
        let url = site.url(way, persona, repo);
        let config = ["config", "remote.origin.url", &url];
        client.git_in("work", &config).await.good();
        Self {
            site,
            client,
            repo: repo.to_owned(),
        }
    }

    pub(super) async fn git(&self, arguments: &[&str]) -> Ran {
        self.client.git_in("work", arguments).await
    }

    /// Pushes to the remote; options first.
    pub(super) async fn push_with(&self, options: &[&str], refspecs: &[&str]) -> Ran {
        let arguments = [&["push", "--porcelain"], options, &["origin"], refspecs].concat();
        self.git(&arguments).await
    }

    pub(super) async fn push(&self, refspecs: &[&str]) -> Ran {
        self.push_with(&[], refspecs).await
    }

    /// Commits something that nobody else has committed; its id.
    pub(super) async fn commit(&self, text: &str) -> String {
        self.client.commit("work", "new.txt", text).await
    }

    pub(super) async fn id(&self, rev: &str) -> String {
        self.client.id("work", rev).await
    }

    /// What a ref of the server names.
    pub(super) async fn tip(&self, name: &str) -> Option<String> {
        tip(self.site, &self.repo, name).await
    }

    /// Where the server keeps it.
    pub(super) async fn dir(&self) -> PathBuf {
        self.site.dir_of(&self.repo).await
    }

    /// Expects that the server has the refs that the client has, and all they need.
    pub(super) async fn is_mirrored(&self) {
        let theirs = git_text(
            &self.dir().await,
            &["for-each-ref", "--format=%(objectname) %(refname)"],
        );
        assert_eq!(theirs, self.client.refs("work").await.trim_end());
        is_sound(self.site, &self.repo).await;
    }
}
