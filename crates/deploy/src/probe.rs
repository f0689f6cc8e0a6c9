//! Health: whether a replica answers as it should, several times in a row, while its process stays the same.

use crate::error::DeployError;
use crate::http;
use crate::local::Local;
use crate::replica::{Placed, ReplicaState};
use pilotage_keep::State;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// A process that ended this often before it was healthy will not become so.
const CRASHES_MAX: u64 = 3;
/// While nobody listens yet, the next try comes sooner than a check would.
const KNOCK_EVERY: Duration = Duration::from_millis(50);
const ANSWER_WITHIN_MAX: Duration = Duration::from_secs(5);

/// When a replica is healthy.
#[derive(Clone, Debug)]
pub struct Health {
    pub get: String,
    /// Answers below this status pass: 500 where the user wrote no path of his own, 400 where he did.
    pub below: u16,
    pub every: Duration,
    /// In a row.
    pub passes: u32,
    pub within: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
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
    /// When there is no such replica. That it is not healthy is a finding.
    pub async fn probe(&self, replica: &Placed, health: &Health) -> Result<Finding, DeployError> {
        let begun = Instant::now();
        let (id, mut why) = (replica.id.to_string(), "it was not asked yet".to_owned());
        let mut watch: Option<Watch> = None;
        let (mut passes, mut next_check) = (0, begun);
        loop {
            let state = self.observe_replica(&id).await?;
            let watch = watch.get_or_insert_with(|| Watch::new(&state));
            if watch.process_changed(&state) {
                passes = 0;
            }
            if let Some(crashes) = watch.crashes(&state) {
                let last = state
                    .last_exit
                    .map(|exit| format!(", last with {exit}"))
                    .unwrap_or_default();
                let why = format!("the process ended {crashes} times at its start{last}");
                return Ok(self.unhealthy(&id, why, begun));
            }
            let alive = state.state == State::Running;
            if alive && Instant::now() >= next_check {
                match check(replica, health).await {
                    Ok(()) => {
                        passes += 1;
                        next_check += health.every;
                    }
                    Err((fault, answered)) => {
                        why = fault;
                        passes = 0;
                        next_check = Instant::now() + if answered { health.every } else { KNOCK_EVERY };
                    }
                }
                if passes >= health.passes {
                    return Ok(Finding::Healthy {
                        passes,
                        after: begun.elapsed(),
                    });
                }
            }
            if begun.elapsed() >= health.within {
                let why = format!("not healthy within {} s: {why}", health.within.as_secs_f64());
                return Ok(self.unhealthy(&id, why, begun));
            }
            // Crashes are looked for more often than health.
            let wake = if alive {
                next_check.min(Instant::now() + KNOCK_EVERY * 2)
            } else {
                Instant::now() + KNOCK_EVERY
            };
            sleep_until(wake.min(begun + health.within)).await;
            if wake <= Instant::now() {
                sleep(Duration::from_millis(1)).await;
            }
        }
    }

    fn unhealthy(&self, id: &str, why: String, begun: Instant) -> Finding {
        Finding::Unhealthy(Unhealthy {
            why,
            log: self.last_lines(id),
            after: begun.elapsed(),
        })
    }
}

/// What is known of the process since the probe began.
struct Watch {
    /// Its restarts that are not ours to count: those of a replica that was well before.
    restarts_before: u64,
    pid: Option<i32>,
}

impl Watch {
    fn new(state: &ReplicaState) -> Self {
        // One that is down already has not been well.
        let restarts_before = if state.state == State::BackingOff {
            0
        } else {
            state.restarts
        };
        Watch {
            restarts_before,
            pid: state.pid,
        }
    }

    fn process_changed(&mut self, state: &ReplicaState) -> bool {
        std::mem::replace(&mut self.pid, state.pid) != state.pid
    }

    fn crashes(&self, state: &ReplicaState) -> Option<u64> {
        let down = u64::from(state.state == State::BackingOff);
        let crashes = state.restarts.saturating_sub(self.restarts_before) + down;
        (crashes >= CRASHES_MAX).then_some(crashes)
    }
}

/// The fault, and whether anybody answered.
async fn check(replica: &Placed, health: &Health) -> Result<(), (String, bool)> {
    let within = health.every.clamp(Duration::from_secs(1), ANSWER_WITHIN_MAX);
    let host = replica.address.to_string();
    match http::get(replica.address, &host, &health.get, &[], within).await {
        Ok(answer) if answer.status < health.below => Ok(()),
        Ok(answer) => Err((format!("GET {} answered {}", health.get, answer.status), true)),
        Err(error @ http::HttpError::Refused(_)) => Err((error.to_string(), false)),
        Err(error) => Err((format!("GET {}: {error}", health.get), true)),
    }
}
