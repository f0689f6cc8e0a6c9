//! All workflows of a project: those of its default branch, and those that ran once.

use super::known;
use crate::app::App;
use crate::error::{AppError, AppResult};
use crate::rest;
use crate::web::page::{WebResult, show};
use crate::web::viewer::Viewer;
use axum::extract::{Path, State};
use pilotage_store::{Project, RunFilter};
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::bars::Bar;
use pilotage_ui::page::workflow::{Last, Row, Workflows};
use pilotage_ui::shell::Shell;
use pilotage_ui::status::Status;
use std::collections::BTreeMap;
use std::sync::Arc;

const BARS: i64 = 30;
const WORKFLOWS_MAX: usize = 100;

pub(super) async fn page(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name)): Path<(String, String)>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Read).await?;
    let mut shell = Shell::new(format!("Workflows of {}", project.name), super::place(&project));
    shell.topics = vec![format!("workflows:{}", project.path())];
    Ok(show(&viewer, shell, &view(&app, &project).await?.main()))
}

/// `what` is `owner/name`.
pub(in crate::web) async fn fragments(
    app: &Arc<App>,
    viewer: &Viewer,
    what: &str,
) -> WebResult<Vec<Fragment>> {
    let (owner, name) = what
        .split_once('/')
        .ok_or_else(|| AppError::not_found("such project"))?;
    let project = rest::project::find(app, &viewer.who, owner, name, Scope::Read).await?;
    Ok(view(app, &project).await?.fragments())
}

async fn view(app: &App, project: &Project) -> AppResult<Workflows> {
    Ok(Workflows {
        project: format!("/{}", project.path()),
        now: app.now(),
        rows: rows(app, project).await?,
        branch: project.default_branch.clone(),
        push: format!("git push {} {}", app.git_url(project), project.default_branch),
    })
}

/// By their paths.
pub(in crate::web) async fn rows(app: &App, project: &Project) -> AppResult<Vec<Row>> {
    let at = known::at(app, project, None).await?;
    let known = at.map(|at| at.workflows).unwrap_or_default();
    let mut c = app.store.read().await?;
    let stored = c.workflows(project.id).await?;
    let mut stored: BTreeMap<String, pilotage_store::Workflow> =
        stored.into_iter().map(|row| (row.path.clone(), row)).collect();
    let mut paths: Vec<String> = known.keys().cloned().collect();
    paths.extend(stored.keys().filter(|path| !known.contains_key(*path)).cloned());
    let mut rows = Vec::new();
    for path in paths.into_iter().take(WORKFLOWS_MAX) {
        let (known, stored) = (known.get(&path), stored.remove(&path));
        let mut runs = Vec::new();
        if let Some(row) = &stored {
            let filter = RunFilter {
                workflow: Some(row.id),
                limit: BARS,
                ..RunFilter::default()
            };
            runs = c.runs(&filter).await?;
        }
        let file = path.rsplit('/').next().unwrap_or(&path).to_owned();
        let name = known
            .map(|known| &known.name)
            .or(stored.as_ref().map(|row| &row.name));
        rows.push(Row {
            name: name.filter(|name| **name != path).unwrap_or(&file).clone(),
            enabled: stored.as_ref().is_none_or(|row| row.enabled != 0),
            there: known.is_some(),
            triggers: known.map(known::Known::triggers).unwrap_or_default(),
            errors: known.map_or(0, known::Known::errors),
            warnings: known.map_or(0, known::Known::warnings),
            last: runs.first().map(last),
            bars: runs.iter().rev().filter_map(bar).collect(),
            file,
        });
    }
    Ok(rows)
}

fn last(run: &pilotage_store::Run) -> Last {
    Last {
        id: run.id,
        status: Status::of_run(&run.status, run.conclusion.as_deref()),
        at: run.ended_at.unwrap_or(run.created_at),
    }
}

fn bar(run: &pilotage_store::Run) -> Option<Bar> {
    Some(Bar {
        run: run.id,
        status: Status::of_run(&run.status, run.conclusion.as_deref()),
        duration_ms: (run.ended_at? - run.started_at).max(0),
    })
}
