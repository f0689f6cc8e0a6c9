//! The page of one environment, and the forms on it.

mod history;
mod metrics;
mod waiting;

pub(crate) use self::history::Known;

use self::history::past_of;
use self::metrics::{Choice as Shown, metrics_of};
use self::waiting::waiting_of;
use super::deployment::{approvals_of, observe, replica_status, revision_of};
use super::form::Form;
use super::page::{WebError, WebResult, see_other, sentence, show};
use super::viewer::Viewer;
use crate::app::{App, deployments};
use crate::driver::deployment::url_of;
use crate::error::{AppError, AppResult};
use crate::rest;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use pilotage_api::deployment::Deploy;
use pilotage_keep::State as KeeperState;
use pilotage_store::{Deployment as Row, Project, Release};
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::environment::{
    Active, Back, Choice, Environment, Filled, Lock, Past, Replica, Serving, Surprise,
};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use pilotage_ui::status::Status;
use std::sync::Arc;

/// Deployments on one page.
const ROWS: usize = 15;
/// As the page's fields say it.
const REASON_CHARS: usize = 5;
/// Releases that are offered.
const CHOICES: i64 = 20;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/{owner}/{name}/environments/{environment}", get(page))
        .route("/{owner}/{name}/environments/{environment}/deploy", post(deploy))
        .route(
            "/{owner}/{name}/environments/{environment}/approval",
            post(waiting::decide),
        )
        .route("/{owner}/{name}/environments/{environment}/lock", post(lock))
        .route("/{owner}/{name}/environments/{environment}/unlock", post(unlock))
}

/// Where its page is.
pub(super) fn path_of(owner: &str, name: &str, environment: &str) -> String {
    let environment = pilotage_ui::words::segment(environment);
    format!("/{owner}/{name}/environments/{environment}")
}

pub(super) type Where = Path<(String, String, String)>;

#[derive(serde::Deserialize)]
struct Asked {
    before: Option<i64>,
    #[serde(flatten)]
    shown: Shown,
}

async fn page(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, environment)): Where,
    Query(asked): Query<Asked>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Read).await?;
    let before = asked.before.unwrap_or(i64::MAX);
    let view = view(&app, &viewer, &project, &environment, before, &asked.shown).await?;
    if asked.before.is_some() {
        // An older part of the history stands still.
        return Ok(show(&viewer, shell(&project, &environment), &view.main()));
    }
    Ok(drawn(&viewer, &project, &asked.shown, &view))
}

fn shell(project: &Project, environment: &str) -> Shell {
    let place = Place::Project {
        owner: project.owner.clone(),
        name: project.name.clone(),
        tab: ProjectTab::Environments,
    };
    Shell::new(environment, place)
}

/// The page as it is now, which goes on by events.
fn drawn(viewer: &Viewer, project: &Project, shown: &Shown, view: &Environment) -> Response {
    let mut shell = shell(project, &view.environment);
    let segment = pilotage_ui::words::segment(&view.environment);
    shell.topics = vec![format!(
        "environment:{}/{segment}{}",
        project.path(),
        shown.query()
    )];
    show(viewer, shell, &view.main())
}

/// The page with why a form on it was refused, and what stood in that form.
async fn refused(
    app: &Arc<App>,
    viewer: &Viewer,
    project: &Project,
    environment: &str,
    error: AppError,
    filled: Filled,
) -> WebResult {
    // What is not there, or is our own fault, is no matter of the form.
    if !error.status.is_client_error() || error.status == StatusCode::NOT_FOUND {
        return Err(WebError::Refused(error));
    }
    let shown = Shown::default();
    let mut view = view(app, viewer, project, environment, i64::MAX, &shown).await?;
    view.filled = filled;
    view.problem = Some(sentence(&error.detail));
    let mut page = drawn(viewer, project, &shown, &view);
    *page.status_mut() = error.status;
    Ok(page)
}

/// `path` is `owner/name/environment`, the last as a part of a path, with what the reader chose behind it.
pub(super) async fn fragments(app: &Arc<App>, viewer: &Viewer, path: &str) -> WebResult<Vec<Fragment>> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut parts = path.splitn(3, '/');
    let (Some(owner), Some(name), Some(environment)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(AppError::not_found("such environment").into());
    };
    let Some(environment) = pilotage_ui::words::of_segment(environment) else {
        return Err(AppError::not_found("such environment").into());
    };
    let project = rest::project::find(app, &viewer.who, owner, name, Scope::Read).await?;
    let shown = Shown::of(query);
    let view = view(app, viewer, &project, &environment, i64::MAX, &shown).await?;
    Ok(view.fragments())
}

#[derive(serde::Deserialize)]
struct DeployForm {
    release: String,
    #[serde(default)]
    reason: String,
}

async fn deploy(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, environment)): Where,
    Form(form): Form<DeployForm>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Read).await?;
    let asked = Deploy {
        environment: environment.clone(),
        release: Some(form.release.clone()),
        r#ref: None,
        reason: form.reason.trim().to_owned(),
    };
    let (state, path) = (State(Arc::clone(&app)), Path((owner.clone(), name.clone())));
    match rest::deployment::deploy(state, viewer.who.clone(), path, Json(asked)).await {
        Ok(_) => Ok(see_other(&path_of(&owner, &name, &environment))),
        Err(error) => {
            let filled = Filled {
                form: "deploy".to_owned(),
                release: form.release,
                reason: form.reason,
            };
            refused(&app, &viewer, &project, &environment, error, filled).await
        }
    }
}

#[derive(serde::Deserialize)]
struct LockForm {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    minutes: u32,
}

async fn lock(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, environment)): Where,
    Form(form): Form<LockForm>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Read).await?;
    let reason = form.reason.trim().to_owned();
    let done = if reason.chars().count() < REASON_CHARS {
        Err(AppError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the reason has at least {REASON_CHARS} characters"),
        ))
    } else {
        let body = pilotage_api::rest::Lock {
            reason,
            minutes: form.minutes,
        };
        let path = Path((owner.clone(), name.clone(), environment.clone()));
        rest::environment::lock(State(Arc::clone(&app)), viewer.who.clone(), path, Json(body)).await
    };
    match done {
        Ok(_) => Ok(see_other(&path_of(&owner, &name, &environment))),
        Err(error) => {
            let filled = Filled {
                form: "lock".to_owned(),
                reason: form.reason,
                release: String::new(),
            };
            refused(&app, &viewer, &project, &environment, error, filled).await
        }
    }
}

#[derive(serde::Deserialize)]
struct Nothing {}

async fn unlock(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, environment)): Where,
    Form(Nothing {}): Form<Nothing>,
) -> WebResult {
    let path = Path((owner.clone(), name.clone(), environment.clone()));
    rest::environment::unlock(State(app), viewer.who, path).await?;
    Ok(see_other(&path_of(&owner, &name, &environment)))
}

async fn view(
    app: &Arc<App>,
    viewer: &Viewer,
    project: &Project,
    name: &str,
    before: i64,
    shown: &Shown,
) -> AppResult<Environment> {
    let mut c = app.store.read().await?;
    let row = c.environment(project.id, name).await?;
    let row = row.ok_or_else(|| AppError::not_found(format!("environment {}", crate::name::shown(name))))?;
    let standing = c.standing(project.id, name).await?;
    let open = c.open_deployments(project.id, name).await?;
    // One more tells whether there are older ones.
    let past = c.deployments(project.id, name, before, 16).await?;
    let live = c.live_deployments(project.id, name).await?;
    let held = c.quarantined(project.id).await?;
    let releases = c.releases(project.id, CHOICES).await?;
    let newest = standing.as_ref().map(|s| s.release_id);
    let newest = newest.or_else(|| past.first().map(|row| row.release_id));
    let planned = match newest {
        Some(id) => c.release(id).await?,
        None => None,
    };
    drop(c);
    let metrics = match &planned {
        Some(release) => metrics_of(app, project, name, release, shown).await?,
        None => None,
    };
    let more = past.len() > ROWS;
    let serves = standing.as_ref().map(|s| (s.deployment_id, s.release_id));
    let mut history = Vec::new();
    for row in past.into_iter().take(ROWS) {
        history.push(past_of(app, row, serves).await?);
    }
    let serving = match &standing {
        Some(standing) => serving_of(app, standing).await?,
        None => None,
    };
    let surprise = surprise_of(&history, &held);
    let active = match open.first() {
        Some(row) => Some(active_of(app, row.clone()).await?),
        None => None,
    };
    let replicas = observe(app, project, name).await?;
    let waiting = waiting_of(app, viewer, project, &row).await?;
    Ok(Environment {
        viewer: viewer.shown(),
        refusal: viewer.refusal(Scope::Deploy, project),
        owner: project.owner.clone(),
        name: project.name.clone(),
        environment: name.to_owned(),
        now: app.now(),
        serving,
        back: back_of(app, &open, &live).await?,
        active,
        lock: lock_of(row),
        surprise,
        waiting,
        history,
        more,
        replicas: replicas.iter().map(|state| replica_of(app, state)).collect(),
        metrics,
        choices: choices_of(releases, &held),
        problem: None,
        filled: Filled::default(),
    })
}

fn lock_of(row: pilotage_store::Environment) -> Option<Lock> {
    (!row.locked_by.is_empty()).then_some(Lock {
        by: row.locked_by,
        reason: row.lock_reason,
        until: row.locked_until,
    })
}

/// The last deployment, where it did not end as it was meant to.
fn surprise_of(history: &[Past], held: &[pilotage_store::Quarantined]) -> Option<Surprise> {
    let past = history.first().filter(|past| {
        matches!(
            past.status,
            Status::RolledBack | Status::NeedsAttention | Status::Aborted
        )
    })?;
    Some(Surprise {
        id: past.id,
        revision: past.revision.clone(),
        status: past.status,
        by_guard: past.trip.is_some(),
        at: past.ended_at.unwrap_or(past.created_at),
        why: past.why.clone(),
        quarantined: held.iter().any(|held| held.deployment_id == past.id),
    })
}

fn choices_of(releases: Vec<Release>, held: &[pilotage_store::Quarantined]) -> Vec<Choice> {
    let choice = |release: Release| Choice {
        quarantined: held.iter().any(|held| held.digest == release.digest),
        branch: release.r#ref.trim_start_matches("refs/heads/").to_owned(),
        digest: release.digest,
        sha: release.sha,
        title: release.title,
    };
    releases.into_iter().map(choice).collect()
}

fn replica_of(app: &App, state: &pilotage_deploy::replica::ReplicaState) -> Replica {
    let (status, word) = replica_status(state);
    let load = app.metrics.replica(&state.placed.id.to_string());
    Replica {
        service: state.placed.id.service.clone(),
        number: state.placed.id.ordinal,
        revision: state.placed.id.revision.clone(),
        ready: state.state == KeeperState::Running,
        status,
        word: word.to_owned(),
        executes: state.executes.clone(),
        restarts: state.restarts,
        cpu: load.and_then(|load| load.cpu),
        memory: load.map(|load| load.memory_bytes),
    }
}

/// Where the button leads, or why there is none.
async fn back_of(app: &App, open: &[Row], live: &[Row]) -> AppResult<Back> {
    if live.is_empty() {
        return Ok(Back::Not("nothing is live".to_owned()));
    }
    let mut c = app.store.read().await?;
    let under_way = open
        .iter()
        .any(|row| row.kind == "deploy" && row.status != "live");
    let target = if under_way {
        live.last().map(|row| row.release_id)
    } else {
        deployments::previous(live)
    };
    let Some(target) = target else {
        return Ok(Back::Not("nothing before it".to_owned()));
    };
    if !under_way && c.release_blobs(target).await?.is_empty() {
        return Ok(Back::Not("artifact gone".to_owned()));
    }
    let row = live.iter().rev().find(|row| row.release_id == target);
    Ok(Back::To {
        revision: row.map(|row| row.revision.clone()).unwrap_or_default(),
    })
}

async fn serving_of(app: &App, standing: &pilotage_store::Standing) -> AppResult<Option<Serving>> {
    let mut c = app.store.read().await?;
    let row = c.deployment(standing.deployment_id).await?;
    let release = c.release(standing.release_id).await?;
    let (Some(row), Some(release)) = (row, release) else {
        return Ok(None);
    };
    let approved_by = approved_by(&mut c, &row, &release).await?;
    Ok(Some(Serving {
        revision: revision_of(&row, &release),
        url: url_of(&release, &row.environment),
        title: release.title,
        since: standing.at,
        rollback: row.kind == "rollback",
        proven: standing.proven != 0,
        actor: row.actor,
        approved_by,
    }))
}

async fn approved_by(
    c: &mut pilotage_store::Connection,
    row: &Row,
    release: &Release,
) -> AppResult<Option<String>> {
    let said = approvals_of(c, row, release).await?;
    Ok(said
        .into_iter()
        .rev()
        .find(|said| said.approved)
        .map(|said| said.by))
}

async fn active_of(app: &App, row: Row) -> AppResult<Active> {
    let mut c = app.store.read().await?;
    let line = deployments::line(&mut c, row).await?;
    let status = Status::of_deployment(&line.state, true);
    let state = match (line.kind.as_str(), line.state.as_str()) {
        (_, "waiting" | "queued") => "Waiting:",
        (_, "rolling-back" | "verifying-rollback") => "Taking back",
        ("rollback", _) => "Going back to",
        _ => "Bringing",
    };
    Ok(Active {
        id: line.id,
        status,
        state: state.to_owned(),
        revision: line.revision,
        title: line.title,
        actor: line.actor,
        reason: if status == Status::Waiting {
            line.reason
        } else {
            String::new()
        },
    })
}
