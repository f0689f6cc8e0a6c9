//! The run machine: one workflow run with its jobs, through all its attempts.
//!
//! Owns every decision of a run: which jobs start, are skipped, wait, are cancelled, run again, and how the run
//! ends. It never executes anything and never looks at a clock: its driver gives it [`RunEvent`]s and performs
//! its [`RunEffect`]s. The order of steps inside a job is not its business.
//!
//! A driver is a loop: perform the effects, feed what they came to as events, wake the run at its deadline, until
//! [`Run::conclusion`] says how it ended.

mod advance;
mod call;
mod cancel;
mod decide;
mod event;
mod inputs;
mod invariants;
mod plan;
mod rerun;
mod scope;
mod state;
mod texts;
mod view;

pub use event::{
    ConcurrencyAnswer, EffectKind, EnvironmentAnswer, Holder, IllegalEvent, Rerun, RunEffect, RunEvent,
    RunSpec,
};
pub use inputs::Inputs;
pub use rerun::ATTEMPTS_MAX;
pub use view::{JobStatus, JobView, RunStatus};

use crate::ids::{JobId, RunId};
use crate::time::Timestamp;
use pilotage_api::runner::Conclusion;
use pilotage_workflow::diagnostic::{Diagnostic, has_errors};
use pilotage_workflow::expr::Value;
use pilotage_workflow::model::Workflow;
use serde::{Deserialize, Serialize};
use state::{Cancellation, Frame, Job, PastAttempt, RunGroup, RunState};
use std::sync::Arc;

/// Jobs that one attempt of a run may have. GitHub has no such number but 256 a matrix; without one, a called
/// workflow in a matrix of matrices is a bomb.
pub const JOBS_MAX: usize = 10_000;

/// The frame of the run's own workflow.
const ROOT: usize = 0;

/// A run: the durable state. Store it as JSON after each [`Run::handle`], and read it back with [`Run::restore`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    spec: RunSpec,
    name: String,
    attempt: u32,
    state: RunState,
    started_at: Timestamp,
    cancellation: Option<Cancellation>,
    group: Option<RunGroup>,
    frames: Vec<Frame>,
    jobs: Vec<Job>,
    past: Vec<PastAttempt>,
    /// Of the last effect.
    sequence: u64,
    /// Of the last job that ended.
    order: u64,
    #[serde(skip)]
    parsed: Option<Parsed>,
}

/// What is worked out again when a run is loaded.
#[derive(Clone, Debug)]
struct Parsed {
    /// By frame.
    workflows: Vec<Arc<Workflow>>,
    github: Value,
    vars: Value,
}

/// Why a stored run cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the stored run is not readable")]
    Json(#[from] serde_json::Error),
    #[error("the workflow of run {0} cannot be read any more: {1}")]
    Workflow(RunId, String),
    #[error("the stored run {0} contradicts itself: {1}")]
    Broken(RunId, String),
}

/// One call of the machine: when it is, and what it asks for.
struct Turn {
    now: Timestamp,
    effects: Vec<EffectKind>,
}

impl Turn {
    fn new(now: Timestamp) -> Self {
        Self {
            now,
            effects: Vec::new(),
        }
    }

    fn effect(&mut self, kind: EffectKind) {
        self.effects.push(kind);
    }
}

impl Run {
    /// Makes a run of a workflow and its first effects. What is wrong with the workflow is returned instead.
    pub fn start(now: Timestamp, spec: RunSpec) -> Result<(Self, Vec<RunEffect>), Vec<Diagnostic>> {
        let (workflow, diagnostics) = texts::read(&spec);
        let Some(workflow) = workflow.filter(|_| !has_errors(&diagnostics)) else {
            return Err(diagnostics);
        };
        let mut run = Self {
            name: spec.title.clone(),
            spec,
            attempt: 1,
            state: RunState::Active,
            started_at: now,
            cancellation: None,
            group: None,
            frames: Vec::new(),
            jobs: Vec::new(),
            past: Vec::new(),
            sequence: 0,
            order: 0,
            parsed: None,
        };
        run.parsed = Some(Parsed {
            workflows: Vec::new(),
            github: run.github_value(),
            vars: run.vars_value(),
        });
        let mut turn = Turn::new(now);
        run.add_frame(None, run.spec.inputs.clone(), Arc::clone(&workflow));
        run.begin(&workflow, &mut turn);
        run.settle(&mut turn);
        let effects = run.seal(turn);
        Ok((run, effects))
    }

    /// Reads a stored run.
    pub fn restore(json: &str) -> Result<Self, RestoreError> {
        let mut run: Self = serde_json::from_str(json)?;
        let id = run.spec.run_id;
        let (workflow, diagnostics) = texts::read(&run.spec);
        let workflow = workflow.ok_or_else(|| {
            let first = diagnostics
                .first()
                .map_or_else(|| "it is empty".to_owned(), |d| d.message.clone());
            RestoreError::Workflow(id, first)
        })?;
        let workflows = run
            .frame_workflows(&workflow)
            .map_err(|e| RestoreError::Workflow(id, e))?;
        run.parsed = Some(Parsed {
            workflows,
            github: run.github_value(),
            vars: run.vars_value(),
        });
        run.check_invariants().map_err(|e| RestoreError::Broken(id, e))?;
        Ok(run)
    }

    /// Applies one event. Never blocks and never reads a clock. What comes late, twice or from an older lease
    /// changes nothing and is no error.
    pub fn handle(&mut self, now: Timestamp, event: RunEvent) -> Result<Vec<RunEffect>, IllegalEvent> {
        let mut turn = Turn::new(now);
        self.apply(event, &mut turn)?;
        self.expire(&mut turn);
        self.settle(&mut turn);
        Ok(self.seal(turn))
    }

    /// When the run wants to be woken at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        if matches!(self.state, RunState::Done { .. }) {
            return None;
        }
        self.jobs.iter().filter_map(Job::deadline).min()
    }

    #[must_use]
    pub fn id(&self) -> RunId {
        self.spec.run_id
    }

    #[must_use]
    pub fn spec(&self) -> &RunSpec {
        &self.spec
    }

    /// Shown for the run: its `run-name`, or the title it was made with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The latest attempt, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How the latest attempt ended; none while it goes on.
    #[must_use]
    pub fn conclusion(&self) -> Option<Conclusion> {
        match self.state {
            RunState::Done { conclusion, .. } => Some(conclusion),
            _ => None,
        }
    }

    /// Numbers the effects of a turn. Called last, so that nothing leaves a run that contradicts itself.
    fn seal(&mut self, turn: Turn) -> Vec<RunEffect> {
        let mut effects = Vec::with_capacity(turn.effects.len());
        for kind in turn.effects {
            self.sequence += 1;
            effects.push(RunEffect {
                sequence: self.sequence,
                kind,
            });
        }
        if cfg!(debug_assertions)
            && let Err(broken) = self.check_invariants()
        {
            panic!("run {}: {broken}", self.spec.run_id);
        }
        effects
    }

    fn apply(&mut self, event: RunEvent, turn: &mut Turn) -> Result<(), IllegalEvent> {
        match event {
            RunEvent::Leased { job, fence, runner } => {
                let job = self.place(job)?;
                self.leased(job, fence, runner, turn);
            }
            RunEvent::Started { job, fence } => {
                let job = self.place(job)?;
                self.job_started(job, fence, turn);
            }
            RunEvent::Finished { job, fence, result } => {
                let job = self.place(job)?;
                self.job_finished(job, fence, result, turn);
            }
            RunEvent::Lost {
                job,
                fence,
                started,
                reason,
            } => {
                let job = self.place(job)?;
                self.job_lost(job, fence, started, &reason, turn);
            }
            RunEvent::ConcurrencyAnswer {
                holder,
                group,
                answer,
            } => {
                self.concurrency_answered(holder, &group, answer, turn)?;
            }
            RunEvent::EnvironmentAnswer { job, answer } => {
                let job = self.place(job)?;
                self.environment_answered(job, answer, turn);
            }
            RunEvent::Cancel { attempt, by, force } => self.cancel(attempt, by, force, turn)?,
            RunEvent::Rerun { after, which, by } => self.rerun(after, which, by, turn)?,
            RunEvent::Wake => {}
        }
        Ok(())
    }

    fn place(&self, job: JobId) -> Result<usize, IllegalEvent> {
        let known = job.run() == self.spec.run_id && job.index() < self.jobs.len();
        if known {
            Ok(job.index())
        } else {
            Err(IllegalEvent::UnknownJob(job, self.spec.run_id))
        }
    }

    fn job_id(&self, job: usize) -> JobId {
        JobId::new(self.spec.run_id, job)
    }

    fn holder(&self, job: Option<usize>) -> Holder {
        Holder {
            run: self.spec.run_id,
            attempt: self.attempt,
            job: job.map(|j| self.job_id(j)),
        }
    }
}
