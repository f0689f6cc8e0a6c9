//! Which files this process may touch for a job: it can reach more than the job may.
//!
//! A job can change what lies at a path between a look at it and its use. So a file is opened first and asked
//! afterwards where it really lies; directories are walked by descriptors, never through a link.

use crate::isolation::User;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// The places that are open to one job.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The job's own directories, without links.
    own: Vec<PathBuf>,
    /// What is not open, though an own directory may lie in it.
    private: Vec<PathBuf>,
    /// The job's user, where it is another than ours. Then only the own directories are open: anything else we
    /// could read or write with rights that the job has not.
    pub user: Option<User>,
}

impl Reach {
    #[must_use]
    pub fn new<'a>(own: impl IntoIterator<Item = &'a Path>, private: &[PathBuf], user: Option<User>) -> Self {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let private = private.iter().map(|p| real(p)).collect();
        Self {
            own: own.into_iter().map(real).collect(),
            private,
            user,
        }
    }

    /// Whether a path without links in it is open.
    #[must_use]
    pub fn allows(&self, real: &Path) -> bool {
        let inside = |places: &[PathBuf]| places.iter().any(|p| real.starts_with(p));
        inside(&self.own) || (self.user.is_none() && !inside(&self.private))
    }

    /// Opens a regular file for reading, wherever links lead, if that place is open.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        open_where(path, |real| self.allows(real))
    }

    /// Opens a directory, and makes what is missing of it; new ones belong to the job's user.
    pub fn open_directory(&self, path: &Path) -> io::Result<OwnedFd> {
        let there = path.ancestors().find(|p| p.is_dir()).unwrap_or(Path::new("/"));
        let flags = OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_CLOEXEC;
        let mut directory = nix::fcntl::open(there, flags, Mode::empty())?;
        let real = real_path(&directory)?;
        if !self.allows(&real) {
            return Err(closed(&real));
        }
        for component in path.strip_prefix(there).unwrap_or(Path::new("")).components() {
            if let Component::Normal(name) = component {
                directory = self.enter(&directory, Path::new(name))?;
            }
        }
        Ok(directory)
    }

    /// Enters a directory by its name, and makes it where it is missing. Never through a link.
    pub fn enter(&self, directory: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(directory, name, flags, Mode::empty()) {
            Err(nix::errno::Errno::ENOENT) => {
                mkdirat(directory, name, Mode::from_bits_truncate(0o755))?;
                let made = openat(directory, name, flags, Mode::empty())?;
                self.give(directory, name)?;
                Ok(made)
            }
            other => Ok(other?),
        }
    }

    /// Makes the job's user the owner of something that was just made.
    pub fn give(&self, directory: &OwnedFd, name: &Path) -> io::Result<()> {
        let Some(user) = self.user else { return Ok(()) };
        let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
        Ok(nix::unistd::fchownat(
            directory,
            name,
            Some(user.uid.into()),
            Some(user.gid.into()),
            flags,
        )?)
    }
}

/// Opens a regular file that must lie in a directory, wherever links lead.
pub fn open_inside(path: &Path, root: &Path) -> io::Result<File> {
    let root = root.canonicalize()?;
    open_where(path, |real| real.starts_with(&root))
}

fn open_where(path: &Path, allowed: impl Fn(&Path) -> bool) -> io::Result<File> {
    // Without waiting: a pipe in the file's place would never be opened by anybody else.
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let real = real_path(&file)?;
    if !allowed(&real) {
        return Err(closed(&real));
    }
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        ));
    }
    Ok(file)
}

fn real_path(fd: &impl AsFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

fn closed(real: &Path) -> io::Error {
    let message = format!("it lies at {}, which is not open to jobs", real.display());
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_judged_by_where_they_really_lie() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["data/work/slot", "data/keys", "other"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        let own = root.join("data/work/slot");
        for (name, text) in [
            ("data/keys/key", "k"),
            ("other/file", "o"),
            ("data/work/slot/mine", "m"),
        ] {
            std::fs::write(root.join(name), text).unwrap();
        }
        std::os::unix::fs::symlink("../../keys/key", own.join("link")).unwrap();
        let private = [root.join("data")];
        let same_user = Reach::new([own.as_path()], &private, None);
        let other_user = Reach::new([own.as_path()], &private, Some(User { uid: 1, gid: 1 }));
        let opens = |reach: &Reach, path: &Path| reach.open(path).is_ok();
        for (path, same, other) in [
            (own.join("mine"), true, true),
            (own.join("link"), false, false),
            (root.join("data/keys/key"), false, false),
            (root.join("other/file"), true, false),
            (own.clone(), false, false),
        ] {
            assert_eq!(
                (opens(&same_user, &path), opens(&other_user, &path)),
                (same, other),
                "{path:?}"
            );
        }
        assert!(open_inside(&own.join("link"), &own).is_err());
    }

    #[test]
    fn directories_are_made_but_not_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let reach = Reach::new([root.as_path()], &[], None);
        reach.open_directory(&root.join("a/b/c")).unwrap();
        assert!(root.join("a/b/c").is_dir());
        std::os::unix::fs::symlink("b", root.join("a/link")).unwrap();
        let a = reach.open_directory(&root.join("a")).unwrap();
        assert!(reach.enter(&a, Path::new("link")).is_err());
    }
}
