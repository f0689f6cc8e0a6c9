//! Jobs that call a reusable workflow: what goes in, what comes out, and which secrets go along.

use super::scope::{JobScope, to_object};
use super::state::{JobState, combined};
use super::{JOBS_MAX, Run, Turn};
use crate::ids::JobId;
use indexmap::IndexMap;
use pilotage_api::runner::Conclusion;
use pilotage_workflow::expr::{Object, Value};
use pilotage_workflow::model::{CallJob, CallSecrets, Input, InputKind, JobKind, Trigger, Workflow};
use pilotage_workflow::secret::{self, Named};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The secret that every job has, whatever its caller passes on.
const TOKEN: &str = "GITHUB_TOKEN";

impl Run {
    /// The values of a called workflow's inputs, with their types and defaults.
    pub(super) fn call_inputs(
        &self,
        call: &CallJob,
        workflow: &Workflow,
        scope: &JobScope,
    ) -> Result<Map<String, Json>, String> {
        let given = match &call.with {
            None => Value::Null,
            Some(tree) => tree
                .evaluate(scope)
                .map_err(|e| format!("`with` cannot be evaluated: {e}"))?,
        };
        let empty = IndexMap::new();
        let declared = workflow_call(workflow).map_or(&empty, |trigger| &trigger.inputs);
        if let Value::Object(given) = &given
            && let Some((name, _)) = given.iter().find(|(name, _)| find(declared, name).is_none())
        {
            return Err(format!("`{}` has no input `{name}`", call.uses.value));
        }
        let mut inputs = Map::new();
        for (name, input) in declared {
            let given = match &given {
                Value::Object(given) => given.get(name),
                _ => None,
            };
            let value = match given {
                Some(value) if !matches!(value, Value::Null) => value.clone(),
                _ if input.required && given.is_none() => {
                    return Err(format!("`{}` requires the input `{name}`", call.uses.value));
                }
                _ => self.default_of(input)?,
            };
            inputs.insert(name.clone(), typed(name, input.kind, &value)?);
        }
        Ok(inputs)
    }

    fn default_of(&self, input: &Input) -> Result<Value, String> {
        match &input.default {
            Some(tree) => tree
                .evaluate(&self.base_scope())
                .map_err(|e| format!("the default of an input cannot be evaluated: {e}")),
            None => Ok(match input.kind {
                InputKind::Boolean => Value::Bool(false),
                InputKind::Number => Value::Number(0.0),
                InputKind::String | InputKind::Choice | InputKind::Environment => Value::from(""),
            }),
        }
    }

    /// Begins the workflow that a job calls.
    pub(super) fn begin_call(&mut self, job: usize, inputs: Map<String, Json>, turn: &mut Turn) {
        let open = self.jobs.iter().filter(|job| job.attempt == self.attempt).count();
        if let Some(frame) = self.jobs[job].plan.frame {
            self.jobs[job].started_at = Some(turn.now);
            self.jobs[job].state = JobState::Calling { frame };
            return;
        }
        match self.called_by(job) {
            Some(workflow) if open + workflow.jobs.len() > JOBS_MAX => {
                self.jobs[job].error = Some(format!("the run would have more than {JOBS_MAX} jobs"));
                self.end_job(job, Conclusion::Failure, None, turn);
            }
            Some(workflow) => {
                let frame = self.add_frame(Some(job), inputs, workflow);
                self.jobs[job].started_at = Some(turn.now);
                self.jobs[job].state = JobState::Calling { frame };
            }
            None => {
                self.jobs[job].error = Some("the called workflow was not found".to_owned());
                self.end_job(job, Conclusion::Failure, None, turn);
            }
        }
    }

    /// Ends a calling job when all of the called workflow's jobs have ended.
    pub(super) fn end_call(&mut self, job: usize, frame: usize, turn: &mut Turn) {
        let mut conclusion = combined(self.frame_results(frame));
        match self.call_outputs(frame) {
            Ok(outputs) => self.jobs[job].outputs = outputs,
            Err(error) => {
                self.jobs[job].error = Some(error);
                conclusion = Conclusion::Failure;
            }
        }
        let skipped = conclusion == Conclusion::Skipped;
        let reason = skipped.then(|| "every job of the called workflow was skipped".to_owned());
        self.end_job(job, conclusion, reason, turn);
    }

    fn call_outputs(&self, frame: usize) -> Result<IndexMap<String, String>, String> {
        let mut outputs = IndexMap::new();
        let Some(trigger) = self.workflow(frame).and_then(|w| workflow_call(w)) else {
            return Ok(outputs);
        };
        let mut jobs = Map::new();
        for (node, state) in self.frames[frame].nodes.iter().enumerate() {
            jobs.insert(state.key.clone(), self.result_and_outputs(frame, node));
        }
        let scope = self.frame_scope(frame).with("jobs", to_object(&jobs));
        for (name, output) in &trigger.outputs {
            let value = output.value.evaluate(&scope);
            let value = value.map_err(|e| format!("the output `{name}` cannot be evaluated: {e}"))?;
            outputs.insert(name.clone(), value.to_text());
        }
        Ok(outputs)
    }

    /// The workflow that a job calls, where it calls one.
    pub(super) fn called_by(&self, job: usize) -> Option<Arc<Workflow>> {
        self.call_of(job)?.workflow.clone()
    }

    fn call_of(&self, job: usize) -> Option<&CallJob> {
        let job = &self.jobs[job];
        match &self.workflow(job.frame)?.jobs.get(&job.key)?.kind {
            JobKind::Call(call) => Some(call),
            JobKind::Steps(_) => None,
        }
    }

    /// The workflows of all frames, from that of the run: callers come before those they call.
    pub(super) fn frame_workflows(&self, root: &Arc<Workflow>) -> Result<Vec<Arc<Workflow>>, String> {
        let mut workflows: Vec<Arc<Workflow>> = Vec::with_capacity(self.frames.len());
        for frame in &self.frames {
            let workflow = match frame.caller {
                None => Arc::clone(root),
                Some(caller) => {
                    let job = self.jobs.get(caller).ok_or("a caller is missing")?;
                    let calling = workflows
                        .get(job.frame)
                        .and_then(|w| w.jobs.get(&job.key))
                        .map(|j| &j.kind);
                    match calling {
                        Some(JobKind::Call(call)) => {
                            call.workflow.clone().ok_or("a called workflow is missing")?
                        }
                        _ => return Err(format!("job `{}` calls no workflow", job.key)),
                    }
                }
            };
            workflows.push(workflow);
        }
        Ok(workflows)
    }

    /// The secrets that a job gets. `available` are those of the project and its owner; `environment` those of the
    /// job's environment, which it gets whatever its caller passes on, as on GitHub.
    pub fn secrets_for(
        &self,
        job: JobId,
        available: &BTreeMap<String, String>,
        environment: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, String> {
        let place = self.place(job).map_err(|e| e.to_string())?;
        let mut secrets = self.frame_secrets(self.jobs[place].frame, available)?;
        secrets.extend(
            environment
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Ok(secrets)
    }

    /// The secrets that a job names: of its environment, and of the project, where its callers may give them other
    /// names.
    pub fn secrets_named(&self, job: JobId) -> Result<(Named, Named), String> {
        let place = self.place(job).map_err(|e| e.to_string())?;
        let job = &self.jobs[place];
        let of = |frame: usize, key: &str| {
            let workflow = self.workflow(frame);
            workflow.map_or(Named::All, |workflow| secret::of_job(workflow, key))
        };
        let own = of(job.frame, &job.key);
        let (mut named, mut frame) = (own.clone(), job.frame);
        while let Some(caller) = self.frames[frame].caller {
            match self.call_of(caller).map(|call| &call.secrets) {
                Some(CallSecrets::Inherit) => {}
                // All that stand there, because all are evaluated together.
                Some(CallSecrets::Map(tree)) => named = secret::of_tree(tree),
                Some(CallSecrets::None) | None => named = Named::default(),
            }
            frame = self.jobs[caller].frame;
        }
        Ok((own, named))
    }

    fn frame_secrets(
        &self,
        frame: usize,
        available: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, String> {
        let Some(caller) = self.frames[frame].caller else {
            return Ok(available.clone());
        };
        let mut above = self.frame_secrets(self.jobs[caller].frame, available)?;
        let token = above.get(TOKEN).cloned();
        let mut secrets = match self.call_of(caller).map(|call| &call.secrets) {
            Some(CallSecrets::Inherit) => return Ok(above),
            Some(CallSecrets::Map(tree)) => {
                let mut object = Object::new();
                for (name, value) in std::mem::take(&mut above) {
                    object.insert(name, Value::from(value));
                }
                let scope = self.job_scope(caller).with("secrets", object.into());
                // The error of an expression may quote what it saw: it is not passed on.
                let value = tree.evaluate(&scope).map_err(|_| {
                    format!("`secrets` of job `{}` cannot be evaluated", self.jobs[caller].key)
                })?;
                texts(&value)
            }
            Some(CallSecrets::None) | None => BTreeMap::new(),
        };
        if let Some(token) = token {
            secrets.insert(TOKEN.to_owned(), token);
        }
        Ok(secrets)
    }
}

/// GitHub takes an empty secret as one that is not there.
fn texts(value: &Value) -> BTreeMap<String, String> {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_text()))
            .filter(|(_, value)| !value.is_empty())
            .collect(),
        _ => BTreeMap::new(),
    }
}

fn workflow_call(workflow: &Workflow) -> Option<&Trigger> {
    workflow
        .on
        .iter()
        .find(|trigger| trigger.event.value == "workflow_call")
}

fn find<'a>(inputs: &'a IndexMap<String, Input>, name: &str) -> Option<&'a Input> {
    inputs
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, input)| input)
}

fn typed(name: &str, kind: InputKind, value: &Value) -> Result<Json, String> {
    let fits = match kind {
        InputKind::Boolean => matches!(value, Value::Bool(_)),
        InputKind::Number => matches!(value, Value::Number(_)),
        InputKind::String | InputKind::Choice | InputKind::Environment => {
            return match value {
                Value::Array(_) | Value::Object(_) => Err(format!("the input `{name}` is not a text")),
                scalar => Ok(Json::from(scalar.to_text())),
            };
        }
    };
    let word = if kind == InputKind::Boolean {
        "true or false"
    } else {
        "a number"
    };
    if fits {
        Ok(Json::from(value))
    } else {
        Err(format!("the input `{name}` is `{}`, not {word}", value.to_text()))
    }
}
