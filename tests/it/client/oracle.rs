//! The same pushes to the forge and to git's own server: the same is said, and the same is left.
//!
//! Invariant: git's server is set as ours is by design: it may lose its current branch, takes push options, checks
//! objects but for three harmless faults, and keeps two places to itself. What is known to differ is named by the case.

mod raw;
mod stock;
mod table;

use self::stock::Stock;
use self::table::{CASES, Case};
use super::hostile::restore;
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

/// Refs without the line that says what HEAD names: ours alone sees to it that it names a branch.
fn without_head(refs: &str) -> &str {
    refs.rsplit_once('\n').map_or(refs, |(refs, _)| refs)
}

/// Makes what is to be pushed. A push leaves no trace in it, so it can be pushed to one after the other.
async fn prepare(client: &Client, source: &str, case: &Case) {
    let fetch = ["fetch", "-q", "--update-head-ok", source, "+refs/*:refs/*"];
    client.git(&["init", "-q", "work"]).await.good();
    client.git_in("work", &fetch).await.good();
    client
        .git_in("work", &["reset", "-q", "--hard"])
        .await
        .good();
    for step in case.steps {
        let ran = client.git_in("work", step).await;
        assert_eq!(ran.code, Some(0), "{}: {step:?}: {}", case.name, ran.err);
    }
}

async fn push(client: &Client, url: &str, case: &Case) -> Ran {
    let there = format!("remote.there.url={url}");
    let push = [&["-c", &there, "push", "--porcelain"], case.push].concat();
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
    let mut repos = Vec::new();
    for way in [Way::Http, Way::Ssh] {
        repos.push((way, copy(&site, &format!("case-{way:?}")).await));
    }
    let stock = Stock::new(&site);
    let before = stock.refs();
    let mut differ = Vec::new();
    for case in CASES {
        let client = client(&site);
        prepare(&client, source, case).await;
        let ran = push(&client, stock.dir.to_str().unwrap(), case).await;
        let expected = Outcome {
            good: ran.code == Some(0),
            verdicts: verdicts(&ran, case),
            refs: without_head(&stock.refs()).to_owned(),
        };
        restore(&stock.dir, &before);
        for (way, repo) in &repos {
            let ran = push(&client, &site.url(*way, Persona::Owner, repo), case).await;
            let outcome = Outcome {
                good: ran.code == Some(0),
                verdicts: verdicts(&ran, case),
                refs: without_head(&refs(&site, repo).await).to_owned(),
            };
            if outcome != expected {
                differ.push(format!(
                    "{} over {way:?}\n  git: {expected:?}\n  we:  {outcome:?}\n  {}",
                    case.name, ran.err
                ));
            }
            restore(&site.dir_of(repo).await, &before);
        }
    }
    for (_, repo) in &repos {
        is_sound(&site, repo).await;
    }
    git_text(&stock.dir, &["fsck", "--full", "--strict", "--no-dangling"]);
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    site.end().await;
}
