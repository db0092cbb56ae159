//! The same bytes to the forge and to git's own server.

use super::stock::Stock;
use super::without_head;
use crate::client::hostile::cases::{Case, Fate, cases};
use crate::client::hostile::quarry::Quarry;
use crate::client::hostile::wire::{self, Report};
use crate::client::hostile::{nothing_is_left, restore};
use crate::client::push::{copy, refs};
use crate::support::Persona;
use crate::support::fixture::git_text;
use crate::support::site::{Site, Way};

/// What of an answer both must agree on: which refs were taken. Whether it was for a hole in the pack or in the history
/// that they were not is a matter of who looks first.
fn agreed(report: &Report) -> Vec<(&str, bool)> {
    let refs = report.refs.iter();
    let mut refs: Vec<_> = refs.map(|(name, why)| (&**name, why.is_none())).collect();
    refs.sort_unstable();
    refs
}

/// What is wrong with how a push went.
fn complaints(
    case: &Case,
    before: &str,
    theirs: (&Report, &str),
    ours: (&Report, &str),
) -> Vec<String> {
    let mut wrong = Vec::new();
    let good = ours.0.is_good();
    match case.fate {
        Fate::Good if !good => wrong.push("it should be done".to_owned()),
        Fate::Bad if ours.1 != before => wrong.push("it should not be done".to_owned()),
        Fate::Bad if good => wrong.push("it is said to be done".to_owned()),
        _ => {}
    }
    if !good && ours.0.reasons().trim().is_empty() {
        wrong.push("it does not say why".to_owned());
    }
    let shown = ours.0.reasons();
    if shown
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        wrong.push("control characters are shown".to_owned());
    }
    if !case.ours && ours.1 != theirs.1 {
        wrong.push(format!("git leaves other refs: {}", theirs.1));
    }
    if !case.ours && agreed(ours.0) != agreed(theirs.0) {
        wrong.push(format!("git says {:?}", theirs.0));
    }
    wrong
}

#[tokio::test]
async fn the_same_bytes_get_the_same_from_us_and_from_git() {
    let site = Site::new().await;
    let quarry = Quarry::new(&site);
    let stock = Stock::new(&site);
    let client = site.client(Persona::Owner, 0);
    let mut repos = Vec::new();
    for way in [Way::Http, Way::Ssh] {
        repos.push((way, copy(&site, &format!("raw-{way:?}")).await));
    }
    let all = stock.refs();
    let before = without_head(&all);
    let mut wrong = Vec::new();
    for (number, case) in cases(&quarry).into_iter().enumerate() {
        let theirs = stock.push(&client, &case.body).await;
        let expected = stock.refs();
        restore(&stock.dir, &all);
        for (way, repo) in &repos {
            // A process of ssh's for each is a lot to ask for.
            if *way == Way::Ssh && number % 4 != 0 && case.fate != Fate::Good {
                continue;
            }
            let report = match way {
                Way::Http => {
                    let reply = wire::post(&site, Persona::Owner, repo, &case.body).await;
                    // A head that makes no sense may be answered so, too.
                    let report = reply.report();
                    match reply.status {
                        200 => report,
                        400 if case.fate != Fate::Good => Report {
                            died: reply.text(),
                            ..Report::default()
                        },
                        status => panic!("{}: {status} {}", case.name, reply.text()),
                    }
                }
                Way::Ssh => {
                    let ran = wire::exec(&site, &client, repo, &case.body).await;
                    let mut report = Report::after_advertisement(&ran.raw);
                    report.died += &ran.err;
                    report
                }
            };
            let after = refs(&site, repo).await;
            // Ours alone sees to it that HEAD names a branch.
            let (expected, after) = (without_head(&expected), without_head(&after));
            let complaints = complaints(&case, before, (&theirs, expected), (&report, after));
            if !complaints.is_empty() {
                let name = &case.name;
                wrong.push(format!(
                    "{name} over {way:?}: {complaints:#?}\n  {report:?}"
                ));
            }
            nothing_is_left(&site, repo).await;
            restore(&site.dir_of(repo).await, &all);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (_, repo) in &repos {
        // The faults that are let in by design are there by now.
        let mut fsck = Vec::new();
        for fault in [
            "badTimezone",
            "missingSpaceBeforeDate",
            "zeroPaddedFilemode",
        ] {
            fsck.extend(["-c".to_owned(), format!("fsck.{fault}=ignore")]);
        }
        let mut fsck: Vec<_> = fsck.iter().map(String::as_str).collect();
        fsck.extend(["fsck", "--full", "--strict", "--no-dangling"]);
        git_text(&site.dir_of(repo).await, &fsck);
    }
    site.end().await;
}
