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
use super::push::{copy_as, is_sound, refs};
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
async fn prepare(client: &Client, format: &str, source: &str, case: &Case) {
    let fetch = ["fetch", "-q", "--update-head-ok", source, "+refs/*:refs/*"];
    let init = ["init", "-q", &format!("--object-format={format}"), "work"];
    client.git(&init).await.good();
    client.git_in("work", &fetch).await.good();
    client
        .git_in("work", &["reset", "-q", "--hard"])
        .await
        .good();
    for step in case.steps {
        let step = fitted(format, step);
        let step: Vec<_> = step.iter().map(String::as_str).collect();
        let ran = client.git_in("work", &step).await;
        assert_eq!(ran.code, Some(0), "{}: {step:?}: {}", case.name, ran.err);
    }
}

/// Words in which whole ids are as long as a format has them.
fn fitted(format: &str, words: &[&str]) -> Vec<String> {
    let fit = |word: &&str| match format {
        "sha256" => ["1", "2"]
            .into_iter()
            .fold((*word).to_owned(), |word, digit| {
                word.replace(&digit.repeat(40), &digit.repeat(64))
            }),
        _ => (*word).to_owned(),
    };
    words.iter().map(fit).collect()
}

async fn push(client: &Client, url: &str, format: &str, case: &Case) -> Ran {
    let there = format!("remote.there.url={url}");
    let push = fitted(format, case.push);
    let push: Vec<_> = push.iter().map(String::as_str).collect();
    let push = [&["-c", &there, "push", "--porcelain"], &push[..]].concat();
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
    compare("sha1").await;
}

#[tokio::test]
async fn git_push_of_longer_ids_gets_the_same_from_us_and_from_git() {
    compare("sha256").await;
}

async fn compare(format: &str) {
    let site = Site::new().await;
    let source = crate::support::fixture::small_as(format, site.world.dir.path());
    let source = source.to_str().unwrap();
    let mut repos = Vec::new();
    for way in [Way::Http, Way::Ssh] {
        repos.push((way, copy_as(format, &site, &format!("case-{way:?}")).await));
    }
    let stock = Stock::new_as(format, &site);
    let before = stock.refs();
    let mut differ = Vec::new();
    for case in CASES {
        let client = client(&site);
        prepare(&client, format, source, case).await;
        let ran = push(&client, stock.dir.to_str().unwrap(), format, case).await;
        let expected = Outcome {
            good: ran.code == Some(0),
            verdicts: verdicts(&ran, case),
            refs: without_head(&stock.refs()).to_owned(),
        };
        restore(&stock.dir, &before);
        for (way, repo) in &repos {
            let ran = push(&client, &site.url(*way, Persona::Owner, repo), format, case).await;
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
