//! Git's own server.

use std::path::PathBuf;

use crate::client::hostile::wire::Report;
use crate::support::fixture::{git, git_text, small_as};
use crate::support::site::{Client, Site, run};

/// A repository that `git receive-pack` serves.
pub(super) struct Stock {
    pub(super) dir: PathBuf,
}

impl Stock {
    /// With what the fixture has.
    pub(super) fn new(site: &Site) -> Self {
        Self::new_as("sha1", site)
    }

    /// The same with ids of a format.
    pub(super) fn new_as(format: &str, site: &Site) -> Self {
        let root = tempfile::tempdir_in(site.world.dir.path()).unwrap().keep();
        let source = small_as(format, site.world.dir.path());
        let source = source.to_str().unwrap();
        git(
            &root,
            &["clone", "-q", "--mirror", source, "stock.git"],
            b"",
        );
        let dir = root.join("stock.git");
        let config = "[receive]\n\tdenyDeleteCurrent = ignore\n\tadvertisePushOptions = true\n\tautogc = false\n\
            [receive \"fsck\"]\n\tbadTimezone = ignore\n\tmissingSpaceBeforeDate = ignore\n\tzeroPaddedFilemode = ignore\n\
            [transfer]\n\tfsckObjects = true\n\thideRefs = refs/forge\n\thideRefs = refs/replace\n\
            [core]\n\thooksPath = /dev/null\n\tbare = true\n[maintenance]\n\tauto = false\n";
        let ids = match format {
            "sha256" => "\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n",
            _ => "",
        };
        let config = config.replace("\tbare = true\n", &format!("\tbare = true\n{ids}"));
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
