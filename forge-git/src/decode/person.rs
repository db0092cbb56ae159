//! `Name <mail> seconds zone`.
//!
//! Invariant: every line of bytes is some person, read as git reads it. Zones are dropped: times are UTC.

use bstr::ByteSlice as _;
use chrono::DateTime;
use forge_core::Timestamp;
use forge_core::objects::Person;

use super::text;

/// Reads the value of an `author`, `committer` or `tagger` header.
pub(super) fn person(line: &[u8], encoding: Option<&[u8]>) -> Person {
    let (name, rest) = line.split_once_str("<").unwrap_or((line, b""));
    let mail = rest.split_once_str(">").map_or(rest, |(mail, _)| mail);
    // The date follows the last `>`: a mail address may hold one by mistake.
    let date = rest.rsplit_once_str(">").map_or(b"".as_slice(), |(_, d)| d);
    Person {
        name: text(name.trim_end(), encoding),
        email: text(mail, encoding),
        time: time(date),
    }
}

/// The moment; the epoch if there is none that a calendar has.
fn time(date: &[u8]) -> Timestamp {
    let digits: String = date
        .trim_start()
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .map(|&b| char::from(b))
        .collect();
    digits
        .parse()
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> (String, String, i64) {
        let person = person(line.as_bytes(), None);
        (person.name, person.email, person.time.timestamp())
    }

    #[test]
    fn people_are_read_as_git_reads_them() {
        for (line, name, email, time) in [
            ("A U Thor <a@b> 12 +0200", "A U Thor", "a@b", 12),
            ("A  <a@b> 12", "A", "a@b", 12),
            ("<a@b> 12 +0000", "", "a@b", 12),
            ("A <a b> c> 12 +0000", "A", "a b", 12),
            ("A <a@b> -12 +0000", "A", "a@b", 0),
            ("A <a@b> 99999999999999999999 +0000", "A", "a@b", 0),
            ("A <a@b> 9223372036854775807 +0000", "A", "a@b", 0),
            ("A <a@b> soon", "A", "a@b", 0),
            ("A <a@b> 12+0000", "A", "a@b", 12),
            ("A <a@b>", "A", "a@b", 0),
            ("A <a@b 12 +0000", "A", "a@b 12 +0000", 0),
            ("nobody", "nobody", "", 0),
            ("", "", "", 0),
        ] {
            assert_eq!(read(line), (name.into(), email.into(), time), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd(line in prop::collection::vec(any::<u8>(), 0..80)) {
            person(&line, Some(b"utf-16"));
        }
    }
}
