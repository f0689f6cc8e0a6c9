//! The server's own runner: another process of the same program, started again whenever it ends.
//!
//! It holds a lock for as long as it lives: the locked file is its stdin. A runner that outlived a killed server is
//! found by that; it is left alone with its jobs, and ended only when it looks for the server at another address.

use crate::app::App;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// How often an earlier runner is looked at: a lock cannot be awaited without a thread that never ends.
const LOOK: Duration = Duration::from_millis(500);
/// How long a runner that is asked to end has for it, before it is killed.
const END_TIME: Duration = Duration::from_secs(10);

/// How the server's runner is started.
pub(crate) struct OwnRunner {
    pub(crate) token: PathBuf,
    pub(crate) url: String,
    pub(crate) slots: u32,
}

impl OwnRunner {
    /// Keeps it running until the server goes down; then it is asked to end, which it does after its jobs.
    pub(crate) async fn keep(self, app: Arc<App>) {
        let mut stopping = app.stopping.clone();
        let mut back_off = Duration::from_secs(1);
        loop {
            let begun = Instant::now();
            let ended = tokio::select! {
                ended = self.run(&app) => ended,
                _ = stopping.wait_for(|stop| *stop) => return,
            };
            match ended {
                Ok(status) => tracing::warn!("the server's runner ended: {status}"),
                Err(error) => tracing::error!("the server's runner cannot be started: {error}"),
            }
            if begun.elapsed() > BACK_OFF_MAX {
                back_off = Duration::from_secs(1);
            }
            tokio::select! {
                () = sleep(back_off) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
    }

    /// One life of the runner, or what is left of an earlier one's.
    async fn run(&self, app: &App) -> io::Result<String> {
        // Beside the data directory, not in it: jobs run as other users, and nothing in there is theirs to reach.
        let mut name = app.data.file_name().unwrap_or_default().to_owned();
        name.push("-runner");
        let directory = app.data.with_file_name(name);
        std::fs::create_dir_all(&directory)?;
        let (alive, note) = (directory.join("alive"), directory.join("started"));
        let lock = File::options()
            .create(true)
            .read(true)
            .append(true)
            .open(&alive)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return self.adopt(&lock, &alive, &note).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "runner",
            "start",
            "--name",
            "local",
            "--slots",
            &self.slots.to_string(),
            "--url",
            &self.url,
        ]);
        command
            .arg("--token-file")
            .arg(&self.token)
            .arg("--data")
            .arg(&directory)
            .arg("--protect")
            .arg(&app.data);
        let mut child = command.stdin(Stdio::from(lock)).spawn()?;
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let ask_to_end = pid.map(AskToEnd);
        if let Some(pid) = pid {
            std::fs::write(&note, format!("{pid} {}", self.url))?;
        }
        let status = child.wait().await?;
        std::mem::forget(ask_to_end);
        Ok(status.to_string())
    }

    /// Waits for the end of a runner that outlived an earlier server.
    async fn adopt(&self, lock: &File, alive: &Path, note: &Path) -> io::Result<String> {
        let text = std::fs::read_to_string(note).unwrap_or_default();
        let (pid, url) = text.split_once(' ').unwrap_or_default();
        // The pid is believed only if that process has our file as its stdin.
        let pid = pid
            .parse()
            .ok()
            .filter(|pid| has_stdin(*pid, alive))
            .map(Pid::from_raw);
        let lost = url != self.url;
        let ask_to_end = pid.map(AskToEnd);
        if lost {
            drop(ask_to_end);
            let until = Instant::now() + END_TIME;
            while is_held(lock)? {
                sleep(LOOK).await;
                if Instant::now() > until {
                    pid.map(|pid| kill(pid, Signal::SIGKILL));
                }
            }
            return Ok("it looked for the server at another address".to_owned());
        }
        tracing::info!("a runner of an earlier server goes on with its jobs");
        while is_held(lock)? {
            sleep(LOOK).await;
        }
        std::mem::forget(ask_to_end);
        Ok("it had outlived an earlier server".to_owned())
    }
}

fn is_held(lock: &File) -> io::Result<bool> {
    match lock.try_lock() {
        Ok(()) => lock.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn has_stdin(pid: i32, path: &Path) -> bool {
    let path = std::fs::canonicalize(path);
    path.is_ok_and(|path| std::fs::read_link(format!("/proc/{pid}/fd/0")).is_ok_and(|target| target == path))
}

/// Asks a runner to end when the server does: it finishes its jobs first.
struct AskToEnd(Pid);

impl Drop for AskToEnd {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGTERM);
    }
}
