//! The page of one environment, and the forms on it.

mod metrics;

use self::metrics::{Choice as Shown, metrics_of};
use super::deployment::{approvals_of, observe, replica_status, revision_of};
use super::form::Form;
use super::page::{WebResult, see_other, show};
use super::viewer::Viewer;
use crate::app::{App, deployments};
use crate::driver::deployment::{load, url_of};
use crate::error::{AppError, AppResult};
use crate::rest;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use pilotage_api::deployment::Deploy;
use pilotage_keep::State as KeeperState;
use pilotage_store::{Deployment as Row, Project, Release};
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::environment::{
    Active, Back, Choice, Environment, Lock, Past, PastBack, Replica, Serving, Surprise,
};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use pilotage_ui::status::Status;
use std::sync::Arc;

/// Deployments on one page.
const PAGE: i64 = 15;
/// Releases that are offered.
const CHOICES: i64 = 20;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/{owner}/{name}/environments/{environment}", get(page))
        .route("/{owner}/{name}/environments/{environment}/deploy", post(deploy))
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
    let place = Place::Project {
        owner: project.owner.clone(),
        name: project.name.clone(),
        tab: ProjectTab::Environments,
    };
    let mut shell = Shell::new(environment.as_str(), place);
    // An older part of the history stands still.
    if asked.before.is_none() {
        shell.topics = vec![format!(
            "environment:{}/{}{}",
            project.path(),
            pilotage_ui::words::segment(&environment),
            asked.shown.query()
        )];
    }
    Ok(show(&viewer, shell, &view.main()))
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
    let asked = Deploy {
        environment: environment.clone(),
        release: Some(form.release),
        r#ref: None,
        reason: form.reason.trim().to_owned(),
    };
    let path = Path((owner.clone(), name.clone()));
    rest::deployment::deploy(State(app), viewer.who, path, Json(asked)).await?;
    Ok(see_other(&path_of(&owner, &name, &environment)))
}

#[derive(serde::Deserialize)]
struct LockForm {
    #[serde(default)]
    reason: String,
}

async fn lock(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, environment)): Where,
    Form(form): Form<LockForm>,
) -> WebResult {
    let body = pilotage_api::rest::Lock {
        reason: form.reason.trim().to_owned(),
    };
    let path = Path((owner.clone(), name.clone(), environment.clone()));
    rest::environment::lock(State(app), viewer.who, path, Json(body)).await?;
    Ok(see_other(&path_of(&owner, &name, &environment)))
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
    let past = c.deployments(project.id, name, before, PAGE + 1).await?;
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
    let more = past.len() > 15;
    let serves = standing.as_ref().map(|s| (s.deployment_id, s.release_id));
    let mut history = Vec::new();
    for row in past.into_iter().take(15) {
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
        lock: (!row.locked_by.is_empty()).then_some(Lock {
            by: row.locked_by,
            reason: row.lock_reason,
        }),
        surprise,
        waiting: Vec::new(),
        history,
        more,
        replicas: replicas.iter().map(|state| replica_of(app, state)).collect(),
        metrics,
        choices: choices_of(releases, &held),
        problem: None,
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
        by_guard: past.why.contains("(1 in "),
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

async fn past_of(app: &App, row: Row, serves: Option<(i64, i64)>) -> AppResult<Past> {
    let mut c = app.store.read().await?;
    let release = c.release(row.release_id).await?;
    let view = load(&mut c, row.id).await?.map(|machine| machine.view());
    let rollback = row.kind == "rollback";
    let proven = view
        .as_ref()
        .is_some_and(|view| view.services.iter().all(|service| service.proven));
    let status = Status::of_deployment(&row.status, proven || rollback);
    let (kept, approved_by, revision) = match &release {
        Some(release) => (
            !c.release_blobs(release.id).await?.is_empty(),
            approved_by(&mut c, &row, release).await?,
            revision_of(&row, release),
        ),
        None => (false, None, row.revision.clone()),
    };
    let old_revision = view
        .as_ref()
        .and_then(|view| view.old.as_ref())
        .map(|old| old.revision.clone())
        .unwrap_or_default();
    let verdict = view
        .as_ref()
        .and_then(|view| view.services.iter().find_map(|s| s.verdict.clone()));
    let why = match status {
        Status::RolledBack | Status::NeedsAttention | Status::Aborted => match verdict {
            Some(verdict) if status == Status::RolledBack => {
                format!("Back to {old_revision} by the guard: {verdict}.")
            }
            _ => row.reason.clone(),
        },
        Status::Live | Status::Unproven if rollback => {
            format!(
                "Rolled back to {revision} by {}, by hand: “{}”.",
                row.actor, row.reason
            )
        }
        _ => String::new(),
    };
    let back = match (&release, row.result.as_deref()) {
        _ if serves.is_some_and(|(id, _)| id == row.id) => PastBack::ServesNow,
        // The same release serves, by another deployment.
        _ if serves.is_some_and(|(_, release)| release == row.release_id) => PastBack::Nothing,
        (Some(release), Some("live")) if kept => PastBack::To(release.digest.clone()),
        (_, Some("live")) => PastBack::Gone,
        _ => PastBack::Nothing,
    };
    Ok(Past {
        id: row.id,
        status,
        state: match status {
            Status::Running | Status::Waiting | Status::Queued => row.status.replace('-', " "),
            status => status.word().to_owned(),
        },
        rollback,
        revision,
        old_revision,
        title: release.map(|release| release.title).unwrap_or_default(),
        actor: row.actor,
        approved_by,
        created_at: row.created_at,
        ended_at: row.ended_at,
        why,
        back,
    })
}
