//! Whether a job runs, once its needs are done, and into which jobs it unfolds.

use super::scope::Ancestry;
use super::state::{Job, JobState, Leg, Node, NodeState, Plan};
use super::{JOBS_MAX, Run, Turn};
use crate::ids::Fence;
use indexmap::IndexMap;
use pilotage_api::runner::Conclusion;
use pilotage_workflow::model::{Condition, Job as Definition, Workflow};
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// What an `if` came to.
pub(super) enum Verdict {
    Run,
    /// And why, in words.
    Skip(String),
    Fail(String),
}

impl Run {
    /// Adds a workflow to the run, each of its jobs waiting.
    pub(super) fn add_frame(
        &mut self,
        caller: Option<usize>,
        inputs: Map<String, Json>,
        workflow: Arc<Workflow>,
    ) -> usize {
        let frame = self.frames.len();
        self.frames.push(super::Frame {
            caller,
            inputs,
            nodes: Vec::new(),
        });
        let only = if caller.is_none() {
            self.spec.only.as_slice()
        } else {
            &[]
        };
        let keys = wanted(&workflow, only);
        if let Some(parsed) = &mut self.parsed {
            parsed.workflows.push(workflow);
        }
        for (node, key) in keys.into_iter().enumerate() {
            let job = self.add_job(frame, node, &key);
            let state = NodeState::Waiting;
            let node = Node {
                key,
                state,
                jobs: vec![job],
                fail_fast: true,
                max_parallel: None,
            };
            self.frames[frame].nodes.push(node);
        }
        frame
    }

    /// Adds a waiting job for a node.
    pub(super) fn add_job(&mut self, frame: usize, node: usize, key: &str) -> usize {
        let name = self.waiting_name(frame, key);
        self.jobs.push(Job {
            frame,
            node,
            key: key.to_owned(),
            name,
            attempt: self.attempt,
            leg: Leg::only(),
            plan: Plan::default(),
            state: JobState::Waiting,
            fence: Fence(1),
            losses: 0,
            queued_at: None,
            started_at: None,
            runner: None,
            cancelling: None,
            outputs: IndexMap::new(),
            reason: None,
            error: None,
        });
        self.jobs.len() - 1
    }

    /// Whether everything that a node depends on has ended. A need may end before its own needs do, by being
    /// cancelled while it waits: a job with `always()` after it still comes last.
    pub(super) fn needs_are_done(&self, frame: usize, node: usize) -> bool {
        let nodes = &self.frames[frame].nodes;
        self.ancestors(frame, node)
            .into_iter()
            .all(|need| matches!(nodes[need].state, NodeState::Done(_)))
    }

    /// Decides a node whose needs are done.
    pub(super) fn decide(&mut self, frame: usize, node: usize, turn: &mut Turn) {
        let key = self.frames[frame].nodes[node].key.clone();
        let workflow = self.workflow(frame).map(Arc::clone);
        self.frames[frame].nodes[node].state = NodeState::Active;
        let Some(definition) = workflow.as_ref().and_then(|w| w.jobs.get(&key)) else {
            return self.fail_node(
                frame,
                node,
                format!("the workflow has no job `{key}` any more"),
                turn,
            );
        };
        match self.verdict(frame, node, definition.condition.as_ref()) {
            Verdict::Run => {
                if let Err(error) = self.unfold(frame, node, definition, turn) {
                    self.fail_node(frame, node, error, turn);
                }
            }
            Verdict::Fail(error) => self.fail_node(frame, node, error, turn),
            Verdict::Skip(reason) => {
                let job = self.frames[frame].nodes[node].jobs[0];
                match &self.cancellation {
                    Some(cancellation) => {
                        let reason = format!("cancelled by {}", cancellation.by);
                        self.end_job(job, Conclusion::Cancelled, Some(reason), turn);
                    }
                    None => self.end_job(job, Conclusion::Skipped, Some(reason), turn),
                }
            }
        }
    }

    /// Evaluates an `if`. Without a status function, `success()` is demanded before it.
    pub(super) fn verdict(&self, frame: usize, node: usize, condition: Option<&Condition>) -> Verdict {
        let ancestry = self.ancestry(frame, node);
        if !condition.is_some_and(|c| c.has_status_function)
            && let Some(reason) = self.no_success(frame, node, &ancestry)
        {
            return Verdict::Skip(reason);
        }
        let Some(condition) = condition else {
            return Verdict::Run;
        };
        let scope = self.node_scope(frame, node).with_status(ancestry);
        match condition.expr.evaluate(&scope) {
            Ok(value) if value.is_truthy() => Verdict::Run,
            Ok(_) => Verdict::Skip(condition.expr.explain(&scope)),
            Err(error) => Verdict::Fail(format!(
                "`if: {}` cannot be evaluated: {error}",
                condition.expr.text
            )),
        }
    }

    /// Why `success()` does not hold, if it does not: the nearest ancestor that is in the way.
    fn no_success(&self, frame: usize, node: usize, ancestry: &Ancestry) -> Option<String> {
        if ancestry.cancelled {
            return Some("the run is cancelled".to_owned());
        }
        let (key, result) = ancestry
            .results
            .iter()
            .find(|(_, result)| *result != Conclusion::Success)?;
        let did = match result {
            Conclusion::Failure => "failed",
            Conclusion::Cancelled => "was cancelled",
            _ => "was skipped",
        };
        let nodes = &self.frames[frame].nodes;
        let direct = self
            .needs(frame, node)
            .into_iter()
            .any(|need| nodes[need].key == *key);
        Some(if direct {
            format!("needs `{key}`, which {did}")
        } else {
            format!("depends on `{key}`, which {did}")
        })
    }

    /// Makes the jobs of a node: one for each leg of its matrix.
    fn unfold(
        &mut self,
        frame: usize,
        node: usize,
        definition: &Definition,
        turn: &mut Turn,
    ) -> Result<(), String> {
        let legs = self.legs(frame, node, definition)?;
        let open = self.jobs.iter().filter(|job| job.attempt == self.attempt).count();
        if open + legs.len() > JOBS_MAX {
            return Err(format!("the run would have more than {JOBS_MAX} jobs"));
        }
        let key = self.frames[frame].nodes[node].key.clone();
        let mut jobs = self.frames[frame].nodes[node].jobs.clone();
        while jobs.len() < legs.len() {
            jobs.push(self.add_job(frame, node, &key));
        }
        self.frames[frame].nodes[node].jobs.clone_from(&jobs);
        for (job, leg) in jobs.iter().zip(legs) {
            self.jobs[*job].leg = leg;
            self.jobs[*job].state = JobState::Slot;
        }
        // One that cannot be prepared fails, and may take its siblings with it.
        for job in jobs {
            if !self.jobs[job].is_done() {
                self.prepare(job, definition, turn);
            }
        }
        Ok(())
    }

    /// Works out a job's name and plan; what cannot be worked out fails it.
    fn prepare(&mut self, job: usize, definition: &Definition, turn: &mut Turn) {
        match self.plan(job, definition) {
            Ok((name, plan)) => {
                self.jobs[job].name = name;
                self.jobs[job].plan = plan;
            }
            Err(error) => {
                self.jobs[job].error = Some(error);
                self.end_job(job, Conclusion::Failure, None, turn);
            }
        }
    }

    fn fail_node(&mut self, frame: usize, node: usize, error: String, turn: &mut Turn) {
        for job in self.frames[frame].nodes[node].jobs.clone() {
            if !self.jobs[job].is_done() {
                self.jobs[job].error = Some(error.clone());
                self.end_job(job, Conclusion::Failure, None, turn);
            }
        }
    }
}

/// The jobs of a workflow, in its order: all, or those that were asked for with all that they need.
fn wanted(workflow: &Workflow, only: &[String]) -> Vec<String> {
    let mut taken: Vec<&str> = only.iter().map(String::as_str).collect();
    let mut next = 0;
    while let Some(key) = taken.get(next) {
        let needs = workflow.jobs.get(*key).map_or(&[][..], |job| &job.needs);
        let new: Vec<&str> = needs
            .iter()
            .map(|n| n.value.as_str())
            .filter(|n| !taken.contains(n))
            .collect();
        taken.extend(new);
        next += 1;
    }
    let keys = workflow.jobs.keys();
    keys.filter(|key| only.is_empty() || taken.contains(&key.as_str()))
        .cloned()
        .collect()
}
