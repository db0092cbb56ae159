//! Git's own server.

use std::path::PathBuf;

use crate::client::hostile::wire::Report;
use crate::support::fixture::{git, git_text};
use crate::support::site::{Client, Site, run};

/// A repository that `git receive-pack` serves.
pub(super) struct Stock {
    pub(super) dir: PathBuf,
}

impl Stock {
    /// With what the fixture has.
    pub(super) fn new(site: &Site) -> Self {
        let root = tempfile::tempdir_in(site.world.dir.path()).unwrap().keep();
        git(
            &root,
            &["clone", "-q", "--mirror", "../small.git", "stock.git"],
            b"",
        );
        let dir = root.join("stock.git");
        let config = "[receive]\n\tdenyDeleteCurrent = ignore\n\tadvertisePushOptions = true\n\tautogc = false\n\
            [receive \"fsck\"]\n\tbadTimezone = ignore\n\tmissingSpaceBeforeDate = ignore\n\tzeroPaddedFilemode = ignore\n\
            [transfer]\n\tfsckObjects = true\n\thideRefs = refs/forge\n\thideRefs = refs/replace\n\
            [core]\n\thooksPath = /dev/null\n\tbare = true\n[maintenance]\n\tauto = false\n";
        std::fs::write(dir.join("config"), config).unwrap();
        Self { dir }
    }

    pub(super) fn refs(&self) -> String {
        let format = "--format=%(objectname) %(refname)";
        let refs = git_text(&self.dir, &["for-each-ref", format]);
        format!("{refs}\n{}", git_text(&self.dir, &["symbolic-ref", "HEAD"]))
    }

    /// Pushes bytes.
    pub(super) async fn push(&self, client: &Client, body: &[u8]) -> Report {
        let dir = self.dir.to_str().unwrap();
        let command = client.command(".", &["receive-pack", "--stateless-rpc", dir]);
        let ran = run(command, body).await;
        let mut report = Report::parse(&ran.raw);
        report.told += &ran.err;
        report
    }
}
