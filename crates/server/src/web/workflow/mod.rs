//! The workflows of a project: what their files say, how their runs went, and the form that starts one by hand.

mod form;
pub(super) mod known;
pub(super) mod list;

use super::form::Form as Sent;
use super::page::{WebResult, see_other, sentence, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::{AppError, AppResult};
use crate::rest;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use known::Known;
use pilotage_api::rest as wire;
use pilotage_store::{Project, RunFilter};
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::workflow::{History, Ran, Start, Workflow};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use pilotage_ui::status::Status;
use pilotage_ui::words;
use std::collections::HashMap;
use std::sync::Arc;

/// Runs that a workflow's figures are made of.
const RUNS: i64 = 100;

type Names = Path<(String, String, String)>;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/{owner}/{name}/workflows", get(list::page))
        .route("/{owner}/{name}/workflows/{file}", get(page))
        .route("/{owner}/{name}/workflows/{file}/runs", post(start))
        .route("/{owner}/{name}/workflows/{file}/enabled", post(enable))
}

#[derive(serde::Deserialize)]
struct Chosen {
    r#ref: Option<String>,
}

async fn page(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, file)): Names,
    Query(chosen): Query<Chosen>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Read).await?;
    let workflow = view(&app, &viewer, &project, &file, chosen.r#ref.as_deref()).await?;
    Ok(drawn(&viewer, &project, &workflow))
}

fn drawn(viewer: &Viewer, project: &Project, workflow: &Workflow) -> Response {
    let mut shell = Shell::new(workflow.name.clone(), place(project));
    shell.topics = vec![format!("workflow:{}/{}", project.path(), workflow.file)];
    show(viewer, shell, &workflow.main())
}

fn place(project: &Project) -> Place {
    Place::Project {
        owner: project.owner.clone(),
        name: project.name.clone(),
        tab: ProjectTab::Workflows,
    }
}

/// `what` is `owner/name/file`.
pub(super) async fn fragments(app: &Arc<App>, viewer: &Viewer, what: &str) -> WebResult<Vec<Fragment>> {
    let mut parts = what.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    let (owner, name, file) = (part(), part(), part());
    let project = rest::project::find(app, &viewer.who, owner, name, Scope::Read).await?;
    let row = stored(app, &project, file).await?;
    let history = history(app, &project, file, row.as_ref()).await?;
    Ok(vec![history.fragment()])
}

/// What is known of its runs; none where it never ran.
async fn stored(app: &App, project: &Project, file: &str) -> AppResult<Option<pilotage_store::Workflow>> {
    let path = path(file);
    let rows = app.store.read().await?.workflows(project.id).await?;
    Ok(rows.into_iter().find(|row| row.path == path))
}

fn path(file: &str) -> String {
    format!(".github/workflows/{file}")
}

async fn view(
    app: &Arc<App>,
    viewer: &Viewer,
    project: &Project,
    file: &str,
    git_ref: Option<&str>,
) -> AppResult<Workflow> {
    let row = stored(app, project, file).await?;
    let at = known::at(app, project, git_ref).await?;
    let known = at.as_ref().and_then(|at| at.workflows.get(&path(file)));
    if known.is_none() && row.is_none() {
        return Err(AppError::not_found("such workflow"));
    }
    let enabled = row.as_ref().is_none_or(|row| row.enabled != 0);
    let start = match known {
        Some(known) => {
            form::offered(
                app,
                viewer,
                project,
                known,
                at.as_ref().map(|at| &*at.git_ref),
                enabled,
            )
            .await?
        }
        None => Start::Refused("The file is not there any more.".to_owned()),
    };
    let name = known
        .map(|known| known.name.clone())
        .or_else(|| row.as_ref().map(|row| row.name.clone()))
        .unwrap_or_default();
    Ok(Workflow {
        viewer: viewer.shown(),
        project: format!("/{}", project.path()),
        name: if name == path(file) { file.to_owned() } else { name },
        at: at
            .as_ref()
            .filter(|_| known.is_some())
            .map(|at| (at.git_ref.clone(), at.sha.clone())),
        enabled,
        refusal: viewer.refusal(Scope::Write, project),
        triggers: known.map(Known::triggers).unwrap_or_default(),
        findings: known.map(Known::findings).unwrap_or_default(),
        start,
        history: history(app, project, file, row.as_ref()).await?,
        file: file.to_owned(),
    })
}

async fn history(
    app: &App,
    project: &Project,
    file: &str,
    row: Option<&pilotage_store::Workflow>,
) -> AppResult<History> {
    let mut runs = Vec::new();
    if let Some(row) = row {
        let filter = RunFilter {
            project: Some(project.id),
            workflow: Some(row.id),
            limit: RUNS,
            ..RunFilter::default()
        };
        runs = app.store.read().await?.runs(&filter).await?;
    }
    let ran = |run: pilotage_store::Run| Ran {
        id: run.id,
        status: Status::of_run(&run.status, run.conclusion.as_deref()),
        title: run.title,
        event: run.event,
        git_ref: run.r#ref,
        sha: run.sha,
        actor: run.actor,
        created_at: run.created_at,
        started_at: run.started_at,
        ended_at: run.ended_at,
    };
    Ok(History {
        project: format!("/{}", project.path()),
        file: file.to_owned(),
        runs: runs.into_iter().map(ran).collect(),
        total: row.map_or(0, |row| u64::try_from(row.runs).unwrap_or_default()),
        now: app.now(),
    })
}

/// The form's fields: their names are the workflow's.
async fn start(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, file)): Names,
    Sent(fields): Sent<Vec<(String, String)>>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Read).await?;
    let mut git_ref = None;
    // Of a box to tick, the last value counts.
    let mut inputs: HashMap<String, String> = HashMap::new();
    for (name, value) in fields {
        if name == "ref" {
            git_ref = Some(value);
        } else if let Some(input) = name.strip_prefix("input.") {
            inputs.insert(input.to_owned(), value);
        }
    }
    let given = inputs.iter().filter(|(_, value)| !value.is_empty());
    let body = wire::Dispatch {
        r#ref: git_ref.clone(),
        inputs: given
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect(),
    };
    match rest::workflow::start_by_hand(&app, &viewer.who, project.clone(), &path(&file), body).await {
        Ok(run) => Ok(see_other(&format!("/{}/runs/{run}", project.path()))),
        Err(error) => again(&app, &viewer, &project, &file, git_ref.as_deref(), error, inputs).await,
    }
}

/// The page again, with what was refused above the fields as they were sent.
async fn again(
    app: &Arc<App>,
    viewer: &Viewer,
    project: &Project,
    file: &str,
    git_ref: Option<&str>,
    error: AppError,
    sent: HashMap<String, String>,
) -> WebResult {
    let fixable = matches!(error.status.as_u16(), 400 | 409 | 422);
    if !fixable {
        return Err(error.into());
    }
    let mut workflow = view(app, viewer, project, file, git_ref).await?;
    if let Start::Form(form) = &mut workflow.start {
        form.problem = Some(sentence(&error.detail));
        for input in &mut form.inputs {
            if let Some(value) = sent.get(&input.name) {
                input.value.clone_from(value);
            }
        }
    }
    let mut response = drawn(viewer, project, &workflow);
    *response.status_mut() = error.status;
    Ok(response)
}

#[derive(serde::Deserialize)]
struct Switch {
    enabled: String,
}

async fn enable(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, file)): Names,
    Sent(Switch { enabled }): Sent<Switch>,
) -> WebResult {
    let body = wire::Enabled {
        enabled: enabled == "yes",
    };
    let names = Path((owner.clone(), name.clone(), path(&file)));
    rest::workflow::enable(State(app), viewer.who, names, Json(body)).await?;
    Ok(see_other(&format!(
        "/{owner}/{name}/workflows/{}",
        words::segment(&file)
    )))
}
