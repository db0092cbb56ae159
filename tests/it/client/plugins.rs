//! Plugins and pushes: what they see, what they refuse, what they say, what they are told.
//!
//! Invariant: a plugin is asked before anything has changed, and an event comes once for each push that changed a ref.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use forge::push::{PendingPush, Push, RefUpdate, Verdict};
use forge::{Error, Event, EventKind, Forge, Limits, Plugin, Result, RevSpec};
use futures::StreamExt as _;

use super::hostile::{nothing_is_left, still_works};
use super::push::{BOTH, Work, is_sound, refs, row, until};
use crate::support::site::{Ran, Site, Way};
use crate::support::{Database, Persona};

/// Thinks of a push what the name of its first ref says, and remembers what it saw.
#[derive(Clone, Default)]
struct Critic(Arc<Seen>);

#[derive(Default)]
struct Seen {
    asked: Mutex<Vec<Asked>>,
    received: Mutex<Vec<Push>>,
    /// Each with its id.
    events: Mutex<Vec<(String, Push)>>,
}

/// What a plugin saw of a push.
#[derive(Debug, Clone)]
struct Asked {
    push: Push,
    /// The commits of the new history, newest first; of updates that make one.
    log: Vec<String>,
    /// The names in the new commit's tree.
    tree: Vec<String>,
    /// The content of `new.txt` in it.
    text: String,
    /// What the ref names while the plugin is asked.
    now: Option<String>,
}

impl Critic {
    fn asked(&self) -> Vec<Asked> {
        self.0.asked.lock().unwrap().clone()
    }

    fn received(&self) -> Vec<Push> {
        self.0.received.lock().unwrap().clone()
    }

    fn events(&self) -> Vec<(String, Push)> {
        self.0.events.lock().unwrap().clone()
    }

    async fn look(push: &PendingPush<'_>, update: &RefUpdate) -> Result<Asked> {
        let mut asked = Asked {
            push: push.push.clone(),
            log: Vec::new(),
            tree: Vec::new(),
            text: String::new(),
            now: None,
        };
        let objects = push.objects;
        let now = objects.find_ref(&update.name).await?;
        asked.now = now.map(|found| found.target.to_string());
        let Some(new) = update.new else {
            return Ok(asked);
        };
        let rev = RevSpec::new(new.to_string())?;
        assert_eq!(objects.commit_of(&rev).await?, Some(new));
        let page = objects.log(new, None, 100).await?;
        asked.log = page
            .commits
            .iter()
            .map(|commit| commit.message.trim().to_owned())
            .collect();
        let at = objects
            .locate(Some(format!("{new}").as_str().into()))
            .await?
            .expect("it is there");
        let tree = objects.tree(&at).await?;
        asked.tree = tree
            .entries
            .iter()
            .map(|entry| entry.name.to_string())
            .collect();
        let at = objects
            .locate(Some(format!("{new}/new.txt").as_str().into()))
            .await?;
        if let Some(at) = at
            && let Ok((_, mut blob)) = objects.blob(&at).await
        {
            let mut text = blob.head.to_vec();
            while let Some(more) = blob.rest.next().await {
                text.extend_from_slice(&more.expect("more of it"));
            }
            asked.text = String::from_utf8(text).unwrap();
        }
        Ok(asked)
    }
}

const UGLY: &str = "red \x1b[31mtext\x1b[0m\x07 \u{9b}2J\x1b]0;title\x07 and\r\x08 \u{202e}more";

#[async_trait]
impl Plugin for Critic {
    fn name(&self) -> &'static str {
        "critic"
    }

    async fn pre_receive(&self, _: &Forge, push: &PendingPush<'_>) -> Result<Verdict> {
        let update = &push.push.updates[0];
        let seen = Self::look(push, update).await?;
        self.0.asked.lock().unwrap().push(seen);
        let name = update.name.to_string();
        let named = |part: &str| {
            let updates = push.push.updates.iter();
            let names = updates.map(|update| update.name.clone());
            names
                .filter(|name| name.to_string().contains(part))
                .collect::<Vec<_>>()
        };
        Ok(match name.rsplit('/').next().unwrap() {
            "refuse" => Verdict::Refuse("none of this\nfor two reasons".to_owned()),
            "ugly" => Verdict::Refuse(UGLY.to_owned()),
            "endless" => Verdict::Refuse("word ".repeat(100_000)),
            "error" => return Err(Error::internal("the secret of the plugin")),
            "panic" => panic!("as the test wants"),
            "slow" => {
                tokio::time::sleep(Duration::from_secs(3_600)).await;
                Verdict::Accept
            }
            _ if !named("/some-").is_empty() => {
                let refused = named("/some-").into_iter();
                Verdict::RefuseRefs(
                    refused
                        .map(|name| (name, "not \x1b[1mthis\x07 one".to_owned()))
                        .collect(),
                )
            }
            _ => Verdict::Accept,
        })
    }

    async fn post_receive(&self, _: &Forge, push: &Push) -> Result<Vec<String>> {
        self.0.received.lock().unwrap().push(push.clone());
        let name = push.updates[0].name.to_string();
        Ok(match name.rsplit('/').next().unwrap() {
            "afterwards-ugly" => vec![UGLY.to_owned(), "next".to_owned()],
            "afterwards-error" => return Err(Error::internal("the secret of the plugin")),
            "afterwards-panic" => panic!("as the test wants"),
            _ => vec![
                format!("built {name}"),
                "see http://ci.example.org/1".to_owned(),
            ],
        })
    }

    async fn on_event(&self, _: &Forge, event: &Event) -> Result<()> {
        if let EventKind::GitPostReceive(push) = &event.kind {
            let seen = (event.id.to_string(), push.clone());
            self.0.events.lock().unwrap().push(seen);
        }
        Ok(())
    }
}

async fn site() -> (Site, Critic) {
    let critic = Critic::default();
    let plugin = critic.clone();
    let mut limits = Limits::default();
    limits.push.decision = Duration::from_secs(1);
    let site = Site::with(Database::Sqlite, |builder| {
        builder.plugin(plugin).limits(limits)
    })
    .await;
    (site, critic)
}

/// Expects that what a terminal is shown is text and nothing else.
fn plain(ran: &Ran) {
    // Carriage returns and `\x1b[K` are git's own, for its progress and after a `remote:` line.
    let said = format!("{}{}", ran.out, ran.err).replace("\x1b[K", "");
    let odd = said
        .chars()
        .find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    assert_eq!(odd, None, "{said:?}");
}

#[tokio::test]
async fn a_plugin_sees_old_and_new_objects_before_anybody_else_does() {
    let (site, critic) = site().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "seen", way, version).await;
        let old = work.id("HEAD").await;
        work.commit("first").await;
        let new = work.commit("second").await;
        work.push_with(&["-o", "k=v", "-o", "k2"], &["master"])
            .await
            .good();
        let asked = critic.asked();
        let last = asked.last().unwrap();
        assert_eq!(last.log[..2], ["new.txt: second", "new.txt: first"]);
        assert!(
            last.log.iter().any(|text| text == "First."),
            "{:?}",
            last.log
        );
        assert!(
            last.tree.iter().any(|name| name == "README.md"),
            "{:?}",
            last.tree
        );
        assert_eq!(last.text, "second");
        assert_eq!(last.now, Some(old.clone()), "it is asked before");
        let update = &last.push.updates[0];
        assert_eq!(update.name.to_string(), "refs/heads/master");
        assert_eq!(update.old.unwrap().to_string(), old);
        assert_eq!(update.new.unwrap().to_string(), new);
        assert_eq!(last.push.pusher.name.as_str(), "alice");
        assert_eq!(last.push.repository.path().to_string(), work.repo);

        work.push(&[":refs/tags/light"]).await.good();
        let asked = critic.asked();
        let update = &asked.last().unwrap().push.updates[0];
        assert!(update.old.is_some() && update.new.is_none());

        work.push(&["HEAD:refs/heads/large-history", ":refs/tags/v1"])
            .await
            .good();
        let asked = critic.asked();
        let names: Vec<_> = asked
            .last()
            .unwrap()
            .push
            .updates
            .iter()
            .map(|u| u.name.to_string())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }
    let count = critic.asked().len();
    assert_eq!(count, 3 * BOTH.len(), "once for each push");
    site.end().await;
}

#[tokio::test]
async fn a_plugin_refuses_all_of_a_push() {
    let (site, critic) = site().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "refused", way, version).await;
        work.commit("new").await;
        let before = refs(&site, &work.repo).await;
        let refspecs = ["HEAD:refs/heads/refuse", "master", ":refs/tags/v1"];
        for options in [&[][..], &["--atomic"]] {
            // The plugin goes by the first; where that is is git's affair.
            let ran = work.push_with(options, &refspecs[..1]).await.bad();
            assert!(ran.out.contains("(pre-receive hook declined)"), "{ran:?}");
            for line in ["none of this", "for two reasons"] {
                let shown = ran
                    .err
                    .lines()
                    .any(|l| l.starts_with("remote:") && l.contains(line));
                assert!(shown, "{line}: {ran:?}");
            }
        }
        for (name, texts) in [
            ("error", &["remote:"][..]),
            ("panic", &["remote:"]),
            ("slow", &["remote:", "time"]),
            ("ugly", &["remote: red", "text"]),
            ("endless", &["remote:", "word word"]),
        ] {
            let ran = work.push(&[&format!("HEAD:refs/heads/{name}")]).await.bad();
            assert!(ran.out.contains("[remote rejected]"), "{name}: {ran:?}");
            for text in texts {
                assert!(ran.err.contains(text), "{name}: no {text:?} in {ran:?}");
            }
            assert!(!ran.err.contains("secret"), "{ran:?}");
            assert!(ran.err.len() < 200_000, "{} bytes are shown", ran.err.len());
            plain(&ran);
            assert_eq!(refs(&site, &work.repo).await, before, "{name}");
            nothing_is_left(&site, &work.repo).await;
        }
        assert_eq!(refs(&site, &work.repo).await, before);
    }
    still_works(&site, "~alice/open").await;
    assert!(
        critic
            .received()
            .iter()
            .all(|push| push.updates.iter().all(|update| {
                let name = update.name.to_string();
                name.ends_with("/still")
            }))
    );
    site.end().await;
}

#[tokio::test]
async fn every_ref_of_a_refused_push_is_declined() {
    let (site, _) = site().await;
    for way in [Way::Http, Way::Ssh] {
        let work = Work::new(&site, "declined", way, 2).await;
        work.commit("new").await;
        let before = refs(&site, &work.repo).await;
        // All of them are called so: whichever is first refuses all.
        let refspecs = [
            "HEAD:refs/heads/a/refuse",
            "HEAD:refs/heads/b/refuse",
            "HEAD:refs/tags/refuse",
        ];
        let ran = work.push(&refspecs).await.bad();
        let declined = ran
            .out
            .matches("[remote rejected] (pre-receive hook declined)")
            .count();
        assert_eq!(declined, 3, "{ran:?}");
        assert_eq!(refs(&site, &work.repo).await, before);
        is_sound(&site, &work.repo).await;
    }
    site.end().await;
}

#[tokio::test]
async fn a_plugin_refuses_some_refs_of_a_push() {
    let (site, critic) = site().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "some", way, version).await;
        work.commit("new").await;
        let refspecs = [
            "HEAD:refs/heads/good",
            "HEAD:refs/heads/some-1",
            "HEAD:refs/heads/some-2",
            ":refs/tags/light",
        ];
        let before = refs(&site, &work.repo).await;
        let ran = work.push_with(&["--atomic"], &refspecs).await.bad();
        assert_eq!(ran.out.matches("[remote rejected]").count(), 4, "{ran:?}");
        assert_eq!(refs(&site, &work.repo).await, before);

        let count = critic.events().len();
        let ran = work.push(&refspecs).await.bad();
        assert_eq!(ran.out.matches("[remote rejected]").count(), 2, "{ran:?}");
        assert!(
            format!("{}{}", ran.out, ran.err).contains("this"),
            "no reason: {ran:?}"
        );
        plain(&ran);
        assert!(work.tip("refs/heads/good").await.is_some());
        assert_eq!(work.tip("refs/heads/some-1").await, None);
        assert_eq!(work.tip("refs/heads/some-2").await, None);
        assert_eq!(work.tip("refs/tags/light").await, None);

        // Only what moved is told of.
        until("an event", async || critic.events().len() > count).await;
        let (_, push) = critic.events().pop().unwrap();
        let mut names: Vec<_> = push
            .updates
            .iter()
            .map(|update| update.name.to_string())
            .collect();
        names.sort();
        assert_eq!(names, ["refs/heads/good", "refs/tags/light"]);
        let received = critic.received().pop().unwrap();
        assert_eq!(received.updates.len(), 2, "{received:?}");
    }
    site.end().await;
}

#[tokio::test]
async fn what_a_plugin_says_after_a_push_is_shown() {
    let (site, critic) = site().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "after", way, version).await;
        let ran = work.push(&["HEAD:refs/heads/one"]).await.good();
        for line in ["built refs/heads/one", "see http://ci.example.org/1"] {
            let shown = ran
                .err
                .lines()
                .any(|l| l.starts_with("remote:") && l.contains(line));
            assert!(shown, "{line}: {ran:?}");
        }
        for name in ["afterwards-ugly", "afterwards-error", "afterwards-panic"] {
            let ran = work
                .push(&[&format!("HEAD:refs/heads/{name}")])
                .await
                .good();
            plain(&ran);
            assert!(!ran.err.contains("secret"), "{ran:?}");
            assert!(work.tip(&format!("refs/heads/{name}")).await.is_some());
            if name == "afterwards-ugly" {
                assert!(
                    ran.err.contains("remote: red") && ran.err.contains("next"),
                    "{ran:?}"
                );
            }
        }
        // Nothing changed, nothing to say.
        let count = critic.received().len();
        work.push(&["HEAD:refs/heads/one"]).await.good();
        work.push(&["HEAD:refs/forge/one"]).await.bad();
        assert_eq!(critic.received().len(), count);
    }
    site.end().await;
}

#[tokio::test]
async fn an_event_tells_of_each_push_once() {
    let (site, critic) = site().await;
    let mut expected = Vec::new();
    for (way, version) in BOTH {
        let work = Work::new(&site, "told", way, version).await;
        let old = work.id("HEAD").await;
        let light = work.id("light").await;
        let new = work.commit("new").await;
        let options = ["-o", "k=v", "-o", "flag", "-o", "debug"];
        let refspecs = ["master", "HEAD:refs/heads/other", ":refs/tags/light"];
        work.push_with(&options, &refspecs).await.good();
        let repo = row(&site, &work.repo).await.unwrap();
        expected.push((repo.id, old, new, light));
        work.push(&["master"]).await.good();
        work.push(&["HEAD:refs/forge/no"]).await.bad();
        work.push(&["HEAD:refs/heads/refuse"]).await.bad();
    }
    until("all events", async || {
        critic.events().len() >= expected.len()
    })
    .await;
    // An event that came twice would be queued by now.
    until("a queue with nothing due", async || {
        site.world.system().jobs_due().await.unwrap() == 0
    })
    .await;
    let events = critic.events();
    assert_eq!(events.len(), expected.len(), "{events:#?}");
    let ids: std::collections::BTreeSet<_> = events.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), events.len());
    for (repo, old, new, light) in expected {
        let found = events.iter().find(|(_, push)| push.repository.id == repo);
        let (_, push) = found.expect("its event");
        let mut moved: Vec<_> = push
            .updates
            .iter()
            .map(|update| {
                let id = |id: Option<forge::Oid>| id.map(|id| id.to_string());
                (update.name.to_string(), id(update.old), id(update.new))
            })
            .collect();
        moved.sort();
        let expected = [
            ("refs/heads/master".to_owned(), Some(old), Some(new.clone())),
            ("refs/heads/other".to_owned(), None, Some(new)),
            ("refs/tags/light".to_owned(), Some(light), None),
        ];
        assert_eq!(moved, expected);
        assert_eq!(push.pusher.name.as_str(), "alice");
        let options = serde_json::to_string(&push.options).unwrap();
        assert!(
            options.contains("\"k") && options.contains("flag"),
            "{options}"
        );
        let received = critic.received();
        let count = received.iter().filter(|seen| seen.id == push.id).count();
        assert_eq!(count, 1);
    }
    site.end().await;
}

#[tokio::test]
async fn a_plugin_is_told_who_pushed() {
    let (site, critic) = site().await;
    for way in [Way::Http, Way::Ssh] {
        for (persona, who) in [(Persona::Writer, "writer"), (Persona::Owner, "alice")] {
            let work = Work::at(&site, way, 2, persona, "~alice/open").await;
            let name = format!("refs/heads/{way:?}/{who}");
            work.push(&[&format!("HEAD:{name}")]).await.good();
            let push = critic.received().pop().unwrap();
            assert_eq!(push.pusher.name.as_str(), who);
            assert_eq!(push.repository.owner.name.as_str(), "alice");
            assert_eq!(push.id.get_version_num(), 7);
        }
    }
    site.end().await;
}
