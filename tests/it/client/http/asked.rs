//! What is asked for, by whom, and how it is spelled: the rows H01 to H14.

use super::wire::{Ask, Raw, base64, v2, v2_post};
use crate::support::site::Site;
use crate::support::{Persona, fixture};

/// What a repository lists, as git tells it on the server: `id name` on each line.
async fn listed(site: &Site, repo: &str) -> Vec<String> {
    let dir = site.dir_of(repo).await;
    let all = fixture::git_text(&dir, &["ls-remote", "."]);
    all.lines().map(|line| line.replace('\t', " ")).collect()
}

#[tokio::test]
async fn what_there_is_to_fetch_is_told_as_gits_own_server_tells_it() {
    let site = Site::new().await;
    let listed = listed(&site, "~alice/open").await;
    for repo in ["~alice/open", "~alice/open.git", "%7Ealice/open"] {
        let ask = Ask::refs(repo, "upload-pack").header("accept-encoding", "gzip, deflate");
        let plain = ask.clone().send(&site).await;
        let plain = plain.smart("upload-pack-advertisement");
        assert!(
            plain
                .body
                .starts_with(b"001e# service=git-upload-pack\n0000")
        );
        assert!(plain.body.ends_with(b"0000"));
        assert_eq!(
            plain.body.windows(8).filter(|w| *w == b"symref=H").count(),
            1
        );
        assert!(plain.text().contains("symref=HEAD:refs/heads/master"));
        let refs = |raw: &Raw, skip| -> Vec<_> {
            let lines = raw.lines().into_iter().skip(skip);
            let name = |line: String| line.split('\0').next().map(str::to_owned);
            lines.filter_map(name).collect()
        };
        assert_eq!(refs(&plain, 1), listed, "{repo}");

        let first = ask.clone().header("git-protocol", "version=1").send(&site);
        let first = first.await.smart("upload-pack-advertisement");
        assert_eq!(first.lines()[1], "version 1");
        assert_eq!(refs(&first, 2), listed, "{repo}");

        let second = ask.header("git-protocol", "version=2").send(&site).await;
        let second = second.smart("upload-pack-advertisement");
        let lines = second.lines();
        assert_eq!(lines[0], "version 2");
        let fetch = lines.iter().find(|line| line.starts_with("fetch="));
        let fetch: Vec<_> = fetch.expect("fetch")["fetch=".len()..].split(' ').collect();
        for feature in ["shallow", "filter", "wait-for-done"] {
            assert!(fetch.contains(&feature), "{fetch:?}");
        }
        // Git's own server answers wanted refs in an order that git's own client cannot read when it also asked for a
        // depth: `git clone --depth 1` fails where this is offered (git 2.47).
        assert!(!fetch.contains(&"ref-in-want"), "{fetch:?}");
        assert!(
            lines.contains(&"object-format=sha1".to_owned()),
            "{lines:?}"
        );
        assert!(lines.iter().any(|line| line.starts_with("ls-refs")));
        assert!(!second.text().contains("bundle-uri"), "{lines:?}");
    }

    for version in ["", "version=1", "version=2"] {
        let by_get = Ask::refs("~alice/open", "upload-pack").header("git-protocol", version);
        let mut by_head = by_get.clone();
        by_head.method = "HEAD";
        let (by_get, by_head) = (by_get.send(&site).await, by_head.send(&site).await);
        let by_head = by_head.smart("upload-pack-advertisement");
        for name in ["content-type", "cache-control", "expires", "pragma"] {
            assert_eq!(by_get.header(name), by_head.header(name), "{version}");
        }
    }
    site.end().await;
}

#[tokio::test]
async fn what_may_be_pushed_is_told_to_whoever_may_push() {
    let site = Site::new().await;
    let ask = Ask::refs("~alice/open", "receive-pack");
    let anonymous = ask.clone().send(&site).await.refused(&[401]);
    let challenge = anonymous.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Basic realm=\""), "{challenge:?}");
    let body = v2("ls-refs", &[]);
    let posted = Ask::post("~alice/open", "receive-pack", body.clone());
    posted.send(&site).await.refused(&[401]);

    let token = site.world.token_of(Persona::Writer).unwrap().to_owned();
    let basic = |user: &str| format!("Basic {}", base64(format!("{user}:{token}").as_bytes()));
    let shown = [
        basic("writer"),
        basic(""),
        basic("x"),
        format!("Bearer {token}"),
        format!("basic {}", base64(format!("a:{token}").as_bytes())),
    ];
    let mut told = Vec::new();
    for shown in &shown {
        for version in ["", "version=2"] {
            let ask = ask.clone().header("authorization", shown);
            let raw = ask.header("git-protocol", version).send(&site).await;
            let raw = raw.smart("receive-pack-advertisement");
            assert!(
                raw.body
                    .starts_with(b"001f# service=git-receive-pack\n0000")
            );
            assert!(raw.text().contains("report-status"), "{}", raw.text());
            assert!(!raw.text().contains("push-cert"), "{}", raw.text());
            assert!(!raw.text().contains(".have"), "{}", raw.text());
            told.push(raw.body);
        }
    }
    // Whoever asks, and whichever version they speak.
    assert!(told.windows(2).all(|two| two[0] == two[1]));

    let bad = [
        "Basic".to_owned(),
        "Basic !!!!".to_owned(),
        format!("Basic {}", base64(b"no colon")),
        format!("Basic {}", base64(b"writer:")),
        format!("Basic {}", base64(&[0xff, b':', 0xff])),
        "Bearer".to_owned(),
        "Digest username=x".to_owned(),
    ];
    for bad in bad {
        for service in ["receive-pack", "upload-pack"] {
            let ask = Ask::refs("~alice/secret", service);
            let raw = ask.header("authorization", &bad).send(&site).await;
            raw.refused(&[400, 401]).tells_nothing();
        }
    }
    site.end().await;
}

#[tokio::test]
async fn what_is_not_asked_as_git_asks_is_refused_in_words() {
    let site = Site::new().await;
    let ask = |path: &str| Ask::get(format!("/~alice/open{path}")).send(&site);
    // The dumb protocol.
    for path in [
        "/info/refs",
        "/HEAD",
        "/objects/info/packs",
        "/objects/info/alternates",
        "/objects/b6/9b48d84942714512f7bbcd0cb990250baec5b8",
        "/objects/pack/pack-b69b48d84942714512f7bbcd0cb990250baec5b8.pack",
        "/objects/pack/pack-b69b48d84942714512f7bbcd0cb990250baec5b8.idx",
    ] {
        ask(path).await.refused(&[403, 404]);
    }
    for service in [
        "git-evil",
        "upload-pack",
        "git-upload-pack%00",
        "",
        "git-lfs",
        "GIT-UPLOAD-PACK",
    ] {
        let raw = ask(&format!("/info/refs?service={service}")).await;
        raw.refused(&[403]).tells_nothing();
    }
    // Of other types.
    let body = v2("ls-refs", &["ref-prefix refs/heads/"]);
    let types = [
        None,
        Some("text/plain"),
        Some("application/x-git-receive-pack-request"),
        Some("application/x-git-upload-pack-result"),
    ];
    for kind in types {
        let mut ask = v2_post("~alice/open", body.clone()).without("content-type");
        if let Some(kind) = kind {
            ask = ask.header("content-type", kind);
        }
        ask.send(&site).await.refused(&[415]).tells_nothing();
    }
    let good = v2_post("~alice/open", body.clone()).send(&site).await;
    let good = good.smart("upload-pack-result");
    assert!(good.text().contains("refs/heads/master"));
    // By other methods.
    for (method, tail, allowed) in [
        ("PUT", "info/refs?service=git-upload-pack", "GET"),
        ("POST", "info/refs?service=git-upload-pack", "GET"),
        ("DELETE", "info/refs?service=git-receive-pack", "GET"),
        ("GET", "git-upload-pack", "POST"),
        ("GET", "git-receive-pack", "POST"),
        ("PATCH", "git-upload-pack", "POST"),
    ] {
        let ask = Ask::new(method, format!("/~alice/open/{tail}"));
        let raw = ask.by(&site, Persona::Owner).send(&site).await;
        let raw = raw.refused(&[405]);
        let allow = raw.header("allow").unwrap_or_default();
        assert!(allow.contains(allowed), "{method} {tail}: {allow:?}");
        assert!(!allow.contains(method), "{method} {tail}: {allow:?}");
    }
    site.end().await;
}

#[tokio::test]
async fn no_path_leads_where_its_name_does_not() {
    let site = Site::new().await;
    let long = "x".repeat(300);
    let very_long = "x".repeat(9_000);
    let tails = [
        "info/refs?service=git-upload-pack",
        "info/refs?service=git-receive-pack",
    ];
    for repo in [
        "~alice/open/",
        "~alice//open",
        "/~alice/open",
        "~alice/open/.",
        "~alice/./open",
        "~alice/../~alice/open",
        "~stranger/../~alice/open",
        "~alice/%2e%2e/~alice/open",
        "~alice/..",
        "~alice/%2e%2e",
        "~alice%2fopen",
        "~alice%2Fopen",
        "~alice/open%2f",
        "~alice/open%00",
        "~alice/%00",
        "~alice/open%0a",
        "~alice/open%20",
        "~alice/%ff%fe",
        "~alice/op%65n%2e%67it%2e%67it",
        "~alice/.git",
        "~ALICE/open",
        "alice/open",
        "~~alice/open",
        "~/open",
        "~alice/",
        "~alice",
        "~alice/open.git.git",
        "~alice/open.GIT",
        "~alice/refs/open",
        "repos/00/00/01.git",
        "data/repositories/repos/00/00/01.git",
        "..%5c..%5cetc",
        long.as_str(),
        &format!("~alice/{long}"),
        &format!("~alice/{very_long}"),
    ] {
        for tail in tails {
            let ask = Ask::get(format!("/{repo}/{tail}"));
            let raw = ask.clone().by(&site, Persona::Stranger).send(&site).await;
            let status = raw.status;
            assert!(
                matches!(status, 400 | 404),
                "{repo}: {status} {}",
                raw.text()
            );
            raw.tells_nothing();
            let raw = ask.send(&site).await;
            let status = raw.status;
            assert!(
                matches!(status, 400 | 401 | 404),
                "{repo}: {status} {}",
                raw.text()
            );
            raw.tells_nothing();
        }
    }
    for path in [
        "/~alice/open/info/refs/?service=git-upload-pack",
        "/~alice/open/info//refs?service=git-upload-pack",
        "/~alice/open/info%2frefs?service=git-upload-pack",
        "/~alice/open/git-upload-pack/",
        "/~alice/open/info/refs/../../../secret/info/refs?service=git-upload-pack",
    ] {
        let ask = Ask::get(path).by(&site, Persona::Stranger);
        let raw = ask.send(&site).await;
        let status = raw.status;
        assert!(
            matches!(status, 400 | 404),
            "{path}: {status} {}",
            raw.text()
        );
        raw.tells_nothing();
    }
    site.end().await;
}

#[tokio::test]
async fn only_a_proper_header_asks_for_another_version() {
    let site = Site::new().await;
    let long = format!("{}:version=2", "a=b:".repeat(200));
    let asked: [(&[u8], &str); 14] = [
        (b"", "# service=git-upload-pack"),
        (b"version=0", "# service=git-upload-pack"),
        (b"version=2", "version 2"),
        (b"version=2:key=value", "version 2"),
        (b"key=value:version=2", "version 2"),
        (b"version=1:version=2", "version 2"),
        (b"version=9", "# service=git-upload-pack"),
        (b"version", "# service=git-upload-pack"),
        (b"version=2;id", "# service=git-upload-pack"),
        (b"version=2:$(id)", "# service=git-upload-pack"),
        (b"version=2 ", "version 2"),
        (b"version=2:k=\xff", "# service=git-upload-pack"),
        (b"version=2\tx", "# service=git-upload-pack"),
        (long.as_bytes(), "# service=git-upload-pack"),
    ];
    for (header, first) in asked {
        let ask = Ask::refs("~alice/open", "upload-pack").header_bytes("git-protocol", header);
        let raw = ask.send(&site).await.smart("upload-pack-advertisement");
        let said = String::from_utf8_lossy(header);
        assert_eq!(raw.lines()[0], first, "{said:?}");
    }
    site.end().await;
}
