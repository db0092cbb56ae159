//! Where a user's source lies: its host's addresses, looked up once, looked at, and held to.
//!
//! Invariant: git connects to an address that was looked at here, or to none; a name that means something else a moment
//! later changes nothing. What the server there says is not known here.

use std::net::{IpAddr, SocketAddr};

use forge_core::{Error, Result};
use url::{Host, Url};

use super::address::is_public;

/// Which addresses may be fetched from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those of the open internet.
    Public,
    /// All of them.
    Everywhere,
}

/// Looks a URL's host up. Returns what `http.curloptResolve` has to say so that the same addresses are used; `None` if
/// the URL has an address for a host.
pub(super) async fn pin(url: &Url, reach: Reach) -> Result<Option<String>> {
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Err(nowhere());
    };
    let name = match host {
        Host::Domain(name) => name,
        Host::Ipv4(address) => return look(&[address.into()], reach).map(|()| None),
        Host::Ipv6(address) => return look(&[address.into()], reach).map(|()| None),
    };
    // Curl has an idea of its own of what these mean, and forgets a final dot.
    if is_local(name) && reach == Reach::Public || name.ends_with('.') {
        return Err(nowhere());
    }
    let found = tokio::net::lookup_host((name, port)).await;
    let found: Vec<_> = found.map_err(|_| nowhere())?.map(|at| at.ip()).collect();
    look(&found, reach)?;
    let texts: Vec<_> = found.into_iter().map(text).collect();
    Ok(Some(format!("{name}:{port}:{}", texts.join(","))))
}

/// Whether all of them may be fetched from. One that may not spoils the others: which of them is taken is chance.
fn look(addresses: &[IpAddr], reach: Reach) -> Result<()> {
    let is_allowed = |address: &IpAddr| reach == Reach::Everywhere || is_public(*address);
    if addresses.is_empty() || !addresses.iter().all(is_allowed) {
        return Err(nowhere());
    }
    Ok(())
}

fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// As URLs have it, brackets and all.
fn text(address: IpAddr) -> String {
    let text = SocketAddr::new(address, 0).to_string();
    text.strip_suffix(":0").unwrap_or(&text).to_owned()
}

/// One word for all: which names mean something within the operator's network is not for strangers.
fn nowhere() -> Error {
    Error::invalid("source", "its host is not to be found on the internet")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[tokio::test]
    async fn hosts_within_are_as_hosts_that_are_not() {
        for text in [
            "http://127.0.0.1/x",
            "http://[::1]/x",
            "http://[::ffff:7f00:1]/x",
            "http://169.254.169.254/latest",
            "http://10.0.0.1:8080/x",
            "http://localhost/x",
            "http://git.localhost/x",
            "http://example.org./x",
            "http://nothing.invalid/x",
        ] {
            let error = pin(&url(text), Reach::Public).await.expect_err(text);
            assert_eq!(
                error.to_string(),
                "invalid input: its host is not to be found on the internet",
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn a_name_is_held_to_its_addresses() {
        let found = pin(&url("http://localhost:81/x"), Reach::Everywhere).await;
        let found = found.expect("an address").expect("a pin");
        let addresses = found.strip_prefix("localhost:81:").expect("host and port");
        let mut addresses = addresses.split(',');
        assert!(
            addresses.all(|address| ["127.0.0.1", "[::1]"].contains(&address)),
            "{found}"
        );
        for address in ["http://127.0.0.1/x", "http://[::1]/x", "https://1.1.1.1/x"] {
            let found = pin(&url(address), Reach::Everywhere).await;
            assert_eq!(found.expect("an address"), None);
        }
        let found = pin(&url("https://1.1.1.1/x"), Reach::Public).await;
        assert_eq!(found.expect("an address"), None);
    }

    #[test]
    fn one_address_within_spoils_the_others() {
        let addresses: Vec<IpAddr> = ["1.1.1.1", "10.0.0.1"]
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect();
        assert!(look(&addresses[..1], Reach::Public).is_ok());
        assert!(look(&addresses, Reach::Public).is_err());
        assert!(look(&[], Reach::Everywhere).is_err());
    }
}
