//! The system calls that neither std nor nix offers. All of this crate's `unsafe` that is not fork's stands here.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Marks every descriptor from 3 on as close-on-exec, so that what is executed next inherits none of them.
/// Async-signal-safe.
pub(crate) fn close_all_on_exec() -> io::Result<()> {
    let flags: libc::c_uint = libc::CLOSE_RANGE_CLOEXEC;
    #[allow(unsafe_code)]
    // SAFETY: takes integers only, and changes a flag of descriptors, closing none of them now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, flags) };
    if result == 0 {
        return Ok(());
    }
    // Kernels before 5.11: one by one, as far as a server's descriptors plausibly go. A failure is a gap.
    for descriptor in 3..4096 {
        #[allow(unsafe_code)]
        // SAFETY: as above.
        unsafe {
            libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
    Ok(())
}

/// Undoes what others may have ignored before us (`nohup`, a parent's SIGPIPE): ignoring passes through exec.
pub(crate) fn default_signals() {
    for signal in nix::sys::signal::Signal::iterator() {
        #[allow(unsafe_code)]
        // SAFETY: no handler of ours is taken away that anything relied on: only a process about to execute calls.
        let _ = unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl) };
    }
}

/// A descriptor that is readable once the process has ended.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    #[allow(unsafe_code)]
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0 as libc::c_uint) };
    own(check(result)?)
}

/// A duplicate of another process's descriptor (close-on-exec); needs the right to trace it.
pub(crate) fn pidfd_getfd(pidfd: BorrowedFd<'_>, descriptor: i32) -> io::Result<OwnedFd> {
    #[allow(unsafe_code)]
    // SAFETY: takes integers only; the pidfd is borrowed for the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_getfd,
            pidfd.as_raw_fd(),
            descriptor,
            0 as libc::c_uint,
        )
    };
    own(check(result)?)
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn own(result: libc::c_long) -> io::Result<OwnedFd> {
    let descriptor = i32::try_from(result).map_err(io::Error::other)?;
    #[allow(unsafe_code)]
    // SAFETY: the kernel has just given it to us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
