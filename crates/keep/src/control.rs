//! The control socket's side of the keeper: connections, their lines, their answers.
//!
//! A request is a line; an answer is `ok` or `error REASON`, lines of `key=value`, and an empty line. Only the
//! user that the keeper runs as, and root, are heard.

use crate::socket;
use crate::text;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

pub(crate) const SOCKET: &str = "sock";
const CONNECTIONS_MAX: usize = 64;
const LINE_MAX: usize = 1024;

pub(crate) enum Request {
    Status,
    Stop,
    Start,
    Exit,
    Listen(SocketAddr),
    Unlisten(SocketAddr),
    /// A listening socket came with the line.
    Hold(OwnedFd),
}

impl Request {
    fn parse(line: &str, descriptor: Option<OwnedFd>) -> Result<Self, String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let address = || {
            rest.parse::<SocketAddr>()
                .map_err(|_| format!("`{}` is no address", text::escape(rest)))
        };
        match (verb, rest) {
            ("status", "") => Ok(Request::Status),
            ("stop", "") => Ok(Request::Stop),
            ("start", "") => Ok(Request::Start),
            ("exit", "") => Ok(Request::Exit),
            ("listen", _) => address().map(Request::Listen),
            ("unlisten", _) => address().map(Request::Unlisten),
            ("hold", "") => descriptor
                .map(Request::Hold)
                .ok_or_else(|| "no socket came with `hold`".to_owned()),
            _ => Err(format!("unknown request `{}`", text::escape(verb))),
        }
    }
}

pub(crate) struct Control {
    pub(crate) listener: UnixListener,
    pub(crate) connections: Vec<Connection>,
}

pub(crate) struct Connection {
    pub(crate) stream: UnixStream,
    buffer: Vec<u8>,
    descriptor: Option<OwnedFd>,
    /// Waits for the process to be gone.
    pub(crate) waits: bool,
    closed: bool,
}

impl Control {
    pub(crate) fn bind() -> io::Result<Self> {
        let listener = socket::bind(Path::new("."), SOCKET)?;
        fs::set_permissions(SOCKET, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Control {
            listener,
            connections: Vec::new(),
        })
    }

    pub(crate) fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let allowed = getsockopt(&stream, PeerCredentials)
                .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw());
            if allowed && self.connections.len() < CONNECTIONS_MAX && stream.set_nonblocking(true).is_ok() {
                self.connections.push(Connection {
                    stream,
                    buffer: Vec::new(),
                    descriptor: None,
                    waits: false,
                    closed: false,
                });
            }
        }
    }

    pub(crate) fn forget_closed(&mut self) {
        self.connections.retain(|connection| !connection.closed);
    }
}

impl Connection {
    /// What has been asked since the last call.
    pub(crate) fn read(&mut self) -> Vec<Result<Request, String>> {
        let mut requests = Vec::new();
        let mut bytes = [0; LINE_MAX];
        loop {
            match socket::receive_with_fd(&self.stream, &mut bytes) {
                Ok((0, _)) => self.closed = true,
                Ok((length, descriptor)) => {
                    self.descriptor = descriptor.or(self.descriptor.take());
                    self.buffer.extend(bytes.iter().take(length));
                    self.take_lines(&mut requests);
                    if self.buffer.len() <= LINE_MAX {
                        continue;
                    }
                    self.closed = true;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.closed = true,
            }
            return requests;
        }
    }

    fn take_lines(&mut self, requests: &mut Vec<Result<Request, String>>) {
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let rest = self.buffer.split_off(end + 1);
            let line = std::mem::replace(&mut self.buffer, rest);
            let line = String::from_utf8_lossy(&line);
            requests.push(Request::parse(line.trim_end(), self.descriptor.take()));
        }
    }

    pub(crate) fn answer(&mut self, answer: &Result<String, String>, descriptor: Option<&OwnedFd>) {
        let text = match answer {
            Ok(body) => format!("ok\n{body}\n"),
            Err(reason) => format!("error {}\n\n", text::escape(reason)),
        };
        let sent = match descriptor {
            Some(descriptor) => socket::send_with_fd(&self.stream, text.as_bytes(), descriptor.as_raw_fd()),
            None => self.stream.write_all(text.as_bytes()),
        };
        // Who does not read his answers has lost the right to more.
        self.closed |= sent.is_err();
    }
}
