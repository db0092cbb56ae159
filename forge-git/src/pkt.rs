//! Pkt-lines and side bands (`gitprotocol-common(5)`, `gitprotocol-pack(5)`).
//!
//! Invariant: a line is at most [`MAX_LINE`] bytes, whoever wrote it; what claims to be longer, or is no pkt-line at all,
//! is an error and never a panic. What the lines say is not known here.

use std::io;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The longest pkt-line, its four digits included.
pub(crate) const MAX_LINE: usize = 65_520;
/// The longest payload of a pkt-line.
pub(crate) const MAX_DATA: usize = MAX_LINE - 4;

/// One pkt-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pkt {
    /// A payload; it may be empty.
    Data(Bytes),
    /// `0000`.
    Flush,
    /// `0001`.
    Delim,
    /// `0002`.
    ResponseEnd,
}

impl Pkt {
    /// The payload without the newline that may end it; `None` if it is a mark.
    pub(crate) fn line(&self) -> Option<&[u8]> {
        match self {
            Self::Data(data) => Some(data.strip_suffix(b"\n").unwrap_or(data)),
            Self::Flush | Self::Delim | Self::ResponseEnd => None,
        }
    }
}

/// A side band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Band {
    /// What was asked for.
    Data = 1,
    /// Text for the person at the other end.
    Text = 2,
}

/// Reads one pkt-line; `None` where the stream ends between two.
pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Pkt>> {
    let mut digits = [0; 4];
    let first = from.read(&mut digits).await?;
    if first == 0 {
        return Ok(None);
    }
    let rest = digits.get_mut(first..).unwrap_or_default();
    from.read_exact(rest).await?;
    let mut length = 0;
    for digit in digits {
        let digit = char::from(digit).to_digit(16);
        length = length * 16 + digit.ok_or_else(|| malformed("its length is no hex number"))?;
    }
    let length = match length as usize {
        0 => return Ok(Some(Pkt::Flush)),
        1 => return Ok(Some(Pkt::Delim)),
        2 => return Ok(Some(Pkt::ResponseEnd)),
        3 => return Err(malformed("its length is impossible")),
        length if length > MAX_LINE => return Err(malformed("it is too long")),
        length => length - 4,
    };
    let mut data = vec![0; length];
    from.read_exact(&mut data).await?;
    Ok(Some(Pkt::Data(data.into())))
}

fn malformed(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("bad pkt-line: {why}"))
}

/// Appends a pkt-line. The payload has at most [`MAX_DATA`] bytes; what is beyond is cut off.
pub(crate) fn put(out: &mut BytesMut, payload: &[u8]) {
    let payload = payload.get(..MAX_DATA).unwrap_or(payload);
    out.put_slice(&digits(payload.len() + 4));
    out.put_slice(payload);
}

/// Appends a pkt-line that says what is wrong, where a client looks for that.
pub(crate) fn put_error(out: &mut BytesMut, text: &str) {
    put(out, format!("ERR {text}\n").as_bytes());
}

/// Appends any pkt-line.
pub(crate) fn put_pkt(out: &mut BytesMut, pkt: &Pkt) {
    match pkt {
        Pkt::Data(data) => put(out, data),
        Pkt::Flush => put_flush(out),
        Pkt::Delim => out.put_slice(b"0001"),
        Pkt::ResponseEnd => out.put_slice(b"0002"),
    }
}

/// The four digits before a line: a length has no more of them.
pub(crate) fn digits(length: usize) -> [u8; 4] {
    let digit = |shift: u32| {
        let digit = u32::try_from(length >> shift & 0xf).unwrap_or_default();
        char::from_digit(digit, 16).map_or(b'0', |digit| digit as u8)
    };
    [digit(12), digit(8), digit(4), digit(0)]
}

/// Appends `0000`.
pub(crate) fn put_flush(out: &mut BytesMut) {
    out.put_slice(b"0000");
}

/// Appends bytes in a side band, in as many pkt-lines as it takes of at most `largest` bytes each, band and length
/// included: 1,000 for `side-band`, 65,520 for `side-band-64k`.
pub(crate) fn put_band(out: &mut BytesMut, band: Band, bytes: &[u8], largest: usize) {
    let largest = largest.clamp(6, MAX_LINE) - 5;
    for chunk in bytes.chunks(largest) {
        out.put_slice(&digits(chunk.len() + 5));
        out.put_u8(band as u8);
        out.put_slice(chunk);
    }
}

/// Appends an empty line in the text band: nothing to say, and still there.
pub(crate) fn put_keep_alive(out: &mut BytesMut) {
    out.put_slice(b"0005\x02");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn all(mut bytes: &[u8]) -> io::Result<Vec<Pkt>> {
        let mut found = Vec::new();
        while let Some(pkt) = read(&mut bytes).await? {
            found.push(pkt);
        }
        Ok(found)
    }

    #[tokio::test]
    async fn what_is_put_is_read() {
        let mut out = BytesMut::new();
        put(&mut out, b"hello\n");
        put(&mut out, b"");
        put_flush(&mut out);
        put(&mut out, &[7; MAX_DATA]);
        put_keep_alive(&mut out);
        put_band(&mut out, Band::Data, &[8; 2_000], 1_000);
        let found = all(&out).await.expect("good lines");
        assert_eq!(found[0].line(), Some(&b"hello"[..]));
        assert_eq!(found[1].line(), Some(&b""[..]));
        assert_eq!(found[2], Pkt::Flush);
        assert_eq!(found[3].line().map(<[u8]>::len), Some(MAX_DATA));
        assert_eq!(found[4].line(), Some(&b"\x02"[..]));
        let bands: Vec<_> = found[5..]
            .iter()
            .map(|pkt| pkt.line().expect("data").len())
            .collect();
        assert_eq!(bands, [996, 996, 11]);
    }

    #[tokio::test]
    async fn marks_and_errors_are_put_too() {
        let mut out = BytesMut::new();
        for pkt in [
            Pkt::Data("x".into()),
            Pkt::Delim,
            Pkt::ResponseEnd,
            Pkt::Flush,
        ] {
            put_pkt(&mut out, &pkt);
        }
        put_error(&mut out, "no");
        assert_eq!(out, "0005x000100020000000bERR no\n");
        for length in [4, 0x1a, 0xfff0] {
            assert_eq!(digits(length), format!("{length:04x}").as_bytes());
        }
    }

    #[tokio::test]
    async fn what_is_no_pkt_line_is_an_error() {
        for bad in [
            "zzzz", "0003", "fff1", "ffff", "000", "0009abc", "00 5a", "+005a",
        ] {
            assert!(all(bad.as_bytes()).await.is_err(), "{bad:?}");
        }
        assert_eq!(all(b"").await.expect("nothing"), []);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let _ = runtime.block_on(all(&bytes));
        }
    }
}
