//! Where a request comes from when it comes through a proxy.
//!
//! Invariant: `X-Forwarded-For` is believed as far as proxies have written it that the operator trusts, and no further:
//! anybody can send that header. `Forwarded` (RFC 7239) is not read, so a proxy that writes it alone must be told to
//! write the other.

use std::net::{IpAddr, SocketAddr};

use forge_core::http::Peer;
use forge_core::{Error, Result};
use http::{HeaderMap, HeaderName, Request};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies that are trusted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Reads networks (`10.0.0.0/8`) and single addresses.
    pub(crate) fn parse(texts: &[String]) -> Result<Self> {
        let net = |text: &String| {
            let net = text
                .parse()
                .or_else(|_| text.parse().map(|ip: IpAddr| ip.into()));
            net.map_err(|_| {
                let reason = format!("{text:?} is neither a network nor an address");
                Error::invalid("trusted_proxies", reason)
            })
        };
        Ok(Self(texts.iter().map(net).collect::<Result<_>>()?))
    }

    /// Replaces the address of a trusted proxy that has connected by that of whom it speaks for.
    pub(crate) fn unwrap<B>(&self, request: &mut Request<B>) {
        if self.0.is_empty() {
            return;
        }
        if let Some(Peer(peer)) = request.extensions().get().copied() {
            let client = self.client(peer, request.headers());
            request.extensions_mut().insert(Peer(client));
        }
    }

    /// Each proxy adds at the right whom it was asked by. The first one that is not trusted is the client; what stands
    /// to its left, it may have made up.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let values = headers.get_all(FORWARDED_FOR).iter().rev();
        let hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops {
            if !self.0.iter().any(|net| net.contains(&client)) {
                break;
            }
            match address(hop) {
                Some(hop) => client = hop,
                None => break,
            }
        }
        client
    }
}

/// An address as proxies write one: alone, with a port, in brackets.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let ip = bare.unwrap_or(text).parse::<IpAddr>();
    let ip = ip.or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    Some(ip.ok()?.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, headers: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".to_owned(), "2001:db8::1".to_owned()];
        let proxies = Proxies::parse(&trusted).expect("networks");
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(
                FORWARDED_FOR,
                HeaderValue::from_str(value).expect("a value"),
            );
        }
        let peer = peer.parse().expect("an address");
        proxies.client(peer, &map).to_string()
    }

    #[test]
    fn a_client_that_connects_itself_is_not_believed() {
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client("11.0.0.1", &["10.0.0.1, 198.51.100.7"]), "11.0.0.1");
    }

    #[test]
    fn the_first_from_the_right_that_is_not_trusted_is_the_client() {
        for (headers, expected) in [
            (&["198.51.100.7"][..], "198.51.100.7"),
            (&["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            (&["203.0.113.9, 198.51.100.7,10.2.3.4"], "198.51.100.7"),
            (
                &["203.0.113.9", "198.51.100.7, 10.2.3.4", "2001:db8::1"],
                "198.51.100.7",
            ),
            (&["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
            (&["198.51.100.7:4711"], "198.51.100.7"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["::ffff:198.51.100.7"], "198.51.100.7"),
            (&[], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&["198.51.100.7, unknown"], "10.0.0.1"),
            (&["198.51.100.7, unknown, 10.2.3.4"], "10.2.3.4"),
        ] {
            assert_eq!(client("10.0.0.1", headers), expected, "{headers:?}");
        }
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn nobody_is_trusted_unless_said() {
        let mut request = Request::new(());
        request
            .headers_mut()
            .insert(FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"));
        let peer = Peer("10.0.0.1".parse().expect("an address"));
        request.extensions_mut().insert(peer);
        Proxies::default().unwrap(&mut request);
        assert_eq!(request.extensions().get(), Some(&peer));
        let all = Proxies::parse(&["0.0.0.0/0".to_owned()]).expect("a network");
        request.extensions_mut().clear();
        all.unwrap(&mut request);
        assert_eq!(request.extensions().get::<Peer>(), None);
        assert!(Proxies::parse(&["10.0.0.0/33".to_owned()]).is_err());
    }
}
