//! The kept process's output: a file that it appends to by itself, and whose oldest part is given back to the
//! disk by punching holes at its front. So offsets never move, and no reader or writer has to be told.

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

pub(crate) const FILE: &str = "out";
const BLOCK: u64 = 4096;

/// A part of the output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Where `bytes` begin: at the offset asked for, or later where that is gone.
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// Up to `bytes_max` bytes of a keeper's output from `offset` on. Empty at the end, and where there is none yet.
pub fn read(dir: &Path, offset: u64, bytes_max: usize) -> io::Result<Part> {
    let Some(file) = open(dir)? else {
        return Ok(Part {
            offset,
            bytes: Vec::new(),
        });
    };
    let offset = first_data(&file, offset)?;
    let mut bytes = vec![0; bytes_max];
    let length = file.read_at(&mut bytes, offset)?;
    bytes.truncate(length);
    Ok(Part { offset, bytes })
}

/// Where the next line will be written: from here on, [`read`] gives only what is new.
pub fn end(dir: &Path) -> io::Result<u64> {
    open(dir)?.map_or(Ok(0), |file| Ok(file.metadata()?.len()))
}

/// The last lines, at most `lines_max` of them out of the last `bytes_max` bytes; other bytes than UTF-8 replaced.
pub fn tail(dir: &Path, lines_max: usize, bytes_max: usize) -> io::Result<Vec<String>> {
    let from = end(dir)?.saturating_sub(bytes_max as u64);
    let part = read(dir, from, bytes_max)?;
    let text = String::from_utf8_lossy(&part.bytes);
    // The first line is whole only where the reading began at the very start.
    let whole = if part.offset == 0 {
        &*text
    } else {
        text.split_once('\n').map_or("", |(_, rest)| rest)
    };
    let lines: Vec<&str> = whole.lines().collect();
    Ok(lines
        .iter()
        .skip(lines.len().saturating_sub(lines_max))
        .map(|line| (*line).to_owned())
        .collect())
}

/// Gives the front of the file back to the disk once more than `bytes_max` and a quarter stand in it.
/// Returns how many bytes were written in all, up to now.
pub(crate) fn bound(bytes_max: u64) -> io::Result<u64> {
    let file = match File::options().write(true).open(FILE) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let metadata = file.metadata()?;
    let length = metadata.len();
    let stored = metadata.blocks().saturating_mul(512);
    if stored <= bytes_max.saturating_add(bytes_max / 4) {
        return Ok(length);
    }
    let front = length.saturating_sub(bytes_max) / BLOCK * BLOCK;
    let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    let hole = i64::try_from(front).map_err(io::Error::other)?;
    match if hole == 0 {
        Ok(())
    } else {
        fallocate(&file, mode, 0, hole)
    } {
        // A file system without holes: a lost front is better than a full disk. Writers append, so this is safe.
        Err(Errno::EOPNOTSUPP) => file.set_len(0)?,
        other => other?,
    }
    Ok(length)
}

/// How much room is kept ready behind the end of the output.
pub(crate) fn ahead(bytes_max: u64) -> u64 {
    bytes_max / 16
}

/// Keeps room ready behind the end of the output, so that a process whose disk fills up goes on writing there. Where
/// there is none any more, the oldest part of the output makes as much as is missing. `kept` is up to where room was
/// kept before; gives up to where it is now.
pub(crate) fn reserve(bytes_max: u64, kept: u64) -> io::Result<u64> {
    let file = match File::options().read(true).write(true).open(FILE) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let (length, ahead) = (file.metadata()?.len(), ahead(bytes_max));
    let offset = |bytes: u64| i64::try_from(bytes).map_err(io::Error::other);
    let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
    let ask =
        || -> io::Result<Result<(), Errno>> { Ok(fallocate(&file, keep, offset(length)?, offset(ahead)?)) };
    match ask()? {
        // A file system that cannot.
        Ok(()) | Err(Errno::EOPNOTSUPP) => return Ok(length + ahead),
        Err(Errno::ENOSPC | Errno::EDQUOT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let missing = (length + ahead).saturating_sub(kept).min(ahead);
    let missing = missing.div_ceil(BLOCK) * BLOCK;
    let front = first_data(&file, 0)? / BLOCK * BLOCK;
    // What was written last stays: it is what people look for.
    if front + missing + ahead > length {
        return Ok(kept);
    }
    let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | keep;
    fallocate(&file, hole, offset(front)?, offset(missing)?)?;
    // Where somebody else was quicker, it is tried again at the next look.
    Ok(ask()?.map_or(kept, |()| length + ahead))
}

fn open(dir: &Path) -> io::Result<Option<File>> {
    match File::open(dir.join(FILE)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn first_data(file: &File, offset: u64) -> io::Result<u64> {
    let from = i64::try_from(offset).map_err(io::Error::other)?;
    match lseek(file, from, Whence::SeekData) {
        Ok(data) => u64::try_from(data).map_err(io::Error::other),
        // Nothing from there on, or no such question on this file system.
        Err(Errno::ENXIO | Errno::EINVAL) => Ok(offset),
        Err(errno) => Err(errno.into()),
    }
}
