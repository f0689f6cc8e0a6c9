//! What the expressions of a job see: `github`, `env`, `job`, `steps`, `runner`, `secrets` and the rest.
//!
//! One [`Contexts`] for the job, one for each composite action inside it. Values are shared, so that a copy for a
//! composite costs little. Nothing here knows when a step runs; the status functions belong to the sequencer.

use crate::hash_files::hash_files;
use indexmap::IndexMap;
use pilotage_workflow::expr::{Object, Scope, Value};
use pilotage_workflow::sequence::Outcome;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The parts of `github` that every process gets as `GITHUB_…`: all but `token`, `event` and what is secret.
const EXPORTED: [&str; 36] = [
    "action",
    "action_path",
    "action_ref",
    "action_repository",
    "actor",
    "actor_id",
    "api_url",
    "base_ref",
    "env",
    "event_name",
    "event_path",
    "graphql_url",
    "head_ref",
    "job",
    "output",
    "path",
    "ref",
    "ref_name",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "retention_days",
    "run_attempt",
    "run_id",
    "run_number",
    "server_url",
    "sha",
    "state",
    "step_summary",
    "triggering_actor",
    "workflow",
    "workflow_ref",
    "workflow_sha",
];

/// Environment variables, in the order in which they were set; on Linux `A` and `a` are two.
pub(crate) type Env = IndexMap<String, String>;

#[derive(Clone, Debug)]
pub(crate) struct Contexts {
    github: Arc<Object>,
    steps: Arc<Object>,
    job: Arc<Object>,
    env: Value,
    inputs: Value,
    /// None inside composite actions, which see no secrets.
    secrets: Option<Value>,
    /// `needs`, `strategy`, `matrix`, `vars`, `runner`: the same everywhere in a job.
    fixed: Arc<IndexMap<String, Value>>,
    workspace: Arc<Path>,
    home: Arc<Path>,
}

/// What a [`Contexts`] begins with.
pub(crate) struct Seed {
    pub(crate) github: Object,
    pub(crate) inputs: Value,
    pub(crate) secrets: Object,
    pub(crate) fixed: IndexMap<String, Value>,
    pub(crate) workspace: PathBuf,
    pub(crate) home: PathBuf,
}

impl Contexts {
    pub(crate) fn new(seed: Seed) -> Self {
        let mut job = Object::new();
        job.insert("status", Value::from("success"));
        Self {
            github: Arc::new(seed.github),
            steps: Arc::default(),
            job: Arc::new(job),
            env: Object::case_sensitive().into(),
            inputs: seed.inputs,
            secrets: Some(seed.secrets.into()),
            fixed: Arc::new(seed.fixed),
            workspace: seed.workspace.into(),
            home: seed.home.into(),
        }
    }

    /// For the steps of a composite action: its own inputs and steps, no secrets.
    pub(crate) fn for_composite(&self, inputs: &Env) -> Self {
        let mut object = Object::new();
        for (name, value) in inputs {
            object.insert(name.as_str(), Value::from(value.as_str()));
        }
        Self {
            steps: Arc::default(),
            inputs: object.into(),
            secrets: None,
            ..self.clone()
        }
    }

    pub(crate) fn set_github(&mut self, name: &str, value: impl Into<Value>) {
        Arc::make_mut(&mut self.github).insert(name, value.into());
    }

    pub(crate) fn github(&self, name: &str) -> String {
        self.github.get(name).map(Value::to_text).unwrap_or_default()
    }

    pub(crate) fn set_env<'a>(&mut self, env: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut object = Object::case_sensitive();
        for (name, value) in env {
            object.insert(name, Value::from(value));
        }
        self.env = object.into();
    }

    pub(crate) fn set_job_status(&mut self, status: Outcome) {
        Arc::make_mut(&mut self.job).insert("status", Value::from(status.word()));
    }

    /// Takes note of a finished step. A step without an id of its own is not in `steps`.
    pub(crate) fn set_step(&mut self, id: &str, outputs: &Env, outcome: Outcome, conclusion: Outcome) {
        if id.is_empty() {
            return;
        }
        let mut all = Object::new();
        for (name, value) in outputs {
            all.insert(name.as_str(), Value::from(value.as_str()));
        }
        let mut step = Object::new();
        step.insert("outputs", all.into());
        step.insert("outcome", Value::from(outcome.word()));
        step.insert("conclusion", Value::from(conclusion.word()));
        Arc::make_mut(&mut self.steps).insert(id, step.into());
    }

    /// The `GITHUB_…` and `RUNNER_…` variables that every process of the job gets.
    pub(crate) fn exported(&self) -> Env {
        let mut env = Env::new();
        env.insert("CI".into(), "true".into());
        env.insert("GITHUB_ACTIONS".into(), "true".into());
        for name in EXPORTED.iter().chain(&["workspace"]) {
            if let Some(value) = self.github.get(name) {
                env.insert(format!("GITHUB_{}", name.to_uppercase()), value.to_text());
            }
        }
        if let Some(Value::Object(runner)) = self.fixed.get("runner") {
            for (name, value) in runner.iter() {
                env.insert(format!("RUNNER_{}", name.to_uppercase()), value.to_text());
            }
        }
        env
    }
}

impl Scope for Contexts {
    fn context(&self, name: &str) -> Option<Value> {
        match name {
            "github" => Some(Value::Object(Arc::clone(&self.github))),
            "steps" => Some(Value::Object(Arc::clone(&self.steps))),
            "job" => Some(Value::Object(Arc::clone(&self.job))),
            "env" => Some(self.env.clone()),
            "inputs" => Some(self.inputs.clone()),
            "secrets" => self.secrets.clone(),
            _ => self.fixed.get(name).cloned(),
        }
    }

    fn function(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        if name != "hashfiles" {
            return None;
        }
        let arguments: Vec<String> = arguments.iter().map(Value::to_text).collect();
        let hash = hash_files(&self.workspace, &self.home, &arguments);
        Some(
            hash.map(Value::from)
                .map_err(|e| match std::error::Error::source(&e) {
                    Some(source) => format!("hashFiles failed: {e}: {source}"),
                    None => format!("hashFiles failed: {e}"),
                }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts() -> Contexts {
        let mut github = Object::new();
        github.insert("sha", Value::from("abc"));
        github.insert("token", Value::from("t"));
        github.insert("run_id", Value::from(7.0));
        let mut runner = Object::new();
        runner.insert("os", Value::from("Linux"));
        let fixed = IndexMap::from([("runner".to_owned(), runner.into())]);
        let secrets = Object::new();
        let (workspace, home) = (PathBuf::from("/w"), PathBuf::from("/h"));
        Contexts::new(Seed {
            github,
            inputs: Value::Null,
            secrets,
            fixed,
            workspace,
            home,
        })
    }

    #[test]
    fn the_token_is_never_exported() {
        let env = contexts().exported();
        assert_eq!(env.get("GITHUB_SHA").map(String::as_str), Some("abc"));
        assert_eq!(env.get("GITHUB_RUN_ID").map(String::as_str), Some("7"));
        assert_eq!(env.get("RUNNER_OS").map(String::as_str), Some("Linux"));
        assert_eq!(env.get("GITHUB_TOKEN"), None);
    }

    #[test]
    fn a_composite_sees_no_secrets_and_none_of_its_callers_steps() {
        let mut outer = contexts();
        outer.set_step("build", &Env::new(), Outcome::Success, Outcome::Success);
        let inner = outer.for_composite(&Env::from([("who".to_owned(), "me".to_owned())]));
        assert!(inner.context("secrets").is_none());
        let steps = |c: &Contexts| match c.context("steps") {
            Some(Value::Object(steps)) => steps.len(),
            _ => 0,
        };
        assert_eq!((steps(&outer), steps(&inner)), (1, 0));
    }
}
