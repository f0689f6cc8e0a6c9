//! Another attempt of a run that has ended: all of it, what failed, or one job; with all that depends on it.
//!
//! What ran before stays as it was, with its attempt's number; what does not run again keeps its result and its
//! outputs for those who need them.

use super::state::{JobState, NodeState, PastAttempt, Plan, RunState};
use super::{IllegalEvent, ROOT, Rerun, Run, Turn};
use pilotage_api::runner::Conclusion;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// As on GitHub: the first and 50 more.
pub const ATTEMPTS_MAX: u32 = 51;

impl Run {
    pub(super) fn rerun(
        &mut self,
        after: u32,
        which: Rerun,
        by: String,
        turn: &mut Turn,
    ) -> Result<(), IllegalEvent> {
        let id = self.spec.run_id;
        if after > self.attempt || after == 0 {
            return Err(IllegalEvent::UnknownAttempt(id, after));
        }
        if after < self.attempt {
            // Said twice, or late: that attempt was followed already.
            return Ok(());
        }
        let RunState::Done { conclusion, at } = self.state else {
            return Err(IllegalEvent::StillRunning(id));
        };
        if self.attempt >= ATTEMPTS_MAX {
            return Err(IllegalEvent::TooManyAttempts(id, ATTEMPTS_MAX));
        }
        let again = self.chosen(which)?;
        let jobs = self.attempt_jobs().collect();
        self.past.push(PastAttempt {
            conclusion,
            started_at: self.started_at,
            finished_at: at,
            jobs,
        });
        self.attempt += 1;
        self.started_at = turn.now;
        self.cancellation = None;
        self.spec
            .github
            .insert("triggering_actor".to_owned(), Json::from(by));
        let github = self.github_value();
        if let Some(parsed) = &mut self.parsed {
            parsed.github = github;
        }
        self.reset(which, &again);
        let workflow = self.workflow(ROOT).map(Arc::clone);
        if let Some(workflow) = workflow {
            self.begin(&workflow, turn);
        }
        Ok(())
    }

    /// The jobs that run again, without those that depend on them.
    fn chosen(&self, which: Rerun) -> Result<Vec<usize>, IllegalEvent> {
        match which {
            Rerun::All => Ok(Vec::new()),
            Rerun::Job(job) => {
                let place = self.place(job)?;
                if self.attempt_jobs().any(|j| j == place) {
                    Ok(vec![place])
                } else {
                    Err(IllegalEvent::OldJob(job, self.jobs[place].attempt))
                }
            }
            Rerun::Failed => {
                let failed = |job: &usize| {
                    matches!(
                        self.jobs[*job].conclusion(),
                        Some(Conclusion::Failure | Conclusion::Cancelled)
                    )
                };
                // A caller fails because of a job inside it, which is found by itself.
                let calls = |job: &usize| self.frames.iter().any(|frame| frame.caller == Some(*job));
                let chosen: Vec<usize> = self
                    .attempt_jobs()
                    .filter(failed)
                    .filter(|job| !calls(job))
                    .collect();
                if chosen.is_empty() {
                    Err(IllegalEvent::NothingFailed(self.spec.run_id))
                } else {
                    Ok(chosen)
                }
            }
        }
    }

    fn reset(&mut self, which: Rerun, chosen: &[usize]) {
        let whole = match which {
            Rerun::All => (0..self.frames[ROOT].nodes.len())
                .map(|node| (ROOT, node))
                .collect(),
            Rerun::Failed | Rerun::Job(_) => self.whole_nodes(chosen),
        };
        let stays = |run: &Self, frame: usize| !run.callers(frame).any(|caller| whole.contains(&caller));
        for (frame, node) in whole
            .iter()
            .copied()
            .filter(|(frame, _)| stays(self, *frame))
            .collect::<Vec<_>>()
        {
            self.reopen_caller(frame);
            self.reset_node(frame, node);
        }
        for job in chosen {
            let (frame, node) = (self.jobs[*job].frame, self.jobs[*job].node);
            if stays(self, frame) && !whole.contains(&(frame, node)) {
                self.reopen_caller(frame);
                let again = self.copy_of(*job);
                self.replace(*job, again);
            }
        }
    }

    /// The nodes that are put back to before their needs were looked at: all that depend on a chosen job, in its
    /// own workflow and in those above; and a chosen one's own, where it never got as far as its legs.
    fn whole_nodes(&self, chosen: &[usize]) -> BTreeSet<(usize, usize)> {
        let mut whole = BTreeSet::new();
        for job in chosen {
            let own = (self.jobs[*job].frame, self.jobs[*job].node);
            if !self.was_planned(*job) {
                whole.insert(own);
            }
            for (frame, node) in std::iter::once(own).chain(self.callers(own.0)) {
                let others = 0..self.frames[frame].nodes.len();
                whole.extend(
                    others
                        .filter(|other| self.ancestors(frame, *other).contains(&node))
                        .map(|n| (frame, n)),
                );
            }
        }
        whole
    }

    /// The nodes that called a frame, innermost first.
    fn callers(&self, frame: usize) -> impl Iterator<Item = (usize, usize)> {
        let above = |frame: usize| {
            let caller = &self.jobs[self.frames[frame].caller?];
            Some((caller.frame, caller.node))
        };
        std::iter::successors(above(frame), move |(frame, _)| above(*frame))
    }

    fn was_planned(&self, job: usize) -> bool {
        let plan = &self.jobs[job].plan;
        plan.call.is_some() || !plan.labels.is_empty() || plan.group.is_some()
    }

    /// Puts a node back to before its needs were looked at.
    fn reset_node(&mut self, frame: usize, node: usize) {
        let key = self.frames[frame].nodes[node].key.clone();
        let job = self.add_job(frame, node, &key);
        let node = &mut self.frames[frame].nodes[node];
        node.state = NodeState::Waiting;
        node.jobs = vec![job];
        node.fail_fast = true;
        node.max_parallel = None;
    }

    /// A called workflow of which a job runs again goes on inside a new attempt of its caller, which keeps the
    /// rest of it.
    fn reopen_caller(&mut self, frame: usize) {
        let Some(caller) = self.frames[frame]
            .caller
            .filter(|caller| self.jobs[*caller].is_done())
        else {
            return;
        };
        self.reopen_caller(self.jobs[caller].frame);
        let again = self.copy_of(caller);
        self.jobs[again].plan.frame = Some(frame);
        self.frames[frame].caller = Some(again);
        self.replace(caller, again);
    }

    /// A new attempt of a job, with the leg and the plan that it had.
    fn copy_of(&mut self, job: usize) -> usize {
        let old = self.jobs[job].clone();
        let new = self.add_job(old.frame, old.node, &old.key);
        let entry = &mut self.jobs[new];
        entry.name = old.name;
        entry.leg = old.leg;
        entry.plan = Plan {
            frame: None,
            ..old.plan
        };
        entry.state = JobState::Slot;
        new
    }

    fn replace(&mut self, old: usize, new: usize) {
        let (frame, node) = (self.jobs[new].frame, self.jobs[new].node);
        let node = &mut self.frames[frame].nodes[node];
        node.state = NodeState::Active;
        node.jobs
            .iter_mut()
            .filter(|job| **job == old)
            .for_each(|job| *job = new);
    }

    /// The jobs that make up the latest attempt, in the order of the files: those that ran again, and those that
    /// stand from before.
    pub(super) fn attempt_jobs(&self) -> impl Iterator<Item = usize> {
        let mut found = Vec::new();
        self.collect_jobs(ROOT, &mut found);
        found.into_iter()
    }

    fn collect_jobs(&self, frame: usize, found: &mut Vec<usize>) {
        for job in self.frames[frame]
            .nodes
            .iter()
            .flat_map(|node| node.jobs.iter().copied())
        {
            found.push(job);
            let inside = self.frames.iter().rposition(|f| f.caller == Some(job));
            if let Some(inside) = inside {
                self.collect_jobs(inside, found);
            }
        }
    }
}
