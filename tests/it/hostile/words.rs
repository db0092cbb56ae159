//! Names, places in lists, revisions and paths that cannot be.
//!
//! Invariant: what is wrong with a body's field is 400 and names the field; what is wrong with a path's segment names
//! nothing that exists, 404. What is left to git (revisions) may be either.

use super::{JSON, Target, escaped};

/// JSON values.
const NO_NAMES: &str = r#"""
null
7
true
[]
{}
"."
".."
".git"
".hg"
"a/b"
"a\\b"
"a%2fb"
"../x"
"a b"
" a"
"a:b"
"a\n"
"a\u0000"
"\u007f"
"\u202e"
"näme"
"🦀""#;

/// Segments of paths.
const NO_REPOS: &str = ".. . %2e%2e .git %2egit a%2fb a%2Fb %00 open%00 %ff % %zz %e2%80%ae open%20 %20open open%0a open; %7eopen";
const NO_OWNERS: &str = "~ ~Alice alice ~~alice ~alice%00 ~%ff ~.. ~alice%2frepos %";
const NO_STARTS: &str = "-2 1e3 9223372036854775808 -9223372036854775809 %00 1%00 %ff x 1.5 0x10 %202 2%0a %2d2 %d9%a1 1;2 '";
const NO_IDS: &str = "x 123 zzzz -x %00 %ff .. 4cfa%20 @ HEAD";
const NO_PATHS: &str = ".. ../.. %2e%2e %2e%2e/%2e%2e/config src/../README.md . src/./lib %00 src%00 src/%00 /src src//lib %2fsrc %2f%2f";
const NOT_THERE: &str =
    "%ff README.md/x src/lib/a.txt/b vendored/x link/x missing %ff%fe/x src%2f%ff a%5cb";
const NOWHERE: &str = "/api/../etc/passwd /../api/repos /api/%2e%2e/x //api/repos /api//repos /API/repos /api%2frepos \
    /api/repos/open/nonsense /~alice/open/refs/download/ /~/x/refs/download/a/b /~alice/open/refs/download/v1/.. \
    /~alice/open/refs/download/..%2f..%2fv1/x /%7ealice/open/refs/download/v1/%00 /meta/api/ /meta/api/nonsense \
    /x/nonsense /x/ /x / ";

/// Revisions, before they are escaped.
const NO_REVISIONS: &str = r"@{u}
@{-1}
@{yesterday}
HEAD@{0}
master@{upstream}
a..b
a...b
..
:/x
^{/x}
:
HEAD^{/x}
HEAD~99999999999
HEAD~99999999999999999999
HEAD^99999999999
HEAD^{nonsense}
HEAD^{
HEAD^!
HEAD^@
HEAD^-
HEAD^0^{tag}
^HEAD
-x
--output=x
--
--all
\
[
*
refs/heads/*
refs/heads/../master
refs/heads/master.lock
refs//heads/master
master:../x
a b
 
head~
v1^{blob}
g4cfa
nothing-g4cfa8d2
0000000000000000000000000000000000000000";

#[tokio::test]
async fn names_that_cannot_be_are_refused() {
    let target = Target::new().await;
    let long = format!("\"{}\"", "x".repeat(257));
    for name in NO_NAMES.lines().chain([long.as_str()]) {
        let body = format!("{{\"name\": {name}}}");
        let create = "POST /api/repos";
        target.refuses(400, "name", create, JSON, &body).await;
        // Null and the empty text leave the name as it is.
        if name != "null" && name != "\"\"" {
            let rename = "PUT /api/repos/open";
            target.refuses(400, "name", rename, JSON, &body).await;
        }
    }
    let long = "x".repeat(257);
    for name in NO_REPOS.split(' ').chain([long.as_str()]) {
        for path in [
            format!("/api/repos/{name}"),
            format!("/api/repos/{name}/log"),
            format!("/api/~alice/repos/{name}"),
            format!("/~alice/{name}/refs/download/v1/x"),
        ] {
            let line = format!("GET {path}");
            target.refuses(404, "", &line, "", "").await;
        }
    }
    for owner in NO_OWNERS.split(' ').chain([long.as_str()]) {
        for path in ["repos", "repos/open", "repos/open/log"] {
            let line = format!("GET /api/{owner}/{path}");
            target.refuses(404, "", &line, "", "").await;
        }
        let line = format!("GET /api/user/{owner}");
        target.refuses(404, "", &line, "", "").await;
    }
    target.end().await;
}

#[tokio::test]
async fn starts_that_cannot_be_are_refused() {
    let target = Target::new().await;
    let long = "1".repeat(10_000);
    for start in NO_STARTS.split(' ').chain([long.as_str()]) {
        for path in [
            "/api/repos",
            "/api/~alice/repos",
            "/api/repos/open/log",
            "/api/repos/open/log/v1",
        ] {
            let line = format!("GET {path}?start={start}");
            target.refuses(400, "start", &line, "", "").await;
            let line = format!("GET {path}?x&start={start}&start=1");
            target.refuses(400, "start", &line, "", "").await;
        }
    }
    for query in [
        "start=9223372036854775807",
        "start=0",
        "start=-1",
        "start=%2B1",
        "start",
        "&&&",
        "=",
        "%",
        "",
    ] {
        let line = format!("GET /api/repos?{query}");
        assert_eq!(target.bears(&line, "", "").await, Some(200), "{query}");
    }
    target.end().await;
}

#[tokio::test]
async fn revisions_that_name_nothing_are_refused() {
    let target = Target::new().await;
    let longer = [
        "a".repeat(4096),
        "a".repeat(4097),
        format!("HEAD{}", "^".repeat(3000)),
        format!("HEAD{}", "~1".repeat(1500)),
    ];
    let raw: [&[u8]; 8] = [
        b"\x01",
        b"a\nb",
        b"a\0b",
        b"a\x7f",
        b"\xff\xfe",
        b"refs/heads/\xff",
        b"HEAD^{\xff}",
        b"\xe2\x80\xae",
    ];
    let revisions = NO_REVISIONS
        .lines()
        .chain(longer.iter().map(String::as_str))
        .map(str::as_bytes)
        .chain(raw);
    for revision in revisions.map(escaped) {
        for verb in ["log", "tree", "blob", "refdb"] {
            let line = format!("GET /api/repos/open/{verb}/{revision}");
            let reply = target.ask(&line, "", "").await;
            let errors = reply.errors(&line);
            assert!(matches!(reply.status, 400 | 404), "{line}: {reply:?}");
            let named = errors.iter().any(|error| error["field"] == "ref");
            assert_eq!(named, reply.status == 400, "{line}: {errors:?}");
        }
        let line = format!("GET /~alice/open/refs/download/{revision}/x");
        let status = target.bears(&line, "", "").await;
        assert!(matches!(status, Some(400 | 404)), "{line}: {status:?}");
    }
    let longer = ["0".repeat(41), "0".repeat(65), "0".repeat(5000)];
    for id in NO_IDS.split(' ').chain(longer.iter().map(String::as_str)) {
        for verb in ["odb", "lookup"] {
            let line = format!("GET /api/repos/open/{verb}/{id}");
            let status = target.bears(&line, "", "").await;
            assert!(matches!(status, Some(400 | 404)), "{line}: {status:?}");
        }
    }
    target.end().await;
}

#[tokio::test]
async fn paths_that_climb_or_break_are_refused() {
    let target = Target::new().await;
    let (deep, long) = ("a/".repeat(10_000) + "a", "a".repeat(5000));
    for verb in ["tree", "blob"] {
        for path in NO_PATHS.split(' ').chain([deep.as_str(), long.as_str()]) {
            let line = format!("GET /api/repos/open/{verb}/master/{path}");
            target.refuses(400, "path", &line, "", "").await;
        }
        for path in NOT_THERE.split(' ') {
            let line = format!("GET /api/repos/open/{verb}/master/{path}");
            target.refuses(404, "", &line, "", "").await;
        }
    }
    for path in NOWHERE.split(' ').filter(|path| !path.is_empty()) {
        let line = format!("GET {path}");
        let status = target.bears(&line, "", "").await;
        assert!(matches!(status, Some(400 | 404)), "{path}: {status:?}");
    }
    for path in [
        "/api/repos/open/",
        "/api/repos//",
        "/api/repos/open/tree/master/src///",
    ] {
        let line = format!("GET {path}");
        assert_eq!(target.bears(&line, "", "").await, Some(200), "{path}");
    }
    target.end().await;
}
