//! The same pushes to the forge and to git's own server: the same is said, and the same is left.
//!
//! Invariant: git's server is set as ours is by design: it may lose its current branch, takes push options, checks
//! objects but for three harmless faults, and keeps two places to itself. What is known to differ is named by the case.

mod raw;
mod stock;
mod table;

use self::stock::Stock;
use self::table::{CASES, Case};
use super::push::{copy, is_sound, refs};
use crate::support::Persona;
use crate::support::fixture::git_text;
use crate::support::site::{Client, Ran, Site, Way};

/// What came of a push.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    good: bool,
    /// The client's line of each ref, sorted.
    verdicts: Vec<String>,
    refs: String,
}

/// Makes what is to be pushed and pushes it.
async fn play(client: &Client, source: &str, url: &str, case: &Case) -> Ran {
    let fetch = ["fetch", "-q", "--update-head-ok", source, "+refs/*:refs/*"];
    client.git(&["init", "-q", "work"]).await.good();
    client.git_in("work", &fetch).await.good();
    client
        .git_in("work", &["reset", "-q", "--hard"])
        .await
        .good();
    let config = ["config", "remote.there.url", url];
    client.git_in("work", &config).await.good();
    for step in case.steps {
        let ran = client.git_in("work", step).await;
        assert_eq!(ran.code, Some(0), "{}: {step:?}: {}", case.name, ran.err);
    }
    let push = [&["push", "--porcelain"], case.push].concat();
    client.git_in("work", &push).await
}

fn verdicts(ran: &Ran, case: &Case) -> Vec<String> {
    let lines = ran.out.lines();
    let mut lines: Vec<_> = lines
        .filter(|line| !line.starts_with("To ") && *line != "Done")
        .map(|line| match line.split_once(" (") {
            Some((line, _)) if case.in_other_words => line.to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    lines.sort();
    lines
}

fn client(site: &Site) -> Client {
    let client = site.client(Persona::Owner, 2);
    let config = client.home().join(".gitconfig");
    let alias = "[alias]\n\tput = \"!f() { mkdir -p $(dirname $1) && echo $2 >$1 && git add $1 && git commit -qm $2; }; f\"\n";
    let config_text = std::fs::read_to_string(&config).unwrap() + alias;
    std::fs::write(config, config_text).unwrap();
    client
        .with("GIT_AUTHOR_DATE", "1600000000 +0000")
        .with("GIT_COMMITTER_DATE", "1600000000 +0000")
}

#[tokio::test]
async fn git_push_gets_the_same_from_us_and_from_git() {
    let site = Site::new().await;
    let source = crate::support::fixture::small(site.world.dir.path());
    let source = source.to_str().unwrap();
    let mut differ = Vec::new();
    for (number, case) in CASES.iter().enumerate() {
        let stock = Stock::new(&site);
        let theirs = client(&site);
        let ran = play(&theirs, source, stock.dir.to_str().unwrap(), case).await;
        let expected = Outcome {
            good: ran.code == Some(0),
            verdicts: verdicts(&ran, case),
            refs: stock.refs(),
        };
        git_text(&stock.dir, &["fsck", "--full", "--strict", "--no-dangling"]);
        for way in [Way::Http, Way::Ssh] {
            let repo = copy(&site, &format!("case-{number}-{way:?}")).await;
            let ours = client(&site);
            let url = site.url(way, Persona::Owner, &repo);
            let ran = play(&ours, source, &url, case).await;
            let outcome = Outcome {
                good: ran.code == Some(0),
                verdicts: verdicts(&ran, case),
                refs: refs(&site, &repo).await,
            };
            is_sound(&site, &repo).await;
            if outcome != expected {
                differ.push(format!(
                    "{} over {way:?}\n  git: {expected:?}\n  we:  {outcome:?}\n  {}",
                    case.name, ran.err
                ));
            }
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    site.end().await;
}
