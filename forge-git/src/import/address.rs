//! Which addresses belong to everybody's internet.
//!
//! Invariant: what is not known to be public is not. A public address may still be this machine's own: whatever listens
//! there listens to everybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one that every machine on the internet reaches in the same way.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// The IANA IPv4 Special-Purpose Address Registry, and multicast.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_special = match address.octets() {
        // This network, private, loopback.
        [0 | 10 | 127, ..] => true,
        // Shared between a provider and its customers (RFC 6598).
        [100, b, ..] => b & 0xc0 == 64,
        // Link-local.
        [169, 254, ..] => true,
        // Private.
        [172, b, ..] => b & 0xf0 == 16,
        [192, 168, ..] => true,
        // Protocol assignments, documentation, 6to4 relays, AS112.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] => true,
        [192, 31, 196, _] | [192, 52, 193, _] | [192, 175, 48, _] => true,
        // Benchmarks, documentation.
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => true,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => true,
        _ => false,
    };
    !is_special
}

/// Global unicast (RFC 4291) without what the IANA IPv6 Special-Purpose Address Registry takes out of it. Addresses that
/// lead to an IPv4 one by translation are what that one is.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    match segments {
        // NAT64 (RFC 6052): what names resolve to where there is no IPv4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(embedded(high, low)),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        // Protocol assignments, Teredo, ORCHID, benchmarks.
        [0x2001, 0..0x200, ..] => false,
        // Documentation; the second since RFC 9637.
        [0x2001, 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => false,
        // AS112.
        [0x2620, 0x4f, 0x8000, ..] => false,
        // 2000::/3. Outside it are loopback, mapped and compatible IPv4, unique local, link-local, multicast.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registries_are_followed() {
        for (address, expected) in [
            ("1.1.1.1", true),
            ("9.255.255.255", true),
            ("11.0.0.0", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("126.255.255.255", true),
            ("128.0.0.1", true),
            ("169.253.1.1", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("192.0.1.1", true),
            ("192.167.1.1", true),
            ("198.17.255.255", true),
            ("198.20.0.0", true),
            ("223.255.255.255", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("100.127.255.255", false),
            ("127.0.0.1", false),
            ("127.255.255.255", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.0.0.8", false),
            ("192.0.2.1", false),
            ("192.31.196.1", false),
            ("192.52.193.1", false),
            ("192.88.99.1", false),
            ("192.168.1.1", false),
            ("192.175.48.1", false),
            ("198.18.0.1", false),
            ("198.19.255.255", false),
            ("198.51.100.1", false),
            ("203.0.113.1", false),
            ("224.0.0.1", false),
            ("239.255.255.255", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("2606:4700:4700::1111", true),
            ("2001:200::1", true),
            ("2a00:1450::1", true),
            ("3fff:1000::1", true),
            ("::", false),
            ("::1", false),
            ("::7f00:1", false),
            ("::808:808", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", false),
            ("::ffff:0:8.8.8.8", false),
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b::10.0.0.1", false),
            ("64:ff9b::127.0.0.1", false),
            ("64:ff9b::1:808:808", false),
            ("64:ff9b:1::8.8.8.8", false),
            ("100::1", false),
            ("2001::1", false),
            ("2001:10::1", false),
            ("2001:1ff:ffff::1", false),
            ("2001:db8::1", false),
            ("2002:808:808::1", true),
            ("2002:a00:1::1", false),
            ("2002:7f00:1::1", false),
            ("2002:c0a8:101::1", false),
            ("2620:4f:8000::1", false),
            ("3fff::1", false),
            ("3fff:fff:ffff::1", false),
            ("4000::1", false),
            ("5f00::1", false),
            ("fc00::1", false),
            ("fd12:3456::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            let parsed = address.parse().expect("an address");
            assert_eq!(is_public(parsed), expected, "{address}");
        }
    }
}
