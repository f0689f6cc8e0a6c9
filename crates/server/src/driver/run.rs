//! The run machine in the store: how it begins, and one step of it.

use super::cache::Cached;
use super::projection::{self, Shape};
use super::{RUN, Turn};
use pilotage_engine::ids::{ProjectId, RunId};
use pilotage_engine::run::{IllegalEvent, RestoreError, Run, RunEffect, RunEvent, RunSpec};
use pilotage_engine::time::Timestamp;
use pilotage_store::{Result, StoreError, Transition};
use pilotage_workflow::diagnostic::Diagnostic;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// Why a run does not take an event. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("there is no such run")]
    NoRun,
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    #[error(transparent)]
    Unreadable(#[from] RestoreError),
}

/// All that makes a run of one workflow for one event.
pub struct NewRun {
    pub project: i64,
    pub event_id: i64,
    pub event: String,
    pub workflow_path: String,
    pub workflow_name: String,
    pub workflows: BTreeMap<String, String>,
    pub github: Map<String, Json>,
    pub inputs: Map<String, Json>,
    pub vars: BTreeMap<String, String>,
    pub r#ref: String,
    pub sha: String,
    pub title: String,
    pub actor: String,
}

impl Turn<'_> {
    /// Starts a run. None where the workflow is disabled, or has a run of this event already; the diagnostics of a
    /// workflow that cannot run.
    pub async fn start_run(&mut self, new: NewRun) -> Result<Result<Option<i64>, Vec<Diagnostic>>> {
        let workflow = self
            .c
            .touch_workflow(new.project, &new.workflow_path, &new.workflow_name)
            .await?;
        let known = self
            .c
            .runs_of_event(new.event_id)
            .await?
            .iter()
            .any(|run| run.workflow_id == workflow.id);
        if known || workflow.enabled == 0 {
            return Ok(Ok(None));
        }
        let id = self.c.next_number("run").await?;
        let run_number = self.c.next_run_number(workflow.id).await?;
        let spec = RunSpec {
            run_id: RunId(id),
            project: ProjectId(new.project),
            run_number,
            workflow_path: new.workflow_path,
            workflows: new.workflows,
            github: new.github,
            inputs: new.inputs,
            vars: new.vars,
            title: new.title,
            only: Vec::new(),
        };
        let (run, effects) = match Run::start(Timestamp(self.now), spec) {
            Ok(started) => started,
            Err(diagnostics) => return Ok(Err(diagnostics)),
        };
        let row = pilotage_store::Run {
            id,
            project_id: new.project,
            workflow_id: workflow.id,
            number: run_number,
            attempt: 1,
            event_id: new.event_id,
            event: new.event,
            r#ref: new.r#ref,
            sha: new.sha,
            title: String::new(),
            actor: new.actor,
            status: String::new(),
            conclusion: None,
            reason: String::new(),
            created_at: self.now,
            started_at: self.now,
            ended_at: None,
        };
        self.c.add_run(&row).await?;
        let state = to_text(&run)?;
        let fresh = Cached {
            run,
            shape: Shape::default(),
        };
        self.store_run(0, "{\"event\":\"start\"}", state, &effects, fresh)
            .await?;
        Ok(Ok(Some(id)))
    }

    /// One step of a run's machine: the event, its state and its effects become durable with this transaction.
    pub async fn run_event(&mut self, id: i64, event: RunEvent) -> Result<Result<(), Refused>> {
        let Some(row) = self.c.machine(RUN, id).await? else {
            return Ok(Err(Refused::NoRun));
        };
        let Cached { mut run, shape } = match self.runs.take(id, &row.state) {
            Some(cached) => cached,
            None => match Run::restore(&row.state) {
                Ok(run) => Cached {
                    shape: Shape::of(&run),
                    run,
                },
                Err(error) => return Ok(Err(error.into())),
            },
        };
        let text = to_text(&event)?;
        let effects = match run.handle(Timestamp(self.now), event) {
            Ok(effects) => effects,
            Err(illegal) => {
                self.runs.put(id, row.state, Cached { run, shape });
                return Ok(Err(illegal.into()));
            }
        };
        let state = to_text(&run)?;
        if effects.is_empty() && state == row.state {
            self.runs.put(id, state, Cached { run, shape });
            return Ok(Ok(()));
        }
        self.store_run(row.version, &text, state, &effects, Cached { run, shape })
            .await?;
        Ok(Ok(()))
    }

    async fn store_run(
        &mut self,
        version: i64,
        event: &str,
        state: String,
        effects: &[RunEffect],
        Cached { run, shape }: Cached,
    ) -> Result<()> {
        let id = run.id().0;
        let effects = effects.iter().map(to_text).collect::<Result<Vec<_>>>()?;
        let transition = Transition {
            kind: RUN,
            id,
            version,
            at: self.now,
            event,
            state: &state,
            deadline: run.deadline().map(|at| at.0),
            done: run.conclusion().is_some(),
            effects: &effects,
        };
        self.c.transition(transition).await?;
        let shape = projection::store(self.c, &run, shape).await?;
        self.runs.put(id, state, Cached { run, shape });
        Ok(())
    }

    /// A run as it stands, to ask it something.
    pub async fn load_run(&mut self, id: i64) -> Result<Result<Run, Refused>> {
        let Some(row) = self.c.machine(RUN, id).await? else {
            return Ok(Err(Refused::NoRun));
        };
        if let Some(run) = self.runs.copy(id, &row.state) {
            return Ok(Ok(run));
        }
        Ok(Run::restore(&row.state).map_err(Refused::from))
    }
}

impl super::Driver {
    /// A run as it stands, to ask it something.
    pub async fn load_run(&self, id: i64) -> Result<Result<Run, Refused>> {
        let Some(row) = self.store.read().await?.machine(RUN, id).await? else {
            return Ok(Err(Refused::NoRun));
        };
        if let Some(run) = self.runs.copy(id, &row.state) {
            return Ok(Ok(run));
        }
        Ok(Run::restore(&row.state).map_err(Refused::from))
    }
}

pub(crate) fn to_text<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|_| StoreError::Damaged {
        what: "a value that has no JSON".to_owned(),
    })
}

pub(super) fn from_text<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| StoreError::Damaged {
        what: what.to_owned(),
    })
}
