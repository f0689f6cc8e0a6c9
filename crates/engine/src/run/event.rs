//! What a run is told and what it asks for: the closed vocabulary between the run machine and its driver.

use crate::ids::{Fence, JobId, ProjectId, RunId};
use pilotage_api::runner::{Conclusion, JobResult, JobSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// All that a run is made from. It is stored with the run, so that a restart needs nothing else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunSpec {
    pub run_id: RunId,
    pub project: ProjectId,
    /// Counts the runs of one workflow, from 1.
    pub run_number: i64,
    /// The file that runs, a key of `workflows`.
    pub workflow_path: String,
    /// The texts of that file and of every reusable workflow that it reaches, by path (`.github/workflows/x.yml`,
    /// or `owner/name/path@ref` for one of another project).
    pub workflows: BTreeMap<String, String>,
    /// The `github` context with its `event`. `run_id`, `run_number` and `run_attempt` are set here.
    pub github: Map<String, Json>,
    /// Values of `workflow_dispatch` inputs, as `Inputs::check` gives them.
    #[serde(default)]
    pub inputs: Map<String, Json>,
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Only these jobs of the file, with all that they need; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Shown for the run where the workflow has no `run-name`: the commit's first line, or the workflow's name.
    pub title: String,
}

/// What happened. Every event may come late, twice or out of order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RunEvent {
    /// A slot has the right to the job from now on.
    Leased {
        job: JobId,
        fence: Fence,
        runner: String,
    },
    /// The runner accepted it and begins.
    Started {
        job: JobId,
        fence: Fence,
    },
    /// The runner is done with it.
    Finished {
        job: JobId,
        fence: Fence,
        result: JobResult,
    },
    /// The lease ended without a result. `started`: whether any step may have begun.
    Lost {
        job: JobId,
        fence: Fence,
        started: bool,
        reason: String,
    },
    ConcurrencyAnswer {
        holder: Holder,
        group: String,
        answer: ConcurrencyAnswer,
    },
    EnvironmentAnswer {
        job: JobId,
        answer: EnvironmentAnswer,
    },
    /// Somebody ends that attempt. `force` does not wait for jobs that would still run (`always()`).
    Cancel {
        attempt: u32,
        by: String,
        force: bool,
    },
    /// Starts the attempt after `after`, the one that the person saw.
    Rerun {
        after: u32,
        which: Rerun,
        by: String,
    },
    /// The deadline has come, or may have. Carries nothing; too many of them do no harm.
    Wake,
}

/// Which jobs of a finished attempt run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rerun {
    All,
    /// Those that failed or were cancelled, and all that depend on them.
    Failed,
    /// One, and all that depend on it.
    Job(JobId),
}

/// Who holds, or waits for, a place in a concurrency group: a job, or a whole attempt of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder {
    pub run: RunId,
    pub attempt: u32,
    pub job: Option<JobId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum ConcurrencyAnswer {
    Granted,
    Waiting {
        reason: String,
    },
    /// A newer one took the place of the waiting or, with `cancel-in-progress`, of the running holder.
    Cancelled {
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum EnvironmentAnswer {
    Granted,
    Waiting { reason: String },
    Refused { reason: String },
}

/// Something to be done. Doing it twice does what doing it once does; `sequence` is unique in its run and rises.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunEffect {
    pub sequence: u64,
    pub kind: EffectKind,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum EffectKind {
    /// The job waits for a runner with all of these labels. `fence` is the smallest that its lease may have.
    Queue {
        job: JobId,
        attempt: u32,
        fence: Fence,
        labels: Vec<String>,
        group: Option<String>,
        environment: Option<String>,
        spec: Box<JobSpec>,
    },
    /// Take the job out of the queue, or tell its runner to end it.
    CancelJob {
        job: JobId,
        reason: String,
    },
    AskEnvironment {
        job: JobId,
        environment: String,
        deployment: bool,
    },
    /// The job does not wait for its environment any more.
    WithdrawEnvironment {
        job: JobId,
        environment: String,
    },
    AskConcurrency {
        holder: Holder,
        group: String,
        cancel_in_progress: bool,
        queue_max: bool,
    },
    ReleaseConcurrency {
        holder: Holder,
        group: String,
    },
    JobSkipped {
        job: JobId,
        reason: String,
    },
    JobFinished {
        job: JobId,
        conclusion: Conclusion,
    },
    RunFinished {
        attempt: u32,
        conclusion: Conclusion,
    },
}

/// An event that makes no sense for this run, whatever its order. The run did not change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEvent {
    #[error("job {0} is not part of run {1}")]
    UnknownJob(JobId, RunId),
    #[error("run {0} has not finished yet: cancel it, or wait for its end, before running it again")]
    StillRunning(RunId),
    #[error("run {0} has no failed job to run again")]
    NothingFailed(RunId),
    #[error("run {0} has had {1} attempts, which is the limit")]
    TooManyAttempts(RunId, u32),
    #[error("run {0} has no attempt {1}")]
    UnknownAttempt(RunId, u32),
    #[error("job {0} belongs to attempt {1}: run again a job of the latest attempt")]
    OldJob(JobId, u32),
}
