//! What a run was made of, and the question before it is deleted.

use super::{Of, belongs, made};
use crate::app::App;
use crate::error::{AppError, AppResult};
use crate::rest::run as rest_run;
use crate::web::form::Form;
use crate::web::page::{WebResult, see_other, sentence, show};
use crate::web::session::Nothing;
use crate::web::viewer::Viewer;
use axum::extract::{Path, State};
use pilotage_api::runner::{Conclusion, Evaluated};
use pilotage_engine::run::{JobView, Run};
use pilotage_trust::token::Scope;
use pilotage_ui::page::run::more::{Became, Config, Delete, StepBecame, Values};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use std::collections::HashMap;
use std::sync::Arc;

fn shell(title: String, owner: String, name: String) -> Shell {
    let tab = ProjectTab::Runs;
    Shell::new(title, Place::Project { owner, name, tab })
}

pub(super) async fn config(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, id)): Of,
) -> WebResult {
    belongs(&app, &viewer, &owner, &name, id).await?;
    let (row, project) = rest_run::find(&app, &viewer.who, id, Scope::Read).await?;
    let machine = app.driver.load_run(id).await.map_err(AppError::from)?;
    let machine = machine.map_err(|error| AppError::internal(&error))?;
    let spec = machine.spec();
    let mut files: Vec<(String, String)> = spec.workflows.clone().into_iter().collect();
    files.sort_by_key(|(path, _)| *path != spec.workflow_path);
    let jobs = became(&app, id, &machine).await?;
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let config = Config {
        run: format!("/{}/runs/{id}", project.path()),
        id,
        title: row.title,
        sha: row.sha,
        files,
        inputs: spec
            .inputs
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        variables: spec.vars.clone().into_iter().collect(),
        jobs,
    };
    let shell = shell(format!("Configuration of run {id}"), owner, name);
    Ok(show(&viewer, shell, &config.main()))
}

/// What the runners told of expressions, and what the run itself worked out: where its jobs run.
async fn became(app: &App, id: i64, machine: &Run) -> AppResult<Vec<Became>> {
    let detail = rest_run::detail(app, id, None).await?;
    let mut told: HashMap<i64, Vec<Evaluated>> = HashMap::new();
    for (job, text) in app.store.read().await?.evaluations_of_run(id).await? {
        told.entry(job).or_default().extend(serde_json::from_str(&text));
    }
    let views: HashMap<i64, JobView<'_>> = machine.jobs().map(|view| (view.id.0, view)).collect();
    let jobs = detail.jobs.into_iter().map(|job| {
        let mut told = told.remove(&job.id).unwrap_or_default();
        let mut of = |step: u32| {
            told.iter()
                .position(|of| of.step == step)
                .map(|at| told.swap_remove(at))
        };
        let own = of(0).map(values).unwrap_or_default();
        let steps = job.steps.iter().filter_map(|step| {
            let skipped = step.conclusion == Some(Conclusion::Skipped) && !step.why.is_empty();
            let told = of(step.step);
            (skipped || told.is_some()).then(|| StepBecame {
                number: step.step,
                name: step.name.clone(),
                why: if skipped { step.why.clone() } else { String::new() },
                own: told.map(values).unwrap_or_default(),
            })
        });
        let steps = steps.collect();
        let view = views.get(&job.id);
        let skipped = job.conclusion == Some(Conclusion::Skipped);
        Became {
            id: job.id,
            status: super::status(&job),
            why: if skipped { job.why } else { String::new() },
            runs_on: view.map(|view| view.labels.to_vec()).unwrap_or_default(),
            environment: job.environment,
            name: job.name,
            own,
            steps,
        }
    });
    Ok(jobs.collect())
}

fn values(told: Evaluated) -> Values {
    Values {
        condition: told.condition,
        env: told.env.into_iter().collect(),
        with: told.with.into_iter().collect(),
    }
}

pub(super) async fn ask(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, id)): Of,
) -> WebResult {
    belongs(&app, &viewer, &owner, &name, id).await?;
    let (row, project) = rest_run::find(&app, &viewer.who, id, Scope::Read).await?;
    let detail = rest_run::detail(&app, id, None).await?;
    let artifacts = made::artifacts(&app, id).await?;
    let refusal = match viewer.refusal(Scope::Write, &project) {
        Some(refusal) => Some(refusal),
        None => rest_run::kept(&app, &row).await?.map(|error| error.detail),
    };
    let delete = Delete {
        viewer: viewer.shown(),
        run: format!("/{}/runs/{id}", project.path()),
        id,
        title: row.title,
        jobs: detail.jobs.len(),
        lines: detail.jobs.iter().map(|job| job.log_lines).sum(),
        artifacts: (
            artifacts.len(),
            artifacts.iter().map(|artifact| artifact.size_bytes).sum(),
        ),
        refusal: refusal.as_deref().map(sentence),
    };
    let shell = shell(format!("Delete run {id}"), owner, name);
    Ok(show(&viewer, shell, &delete.main()))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, id)): Of,
    _form: Form<Nothing>,
) -> WebResult {
    belongs(&app, &viewer, &owner, &name, id).await?;
    rest_run::remove(State(app), viewer.who, Path(id)).await?;
    Ok(see_other(&format!("/{owner}/{name}/runs")))
}
