//! What `pilotage/deploy`, `pilotage/rollback` and `pilotage/verify` ask. A job reaches its own environment only.

use super::services::Asker as Job;
use crate::app::App;
use crate::app::deployments::{self, Asker, Rolled};
use crate::app::releases::{self, Origin};
use crate::driver::deployment::{load, reason_of, url_of, verify_standing};
use crate::error::{AppError, AppResult};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use pilotage_api::services::{
    DeployRequest, DeploymentProgress, ProgressQuery, RollbackRequest, Until, VerifyRequest, VerifyResult,
};
use pilotage_engine::deployment::{Deployment, Outcome};
use pilotage_store::Deployment as Row;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const WAIT_S_MAX: u32 = 30;
const REASON_CHARS_MAX: usize = 1000;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/deployments", post(deploy))
        .route("/rollbacks", post(roll_back))
        .route("/deployments/{id}", get(progress))
        .route("/verifications", post(verify))
}

/// The job's own environment; any other is refused.
fn environment(job: &Job, asked: Option<&str>) -> AppResult<String> {
    let own = job.job.environment.as_str();
    match asked {
        _ if own.is_empty() => Err(
            AppError::new(StatusCode::FORBIDDEN, "this job has no `environment:`")
                .advice("set `environment:` on the job: its rules are asked before the job begins"),
        ),
        Some(other) if other != own => Err(AppError::new(
            StatusCode::FORBIDDEN,
            format!(
                "this job is for the environment `{own}`, not for `{}`",
                crate::name::shown(other)
            ),
        )
        .advice(format!("set `environment: {other}` on the job"))),
        _ => Ok(own.to_owned()),
    }
}

fn asker(job: &Job) -> Asker {
    Asker {
        actor: job.run.actor.clone(),
        run: Some(job.run.id),
        job: Some(job.job.id),
    }
}

/// A deployment of the job's project and environment; any other is not there.
async fn find(app: &App, job: &Job, id: i64) -> AppResult<Row> {
    let row = app.store.read().await?.deployment(id).await?;
    let row = row.filter(|row| row.project_id == job.project.id && row.environment == job.job.environment);
    row.ok_or_else(|| AppError::not_found(format!("deployment {id} in `{}`", job.job.environment)))
}

async fn deploy(
    State(app): State<Arc<App>>,
    job: Job,
    Json(asked): Json<DeployRequest>,
) -> AppResult<Json<DeploymentProgress>> {
    let environment = environment(&job, asked.environment.as_deref())?;
    if !asked.services.is_empty() {
        return Err(
            AppError::bad_request("deploying some services of a release only is not implemented")
                .advice("leave `services` out to deploy all of them"),
        );
    }
    let release = match &asked.release {
        Some(name) => releases::find(&app, &job.project, name).await?,
        None => {
            let origin = Origin {
                project: &job.project,
                sha: &job.run.sha,
                r#ref: &job.run.r#ref,
                run: Some(job.run.id),
            };
            releases::ensure(&app, &origin).await?
        }
    };
    let reason = format!("run {} ({})", job.run.id, job.job.name);
    let id = deployments::deploy(&app, &job.project, &release, &environment, &asker(&job), &reason).await?;
    Ok(Json(look(&app, id, 0, Until::Traffic).await?))
}

async fn roll_back(
    State(app): State<Arc<App>>,
    job: Job,
    Json(asked): Json<RollbackRequest>,
) -> AppResult<Json<DeploymentProgress>> {
    let environment = environment(&job, asked.environment.as_deref())?;
    let reason: String = asked.reason.chars().take(REASON_CHARS_MAX).collect();
    let to = if asked.to.is_empty() {
        "previous"
    } else {
        &asked.to
    };
    let rolled = match asked.deployment {
        Some(id) => {
            let row = find(&app, &job, id).await?;
            deployments::undo(&app, &job.project, &row, &asker(&job), &reason).await?
        }
        None => deployments::roll_back(&app, &job.project, &environment, to, &asker(&job), &reason).await?,
    };
    let mut seen = look(&app, rolled.id(), 0, Until::Live).await?;
    if matches!(rolled, Rolled::Undone(_)) {
        seen.ok = went_back(&seen.state);
    }
    Ok(Json(seen))
}

fn went_back(state: &str) -> bool {
    matches!(state, "rolled-back" | "aborted")
}

async fn progress(
    State(app): State<Arc<App>>,
    job: Job,
    Path(id): Path<i64>,
    Query(query): Query<ProgressQuery>,
) -> AppResult<Json<DeploymentProgress>> {
    find(&app, &job, id).await?;
    let deadline = Instant::now() + Duration::from_secs(u64::from(query.wait_s.min(WAIT_S_MAX)));
    let (mut changes, mut stopping) = (app.driver.changes(), app.stopping.clone());
    loop {
        changes.borrow_and_update();
        let seen = look(&app, id, query.after, query.until).await?;
        if seen.settled || seen.next > query.after || Instant::now() >= deadline {
            return Ok(Json(seen));
        }
        tokio::select! {
            _ = changes.changed() => {}
            _ = stopping.wait_for(|stop| *stop) => return Ok(Json(seen)),
            () = tokio::time::sleep_until(deadline) => {}
        }
    }
}

/// How a deployment stands, with what is new since `after`.
async fn look(app: &App, id: i64, after: u64, until: Until) -> AppResult<DeploymentProgress> {
    let mut c = app.store.read().await?;
    let row = c
        .deployment(id)
        .await?
        .ok_or_else(|| AppError::not_found(format!("deployment {id}")))?;
    let machine = load(&mut c, id).await?;
    let reason = reason_of(&mut c, &row).await?;
    let release = c.release(row.release_id).await?;
    let previous = match row.previous_id {
        Some(previous) => c.release(previous).await?.map(|release| release.digest),
        None => None,
    };
    drop(c);
    let lines = match &machine {
        Some(machine) => machine
            .view()
            .moments
            .into_iter()
            .map(|moment| moment.text)
            .collect(),
        None => vec![reason.clone()],
    };
    let next = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    let skip = usize::try_from(after).unwrap_or(usize::MAX);
    let (settled, ok) = settled(&row, machine.as_ref(), until);
    Ok(DeploymentProgress {
        deployment: id,
        message: message(&row, &reason, settled, ok),
        settled,
        ok,
        url: release
            .as_ref()
            .map(|release| url_of(release, &row.environment))
            .unwrap_or_default(),
        release: release.map(|release| release.digest).unwrap_or_default(),
        previous: previous.unwrap_or_default(),
        lines: lines.into_iter().skip(skip).collect(),
        next: next.max(after),
        state: row.status,
    })
}

/// One that went back, or is about to, did what it was asked for only where that was asked for.
fn settled(row: &Row, machine: Option<&Deployment>, until: Until) -> (bool, bool) {
    match (row.result.as_deref(), machine) {
        (Some(result), _) => (true, result == "live"),
        (None, Some(machine)) if machine.outcome() == Some(Outcome::Live) => (true, true),
        (None, Some(machine)) if until == Until::Traffic && !machine.is_going_back() => {
            (machine.has_all_traffic(), machine.has_all_traffic())
        }
        _ => (false, false),
    }
}

fn message(row: &Row, reason: &str, settled: bool, ok: bool) -> String {
    match (settled, ok, row.status.as_str()) {
        (true, true, "live") => format!("{} is live in {}", row.revision, row.environment),
        (true, true, _) => format!(
            "all traffic of {} is on {}, verified; it is watched on",
            row.environment, row.revision
        ),
        _ if reason.is_empty() => row.status.clone(),
        _ => format!("{}: {reason}", row.status.replace('-', " ")),
    }
}

async fn verify(
    State(app): State<Arc<App>>,
    job: Job,
    Json(asked): Json<VerifyRequest>,
) -> AppResult<Json<VerifyResult>> {
    let environment = environment(&job, asked.environment.as_deref())?;
    if !asked.checks.is_empty() {
        return Err(
            AppError::bad_request("`checks` of an own choice are not implemented")
                .advice("leave `checks` out to run those of the environment"),
        );
    }
    if !matches!(asked.expect.as_str(), "" | "live" | "rolled-back") {
        return Err(AppError::bad_request(format!(
            "`expect` is live or rolled-back, not {}",
            crate::name::shown(&asked.expect)
        )));
    }
    let mut lines = Vec::new();
    let mut ok = true;
    let mut result = "live".to_owned();
    if let Some(id) = asked.deployment {
        let row = find(&app, &job, id).await?;
        let (good, word) = as_expected(&app, &row, &asked.expect).await?;
        lines.push(format!("deployment {id} is {word}"));
        (ok, result) = (good, word);
    }
    match verify_standing(&app, &job.project, &environment).await {
        Ok(what) => lines.push(what),
        Err(why) => {
            ok = false;
            lines.push(why);
        }
    }
    Ok(Json(VerifyResult { ok, result, lines }))
}

/// Whether a deployment ended, or stands, as it is expected to; and that in a word.
async fn as_expected(app: &App, row: &Row, expect: &str) -> AppResult<(bool, String)> {
    let machine = load(&mut *app.store.read().await?, row.id).await?;
    let (has_traffic, _) = settled(row, machine.as_ref(), Until::Traffic);
    // A rollback that was asked for is itself a deployment, which then is live.
    let back = went_back(&row.status) || row.kind == "rollback" && row.status == "live";
    let word = if back {
        "rolled-back".to_owned()
    } else {
        row.status.clone()
    };
    Ok(match expect {
        "rolled-back" => (back, word),
        _ => (has_traffic && !went_back(&row.status), word),
    })
}
