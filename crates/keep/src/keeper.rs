//! The keeper's life: one loop that waits for the process, the clock, signals and the control socket.

use crate::control::{Control, Request};
use crate::error::KeepError;
use crate::listeners::Listeners;
use crate::output;
use crate::process::{self, Process};
use crate::spec::Spec;
use crate::state::{Exit, ExitKind, State, Status};
use crate::text;
use nix::fcntl::Flock;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const EXITS: &str = "exits";
const EXITS_BYTES_MAX: u64 = 256 << 10;
pub(crate) const STOPPED: &str = "stopped";
/// The output is measured this often: the shorter while much is written, the longer while nothing is.
const MEASURE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

/// A keeper with nothing to keep ends by itself after this.
const IDLE: Duration = Duration::from_secs(2);

/// Why [`run`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to, by `exit` or by a signal, or had nothing to keep any more; the process is gone.
    Told,
    /// Another keeper has the directory.
    KeptByAnother,
}

/// Keeps the process of a directory until it is told to end. It makes the whole process a keeper: changes the
/// working directory, blocks SIGTERM and SIGINT (they stop the kept process, and then the keeper), and must be
/// called before any thread is started. Writes `ready` or `kept` to stdout once that is known, and nothing else.
pub fn run(dir: &Path) -> Result<Ended, KeepError> {
    std::env::set_current_dir(dir).map_err(|e| KeepError::path("enter", dir, e))?;
    let Some(lock) = process::lock().map_err(|e| KeepError::path("lock", dir, e))? else {
        announce("kept");
        return Ok(Ended::KeptByAnother);
    };
    let mut keeper = Keeper::new(dir, lock)?;
    announce("ready");
    keeper.keep()?;
    Ok(Ended::Told)
}

enum Phase {
    Running { process: Process, since: Instant },
    BackingOff { until: Instant },
    Stopping { process: Process, kill_at: Instant },
    Stopped,
}

struct Keeper {
    spec: Spec,
    _lock: Flock<File>,
    control: Control,
    signals: SignalFd,
    listeners: Listeners,
    phase: Phase,
    /// How often the process was started, over all keepers.
    starts: u64,
    backoff: Duration,
    last_exit: Option<Exit>,
    ending: bool,
    idle_until: Instant,
    measure_at: Instant,
    measure_every: Duration,
    measured: u64,
    /// Up to where room is kept for the output.
    reserved: u64,
}

impl Keeper {
    fn new(dir: &Path, lock: Flock<File>) -> Result<Self, KeepError> {
        let spec = Spec::read(Path::new("."))?;
        // Its memory holds the environment's secrets.
        let _ = nix::sys::prctl::set_dumpable(false);
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGTERM);
        mask.add(Signal::SIGINT);
        mask.add(Signal::SIGCHLD);
        // What the process leaves behind becomes our child, and so can be found and ended with it.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        let signals = mask
            .thread_block()
            .and_then(|()| SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC))
            .map_err(|e| KeepError::io("take signals", e))?;
        let (process, starts) = Process::adopt();
        let (mut listeners, faults) = Listeners::recover(process.as_ref());
        faults.iter().for_each(|fault| complain(fault));
        for address in &spec.listen {
            listeners
                .listen(*address)
                .map_err(|e| KeepError::io(format!("listen on {address}"), e))?;
        }
        let control = Control::bind().map_err(|e| KeepError::path("bind the socket of", dir, e))?;
        let now = Instant::now();
        let stopped = Path::new(STOPPED).exists();
        let phase = match process {
            Some(process) => Phase::Running { process, since: now },
            None if stopped => Phase::Stopped,
            None => Phase::BackingOff { until: now },
        };
        let mut keeper = Keeper {
            backoff: Duration::from_millis(spec.restart_min_ms),
            spec,
            _lock: lock,
            control,
            signals,
            listeners,
            phase,
            starts,
            last_exit: last_exit(),
            ending: false,
            idle_until: now + IDLE,
            measure_at: now,
            measure_every: MEASURE.0,
            measured: 0,
            reserved: 0,
        };
        if stopped {
            keeper.stop();
        }
        keeper.step();
        Ok(keeper)
    }

    fn keep(&mut self) -> Result<(), KeepError> {
        while !(self.ending && matches!(self.phase, Phase::Stopped)) {
            let ready = self.wait().map_err(|e| KeepError::io("wait for events", e))?;
            if ready.signal {
                self.take_signals();
            }
            if ready.process {
                self.process_ended();
            }
            if ready.control {
                self.control.accept();
            }
            for index in 0..self.control.connections.len() {
                self.serve(index);
            }
            self.control.forget_closed();
            self.step();
        }
        Ok(())
    }

    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if i32::try_from(signal.ssi_signo).is_ok_and(|number| number == Signal::SIGCHLD as i32) {
                process::reap_orphans(self.process().map(|p| p.identity.pid));
            } else {
                self.ending = true;
                self.stop();
            }
        }
    }

    /// What the clock brings.
    fn step(&mut self) {
        let now = Instant::now();
        match &mut self.phase {
            Phase::BackingOff { until } if *until <= now => self.start(now),
            Phase::Stopping { process, kill_at } if *kill_at <= now => {
                process.signal(Signal::SIGKILL);
                *kill_at = now + Duration::from_secs(1);
            }
            _ => {}
        }
        if !self.is_idle() {
            self.idle_until = now + IDLE;
        } else if self.idle_until <= now {
            // Whoever brought us up to stop something has forgotten us, or died before the `exit`.
            self.ending = true;
        }
        if self.measure_at <= now {
            self.measure(now);
        }
    }

    fn start(&mut self, now: Instant) {
        self.starts += 1;
        match Process::start(&self.spec, self.starts) {
            Ok(process) => self.phase = Phase::Running { process, since: now },
            Err(e) => {
                let program = self.spec.argv.first().map_or("", String::as_str);
                let why = format!("cannot execute {program}: {e}");
                // Where the reader of the log looks for the reason.
                if let Ok(mut out) = File::options().create(true).append(true).open(output::FILE) {
                    let _ = writeln!(out, "pilotage: {why}");
                }
                self.ended(0, ExitKind::NotStarted(why), Duration::ZERO);
            }
        }
    }

    fn process_ended(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Stopped) {
            Phase::Running { process, since } => {
                let pid = process.identity.pid;
                let kind = process.end();
                self.ended(pid, kind, since.elapsed());
            }
            Phase::Stopping { process, .. } => {
                let pid = process.identity.pid;
                self.record(Exit {
                    at_ms: now_ms(),
                    pid,
                    kind: process.end(),
                });
                self.stopped();
            }
            other => self.phase = other,
        }
    }

    /// It ended by itself: the next start waits.
    fn ended(&mut self, pid: i32, kind: ExitKind, lived: Duration) {
        let (first, longest) = (
            Duration::from_millis(self.spec.restart_min_ms),
            Duration::from_millis(self.spec.restart_max_ms.max(self.spec.restart_min_ms)),
        );
        if lived >= longest {
            self.backoff = first;
        }
        self.phase = Phase::BackingOff {
            until: Instant::now() + self.backoff,
        };
        self.backoff = (self.backoff * 2).clamp(first, longest);
        self.record(Exit {
            at_ms: now_ms(),
            pid,
            kind,
        });
    }

    fn stop(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Stopped) {
            Phase::Running { process, .. } => {
                process.signal(self.spec.stop_signal);
                // A stopped (SIGSTOP) process could not even die of the signal.
                process.signal(Signal::SIGCONT);
                let kill_at = Instant::now() + Duration::from_millis(self.spec.grace_ms);
                self.phase = Phase::Stopping { process, kill_at };
            }
            stopping @ Phase::Stopping { .. } => self.phase = stopping,
            Phase::BackingOff { .. } | Phase::Stopped => self.stopped(),
        }
    }

    /// It is gone: whoever waited for that is told.
    fn stopped(&mut self) {
        self.phase = Phase::Stopped;
        for connection in self.control.connections.iter_mut().filter(|c| c.waits) {
            connection.waits = false;
            connection.answer(&Ok(String::new()), None);
        }
    }

    fn serve(&mut self, index: usize) {
        let Some(connection) = self.control.connections.get_mut(index) else {
            return;
        };
        for request in connection.read() {
            let reply = request.and_then(|request| self.obey(request));
            let Some(connection) = self.control.connections.get_mut(index) else {
                return;
            };
            match reply {
                Ok(Reply::Text(body)) => connection.answer(&Ok(body), None),
                Ok(Reply::Socket(socket)) => connection.answer(&Ok(String::new()), Some(&socket)),
                Ok(Reply::WhenGone) => connection.waits = true,
                Err(reason) => connection.answer(&Err(reason), None),
            }
        }
    }

    fn obey(&mut self, request: Request) -> Result<Reply, String> {
        let done = || Reply::Text(String::new());
        match request {
            Request::Status => return Ok(Reply::Text(self.status().to_string())),
            Request::Stop => {
                // First what a successor of ours must know, then the deed.
                File::create(STOPPED).map_err(|e| format!("cannot write `{STOPPED}`: {e}"))?;
                self.stop();
                return Ok(if matches!(self.phase, Phase::Stopped) {
                    done()
                } else {
                    Reply::WhenGone
                });
            }
            Request::Start => self.start_again()?,
            Request::Exit if matches!(self.phase, Phase::Stopped) => self.ending = true,
            Request::Exit => return Err("the process is not stopped".to_owned()),
            Request::Listen(address) => {
                return self
                    .listeners
                    .listen(address)
                    .map(Reply::Socket)
                    .map_err(|e| e.to_string());
            }
            Request::Unlisten(address) => self.listeners.unlisten(address).map_err(|e| e.to_string())?,
            Request::Hold(socket) => self.listeners.take(socket).map_err(|e| e.to_string())?,
        }
        Ok(done())
    }

    fn start_again(&mut self) -> Result<(), String> {
        match self.phase {
            Phase::Stopping { .. } => return Err("the process is still stopping".to_owned()),
            Phase::Stopped => {
                self.phase = Phase::BackingOff {
                    until: Instant::now(),
                }
            }
            Phase::Running { .. } | Phase::BackingOff { .. } => {}
        }
        match fs::remove_file(STOPPED) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(format!("cannot remove `{STOPPED}`: {e}")),
            _ => Ok(()),
        }
    }

    fn status(&self) -> Status {
        let process = self.process();
        Status {
            keeper_pid: nix::unistd::getpid().as_raw(),
            state: match self.phase {
                Phase::Running { .. } => State::Running,
                Phase::BackingOff { .. } => State::BackingOff,
                Phase::Stopping { .. } => State::Stopping,
                Phase::Stopped => State::Stopped,
            },
            child: process.map(|p| p.identity.clone()),
            digest: process.and_then(|p| p.digest.clone()),
            restarts: self.starts.saturating_sub(1),
            last_exit: self.last_exit.clone(),
            memory: if self.spec.memory_bytes.is_some() {
                "rlimit-data"
            } else {
                "none"
            }
            .to_owned(),
            listeners: self.listeners.addresses(),
        }
    }

    /// Nothing is to be started, nobody speaks with us, and we hold nothing.
    fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Stopped)
            && self.control.connections.is_empty()
            && self.listeners.addresses().is_empty()
    }

    fn process(&self) -> Option<&Process> {
        match &self.phase {
            Phase::Running { process, .. } | Phase::Stopping { process, .. } => Some(process),
            Phase::BackingOff { .. } | Phase::Stopped => None,
        }
    }

    fn wait(&self) -> io::Result<Ready> {
        let mut polled = vec![
            PollFd::new(self.control.listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        let connections = self.control.connections.iter();
        polled.extend(connections.map(|c| PollFd::new(c.stream.as_fd(), PollFlags::POLLIN)));
        polled.extend(self.process().map(|p| PollFd::new(p.as_fd(), PollFlags::POLLIN)));
        match poll(&mut polled, self.timeout()) {
            Err(nix::errno::Errno::EINTR) => return Ok(Ready::default()),
            other => other?,
        };
        let any = |fd: Option<&PollFd<'_>>| fd.and_then(PollFd::any).unwrap_or(false);
        Ok(Ready {
            control: any(polled.first()),
            signal: any(polled.get(1)),
            process: self.process().is_some() && any(polled.last()),
        })
    }

    fn timeout(&self) -> PollTimeout {
        let at = match &self.phase {
            Phase::Running { .. } => self.measure_at,
            Phase::BackingOff { until } => *until,
            Phase::Stopping { kill_at, .. } => self.measure_at.min(*kill_at),
            Phase::Stopped if self.is_idle() => self.idle_until,
            Phase::Stopped => return PollTimeout::NONE,
        };
        // Rounded up, so that the time has come when poll returns.
        let wait = at.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
        PollTimeout::try_from(wait.min(Duration::from_secs(3600))).unwrap_or(PollTimeout::ZERO)
    }

    fn measure(&mut self, now: Instant) {
        match output::bound(self.spec.log_bytes) {
            Ok(length) => {
                // Until the next look, twice as far away, no more may be written than is kept ready.
                let grew = length.saturating_sub(self.measured) > output::ahead(self.spec.log_bytes) / 2;
                self.measured = length;
                self.measure_every = if grew {
                    MEASURE.0
                } else {
                    MEASURE.1.min(self.measure_every * 2)
                };
            }
            Err(e) => {
                complain(&format!("cannot bound the output: {e}"));
                self.measure_every = Duration::from_secs(600);
            }
        }
        match output::reserve(self.spec.log_bytes, self.reserved) {
            Ok(reserved) => self.reserved = reserved,
            Err(e) => complain(&format!("cannot keep room for the output: {e}")),
        }
        self.measure_at = now + self.measure_every;
    }

    fn record(&mut self, exit: Exit) {
        if let Err(e) = append_exit(&exit) {
            complain(&format!("cannot record that {exit}: {e}"));
        }
        self.last_exit = Some(exit);
    }
}

enum Reply {
    Text(String),
    Socket(std::os::fd::OwnedFd),
    /// Once the process has ended.
    WhenGone,
}

#[derive(Default)]
struct Ready {
    control: bool,
    signal: bool,
    process: bool,
}

fn append_exit(exit: &Exit) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).open(EXITS)?;
    writeln!(file, "{}", text::escape(&exit.to_string()))?;
    if file.metadata()?.len() > EXITS_BYTES_MAX {
        fs::rename(EXITS, "exits.1")?;
    }
    Ok(())
}

fn last_exit() -> Option<Exit> {
    let text = fs::read_to_string(EXITS)
        .or_else(|_| fs::read_to_string("exits.1"))
        .ok()?;
    text.lines()
        .last()
        .and_then(text::unescape)
        .as_deref()
        .and_then(Exit::parse)
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Tells whoever started us, once; stdout is of no use after that.
fn announce(word: &str) {
    let _ = writeln!(io::stdout(), "{word}").and_then(|()| io::stdout().flush());
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdout(null);
    }
}

/// To `keeper.log`, which stderr is where a keeper was started by [`crate::client::spawn`].
fn complain(fault: &str) {
    let _ = writeln!(io::stderr(), "{} {fault}", now_ms());
}
