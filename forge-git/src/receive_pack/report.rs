//! What a client is told at the end of a push (`gitprotocol-pack(5)`, "Report Status").
//!
//! Invariant: every command has one line, in their order, worded as git words it where git has a word. When it is sent
//! is not known here.

use bytes::BytesMut;

use super::commands::Command;
use crate::{pkt, words};

/// What became of the objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Unpacked {
    /// They are there, or there were none to come.
    #[default]
    Ok,
    /// They are not; the text says why.
    Failed(String),
}

/// The report, and the flush after it.
pub(super) fn report(unpacked: &Unpacked, commands: &[Command]) -> BytesMut {
    let mut out = BytesMut::new();
    let unpack = match unpacked {
        Unpacked::Ok => "unpack ok\n".to_owned(),
        Unpacked::Failed(why) => format!("unpack {}\n", words::line(why.as_bytes())),
    };
    pkt::put(&mut out, unpack.as_bytes());
    for command in commands {
        let line = match &command.refusal {
            None => [b"ok ", &**command.raw, b"\n"].concat(),
            Some(why) => {
                let why = words::line(why.as_bytes());
                [b"ng ", &**command.raw, b" ", why.as_bytes(), b"\n"].concat()
            }
        };
        pkt::put(&mut out, &line);
    }
    pkt::put_flush(&mut out);
    out
}

/// A number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = units.iter().find(|(shift, _)| bytes >> shift > 0);
    match whole {
        Some((shift, unit)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            match (tenths / 10, tenths % 10) {
                (whole, 0) => format!("{whole} {unit}"),
                (whole, tenth) => format!("{whole}.{tenth} {unit}"),
            }
        }
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use forge_core::limits::PushLimits;

    use super::super::commands::Asked;
    use super::*;
    use crate::format::Format;

    #[tokio::test]
    async fn the_report_has_a_line_for_each_command() {
        let mut request = BytesMut::new();
        for name in ["refs/heads/a", "refs/heads/b"] {
            let line = format!("{} {} {name}", "0".repeat(40), "1".repeat(40));
            pkt::put(&mut request, line.as_bytes());
        }
        pkt::put_flush(&mut request);
        let asked = Asked::read(&mut &*request, Format::Sha1, &PushLimits::default()).await;
        let mut asked = asked.expect("good").expect("something");
        asked.commands[1].refuse("because\nof \x1b[31mthis");
        let text = report(&Unpacked::Ok, &asked.commands);
        let expected =
            "000eunpack ok\n0014ok refs/heads/a\n0027ng refs/heads/b becauseof [31mthis\n0000";
        assert_eq!(String::from_utf8_lossy(&text), expected);
        let text = report(
            &Unpacked::Failed("index-pack abnormal exit".to_owned()),
            &[],
        );
        assert_eq!(&text[..], b"0024unpack index-pack abnormal exit\n0000");
    }

    #[test]
    fn sizes_are_said_for_people() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (1 << 30, "1 GiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
