//! The environments for which jobs of a run wait, and the form by which a reviewer decides.

use super::{Of, Shown, belongs, drawn, view};
use crate::app::App;
use crate::driver::environment::{request, rules};
use crate::error::AppResult;
use crate::rest::run as rest_run;
use crate::web::form::{Form, Pressed};
use crate::web::page::{WebError, WebResult, see_other, sentence};
use crate::web::viewer::Viewer;
use axum::Json;
use axum::extract::{Path, State};
use pilotage_api::rest;
use pilotage_engine::policy;
use pilotage_store::{Project, Run, Wait};
use pilotage_trust::token::Scope;
use pilotage_ui::page::run::{Approval, Decision};
use serde::Deserialize;
use std::sync::Arc;

/// One entry for each environment, with what this viewer may do about it.
pub(super) async fn waited_for(
    app: &App,
    viewer: &Viewer,
    run: &Run,
    project: &Project,
    jobs: &[rest::Job],
) -> AppResult<Vec<Approval>> {
    let mut environments: Vec<&str> = jobs
        .iter()
        .filter(|job| job.status == "waiting" && !job.environment.is_empty())
        .map(|job| job.environment.as_str())
        .collect();
    environments.sort_unstable();
    environments.dedup();
    let mut approvals = Vec::new();
    for environment in environments {
        let waits = app.store.read().await?.waits(project.id, environment).await?;
        let waits: Vec<Wait> = waits.into_iter().filter(|wait| wait.run_id == run.id).collect();
        let Some(first) = waits.first() else { continue };
        let names = jobs
            .iter()
            .filter(|job| waits.iter().any(|wait| wait.job_id == job.id));
        approvals.push(Approval {
            environment: environment.to_owned(),
            jobs: names.map(|job| job.name.clone()).collect(),
            why: first.reason.clone(),
            asked_at: first.asked_at,
            decision: decision(app, viewer, run, project, first).await?,
        });
    }
    Ok(approvals)
}

/// The answer that the use case would give.
pub(in crate::web) async fn decision(
    app: &App,
    viewer: &Viewer,
    run: &Run,
    project: &Project,
    wait: &Wait,
) -> AppResult<Decision> {
    let mut c = app.store.read().await?;
    let Some(environment) = c.environment(project.id, &wait.environment).await? else {
        return Ok(Decision::Nobody);
    };
    let rules = rules(&environment)?;
    if rules.reviewers.is_empty() {
        return Ok(Decision::Nobody);
    }
    if let Some(refusal) = viewer.refusal(Scope::Deploy, project) {
        return Ok(Decision::Refused(sentence(&refusal)));
    }
    let name = &viewer.who.name;
    let said = c.approvals("run", run.id).await?;
    let done = said.iter().any(|said| {
        said.environment == wait.environment
            && said.sha == run.sha
            && said.by_whom == *name
            && said.verdict == "approved"
    });
    if done {
        return Ok(Decision::Refused(
            "You approved it; it waits for somebody else too.".to_owned(),
        ));
    }
    Ok(match policy::may_approve(&rules, &request(wait, run), name) {
        Ok(()) => Decision::Allowed,
        Err(reason) => Decision::Refused(sentence(&reason)),
    })
}

#[derive(Deserialize)]
pub(super) struct Said {
    environment: String,
    /// The commit that was looked at.
    sha: String,
    verdict: Pressed,
    #[serde(default)]
    reason: String,
}

/// Approves or rejects. What is refused is said on the run's page.
pub(super) async fn decide(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, id)): Of,
    Form(said): Form<Said>,
) -> WebResult {
    belongs(&app, &viewer, &owner, &name, id).await?;
    let body = rest::Approve {
        environment: said.environment,
        sha: said.sha,
        approved: said.verdict == Pressed::Approved,
        reason: said.reason.trim().to_owned(),
    };
    let done = rest_run::approve(State(Arc::clone(&app)), viewer.who.clone(), Path(id), Json(body)).await;
    match done {
        Ok(_) => Ok(see_other(&format!("/{owner}/{name}/runs/{id}"))),
        Err(error) if error.status.is_client_error() => {
            let mut run = view(&app, &viewer, id, Shown::default()).await?;
            run.problem = Some(sentence(&error.detail));
            let mut page = drawn(&viewer, owner, name, &run);
            *page.status_mut() = error.status;
            Ok(page)
        }
        Err(error) => Err(WebError::Refused(error)),
    }
}
