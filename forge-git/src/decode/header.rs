//! The lines before the message of a commit or tag: `name value`, continued on lines that start with a space.
//!
//! Invariant: lines and message together are the object, byte for byte. What the names mean is not known here.

use bstr::ByteSlice as _;

/// Splits an object into its header lines and what follows the first empty line.
pub(super) fn split(data: &[u8]) -> (&[u8], &[u8]) {
    if let Some(message) = data.strip_prefix(b"\n") {
        return (b"", message);
    }
    match data.find(b"\n\n") {
        Some(end) => (
            data.get(..=end).unwrap_or_default(),
            data.get(end + 2..).unwrap_or_default(),
        ),
        None => (data, b""),
    }
}

/// The first line of each header with its value; continuations are skipped.
pub(super) fn lines(headers: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers
        .lines_with_terminator()
        .filter(|line| !line.starts_with(b" "))
        .map(|line| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            line.split_once_str(" ").unwrap_or((line, b""))
        })
}

/// The value of the first header of that name.
pub(super) fn value<'a>(headers: &'a [u8], name: &str) -> Option<&'a [u8]> {
    lines(headers).find_map(|(key, value)| (key == name.as_bytes()).then_some(value))
}

/// Takes a signature out of a commit: its lines joined, and everything else, as `git verify-commit` gives both to the
/// verifier. Signatures for other hashes (`gpgsig-…`) are in neither.
pub(super) fn signature(data: &[u8], name: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut signature, mut payload) = (Vec::new(), Vec::with_capacity(data.len()));
    let (mut inside, mut other) = (false, false);
    let (headers, _) = split(data);
    for line in headers.lines_with_terminator() {
        let first = line
            .strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(b" "));
        let part = match line.strip_prefix(b" ") {
            Some(more) if inside => Some(more),
            _ => first,
        };
        inside = part.is_some();
        if inside {
            other = false;
        } else if line.starts_with(b"gpgsig") {
            other = true;
        } else if !line.starts_with(b" ") {
            other = false;
        }
        match part {
            Some(part) => signature.extend_from_slice(part),
            None if other => {}
            None => payload.extend_from_slice(line),
        }
    }
    payload.extend_from_slice(data.get(headers.len()..).unwrap_or_default());
    (!signature.is_empty()).then_some((signature, payload))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn continued_lines_belong_to_the_header_above() {
        let (headers, message) = split(b"a 1\n b 2\nc 3\n\nd 4\n\ne");
        assert_eq!(message, b"d 4\n\ne");
        assert_eq!(value(headers, "a"), Some(b"1".as_slice()));
        assert_eq!(value(headers, "b"), None);
        assert_eq!(value(headers, "c"), Some(b"3".as_slice()));
    }

    #[test]
    fn a_signature_leaves_the_rest_as_it_was() {
        let data = b"tree t\ngpgsig BEGIN\n \n END\ngpgsig-sha256 x\n y\nauthor a\n\ngpgsig not this\n z\n";
        let (signature, payload) = signature(data, "gpgsig").expect("signed");
        assert_eq!(signature, b"BEGIN\n\nEND\n");
        assert_eq!(payload, b"tree t\nauthor a\n\ngpgsig not this\n z\n");
    }

    proptest! {
        #[test]
        fn no_object_is_too_odd(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let (headers, message) = split(&data);
            prop_assert!(headers.len() + message.len() <= data.len());
            prop_assert!(headers.len() + message.len() + 1 >= data.len());
            prop_assert!(lines(headers).count() <= data.len());
            let _ = signature(&data, "gpgsig");
        }

        #[test]
        fn a_commit_without_signature_has_none(data in "[a-f \n]{0,99}") {
            prop_assert_eq!(signature(data.as_bytes(), "gpgsig"), None);
        }
    }
}
