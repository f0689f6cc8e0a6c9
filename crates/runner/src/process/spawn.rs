//! Starts a program as cheaply as the kernel allows: `clone` with shared memory, as `posix_spawn` does, which costs
//! the same however large this process is. The standard library would `fork` here, because it has no other way to
//! make a session, change the user or apply Landlock in the child.
//!
//! Owns the unsafe part. Between `clone` and `execve` the child shares our memory: it only makes system calls, and
//! writes to nothing but its own stack and [`Failure`].

#![allow(unsafe_code)]

use super::{Program, Status};
use crate::isolation::{ChildRules, User};
use nix::fcntl::OFlag;
use std::ffi::{CString, OsStr, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::unix::AsyncFd;

const STACK_BYTES: usize = 64 * 1024;
/// Beyond the default 64 KiB, so that a program which writes much waits less often.
const PIPE_BYTES: c_int = 256 * 1024;

/// A program with its texts in the form that `execve` wants.
pub(super) struct Exec {
    path: CString,
    cwd: CString,
    argv: Vec<CString>,
    envp: Vec<CString>,
}

impl Exec {
    /// Fails where a text holds a NUL.
    pub(super) fn new(program: &Program, extra: (&str, &str)) -> io::Result<Self> {
        let argv =
            std::iter::once(program.path.as_os_str()).chain(program.args.iter().map(|a| a.as_os_str()));
        let extra = (OsStr::new(extra.0), OsStr::new(extra.1));
        let env = program
            .env
            .iter()
            .map(|(k, v)| (k.as_os_str(), v.as_os_str()))
            .filter(|(k, _)| *k != extra.0);
        Ok(Self {
            path: c_string(program.path.as_os_str().as_bytes())?,
            cwd: c_string(program.cwd.as_os_str().as_bytes())?,
            argv: argv.map(|a| c_string(a.as_bytes())).collect::<io::Result<_>>()?,
            envp: env
                .chain([extra])
                .map(|(k, v)| c_string(&[k.as_bytes(), b"=", v.as_bytes()].concat()))
                .collect::<io::Result<_>>()?,
        })
    }
}

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a text holds a NUL byte"))
}

/// The pipe for stdout and stderr: the reading end does not block.
pub(super) fn output_pipe(user: Option<User>) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    nix::fcntl::fcntl(&read, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // Only for speed: an unprivileged user may have used up what pipes may take.
    let _ = nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    if let Some(user) = user {
        // Programs open `/dev/stdout` and `/dev/stderr` by name, which asks for the owner.
        nix::unistd::fchown(&write, Some(user.uid.into()), Some(user.gid.into()))?;
    }
    Ok((read, write))
}

/// A started process that was not waited for yet.
pub(super) struct Running {
    pub(super) pid: i32,
    pidfd: AsyncFd<OwnedFd>,
    reaped: AtomicBool,
}

impl Drop for Running {
    /// Given up before its end: it dies with all that it started. Its rest is reaped as an orphan.
    fn drop(&mut self) {
        if !self.reaped.load(Ordering::Acquire) {
            super::members::kill_tree(self.pid);
        }
    }
}

impl Running {
    /// Waits for its end and reaps it. To be called again only after it was dropped while it waited.
    pub(super) async fn wait(&self) -> io::Result<Status> {
        let _ready = self.pidfd.readable().await?;
        self.reaped.store(true, Ordering::Release);
        match nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(self.pid), None)? {
            nix::sys::wait::WaitStatus::Signaled(_, signal, _) => Ok(Status::Signal(signal as i32)),
            nix::sys::wait::WaitStatus::Exited(_, code) => Ok(Status::Code(code)),
            other => Err(io::Error::other(format!("unexpected state {other:?}"))),
        }
    }
}

/// Where the child stopped, if it could not become the program.
#[repr(C)]
struct Failure {
    step: c_int,
    errno: c_int,
}

/// The child's steps, by number, for messages.
const STEPS: [&str; 8] = [
    "make a process",
    "make a session",
    "connect its output",
    "give up groups and user",
    "give up privileges",
    "shut it off from the platform",
    "enter its working directory",
    "execute it",
];

/// By number, from `linux/capability.h`: modules, raw input and output, tracing, administration, reboot, making
/// devices, overriding and administrating mandatory access control, performance monitoring, BPF, checkpointing.
/// Reading another process's environment takes any of tracing, administration and performance monitoring.
const DROPPED_CAPABILITIES: [libc::c_ulong; 11] = [16, 17, 19, 21, 22, 27, 32, 33, 38, 39, 40];

/// What the child needs; raw pointers and numbers only.
struct Plan {
    path: *const c_char,
    cwd: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    null: RawFd,
    output: RawFd,
    landlock: RawFd,
    no_new_privs: bool,
    drop_capabilities: bool,
    user: Option<User>,
    brand: libc::rlim_t,
    failure: Failure,
}

/// The limit that carries a job's brand: inherited by every process of a job and changed by none of them in
/// practice, also where it cleared its environment and left its session. Few programs use message queues.
const BRAND_LIMIT: libc::__rlimit_resource_t = libc::RLIMIT_MSGQUEUE;
const BRAND_BASE: libc::rlim_t = 800_000;
const BRANDS: u64 = 100_000;

/// Processes of a job that has a user of its own: a fork bomb ends there, and not with the machine.
const USER_PROCESSES_MAX: libc::rlim_t = 8192;

/// The brand of a job's processes, by the job's number in this process.
pub(super) fn brand(job: u64) -> libc::rlim_t {
    BRAND_BASE - job % BRANDS
}

/// The brand of a process, where it can be asked.
pub(super) fn brand_of(pid: i32) -> Option<libc::rlim_t> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one `rlimit`, which is ours.
    let result = unsafe { libc::prlimit(pid, BRAND_LIMIT, std::ptr::null(), &mut limit) };
    (result == 0).then_some(limit.rlim_cur)
}

pub(super) fn spawn(
    exec: &Exec,
    output: &OwnedFd,
    rules: &ChildRules,
    brand: libc::rlim_t,
) -> Result<Running, (&'static str, io::Error)> {
    let first = |source| (STEPS[0], source);
    let argv = pointers(&exec.argv);
    let envp = pointers(&exec.envp);
    let mut plan = Plan {
        path: exec.path.as_ptr(),
        cwd: exec.cwd.as_ptr(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        null: dev_null().map_err(first)?,
        output: output.as_raw_fd(),
        landlock: rules.landlock.as_ref().map_or(-1, AsRawFd::as_raw_fd),
        no_new_privs: rules.no_new_privs,
        drop_capabilities: rules.drop_capabilities,
        user: rules.user,
        brand,
        failure: Failure { step: 0, errno: 0 },
    };
    let pid = clone_child(&mut plan).map_err(first)?;
    if plan.failure.errno != 0 {
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
        let step = usize::try_from(plan.failure.step)
            .ok()
            .and_then(|s| STEPS.get(s))
            .copied()
            .unwrap_or(STEPS[0]);
        return Err((step, io::Error::from_raw_os_error(plan.failure.errno)));
    }
    pidfd(pid)
        .map(|pidfd| Running {
            pid,
            pidfd,
            reaped: AtomicBool::new(false),
        })
        .map_err(|source| {
            super::members::kill_tree(pid);
            let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
            ("watch the process", source)
        })
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts
        .iter()
        .map(|t| t.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

/// One descriptor for all programs, for as long as this process runs.
fn dev_null() -> io::Result<RawFd> {
    static NULL: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(fd) = NULL.get() {
        return Ok(fd.as_raw_fd());
    }
    let fd: OwnedFd = std::fs::File::open("/dev/null")?.into();
    Ok(NULL.get_or_init(|| fd).as_raw_fd())
}

/// A descriptor that becomes readable when the process ends.
pub(super) fn pidfd(pid: i32) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: a plain system call; the result is checked before it is owned.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, libc::O_NONBLOCK) };
    let fd = c_int::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor, nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: an `OwnedFd` names the same open descriptor as long as it lives.
    Ok(unsafe { AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE)? })
}

fn clone_child(plan: &mut Plan) -> io::Result<i32> {
    let mut stack = vec![0u128; STACK_BYTES / size_of::<u128>()];
    // SAFETY: the stack is ours, aligned to 16 and stays until the child has its own memory: CLONE_VFORK holds this
    // thread until the child executed its program or ended. All signals are blocked, so no handler of ours runs in
    // the child, which shares our memory. `plan` outlives the call.
    unsafe {
        let (mut all, mut before) = (
            std::mem::zeroed::<libc::sigset_t>(),
            std::mem::zeroed::<libc::sigset_t>(),
        );
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let top = stack.as_mut_ptr().add(stack.len()).cast::<c_void>();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let pid = libc::clone(child, top, flags, std::ptr::from_mut(plan).cast());
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        if pid < 0 { Err(error) } else { Ok(pid) }
    }
}

/// The child, from `clone` to `execve`.
extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: the parent passed a valid plan and waits; see `clone_child`. Everything below is a system call.
    unsafe {
        let plan = &mut *plan.cast::<Plan>();
        let step = become_program(plan);
        std::ptr::write_volatile(&raw mut plan.failure.step, step);
        std::ptr::write_volatile(&raw mut plan.failure.errno, (*libc::__errno_location()).max(1));
        libc::_exit(127)
    }
}

/// Gives the number of the step that failed; does not return otherwise.
///
/// # Safety
/// Only in the child of `clone_child`.
unsafe fn become_program(plan: &Plan) -> c_int {
    // SAFETY: system calls on numbers and pointers that the parent keeps alive. Users and groups are changed by
    // raw calls, because the C library would make all threads of this process do the same.
    unsafe {
        if libc::setsid() < 0 {
            return 1;
        }
        if libc::dup2(plan.null, 0) < 0 || libc::dup2(plan.output, 1) < 0 || libc::dup2(plan.output, 2) < 0 {
            return 2;
        }
        // Only the soft limit: where even that is lower already, there is no brand, and the other signs must do.
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        if libc::getrlimit(BRAND_LIMIT, &mut limit) == 0 && limit.rlim_max >= plan.brand {
            limit.rlim_cur = plan.brand;
            libc::setrlimit(BRAND_LIMIT, &limit);
        }
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        if let Some(user) = plan.user {
            let processes = libc::rlimit {
                rlim_cur: USER_PROCESSES_MAX,
                rlim_max: USER_PROCESSES_MAX,
            };
            libc::setrlimit(libc::RLIMIT_NPROC, &processes);
            let none = std::ptr::null::<libc::gid_t>();
            if libc::syscall(libc::SYS_setgroups, 0, none) != 0
                || libc::syscall(libc::SYS_setresgid, user.gid, user.gid, user.gid) != 0
                || libc::syscall(libc::SYS_setresuid, user.uid, user.uid, user.uid) != 0
            {
                return 3;
            }
        }
        if plan.drop_capabilities {
            // From the bounding set: `execve` gives root no more than that. An old kernel does not know all of them.
            for capability in DROPPED_CAPABILITIES {
                libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
            }
        }
        if plan.no_new_privs && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return 4;
        }
        if plan.landlock >= 0 && libc::syscall(libc::SYS_landlock_restrict_self, plan.landlock, 0) != 0 {
            return 5;
        }
        if libc::chdir(plan.cwd) != 0 {
            return 6;
        }
        reset_signals();
        libc::execve(plan.path, plan.argv, plan.envp);
        7
    }
}

/// No handler, nothing ignored (we ignore SIGPIPE, programs should not), nothing blocked.
///
/// # Safety
/// Only in the child of `clone_child`.
unsafe fn reset_signals() {
    // SAFETY: system calls on values of this stack.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}
