//! Removing a tree that somebody hostile made.
//!
//! By descriptors only, so that a link put in place of a directory leads nowhere. A tree deeper than a few levels
//! is flattened while it is removed, so that neither the stack nor the number of open files bounds its depth.

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Directories below this depth are first moved to the top.
const DEPTH_MAX: usize = 64;

/// Removes the directory and all that is in it. It need not exist; the error is of the first thing that stayed.
pub fn wipe(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "this is no directory of jobs",
        ));
    };
    let parent = match std::fs::File::open(if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    }) {
        Ok(parent) => OwnedFd::from(parent),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let name = CString::new(name.as_encoded_bytes())?;
    // What is moved to the top in one round is removed in the next.
    let mut moved = 0;
    loop {
        let before = moved;
        let result = remove_entry(
            parent.as_fd(),
            &name,
            &mut Tree {
                top: None,
                moved: &mut moved,
            },
            0,
        );
        match result {
            Ok(()) => return Ok(()),
            Err(Errno::ENOTEMPTY) if moved > before => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

struct Tree<'a> {
    /// The tree's own directory, once it is open.
    top: Option<BorrowedFd<'a>>,
    moved: &'a mut u64,
}

fn remove_entry(parent: BorrowedFd<'_>, name: &CStr, tree: &mut Tree<'_>, depth: usize) -> nix::Result<()> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        // A directory: Linux says EISDIR, POSIX EPERM.
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(errno) => return Err(errno),
    }
    remove_directory(parent, name, tree, depth)
}

fn remove_directory(
    parent: BorrowedFd<'_>,
    name: &CStr,
    tree: &mut Tree<'_>,
    depth: usize,
) -> nix::Result<()> {
    if depth > DEPTH_MAX && move_to_top(parent, name, tree) {
        return Ok(());
    }
    let directory = open_directory(parent, name)?;
    let first_failure = empty(&directory, tree, depth).err();
    match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(first_failure.unwrap_or(errno)),
    }
}

/// Removes what is in it; goes on after a failure, and gives the first.
fn empty(directory: &OwnedFd, tree: &mut Tree<'_>, depth: usize) -> nix::Result<()> {
    let mut entries = Dir::from_fd(directory.try_clone().map_err(|_| Errno::EMFILE)?)?;
    let mut failure = None;
    let mut inner = Tree {
        top: Some(tree.top.unwrap_or(directory.as_fd())),
        moved: tree.moved,
    };
    for entry in entries.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let result = match entry.file_type() {
            Some(Type::Directory) => remove_directory(directory.as_fd(), name, &mut inner, depth + 1),
            _ => remove_entry(directory.as_fd(), name, &mut inner, depth + 1),
        };
        if let Err(errno) = result {
            failure.get_or_insert(errno);
        }
    }
    failure.map_or(Ok(()), Err)
}

fn move_to_top(parent: BorrowedFd<'_>, name: &CStr, tree: &mut Tree<'_>) -> bool {
    let Some(top) = tree.top else { return false };
    *tree.moved += 1;
    let Ok(target) = CString::new(format!(".pilotage-moved-{}", tree.moved)) else {
        return false;
    };
    renameat(parent, name, top, target.as_c_str()).is_ok()
}

/// Opens a directory, after giving its owner the right to, where that is missing.
fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let is_ours = |mode: u32| mode & 0o700 == 0o700;
    let stat = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if stat.st_mode & libc::S_IFMT == libc::S_IFDIR && !is_ours(stat.st_mode) {
        // Our own job's process cannot put a link here any more: all of them ended.
        let _ = fchmodat(parent, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink);
    }
    openat(parent, name, flags, Mode::empty())
}
