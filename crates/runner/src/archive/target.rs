//! Where archives are unpacked to: within one directory, through no link, within a budget.

use super::{ArchiveError, Limits, Result};
use crate::reach::Reach;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

pub(super) struct Budget {
    limits: Limits,
    bytes_max: u64,
    entries: usize,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(limits: Limits, packed_bytes: u64) -> Self {
        let by_ratio = packed_bytes.saturating_mul(limits.ratio).max(256 << 20);
        Self {
            limits,
            bytes_max: by_ratio.min(limits.bytes),
            entries: 0,
            bytes: 0,
        }
    }

    pub(super) fn entry(&mut self) -> Result<()> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ArchiveError::TooMuch {
                limit: format!("{} entries", self.limits.entries),
            });
        }
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes as u64;
        if self.bytes > self.bytes_max {
            return Err(ArchiveError::TooMuch {
                limit: format!("{} MiB for its size", self.bytes_max >> 20),
            });
        }
        Ok(())
    }
}

/// A directory that is unpacked to, held open, so that nobody can put another in its place.
pub(super) struct Target<'a> {
    path: PathBuf,
    root: OwnedFd,
    reach: &'a Reach,
    written: HashSet<PathBuf>,
}

impl<'a> Target<'a> {
    pub(super) fn new(path: &Path, reach: &'a Reach) -> Result<Self> {
        let root = reach.open_directory(path).map_err(super::at(path))?;
        Ok(Self {
            path: path.to_owned(),
            root,
            reach,
            written: HashSet::new(),
        })
    }

    pub(super) fn directory(&self, name: &str) -> Result<()> {
        self.enter(name, &relative(name)?).map(drop)
    }

    pub(super) fn file(
        &mut self,
        name: &str,
        mode: u32,
        content: &mut impl Read,
        budget: &mut Budget,
    ) -> Result<()> {
        let (parent, file_name) = self.place(name)?;
        let path = self.path.join(name);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let made = openat(&parent, &file_name, flags, Mode::from_bits_truncate(0o600));
        let mut file = File::from(made.map_err(|e| super::at(&path)(e.into()))?);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = content
                .read(&mut buffer)
                .map_err(|e| ArchiveError::Broken(e.to_string()))?;
            let Some(read) = buffer.get(..n).filter(|read| !read.is_empty()) else {
                break;
            };
            budget.take(read.len())?;
            file.write_all(read).map_err(super::at(&path))?;
        }
        if let Some(user) = self.reach.user {
            std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid)).map_err(super::at(&path))?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(mode))
            .map_err(super::at(&path))
    }

    /// A link may lead anywhere, as that of a virtual environment to its Python does: nothing is written through it
    /// here, and those who follow it later have their own rights only.
    pub(super) fn link(&mut self, name: &str, link: &Path) -> Result<()> {
        let (parent, file_name) = self.place(name)?;
        let path = self.path.join(name);
        nix::unistd::symlinkat(link, &parent, &file_name).map_err(|e| super::at(&path)(e.into()))?;
        self.reach.give(&parent, &file_name).map_err(super::at(&path))
    }

    /// Where a file of that name goes: its directory is there, and nothing stands in its place.
    fn place(&mut self, name: &str) -> Result<(OwnedFd, PathBuf)> {
        let hostile = |fault| ArchiveError::Hostile {
            name: name.to_owned(),
            fault,
        };
        let below = relative(name)?;
        let file_name = PathBuf::from(below.file_name().ok_or_else(|| hostile("has no name"))?);
        let parent = self.enter(name, below.parent().unwrap_or(Path::new("")))?;
        if !self.written.insert(below.clone()) {
            return Err(hostile("is there twice"));
        }
        match fstatat(&parent, &file_name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(there) if is_directory(&there) => Err(hostile("would take the place of a directory")),
            Ok(_) => {
                let removed = unlinkat(&parent, &file_name, UnlinkatFlags::NoRemoveDir);
                removed.map_err(|e| super::at(&self.path.join(name))(e.into()))?;
                Ok((parent, file_name))
            }
            Err(_) => Ok((parent, file_name)),
        }
    }

    fn enter(&self, name: &str, below: &Path) -> Result<OwnedFd> {
        let path = self.path.join(below);
        let mut directory = self.root.try_clone().map_err(super::at(&path))?;
        for component in below.components() {
            directory = match self.reach.enter(&directory, Path::new(component.as_os_str())) {
                Err(e) if matches!(e.raw_os_error(), Some(libc::ELOOP | libc::ENOTDIR)) => {
                    let fault = "would be written through a link, or below a file";
                    return Err(ArchiveError::Hostile {
                        name: name.to_owned(),
                        fault,
                    });
                }
                entered => entered.map_err(super::at(&path))?,
            };
        }
        Ok(directory)
    }
}

fn is_directory(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
}

/// An entry's name as a path that can only lead downwards.
fn relative(name: &str) -> Result<PathBuf> {
    let hostile = |fault| ArchiveError::Hostile {
        name: name.to_owned(),
        fault,
    };
    if name.contains(['\0', '\\']) {
        return Err(hostile("holds a backslash or a NUL"));
    }
    if name.len() > 4096 {
        return Err(hostile("is longer than 4096 bytes"));
    }
    let mut path = PathBuf::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return Err(hostile("leads outside")),
        }
    }
    Ok(path)
}
