//! Ports of this machine: a free one for a replica, and who holds a taken one.

use crate::error::DeployError;
use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// Replicas listen between these, below the range that the kernel gives to outgoing connections by default, so
/// that no connection takes a replica's port while it restarts.
const FROM: u16 = 20_000;
const TO: u16 = 32_000;

/// A port on loopback that nobody listens on and that is not among `given`. Which one depends on `name`, so that
/// two targets on one machine seldom ask for the same.
pub(crate) fn free(name: &str, given: &HashSet<u16>) -> Result<SocketAddr, DeployError> {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let count = u64::from(TO - FROM);
    let start = hasher.finish() % count;
    (0..count)
        .filter_map(|step| u16::try_from(u64::from(FROM) + (start + step) % count).ok())
        .filter(|port| !given.contains(port))
        .map(loopback)
        .find(|address| is_free(*address))
        .ok_or(DeployError::NoPort { from: FROM, to: TO })
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Also where a program would listen on all addresses instead of this one.
pub(crate) fn is_free(address: SocketAddr) -> bool {
    let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    TcpListener::bind(address).is_ok() && TcpListener::bind(all).is_ok()
}

/// ` by python3 (pid 4711)`, or nothing where it cannot be seen.
pub(crate) fn holder(address: SocketAddr) -> String {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| {
            table
                .lines()
                .filter_map(|l| listening_inode(l, address))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let found = pids.into_iter().find(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        let mut links = descriptors.filter_map(|e| fs::read_link(e.path()).ok());
        links.any(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
    });
    let described = found.map(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!(" by {} (pid {pid})", name.trim())
    });
    described.unwrap_or_default()
}

/// A line of `/proc/net/tcp`: the socket's inode if it listens on the address, or on all addresses of its port.
fn listening_inode(line: &str, address: SocketAddr) -> Option<&str> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    let (ip, port) = local.split_once(':')?;
    let same_port = u16::from_str_radix(port, 16).is_ok_and(|port| port == address.port());
    let everywhere = ip.bytes().all(|b| b == b'0');
    let same_ip = match address.ip() {
        // In the machine's byte order.
        IpAddr::V4(v4) => u32::from_str_radix(ip, 16).is_ok_and(|bits| bits.to_ne_bytes() == v4.octets()),
        IpAddr::V6(v6) => v6
            .octets()
            .chunks(4)
            .zip(ip.as_bytes().chunks(8))
            .all(|(bytes, hex)| {
                let bits = std::str::from_utf8(hex)
                    .ok()
                    .and_then(|hex| u32::from_str_radix(hex, 16).ok());
                bits.is_some_and(|bits| bits.to_ne_bytes() == bytes)
            }),
    };
    if state == LISTEN && same_port && (everywhere || same_ip) {
        fields.nth(5)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over_and_its_holder_named() {
        let first = free("a", &HashSet::new()).unwrap();
        let given = free("a", &HashSet::from([first.port()])).unwrap();
        assert_ne!(given, first);
        let taken = TcpListener::bind(first).unwrap();
        assert_ne!(free("a", &HashSet::new()).unwrap(), first);
        let pid = std::process::id();
        assert!(
            holder(first).ends_with(&format!("(pid {pid})")),
            "{}",
            holder(first)
        );
        drop(taken);
        assert_eq!(holder(first), "");
    }

    #[test]
    fn lines_of_the_kernel() {
        let line = "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 x";
        let check = |address: &str| listening_inode(line, address.parse().unwrap()).map(str::to_owned);
        assert_eq!(check("127.0.0.1:8080").as_deref(), Some("12345"));
        assert_eq!(check("127.0.0.1:8081"), None);
        assert_eq!(check("10.0.0.1:8080"), None);
        assert_eq!(listening_inode("", "[::1]:1".parse().unwrap()), None);
    }
}
