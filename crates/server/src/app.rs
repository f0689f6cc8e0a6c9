//! What every request can reach.

pub(crate) mod deployments;
pub(crate) mod releases;

use crate::attempts::Attempts;
use crate::clock::Clock;
use crate::driver::Driver;
use crate::driver::deployment::Live;
use crate::error::{AppError, AppResult};
use crate::git::Repositories;
use crate::metric::Metrics;
use crate::outgoing::Outgoing;
use pilotage_deploy::Local;
use pilotage_store::{Project, Store};
use pilotage_trust::seal::KeyRing;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

pub(crate) struct App {
    pub store: Arc<Store>,
    pub driver: Arc<Driver>,
    pub clock: Arc<Clock>,
    pub repositories: Repositories,
    pub keys: KeyRing,
    /// The target of this machine, where environments run.
    pub local: Local,
    /// What the proxy counts now.
    pub live: Live,
    /// What was measured of what runs.
    pub metrics: Metrics,
    /// Where people and programs reach the server: `http://localhost:7070`, without a slash at the end.
    pub url: String,
    pub data: PathBuf,
    /// The way to addresses that people have chosen.
    pub outgoing: Outgoing,
    /// Where PagerDuty takes events.
    pub pagerduty: String,
    pub started_at: i64,
    /// When each runner was last heard of. Shown to people; nothing is decided by it.
    pub seen: Mutex<HashMap<i64, i64>>,
    /// Wrong tokens and denied attempts.
    pub attempts: Attempts,
    /// Live streams, by the session that holds them.
    pub streams: crate::web::Streams,
    /// Where the newest failures of runs are said; those of runs that are over do not change.
    pub failures: Mutex<HashMap<(i64, i64), crate::web::Said>>,
    /// What deployments that have ended came to.
    pub pasts: crate::web::Known,
    /// What the logs that people looked at last were looked through for.
    pub log_indexes: crate::web::Indexes,
    /// Who read the audit log in the last hour.
    pub audit_readers: crate::audit_reads::Readers,
    /// How far the audit log's chain was verified.
    pub audit_walked: crate::web::Walked,
    /// Becomes true when the server goes down: long answers end then.
    pub stopping: watch::Receiver<bool>,
}

impl App {
    #[must_use]
    pub(crate) fn now(&self) -> i64 {
        self.clock.now()
    }

    /// Takes note that a runner was heard of.
    pub(crate) fn seen(&self, runner: i64) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(runner, self.now());
    }

    pub(crate) async fn project(&self, owner: &str, name: &str) -> AppResult<Project> {
        let found = self.store.read().await?.project(owner, name).await?;
        found.ok_or_else(|| {
            AppError::not_found(format!(
                "project {}",
                crate::name::shown(&format!("{owner}/{name}"))
            ))
        })
    }

    #[must_use]
    pub(crate) fn git_url(&self, project: &Project) -> String {
        format!("{}/{}.git", self.url, project.path())
    }

    #[must_use]
    pub(crate) fn run_url(&self, project: &Project, run: i64) -> String {
        format!("{}/{}/runs/{run}", self.url, project.path())
    }
}
