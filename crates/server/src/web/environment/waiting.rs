//! Jobs that wait for the environment, who may let them go there, and the form by which a reviewer decides.

use super::{Filled, Where, path_of, refused};
use crate::app::App;
use crate::driver::environment::rules;
use crate::error::{AppError, AppResult};
use crate::rest;
use crate::web::form::{Form, Pressed};
use crate::web::page::{WebResult, see_other};
use crate::web::run;
use crate::web::viewer::Viewer;
use axum::Json;
use axum::extract::{Path, State};
use pilotage_api::rest::Approve;
use pilotage_store::{Environment as Row, Project, Wait};
use pilotage_trust::token::Scope;
use pilotage_ui::page::environment::{Said, Waiting};
use pilotage_ui::page::run::Decision;
use std::sync::Arc;

/// Runs that are shown.
const RUNS_MAX: usize = 20;

/// One entry for each run, the oldest first.
pub(super) async fn waiting_of(
    app: &App,
    viewer: &Viewer,
    project: &Project,
    environment: &Row,
) -> AppResult<Vec<Waiting>> {
    let mut c = app.store.read().await?;
    let waits = c.waits(project.id, &environment.name).await?;
    drop(c);
    let rules = rules(environment)?;
    let mut waiting = Vec::new();
    for waits in waits.chunk_by(|a, b| a.run_id == b.run_id).take(RUNS_MAX) {
        let Some(first) = waits.first() else { continue };
        let mut c = app.store.read().await?;
        let Some(run) = c.run(first.run_id).await? else {
            continue;
        };
        let mut jobs = Vec::new();
        for wait in waits {
            jobs.extend(c.job(wait.job_id).await?.map(|job| job.name));
        }
        let said = c.approvals("run", run.id).await?;
        drop(c);
        let decision = run::decision(app, viewer, &run, project, first).await?;
        let said: Vec<_> = said
            .into_iter()
            .filter(|said| said.environment == environment.name && said.sha == run.sha)
            .collect();
        waiting.push(Waiting {
            run: run.id,
            title: run.title,
            actor: run.actor,
            jobs,
            sha: run.sha,
            why: first.reason.clone(),
            asked_at: first.asked_at,
            until: until(waits),
            reviewers: rules.reviewers.clone(),
            needed: rules.approvals.max(1),
            said: said
                .into_iter()
                .map(|said| Said {
                    by: said.by_whom,
                    approved: said.verdict == "approved",
                    at: said.at,
                    reason: said.reason,
                })
                .collect(),
            wants_person: !matches!(decision, Decision::Nobody),
            refusal: match decision {
                Decision::Refused(why) => Some(why),
                Decision::Nobody | Decision::Allowed => None,
            },
        });
    }
    Ok(waiting)
}

/// When the first of them is asked about again by itself.
fn until(waits: &[Wait]) -> Option<i64> {
    waits.iter().filter_map(|wait| wait.again_at).min()
}

#[derive(serde::Deserialize)]
pub(super) struct Decided {
    run: i64,
    /// The commit that was looked at.
    sha: String,
    verdict: Pressed,
    #[serde(default)]
    reason: String,
}

/// Approves or rejects. What is refused is said on the environment's page, where the reason still stands.
pub(super) async fn decide(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, environment)): Where,
    Form(said): Form<Decided>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Read).await?;
    let run = app.store.read().await?.run(said.run).await?;
    if run.is_none_or(|run| run.project_id != project.id) {
        return Err(AppError::not_found(format!("run {}", said.run)).into());
    }
    let body = Approve {
        environment: environment.clone(),
        sha: said.sha,
        approved: said.verdict == Pressed::Approved,
        reason: said.reason.trim().to_owned(),
    };
    let state = State(Arc::clone(&app));
    match rest::run::approve(state, viewer.who.clone(), Path(said.run), Json(body)).await {
        Ok(_) => Ok(see_other(&path_of(&owner, &name, &environment))),
        Err(error) => {
            let filled = Filled {
                form: "approval".to_owned(),
                reason: said.reason,
                release: String::new(),
            };
            refused(&app, &viewer, &project, &environment, error, filled).await
        }
    }
}
