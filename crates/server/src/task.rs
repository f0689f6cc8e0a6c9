//! What the server does by itself: archives logs, removes what is old, keeps its runner.

use crate::app::App;
use crate::config::Retention;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};

const HOUR: Duration = Duration::from_secs(3600);
/// A blob that nobody refers to is removed only after so long: its owner may be about to be recorded.
const BLOB_AGE: Duration = Duration::from_secs(2 * 3600);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// Compresses the logs of jobs that have ended, whenever some have.
pub(crate) async fn archive_logs(app: &App) {
    let mut changes = app.driver.changes();
    loop {
        changes.borrow_and_update();
        if let Err(error) = archive_ended(app).await {
            crate::error::log("a log cannot be archived", &error);
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn archive_ended(app: &App) -> Result<(), pilotage_store::StoreError> {
    loop {
        let jobs = app.store.read().await?.unarchived_jobs().await?;
        if jobs.is_empty() {
            return Ok(());
        }
        for job in jobs {
            app.store.logs.archive(job).await?;
            app.store
                .write(move |c| Box::pin(async move { c.set_log_archived(job).await }))
                .await?;
        }
    }
}

/// Removes what is over its time, every hour, and says what that was.
pub(crate) async fn retain(app: Arc<App>, retention: Retention) {
    loop {
        match app.store.retain(&policy(retention), app.now(), BLOB_AGE).await {
            Ok(removed) if removed.is_nothing() => {}
            Ok(removed) => tracing::info!("retention removed {removed}"),
            Err(error) => {
                crate::error::log("retention failed; tried again in an hour", &error);
            }
        }
        tokio::time::sleep(HOUR).await;
    }
}

fn policy(retention: Retention) -> pilotage_store::RetentionPolicy {
    let day_ms = 24 * 3600 * 1000;
    pilotage_store::RetentionPolicy {
        run_age_ms: i64::from(retention.run_days) * day_ms,
        cache_age_ms: i64::from(retention.cache_days) * day_ms,
        cache_bytes_max: i64::try_from(retention.cache_bytes_max).unwrap_or(i64::MAX),
    }
}

/// Keeps one runner of our own, started from the same program, and starts it again when it ends.
///
/// The runner holds a lock for as long as it lives: the locked file is its stdin. A runner that outlived an earlier
/// server is found by that, and left alone until it ends.
pub(crate) async fn keep_runner(app: Arc<App>, token: PathBuf, url: String, slots: u32) {
    let mut stopping = app.stopping.clone();
    let mut back_off = Duration::from_secs(1);
    loop {
        let begun = tokio::time::Instant::now();
        let ended = tokio::select! {
            ended = run_runner(&app, &token, &url, slots) => ended,
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
            () = tokio::time::sleep(back_off) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

async fn run_runner(
    app: &App,
    token: &PathBuf,
    url: &str,
    slots: u32,
) -> std::io::Result<std::process::ExitStatus> {
    // Beside the data directory, not in it: jobs run as other users, and nothing in there is theirs to reach.
    let mut name = app.data.file_name().unwrap_or_default().to_owned();
    name.push("-runner");
    let directory = app.data.with_file_name(name);
    std::fs::create_dir_all(&directory)?;
    let path = directory.join("alive");
    let lock = tokio::task::spawn_blocking(move || {
        let lock = std::fs::File::options()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        lock.lock()?;
        std::io::Result::Ok(lock)
    })
    .await
    .map_err(std::io::Error::other)??;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["runner", "start", "--name", "local"])
        .arg("--slots")
        .arg(slots.to_string())
        .arg("--url")
        .arg(url)
        .arg("--token-file")
        .arg(token)
        .arg("--protect")
        .arg(&app.data)
        .arg("--data")
        .arg(&directory)
        .arg("--protect")
        .arg(&app.data)
        .stdin(Stdio::from(lock));
    let mut guard = Terminate(command.spawn()?);
    guard.0.wait().await
}

/// Asks a runner to end when the server does: it finishes its jobs first.
struct Terminate(Child);

impl Drop for Terminate {
    fn drop(&mut self) {
        let Some(id) = self.0.id().and_then(|id| i32::try_from(id).ok()) else {
            return;
        };
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM);
    }
}
