//! How a run, a called workflow or a job is cancelled, and what still runs then.

use super::decide::Verdict;
use super::state::{Cancellation, JobState, NodeState, RunState};
use super::{IllegalEvent, Run, Turn};
use pilotage_api::runner::Conclusion;
use std::time::Duration;

/// What a runner may take beyond `cancel-timeout-minutes` to say that the job has ended.
const GRACE: Duration = Duration::from_secs(60);

impl Run {
    pub(super) fn cancel(
        &mut self,
        attempt: u32,
        by: String,
        force: bool,
        turn: &mut Turn,
    ) -> Result<(), IllegalEvent> {
        if attempt > self.attempt || attempt == 0 {
            return Err(IllegalEvent::UnknownAttempt(self.spec.run_id, attempt));
        }
        if attempt == self.attempt {
            self.cancel_run(by, force, turn);
        }
        Ok(())
    }

    /// Ends the attempt: what has not begun is cancelled, what runs is told to end. As on GitHub, a job whose `if`
    /// is true for a cancelled run goes on, or still begins.
    pub(super) fn cancel_run(&mut self, by: String, force: bool, turn: &mut Turn) {
        let repeated = self.cancellation.as_ref().is_some_and(|c| c.force || !force);
        if repeated || matches!(self.state, RunState::Done { .. }) {
            return;
        }
        let reason = format!("cancelled by {by}");
        self.cancellation = Some(Cancellation { by, force });
        let held = matches!(self.state, RunState::Held { .. });
        self.state = RunState::Active;
        // A called workflow whose caller still waits in a re-run is asked as well; in all others nothing is open.
        for frame in 0..self.frames.len() {
            for job in self.open_jobs(frame) {
                if held {
                    self.end_job(job, Conclusion::Cancelled, Some(reason.clone()), turn);
                } else if force {
                    self.end_at_once(job, &reason, turn);
                } else if !self.goes_on(job) {
                    self.cancel_job(job, &reason, turn);
                }
            }
        }
    }

    /// Whether a job runs although its run is cancelled.
    fn goes_on(&self, job: usize) -> bool {
        let entry = &self.jobs[job];
        if matches!(entry.state, JobState::Calling { .. }) {
            // The jobs inside are asked themselves.
            return true;
        }
        let Some(definition) = self.workflow(entry.frame).and_then(|w| w.jobs.get(&entry.key)) else {
            return false;
        };
        let Some(condition) = definition.condition.as_ref().filter(|c| c.has_status_function) else {
            return false;
        };
        if self.frames[entry.frame].nodes[entry.node].state == NodeState::Waiting {
            // It is asked when its needs are done.
            return true;
        }
        matches!(
            self.verdict(entry.frame, entry.node, Some(condition)),
            Verdict::Run
        )
    }

    /// Cancels one job, with the workflow that it calls. One that runs is told to end, and ends when it says so.
    pub(super) fn cancel_job(&mut self, job: usize, reason: &str, turn: &mut Turn) {
        match self.jobs[job].state {
            JobState::Done { .. } => {}
            JobState::Waiting | JobState::Slot | JobState::Gate { .. } => {
                self.end_job(job, Conclusion::Cancelled, Some(reason.to_owned()), turn);
            }
            JobState::Queued { .. } => {
                self.end_job(job, Conclusion::Cancelled, Some(reason.to_owned()), turn);
                self.tell_to_end(job, turn);
            }
            JobState::Running { since, deadline } => {
                if self.jobs[job].cancelling.is_none() {
                    let until = deadline.min(turn.now + self.jobs[job].plan.cancel_timeout + GRACE);
                    self.jobs[job].state = JobState::Running {
                        since,
                        deadline: until,
                    };
                    self.jobs[job].cancelling = Some(reason.to_owned());
                    self.tell_to_end(job, turn);
                }
            }
            JobState::Calling { frame } => {
                for inner in self.open_jobs(frame) {
                    self.cancel_job(inner, reason, turn);
                }
            }
        }
    }

    fn end_at_once(&mut self, job: usize, reason: &str, turn: &mut Turn) {
        if matches!(self.jobs[job].state, JobState::Calling { .. }) {
            return;
        }
        let told = matches!(
            self.jobs[job].state,
            JobState::Queued { .. } | JobState::Running { .. }
        );
        self.end_job(job, Conclusion::Cancelled, Some(reason.to_owned()), turn);
        if told {
            self.tell_to_end(job, turn);
        }
    }
}
