//! A project's first page.

use super::page::{WebResult, show};
use super::viewer::Viewer;
use super::{runs, workflow};
use crate::app::App;
use crate::error::{AppError, AppResult};
use crate::rest;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use pilotage_store::{Project, RunFilter};
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::overview::{Overview, Serves, Tip};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use pilotage_ui::status::Status;
use std::sync::Arc;

/// Runs that it shows.
const RUNS: i64 = 8;
/// Runs of one commit that are looked at.
const COMMIT_RUNS: i64 = 50;
const ENVIRONMENTS_MAX: usize = 20;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/{owner}/{name}", get(page))
}

async fn page(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name)): Path<(String, String)>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Read).await?;
    let overview = view(&app, &project).await?;
    let tab = ProjectTab::Other;
    let (owner, name) = (project.owner.clone(), project.name.clone());
    let mut shell = Shell::new(project.path(), Place::Project { owner, name, tab });
    shell.topics = vec![format!("project:{}", project.path())];
    Ok(show(&viewer, shell, &overview.main()))
}

/// `what` is `owner/name`.
pub(super) async fn fragments(app: &Arc<App>, viewer: &Viewer, what: &str) -> WebResult<Vec<Fragment>> {
    let (owner, name) = what
        .split_once('/')
        .ok_or_else(|| AppError::not_found("such project"))?;
    let project = rest::project::find(app, &viewer.who, owner, name, Scope::Read).await?;
    Ok(view(app, &project).await?.fragments())
}

async fn view(app: &App, project: &Project) -> AppResult<Overview> {
    let at = workflow::known::at(app, project, None).await?;
    let workflows = workflow::list::rows(app, project).await?;
    let of_project = RunFilter {
        project: Some(project.id),
        limit: RUNS,
        ..RunFilter::default()
    };
    let mut c = app.store.read().await?;
    let newest = c.runs(&of_project).await?;
    let pushed = !c.refs(project.id).await?.is_empty();
    let mut status = None;
    if let Some(at) = &at {
        let of_tip = RunFilter {
            r#ref: at.git_ref.clone(),
            sha: at.sha.clone(),
            limit: COMMIT_RUNS,
            ..of_project
        };
        let runs = c.runs(&of_tip).await?;
        status = worst(
            runs.iter()
                .map(|run| Status::of_run(&run.status, run.conclusion.as_deref())),
        );
    }
    let mut environments = Vec::new();
    for row in c
        .environments(project.id)
        .await?
        .into_iter()
        .take(ENVIRONMENTS_MAX)
    {
        let mut live = None;
        if let Some(standing) = c.standing(project.id, &row.name).await?
            && let Some(deployment) = c.deployment(standing.deployment_id).await?
        {
            let proven = standing.proven != 0 || deployment.kind == "rollback";
            let status = Status::of_deployment("live", proven);
            live = Some((status, deployment.revision, deployment.id, standing.at));
        }
        environments.push(Serves {
            live,
            locked: !row.locked_by.is_empty(),
            environment: row.name,
        });
    }
    let runs = runs::rows(&mut c, newest, |_| Some(project)).await?;
    Ok(Overview {
        project: project.path(),
        now: app.now(),
        branch: project.default_branch.clone(),
        git_url: app.git_url(project),
        pushed,
        tip: at.map(|at| Tip {
            title: at.title.clone(),
            author: at.author.clone(),
            sha: at.sha,
        }),
        status,
        workflows,
        environments,
        runs,
    })
}

/// What a reader has to know first of runs together: what failed, then what is not over.
fn worst(all: impl Iterator<Item = Status>) -> Option<Status> {
    all.max_by_key(|status| match status {
        Status::Failed | Status::TimedOut => 6,
        Status::Fault => 5,
        Status::Waiting => 4,
        Status::Running => 3,
        Status::Queued => 2,
        Status::Cancelled => 1,
        _ => 0,
    })
}
