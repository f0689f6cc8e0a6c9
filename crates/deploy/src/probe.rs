//! Health: whether a replica answers as it should, several times in a row, while its process stays the same.

use crate::error::DeployError;
use crate::http;
use crate::local::Local;
use crate::replica::{Placed, ReplicaState};
use pilotage_keep::State;
use pilotage_workflow::delivery::HealthPlan;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A process that ended this often before it was healthy will not become so.
const CRASHES_MAX: u64 = 3;
/// While nobody listens yet, the next try comes sooner than a check would.
const KNOCK_EVERY: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const ANSWER_WITHIN_MAX: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Healthy { passes: u32, after: Duration },
    Unhealthy(Unhealthy),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unhealthy {
    /// A sentence's part: `the process ended 3 times at its start, last with code 1`.
    pub why: String,
    /// The last lines that it wrote.
    pub log: Vec<String>,
    pub after: Duration,
}

impl Local {
    /// Probes a replica until it is healthy, its time is up, or its process has crashed too often.
    ///
    /// # Errors
    /// When there is no such replica. That it is not healthy is an answer.
    pub async fn probe(&self, replica: &Placed, health: &HealthPlan) -> Result<Health, DeployError> {
        let begun = Instant::now();
        let deadline = begun + Duration::from_millis(health.within_ms);
        let id = replica.id.to_string();
        let mut process = Process::new(&self.observe_replica(&id).await?);
        let mut row = Row {
            passes: 0,
            fault: "it was not asked yet".to_owned(),
            next: begun,
        };
        loop {
            let state = self.observe_replica(&id).await?;
            if process.changed(&state) {
                row.passes = 0;
            }
            if let Some(why) = process.crashed(&state) {
                return Ok(self.unhealthy(&id, why, begun));
            }
            let alive = state.state == State::Running;
            if alive && row.next <= Instant::now() {
                row.ask(replica, health).await;
            }
            if row.passes >= health.passes.max(1) {
                return Ok(Health::Healthy {
                    passes: row.passes,
                    after: begun.elapsed(),
                });
            }
            let now = Instant::now();
            if now >= deadline {
                let seconds = Duration::from_millis(health.within_ms).as_secs_f64();
                let why = format!("not healthy within {seconds} s: {}", row.fault);
                return Ok(self.unhealthy(&id, why, begun));
            }
            // A crash is looked for more often than health is asked.
            let look = if alive {
                row.next.min(now + LOOK_EVERY)
            } else {
                now + KNOCK_EVERY
            };
            sleep_until(look.max(now + Duration::from_millis(1)).min(deadline)).await;
        }
    }

    fn unhealthy(&self, id: &str, why: String, begun: Instant) -> Health {
        Health::Unhealthy(Unhealthy {
            why,
            log: self.last_lines(id),
            after: begun.elapsed(),
        })
    }
}

/// The answers so far.
struct Row {
    /// In a row.
    passes: u32,
    /// The last one that was not good.
    fault: String,
    next: Instant,
}

impl Row {
    async fn ask(&mut self, replica: &Placed, health: &HealthPlan) {
        let every = Duration::from_millis(health.every_ms);
        self.next = Instant::now() + every;
        let within = every.clamp(Duration::from_secs(1), ANSWER_WITHIN_MAX);
        let host = replica.address.to_string();
        let path = &health.path;
        let fault = match http::get(replica.address, &host, path, &[], within).await {
            Ok(answer) if answer.status < health.status_below => {
                self.passes += 1;
                return;
            }
            Ok(answer) => format!("GET {path} answered {}", answer.status),
            Err(error @ http::HttpError::Refused(_)) => {
                self.next = Instant::now() + KNOCK_EVERY.min(every);
                error.to_string()
            }
            Err(error) => format!("GET {path}: {error}"),
        };
        self.passes = 0;
        self.fault = fault;
    }
}

/// What is known of the process since the probe began.
struct Process {
    /// Its restarts that are not ours to count: those of a replica that was well before.
    restarts_before: u64,
    pid: Option<i32>,
}

impl Process {
    fn new(state: &ReplicaState) -> Self {
        // One that is down already has not been well.
        let restarts_before = if state.state == State::BackingOff {
            0
        } else {
            state.restarts
        };
        Process {
            restarts_before,
            pid: state.pid,
        }
    }

    fn changed(&mut self, state: &ReplicaState) -> bool {
        std::mem::replace(&mut self.pid, state.pid) != state.pid
    }

    fn crashed(&self, state: &ReplicaState) -> Option<String> {
        let down = u64::from(state.state == State::BackingOff);
        let crashes = state.restarts.saturating_sub(self.restarts_before) + down;
        let last = state
            .last_exit
            .as_ref()
            .map(|exit| format!(", last with {exit}"))
            .unwrap_or_default();
        (crashes >= CRASHES_MAX).then(|| format!("the process ended {crashes} times at its start{last}"))
    }
}
