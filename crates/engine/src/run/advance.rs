//! How jobs move: through max-parallel, gates, queue and runner to their end; and what an end brings about.

use super::plan::gate;
use super::state::{Gate, Job, JobState, NodeState, RunGroup, RunState, combined};
use super::{ConcurrencyAnswer, EffectKind, EnvironmentAnswer, Holder, IllegalEvent, ROOT, Run, Turn};
use crate::ids::Fence;
use crate::time::{Timestamp, words};
use pilotage_api::runner::{Conclusion, JobResult};
use pilotage_workflow::model::Workflow;
use std::time::Duration;

/// A runner ends a job at its `timeout-minutes` by itself. This much later it has said nothing, and never will.
const GRACE: Duration = Duration::from_secs(120);
/// As long as GitHub keeps a job that no runner takes.
const QUEUED_MAX: Duration = Duration::from_secs(24 * 3_600);
/// As long as GitHub waits for an approval.
const GATE_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// GitHub's limit for the outputs of one job.
const OUTPUTS_MAX_BYTES: usize = 1 << 20;
/// Leases that a job may lose before it started, until it fails: it is the job, then, that kills its runners.
const LOSSES_MAX: u32 = 3;

impl Job {
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self.state {
            JobState::Running { deadline, .. } => Some(deadline),
            JobState::Queued { since } => Some(since + QUEUED_MAX),
            JobState::Gate { since, .. } => Some(since + GATE_MAX),
            _ => None,
        }
    }

    pub(super) fn end_order(&self) -> u64 {
        match self.state {
            JobState::Done { order, .. } => order,
            _ => u64::MAX,
        }
    }
}

impl Run {
    /// Takes up the run's own name and concurrency, at the start of an attempt.
    pub(super) fn begin(&mut self, workflow: &Workflow, turn: &mut Turn) {
        let scope = self.frame_scope(ROOT);
        if let Some(name) = &workflow.run_name
            && let Ok(name) = name.evaluate(&scope)
            && !name.to_text().trim().is_empty()
        {
            self.name = name.to_text().trim().to_owned();
        }
        self.group = None;
        self.state = RunState::Active;
        match gate(workflow.concurrency.as_ref(), &scope) {
            Ok(Some(Gate::Concurrency {
                group,
                cancel_in_progress,
                queue_max,
            })) => {
                self.state = RunState::Held { reason: None };
                self.group = Some(RunGroup {
                    group: group.clone(),
                    cancel_in_progress,
                    queue_max,
                });
                let holder = self.holder(None);
                turn.effect(EffectKind::AskConcurrency {
                    holder,
                    group,
                    cancel_in_progress,
                    queue_max,
                });
            }
            Ok(_) => {}
            Err(error) => {
                for job in self.open_jobs(ROOT) {
                    self.jobs[job].error = Some(error.clone());
                    self.end_job(job, Conclusion::Failure, None, turn);
                }
            }
        }
    }

    /// Moves everything that can move, until nothing does.
    pub(super) fn settle(&mut self, turn: &mut Turn) {
        while self.state == RunState::Active {
            let mut changed = false;
            let mut frame = 0;
            // Frames are added while this goes on.
            while frame < self.frames.len() {
                if self.is_live(frame) {
                    changed |= self.settle_frame(frame, turn);
                }
                frame += 1;
            }
            if self.frame_is_done(ROOT) {
                return self.finish(turn);
            }
            if !changed {
                return;
            }
        }
    }

    fn settle_frame(&mut self, frame: usize, turn: &mut Turn) -> bool {
        let mut changed = false;
        for node in 0..self.frames[frame].nodes.len() {
            if self.frames[frame].nodes[node].state == NodeState::Waiting && self.needs_are_done(frame, node)
            {
                self.decide(frame, node, turn);
                changed = true;
            }
            if self.frames[frame].nodes[node].state == NodeState::Active {
                changed |= self.settle_node(frame, node, turn);
            }
        }
        if let Some(caller) = self.frames[frame].caller
            && self.frame_is_done(frame)
        {
            self.end_call(caller, frame, turn);
            changed = true;
        }
        changed
    }

    fn settle_node(&mut self, frame: usize, node: usize, turn: &mut Turn) -> bool {
        let mut changed = false;
        while let Some(job) = self.next_for_slot(frame, node) {
            self.pass_gates(job, 0, turn);
            changed = true;
        }
        let jobs = &self.frames[frame].nodes[node].jobs;
        if jobs.iter().all(|job| self.jobs[*job].is_done()) {
            let result = combined(jobs.iter().filter_map(|job| self.jobs[*job].result()));
            self.frames[frame].nodes[node].state = NodeState::Done(result);
            changed = true;
        }
        changed
    }

    /// The next leg that has a place under `max-parallel`.
    fn next_for_slot(&self, frame: usize, node: usize) -> Option<usize> {
        let node = &self.frames[frame].nodes[node];
        let busy = node
            .jobs
            .iter()
            .filter(|job| self.jobs[**job].takes_place())
            .count();
        if node.max_parallel.is_some_and(|max| busy >= max) {
            return None;
        }
        node.jobs
            .iter()
            .copied()
            .find(|job| self.jobs[*job].state == JobState::Slot)
    }

    /// Asks at the gate of that number, or goes on where there is none.
    fn pass_gates(&mut self, job: usize, index: usize, turn: &mut Turn) {
        let id = self.job_id(job);
        match self.jobs[job].plan.gates.get(index).cloned() {
            Some(Gate::Concurrency { group, .. }) if self.waits_for_itself(job, index, &group) => {
                self.jobs[job].error = Some(format!(
                    "the concurrency group `{group}` is held by this job's own run: it would never start"
                ));
                self.end_job(job, Conclusion::Failure, None, turn);
            }
            Some(gate) => {
                self.jobs[job].state = JobState::Gate {
                    index,
                    since: turn.now,
                    reason: None,
                };
                turn.effect(match gate {
                    Gate::Concurrency {
                        group,
                        cancel_in_progress,
                        queue_max,
                    } => {
                        let holder = self.holder(Some(job));
                        EffectKind::AskConcurrency {
                            holder,
                            group,
                            cancel_in_progress,
                            queue_max,
                        }
                    }
                    Gate::Environment { name, deployment } => EffectKind::AskEnvironment {
                        job: id,
                        environment: name,
                        deployment,
                    },
                });
            }
            None => match self.jobs[job].plan.call.clone() {
                Some(inputs) => self.begin_call(job, inputs, turn),
                None => self.queue(job, turn),
            },
        }
    }

    /// Whether a group is held already by the run, by a caller, or at an earlier gate of the job.
    fn waits_for_itself(&self, job: usize, index: usize, group: &str) -> bool {
        let same =
            |gate: &Gate| matches!(gate, Gate::Concurrency { group: g, .. } if g.eq_ignore_ascii_case(group));
        if self
            .group
            .as_ref()
            .is_some_and(|g| g.group.eq_ignore_ascii_case(group))
            || self.jobs[job].plan.gates.iter().take(index).any(same)
        {
            return true;
        }
        let mut above = self.frames[self.jobs[job].frame].caller;
        while let Some(caller) = above {
            if self.jobs[caller].plan.gates.iter().any(same) {
                return true;
            }
            above = self.frames[self.jobs[caller].frame].caller;
        }
        false
    }

    fn queue(&mut self, job: usize, turn: &mut Turn) {
        self.jobs[job].state = JobState::Queued { since: turn.now };
        self.jobs[job].queued_at = Some(turn.now);
        let Job {
            attempt,
            fence,
            ref plan,
            ..
        } = self.jobs[job];
        turn.effect(EffectKind::Queue {
            job: self.job_id(job),
            attempt,
            fence,
            labels: plan.labels.clone(),
            group: plan.group.clone(),
            environment: plan.environment.clone(),
            spec: Box::new(self.spec_of(job)),
        });
    }

    pub(super) fn leased(&mut self, job: usize, fence: Fence, runner: String, turn: &mut Turn) {
        if fence < self.jobs[job].fence {
            return;
        }
        match self.jobs[job].state {
            JobState::Queued { .. } => self.run_on(job, fence, Some(runner), turn),
            // A newer lease of the same job: the older one was given up, and its end was not heard of.
            JobState::Running { .. } if fence > self.jobs[job].fence => {
                self.run_on(job, fence, Some(runner), turn);
            }
            // It was cancelled while the lease was given.
            JobState::Done { .. } => self.tell_to_end(job, turn),
            _ => {}
        }
    }

    fn run_on(&mut self, job: usize, fence: Fence, runner: Option<String>, turn: &mut Turn) {
        let entry = &mut self.jobs[job];
        let limit = if entry.cancelling.is_some() {
            entry.plan.cancel_timeout
        } else {
            entry.plan.timeout
        };
        entry.fence = fence;
        entry.runner = runner.or(entry.runner.take());
        entry.state = JobState::Running {
            since: turn.now,
            deadline: turn.now + limit + GRACE,
        };
        if entry.cancelling.is_some() {
            self.tell_to_end(job, turn);
        }
    }

    pub(super) fn job_started(&mut self, job: usize, fence: Fence, turn: &mut Turn) {
        if fence < self.jobs[job].fence {
            return;
        }
        match self.jobs[job].state {
            JobState::Queued { .. } => self.run_on(job, fence, None, turn),
            JobState::Running { .. } if fence > self.jobs[job].fence => self.run_on(job, fence, None, turn),
            JobState::Running { .. } => {}
            JobState::Done { .. } => return self.tell_to_end(job, turn),
            _ => return,
        }
        self.jobs[job].started_at.get_or_insert(turn.now);
    }

    pub(super) fn job_finished(&mut self, job: usize, fence: Fence, result: JobResult, turn: &mut Turn) {
        let entry = &mut self.jobs[job];
        if fence < entry.fence || !matches!(entry.state, JobState::Queued { .. } | JobState::Running { .. }) {
            return;
        }
        entry.fence = fence.next();
        entry.started_at.get_or_insert(turn.now);
        entry.error = result.error;
        let bytes: usize = result
            .outputs
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if bytes > OUTPUTS_MAX_BYTES {
            entry.error = Some(format!(
                "its outputs have {bytes} bytes, {OUTPUTS_MAX_BYTES} are the most"
            ));
            return self.end_job(job, Conclusion::Failure, None, turn);
        }
        entry.outputs = result.outputs;
        entry.plan.continue_on_error |= result.continue_on_error;
        let reason = entry
            .cancelling
            .clone()
            .filter(|_| result.conclusion == Conclusion::Cancelled);
        self.end_job(job, result.conclusion, reason, turn);
    }

    pub(super) fn job_lost(
        &mut self,
        job: usize,
        fence: Fence,
        started: bool,
        reason: &str,
        turn: &mut Turn,
    ) {
        let entry = &mut self.jobs[job];
        if fence < entry.fence || !matches!(entry.state, JobState::Queued { .. } | JobState::Running { .. }) {
            return;
        }
        entry.fence = fence.next();
        entry.losses += 1;
        if let Some(cancelled) = entry.cancelling.clone() {
            return self.end_job(job, Conclusion::Cancelled, Some(cancelled), turn);
        }
        if started || entry.started_at.is_some() {
            entry.error = Some(format!("runner lost: {reason}"));
            self.end_job(job, Conclusion::Failure, None, turn);
        } else if entry.losses >= LOSSES_MAX {
            entry.error = Some(format!(
                "runner lost {LOSSES_MAX} times before the job started: {reason}"
            ));
            self.end_job(job, Conclusion::Failure, None, turn);
        } else {
            self.queue(job, turn);
        }
    }

    pub(super) fn environment_answered(&mut self, job: usize, answer: EnvironmentAnswer, turn: &mut Turn) {
        let Job { state, plan, .. } = &mut self.jobs[job];
        let JobState::Gate { index, reason, .. } = state else {
            return;
        };
        let index = *index;
        if !matches!(plan.gates.get(index), Some(Gate::Environment { .. })) {
            return;
        }
        match answer {
            EnvironmentAnswer::Waiting { reason: words } => *reason = Some(words),
            EnvironmentAnswer::Granted => self.pass_gates(job, index + 1, turn),
            EnvironmentAnswer::Refused { reason } => {
                self.jobs[job].error = Some(format!("refused: {reason}"));
                self.end_job(job, Conclusion::Failure, None, turn);
            }
        }
    }

    pub(super) fn concurrency_answered(
        &mut self,
        holder: Holder,
        group: &str,
        answer: ConcurrencyAnswer,
        turn: &mut Turn,
    ) -> Result<(), IllegalEvent> {
        if let Some(job) = holder.job {
            let job = self.place(job)?;
            self.job_concurrency_answered(job, group, answer, turn);
        } else if holder.attempt == self.attempt
            && self
                .group
                .as_ref()
                .is_some_and(|g| g.group.eq_ignore_ascii_case(group))
        {
            self.run_concurrency_answered(answer, turn);
        }
        Ok(())
    }

    fn run_concurrency_answered(&mut self, answer: ConcurrencyAnswer, turn: &mut Turn) {
        match answer {
            ConcurrencyAnswer::Cancelled { reason } => self.cancel_run(reason, false, turn),
            ConcurrencyAnswer::Granted => {
                if matches!(self.state, RunState::Held { .. }) {
                    self.state = RunState::Active;
                }
            }
            ConcurrencyAnswer::Waiting { reason: words } => {
                if let RunState::Held { reason } = &mut self.state {
                    *reason = Some(words);
                }
            }
        }
    }

    fn job_concurrency_answered(
        &mut self,
        job: usize,
        group: &str,
        answer: ConcurrencyAnswer,
        turn: &mut Turn,
    ) {
        let asked =
            |gate: &Gate| matches!(gate, Gate::Concurrency { group: g, .. } if g.eq_ignore_ascii_case(group));
        let at = match &self.jobs[job].state {
            JobState::Gate { index, .. } => Some(*index),
            _ => None,
        };
        let waits_here = at
            .and_then(|index| self.jobs[job].plan.gates.get(index))
            .is_some_and(asked);
        match answer {
            ConcurrencyAnswer::Cancelled { reason } if self.jobs[job].plan.gates.iter().any(asked) => {
                self.cancel_job(job, &format!("cancelled by {reason}"), turn);
            }
            ConcurrencyAnswer::Granted if waits_here => self.pass_gates(job, at.unwrap_or(0) + 1, turn),
            ConcurrencyAnswer::Waiting { reason: words } if waits_here => {
                if let JobState::Gate { reason, .. } = &mut self.jobs[job].state {
                    *reason = Some(words);
                }
            }
            _ => {}
        }
    }

    /// Ends a job: lets go of what it holds, and stops its siblings where `fail-fast` says so.
    pub(super) fn end_job(
        &mut self,
        job: usize,
        conclusion: Conclusion,
        reason: Option<String>,
        turn: &mut Turn,
    ) {
        if self.jobs[job].is_done() {
            return;
        }
        self.let_go(job, turn);
        self.end_inside(job, turn);
        self.order += 1;
        let state = JobState::Done {
            conclusion,
            at: turn.now,
            order: self.order,
        };
        let id = self.job_id(job);
        let entry = &mut self.jobs[job];
        entry.state = state;
        entry.reason = reason;
        turn.effect(match conclusion {
            Conclusion::Skipped => EffectKind::JobSkipped {
                job: id,
                reason: entry.reason.clone().unwrap_or_default(),
            },
            _ => EffectKind::JobFinished { job: id, conclusion },
        });
        let (frame, node) = (entry.frame, entry.node);
        let failed = entry.result() == Some(Conclusion::Failure);
        let name = entry.name.clone();
        let node = &mut self.frames[frame].nodes[node];
        if node.state == NodeState::Waiting {
            node.state = NodeState::Active;
        }
        if failed && node.fail_fast && node.jobs.len() > 1 {
            for sibling in node.jobs.clone() {
                self.cancel_job(
                    sibling,
                    &format!("cancelled: `{name}` failed, and the matrix fails fast"),
                    turn,
                );
            }
        }
    }

    /// A called workflow that was to go on in a re-run ends with a caller that never came to it.
    fn end_inside(&mut self, job: usize, turn: &mut Turn) {
        if let Some(frame) = self.jobs[job].plan.frame
            && !matches!(self.jobs[job].state, JobState::Calling { .. })
        {
            for inner in self.open_jobs(frame) {
                self.end_job(
                    inner,
                    Conclusion::Cancelled,
                    Some("its caller did not run".to_owned()),
                    turn,
                );
            }
        }
    }

    /// Gives back the gates that a job has asked at.
    fn let_go(&self, job: usize, turn: &mut Turn) {
        let (asked, current) = match &self.jobs[job].state {
            JobState::Waiting | JobState::Slot => (0, None),
            JobState::Gate { index, .. } => (index + 1, Some(*index)),
            _ => (self.jobs[job].plan.gates.len(), None),
        };
        for (index, gate) in self.jobs[job].plan.gates.iter().enumerate().take(asked) {
            match gate {
                Gate::Concurrency { group, .. } => {
                    turn.effect(EffectKind::ReleaseConcurrency {
                        holder: self.holder(Some(job)),
                        group: group.clone(),
                    });
                }
                Gate::Environment { name, .. } if current == Some(index) => {
                    turn.effect(EffectKind::WithdrawEnvironment {
                        job: self.job_id(job),
                        environment: name.clone(),
                    });
                }
                Gate::Environment { .. } => {}
            }
        }
    }

    pub(super) fn tell_to_end(&self, job: usize, turn: &mut Turn) {
        let entry = &self.jobs[job];
        let reason = entry
            .cancelling
            .clone()
            .or_else(|| entry.reason.clone())
            .unwrap_or_else(|| "it has ended".to_owned());
        turn.effect(EffectKind::CancelJob {
            job: self.job_id(job),
            reason,
        });
    }

    /// Ends what has waited too long.
    pub(super) fn expire(&mut self, turn: &mut Turn) {
        if matches!(self.state, RunState::Done { .. }) {
            return;
        }
        for job in 0..self.jobs.len() {
            if self.jobs[job]
                .deadline()
                .is_none_or(|deadline| deadline > turn.now)
            {
                continue;
            }
            let was = self.jobs[job].state.clone();
            if let Some(cancelled) = self.jobs[job].cancelling.clone() {
                self.tell_to_end(job, turn);
                self.end_job(job, Conclusion::Cancelled, Some(cancelled), turn);
                continue;
            }
            self.jobs[job].error = Some(match was {
                JobState::Running { .. } => {
                    format!(
                        "the runner did not end the job within its {}",
                        words(self.jobs[job].plan.timeout)
                    )
                }
                JobState::Queued { .. } => format!("no runner took the job for {}", words(QUEUED_MAX)),
                _ => format!("it was not let go on for {}", words(GATE_MAX)),
            });
            self.end_job(job, Conclusion::Failure, None, turn);
            self.tell_to_end(job, turn);
        }
    }

    fn finish(&mut self, turn: &mut Turn) {
        let results = combined(self.frame_results(ROOT));
        let cut = self.cancellation.is_some()
            && self
                .attempt_jobs()
                .any(|job| self.jobs[job].conclusion() == Some(Conclusion::Cancelled));
        let conclusion = if cut { Conclusion::Cancelled } else { results };
        self.state = RunState::Done {
            conclusion,
            at: turn.now,
        };
        self.release_run(turn);
        turn.effect(EffectKind::RunFinished {
            attempt: self.attempt,
            conclusion,
        });
    }

    fn release_run(&self, turn: &mut Turn) {
        if let Some(group) = &self.group {
            let group = group.group.clone();
            turn.effect(EffectKind::ReleaseConcurrency {
                holder: self.holder(None),
                group,
            });
        }
    }

    /// Whether a frame is part of what goes on now.
    pub(super) fn is_live(&self, frame: usize) -> bool {
        match self.frames[frame].caller {
            None => frame == ROOT,
            Some(caller) => self.jobs[caller].state == JobState::Calling { frame },
        }
    }

    pub(super) fn frame_is_done(&self, frame: usize) -> bool {
        self.frames[frame]
            .nodes
            .iter()
            .all(|node| matches!(node.state, NodeState::Done(_)))
    }

    pub(super) fn frame_results(&self, frame: usize) -> impl Iterator<Item = Conclusion> {
        self.frames[frame]
            .nodes
            .iter()
            .filter_map(|node| match node.state {
                NodeState::Done(result) => Some(result),
                _ => None,
            })
    }

    /// The jobs of a frame that have not ended.
    pub(super) fn open_jobs(&self, frame: usize) -> Vec<usize> {
        let jobs = self.frames[frame]
            .nodes
            .iter()
            .flat_map(|node| node.jobs.iter().copied());
        jobs.filter(|job| !self.jobs[*job].is_done()).collect()
    }
}
