//! Bodies that are not what they should be: JSON, forms, and how they are framed.
//!
//! Invariant: a body that is refused leaves no trace. What fields may hold is in `words.rs`.

use super::{JSON, Reply, Target};

const CREATE: &str = "POST /api/repos";
const UPDATE: &str = "PUT /api/repos/open";
const README: &str = "PUT /api/repos/open/readme";
const ATTACH: &str = "POST /api/repos/open/artifacts/v1";
const FORM: &str = "content-type: multipart/form-data; boundary=b\r\n";

#[tokio::test]
async fn bodies_that_are_no_objects_are_refused() {
    let target = Target::new().await;
    let nested = |open: &str, close: &str| {
        let (open, close) = (open.repeat(200), close.repeat(200));
        format!("{{\"name\": \"deep\", \"x\": {open}1{close}}}")
    };
    let (lists, objects) = (nested("[", "]"), nested("{\"a\":", "}"));
    let digits = format!("{{\"name\": {}}}", "9".repeat(5000));
    for body in [
        &b""[..],
        b"{",
        b"{\"name\":",
        b"{\"name\": \"x",
        b"{\"name\": \"x\"",
        b"{\"name\": \"x\"} {}",
        b"{name: 1}",
        b"[]",
        b"null",
        b"\"x\"",
        b"\0",
        b"\xef\xbb\xbf{}",
        b"{\"name\": \"\\ud800\"}",
        b"{\"name\": \"a\0b\"}",
        b"{\"name\": \"\xff\xfe\"}",
        b"{\"\xff\": 1}",
        b"{\"x\": 1e999999}",
        b"{\"x\": NaN}",
        b"{\"x\": 01}",
        lists.as_bytes(),
        objects.as_bytes(),
        digits.as_bytes(),
    ] {
        target.refuses(400, "", CREATE, JSON, body).await;
        target.refuses(400, "", UPDATE, JSON, body).await;
    }
    target.end().await;
}

#[tokio::test]
async fn fields_that_cannot_be_are_named() {
    let target = Target::new().await;
    let long = "x".repeat(1025);
    for (field, rest) in [
        ("name", "\"name\": \"..\""),
        ("name", "\"name\": 123456789012345678901234567890"),
        ("description", "\"description\": \"a\\u0000b\""),
        ("description", "\"description\": []"),
        ("description", &format!("\"description\": \"{long}\"")),
        ("visibility", "\"visibility\": \"secret\""),
        ("visibility", "\"visibility\": \"\""),
        ("visibility", "\"visibility\": {\"a\": 1}"),
    ] {
        // Of fields that are there twice, the last counts.
        let body = format!("{{\"name\": \"x\", {rest}}}");
        target.refuses(400, field, CREATE, JSON, &body).await;
        target.refuses(400, field, UPDATE, JSON, &body).await;
    }
    let huge = vec![b' '; 2 << 20];
    for headers in [JSON, "", "content-type: text/plain\r\n"] {
        target.refuses(413, "body", CREATE, headers, &huge).await;
        target.refuses(413, "body", UPDATE, headers, &huge).await;
    }
    let html = "content-type: text/html\r\n";
    target.refuses(413, "body", README, html, &huge).await;
    target.refuses(400, "body", README, html, "a\0b").await;
    target.refuses(400, "body", README, html, b"\xff").await;
    target.refuses(400, "content-type", README, "", "<p>").await;
    target.end().await;
}

#[tokio::test]
async fn bodies_that_are_not_what_they_say_are_refused() {
    let target = Target::new().await;
    for kind in [
        "text/plain",
        "application/xml",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "application/json;charset=utf-16",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"",
        "multipart/mixed; boundary=b",
        "nonsense",
        "a/b/c",
        "/",
        ";",
        "",
        "\u{ff}",
        "text/\u{80}\r\ncontent-type: application/json",
    ] {
        let headers = format!("content-type: {kind}\r\n");
        for body in ["{\"name\": \"a/b\"}", "name=a/b", "--b\r\n\r\n--b--", "\0"] {
            let status = target.bears(CREATE, &headers, body).await;
            assert_eq!(status, Some(400), "{kind} {body}");
        }
    }
    let nameless = "--b\r\n\r\nx\r\n--b--";
    for form in [
        part("name", "x"),
        part("name", "a/b") + "--b--",
        nameless.to_owned(),
    ] {
        assert_eq!(target.bears(CREATE, FORM, &form).await, Some(400), "{form}");
    }
    target.end().await;
}

#[tokio::test]
async fn bodies_that_are_badly_framed_are_refused() {
    let target = Target::new().await;
    let chunked = format!("transfer-encoding: chunked\r\n{JSON}");
    let extension = format!("1;{}\r\n{{\r\n", "a".repeat(100_000));
    let trailers = format!("2\r\n{{}}\r\n0\r\n{}\r\n", "a: b\r\n".repeat(20_000));
    for body in [
        "zz\r\n{}\r\n0\r\n\r\n",
        "-1\r\n",
        "ffffffffffffffffff\r\n{}",
        "2\r\n{}X\r\n0\r\n\r\n",
        "\r\n",
        "0\r\n\0\r\n\r\n",
        &extension,
        &trailers,
    ] {
        let status = target.bears(CREATE, &chunked, body).await;
        assert!(matches!(status, None | Some(400)), "{body:.40}: {status:?}");
    }
    for framing in [
        "content-length: -1",
        "content-length: 99999999999999999999",
        "content-length: 2\r\ncontent-length: 3",
        "content-length: 2, 2",
        "content-length: +2",
        "content-length: 0x2",
        "transfer-encoding: gzip",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked\r\ncontent-length: 2",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
    ] {
        let headers = format!("{framing}\r\n{JSON}");
        let status = target.bears(CREATE, &headers, "2\r\n{}\r\n0\r\n\r\n").await;
        assert!(
            matches!(status, None | Some(400..500)),
            "{framing}: {status:?}"
        );
    }
    for framing in [
        "transfer-encoding: chunked\r\n\r\n5\r\n{\"na",
        "content-length: 100\r\n\r\n{\"name\": \"cut\"}",
    ] {
        let request = format!(
            "{CREATE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{JSON}{framing}",
            target.token()
        );
        if let Some(reply) = Reply::parse(&target.send(request, true).await) {
            assert_eq!(reply.status, 400, "{framing}");
            reply.errors(framing);
        }
    }
    target.end().await;
}

fn part(name: &str, content: &str) -> String {
    format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
}

fn file(name: &str) -> String {
    format!("--b\r\ncontent-disposition: form-data; name=\"file\"; filename={name}\r\n\r\nx\r\n")
}

#[tokio::test]
async fn forms_that_do_not_hold_a_file_are_refused() {
    let target = Target::new().await;
    let end = "--b--\r\n";
    let nested = "--b\r\ncontent-disposition: form-data; name=\"files\"\r\n\
        content-type: multipart/mixed; boundary=c\r\n\r\n\
        --c\r\ncontent-disposition: file; filename=\"inner\"\r\n\r\nx\r\n--c--\r\n--b--\r\n";
    let good = file("\"x\"") + end;
    let mut forms = vec![
        String::new(),
        "--b".to_owned(),
        end.to_owned(),
        "--b\r\n\r\n--b--\r\n".to_owned(),
        "\0\0\0".to_owned(),
        "x".repeat(1 << 20),
        nested.to_owned(),
        good.replace("--b", "--c"),
        // No end, of the form, of a head, of a line.
        file("\"x\""),
        "--b\r\n".to_owned() + &"x-a: b\r\n".repeat(40_000),
        "--b\r\n".to_owned() + &"x".repeat(1 << 20),
        "--b\r\ncontent-disposition: form-data; name=\"fi".to_owned(),
        "--b\r\ncontent-disposition: \u{ff}\r\n\r\nx\r\n--b--\r\n".to_owned(),
        "--b\r\nno colon\r\n\r\nx\r\n--b--\r\n".to_owned(),
        part("file", "no name") + end,
        part("other", "x") + end,
        // Too much before the file; and not too much, but no file in the end.
        part("other", "x").repeat(10_000) + &good,
        part("other", &"x".repeat(300_000)) + &good,
        part("other", "x").repeat(1000) + &file("\"..\"") + end,
    ];
    let long = format!("\"{}\"", "x".repeat(256));
    for name in [
        "\"\"",
        "\"..\"",
        "\"/\"",
        "\"~\"",
        "\"\0\"",
        "\"\u{202e}\"",
        "\"\u{1f980}\"",
        "",
        &long,
    ] {
        forms.push(file(name) + end);
    }
    for form in forms {
        target.refuses(400, "file", ATTACH, FORM, form).await;
    }
    for (status, field, revision) in [
        (404, "", "missing"),
        (404, "", "%ff"),
        (400, "ref", "a..b"),
        (400, "ref", "--output=x"),
        (400, "ref", "%00"),
    ] {
        let line = format!("POST /api/repos/open/artifacts/{revision}");
        target.refuses(status, field, &line, FORM, &good).await;
    }
    for kind in [
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        &format!("multipart/form-data; boundary={}", "b".repeat(10_000)),
        "multipart/mixed; boundary=b",
        "",
    ] {
        let headers = format!("content-type: {kind}\r\n");
        target.refuses(400, "file", ATTACH, &headers, &good).await;
    }
    target.end().await;
}
