//! A run as people see it.

use super::state::{Gate, Job, JobState, NodeState, RunState};
use super::{IllegalEvent, Run};
use crate::ids::JobId;
use crate::time::Timestamp;
use indexmap::IndexMap;
use pilotage_api::runner::{Conclusion, JobSpec};
use serde::{Deserialize, Serialize};

/// Where a run stands. Its words are GitHub's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It waits for its concurrency group.
    Pending,
    /// No job runs yet.
    Queued,
    InProgress,
    Completed,
}

/// Where a job stands. Its words are GitHub's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// For its needs, or for its environment.
    Waiting,
    /// For its concurrency group or a place under `max-parallel`.
    Pending,
    /// For a runner.
    Queued,
    InProgress,
    Completed,
}

/// One job of an attempt. A calling job is shown only until the called workflow begins.
#[derive(Clone, Debug)]
pub struct JobView<'a> {
    pub id: JobId,
    /// The job's id in its file.
    pub key: &'a str,
    /// With its caller's name and its leg: `deploy / test (18, linux)`.
    pub name: &'a str,
    /// The attempt in which it ran; an older one where it was not run again.
    pub attempt: u32,
    pub status: JobStatus,
    pub conclusion: Option<Conclusion>,
    /// A failure of it does not fail the run.
    pub continue_on_error: bool,
    /// The ids of the jobs that it needs directly, in the same attempt.
    pub needs: Vec<JobId>,
    /// The job that called its workflow.
    pub caller: Option<JobId>,
    /// For what it waits, or why it was skipped or cancelled; a fragment such as `waits for build`.
    pub why: Option<String>,
    /// The first error of a failed job, in a line.
    pub error: Option<&'a str>,
    pub outputs: &'a IndexMap<String, String>,
    pub labels: &'a [String],
    pub environment: Option<&'a str>,
    pub runner: Option<&'a str>,
    pub queued_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

impl Run {
    /// The jobs of the latest attempt, in the order of the files.
    pub fn jobs(&self) -> impl Iterator<Item = JobView<'_>> {
        self.attempt_jobs()
            .filter(|job| !self.calls(*job))
            .map(|job| self.view(job))
    }

    /// The jobs of an attempt, as they stood when it ended; none where there was no such attempt.
    #[must_use]
    pub fn jobs_of(&self, attempt: u32) -> Option<Vec<JobView<'_>>> {
        if attempt == self.attempt {
            return Some(self.jobs().collect());
        }
        let past = self.past.get(usize::try_from(attempt.checked_sub(1)?).ok()?)?;
        Some(
            past.jobs
                .iter()
                .filter(|job| !self.calls(**job))
                .map(|job| self.view(*job))
                .collect(),
        )
    }

    /// How an attempt ended.
    #[must_use]
    pub fn conclusion_of(&self, attempt: u32) -> Option<Conclusion> {
        if attempt == self.attempt {
            return self.conclusion();
        }
        self.past
            .get(usize::try_from(attempt.checked_sub(1)?).ok()?)
            .map(|past| past.conclusion)
    }

    /// One job, of any attempt.
    pub fn job(&self, job: JobId) -> Result<JobView<'_>, IllegalEvent> {
        Ok(self.view(self.place(job)?))
    }

    /// What a runner needs for a job that is queued or runs, but for its secrets.
    pub fn job_spec(&self, job: JobId) -> Result<JobSpec, IllegalEvent> {
        Ok(self.spec_of(self.place(job)?))
    }

    #[must_use]
    pub fn status(&self) -> RunStatus {
        match self.state {
            RunState::Held { .. } => RunStatus::Pending,
            RunState::Done { .. } => RunStatus::Completed,
            RunState::Active if self.attempt_jobs().any(|job| self.has_begun(job)) => RunStatus::InProgress,
            RunState::Active => RunStatus::Queued,
        }
    }

    /// Why the run as a whole waits, or by whom it was cancelled.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        match (&self.state, &self.cancellation) {
            (_, Some(cancellation)) => Some(format!("cancelled by {}", cancellation.by)),
            (RunState::Held { reason }, None) => {
                let group = self.group.as_ref().map_or("", |g| g.group.as_str());
                Some(
                    reason
                        .clone()
                        .unwrap_or_else(|| format!("waits for the concurrency group `{group}`")),
                )
            }
            _ => None,
        }
    }

    /// When the latest attempt began.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// When the latest attempt ended.
    #[must_use]
    pub fn finished_at(&self) -> Option<Timestamp> {
        match self.state {
            RunState::Done { at, .. } => Some(at),
            _ => None,
        }
    }

    fn has_begun(&self, job: usize) -> bool {
        let job = &self.jobs[job];
        matches!(job.state, JobState::Running { .. })
            || (job.attempt == self.attempt && job.started_at.is_some())
    }

    /// Whether a job stands for the jobs of a workflow that it called.
    fn calls(&self, job: usize) -> bool {
        matches!(self.jobs[job].state, JobState::Calling { .. })
            || (self.jobs[job].plan.call.is_some() && self.jobs[job].started_at.is_some())
    }

    fn view(&self, place: usize) -> JobView<'_> {
        let job = &self.jobs[place];
        let nodes = &self.frames[job.frame].nodes;
        let needs = self
            .needs(job.frame, job.node)
            .into_iter()
            .flat_map(|need| nodes[need].jobs.iter());
        JobView {
            id: self.job_id(place),
            key: &job.key,
            name: &job.name,
            attempt: job.attempt,
            status: self.status_of(job),
            conclusion: job.conclusion(),
            continue_on_error: job.plan.continue_on_error,
            needs: needs.map(|job| self.job_id(*job)).collect(),
            caller: self.frames[job.frame].caller.map(|caller| self.job_id(caller)),
            why: self.why_of(job),
            error: job.error.as_deref(),
            outputs: &job.outputs,
            labels: &job.plan.labels,
            environment: job.plan.environment.as_deref(),
            runner: job.runner.as_deref(),
            queued_at: job.queued_at,
            started_at: job.started_at,
            finished_at: match job.state {
                JobState::Done { at, .. } => Some(at),
                _ => None,
            },
        }
    }

    fn status_of(&self, job: &Job) -> JobStatus {
        match &job.state {
            JobState::Waiting => JobStatus::Waiting,
            JobState::Slot => JobStatus::Pending,
            JobState::Gate { index, .. } => match job.plan.gates.get(*index) {
                Some(Gate::Environment { .. }) => JobStatus::Waiting,
                _ => JobStatus::Pending,
            },
            JobState::Queued { .. } => JobStatus::Queued,
            JobState::Running { .. } | JobState::Calling { .. } => JobStatus::InProgress,
            JobState::Done { .. } => JobStatus::Completed,
        }
    }

    fn why_of(&self, job: &Job) -> Option<String> {
        match &job.state {
            JobState::Waiting => self.why_node_waits(job.frame, job.node),
            JobState::Slot => Some(self.why_slot_waits(job)),
            JobState::Gate {
                reason: Some(reason), ..
            } => Some(reason.clone()),
            JobState::Gate { index, .. } => job.plan.gates.get(*index).map(|gate| match gate {
                Gate::Concurrency { group, .. } => format!("waits for the concurrency group `{group}`"),
                Gate::Environment { name, .. } => format!("waits for the environment {name}"),
            }),
            JobState::Queued { .. } => Some(match (&job.plan.group, job.plan.labels.join(", ")) {
                (Some(group), labels) if labels.is_empty() => {
                    format!("waits for a runner of the group {group}")
                }
                (Some(group), labels) => format!("waits for a runner of the group {group} with {labels}"),
                (None, labels) => format!("waits for a runner with {labels}"),
            }),
            JobState::Running { .. } => job.cancelling.clone().map(|reason| format!("is being {reason}")),
            JobState::Calling { .. } => None,
            JobState::Done {
                conclusion: Conclusion::Skipped,
                ..
            } => job.reason.as_ref().map(|reason| format!("skipped: {reason}")),
            JobState::Done { .. } => job.reason.clone(),
        }
    }

    fn why_slot_waits(&self, job: &Job) -> String {
        let frame = &self.frames[job.frame];
        match (&self.state, frame.caller) {
            (RunState::Held { .. }, _) => self.why().unwrap_or_default(),
            (_, Some(caller)) if !self.is_live(job.frame) => format!("waits for {}", self.jobs[caller].name),
            _ => match frame.nodes[job.node].max_parallel {
                Some(max) => format!("waits for its turn: max-parallel is {max}"),
                None => "is about to start".to_owned(),
            },
        }
    }

    /// `waits for test (backend), test (frontend)`: the jobs it needs that have not ended.
    fn why_node_waits(&self, frame: usize, node: usize) -> Option<String> {
        if let RunState::Held { .. } = self.state {
            return self.why();
        }
        let nodes = &self.frames[frame].nodes;
        let is_open = |need: &usize| !matches!(nodes[*need].state, NodeState::Done(_));
        let mut open: Vec<usize> = self.needs(frame, node).into_iter().filter(is_open).collect();
        if open.is_empty() {
            // Its needs were cancelled while they waited themselves.
            open = self.ancestors(frame, node).into_iter().filter(is_open).collect();
        }
        let names: Vec<&str> = open
            .into_iter()
            .flat_map(|need| nodes[need].jobs.iter())
            .filter(|job| !self.jobs[**job].is_done())
            .map(|job| self.jobs[*job].name.as_str())
            .collect();
        (!names.is_empty()).then(|| format!("waits for {}", names.join(", ")))
    }
}
