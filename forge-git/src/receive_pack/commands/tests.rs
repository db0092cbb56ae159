//! Requests, good and bad.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

const A: &str = "1111111111111111111111111111111111111111";
const ZERO: &str = "0000000000000000000000000000000000000000";

fn lines(lines: &[&[u8]]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for line in lines {
        pkt::put(&mut out, line);
    }
    pkt::put_flush(&mut out);
    out.to_vec()
}

async fn read(bytes: &[u8]) -> Result<Option<Asked>, Fault> {
    read_as(Format::Sha1, bytes).await
}

async fn read_as(format: Format, bytes: &[u8]) -> Result<Option<Asked>, Fault> {
    let mut limits = PushLimits::default();
    limits.commands = 3;
    limits.options = 2;
    limits.option_bytes = 10;
    Asked::read(&mut &*bytes, format, &limits).await
}

async fn fault(bytes: &[u8]) -> String {
    match read(bytes).await {
        Err(fault) => fault.why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_is_read_with_all_that_belongs_to_it() {
    let mut request = lines(&[
        format!("shallow {A}\n").as_bytes(),
        format!("{ZERO} {A} refs/heads/a\0report-status-v2 side-band-64k push-options agent=x")
            .as_bytes(),
        format!("{A} {ZERO} refs/heads/b\0 atomic\n").as_bytes(),
    ]);
    request.extend(lines(&[b"debug", b"a=b\n"]));
    let asked = read(&request).await.expect("good").expect("something");
    assert_eq!(asked.shallow, [A.parse().expect("an id")]);
    assert_eq!(asked.options, ["debug", "a=b"]);
    assert!(asked.wants.report && asked.wants.bands && !asked.wants.atomic);
    let found: Vec<_> = asked.standing().iter().map(ToString::to_string).collect();
    let expected = [format!("- {A} refs/heads/a"), format!("{A} - refs/heads/b")];
    assert_eq!(found, expected);
    assert!(asked.brings_objects());
}

#[tokio::test]
async fn nothing_asks_for_nothing() {
    assert!(read(b"0000").await.expect("a probe").is_none());
    assert!(read(b"").await.expect("a look").is_none());
}

#[tokio::test]
async fn names_that_git_does_not_take_are_refused_for_themselves() {
    for name in [
        &b"refs/heads/a..b"[..],
        b"refs/heads/a.lock",
        b"refs/heads/a\xff",
        b"refs/heads/a b",
        b"refs/heads/@{x",
        b"main",
        b"",
        &[b"refs/heads/".as_slice(), &[b'x'; 256]].concat(),
        &[b"refs/heads/".as_slice(), &b"x/".repeat(600), b"x"].concat(),
    ] {
        let request = lines(&[
            &[format!("{ZERO} {A} ").as_bytes(), name, b"\0report-status"].concat(),
            format!("{ZERO} {A} refs/heads/-x").as_bytes(),
        ]);
        let asked = read(&request).await.expect("good").expect("something");
        let why = if name.len() > 255 { TOO_LONG } else { FUNNY };
        assert_eq!(asked.commands[0].refusal.as_deref(), Some(why));
        assert_eq!(asked.commands[0].raw, name);
        assert_eq!(asked.standing().len(), 1);
    }
}

#[tokio::test]
async fn a_ref_is_changed_once() {
    let command = format!("{ZERO} {A} refs/heads/a");
    let request = lines(&[command.as_bytes(), command.as_bytes()]);
    let asked = read(&request).await.expect("good").expect("something");
    let refusals: Vec<_> = asked.commands.iter().map(|c| c.refusal.clone()).collect();
    assert_eq!(refusals, [None, Some("failed to update ref".to_owned())]);
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_a_reason() {
    let command = format!("{ZERO} {A} refs/heads/");
    let numbered = |n: u32| format!("{command}{n}").into_bytes();
    let many: Vec<_> = (0..4).map(numbered).collect();
    let many: Vec<_> = many.iter().map(Vec::as_slice).collect();
    assert_eq!(fault(&lines(&many)).await, "a push changes 3 refs at most");
    for line in [
        "hello",
        &format!("{ZERO} {A}"),
        &format!("{A} x refs/heads/a"),
    ] {
        let why = fault(&lines(&[line.as_bytes()])).await;
        assert!(why.starts_with("expected old/new/ref, got"), "{why}");
    }
    for bytes in [b"zzzz".as_slice(), b"0003", b"ffff", b"0001"] {
        assert!(fault(bytes).await.starts_with("bad pkt-line"));
    }
    let foreign = format!("{command}a\0object-format=sha256");
    let why = fault(&lines(&[foreign.as_bytes()])).await;
    assert_eq!(why, "unsupported object format 'sha256'");
    let unfinished = lines(&[command.as_bytes()]);
    for bytes in [&b"0010abc"[..], b"000", &unfinished[..unfinished.len() - 4]] {
        assert_eq!(fault(bytes).await, CUT_OFF);
    }
    let wants = format!("{command}a\0side-band-64k");
    let both = lines(&[wants.as_bytes(), b"hello"]);
    let fault = read(&both).await.expect_err("no request");
    assert!(fault.asked.wants.bands);
    assert_eq!(fault.asked.commands[0].refusal, Some(fault.why));
    let shallow = lines(&[format!("shallow {A}").as_bytes()]);
    let fault = read(&shallow).await.expect_err("no request");
    assert_eq!(fault.why, "nothing is asked for");
}

#[tokio::test]
async fn ids_are_those_of_the_repository_s_format() {
    let (long, zeros) = ("1".repeat(64), "0".repeat(64));
    let ask = |id: &str, capabilities: &str| {
        let zeros = &zeros[..id.len()];
        let command = format!("{zeros} {id} refs/heads/a\0report-status{capabilities}");
        lines(&[command.as_bytes()])
    };
    let long_format = " object-format=sha256";
    let asked = read_as(Format::Sha256, &ask(&long, long_format)).await;
    let asked = asked.expect("good").expect("something");
    assert_eq!(
        asked.standing()[0].to_string(),
        format!("- {long} refs/heads/a")
    );
    let shallow = lines(&[
        format!("shallow {long}").as_bytes(),
        format!("{long} {zeros} refs/heads/a").as_bytes(),
    ]);
    // Who names no capability at all is not asked for its format.
    let asked = read_as(Format::Sha256, &shallow).await.expect("good");
    assert_eq!(asked.expect("something").shallow.len(), 1);
    for (format, id, capabilities, words) in [
        (Format::Sha256, A, "", "unsupported object format 'sha1'"),
        (
            Format::Sha256,
            A,
            " object-format=sha1",
            "unsupported object format 'sha1'",
        ),
        (
            Format::Sha256,
            &long,
            "",
            "unsupported object format 'sha1'",
        ),
        (Format::Sha256, A, long_format, "expected old/new/ref, got"),
        (
            Format::Sha1,
            &long,
            long_format,
            "unsupported object format 'sha256'",
        ),
        (Format::Sha1, &long, "", "expected old/new/ref, got"),
        (
            Format::Sha1,
            A,
            " object-format=sha512",
            "unsupported object format 'sha512'",
        ),
    ] {
        let fault = read_as(format, &ask(id, capabilities))
            .await
            .expect_err("refused");
        assert!(
            fault.why.starts_with(words),
            "{format:?} {id} {capabilities}: {}",
            fault.why
        );
        assert!(fault.asked.standing().is_empty());
    }
}

#[tokio::test]
async fn options_are_few_and_short_and_text() {
    let command = format!("{ZERO} {A} refs/heads/a\0push-options");
    for options in [
        &[&b"a"[..], b"b", b"c"][..],
        &[b"12345678901"],
        &[b"\xff"],
        &[b"a\0b"],
    ] {
        let request = [lines(&[command.as_bytes()]), lines(options)].concat();
        assert!(fault(&request).await.contains("push"), "{options:?}");
    }
}

#[tokio::test]
async fn all_or_nothing_is_nothing_if_one_is_refused() {
    let request = lines(&[
        format!("{ZERO} {A} refs/heads/a\0atomic").as_bytes(),
        format!("{ZERO} {A} bad").as_bytes(),
    ]);
    let mut asked = read(&request).await.expect("good").expect("something");
    asked.all_or_nothing("atomic push failure");
    let refusals: Vec<_> = asked
        .commands
        .iter()
        .map(|c| c.refusal.as_deref())
        .collect();
    assert_eq!(refusals, [Some("atomic push failure"), Some(FUNNY)]);
}

proptest! {
    #[test]
    fn no_bytes_panic_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        let mut out = BytesMut::new();
        pkt::put(&mut out, &bytes);
        pkt::put_flush(&mut out);
        let _ = runtime.block_on(read(&out));
        let _ = runtime.block_on(read(&bytes));
    }
}
