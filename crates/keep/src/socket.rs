//! Unix sockets in directories of any depth, and file descriptors sent over them.
//!
//! A socket's path may have 107 bytes at most; `/proc/self/fd/N/name` is a short name for any of them.

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Connects to the socket `name` in `dir`.
pub fn connect(dir: &Path, name: &str) -> io::Result<UnixStream> {
    let (_dir, path) = short(dir, name)?;
    UnixStream::connect(path)
}

/// Binds the socket `name` in `dir`, in the place of a socket that an ended process has left there. The caller
/// holds what makes it the only one (a lock), or it takes the socket from a living one.
pub fn bind(dir: &Path, name: &str) -> io::Result<UnixListener> {
    let (_dir, path) = short(dir, name)?;
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    UnixListener::bind(path)
}

/// Sends bytes with a descriptor attached to the first of them.
pub fn send_with_fd(stream: &UnixStream, bytes: &[u8], descriptor: RawFd) -> io::Result<()> {
    let descriptors = [descriptor];
    let control = [ControlMessage::ScmRights(&descriptors)];
    let sent = sendmsg::<()>(
        stream.as_raw_fd(),
        &[IoSlice::new(bytes)],
        &control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// Receives some bytes, and the descriptor that came with them, if one did (close-on-exec).
pub fn receive_with_fd(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(
        stream.as_raw_fd(),
        &mut slices,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let mut received = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            #[allow(unsafe_code)]
            // SAFETY: the kernel has just made these descriptors for us; each is owned exactly once here.
            received.extend(
                descriptors
                    .into_iter()
                    .map(|d| unsafe { OwnedFd::from_raw_fd(d) }),
            );
        }
    }
    let bytes = message.bytes;
    Ok((bytes, received.into_iter().next()))
}

fn short(dir: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    let dir = File::options()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()));
    Ok((dir, path))
}
