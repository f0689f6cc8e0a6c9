//! A job's log on its way to the server: written to disk, sent in batches, freed when the server has it.
//!
//! Owns the files (`spool-SLOT/N`, frames as the wire has them) and their bound. It is not there for a crash of this
//! process, with which the lease is lost, but so that a server which is away costs disk instead of memory.

use pilotage_api::lease::{LOG_BODY_BYTES_MAX, read_frame, write_frame};
use pilotage_api::runner::LogChunk;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::warn;

const SEGMENT_BYTES: u64 = 32 * 1024 * 1024;
/// Between two tries to write to a disk that is full.
const FULL_DISK_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Spool {
    directory: PathBuf,
    bytes_max: u64,
    state: Mutex<State>,
    /// Something was written, or the log is complete.
    filled: Notify,
    /// Something was freed.
    freed: Notify,
}

#[derive(Default)]
struct State {
    segments: VecDeque<Segment>,
    next_segment: u64,
    waiting_bytes: u64,
    closed: bool,
}

struct Segment {
    path: PathBuf,
    file: File,
    length: u64,
    sent: u64,
}

impl Drop for Segment {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Spool {
    pub(super) fn create(directory: &Path, bytes_max: u64) -> io::Result<Self> {
        crate::workspace::wipe(directory)?;
        fs::DirBuilder::new().create(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            bytes_max,
            state: Mutex::default(),
            filled: Notify::new(),
            freed: Notify::new(),
        })
    }

    /// Writes a chunk; waits while there is no room.
    pub(super) async fn push(&self, chunk: &LogChunk) {
        let mut frame = Vec::with_capacity(chunk.text.len() + 128);
        write_frame(&mut frame, chunk);
        loop {
            let freed = self.freed.notified();
            if self.lock().waiting_bytes < self.bytes_max {
                match self.write(&frame) {
                    Ok(()) => break self.filled.notify_one(),
                    Err(error) => {
                        warn!(
                            "cannot write the log's spool {}; the job waits: {error}",
                            self.directory.display()
                        );
                        tokio::time::sleep(FULL_DISK_PAUSE).await;
                        continue;
                    }
                }
            }
            freed.await;
        }
    }

    /// The log is complete.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// The next frames, as the body of a call; waits for them. `None` at the end of a complete log. The same again
    /// until they are acknowledged.
    pub(super) async fn next(&self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let filled = self.filled.notified();
            {
                let state = self.lock();
                if let Some(segment) = state.segments.front().filter(|s| s.sent < s.length) {
                    return segment.batch().map(Some);
                }
                if state.closed {
                    return Ok(None);
                }
            }
            filled.await;
        }
    }

    /// The server has these bytes, the first that were not acknowledged yet.
    pub(super) fn acknowledge(&self, bytes: usize) {
        let mut state = self.lock();
        state.waiting_bytes = state.waiting_bytes.saturating_sub(bytes as u64);
        if let Some(segment) = state.segments.front_mut() {
            segment.sent += bytes as u64;
            if segment.sent >= segment.length {
                state.segments.pop_front();
            }
        }
        drop(state);
        self.freed.notify_one();
    }

    fn write(&self, frame: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if state.segments.back().is_none_or(|s| s.length >= SEGMENT_BYTES) {
            let path = self.directory.join(state.next_segment.to_string());
            let mut options = OpenOptions::new();
            let file = options
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            state.next_segment += 1;
            state.segments.push_back(Segment {
                path,
                file,
                length: 0,
                sent: 0,
            });
        }
        if let Some(segment) = state.segments.back_mut() {
            // What a failed write left is overwritten by the next one.
            segment.file.write_all_at(frame, segment.length)?;
            segment.length += frame.len() as u64;
        }
        state.waiting_bytes += frame.len() as u64;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.lock().segments.clear();
        let _ = fs::remove_dir(&self.directory);
    }
}

impl Segment {
    /// As many whole frames as fit in a call, at least one.
    fn batch(&self) -> io::Result<Vec<u8>> {
        let waiting = usize::try_from(self.length - self.sent).unwrap_or(usize::MAX);
        let mut body = vec![0; waiting.min(LOG_BODY_BYTES_MAX)];
        self.file.read_exact_at(&mut body, self.sent)?;
        let mut rest = body.as_slice();
        while !rest.is_empty() && read_frame(&mut rest).is_ok() {}
        let whole = body.len() - rest.len();
        if whole == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the spool holds no whole frame",
            ));
        }
        body.truncate(whole);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn chunk(first_line: u64, text: &str) -> LogChunk {
        LogChunk {
            step: 1,
            first_line,
            at_ms: 0,
            text: text.to_owned(),
        }
    }

    fn lines(mut body: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        while !body.is_empty() {
            let (head, text) = read_frame(&mut body).unwrap();
            all.extend(
                text.lines()
                    .enumerate()
                    .map(|(i, l)| format!("{}:{l}", head.first_line + i as u64)),
            );
        }
        all
    }

    #[tokio::test]
    async fn what_is_not_acknowledged_is_given_again() {
        let work = tempfile::tempdir().unwrap();
        let spool = Spool::create(&work.path().join("spool-0"), 1000).unwrap();
        spool.push(&chunk(0, "a\nb\n")).await;
        spool.push(&chunk(2, "c\n")).await;
        let body = spool.next().await.unwrap().unwrap();
        assert_eq!(lines(&body), ["0:a", "1:b", "2:c"]);
        spool.push(&chunk(3, "d\n")).await;
        let again = spool.next().await.unwrap().unwrap();
        assert_eq!(lines(&again), ["0:a", "1:b", "2:c", "3:d"]);
        spool.acknowledge(body.len());
        let rest = spool.next().await.unwrap().unwrap();
        assert_eq!(lines(&rest), ["3:d"]);
        spool.close();
        spool.acknowledge(rest.len());
        assert_eq!(spool.next().await.unwrap(), None);
        drop(spool);
        assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_full_spool_makes_the_job_wait() {
        let work = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::create(&work.path().join("spool-0"), 10).unwrap());
        spool.push(&chunk(0, "0123456789\n")).await;
        let second = tokio::spawn({
            let spool = Arc::clone(&spool);
            async move { spool.push(&chunk(1, "x\n")).await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        let body = spool.next().await.unwrap().unwrap();
        spool.acknowledge(body.len());
        second.await.unwrap();
        assert_eq!(lines(&spool.next().await.unwrap().unwrap()), ["1:x"]);
    }

    #[tokio::test]
    async fn large_logs_go_over_several_segments_and_calls() {
        let work = tempfile::tempdir().unwrap();
        let spool = Spool::create(&work.path().join("spool-0"), u64::MAX).unwrap();
        let text = format!("{}\n", "x".repeat(3_000_000));
        for line in 0..25 {
            spool.push(&chunk(line, &text)).await;
        }
        spool.close();
        let (mut calls, mut count) = (0, 0);
        while let Some(body) = spool.next().await.unwrap() {
            assert!(body.len() <= LOG_BODY_BYTES_MAX);
            let got = lines(&body);
            assert!(got.first().is_some_and(|l| l.starts_with(&format!("{count}:"))));
            count += got.len();
            calls += 1;
            spool.acknowledge(body.len());
        }
        assert_eq!(count, 25);
        assert!(calls >= 12);
    }
}
