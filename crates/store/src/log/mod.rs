//! Logs of jobs: appended while a job runs, archived when it has ended, readable all the time.
//!
//! A log is a file of frames, one for each piece that was appended; lines are counted over the job, from 0, without
//! a gap. A line that was acknowledged is on disk. Knows nothing of masks: what comes here is masked.

mod active;
mod archive;
mod frame;

use crate::error::{Result, StoreError};
use active::ActiveLog;
use archive::Archive;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// How much of a log one read gives at most, in bytes, if it does not end earlier.
pub const READ_BYTES_MAX: usize = 512 * 1024;

/// Some lines of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPiece {
    pub step: u32,
    pub first_line: u64,
    /// When the first of them was written, in milliseconds since 1970.
    pub at_ms: i64,
    /// Whole lines.
    pub text: String,
}

impl LogPiece {
    #[must_use]
    pub fn lines(&self) -> u64 {
        frame::count_lines(self.text.as_bytes())
    }
}

/// How far a log is: what is readable, and whether more may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The number of the next line: how many there are.
    pub lines: u64,
    pub bytes: u64,
    /// Nothing is added any more.
    pub ended: bool,
}

pub struct Logs {
    directory: PathBuf,
    bytes_max: u64,
    active: Mutex<HashMap<i64, Arc<ActiveLog>>>,
    appended: watch::Sender<u64>,
}

impl Logs {
    /// `bytes_max` is the limit of one log.
    pub fn open(directory: &Path, bytes_max: u64) -> Result<Self> {
        for folder in ["active", "archive"] {
            let path = directory.join(folder);
            std::fs::create_dir_all(&path).map_err(StoreError::file("create", &path))?;
        }
        Ok(Self {
            directory: directory.to_owned(),
            bytes_max,
            active: Mutex::default(),
            appended: watch::channel(0).0,
        })
    }

    /// Appends a piece and waits until it is on disk; gives the number of the next line.
    /// Lines that are there already are passed over; a gap is refused.
    pub async fn append(&self, job: i64, piece: LogPiece) -> Result<u64> {
        self.append_all(job, vec![piece]).await
    }

    /// The same for several pieces, with one sync to disk.
    pub async fn append_all(&self, job: i64, pieces: Vec<LogPiece>) -> Result<u64> {
        let log = self.active_log(job, true)?.ok_or_else(|| damaged(job))?;
        let bytes_max = self.bytes_max;
        let next = blocking(move || log.append(job, &pieces, bytes_max)).await;
        self.appended.send_modify(|n| *n = n.wrapping_add(1));
        next
    }

    /// Rises whenever any log has grown.
    #[must_use]
    pub fn appended(&self) -> watch::Receiver<u64> {
        self.appended.subscribe()
    }

    /// Lines from `from` on, of one step if it is given, at most about [`READ_BYTES_MAX`]; and the line to go on from.
    pub async fn read(&self, job: i64, step: Option<u32>, from: u64) -> Result<(Vec<LogPiece>, u64)> {
        if let Some(log) = self.active_log(job, false)? {
            return blocking(move || log.read(step, from)).await;
        }
        let path = self.archive_path(job);
        blocking(move || match Archive::open(&path)? {
            Some(mut archive) => archive.read(step, from),
            None => Ok((Vec::new(), from)),
        })
        .await
    }

    /// A watch on how far the log is. Of a log that has ended, or is not there, it says so once.
    pub async fn watch(&self, job: i64) -> Result<watch::Receiver<LogState>> {
        if let Some(log) = self.active_log(job, false)? {
            return Ok(log.watch());
        }
        Ok(watch::channel(self.state(job).await?).1)
    }

    /// The same for a log that may only begin: it is made if it is not there.
    pub fn watch_new(&self, job: i64) -> Result<watch::Receiver<LogState>> {
        Ok(self.active_log(job, true)?.ok_or_else(|| damaged(job))?.watch())
    }

    pub async fn state(&self, job: i64) -> Result<LogState> {
        if let Some(log) = self.active_log(job, false)? {
            return Ok(log.state());
        }
        let path = self.archive_path(job);
        blocking(move || Ok(Archive::open(&path)?.map_or(ended(0, 0), |a| ended(a.lines(), a.bytes())))).await
    }

    /// Ends a log: nothing is taken any more, followers are told, the file is compressed and the plain one removed.
    /// Doing it again is nothing new.
    pub async fn archive(&self, job: i64) -> Result<()> {
        let Some(log) = self.active_log(job, false)? else {
            return Ok(());
        };
        log.end();
        let path = self.archive_path(job);
        let source = Arc::clone(&log);
        blocking(move || archive::write(&source, &path)).await?;
        self.active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&job);
        let path = self.active_path(job);
        remove(&path)
    }

    /// Takes a log away, whatever its state; gives how many bytes that freed.
    pub fn remove(&self, job: i64) -> Result<u64> {
        if let Some(log) = self
            .active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&job)
        {
            log.end();
        }
        let mut freed = 0;
        for path in [self.active_path(job), self.archive_path(job)] {
            freed += std::fs::metadata(&path).map_or(0, |m| m.len());
            remove(&path)?;
        }
        Ok(freed)
    }

    fn active_log(&self, job: i64, create: bool) -> Result<Option<Arc<ActiveLog>>> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = active.get(&job) {
            return Ok(Some(Arc::clone(log)));
        }
        if create && self.archive_path(job).exists() {
            return Err(StoreError::Closed);
        }
        let Some(log) = ActiveLog::open(&self.active_path(job), create)? else {
            return Ok(None);
        };
        let log = Arc::new(log);
        active.insert(job, Arc::clone(&log));
        Ok(Some(log))
    }

    fn active_path(&self, job: i64) -> PathBuf {
        self.directory.join("active").join(format!("{job}.log"))
    }

    fn archive_path(&self, job: i64) -> PathBuf {
        self.directory.join("archive").join(format!("{job}.log.zst"))
    }
}

fn ended(lines: u64, bytes: u64) -> LogState {
    LogState {
        lines,
        bytes,
        ended: true,
    }
}

fn damaged(job: i64) -> StoreError {
    StoreError::Damaged {
        what: format!("the log of job {job}"),
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| StoreError::Panicked)?
}

#[cfg(test)]
mod tests;
