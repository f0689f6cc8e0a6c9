//! Where the listening sockets come from: the keeper that holds them, or our own bind.
//!
//! All cores accept from the one socket, through duplicates of it: connections that wait in its backlog belong to
//! no core and to no process, so a proxy that dies loses none of them.

use pilotage_keep::client;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

/// A listening socket for an address, from the keeper of a directory where there is one.
pub(crate) fn open(keeper: Option<&Path>, address: SocketAddr) -> io::Result<TcpListener> {
    let listener = match keeper {
        Some(keeper) => TcpListener::from(client::listener(keeper, address).map_err(io::Error::other)?),
        // The standard library sets SO_REUSEADDR, so that a restart does not wait for old connections.
        None => TcpListener::bind(address)?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Makes sure that the keeper holds a socket of ours: it may be a new one, after the one before was killed.
pub(crate) fn hold(keeper: &Path, listener: &TcpListener) {
    if let Err(error) = client::hold(keeper, listener) {
        tracing::debug!(%error, "the keeper does not hold a listening socket");
    }
}
