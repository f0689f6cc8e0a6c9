//! Workflows of a project, and runs that a person starts.

use super::project::find;
use super::run;
use crate::app::App;
use crate::auth::Principal;
use crate::driver::NewRun;
use crate::error::{AppError, AppResult};
use crate::event::{self, Context};
use crate::git::{Commit, GitError, Repository};
use crate::name::shown;
use crate::render;
use crate::workflows::{self, Files};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use pilotage_api::rest;
use pilotage_engine::run::Inputs;
use pilotage_store::{Event, Project, Workflow};
use pilotage_trust::token::Scope;
use pilotage_workflow::model::InputKind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/projects/{owner}/{name}/workflows", get(list))
        .route("/projects/{owner}/{name}/workflows/{workflow}", get(view))
        .route(
            "/projects/{owner}/{name}/workflows/{workflow}/enabled",
            put(enable),
        )
        .route(
            "/projects/{owner}/{name}/workflows/{workflow}/dispatches",
            post(dispatch),
        )
}

/// The workflow of an id, a path or a file's name.
pub(crate) async fn row(app: &App, project: &Project, name: &str) -> AppResult<Workflow> {
    let rows = app.store.read().await?.workflows(project.id).await?;
    let fits = |row: &Workflow| {
        row.id.to_string() == name
            || row.path == name
            || row.path.rsplit('/').next() == Some(name)
            || row.name == name
    };
    rows.into_iter()
        .find(fits)
        .ok_or_else(|| AppError::not_found(format!("workflow {}", shown(name))))
}

async fn list(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name)): Path<(String, String)>,
) -> AppResult<Json<Vec<rest::Workflow>>> {
    let project = find(&app, &who, &owner, &name, Scope::Read).await?;
    learn(&app, &project).await?;
    let rows = app.store.read().await?.workflows(project.id).await?;
    Ok(Json(rows.into_iter().map(json_of).collect()))
}

/// Takes note of the workflow files of the default branch, so that one that never ran is listed too.
async fn learn(app: &App, project: &Project) -> AppResult<()> {
    let at = match at_ref(app, project, None).await {
        Ok(at) => at,
        // Nothing was pushed yet.
        Err(error) if error.status == StatusCode::NOT_FOUND => return Ok(()),
        Err(error) => return Err(error),
    };
    let known = app.store.read().await?.workflows(project.id).await?;
    let mut found = Vec::new();
    for path in at.files.paths() {
        let name = at
            .files
            .parse(path)
            .workflow
            .map_or_else(|| path.clone(), |w| workflows::name(&w, path));
        if !known.iter().any(|row| row.path == *path && row.name == name) {
            found.push((path.clone(), name));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let project = project.id;
    app.driver
        .turn(move |turn| {
            Box::pin(async move {
                for (path, name) in found {
                    turn.c.touch_workflow(project, &path, &name).await?;
                }
                Ok(())
            })
        })
        .await?;
    Ok(())
}

fn json_of(row: Workflow) -> rest::Workflow {
    rest::Workflow {
        id: row.id,
        path: row.path,
        name: row.name,
        enabled: row.enabled != 0,
        runs: row.runs,
    }
}

/// The files of a project at a ref.
pub(crate) struct At {
    pub git_ref: String,
    pub commit: Commit,
    pub files: Files,
}

pub(crate) async fn at_ref(app: &App, project: &Project, name: Option<&str>) -> AppResult<At> {
    let repository = app.repositories.of(project);
    let internal = |error: GitError| AppError::internal(&error);
    let name = name.unwrap_or(&project.default_branch);
    let git_ref = whole_ref(&repository, name).await.map_err(internal)?;
    let git_ref = git_ref.ok_or_else(|| AppError::not_found(format!("branch or tag {}", shown(name))))?;
    let sha = repository.commit_of(&git_ref).await.map_err(internal)?;
    let sha = sha.ok_or_else(|| AppError::not_found(format!("commit at {}", shown(name))))?;
    let commit = repository.commit(&sha).await.map_err(internal)?;
    let files = Files::read(&repository, &sha).await.map_err(internal)?;
    Ok(At {
        git_ref,
        commit,
        files,
    })
}

/// `refs/heads/x` or `refs/tags/x` of `x`; a branch before a tag.
async fn whole_ref(repository: &Repository, name: &str) -> Result<Option<String>, GitError> {
    let candidates = if name.starts_with("refs/") {
        vec![name.to_owned()]
    } else {
        vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")]
    };
    for candidate in candidates {
        if repository.commit_of(&candidate).await?.is_some() {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

#[derive(serde::Deserialize)]
struct RefQuery {
    r#ref: Option<String>,
}

async fn view(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, workflow)): Path<(String, String, String)>,
    Query(query): Query<RefQuery>,
) -> AppResult<Json<rest::WorkflowDetail>> {
    let project = find(&app, &who, &owner, &name, Scope::Read).await?;
    learn(&app, &project).await?;
    let workflow = row(&app, &project, &workflow).await?;
    let at = at_ref(&app, &project, query.r#ref.as_deref()).await?;
    let text = at.files.text(&workflow.path).unwrap_or_default().to_owned();
    let read = at.files.parse(&workflow.path);
    let triggers = read.workflow.map(|w| w.on).unwrap_or_default();
    let dispatch = triggers
        .iter()
        .find(|trigger| trigger.event.value == "workflow_dispatch");
    let inputs = dispatch.map(|trigger| {
        trigger
            .inputs
            .iter()
            .map(|(name, input)| input_of(name, input))
            .collect()
    });
    Ok(Json(rest::WorkflowDetail {
        workflow: json_of(workflow),
        r#ref: at.git_ref,
        sha: at.commit.sha,
        text,
        events: triggers
            .iter()
            .map(|trigger| trigger.event.value.clone())
            .collect(),
        inputs: inputs.unwrap_or_default(),
        diagnostics: read.diagnostics.iter().map(render::json).collect(),
    }))
}

pub(crate) fn input_of(name: &str, input: &pilotage_workflow::model::Input) -> rest::DispatchInput {
    use pilotage_workflow::model::TreeKind;
    let kind = match input.kind {
        InputKind::String => "string",
        InputKind::Boolean => "boolean",
        InputKind::Number => "number",
        InputKind::Choice => "choice",
        InputKind::Environment => "environment",
    };
    let default = input.default.as_ref().and_then(|tree| match &tree.kind {
        TreeKind::Scalar(value) => Some(Value::from(value)),
        _ => None,
    });
    rest::DispatchInput {
        name: name.to_owned(),
        kind: kind.to_owned(),
        description: input.description.clone().unwrap_or_default(),
        required: input.required,
        default,
        options: input.options.clone(),
    }
}

pub(crate) async fn enable(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, workflow)): Path<(String, String, String)>,
    Json(body): Json<rest::Enabled>,
) -> AppResult<StatusCode> {
    let project = find(&app, &who, &owner, &name, Scope::Write).await?;
    learn(&app, &project).await?;
    let workflow = row(&app, &project, &workflow).await?;
    let actor = who.actor();
    app.driver
        .turn(move |turn| {
            Box::pin(async move {
                turn.c.set_workflow_enabled(workflow.id, body.enabled).await?;
                let action = if body.enabled {
                    "workflow.enable"
                } else {
                    "workflow.disable"
                };
                let subject = format!("{} {}", project.path(), workflow.path);
                turn.c.add_audit(turn.now, &actor, action, &subject, "{}").await
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn dispatch(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, workflow)): Path<(String, String, String)>,
    Json(body): Json<rest::Dispatch>,
) -> AppResult<Response> {
    let project = find(&app, &who, &owner, &name, Scope::Write).await?;
    let id = start_by_hand(&app, &who, project, &workflow, body).await?;
    let (row, project) = run::find(&app, &who, id, Scope::Write).await?;
    let mut c = app.store.read().await?;
    Ok((
        StatusCode::CREATED,
        Json(run::json(&app, &mut c, row, &project).await?),
    )
        .into_response())
}

/// Starts a run of this workflow for somebody who may write to the project, and gives its number.
pub(crate) async fn start_by_hand(
    app: &App,
    who: &Principal,
    project: Project,
    workflow: &str,
    body: rest::Dispatch,
) -> AppResult<i64> {
    who.demand(Scope::Write, &project)?;
    learn(app, &project).await?;
    let at = at_ref(app, &project, body.r#ref.as_deref()).await?;
    let path = dispatched_path(app, &project, workflow, &at).await?;
    let read = startable(&at, &path)?;
    let Some(parsed) = &read.workflow else {
        return Err(unprocessable(format!("{path} is no workflow")));
    };
    let given: BTreeMap<String, String> = body
        .inputs
        .iter()
        .map(|(name, value)| (name.clone(), text_of(value)))
        .collect();
    let inputs = Inputs::check(parsed, &given).map_err(|errors| unprocessable(errors.join("; ")))?;
    let payload = json!({
        "ref": at.git_ref,
        "workflow": path,
        "inputs": Inputs::as_texts(&inputs),
        "repository": event::repository_json(app, &project),
        "sender": {"login": who.name, "type": "User"},
    });
    let workflow_name = workflows::name(parsed, &path);
    let event = Event {
        id: 0,
        project_id: project.id,
        name: "workflow_dispatch".to_owned(),
        payload: payload.to_string(),
        actor: who.name.clone(),
        at: app.now(),
        outcome: String::new(),
    };
    let context = Context {
        app,
        project: &project,
        event: &event,
        payload: &payload,
        git_ref: &at.git_ref,
        sha: &at.commit.sha,
        path: &path,
    };
    let new = NewRun {
        project: project.id,
        event_id: 0,
        event: event.name.clone(),
        workflow_path: path.clone(),
        github: event::github(&context, &workflow_name),
        workflow_name,
        workflows: read.texts,
        inputs,
        vars: workflows::variables(app, &project).await?,
        r#ref: at.git_ref.clone(),
        sha: at.commit.sha.clone(),
        title: at.commit.title().chars().take(200).collect(),
        actor: event.actor.clone(),
    };
    start(app, who, event, new).await
}

fn unprocessable(detail: String) -> AppError {
    AppError::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

/// The file of a workflow that is named by its id, its path or its file's name.
async fn dispatched_path(app: &App, project: &Project, workflow: &str, at: &At) -> AppResult<String> {
    match row(app, project, workflow).await {
        Ok(row) if row.enabled == 0 => Err(AppError::conflict(format!("{} is disabled", row.path))
            .advice(format!("pilotage workflow enable {}", row.path))),
        Ok(row) => Ok(row.path),
        // A file that is on this ref only.
        Err(error) => {
            let mut paths = at.files.paths();
            paths
                .find(|p| p.rsplit('/').next() == Some(workflow))
                .cloned()
                .ok_or(error)
        }
    }
}

/// The workflow as it stands there, if it can be started by hand.
fn startable(at: &At, path: &str) -> AppResult<workflows::Read> {
    if at.files.text(path).is_none() {
        return Err(unprocessable(format!(
            "{} has no {path}",
            event::short_ref(&at.git_ref)
        )));
    }
    let read = at.files.parse(path);
    if read.has_errors() {
        let diagnostics = read.diagnostics.iter().map(render::json).collect();
        return Err(AppError {
            diagnostics,
            ..unprocessable(format!("{path} has faults"))
        });
    }
    let by_hand =
        |w: &pilotage_workflow::model::Workflow| w.on.iter().any(|t| t.event.value == "workflow_dispatch");
    if !read.workflow.as_ref().is_some_and(by_hand) {
        return Err(unprocessable(format!(
            "{path} does not start by hand: its `on` lacks workflow_dispatch"
        )));
    }
    Ok(read)
}

/// Stores the event and starts its run, at once.
async fn start(app: &App, who: &Principal, event: Event, mut new: NewRun) -> AppResult<i64> {
    let (actor, path) = (who.actor(), new.workflow_path.clone());
    let started = app
        .driver
        .turn(move |mut turn| {
            Box::pin(async move {
                new.event_id = turn
                    .c
                    .add_event(
                        event.project_id,
                        &event.name,
                        &event.payload,
                        &event.actor,
                        turn.now,
                    )
                    .await?;
                let event_id = new.event_id;
                let started = turn.start_run(new).await?;
                turn.c
                    .set_event_outcome(event_id, "{\"runs\":[],\"faults\":[],\"skipped\":[]}")
                    .await?;
                turn.c
                    .add_audit(turn.now, &actor, "workflow.dispatch", &path, "{}")
                    .await?;
                Ok(started)
            })
        })
        .await?;
    match started {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err(AppError::conflict("the workflow is disabled")),
        Err(diagnostics) => Err(AppError {
            diagnostics: diagnostics.iter().map(render::json).collect(),
            ..AppError::new(StatusCode::UNPROCESSABLE_ENTITY, "the workflow cannot run")
        }),
    }
}

/// An input's value as a person would type it.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
