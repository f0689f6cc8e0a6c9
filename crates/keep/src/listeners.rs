//! Listening sockets that outlive the process that accepts on them.
//!
//! The keeper holds each socket and hands duplicates out. While the acceptor is gone, connections wait in the
//! socket's queue. A keeper that takes over from a killed one takes the sockets back from the living process.

use crate::process::Process;
use crate::sys;
use nix::sys::socket::sockopt::AcceptConn;
use nix::sys::socket::{Backlog, getsockopt, listen};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::{fs, io};

const FILE: &str = "listeners";
const COUNT_MAX: usize = 256;
/// How many connections may wait while nobody accepts; the kernel's `somaxconn` may lower it.
const BACKLOG: i32 = 4096;

#[derive(Default)]
pub(crate) struct Listeners {
    held: BTreeMap<SocketAddr, OwnedFd>,
}

impl Listeners {
    /// The sockets of an earlier keeper of this directory: from the process that has them, or bound anew. What
    /// cannot be had is told in the second part, and is not held.
    pub(crate) fn recover(process: Option<&Process>) -> (Self, Vec<String>) {
        let text = fs::read_to_string(FILE).unwrap_or_default();
        let wanted: Vec<SocketAddr> = text.lines().filter_map(|line| line.parse().ok()).collect();
        let mut listeners = Listeners::default();
        if let Some(process) = process.filter(|_| !wanted.is_empty()) {
            listeners.held = take_from(process);
            listeners.held.retain(|address, _| wanted.contains(address));
        }
        let mut faults = Vec::new();
        for address in wanted {
            if let Err(e) = listeners.hold(address) {
                faults.push(format!("cannot listen on {address}: {e}"));
            }
        }
        (listeners, faults)
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.held.keys().copied().collect()
    }

    /// A duplicate of an address's socket, which is bound now if it is not held yet.
    pub(crate) fn listen(&mut self, address: SocketAddr) -> io::Result<OwnedFd> {
        if !self.held.contains_key(&address) {
            self.hold(address)?;
            self.save()?;
        }
        self.held
            .get(&address)
            .ok_or(io::ErrorKind::NotFound)?
            .try_clone()
    }

    /// Takes a socket that somebody else has bound.
    pub(crate) fn take(&mut self, socket: OwnedFd) -> io::Result<()> {
        let (address, socket) =
            listening(socket).ok_or_else(|| io::Error::other("not a listening TCP socket"))?;
        self.held.entry(address).or_insert(socket);
        self.save()
    }

    pub(crate) fn unlisten(&mut self, address: SocketAddr) -> io::Result<()> {
        self.held.remove(&address);
        self.save()
    }

    fn hold(&mut self, address: SocketAddr) -> io::Result<()> {
        if self.held.contains_key(&address) {
            return Ok(());
        }
        if self.held.len() >= COUNT_MAX {
            return Err(io::Error::other("too many listening sockets"));
        }
        if address.port() == 0 {
            return Err(io::Error::other("a held socket needs a port of its own"));
        }
        // std sets SO_REUSEADDR and close-on-exec.
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        listen(&socket, Backlog::new(BACKLOG)?)?;
        self.held.insert(address, socket.into());
        Ok(())
    }

    fn save(&self) -> io::Result<()> {
        let text: String = self.held.keys().map(|address| format!("{address}\n")).collect();
        fs::write("listeners.new", text)?;
        fs::rename("listeners.new", FILE)
    }
}

/// Duplicates of the listening sockets of a process.
fn take_from(process: &Process) -> BTreeMap<SocketAddr, OwnedFd> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", process.identity.pid)) else {
        return found;
    };
    for entry in entries.flatten() {
        let is_socket = fs::read_link(entry.path())
            .is_ok_and(|to| to.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            .filter(|_| is_socket);
        if let Some(Ok(socket)) = number.map(|number| sys::pidfd_getfd(process.as_fd(), number))
            && let Some((address, socket)) = listening(socket)
        {
            found.entry(address).or_insert(socket);
        }
    }
    found
}

/// The socket with its address, if it is a listening TCP socket.
fn listening(socket: OwnedFd) -> Option<(SocketAddr, OwnedFd)> {
    if !getsockopt(&socket, AcceptConn).ok()? {
        return None;
    }
    let socket = TcpListener::from(socket);
    Some((socket.local_addr().ok()?, socket.into()))
}
