//! From the bytes that a step writes to the job's log: whole lines, in order, masked, in chunks.
//!
//! Owns where a line ends, how lines become [`LogChunk`]s, and their numbers. Memory is bounded by the length of
//! the longest line that is kept in one piece; whoever takes chunks slowly slows the step down (a bounded channel).
//! Never drops or reorders anything, and nothing leaves it unmasked.

use crate::event::JobEvent;
use pilotage_api::runner::{Annotation, LogChunk, Report};
use pilotage_trust::mask::Masker;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

mod lines;

pub use lines::{Line, Lines};

/// A chunk is sent when it holds this many bytes, or when [`FLUSH_AFTER`] has passed.
pub const CHUNK_BYTES: usize = 128 * 1024;
/// How long a line may wait for others before it is sent.
pub const FLUSH_AFTER: Duration = Duration::from_millis(10);
/// Chunks that may wait for the receiver before the step has to.
pub const CHUNKS_WAITING_MAX: usize = 64;
/// Commands and problem matchers look at lines up to this many bytes; a longer one is only written.
pub const PARSED_LINE_BYTES_MAX: usize = 64 * 1024;
/// For a log that stays in this process. Longer lines are cut, with all of their content kept.
pub const LOCAL_LINE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// For a log that goes to the server, whose log calls take 8 MiB.
pub const REMOTE_LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Nobody takes the log any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log's receiver is gone")]
pub struct LogClosed;

/// One job's log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct JobLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    masker: Arc<Masker>,
    line_bytes_max: usize,
    /// Held while a chunk is numbered and sent, so that numbers follow the order of the channel.
    sender: Mutex<LogSender>,
    lines: AtomicU64,
    bytes: AtomicU64,
}

impl JobLog {
    #[must_use]
    pub fn new(masker: Arc<Masker>, sender: impl Into<LogSender>, line_bytes_max: usize) -> Self {
        let shared = Shared {
            masker,
            line_bytes_max,
            sender: Mutex::new(sender.into()),
            lines: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// With a channel of the right size.
    #[must_use]
    pub fn channel(masker: Arc<Masker>, line_bytes_max: usize) -> (Self, mpsc::Receiver<LogChunk>) {
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
        (Self::new(masker, sender, line_bytes_max), receiver)
    }

    /// Cuts the bytes of one process into this log's lines.
    #[must_use]
    pub fn lines(&self) -> Lines {
        Lines::new(Arc::clone(&self.shared.masker), self.shared.line_bytes_max)
    }

    #[must_use]
    pub fn masker(&self) -> &Arc<Masker> {
        &self.shared.masker
    }

    /// The log of one step. Several may be written at the same time; each keeps its own order.
    #[must_use]
    pub fn step(&self, step: u32) -> StepLog {
        StepLog {
            job: self.clone(),
            step,
            waiting: String::new(),
            since: None,
            last: None,
            sent: None,
            notes: Vec::new(),
        }
    }

    /// Lines and bytes sent so far.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        (
            self.shared.lines.load(Ordering::Acquire),
            self.shared.bytes.load(Ordering::Acquire),
        )
    }

    /// Gives the number of the first of these lines.
    async fn send(&self, step: u32, at: SystemTime, text: String) -> Result<u64, LogClosed> {
        let lines = memchr::memchr_iter(b'\n', text.as_bytes()).count() as u64;
        let bytes = text.len() as u64;
        let sender = self.shared.sender.lock().await;
        let place = sender.reserve().await?;
        let first_line = self.shared.lines.fetch_add(lines, Ordering::AcqRel);
        self.shared.bytes.fetch_add(bytes, Ordering::AcqRel);
        place.send(LogChunk {
            step,
            first_line,
            at_ms: milliseconds(at),
            text,
        });
        Ok(first_line)
    }

    /// An annotation leaves the job as its log does: without secrets.
    async fn note(&self, annotation: Annotation) -> Result<(), LogClosed> {
        let annotation = masked(annotation, self.masker());
        self.shared.sender.lock().await.note(annotation).await
    }
}

fn masked(annotation: Annotation, masker: &Masker) -> Annotation {
    let mask = |text: String| match masker.mask_str(&text) {
        std::borrow::Cow::Borrowed(_) => text,
        std::borrow::Cow::Owned(masked) => masked,
    };
    Annotation {
        message: mask(annotation.message),
        title: annotation.title.map(mask),
        file: annotation.file.map(mask),
        ..annotation
    }
}

/// Where chunks go: alone, or among all that a job says.
#[derive(Clone, Debug)]
pub enum LogSender {
    Chunks(mpsc::Sender<LogChunk>),
    Events(mpsc::Sender<JobEvent>),
}

/// Room for one chunk in the channel.
enum Place<'a> {
    Chunk(mpsc::Permit<'a, LogChunk>),
    Event(mpsc::Permit<'a, JobEvent>),
}

impl LogSender {
    async fn reserve(&self) -> Result<Place<'_>, LogClosed> {
        match self {
            Self::Chunks(sender) => sender.reserve().await.map(Place::Chunk).map_err(|_| LogClosed),
            Self::Events(sender) => sender.reserve().await.map(Place::Event).map_err(|_| LogClosed),
        }
    }

    /// Chunks alone have no place for annotations.
    async fn note(&self, annotation: Annotation) -> Result<(), LogClosed> {
        match self {
            Self::Chunks(_) => Ok(()),
            Self::Events(sender) => {
                let event = JobEvent::Report(Report::Annotation(annotation));
                sender.send(event).await.map_err(|_| LogClosed)
            }
        }
    }
}

impl Place<'_> {
    fn send(self, chunk: LogChunk) {
        match self {
            Self::Chunk(permit) => permit.send(chunk),
            Self::Event(permit) => permit.send(JobEvent::Log(chunk)),
        }
    }
}

impl From<mpsc::Sender<LogChunk>> for LogSender {
    fn from(sender: mpsc::Sender<LogChunk>) -> Self {
        Self::Chunks(sender)
    }
}

impl From<mpsc::Sender<JobEvent>> for LogSender {
    fn from(sender: mpsc::Sender<JobEvent>) -> Self {
        Self::Events(sender)
    }
}

fn milliseconds(at: SystemTime) -> i64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|d| i64::try_from(d.as_millis()).ok())
        .unwrap_or(0)
}

/// What one step writes. Lines wait here until [`StepLog::flush`]; [`StepLog::due`] says when that should be.
#[derive(Debug)]
pub struct StepLog {
    job: JobLog,
    step: u32,
    /// Whole lines, not masked yet.
    waiting: String,
    since: Option<(Instant, SystemTime)>,
    /// Where in `waiting` the text begins that was added last.
    last: Option<usize>,
    /// The number of the line that was added last, once it is sent.
    sent: Option<u64>,
    /// Annotations of lines that wait, with where in `waiting` each begins; of lines that were sent, without.
    notes: Vec<(Option<usize>, Annotation)>,
}

impl StepLog {
    #[must_use]
    pub fn step(&self) -> u32 {
        self.step
    }

    /// The job's log that it is part of.
    #[must_use]
    pub fn job(&self) -> &JobLog {
        &self.job
    }

    /// Adds a text of one or more lines; it need not end with `\n`.
    pub fn line(&mut self, text: &str) {
        if self.since.is_none() {
            self.since = Some((Instant::now(), SystemTime::now()));
        }
        self.last = Some(self.waiting.len());
        self.waiting.push_str(text);
        self.waiting.push('\n');
    }

    /// Notes the text that was added last as an annotation, which is sent after it, with the number of its line.
    pub fn annotate(&mut self, mut annotation: Annotation) {
        if self.last.is_none() {
            annotation.log_line = self.sent;
        }
        self.notes.push((self.last, annotation));
    }

    /// Whether enough waits that it should be sent now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= CHUNK_BYTES
    }

    /// When what waits should be sent at the latest.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.since.map(|(since, _)| since + FLUSH_AFTER)
    }

    /// Masks and sends what waits. Waits for the receiver.
    pub async fn flush(&mut self) -> Result<(), LogClosed> {
        if let Some((_, at)) = self.since.take() {
            self.flush_lines(at).await?;
        }
        for (_, annotation) in std::mem::take(&mut self.notes) {
            self.job.note(annotation).await?;
        }
        Ok(())
    }

    async fn flush_lines(&mut self, at: SystemTime) -> Result<(), LogClosed> {
        let text = std::mem::take(&mut self.waiting);
        // A mask leaves the ends of lines where they are, so that they can be counted before.
        let (mut lines, mut counted) = (0, 0);
        let mut lines_before = |place: usize| {
            let between = text.get(counted..place).unwrap_or_default();
            lines += memchr::memchr_iter(b'\n', between.as_bytes()).count() as u64;
            counted = place;
            lines
        };
        let places = self.notes.iter();
        let places: Vec<Option<u64>> = places.map(|(place, _)| place.map(&mut lines_before)).collect();
        let last = self.last.take().map(lines_before);
        let text = match self.job.shared.masker.mask_str(&text) {
            std::borrow::Cow::Borrowed(_) => text,
            std::borrow::Cow::Owned(masked) => masked,
        };
        let first = self.job.send(self.step, at, text).await?;
        self.sent = last.map(|line| first + line);
        for ((place, annotation), line) in self.notes.iter_mut().zip(places) {
            if let Some(line) = line {
                *place = None;
                annotation.log_line = Some(first + line);
            }
        }
        Ok(())
    }
}
