//! Deployments: listed, looked at, watched, asked for, approved, taken back; and what stands in each environment.

use super::project::find as find_project;
use crate::app::deployments::{self, Asker, Rolled};
use crate::app::{App, releases};
use crate::auth::Principal;
use crate::driver::deployment::{self, DEPLOYMENT};
use crate::driver::environment::rules;
use crate::error::{AppError, AppResult};
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use pilotage_api::deployment::{
    Abort, ApproveDeployment, Deploy, Deployment, DeploymentDetail, DeploymentQuery, Replay, Rollback,
};
use pilotage_engine::policy;
use pilotage_guard::Verdict;
use pilotage_store::{Approval, Deployment as Row, Project};
use pilotage_trust::token::Scope;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const LIMIT: u32 = 20;
const LIMIT_MAX: u32 = 100;
/// A comment is sent after so long a silence, so that a lost client is noticed.
const SILENCE: Duration = Duration::from_secs(15);
/// A watcher is told at most so often.
const CALM: Duration = Duration::from_millis(100);
const REASON_CHARS_MAX: usize = 1000;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/projects/{owner}/{name}/deployments", get(list).post(deploy))
        .route("/projects/{owner}/{name}/rollbacks", post(roll_back))
        .route("/deployments/{id}", get(view))
        .route("/deployments/{id}/events", get(stream))
        .route("/deployments/{id}/replay", get(replay))
        .route("/deployments/{id}/approvals", post(approve))
        .route("/deployments/{id}/abort", post(abort))
}

/// A deployment and its project, if this token may do this with it.
async fn find(app: &App, who: &Principal, id: i64, scope: Scope) -> AppResult<(Row, Project)> {
    let missing = || AppError::not_found(format!("deployment {id}"));
    let mut c = app.store.read().await?;
    let row = c.deployment(id).await?.ok_or_else(missing)?;
    let project = c.project_by_id(row.project_id).await?.ok_or_else(missing)?;
    match who.demand(scope, &project) {
        Err(error) if error.status == StatusCode::NOT_FOUND => Err(missing()),
        Err(error) => Err(error),
        Ok(()) => Ok((row, project)),
    }
}

async fn line(app: &App, id: i64) -> AppResult<Deployment> {
    let mut c = app.store.read().await?;
    let row = c.deployment(id).await?;
    let row = row.ok_or_else(|| AppError::not_found(format!("deployment {id}")))?;
    deployments::line(&mut c, row).await
}

async fn list(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name)): Path<(String, String)>,
    Query(query): Query<DeploymentQuery>,
) -> AppResult<Json<Vec<Deployment>>> {
    let project = find_project(&app, &who, &owner, &name, Scope::Read).await?;
    let limit = query.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let environment = query.environment.unwrap_or_default();
    let before = query.before.unwrap_or(i64::MAX);
    let mut c = app.store.read().await?;
    let rows = c
        .deployments(project.id, &environment, before, i64::from(limit))
        .await?;
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        out.push(deployments::line(&mut c, row).await?);
    }
    Ok(Json(out))
}

async fn view(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(id): Path<i64>,
) -> AppResult<Json<DeploymentDetail>> {
    let (row, _) = find(&app, &who, id, Scope::Read).await?;
    Ok(Json(deployments::detail(&app, row).await?))
}

fn person(who: &Principal) -> Asker {
    Asker {
        actor: who.name.clone(),
        run: None,
        job: None,
    }
}

fn reason(text: &str) -> String {
    text.chars().take(REASON_CHARS_MAX).collect()
}

pub(crate) async fn deploy(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name)): Path<(String, String)>,
    Json(asked): Json<Deploy>,
) -> AppResult<Response> {
    let project = find_project(&app, &who, &owner, &name, Scope::Deploy).await?;
    let release = deployments::choose_release(&app, &project, &asked).await?;
    let why = if asked.reason.is_empty() {
        "by hand".to_owned()
    } else {
        reason(&asked.reason)
    };
    let id = deployments::deploy(&app, &project, &release, &asked.environment, &person(&who), &why).await?;
    Ok((StatusCode::CREATED, Json(line(&app, id).await?)).into_response())
}

pub(crate) async fn roll_back(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name)): Path<(String, String)>,
    Json(asked): Json<Rollback>,
) -> AppResult<Response> {
    let project = find_project(&app, &who, &owner, &name, Scope::Deploy).await?;
    let to = asked.to.as_deref().unwrap_or("previous");
    let why = reason(&asked.reason);
    let rolled = deployments::roll_back(&app, &project, &asked.environment, to, &person(&who), &why).await?;
    let status = if matches!(rolled, Rolled::Begun(_)) {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(line(&app, rolled.id()).await?)).into_response())
}

pub(crate) async fn abort(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(id): Path<i64>,
    Json(asked): Json<Abort>,
) -> AppResult<Json<Deployment>> {
    find(&app, &who, id, Scope::Deploy).await?;
    deployments::abort(&app, id, &who.name, &reason(&asked.reason), asked.quarantine).await?;
    Ok(Json(line(&app, id).await?))
}

pub(crate) async fn approve(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(id): Path<i64>,
    Json(asked): Json<ApproveDeployment>,
) -> AppResult<StatusCode> {
    let (row, project) = find(&app, &who, id, Scope::Deploy).await?;
    let release = app.store.read().await?.release(row.release_id).await?;
    let release = release.ok_or_else(|| AppError::conflict("its release is not there any more"))?;
    if asked.digest != release.digest {
        let detail = format!(
            "deployment {id} brings {}, not the release that was looked at",
            release.digest
        );
        return Err(AppError::conflict(detail));
    }
    if row.status != "waiting" {
        return Err(AppError::conflict(format!(
            "deployment {id} does not wait for an approval: it is {}",
            row.status
        )));
    }
    let approval = Approval {
        id: 0,
        project_id: project.id,
        environment: row.environment.clone(),
        machine: DEPLOYMENT.to_owned(),
        machine_id: id,
        job_id: row.job_id,
        sha: release.sha.clone(),
        digest: release.digest.clone(),
        verdict: if asked.approved { "approved" } else { "rejected" }.to_owned(),
        by_whom: who.name.clone(),
        reason: reason(&asked.reason),
        at: app.now(),
    };
    let (name, actor, subject) = (
        who.name.clone(),
        who.actor(),
        format!("{} deployment {id}", project.path()),
    );
    let turn = app.driver.turn(move |mut turn| {
        Box::pin(async move {
            let environment = turn
                .c
                .touch_environment(project.id, &row.environment, turn.now)
                .await?;
            let (request, _) = turn.deployment_request(&row, &release).await?;
            if let Err(why) = policy::may_approve(&rules(&environment)?, &request, &name) {
                return Ok(Err(why));
            }
            turn.c.add_approval(&approval).await?;
            let detail =
                serde_json::json!({"digest": approval.digest, "reason": approval.reason}).to_string();
            let action = format!("deployment.{}", approval.verdict);
            turn.c
                .add_audit(turn.now, &actor, &action, &subject, &detail)
                .await?;
            turn.decide_deployments(project.id, &row.environment).await?;
            Ok(Ok(()))
        })
    });
    turn.await?
        .map_err(|why| AppError::new(StatusCode::FORBIDDEN, why))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn replay(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(id): Path<i64>,
) -> AppResult<Json<Vec<Replay>>> {
    find(&app, &who, id, Scope::Read).await?;
    let machine = deployment::load(&mut *app.store.read().await?, id).await?;
    let view = machine.map(|machine| machine.view());
    let mut replays = Vec::new();
    for service in view.into_iter().flat_map(|view| view.services) {
        let Some(evidence) = service.evidence else {
            continue;
        };
        let again = pilotage_guard::replay(&evidence);
        replays.push(Replay {
            told: evidence
                .verdict
                .as_ref()
                .map(|verdict| verdict.sentence(&service.name)),
            replayed: again.as_ref().map(|verdict| verdict.sentence(&service.name)),
            same: agree(again.as_ref(), evidence.verdict.as_ref()),
            new_answers: evidence.new.answers,
            old_answers: evidence.old.answers,
            service: service.name,
        });
    }
    Ok(Json(replays))
}

/// The evidence's "1 in so many" went through JSON, which may cost its last binary digit.
fn agree(again: Option<&Verdict>, told: Option<&Verdict>) -> bool {
    match (again, told) {
        (Some(again), Some(told)) => {
            let exact = Verdict {
                one_in: told.one_in,
                ..again.clone()
            };
            exact == *told && (again.one_in / told.one_in - 1.0).abs() < 1e-9
        }
        (again, told) => again == told,
    }
}

struct Follower {
    app: Arc<App>,
    id: i64,
    changes: watch::Receiver<u64>,
    figures: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    sent: String,
    ended: bool,
}

async fn stream(State(app): State<Arc<App>>, who: Principal, Path(id): Path<i64>) -> AppResult<Response> {
    find(&app, &who, id, Scope::Read).await?;
    let follower = Follower {
        changes: app.driver.changes(),
        figures: app.live.changes(),
        stopping: app.stopping.clone(),
        sent: String::new(),
        ended: false,
        app,
        id,
    };
    let mut response = Body::from_stream(futures_util::stream::try_unfold(follower, next)).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

async fn next(mut follower: Follower) -> Result<Option<(Bytes, Follower)>, AppError> {
    loop {
        if follower.ended || *follower.stopping.borrow() {
            return Ok(None);
        }
        follower.changes.borrow_and_update();
        follower.figures.borrow_and_update();
        let row = follower.app.store.read().await?.deployment(follower.id).await?;
        let Some(row) = row else { return Ok(None) };
        follower.ended = row.ended_at.is_some();
        let detail = deployments::detail(&follower.app, row).await?;
        let text = serde_json::to_string(&detail).map_err(|error| AppError::internal(&error))?;
        if text != follower.sent {
            let event = Bytes::from(format!("data: {text}\n\n"));
            follower.sent = text;
            return Ok(Some((event, follower)));
        }
        tokio::time::sleep(CALM).await;
        let Follower {
            changes,
            figures,
            stopping,
            ..
        } = &mut follower;
        let quiet = tokio::select! {
            _ = changes.changed() => false,
            _ = figures.changed() => false,
            _ = stopping.changed() => false,
            () = tokio::time::sleep(SILENCE) => true,
        };
        if quiet {
            return Ok(Some((Bytes::from_static(b":\n\n"), follower)));
        }
    }
}

/// So that a release's name is understood in one place.
pub(super) async fn release_named(
    app: &App,
    project: &Project,
    name: &str,
) -> AppResult<pilotage_store::Release> {
    releases::find(app, project, name).await
}
