//! The stored form of a run: frames (one for each workflow that takes part), nodes (a job as it is written),
//! jobs (what runs: a leg of a matrix, or the only one). Nothing is ever removed, so places are stable numbers.

use crate::ids::Fence;
use crate::time::Timestamp;
use indexmap::IndexMap;
use pilotage_api::runner::Conclusion;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::time::Duration;

/// A workflow that takes part in the run: its own one, or one that a job called.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Frame {
    /// The calling job; none for the run's own workflow.
    pub(super) caller: Option<usize>,
    pub(super) inputs: Map<String, Json>,
    /// In the order of the file.
    pub(super) nodes: Vec<Node>,
}

/// A job as it is written in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Node {
    pub(super) key: String,
    pub(super) state: NodeState,
    /// The jobs that stand for it now: one until the matrix is known, then one a leg.
    pub(super) jobs: Vec<usize>,
    pub(super) fail_fast: bool,
    pub(super) max_parallel: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum NodeState {
    /// For its needs.
    Waiting,
    Active,
    Done(Conclusion),
}

/// One attempt of one job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) frame: usize,
    /// Its node in the frame.
    pub(super) node: usize,
    pub(super) key: String,
    pub(super) name: String,
    pub(super) attempt: u32,
    pub(super) leg: Leg,
    pub(super) plan: Plan,
    pub(super) state: JobState,
    /// The smallest fence that is still listened to.
    pub(super) fence: Fence,
    /// How often a lease was lost before anything had started.
    pub(super) losses: u32,
    pub(super) queued_at: Option<Timestamp>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) runner: Option<String>,
    pub(super) cancelling: Option<String>,
    pub(super) outputs: IndexMap<String, String>,
    /// Why it was skipped or cancelled, in words.
    pub(super) reason: Option<String>,
    pub(super) error: Option<String>,
}

/// Which of the combinations of its matrix a job is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Leg {
    pub(super) matrix: Option<Map<String, Json>>,
    /// `(18, linux)`, put behind the job's name; may be empty.
    #[serde(default)]
    pub(super) suffix: String,
    pub(super) index: usize,
    pub(super) total: usize,
}

impl Leg {
    /// That of a job without a matrix.
    pub(super) fn only() -> Self {
        Self {
            matrix: None,
            suffix: String::new(),
            index: 0,
            total: 1,
        }
    }
}

/// What was worked out for a job when its needs were done.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) labels: Vec<String>,
    pub(super) group: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) continue_on_error: bool,
    pub(super) timeout: Duration,
    pub(super) cancel_timeout: Duration,
    /// Passed one after the other before the job is queued.
    pub(super) gates: Vec<Gate>,
    /// It calls a workflow with these inputs.
    pub(super) call: Option<Map<String, Json>>,
    /// The called workflow in which it goes on, in a re-run of a part of it.
    pub(super) frame: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "gate", rename_all = "kebab-case")]
pub(super) enum Gate {
    Concurrency {
        group: String,
        cancel_in_progress: bool,
        queue_max: bool,
    },
    Environment {
        name: String,
        deployment: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(super) enum JobState {
    /// For its needs.
    Waiting,
    /// For a place under `max-parallel`.
    Slot,
    /// For the gate of that number.
    Gate {
        index: usize,
        since: Timestamp,
        reason: Option<String>,
    },
    Queued {
        since: Timestamp,
    },
    Running {
        since: Timestamp,
        deadline: Timestamp,
    },
    Calling {
        frame: usize,
    },
    Done {
        conclusion: Conclusion,
        at: Timestamp,
        order: u64,
    },
}

impl Job {
    pub(super) fn conclusion(&self) -> Option<Conclusion> {
        match self.state {
            JobState::Done { conclusion, .. } => Some(conclusion),
            _ => None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.conclusion().is_some()
    }

    /// What its dependents and its run see: a failure that `continue-on-error` forgives is a success.
    pub(super) fn result(&self) -> Option<Conclusion> {
        match self.conclusion() {
            Some(Conclusion::Failure) if self.plan.continue_on_error => Some(Conclusion::Success),
            other => other,
        }
    }

    /// Whether it takes one of the places of `max-parallel`.
    pub(super) fn takes_place(&self) -> bool {
        !matches!(
            self.state,
            JobState::Waiting | JobState::Slot | JobState::Done { .. }
        )
    }
}

/// The result of several: any failure, else any cancellation, else skipped if all were, else success.
pub(super) fn combined(results: impl Iterator<Item = Conclusion>) -> Conclusion {
    let (mut failed, mut cancelled, mut succeeded, mut any) = (false, false, false, false);
    for result in results {
        any = true;
        match result {
            Conclusion::Failure => failed = true,
            Conclusion::Cancelled => cancelled = true,
            Conclusion::Success => succeeded = true,
            Conclusion::Skipped => {}
        }
    }
    match (failed, cancelled, succeeded || !any) {
        (true, _, _) => Conclusion::Failure,
        (_, true, _) => Conclusion::Cancelled,
        (_, _, true) => Conclusion::Success,
        _ => Conclusion::Skipped,
    }
}

/// An attempt that has ended and was followed by another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PastAttempt {
    pub(super) conclusion: Conclusion,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Timestamp,
    pub(super) jobs: Vec<usize>,
}

/// Where the run as a whole stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(super) enum RunState {
    /// For its place in the workflow's concurrency group.
    Held {
        reason: Option<String>,
    },
    Active,
    Done {
        conclusion: Conclusion,
        at: Timestamp,
    },
}

/// The workflow's own `concurrency`, evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunGroup {
    pub(super) group: String,
    pub(super) cancel_in_progress: bool,
    pub(super) queue_max: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cancellation {
    pub(super) by: String,
    pub(super) force: bool,
}
