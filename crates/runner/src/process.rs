//! Programs that a job runs: an exact environment, no stdin, one pipe for both outputs, a session of their own.
//!
//! Owns starting, reading, stopping and the promise that nothing of a job outlives it. A process that a step left
//! behind may run until the job's end ([`JobProcesses::end`]), as on GitHub, but the step does not wait for it.
//! Never runs a shell to run a program, and never lets a program inherit what it was not given.

mod members;
mod spawn;

use crate::isolation::ChildRules;
use crate::log::{Line, Lines, LogClosed, StepLog};
use nix::sys::signal::Signal;
use spawn::{Exec, Running};
use std::ffi::OsString;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use members::{Leftover, become_subreaper, kill_marked};

/// The variable by which processes of a job are known, also after this process died.
pub const TRACKING_VARIABLE: &str = "PILOTAGE_TRACKING_ID";

/// A program whose main process ended may have children that still write; they are read until they have been
/// silent for this long,
const QUIET: Duration = Duration::from_millis(300);
/// and no longer than this, as in GitHub's runner.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Bytes taken from the pipe at once.
const READ_BYTES: usize = 64 * 1024;
/// How long [`JobProcesses::end`] kills again what appears again (a fork bomb, say) before it gives up.
const END_MAX: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// An absolute path; see [`crate::shell::find_program`].
    pub path: PathBuf,
    /// Without the program's own name.
    pub args: Vec<OsString>,
    /// All of it: nothing else is inherited, but [`TRACKING_VARIABLE`] is added.
    pub env: Vec<(OsString, OsString)>,
    pub cwd: PathBuf,
    /// After this long it is stopped as by a cancellation.
    pub timeout: Option<Duration>,
    pub ladder: Ladder,
}

/// How a program is stopped: SIGINT, then SIGTERM, then SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// From SIGINT to SIGTERM.
    pub interrupt: Duration,
    /// From SIGTERM to SIGKILL.
    pub terminate: Duration,
}

impl Default for Ladder {
    /// GitHub's times (`ProcessInvoker.cs`).
    fn default() -> Self {
        Self {
            interrupt: Duration::from_millis(7500),
            terminate: Duration::from_millis(2500),
        }
    }
}

/// How others ask a program to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Down the ladder.
    pub cancel: CancellationToken,
    /// SIGKILL at once.
    pub kill: CancellationToken,
}

/// Why a program was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    Cancelled,
    TimedOut,
    Killed,
}

/// How the main process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Code(i32),
    Signal(i32),
}

impl Status {
    /// As a shell gives it: 128 + the signal's number for a killed process.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Status::Code(code) => code,
            Status::Signal(signal) => 128 + signal,
        }
    }

    #[must_use]
    pub fn success(self) -> bool {
        self == Status::Code(0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub status: Status,
    /// It was asked to stop before it ended; `status` is how it took that.
    pub stopped: Option<StopReason>,
    /// Processes that it started still hold its output; they live until the job's end.
    pub left_behind: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("cannot start `{program}`: cannot {what}")]
    Start {
        program: String,
        what: &'static str,
        source: std::io::Error,
    },
    #[error("cannot {what} of a program")]
    Io {
        what: &'static str,
        source: std::io::Error,
    },
    #[error(transparent)]
    Log(#[from] LogClosed),
}

/// Where a program's output goes. The calls follow one another: `push`…, `flush` in between, `finish`, `flush`.
pub trait Output: Send {
    /// Takes bytes; never blocks.
    fn push(&mut self, bytes: &[u8]);
    /// No more comes.
    fn finish(&mut self);
    /// Whether `flush` must be called before more is pushed.
    fn is_full(&self) -> bool;
    /// When `flush` should be called at the latest.
    fn due(&self) -> Option<Instant>;
    /// Passes on what waits; waits for the receiver. May be dropped while it waits, when the log is given up.
    fn flush(&mut self) -> impl Future<Output = Result<(), LogClosed>> + Send;
}

/// The output of a step: each line goes through `each`, which decides what of it is logged.
pub struct StepOutput<'a, F: FnMut(&Line<'_>, &mut StepLog) + Send> {
    lines: Lines,
    log: &'a mut StepLog,
    each: F,
}

impl<'a, F: FnMut(&Line<'_>, &mut StepLog) + Send> StepOutput<'a, F> {
    pub fn new(log: &'a mut StepLog, each: F) -> Self {
        Self {
            lines: log.job().lines(),
            log,
            each,
        }
    }
}

impl<F: FnMut(&Line<'_>, &mut StepLog) + Send> Output for StepOutput<'_, F> {
    fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes, |line| (self.each)(&line, self.log));
    }

    fn finish(&mut self) {
        self.lines.finish(|line| (self.each)(&line, self.log));
    }

    fn is_full(&self) -> bool {
        self.log.is_full()
    }

    fn due(&self) -> Option<Instant> {
        self.log.due()
    }

    fn flush(&mut self) -> impl Future<Output = Result<(), LogClosed>> + Send {
        self.log.flush()
    }
}

/// Keeps the first bytes that a program writes, for programs that we ask something.
#[derive(Debug)]
pub struct Captured {
    pub bytes: Vec<u8>,
    pub bytes_max: usize,
}

impl Captured {
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            bytes_max,
        }
    }
}

impl Output for Captured {
    fn push(&mut self, bytes: &[u8]) {
        let room = self.bytes_max.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn finish(&mut self) {}

    fn is_full(&self) -> bool {
        false
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    async fn flush(&mut self) -> Result<(), LogClosed> {
        Ok(())
    }
}

/// All processes of one job.
#[derive(Debug)]
pub struct JobProcesses {
    tracking_id: String,
    rules: Arc<ChildRules>,
    job: members::Job,
    /// Pipes that processes left behind still write to: read until the job's end, so that nobody is blocked by a
    /// full pipe or killed by a closed one.
    drains: Mutex<JoinSet<()>>,
}

impl JobProcesses {
    /// `tracking_id` must not be used for any other job; it is visible to the job.
    #[must_use]
    pub fn new(tracking_id: impl Into<String>, rules: Arc<ChildRules>) -> Self {
        // Every kernel that we run on knows it; where it fails, orphans are found by their other signs.
        let _ = become_subreaper();
        let tracking_id = tracking_id.into();
        let job = members::Job::new(&tracking_id, rules.user.map(|u| u.uid));
        Self {
            tracking_id,
            rules,
            job,
            drains: Mutex::new(JoinSet::new()),
        }
    }

    /// Runs a program to its end. Where it is stopped, what it started is killed as well.
    pub async fn run(
        &self,
        program: &Program,
        stop: &Stop,
        output: &mut impl Output,
    ) -> Result<Ended, ProcessError> {
        let (running, _main, mut pipe) = self.start(program)?;
        let activity = Activity::default();
        let mut stopping = Stopping::new(program, running.pid);
        let mut pumped = None;
        let status = {
            let mut pump = std::pin::pin!(pump(&mut pipe, output, &activity));
            let status = loop {
                // The output comes last: a program that never stops writing would leave no turn to the others.
                tokio::select! {
                    biased;
                    () = stopping.next(stop) => stopping.step_down(stop),
                    ended = running.wait() => break ended,
                    result = &mut pump, if pumped.is_none() => pumped = Some(result?),
                }
            };
            if stopping.reason.is_some() {
                self.job.kill_session(running.pid);
            }
            if pumped.is_none() {
                pumped = drain(pump.as_mut(), &activity, stop).await?;
            }
            status.map_err(|source| ProcessError::Io {
                what: "wait for the end",
                source,
            })?
        };
        let left_behind = pumped.is_none();
        if left_behind {
            self.keep_draining(pipe);
        }
        output.finish();
        output.flush().await?;
        self.job.reap();
        Ok(Ended {
            status,
            stopped: stopping.reason,
            left_behind,
        })
    }

    /// Kills whatever is left of the job and says what that was. Nothing of the job runs afterwards, unless the
    /// list holds processes that could not be killed within ten seconds (`killed` is false).
    pub async fn end(&self) -> Vec<Leftover> {
        let left = self.job.end(END_MAX).await;
        let mut drains = std::mem::take(&mut *self.drains.lock().unwrap_or_else(PoisonError::into_inner));
        drains.shutdown().await;
        left
    }

    fn start(&self, program: &Program) -> Result<(Running, members::Main, pipe::Receiver), ProcessError> {
        let io = |what| move |source| ProcessError::Io { what, source };
        let (read, write) = spawn::output_pipe(self.rules.user).map_err(io("make the output pipe"))?;
        let pipe = pipe::Receiver::from_owned_fd(read).map_err(io("read the output"))?;
        let exec = Exec::new(program, (TRACKING_VARIABLE, &self.tracking_id)).map_err(|source| {
            ProcessError::Start {
                program: name(program),
                what: "pass its arguments",
                source,
            }
        })?;
        let _starting = members::starting();
        let running =
            spawn::spawn(&exec, &write, &self.rules, self.job.brand()).map_err(|(what, source)| {
                ProcessError::Start {
                    program: name(program),
                    what,
                    source,
                }
            })?;
        drop::<OwnedFd>(write);
        let main = self.job.main(running.pid);
        Ok((running, main, pipe))
    }

    fn keep_draining(&self, mut pipe: pipe::Receiver) {
        let mut drains = self.drains.lock().unwrap_or_else(PoisonError::into_inner);
        drains.spawn(async move {
            let mut buffer = vec![0; 4096];
            while matches!(pipe.read(&mut buffer).await, Ok(n) if n > 0) {}
        });
    }
}

impl Drop for JobProcesses {
    /// For a job that is given up without [`JobProcesses::end`]: kills once, without waiting.
    fn drop(&mut self) {
        self.job.kill_once();
    }
}

fn name(program: &Program) -> String {
    program.path.display().to_string()
}

/// What the reader of the pipe does, seen from outside.
#[derive(Default)]
struct Activity {
    reads: AtomicU64,
    flushing: AtomicBool,
}

/// Reads until the pipe ends.
async fn pump(
    pipe: &mut pipe::Receiver,
    output: &mut impl Output,
    activity: &Activity,
) -> Result<(), ProcessError> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let due = output.due();
        let flush_now = tokio::select! {
            biased;
            read = pipe.read(&mut buffer) => {
                match read.map_err(|source| ProcessError::Io { what: "read the output", source })? {
                    0 => return Ok(()),
                    n => output.push(buffer.get(..n).unwrap_or_default()),
                }
                activity.reads.fetch_add(1, Ordering::Relaxed);
                output.is_full() || due.is_some_and(|due| due <= Instant::now())
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => true,
        };
        if flush_now {
            activity.flushing.store(true, Ordering::Relaxed);
            output.flush().await?;
            activity.flushing.store(false, Ordering::Relaxed);
        }
    }
}

/// After the main process ended: `Some` when the pipe ended too, `None` when others hold it and are silent.
async fn drain(
    mut pump: std::pin::Pin<&mut impl Future<Output = Result<(), ProcessError>>>,
    activity: &Activity,
    stop: &Stop,
) -> Result<Option<()>, ProcessError> {
    let deadline = Instant::now() + DRAIN_MAX;
    loop {
        let seen = activity.reads.load(Ordering::Relaxed);
        tokio::select! {
            biased;
            () = stop.kill.cancelled() => return Ok(None),
            () = tokio::time::sleep(QUIET) => {}
            result = pump.as_mut() => return result.map(Some),
        }
        let blocked = activity.flushing.load(Ordering::Relaxed);
        let quiet = activity.reads.load(Ordering::Relaxed) == seen;
        if !blocked && (quiet || Instant::now() > deadline) {
            return Ok(None);
        }
    }
}

/// Where a program stands on the ladder.
struct Stopping {
    pid: i32,
    ladder: Ladder,
    timeout_at: Option<Instant>,
    reason: Option<StopReason>,
    /// The next signal and its time, once it is being stopped.
    next: Option<(Signal, Instant)>,
    killed: bool,
}

impl Stopping {
    fn new(program: &Program, pid: i32) -> Self {
        let timeout_at = program.timeout.map(|t| Instant::now() + t);
        Self {
            pid,
            ladder: program.ladder,
            timeout_at,
            reason: None,
            next: None,
            killed: false,
        }
    }

    /// Waits until a signal is to be sent.
    async fn next(&self, stop: &Stop) {
        let at = self
            .next
            .map(|(_, at)| at)
            .or(self.timeout_at.filter(|_| self.reason.is_none()));
        let timer = tokio::time::sleep_until(at.unwrap_or_else(Instant::now));
        tokio::select! {
            () = stop.kill.cancelled(), if !self.killed => {}
            () = stop.cancel.cancelled(), if self.reason.is_none() => {}
            () = timer, if at.is_some() => {}
            else => std::future::pending().await,
        }
    }

    fn step_down(&mut self, stop: &Stop) {
        let now = Instant::now();
        if stop.kill.is_cancelled() && !self.killed {
            self.reason.get_or_insert(StopReason::Killed);
            self.next = Some((Signal::SIGKILL, now));
        } else if self.reason.is_none() {
            self.reason = Some(if stop.cancel.is_cancelled() {
                StopReason::Cancelled
            } else {
                StopReason::TimedOut
            });
            self.next = Some((Signal::SIGINT, now));
        }
        match self.next {
            Some((Signal::SIGKILL, _)) => {
                self.next = None;
                self.killed = true;
                members::kill_tree(self.pid);
            }
            Some((signal, _)) => {
                members::signal_group(self.pid, signal);
                let then = match signal {
                    Signal::SIGINT => (Signal::SIGTERM, now + self.ladder.interrupt),
                    _ => (Signal::SIGKILL, now + self.ladder.terminate),
                };
                self.next = Some(then);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
