//! Fetches into repositories that are there already, and what a client may ask for by id, by name and by pattern: the rows
//! U05 to U10 of the sheet, and the limits on how many fetch at once.

use std::time::Duration;

use forge::Limits;
use forge::objects::ImportSource;
use forge::repos::Visibility;

use super::clone::{Begun, all_gone, big, line, refs_of};
use super::http::{Ask, PATIENCE, pkt, v2};
use super::ssh;
use crate::support::site::{Site, WAYS, Way, run};
use crate::support::{Database, Persona, fixture};

/// A commit on top of another on the server, that no ref names.
fn dangling(dir: &std::path::Path, parent: &str) -> String {
    let tree = format!("{parent}^{{tree}}");
    let identity = ["-c", "user.name=A", "-c", "user.email=a@b.c"];
    let commit = ["commit-tree", "-p", parent, "-m", "dangling", &tree];
    fixture::git_text(dir, &[&identity[..], &commit].concat())
}

#[tokio::test]
async fn a_fetch_brings_what_is_new_and_drops_what_is_gone() {
    let site = Site::new().await;
    let dir = site.dir_of("~alice/open").await;
    let mut clients = Vec::new();
    for (way, version) in WAYS {
        let client = site.client(Persona::Reader, version);
        let url = site.url(way, Persona::Reader, "~alice/open");
        client.git(&["clone", "-q", &url, "work"]).await.good();
        clients.push((client, way, version));
    }
    let new = dangling(&dir, "master");
    fixture::git(&dir, &["update-ref", "refs/heads/master", &new], b"");
    fixture::git(&dir, &["update-ref", "refs/tags/new", &new], b"");
    fixture::git(&dir, &["update-ref", "-d", "refs/heads/feature/x"], b"");
    for (client, way, version) in clients {
        let how = format!("{way:?} {version}");
        client
            .git_in("work", &["pull", "-q", "--ff-only"])
            .await
            .good();
        assert_eq!(client.id("work", "HEAD").await, new, "{how}");
        assert_eq!(client.id("work", "refs/tags/new").await, new, "{how}");
        client
            .git_in("work", &["fetch", "-q", "--prune"])
            .await
            .good();
        let refs = client.refs("work").await;
        assert!(!refs.contains("feature/x"), "{how}: {refs}");
        // Nothing more.
        let ran = client.git_in("work", &["fetch", "--dry-run"]).await.good();
        assert_eq!(ran.err, "", "{how}");
        client.git_in("work", &["fsck", "--strict"]).await.good();
    }
    site.end().await;
}

#[tokio::test]
async fn objects_are_fetched_by_their_ids_where_the_version_allows_it() {
    let site = Site::new().await;
    let dir = site.dir_of("~alice/open").await;
    let id = |rev: &str| fixture::git_text(&dir, &["rev-parse", rev]);
    // Another branch on top of what no ref names any more.
    let ancestor = dangling(&dir, "master");
    let deep = dangling(&dir, &ancestor);
    fixture::git(&dir, &["update-ref", "refs/heads/deep", &deep], b"");
    let tip = id("master");
    let (tree, blob) = (id("master^{tree}"), id("master:README.md"));
    let dangling = dangling(&dir, &deep);
    for (way, version) in WAYS {
        let client = site.client(Persona::Reader, version);
        let url = site.url(way, Persona::Reader, "~alice/open");
        for (what, id) in [
            ("tip", &tip),
            ("ancestor", &ancestor),
            ("dangling", &dangling),
            ("tree", &tree),
            ("blob", &blob),
        ] {
            let how = format!("{way:?} {version} {what}");
            client.git(&["init", "-q", "--bare", what]).await.good();
            let ran = client.git_in(what, &["fetch", "-q", &url, id]).await;
            if version == 2 || what == "tip" {
                ran.good();
                let there = client.git_in(what, &["cat-file", "-e", id]).await;
                assert_eq!(there.code, Some(0), "{how}");
            } else {
                let told = ran.err.contains("unadvertised object");
                assert!(ran.code != Some(0) && told, "{how}: {ran:?}");
            }
        }
        let nothing = "1".repeat(40);
        client
            .git_in("tip", &["fetch", "-q", &url, &nothing])
            .await
            .bad();
    }
    site.end().await;
}

#[tokio::test]
async fn refs_of_the_forges_own_are_not_shown_to_anybody() {
    let site = Site::new().await;
    let dir = site.dir_of("~alice/open").await;
    let hidden = dangling(&dir, "master");
    for name in ["refs/forge/x", "refs/forge/pushes/1"] {
        fixture::git(&dir, &["update-ref", name, &hidden], b"");
    }
    let shown = refs_of(&site, "~alice/open").await;
    for (way, version) in WAYS {
        let how = format!("{way:?} {version}");
        let client = site.client(Persona::Owner, version);
        let url = site.url(way, Persona::Owner, "~alice/open");
        for patterns in [&[][..], &["refs/forge/*"], &["forge/x"], &["refs/*"]] {
            let ran = client
                .git(&[&["ls-remote", &url], patterns].concat())
                .await
                .good();
            assert!(!ran.out.contains("refs/forge"), "{how}: {}", ran.out);
            assert!(!ran.out.contains(&hidden), "{how}: {}", ran.out);
        }
        client
            .git(&["clone", "-q", "--mirror", &url, "mirror"])
            .await
            .good();
        assert_eq!(client.refs("mirror").await, shown, "{how}");
        for spec in ["refs/forge/x", "refs/forge/*:refs/stolen/*"] {
            let ran = client.git_in("mirror", &["fetch", &url, spec]).await;
            assert!(ran.code != Some(0) || spec.contains('*'), "{how}");
            assert_eq!(client.refs("mirror").await, shown, "{how}");
        }
        if version < 2 {
            let ran = client
                .git_in("mirror", &["fetch", &url, &hidden])
                .await
                .bad();
            assert!(
                ran.err.contains("unadvertised object"),
                "{how}: {}",
                ran.err
            );
        }
        // Neither is it shown to somebody who pushes.
        let ran = client
            .git_in("mirror", &["push", "--dry-run", "--mirror", &url])
            .await;
        assert!(!ran.err.contains("refs/forge"), "{how}: {}", ran.err);
    }
    // Asking for it by name does not help, whether names may be asked for or not.
    let want = ["no-progress", "want-ref refs/forge/x", "done"];
    let ask = Ask::post("~alice/open", "upload-pack", v2("fetch", &want));
    let ask = ask.header("git-protocol", "version=2");
    let text = ask.send(&site).await.text();
    assert!(
        !text.contains("packfile") && !text.contains(&hidden),
        "{text}"
    );
    site.end().await;
}

#[tokio::test]
async fn long_negotiations_come_to_an_end() {
    let site = Site::new().await;
    let dir = site.dir_of("~alice/open").await;
    let tip = fixture::git_text(&dir, &["rev-parse", "master"]);
    let mut own = String::new();
    for i in 0..1_500 {
        own += &format!(
            "commit refs/heads/own\ncommitter A <a@b.c> {} +0000\ndata 1\n1\n",
            1_700_000_000 + i
        );
        if i == 0 {
            own += "from refs/heads/master\n";
        }
        own += "\n";
    }
    let new = dangling(&dir, "master");
    for (way, version) in WAYS {
        let how = format!("{way:?} {version}");
        let trace = site
            .world
            .dir
            .path()
            .join(format!("trace-{way:?}-{version}"));
        let client = site.client(Persona::Reader, version);
        let url = site.url(way, Persona::Reader, "~alice/open");
        fixture::git(&dir, &["update-ref", "refs/heads/master", &tip], b"");
        client
            .git(&["clone", "-q", "--bare", &url, "work"])
            .await
            .good();
        let import = ["fast-import", "--quiet"];
        client
            .git_with("work", &import, own.as_bytes())
            .await
            .good();
        fixture::git(&dir, &["update-ref", "refs/heads/master", &new], b"");
        let mut fetch = client.command("work", &["fetch", "-q", &url, "master"]);
        fetch
            .env("GIT_TRACE_CURL", &trace)
            .env("GIT_TRACE_CURL_NO_DATA", "1");
        run(fetch, b"").await.good();
        assert_eq!(client.id("work", "FETCH_HEAD").await, new, "{how}");
        if way == Way::Http {
            // Requests this long are packed.
            let trace = std::fs::read_to_string(&trace).unwrap().to_lowercase();
            assert!(trace.contains("content-encoding: gzip"), "{how}");
        }
        // What both have, without fetching it.
        let negotiate = ["fetch", "--negotiate-only", "--negotiation-tip=own", &url];
        let ran = client.git_in("work", &negotiate).await;
        if version == 2 {
            assert_eq!(ran.good().out.trim(), tip, "{how}");
        } else {
            ran.bad();
        }
    }
    site.end().await;
}

#[tokio::test]
async fn ten_thousand_refs_are_listed_and_cloned() {
    let site = Site::new().await;
    let path = fixture::small(site.world.dir.path());
    let many = site.world.dir.path().join("many.git");
    let (from, to) = (path.to_str().expect("text"), many.to_str().expect("text"));
    fixture::git(
        site.world.dir.path(),
        &["clone", "-q", "--mirror", from, to],
        b"",
    );
    let tip = fixture::git_text(&many, &["rev-parse", "master"]);
    let updates: String = (0..10_000)
        .map(|i| format!("create refs/changes/{:02}/{i} {tip}\n", i % 100))
        .collect();
    fixture::git(&many, &["update-ref", "--stdin"], updates.as_bytes());
    fixture::git(&many, &["pack-refs", "--all"], b"");
    let source = ImportSource::Path(many);
    site.world.import("many", Visibility::Public, &source).await;
    let refs = refs_of(&site, "~alice/many").await;
    assert_eq!(refs.lines().count(), 10_006);
    for (way, version) in [(Way::Http, 0), (Way::Http, 2), (Way::Ssh, 2)] {
        let client = site.client(Persona::Reader, version);
        let url = site.url(way, Persona::Reader, "~alice/many");
        client
            .git(&["clone", "-q", "--mirror", &url, "mirror"])
            .await
            .good();
        assert_eq!(client.refs("mirror").await, refs, "{way:?} {version}");
        let ran = client
            .git(&["ls-remote", &url, "refs/changes/07/*"])
            .await
            .good();
        assert_eq!(ran.out.lines().count(), 100, "{way:?} {version}");
    }
    site.end().await;
}

#[tokio::test]
async fn what_a_client_adds_to_its_request_does_no_harm() {
    let site = Site::new().await;
    let tip = fixture::git_text(&site.dir_of("~alice/open").await, &["rev-parse", "master"]);
    for way in [Way::Http, Way::Ssh] {
        let client = site.client(Persona::Reader, 2);
        let url = site.url(way, Persona::Reader, "~alice/open");
        let options = ["ls-remote", "-o", "hello", "--server-option=a=b", &url];
        let ran = client.git(&options).await.good();
        assert!(ran.out.contains(&tip), "{way:?}");
        let clone = [
            "clone",
            "-q",
            "--server-option=x",
            "-c",
            "transfer.bundleURI=true",
        ];
        client
            .git(&[&clone[..], &[&url, "work"]].concat())
            .await
            .good();
        let fetch = ["fetch", "-q", "--server-option=x", "--refetch"];
        client.git_in("work", &fetch).await.good();
    }
    // The same over SSH as `http` does over HTTP: an unknown command is an error in the protocol's own words.
    let options = ["-o", "SetEnv=GIT_PROTOCOL=version=2"];
    let words = ["git-upload-pack '~alice/open'"];
    let key = site.key_of(Persona::Reader);
    let ssh = ssh::command_of(&site, &key, &options, &words);
    let input = v2("frobnicate", &[]);
    let ran = run(ssh, input.as_bytes()).await;
    assert!(ran.out.starts_with("000eversion 2\n"), "{}", ran.out);
    assert!(ran.out.contains("ERR "), "{}{}", ran.out, ran.err);
    // Several commands after each other.
    let ssh = ssh::command_of(&site, &key, &options, &words);
    let one = v2("ls-refs", &["ref-prefix refs/heads/master"]);
    let input = one.repeat(3) + "0000";
    let ran = run(ssh, input.as_bytes()).await.good();
    let line = pkt(&format!("{tip} refs/heads/master\n")) + "0000";
    assert!(ran.out.ends_with(&line.repeat(3)), "{}", ran.out);
    site.end().await;
}

#[tokio::test]
async fn too_many_fetches_wait_or_are_turned_away() {
    let site = Site::with(Database::Sqlite, |builder| {
        let mut limits = Limits::default();
        limits.fetch.at_once = 1;
        limits.fetch.queue = 1;
        limits.fetch.wait = Duration::from_millis(400);
        builder.limits(limits)
    });
    let site = site.await;
    let tip = big(&site).await;
    for (first, second) in [(Way::Http, Way::Ssh), (Way::Ssh, Way::Http)] {
        let running = Begun::new(&site, first, Persona::Reader, "~alice/big", &tip).await;
        let running = running.unwrap_or_else(|error| panic!("{error}"));
        // Nobody's turn comes while it runs.
        for way in [first, second] {
            let again = Begun::new(&site, way, Persona::Writer, "~alice/big", &tip).await;
            let Err(said) = again else {
                panic!("{way:?}: two at once");
            };
            let said = said.to_lowercase();
            if way == Way::Http {
                let is_refused = said.contains(" 429 ") || said.contains(" 503 ");
                assert!(is_refused && said.contains("\r\nretry-after: "), "{said}");
                assert!(said.contains("content-type: text/plain"), "{said}");
            }
            assert!(
                said.contains("try again") || said.contains("busy"),
                "{said}"
            );
        }
        let url = site.url(second, Persona::Writer, "~alice/big");
        let client = site.client(Persona::Writer, 2);
        client.git(&["clone", "-q", &url, "refused"]).await.bad();
        running.dies().await;
        all_gone(&site).await;
        client.git(&["clone", "-q", &url, "served"]).await.good();
    }
    site.end().await;
}

#[tokio::test]
async fn whoever_waits_for_a_turn_gets_it() {
    let site = Site::with(Database::Sqlite, |builder| {
        let mut limits = Limits::default();
        limits.fetch.per_client = 1;
        limits.fetch.wait = PATIENCE;
        builder.limits(limits)
    });
    let site = site.await;
    let tip = big(&site).await;
    let running = Begun::new(&site, Way::Http, Persona::Reader, "~alice/big", &tip).await;
    let running = running.unwrap_or_else(|error| panic!("{error}"));
    // Others are others.
    let other = Begun::new(&site, Way::Http, Persona::Writer, "~alice/big", &tip).await;
    other.unwrap_or_else(|error| panic!("{error}")).dies().await;
    let mut waiting = Box::pin(Begun::new(
        &site,
        Way::Ssh,
        Persona::Reader,
        "~alice/big",
        &tip,
    ));
    let early = tokio::time::timeout(Duration::from_millis(700), &mut waiting).await;
    assert!(early.is_err(), "it did not wait");
    running.dies().await;
    let served = waiting.await.unwrap_or_else(|error| panic!("{error}"));
    served.dies().await;
    all_gone(&site).await;
    site.end().await;
}

#[tokio::test]
async fn what_is_fetched_late_is_not_counted_as_a_clone() {
    let site = Site::with(Database::Sqlite, |builder| {
        let mut limits = Limits::default();
        limits.fetch.per_client = 1;
        limits.fetch.queue = 0;
        builder.limits(limits)
    });
    let site = site.await;
    line(&site).await;
    let tip = big(&site).await;
    for way in [Way::Http, Way::Ssh] {
        let client = site.client(Persona::Reader, 2);
        let url = site.url(way, Persona::Reader, "~alice/line");
        let partial = [
            "clone",
            "-q",
            "--filter=blob:none",
            "--no-checkout",
            &url,
            "work",
        ];
        client.git(&partial).await.good();
        let running = Begun::new(&site, way, Persona::Reader, "~alice/big", &tip).await;
        let running = running.unwrap_or_else(|error| panic!("{way:?}: {error}"));
        client
            .git_in("work", &["checkout", "-q", "master"])
            .await
            .good();
        running.dies().await;
        all_gone(&site).await;
    }
    site.end().await;
}
