//! Which processes belong to a job, and their end.
//!
//! A job's process is known by its session (each program of ours leads one), by the marker in its environment, by
//! a resource limit that it inherited, by its user where jobs have one, or by its parent. This process is a subreaper: what loses its parent becomes our
//! child, so a job whose children we have all reaped has nothing left, however it hides.

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

/// A process that a job left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    pub pid: i32,
    /// As `ps` shows it, up to 15 bytes.
    pub name: String,
    /// False where it is still there although it was killed.
    pub killed: bool,
}

/// Makes orphans of our programs our children. To be called once, before the first job.
pub fn become_subreaper() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)?;
    SUBREAPER.store(true, Ordering::Release);
    Ok(())
}

/// Kills all processes whose tracking id begins so: what a runner that died left behind. Gives what was there.
pub async fn kill_marked(prefix: &str) -> Vec<Leftover> {
    const ROUNDS_MAX: usize = 50;
    let marker = marker(prefix);
    let mut left: Vec<Leftover> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let table = processes();
        let marked = table
            .iter()
            .filter(|p| !p.zombie && p.pid != own_pid() && has_marker(p.pid, &marker));
        let members = with_descendants(&table, marked.map(|p| p.pid).collect());
        if members.is_empty() {
            left.iter_mut().for_each(|l| l.killed = true);
            break;
        }
        kill_all(&table, &members, &mut left);
        wait_gone(&members, Duration::from_millis(200)).await;
    }
    left
}

/// Sends a signal to the program and those that it started in its own process group.
pub(super) fn signal_group(pid: i32, signal: Signal) {
    let _ = killpg(Pid::from_raw(pid), signal);
}

/// Kills a program with its group, its session and all its descendants.
pub(super) fn kill_tree(pid: i32) {
    signal_group(pid, Signal::SIGKILL);
    let table = processes();
    let seeds = table
        .iter()
        .filter(|p| p.pid == pid || p.session == pid)
        .map(|p| p.pid)
        .collect();
    for member in with_descendants(&table, seeds) {
        let _ = kill(Pid::from_raw(member), Signal::SIGKILL);
    }
}

/// Held while a program is started and its pid noted, so that [`Job::reap`] does not take it for an orphan.
pub(super) fn starting() -> RwLockReadGuard<'static, ()> {
    STARTING.read().unwrap_or_else(PoisonError::into_inner)
}

static SUBREAPER: AtomicBool = AtomicBool::new(false);
static STARTING: RwLock<()> = RwLock::new(());
static NEXT_JOB: AtomicU64 = AtomicU64::new(1);
static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// Of all jobs of this process.
#[derive(Default)]
struct Known {
    /// Programs that are waited for by whoever started them.
    mains: HashSet<i32>,
    /// Sessions that may still have members, with their jobs.
    sessions: HashMap<i32, u64>,
    jobs: HashSet<u64>,
}

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The processes of one job.
#[derive(Debug)]
pub(super) struct Job {
    number: u64,
    marker: Vec<u8>,
    /// Where the job has a user of its own.
    user: Option<u32>,
    ended: AtomicBool,
}

/// While it lives, the program is waited for by its owner.
pub(super) struct Main(i32);

impl Drop for Main {
    fn drop(&mut self) {
        known().mains.remove(&self.0);
    }
}

impl Job {
    pub(super) fn new(tracking_id: &str, user: Option<u32>) -> Self {
        let number = NEXT_JOB.fetch_add(1, Ordering::Relaxed);
        known().jobs.insert(number);
        Self {
            number,
            marker: [marker(tracking_id), vec![0]].concat(),
            user,
            ended: AtomicBool::new(false),
        }
    }

    /// See [`super::spawn::brand`].
    pub(super) fn brand(&self) -> u64 {
        super::spawn::brand(self.number)
    }

    /// Notes a program that was started for this job. To be called under [`starting`].
    pub(super) fn main(&self, pid: i32) -> Main {
        let mut known = known();
        known.mains.insert(pid);
        known.sessions.insert(pid, self.number);
        Main(pid)
    }

    /// Kills what a stopped program left in its session.
    pub(super) fn kill_session(&self, session: i32) {
        for process in processes().iter().filter(|p| p.session == session) {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
    }

    /// Reaps orphans that ended, and forgets sessions without members. Cheap where nothing was left behind.
    pub(super) fn reap(&self) {
        // A program that is being started right now is no orphan; then the next call does it.
        let Ok(_alone) = STARTING.try_write() else { return };
        let orphans = orphans();
        for pid in &orphans {
            let _ = waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG));
        }
        if orphans.is_empty() && SUBREAPER.load(Ordering::Acquire) {
            let mut known = known();
            let Known { mains, sessions, .. } = &mut *known;
            sessions.retain(|pid, job| *job != self.number || mains.contains(pid));
        }
    }

    /// Kills until nothing of the job is left, or the time is over.
    pub(super) async fn end(&self, time: Duration) -> Vec<Leftover> {
        let deadline = Instant::now() + time;
        let mut left: Vec<Leftover> = Vec::new();
        loop {
            self.reap();
            if self.is_surely_empty() {
                break;
            }
            let table = processes();
            let members = self.members(&table);
            if members.is_empty() {
                break;
            }
            self.stop_forking(&members);
            kill_all(&table, &members, &mut left);
            if Instant::now() > deadline {
                left.iter_mut().for_each(|l| l.killed = !members.contains(&l.pid));
                self.forget();
                return left;
            }
            wait_gone(&members, Duration::from_millis(500)).await;
        }
        self.forget();
        left.iter_mut().for_each(|l| l.killed = true);
        left
    }

    /// Stops the members and those that they start meanwhile, so that killing is not a race with a fork bomb.
    fn stop_forking(&self, members: &HashSet<i32>) {
        const ROUNDS_MAX: usize = 20;
        let mut stopped = members.clone();
        for _ in 0..ROUNDS_MAX {
            for pid in &stopped {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGSTOP);
            }
            let now = self.members(&processes());
            if now.is_subset(&stopped) {
                break;
            }
            stopped = now;
        }
    }

    /// Without waiting, for a job that is dropped.
    pub(super) fn kill_once(&self) {
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        self.reap();
        if !self.is_surely_empty() {
            let table = processes();
            for pid in self.members(&table) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        self.forget();
    }

    fn forget(&self) {
        self.ended.store(true, Ordering::Release);
        let mut known = known();
        known.jobs.remove(&self.number);
        known.sessions.retain(|_, job| *job != self.number);
    }

    /// Every process of every job is a descendant of ours: no child, no process.
    fn is_surely_empty(&self) -> bool {
        let has_main = {
            let known = known();
            known
                .mains
                .iter()
                .any(|pid| known.sessions.get(pid) == Some(&self.number))
        };
        SUBREAPER.load(Ordering::Acquire) && !has_main && orphans().is_empty()
    }

    fn members(&self, table: &[Process]) -> HashSet<i32> {
        let own = own_pid();
        let own_session = table.iter().find(|p| p.pid == own).map_or(0, |p| p.session);
        let (sessions, mains, alone) = {
            let known = known();
            (known.sessions.clone(), known.mains.clone(), known.jobs.len() <= 1)
        };
        let belongs = |p: &Process| {
            if p.pid == own {
                return false;
            }
            match sessions.get(&p.session) {
                Some(job) => *job == self.number,
                None if p.session == own_session => has_marker(p.pid, &self.marker),
                None => {
                    // Without any sign of its own, an orphan can only belong to the only job there is.
                    let nameless = alone && p.parent == own && !mains.contains(&p.pid);
                    nameless
                        || super::spawn::brand_of(p.pid) == Some(self.brand())
                        || self.user.is_some_and(|u| user_of(p.pid) == Some(u))
                        || has_marker(p.pid, &self.marker)
                }
            }
        };
        let seeds = table
            .iter()
            .filter(|p| !p.zombie && belongs(p))
            .map(|p| p.pid)
            .collect();
        with_descendants(table, seeds)
    }
}

/// A line of `/proc/PID/stat`.
#[derive(Debug)]
struct Process {
    pid: i32,
    parent: i32,
    session: i32,
    zombie: bool,
    name: String,
}

fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| process(&fs::read(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// The name stands in brackets and may hold anything, brackets and spaces too.
fn process(stat: &[u8]) -> Option<Process> {
    let open = stat.iter().position(|b| *b == b'(')?;
    let close = stat.iter().rposition(|b| *b == b')')?;
    let pid = std::str::from_utf8(stat.get(..open)?).ok()?.trim().parse().ok()?;
    let name = String::from_utf8_lossy(stat.get(open + 1..close)?).into_owned();
    let mut fields = std::str::from_utf8(stat.get(close + 1..)?)
        .ok()?
        .split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        session,
        zombie: matches!(state, "Z" | "X"),
        name,
    })
}

fn with_descendants(table: &[Process], mut members: HashSet<i32>) -> HashSet<i32> {
    let own = own_pid();
    loop {
        let before = members.len();
        let children = table
            .iter()
            .filter(|p| !p.zombie && p.pid != own && members.contains(&p.parent))
            .map(|p| p.pid);
        let children: Vec<i32> = children.collect();
        members.extend(children);
        if members.len() == before {
            return members;
        }
    }
}

fn kill_all(table: &[Process], members: &HashSet<i32>, left: &mut Vec<Leftover>) {
    for process in table.iter().filter(|p| members.contains(&p.pid)) {
        let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        if !left.iter().any(|l| l.pid == process.pid) {
            left.push(Leftover {
                pid: process.pid,
                name: process.name.clone(),
                killed: false,
            });
        }
    }
}

/// Our children that nobody waits for: orphans of jobs. Children in our own session are not from a job.
fn orphans() -> Vec<i32> {
    let children = children();
    if children.is_empty() {
        return children;
    }
    let own_session = nix::unistd::getsid(None).map_or(0, Pid::as_raw);
    let known = known();
    let unknown = children.into_iter().filter(|pid| !known.mains.contains(pid));
    unknown
        .filter(|pid| {
            nix::unistd::getsid(Some(Pid::from_raw(*pid))).map_or(true, |s| s.as_raw() != own_session)
        })
        .collect()
}

/// From `/proc/self/task/*/children`; where the kernel has no such file, from the table of all processes.
fn children() -> Vec<i32> {
    let mut all = Vec::new();
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return all;
    };
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(text) => all.extend(
                text.split_ascii_whitespace()
                    .filter_map(|pid| pid.parse::<i32>().ok()),
            ),
            // A thread that ended in between; the file itself is missing for none or for all.
            Err(_) if thread.path().exists() => {
                let own = i32::try_from(std::process::id()).unwrap_or(0);
                return processes()
                    .into_iter()
                    .filter(|p| p.parent == own)
                    .map(|p| p.pid)
                    .collect();
            }
            Err(_) => {}
        }
    }
    all
}

fn own_pid() -> i32 {
    Pid::this().as_raw()
}

fn marker(tracking_id: &str) -> Vec<u8> {
    format!("{}={tracking_id}", super::TRACKING_VARIABLE).into_bytes()
}

/// Whether an entry of the process's environment begins so.
fn has_marker(pid: i32, marker: &[u8]) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    environment.starts_with(marker) || memchr::memmem::find(&environment, &[&[0], marker].concat()).is_some()
}

fn user_of(pid: i32) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(format!("/proc/{pid}")).ok().map(|m| m.uid())
}

/// Waits until one of them is gone; they were killed.
async fn wait_gone(members: &HashSet<i32>, time: Duration) {
    let Some(watched) = members.iter().find_map(|pid| super::spawn::pidfd(*pid).ok()) else {
        return;
    };
    let _ = tokio::time::timeout(time, watched.readable()).await;
}
