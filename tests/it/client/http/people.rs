//! What people are told, and where they are led: the rows H07 and H10, and section 2.5 of the sheet.

use super::rename;
use super::wire::{Ask, v2, v2_post};
use crate::support::site::{Site, Way};
use crate::support::{Persona, fixture};

#[tokio::test]
async fn go_finds_what_it_may_see() {
    let site = Site::new().await;
    for (repo, persona) in [
        ("~alice/open", Persona::Anon),
        ("~alice/hidden", Persona::Anon),
        ("~alice/secret", Persona::Reader),
    ] {
        let ask = Ask::get(format!("/{repo}?go-get=1")).by(&site, persona);
        let raw = ask.send(&site).await.is(200);
        let kind = raw.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/html"), "{kind:?}");
        let url = format!("{}/{repo}", site.http);
        let meta = format!("<meta name=\"go-import\" content=\"{url} git http://{url}");
        assert!(raw.text().contains(&meta), "{}", raw.text());
    }
    let mut told = Vec::new();
    for repo in ["~alice/secret", "~alice/missing", "~nobody/secret"] {
        for persona in [Persona::Anon, Persona::Stranger] {
            let ask = Ask::get(format!("/{repo}?go-get=1")).by(&site, persona);
            let raw = ask.send(&site).await;
            assert!(matches!(raw.status, 401 | 404), "{}", raw.status);
            assert!(!raw.text().contains("go-import"));
            told.push((persona == Persona::Anon, raw.status, raw.body));
        }
    }
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 2, "{told:?}");
    // Without the question, the page is the host application's.
    let plain = Ask::get("/~alice/open").send(&site).await.is(404);
    assert_eq!(plain.text(), "404 not found\n");
    site.end().await;
}

#[tokio::test]
async fn a_repository_with_another_name_is_found_by_its_old_one() {
    let site = Site::new().await;
    rename(&site, "open", "between").await;
    rename(&site, "between", "opened").await;
    for old in ["~alice/open", "~alice/between", "~alice/open.git"] {
        for service in ["upload-pack", "receive-pack"] {
            let ask = Ask::refs(old, service).by(&site, Persona::Writer);
            let raw = ask.send(&site).await.is(301);
            let to = raw.header("location").expect("a location");
            let tail = format!("/info/refs?service=git-{service}");
            let path = to
                .strip_prefix(&format!("http://{}", site.http))
                .unwrap_or(to);
            let is_there = path.starts_with("/~alice/opened") && path.ends_with(&tail);
            assert!(is_there, "{to}");
            let ask = Ask::get(path).by(&site, Persona::Writer);
            ask.send(&site)
                .await
                .smart(&format!("{service}-advertisement"));
        }
    }
    let body = v2("ls-refs", &[]);
    let raw = v2_post("~alice/open", body).send(&site).await;
    assert!((300..400).contains(&raw.status), "{}", raw.status);
    let to = raw.header("location").expect("a location");
    assert!(to.ends_with("/~alice/opened/git-upload-pack"), "{to}");

    // Git follows, and says so.
    for version in [0, 1, 2] {
        let client = site.client(Persona::Writer, version);
        let old = site.url(Way::Http, Persona::Writer, "~alice/open");
        let ran = client.git(&["clone", &old, "work"]).await.good();
        ran.says("redirecting to").says("/~alice/opened");
        let id = client
            .commit("work", "b.txt", &format!("{version}\n"))
            .await;
        let ran = client.git_in("work", &["push", "origin", "master"]).await;
        ran.good().says("redirecting to");
        let dir = site.dir_of("~alice/opened").await;
        assert_eq!(fixture::git_text(&dir, &["rev-parse", "master"]), id);
    }
    // The name can be given away; then it leads to the other one.
    let source = fixture::small(site.world.dir.path());
    let source = forge::objects::ImportSource::Path(source);
    let world = &site.world;
    world
        .import("open", forge::repos::Visibility::Public, &source)
        .await;
    Ask::refs("~alice/open", "upload-pack")
        .send(&site)
        .await
        .is(200);
    Ask::refs("~alice/between", "upload-pack")
        .send(&site)
        .await
        .is(301);
    site.end().await;
}

#[tokio::test]
async fn people_are_told_why_they_are_refused() {
    let site = Site::new().await;
    let http = |persona, repo: &str| site.url(Way::Http, persona, repo);
    for version in [0, 1, 2] {
        let client = site.client(Persona::Stranger, version);
        let secret = http(Persona::Stranger, "~alice/secret");
        let ran = client.git(&["ls-remote", &secret]).await.bad();
        ran.says("remote: repository not found").says("not found");
        // Whoever shows nothing would be asked, if anybody were there.
        let secret = http(Persona::Anon, "~alice/secret");
        let ran = client.git(&["ls-remote", &secret]).await.bad();
        ran.says("could not read Username");
        let wrong = format!("http://x:wrong@{}/~alice/secret", site.http);
        let ran = client.git(&["ls-remote", &wrong]).await.bad();
        ran.says("Authentication failed");
    }
    let client = site.client(Persona::Stranger, 2);
    client.start("work").await;
    let push = async |persona: Persona, repo: &str| {
        let to = http(persona, repo);
        client
            .git_in("work", &["push", &to, "master:new"])
            .await
            .bad()
    };
    push(Persona::Stranger, "~alice/open")
        .await
        .says("403")
        .says("remote: ");
    push(Persona::Reader, "~alice/secret")
        .await
        .says("403")
        .says("remote: ");
    push(Persona::ReadOnly, "~alice/open")
        .await
        .says("403")
        .says("OBJECTS:RW");
    push(Persona::Stranger, "~alice/secret")
        .await
        .says("remote: repository not found");
    push(Persona::Suspended, "~alice/open")
        .await
        .says("suspended");
    push(Persona::Anon, "~alice/open")
        .await
        .says("could not read Username");
    push(Persona::Expired, "~alice/open")
        .await
        .says("Authentication failed");
    site.end().await;
}
