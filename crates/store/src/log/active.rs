//! A log that is being written: one file, appended to, synced together by whoever waits.

use super::frame::{self, HEAD_BYTES, Head, Reading};
use super::{LogPiece, LogState};
use crate::error::{Result, StoreError};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The index holds a place in the file at least this often, in bytes.
const INDEX_BYTES: u64 = 64 * 1024;

pub(super) struct ActiveLog {
    path: PathBuf,
    file: File,
    written: Mutex<Written>,
    synced: Mutex<Synced>,
    sync_ended: Condvar,
    /// What readers may see: what is on disk.
    readable: watch::Sender<LogState>,
}

struct Written {
    /// Where the next frame goes.
    end: u64,
    lines: u64,
    /// Of text.
    bytes: u64,
    /// Some frames: first line and place, rising.
    index: Vec<(u64, u64)>,
    ended: bool,
}

#[derive(Default)]
struct Synced {
    end: u64,
    busy: bool,
}

impl ActiveLog {
    /// None where there is no such log and it is not to be made.
    pub(super) fn open(path: &Path, create: bool) -> Result<Option<Self>> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::file("open", path)(error)),
        };
        let written = recover(&file).map_err(StoreError::file("read", path))?;
        // What stands behind the last whole frame was never acknowledged.
        file.set_len(written.end).map_err(StoreError::file("cut", path))?;
        file.sync_all().map_err(StoreError::file("sync", path))?;
        let state = LogState {
            lines: written.lines,
            bytes: written.bytes,
            ended: false,
        };
        Ok(Some(Self {
            path: path.to_owned(),
            file,
            synced: Mutex::new(Synced {
                end: written.end,
                busy: false,
            }),
            written: Mutex::new(written),
            sync_ended: Condvar::new(),
            readable: watch::channel(state).0,
        }))
    }

    pub(super) fn watch(&self) -> watch::Receiver<LogState> {
        self.readable.subscribe()
    }

    pub(super) fn state(&self) -> LogState {
        *self.readable.borrow()
    }

    /// Refuses what comes from now on, and tells followers.
    pub(super) fn end(&self) {
        lock(&self.written).ended = true;
        self.readable.send_modify(|state| state.ended = true);
    }

    pub(super) fn append(&self, job: i64, pieces: &[LogPiece], bytes_max: u64) -> Result<u64> {
        let (end, state) = {
            let mut written = lock(&self.written);
            for piece in pieces {
                self.write(&mut written, job, piece, bytes_max)?;
            }
            (
                written.end,
                LogState {
                    lines: written.lines,
                    bytes: written.bytes,
                    ended: false,
                },
            )
        };
        self.sync(end)?;
        self.readable.send_if_modified(|readable| {
            let more = state.lines > readable.lines;
            if more {
                (readable.lines, readable.bytes) = (state.lines, state.bytes);
            }
            more
        });
        Ok(state.lines)
    }

    fn write(&self, written: &mut Written, job: i64, piece: &LogPiece, bytes_max: u64) -> Result<()> {
        if written.ended {
            return Err(StoreError::Closed);
        }
        if piece.first_line > written.lines {
            return Err(StoreError::Gap {
                job,
                got: piece.first_line,
                next: written.lines,
            });
        }
        let (_, text) = frame::split_lines(piece.text.as_bytes(), written.lines - piece.first_line);
        if text.is_empty() {
            return Ok(());
        }
        if written.bytes + text.len() as u64 > bytes_max {
            return Err(StoreError::LogFull { job, bytes_max });
        }
        let mut out = Vec::with_capacity(text.len() + HEAD_BYTES * (1 + text.len() / frame::TEXT_BYTES));
        let heads = frame::write_frames(piece.step, written.lines, piece.at_ms, text, &mut out);
        if let Err(error) = self.file.write_all_at(&out, written.end) {
            // A full disk leaves half a frame: it is cut off, so that the log stays whole.
            let _ = self.file.set_len(written.end);
            return Err(StoreError::file("write", &self.path)(error));
        }
        for head in heads {
            index(written, &head);
        }
        Ok(())
    }

    /// Waits until all before `end` is on disk. One thread syncs for all that wait meanwhile.
    fn sync(&self, end: u64) -> Result<()> {
        let mut synced = lock(&self.synced);
        loop {
            if synced.end >= end {
                return Ok(());
            }
            if !synced.busy {
                break;
            }
            synced = self
                .sync_ended
                .wait(synced)
                .unwrap_or_else(PoisonError::into_inner);
        }
        synced.busy = true;
        drop(synced);
        let reached = lock(&self.written).end;
        let outcome = self.file.sync_data();
        let mut synced = lock(&self.synced);
        synced.busy = false;
        if outcome.is_ok() {
            synced.end = synced.end.max(reached);
        }
        self.sync_ended.notify_all();
        outcome.map_err(StoreError::file("sync", &self.path))
    }

    pub(super) fn read(&self, step: Option<u32>, from: u64) -> Result<(Vec<LogPiece>, u64)> {
        let mut reading = Reading::new(step, from);
        self.walk(from, |head, place| {
            if reading.wants(head) {
                reading.take(head, &self.text(head, place)?);
            }
            Ok(!reading.is_full())
        })?;
        Ok(reading.end())
    }

    /// Goes over the readable frames from the one that holds line `from`, while `each` wants more. It gets a frame's
    /// head and the place of its text.
    pub(super) fn walk(&self, from: u64, mut each: impl FnMut(&Head, u64) -> Result<bool>) -> Result<()> {
        let lines = self.state().lines;
        let mut place = {
            let written = lock(&self.written);
            let at = written.index.partition_point(|(line, _)| *line <= from);
            at.checked_sub(1)
                .and_then(|at| written.index.get(at))
                .map_or(0, |(_, place)| *place)
        };
        let mut line = 0;
        while line < lines {
            let mut head = [0; HEAD_BYTES];
            self.file
                .read_exact_at(&mut head, place)
                .map_err(StoreError::file("read", &self.path))?;
            let head = Head::read(&head).ok_or_else(|| self.damaged())?;
            if head.first_line >= lines || !each(&head, place + HEAD_BYTES as u64)? {
                break;
            }
            place += HEAD_BYTES as u64 + u64::from(head.bytes);
            line = head.end_line();
        }
        Ok(())
    }

    pub(super) fn text(&self, head: &Head, place: u64) -> Result<Vec<u8>> {
        let mut text = vec![0; head.bytes as usize];
        self.file
            .read_exact_at(&mut text, place)
            .map_err(StoreError::file("read", &self.path))?;
        Ok(text)
    }

    fn damaged(&self) -> StoreError {
        StoreError::Damaged {
            what: self.path.display().to_string(),
        }
    }
}

/// Takes note of a frame that was written, or found.
fn index(written: &mut Written, head: &Head) {
    let last = written.index.last().map(|(_, place)| *place);
    if last.is_none_or(|last| written.end - last >= INDEX_BYTES) {
        written.index.push((head.first_line, written.end));
    }
    written.end += HEAD_BYTES as u64 + u64::from(head.bytes);
    written.lines = head.end_line();
    written.bytes += u64::from(head.bytes);
}

/// Finds the whole frames of a file that an earlier process wrote. The texts of the last few megabytes are checked:
/// after a power cut, what was never synced may be there by its head only.
fn recover(file: &File) -> std::io::Result<Written> {
    let length = file.metadata()?.len();
    let checked_from = length.saturating_sub(16 * 1024 * 1024);
    let mut written = Written {
        end: 0,
        lines: 0,
        bytes: 0,
        index: Vec::new(),
        ended: false,
    };
    while written.end + HEAD_BYTES as u64 <= length {
        let mut head = [0; HEAD_BYTES];
        file.read_exact_at(&mut head, written.end)?;
        let Some(head) = Head::read(&head) else { break };
        let text_at = written.end + HEAD_BYTES as u64;
        if head.first_line != written.lines || text_at + u64::from(head.bytes) > length {
            break;
        }
        if text_at >= checked_from {
            let mut text = vec![0; head.bytes as usize];
            file.read_exact_at(&mut text, text_at)?;
            if crc32fast::hash(&text) != head.checksum {
                break;
            }
        }
        index(&mut written, &head);
    }
    Ok(written)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
