//! Which addresses the server may call of its own accord: those of the public internet, and what the administrator
//! allows. Everything else could be a service that trusts this machine: loopback, private networks, the metadata
//! service of a cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What `outgoing: {allow: […]}` of `server.yml` lets through besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    Network(Network),
    /// A host by its name, wherever that leads.
    Host(String),
}

/// `10.0.0.0/8`, `fd00::/8`; an address alone is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse().ok().filter(|length| *length <= most)?,
            None => most,
        };
        Some(Self { address, length })
    }

    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.length))
                    .unwrap_or_default();
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.length))
                    .unwrap_or_default();
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

impl Allowed {
    /// A network, an address, or the name of a host.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(network) = Network::parse(text) {
            return Some(Self::Network(network));
        }
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // What looks like an address and is none is a slip, not a host.
        let numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let is_name = text.len() <= 253 && !numeric && text.split('.').all(label);
        is_name.then(|| Self::Host(text.to_ascii_lowercase()))
    }
}

/// Whether a host's address may be called; else what kind of address it is.
pub(super) fn check(allowed: &[Allowed], host: &str, address: IpAddr) -> Result<(), &'static str> {
    let address = address.to_canonical();
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_allowed = allowed.iter().any(|entry| match entry {
        Allowed::Network(network) => network.contains(address),
        Allowed::Host(name) => name.eq_ignore_ascii_case(host),
    });
    if is_allowed {
        return Ok(());
    }
    let kind = match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    };
    kind.map_or(Ok(()), Err)
}

/// What an address is, if it is not one of the public internet.
fn kind_of_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, ..) => Some("of this machine"),
        (127, ..) => Some("of this machine"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Some("of a private network"),
        (100, 64..=127, _) => Some("of a shared network"),
        (169, 254, _) => Some("link-local, where clouds keep their metadata"),
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => {
            Some("reserved")
        }
        (224..=239, ..) => Some("for many at once"),
        (240.., ..) => Some("reserved"),
        _ => None,
    }
}

fn kind_of_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    match (segments[0], segments[1]) {
        _ if address.is_loopback() || address.is_unspecified() => Some("of this machine"),
        (0xfc00..=0xfdff, _) => Some("of a private network"),
        (0xfe80..=0xfebf, _) => Some("link-local"),
        (0xff00.., _) => Some("for many at once"),
        // Documentation, benchmarks, Teredo and the like; 6to4, which holds an IPv4 address.
        (0x2001, 0x0000..=0x01ff) | (0x2001, 0x0db8) | (0x2002, _) => Some("reserved"),
        (0x3fff, 0x0000..=0x0fff) => Some("reserved"),
        (0x2000..=0x3fff, _) => None,
        // Among them NAT64, and IPv4 in its old IPv6 forms.
        _ => Some("not of the public internet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(allowed: &[&str], host: &str, address: &str, expected: bool) {
        let allowed: Vec<Allowed> = allowed.iter().map(|text| Allowed::parse(text).unwrap()).collect();
        let got = check(&allowed, host, address.parse().unwrap());
        assert_eq!(
            got.is_ok(),
            expected,
            "{host} at {address} with {allowed:?}: {got:?}"
        );
    }

    #[test]
    fn only_the_public_internet_is_called() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.1.1",
            "192.169.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "2001:4860::8888",
            "3fff:1000::1",
        ] {
            check_one(&[], "h", public, true);
        }
        for closed in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2001:20::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "4000::1",
        ] {
            check_one(&[], "h", closed, false);
        }
    }

    #[test]
    fn what_the_administrator_allows_is_called() {
        check_one(&["127.0.0.1"], "h", "127.0.0.1", true);
        check_one(&["127.0.0.1"], "h", "127.0.0.2", false);
        check_one(&["127.0.0.1/32"], "h", "::ffff:127.0.0.1", true);
        check_one(&["10.0.0.0/8"], "h", "10.255.0.1", true);
        check_one(&["10.0.0.0/9"], "h", "10.255.0.1", false);
        check_one(&["0.0.0.0/0"], "h", "10.255.0.1", true);
        check_one(&["0.0.0.0/0"], "h", "fd00::1", false);
        check_one(&["fd00::/8"], "h", "fdff::1", true);
        check_one(&["::/0"], "h", "::1", true);
        check_one(&["hooks.internal"], "Hooks.Internal.", "10.0.0.1", true);
        check_one(&["hooks.internal"], "x.hooks.internal", "10.0.0.1", false);
    }

    #[test]
    fn what_is_neither_a_network_nor_a_host_is_none() {
        for wrong in [
            "",
            "127.0.0.1/33",
            "::1/129",
            "a b",
            "http://x",
            "1.2.3",
            "x..y",
            "x/8",
            "*.x",
            "1.2.3.4.5",
        ] {
            assert_eq!(Allowed::parse(wrong), None, "{wrong}");
        }
    }
}
