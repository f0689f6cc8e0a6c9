//! The kept process: how it is started, known again, and signalled.
//!
//! A process is known by its pid, its start time and the boot that it belongs to. The process writes that itself,
//! after fork and before it executes, while it still shares the keeper's lock: whoever takes the lock later finds
//! it written. So there is no instant at which a killed keeper could leave a process that its successor does not
//! know.

use crate::spec::Spec;
use crate::sys;
use crate::text;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, setsid};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const RECORD: &str = "child";
const LOCK: &str = "lock";

/// Takes the directory's lock, or `None` if another keeper has it.
pub(crate) fn lock() -> io::Result<Option<Flock<File>>> {
    let file = File::options().create(true).append(true).open(LOCK)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}

/// What makes a process the same one and not a later one with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks after boot.
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.pid, self.start_ticks, self.boot)
    }
}

impl Identity {
    /// Of a process that lives now.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field is the name in parentheses, which may hold anything, parentheses too.
        let start_ticks = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19))
            .and_then(|field| field.parse().ok())
            .ok_or_else(|| io::Error::other("unexpected form of /proc/PID/stat"))?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?
            .trim()
            .to_owned();
        let pid = i32::try_from(pid).map_err(io::Error::other)?;
        Ok(Identity {
            pid,
            start_ticks,
            boot,
        })
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        Some(Identity {
            pid: parts.next()?.parse().ok().filter(|pid| *pid > 1)?,
            start_ticks: parts.next()?.parse().ok()?,
            boot: parts.next()?.to_owned(),
        })
    }
}

/// A process that lives, or has ended without having been waited for.
pub(crate) struct Process {
    pub(crate) identity: Identity,
    pub(crate) digest: Option<String>,
    /// Readable once it has ended.
    pub(crate) pidfd: OwnedFd,
    /// Absent of a process that an earlier keeper started: it is not ours to wait for.
    child: Option<Child>,
}

impl Process {
    /// Starts what the spec says. `start` is the number of this start, from 1.
    pub(crate) fn start(spec: &Spec, start: u64) -> io::Result<Self> {
        let digest = spec.digest_file.as_deref().map(read_digest).transpose()?;
        let out = File::options()
            .create(true)
            .append(true)
            .open(crate::output::FILE)?;
        let mut command = Command::new(spec.argv.first().ok_or(io::ErrorKind::InvalidInput)?);
        command.args(spec.argv.iter().skip(1));
        command
            .env_clear()
            .envs(spec.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let (cwd, memory, recorded) = (spec.cwd.clone(), spec.memory_bytes, digest.clone());
        #[allow(unsafe_code)]
        // SAFETY: a keeper has one thread, so that its forked copy may do all that it may do itself.
        unsafe {
            command.pre_exec(move || become_kept(&cwd, memory, recorded.as_deref(), start));
        }
        let child = command.spawn()?;
        let pidfd = sys::pidfd_open(i32::try_from(child.id()).map_err(io::Error::other)?)?;
        Ok(Process {
            identity: Identity::of(child.id())?,
            digest,
            pidfd,
            child: Some(child),
        })
    }

    /// The process that the record names, if it is that one and lives, and how many starts there were.
    pub(crate) fn adopt() -> (Option<Self>, u64) {
        let Some(record) = Record::read() else {
            return (None, 0);
        };
        let pidfd = sys::pidfd_open(record.identity.pid);
        // Only after the descriptor stands for whoever has the number now is it known to be the one we mean.
        let same = u32::try_from(record.identity.pid)
            .is_ok_and(|pid| Identity::of(pid).is_ok_and(|now| now == record.identity));
        match pidfd {
            // Where nobody waits for orphans, one that has ended keeps its number as a zombie.
            Ok(pidfd) if same && !has_ended(&pidfd) => {
                let (identity, digest) = (record.identity, record.digest);
                (
                    Some(Process {
                        identity,
                        digest,
                        pidfd,
                        child: None,
                    }),
                    record.start,
                )
            }
            _ => (None, record.start),
        }
    }

    /// To the process and all that it started and that stayed in its group.
    pub(crate) fn signal(&self, signal: Signal) {
        // It can only fail because there is nobody left.
        let _ = killpg(Pid::from_raw(self.identity.pid), signal);
    }

    /// After the pidfd was readable: kills what is left of its group, and says how it ended.
    pub(crate) fn end(mut self) -> crate::state::ExitKind {
        use crate::state::ExitKind;
        use std::os::unix::process::ExitStatusExt;
        self.signal(Signal::SIGKILL);
        let status = self.child.as_mut().and_then(|child| child.wait().ok());
        end_orphans();
        let Some(status) = status else {
            return ExitKind::Unknown;
        };
        match (status.code(), status.signal()) {
            (Some(code), _) => ExitKind::Code(code),
            (_, Some(signal)) => ExitKind::Signal(signal),
            _ => ExitKind::Unknown,
        }
    }
}

/// Waits for what the process (which must not be waited for here) left behind and that has ended.
pub(crate) fn reap_orphans(process: Option<i32>) {
    for orphan in children().into_iter().filter(|pid| Some(*pid) != process) {
        let _ = waitpid(Pid::from_raw(orphan), Some(WaitPidFlag::WNOHANG));
    }
}

/// Ends what left the process's group and outlived it. Each round shows the children of those that it ended.
fn end_orphans() {
    for _ in 0..1000 {
        let orphans = children();
        if orphans.is_empty() {
            return;
        }
        for orphan in orphans.into_iter().map(Pid::from_raw) {
            let _ = kill(orphan, Signal::SIGKILL);
            let _ = waitpid(orphan, None);
        }
    }
}

/// Our own children; none where the kernel does not list them.
fn children() -> Vec<i32> {
    let own = std::process::id();
    let list = fs::read_to_string(format!("/proc/self/task/{own}/children")).unwrap_or_default();
    list.split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// Runs in the new process, between fork and exec.
fn become_kept(cwd: &Path, memory: Option<u64>, digest: Option<&str>, start: u64) -> io::Result<()> {
    setsid()?;
    Record {
        identity: Identity::of(std::process::id())?,
        digest: digest.map(str::to_owned),
        start,
    }
    .write()?;
    std::env::set_current_dir(cwd)?;
    umask(Mode::from_bits_truncate(0o022));
    // The keeper blocks the signals that it reads, and blocked signals stay so across exec.
    SigSet::empty().thread_set_mask()?;
    sys::default_signals();
    if let Some(bytes) = memory {
        setrlimit(Resource::RLIMIT_DATA, bytes, bytes)?;
    }
    sys::close_all_on_exec()
}

struct Record {
    identity: Identity,
    digest: Option<String>,
    start: u64,
}

impl Record {
    fn write(&self) -> io::Result<()> {
        let mut text = format!("child={}\nstart={}\n", self.identity, self.start);
        if let Some(digest) = &self.digest {
            text.push_str(&format!("digest={}\n", text::escape(digest)));
        }
        fs::write("child.new", text)?;
        fs::rename("child.new", RECORD)
    }

    fn read() -> Option<Self> {
        let body = fs::read_to_string(RECORD).ok()?;
        let (mut identity, mut digest, mut start) = (None, None, 0);
        for pair in text::pairs(&body) {
            match pair? {
                ("child", value) => identity = Identity::parse(&value),
                ("digest", value) => digest = Some(value),
                ("start", value) => start = value.parse().ok()?,
                _ => {}
            }
        }
        Some(Record {
            identity: identity?,
            digest,
            start,
        })
    }
}

fn read_digest(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let annotate = |e: io::Error| io::Error::new(e.kind(), format!("cannot read {}: {e}", path.display()));
    File::open(path)
        .and_then(|f| f.take(256).read_to_string(&mut text))
        .map_err(annotate)?;
    Ok(text.trim().to_owned())
}

/// The pidfd as poll wants it.
impl AsFd for Process {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
