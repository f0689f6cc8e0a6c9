//! What expressions of jobs can see, and the contexts that a runner gets.

use super::Run;
use super::state::NodeState;
use indexmap::IndexMap;
use pilotage_api::runner::Conclusion;
use pilotage_workflow::expr::{Object, Scope, Value};
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// Contexts by name and, for an `if`, the ancestors' results.
#[derive(Clone, Default)]
pub(super) struct JobScope {
    contexts: Vec<(&'static str, Value)>,
    status: Option<Ancestry>,
}

/// What the status functions look at.
#[derive(Clone, Debug, Default)]
pub(super) struct Ancestry {
    pub(super) cancelled: bool,
    /// All ancestors, nearest first.
    pub(super) results: Vec<(String, Conclusion)>,
}

impl JobScope {
    pub(super) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.contexts.retain(|(n, _)| *n != name);
        self.contexts.push((name, value));
        self
    }

    pub(super) fn with_status(mut self, ancestry: Ancestry) -> Self {
        self.status = Some(ancestry);
        self
    }
}

impl Scope for JobScope {
    fn context(&self, name: &str) -> Option<Value> {
        self.contexts
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.clone())
    }

    fn function(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let status = self.status.as_ref()?;
        let value = match name {
            "always" => Ok(true),
            "cancelled" => Ok(status.cancelled),
            "success" => status
                .of(arguments)
                .map(|r| !status.cancelled && r.iter().all(|r| *r == Conclusion::Success)),
            "failure" => status.of(arguments).map(|r| r.contains(&Conclusion::Failure)),
            _ => return None,
        };
        Some(value.map(Value::from))
    }
}

impl Ancestry {
    /// The results of the named jobs, or of all ancestors.
    fn of(&self, names: &[Value]) -> Result<Vec<Conclusion>, String> {
        if names.is_empty() {
            return Ok(self.results.iter().map(|(_, r)| *r).collect());
        }
        names.iter().map(|name| self.named(&name.to_text())).collect()
    }

    fn named(&self, name: &str) -> Result<Conclusion, String> {
        let found = self
            .results
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found
            .map(|(_, result)| *result)
            .ok_or_else(|| format!("the job does not need `{name}`"))
    }
}

pub(super) fn to_object(map: &Map<String, Json>) -> Value {
    let mut object = Object::new();
    for (name, value) in map {
        object.insert(name.as_str(), Value::from(value));
    }
    object.into()
}

impl Run {
    pub(super) fn github_value(&self) -> Value {
        to_object(&self.github_map(None))
    }

    pub(super) fn vars_value(&self) -> Value {
        let mut object = Object::new();
        for (name, value) in &self.spec.vars {
            object.insert(name.as_str(), Value::from(value.as_str()));
        }
        object.into()
    }

    /// The `github` context of this attempt, and of a job if one is given.
    pub(super) fn github_map(&self, job: Option<&str>) -> Map<String, Json> {
        let mut github = self.spec.github.clone();
        github.insert("run_id".to_owned(), Json::from(self.spec.run_id.0.to_string()));
        github.insert(
            "run_number".to_owned(),
            Json::from(self.spec.run_number.to_string()),
        );
        github.insert("run_attempt".to_owned(), Json::from(self.attempt.to_string()));
        if let Some(job) = job {
            github.insert("job".to_owned(), Json::from(job));
        }
        github
    }

    /// `github`, `inputs` and `vars`, as a workflow of that frame sees them.
    pub(super) fn frame_scope(&self, frame: usize) -> JobScope {
        self.base_scope()
            .with("inputs", to_object(&self.frames[frame].inputs))
    }

    pub(super) fn base_scope(&self) -> JobScope {
        let (github, vars) = match &self.parsed {
            Some(parsed) => (parsed.github.clone(), parsed.vars.clone()),
            None => (self.github_value(), self.vars_value()),
        };
        JobScope::default().with("github", github).with("vars", vars)
    }

    /// The same with `needs`.
    pub(super) fn node_scope(&self, frame: usize, node: usize) -> JobScope {
        self.frame_scope(frame)
            .with("needs", to_object(&self.needs_map(frame, node)))
    }

    /// The `needs` context: results and outputs of the jobs that this one names.
    pub(super) fn needs_map(&self, frame: usize, node: usize) -> Map<String, Json> {
        let mut map = Map::new();
        for need in self.needs(frame, node) {
            map.insert(
                self.frames[frame].nodes[need].key.clone(),
                self.result_and_outputs(frame, need),
            );
        }
        map
    }

    pub(super) fn result_and_outputs(&self, frame: usize, node: usize) -> Json {
        let result = match self.frames[frame].nodes[node].state {
            NodeState::Done(result) => result.word(),
            _ => "",
        };
        let outputs: Map<String, Json> = self
            .node_outputs(frame, node)
            .into_iter()
            .map(|(k, v)| (k, Json::from(v)))
            .collect();
        serde_json::json!({ "result": result, "outputs": outputs })
    }

    /// A job's outputs over all its legs: for each name, what the leg that ended last said. A leg that says
    /// nothing takes nothing away, so that legs may each give a name of their own.
    pub(super) fn node_outputs(&self, frame: usize, node: usize) -> IndexMap<String, String> {
        let mut jobs: Vec<_> = self.frames[frame].nodes[node]
            .jobs
            .iter()
            .map(|j| &self.jobs[*j])
            .collect();
        jobs.sort_by_key(|job| job.end_order());
        let mut outputs = IndexMap::new();
        for (name, value) in jobs.into_iter().flat_map(|job| &job.outputs) {
            if !value.is_empty() {
                outputs.insert(name.clone(), value.clone());
            }
        }
        outputs
    }

    /// The nodes that a node names in its `needs`.
    pub(super) fn needs(&self, frame: usize, node: usize) -> Vec<usize> {
        let nodes = &self.frames[frame].nodes;
        let Some(job) = self.workflow(frame).and_then(|w| w.jobs.get(&nodes[node].key)) else {
            return Vec::new();
        };
        let mut needs = Vec::new();
        for need in &job.needs {
            let found = nodes.iter().position(|n| n.key.eq_ignore_ascii_case(&need.value));
            needs.extend(found.filter(|n| !needs.contains(n)));
        }
        needs
    }

    /// All nodes that a node depends on, nearest first.
    pub(super) fn ancestors(&self, frame: usize, node: usize) -> Vec<usize> {
        let mut found = self.needs(frame, node);
        let mut next = 0;
        while next < found.len() {
            for need in self.needs(frame, found[next]) {
                if !found.contains(&need) {
                    found.push(need);
                }
            }
            next += 1;
        }
        found
    }

    pub(super) fn ancestry(&self, frame: usize, node: usize) -> Ancestry {
        let results = self.ancestors(frame, node).into_iter().filter_map(|ancestor| {
            let node = &self.frames[frame].nodes[ancestor];
            match node.state {
                NodeState::Done(result) => Some((node.key.clone(), result)),
                _ => None,
            }
        });
        Ancestry {
            cancelled: self.cancellation.is_some(),
            results: results.collect(),
        }
    }

    pub(super) fn workflow(&self, frame: usize) -> Option<&Arc<pilotage_workflow::model::Workflow>> {
        self.parsed.as_ref()?.workflows.get(frame)
    }
}
