//! Lists of runs: of the server, and of one project.

use super::page::{WebResult, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::AppResult;
use crate::rest::project;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use axum::routing::get;
use pilotage_store::{Project, RunFilter};
use pilotage_trust::token::Scope;
use pilotage_ui::page::runs::{Row, Runs};
use pilotage_ui::shell::{Place, ProjectTab, ServerTab, Shell};
use pilotage_ui::status::Status;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;

const PAGE: i64 = 50;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/runs", get(all))
        .route("/{owner}/{name}/runs", get(of_project))
        .route("/{owner}/{name}", get(overview))
}

#[derive(Deserialize)]
struct Before {
    before: Option<i64>,
}

async fn all(State(app): State<Arc<App>>, viewer: Viewer, Query(query): Query<Before>) -> WebResult {
    let projects = app.store.read().await?.projects().await?;
    let seen = projects
        .into_iter()
        .filter(|project| viewer.may(Scope::Read, project))
        .map(|project| (project.id, project))
        .collect();
    let runs = list(&app, &seen, viewer.who.project, query.before, "/runs").await?;
    let shell = Shell::new("Runs", Place::Server(ServerTab::Runs));
    Ok(show(&viewer, shell, &runs.main()))
}

async fn of_project(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name)): Path<(String, String)>,
    Query(query): Query<Before>,
) -> WebResult {
    let project = project::find(&app, &viewer.who, &owner, &name, Scope::Read).await?;
    let (id, path) = (project.id, format!("/{}/runs", project.path()));
    let push = format!("git push {} {}", app.git_url(&project), project.default_branch);
    let mut runs = list(
        &app,
        &HashMap::from([(id, project)]),
        Some(id),
        query.before,
        &path,
    )
    .await?;
    runs.first = Some(push);
    let tab = ProjectTab::Runs;
    let shell = Shell::new(format!("Runs of {name}"), Place::Project { owner, name, tab });
    Ok(show(&viewer, shell, &runs.main()))
}

/// A project's first page is the list of its runs.
async fn overview(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name)): Path<(String, String)>,
) -> WebResult<Redirect> {
    let project = project::find(&app, &viewer.who, &owner, &name, Scope::Read).await?;
    Ok(Redirect::to(&format!("/{}/runs", project.path())))
}

async fn list(
    app: &App,
    seen: &HashMap<i64, Project>,
    only: Option<i64>,
    before: Option<i64>,
    path: &str,
) -> AppResult<Runs> {
    let filter = RunFilter {
        project: only,
        before,
        limit: PAGE,
        ..RunFilter::default()
    };
    let found = app.store.read().await?.runs(&filter).await?;
    let whole = i64::try_from(found.len()).unwrap_or_default() == PAGE;
    let last = found.last().map(|run| run.id).filter(|_| whole);
    let rows = found.into_iter().filter_map(|run| {
        let project = seen.get(&run.project_id)?;
        Some(Row {
            project: project.path(),
            id: run.id,
            status: Status::of_run(&run.status, run.conclusion.as_deref()),
            title: run.title,
            git_ref: run.r#ref,
            sha: run.sha,
            actor: run.actor,
            created_at: run.created_at,
        })
    });
    Ok(Runs {
        rows: rows.collect(),
        older: last.map(|id| format!("{path}?before={id}")),
        first: None,
        now: app.now(),
    })
}
