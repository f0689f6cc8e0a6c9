//! What must run once: migrations before a deployment, a release's `prepare`.
//!
//! The command is a process group of its own that writes its log and its result by itself, so that it goes on, and
//! is found again, when we die. While it runs it holds a lock (its standard input is the locked file); whoever asks
//! again waits for that lock and then reads the result. Only a command that was itself killed before it could
//! write a result runs again.

use crate::error::{DeployError, blocking};
use crate::local::{Local, create_private};
use crate::replica::{below, plain_environment};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const STATUS: &str = "status";
const LOG: &str = "log";
const LOG_LINES: usize = 20;
const LOG_BYTES: u64 = 64 << 10;
/// How long an earlier one of unknown limit is waited for.
const EARLIER_WITHIN: Duration = Duration::from_secs(600);

/// A line for the shell.
#[derive(Clone)]
pub struct Command {
    pub line: String,
    /// The folder of the service within the release; empty for the release's own.
    pub folder: PathBuf,
    /// Added to `PATH`, `HOME` and `TMPDIR`, which is all that it gets besides.
    pub env: Vec<(String, String)>,
    pub within: Duration,
}

impl fmt::Debug for Command {
    /// Without the values of the environment: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("line", &self.line)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Local {
    /// Runs a service's `before` in a release that stands here, once for a key; called again with the same key, it
    /// gives the same result.
    ///
    /// # Errors
    /// [`DeployError::Command`] when it ended with another code than 0, was killed, or took too long.
    pub async fn run_before(&self, key: &str, digest: &str, command: Command) -> Result<(), DeployError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if key.is_empty() || key.len() > 200 || key.starts_with('.') || !key.chars().all(fits) {
            return Err(DeployError::Name {
                kind: "key",
                name: key.to_owned(),
            });
        }
        let (dir, tree) = (self.before().join(key), self.release_tree(digest)?);
        let _alone = self.alone(format!("before {key}")).await;
        blocking(move || run(&dir, &tree, &command)).await
    }
}

/// `sh DIR LINE`: the line's output goes to `DIR/log`, its code to `DIR/status`.
const WRAPPER: &str = r#"echo $$ >"$1/pid"
(eval "$2") </dev/null >>"$1/log" 2>&1
echo $? >"$1/status.new"
command -p mv "$1/status.new" "$1/status""#;

/// Runs the command, or finds what came of it earlier. Blocks.
pub(crate) fn run(dir: &Path, tree: &Path, command: &Command) -> Result<(), DeployError> {
    create_private(dir)?;
    let deadline = Instant::now() + command.within;
    let Some(lock) = lock(dir, deadline)? else {
        return Err(failed(dir, command, "did not end in time"));
    };
    if let Some(code) = result(dir) {
        return judge(dir, command, code);
    }
    // The lock belongs to the open file, which the child shares from here on: it is free when both have let go.
    let cwd = tree.join(below(&command.folder)?);
    let shared = lock
        .try_clone()
        .map_err(DeployError::path("share the lock of", dir))?;
    let mut child = std::process::Command::new("/bin/sh")
        .args(["-c", WRAPPER, "sh"])
        .arg(dir)
        .arg(&command.line)
        .current_dir(&cwd)
        .env_clear()
        .envs(plain_environment(dir)?)
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(shared)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(DeployError::io(format!(
            "run `{}` in {}",
            command.line,
            cwd.display()
        )))?;
    let ended =
        wait(&mut child, deadline).map_err(DeployError::io(format!("wait for `{}`", command.line)))?;
    match (result(dir), ended) {
        (Some(code), _) => judge(dir, command, code),
        (None, Some(status)) => {
            let ending = status.signal().map_or_else(
                || "left no result".into(),
                |s| format!("was killed by signal {s}"),
            );
            Err(failed(dir, command, &ending))
        }
        (None, None) => Err(failed(
            dir,
            command,
            &format!("did not end within {:?}", command.within),
        )),
    }
}

/// Waits for one that an earlier process of ours may have left at work.
pub(crate) fn wait_for_earlier(dir: &Path) -> Result<(), DeployError> {
    if !dir.join("lock").exists() {
        return Ok(());
    }
    match lock(dir, Instant::now() + EARLIER_WITHIN)? {
        Some(_) => Ok(()),
        None => Err(DeployError::Io {
            what: format!("wait for what runs in {}", dir.display()),
            source: io::ErrorKind::TimedOut.into(),
        }),
    }
}

/// `None` when an earlier one still has it at the deadline; that one is then killed.
fn lock(dir: &Path, deadline: Instant) -> Result<Option<Flock<File>>, DeployError> {
    let path = dir.join("lock");
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .read(true)
        .open(&path)
        .map_err(DeployError::path("open", &path))?;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((file, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < deadline => file,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                kill_group(dir);
                return Ok(None);
            }
            Err((_, errno)) => return Err(DeployError::path("lock", &path)(errno.into())),
        };
        // A lock with a time limit is not among what the kernel offers.
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn wait(child: &mut std::process::Child, deadline: Instant) -> io::Result<Option<std::process::ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            if let Ok(pid) = i32::try_from(child.id()) {
                let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            }
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Of one that we did not start: by the number that it wrote, while it demonstrably (its lock) still runs.
fn kill_group(dir: &Path) {
    let pid = fs::read_to_string(dir.join("pid"))
        .ok()
        .and_then(|t| t.trim().parse().ok());
    if let Some(pid) = pid.filter(|pid: &i32| *pid > 1) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn result(dir: &Path) -> Option<i32> {
    fs::read_to_string(dir.join(STATUS)).ok()?.trim().parse().ok()
}

fn judge(dir: &Path, command: &Command, code: i32) -> Result<(), DeployError> {
    if code == 0 {
        Ok(())
    } else {
        Err(failed(dir, command, &format!("ended with code {code}")))
    }
}

fn failed(dir: &Path, command: &Command, ending: &str) -> DeployError {
    let log = log_tail(dir).unwrap_or_default();
    DeployError::Command {
        line: command.line.clone(),
        ending: ending.to_owned(),
        log,
    }
}

fn log_tail(dir: &Path) -> io::Result<Vec<String>> {
    let mut file = File::open(dir.join(LOG))?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines
        .iter()
        .skip(lines.len().saturating_sub(LOG_LINES))
        .map(|l| (*l).to_owned())
        .collect())
}
