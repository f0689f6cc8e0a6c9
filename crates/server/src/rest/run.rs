//! Runs: listed, looked at, run again, cancelled, approved, deleted.

use super::token::by_path;
use crate::app::App;
use crate::auth::Principal;
use crate::driver::Refused;
use crate::driver::environment::{request, rules};
use crate::error::{AppError, AppResult};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use pilotage_api::rest;
use pilotage_api::runner::Conclusion;
use pilotage_engine::ids::JobId;
use pilotage_engine::policy;
use pilotage_engine::run::{Rerun, RunEvent};
use pilotage_store::{Approval, Connection, Job, Project, Run, RunFilter, Step};
use pilotage_trust::token::Scope;
use std::collections::HashMap;
use std::sync::Arc;

const LIMIT: u32 = 20;
const LIMIT_MAX: u32 = 100;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/runs", get(list))
        .route("/runs/{id}", get(view).delete(remove))
        .route("/runs/{id}/rerun", post(rerun))
        .route("/runs/{id}/cancel", post(cancel))
        .route("/runs/{id}/approvals", post(approve))
}

/// A run and its project, if this token may do this with it.
pub(crate) async fn find(app: &App, who: &Principal, id: i64, scope: Scope) -> AppResult<(Run, Project)> {
    let missing = || AppError::not_found(format!("run {id}"));
    let mut c = app.store.read().await?;
    let run = c.run(id).await?.ok_or_else(missing)?;
    let project = c.project_by_id(run.project_id).await?.ok_or_else(missing)?;
    match who.demand(scope, &project) {
        Err(error) if error.status == StatusCode::NOT_FOUND => Err(missing()),
        Err(error) => Err(error),
        Ok(()) => Ok((run, project)),
    }
}

async fn list(
    State(app): State<Arc<App>>,
    who: Principal,
    Query(query): Query<rest::RunQuery>,
) -> AppResult<Json<Vec<rest::Run>>> {
    let project = match &query.project {
        Some(path) => {
            let project = by_path(&app, path).await?;
            who.demand(Scope::Read, &project)?;
            Some(project)
        }
        None => None,
    };
    let workflow = match (&query.workflow, &project) {
        (Some(workflow), Some(project)) => Some(super::workflow::row(&app, project, workflow).await?.id),
        (Some(_), None) => return Err(AppError::bad_request("`workflow` needs `project`")),
        _ => None,
    };
    let branch = query.branch.unwrap_or_default();
    let whole = if branch.is_empty() || branch.starts_with("refs/") {
        branch
    } else {
        format!("refs/heads/{branch}")
    };
    let filter = RunFilter {
        project: project.map(|project| project.id).or(who.project),
        workflow,
        r#ref: whole,
        sha: query.sha.unwrap_or_default(),
        event: query.event.unwrap_or_default(),
        actor: query.actor.unwrap_or_default(),
        status: query.status.unwrap_or_default(),
        before: query.before,
        limit: i64::from(query.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX)),
    };
    let mut c = app.store.read().await?;
    let runs = c.runs(&filter).await?;
    let projects: HashMap<i64, Project> = c.projects().await?.into_iter().map(|p| (p.id, p)).collect();
    let mut out = Vec::new();
    for run in runs {
        let Some(project) = projects.get(&run.project_id) else {
            continue;
        };
        if who.demand(Scope::Read, project).is_ok() {
            out.push(json(&app, &mut c, run, project).await?);
        }
    }
    Ok(Json(out))
}

/// A run in the API's words.
pub(super) async fn json(app: &App, c: &mut Connection, run: Run, project: &Project) -> AppResult<rest::Run> {
    let workflow = c.workflow(run.workflow_id).await?;
    let (workflow_path, workflow_name) = workflow.map(|w| (w.path, w.name)).unwrap_or_default();
    Ok(rest::Run {
        id: run.id,
        project: project.path(),
        workflow: run.workflow_id,
        workflow_path,
        workflow_name,
        number: run.number,
        attempt: u32::try_from(run.attempt).unwrap_or_default(),
        event: run.event,
        r#ref: run.r#ref,
        sha: run.sha,
        title: run.title,
        actor: run.actor,
        status: run.status,
        conclusion: run.conclusion.as_deref().and_then(conclusion),
        why: run.reason,
        created_at: run.created_at,
        started_at: run.started_at,
        ended_at: run.ended_at,
        url: app.run_url(project, run.id),
    })
}

pub(super) fn conclusion(word: &str) -> Option<Conclusion> {
    let all = [
        Conclusion::Success,
        Conclusion::Failure,
        Conclusion::Cancelled,
        Conclusion::Skipped,
    ];
    all.into_iter().find(|conclusion| conclusion.word() == word)
}

#[derive(serde::Deserialize)]
pub(super) struct AttemptQuery {
    pub(super) attempt: Option<u32>,
}

async fn view(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(id): Path<i64>,
    Query(query): Query<AttemptQuery>,
) -> AppResult<Json<rest::RunDetail>> {
    find(&app, &who, id, Scope::Read).await?;
    Ok(Json(detail(&app, id, query.attempt).await?))
}

/// All of a run: the jobs of one attempt with their steps, annotations and summaries.
pub(crate) async fn detail(app: &App, id: i64, attempt: Option<u32>) -> AppResult<rest::RunDetail> {
    let mut c = app.store.read().await?;
    let missing = || AppError::not_found(format!("run {id}"));
    let row = c.run(id).await?.ok_or_else(missing)?;
    let project = c.project_by_id(row.project_id).await?.ok_or_else(missing)?;
    let rows = c.jobs(id).await?;
    let mut parts = Parts::default();
    for step in c.steps_of_run(id).await? {
        parts.steps.entry(step.job_id).or_default().push(step_json(step));
    }
    for (job, text) in c.annotations_of_run(id).await? {
        parts
            .annotations
            .entry(job)
            .or_default()
            .extend(serde_json::from_str(&text));
    }
    for summary in c.summaries_of_run(id).await? {
        let step = u32::try_from(summary.step).unwrap_or_default();
        parts
            .summaries
            .entry(summary.job_id)
            .or_default()
            .push(rest::Summary {
                step,
                markdown: summary.markdown,
            });
    }
    let run = json(app, &mut c, row, &project).await?;
    drop(c);
    let attempt = attempt.unwrap_or(run.attempt);
    // Which jobs an attempt shows is the machine's knowledge: those that were not run again are older.
    let (ids, conclusion): (Vec<i64>, _) = match app.driver.load_run(id).await? {
        Ok(machine) => match machine.jobs_of(attempt) {
            Some(jobs) => {
                let ids = jobs.iter().map(|job| job.id.0).collect();
                (ids, machine.conclusion_of(attempt))
            }
            None => return Err(AppError::not_found(format!("attempt {attempt} of run {id}"))),
        },
        Err(error) => {
            tracing::error!(run.id = id, "run {id} cannot be read: {error}");
            let of_attempt = rows.iter().filter(|job| job.attempt == i64::from(attempt));
            let conclusion = run.conclusion.filter(|_| attempt == run.attempt);
            (of_attempt.map(|job| job.id).collect(), conclusion)
        }
    };
    let mut by_id: HashMap<i64, Job> = rows.into_iter().map(|job| (job.id, job)).collect();
    let mut jobs = Vec::new();
    for job in ids.iter().filter_map(|id| by_id.remove(id)) {
        jobs.push(job_json(app, job, &mut parts).await?);
    }
    Ok(rest::RunDetail {
        run,
        attempt,
        conclusion,
        jobs,
    })
}

#[derive(Default)]
struct Parts {
    steps: HashMap<i64, Vec<rest::Step>>,
    annotations: HashMap<i64, Vec<pilotage_api::runner::Annotation>>,
    summaries: HashMap<i64, Vec<rest::Summary>>,
}

async fn job_json(app: &App, job: Job, parts: &mut Parts) -> AppResult<rest::Job> {
    let number = |n: i64| u64::try_from(n).unwrap_or_default();
    let log_lines = match job.log_lines {
        Some(lines) => number(lines),
        None if job.started_at.is_some() => app.store.logs.state(job.id).await?.lines,
        None => 0,
    };
    Ok(rest::Job {
        id: job.id,
        attempt: u32::try_from(job.attempt).unwrap_or_default(),
        key: job.key,
        name: job.name,
        needs: serde_json::from_str(&job.needs).unwrap_or_default(),
        status: job.status,
        conclusion: job.conclusion.as_deref().and_then(conclusion),
        why: job.reason,
        error: job.error,
        environment: job.environment,
        environment_url: job.environment_url,
        runner: job.runner,
        outputs: serde_json::from_str(&job.outputs).unwrap_or_default(),
        created_at: job.created_at,
        started_at: job.started_at,
        ended_at: job.ended_at,
        log_lines,
        log_missing: job
            .log_missing_from
            .zip(job.log_missing_to)
            .map(|(from, to)| (number(from), number(to))),
        steps: parts.steps.remove(&job.id).unwrap_or_default(),
        annotations: parts.annotations.remove(&job.id).unwrap_or_default(),
        summaries: parts.summaries.remove(&job.id).unwrap_or_default(),
    })
}

fn step_json(step: Step) -> rest::Step {
    rest::Step {
        step: u32::try_from(step.step).unwrap_or_default(),
        id: step.key,
        name: step.name,
        status: step.status,
        outcome: step.outcome.as_deref().and_then(conclusion),
        conclusion: step.conclusion.as_deref().and_then(conclusion),
        started_at: step.started_at,
        duration_ms: step.duration_ms.and_then(|ms| u64::try_from(ms).ok()),
        why: step.reason,
        error: step.error,
    }
}

/// Gives an event to a run, with an entry in the audit log, and gives back how the run stands then.
async fn tell(
    app: &App,
    who: &Principal,
    run: Run,
    project: Project,
    action: &'static str,
    event: RunEvent,
) -> AppResult<Json<rest::Run>> {
    let (actor, subject, id) = (who.actor(), format!("{} run {}", project.path(), run.id), run.id);
    let told = app
        .driver
        .turn(move |mut turn| {
            Box::pin(async move {
                let told = turn.run_event(id, event).await?;
                if told.is_ok() {
                    turn.c.add_audit(turn.now, &actor, action, &subject, "{}").await?;
                }
                Ok(told)
            })
        })
        .await?;
    match told {
        Ok(()) => {}
        Err(Refused::Illegal(illegal)) => return Err(AppError::conflict(illegal.to_string())),
        Err(other) => return Err(AppError::internal(&other)),
    }
    let mut c = app.store.read().await?;
    let run = c
        .run(id)
        .await?
        .ok_or_else(|| AppError::not_found(format!("run {id}")))?;
    Ok(Json(json(app, &mut c, run, &project).await?))
}

pub(crate) async fn rerun(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(id): Path<i64>,
    Json(body): Json<rest::Rerun>,
) -> AppResult<Json<rest::Run>> {
    let (run, project) = find(&app, &who, id, Scope::Write).await?;
    let which = match body {
        rest::Rerun::All => Rerun::All,
        rest::Rerun::Failed => Rerun::Failed,
        rest::Rerun::Job { job } => Rerun::Job(JobId(job)),
    };
    let after = u32::try_from(run.attempt).unwrap_or_default();
    let event = RunEvent::Rerun {
        after,
        which,
        by: who.name.clone(),
    };
    tell(&app, &who, run, project, "run.rerun", event).await
}

pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(id): Path<i64>,
    Json(body): Json<rest::Cancel>,
) -> AppResult<Json<rest::Run>> {
    let (run, project) = find(&app, &who, id, Scope::Write).await?;
    if run.conclusion.is_some() {
        return Err(AppError::conflict(format!("run {id} is over already")));
    }
    let attempt = u32::try_from(run.attempt).unwrap_or_default();
    let event = RunEvent::Cancel {
        attempt,
        by: who.name.clone(),
        force: body.force,
    };
    tell(&app, &who, run, project, "run.cancel", event).await
}

/// Why this run cannot be deleted now; none where it can.
pub(crate) async fn kept(app: &App, run: &Run) -> AppResult<Option<AppError>> {
    let id = run.id;
    if run.conclusion.is_none() {
        let open = AppError::conflict(format!("run {id} is not over"));
        return Ok(Some(open.advice(format!("pilotage run cancel {id}"))));
    }
    let has_release = app.store.read().await?.run_has_release(id).await?;
    Ok(has_release
        .then(|| AppError::conflict(format!("a release came from run {id}: it is kept for rollbacks"))))
}

pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(id): Path<i64>,
) -> AppResult<StatusCode> {
    let (run, project) = find(&app, &who, id, Scope::Write).await?;
    if let Some(why) = kept(&app, &run).await? {
        return Err(why);
    }
    let (actor, subject) = (who.actor(), format!("{} run {id}", project.path()));
    let audited = app.driver.turn(move |turn| {
        Box::pin(async move {
            turn.c
                .add_audit(turn.now, &actor, "run.delete", &subject, "{}")
                .await
        })
    });
    audited.await?;
    app.store.remove_run(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn approve(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(id): Path<i64>,
    Json(body): Json<rest::Approve>,
) -> AppResult<StatusCode> {
    let (run, project) = find(&app, &who, id, Scope::Deploy).await?;
    if body.sha != run.sha {
        return Err(AppError::conflict(format!(
            "run {id} is of commit {}, not of the one that was looked at",
            run.sha
        )));
    }
    let waits = app
        .store
        .read()
        .await?
        .waits(project.id, &body.environment)
        .await?;
    let waits: Vec<_> = waits.into_iter().filter(|wait| wait.run_id == id).collect();
    let wait = waits.first().ok_or_else(|| {
        AppError::conflict(format!(
            "run {id} does not wait for {}",
            crate::name::shown(&body.environment)
        ))
    })?;
    let environment = app
        .store
        .read()
        .await?
        .environment(project.id, &body.environment)
        .await?;
    let environment = environment.ok_or_else(|| AppError::not_found("such environment"))?;
    let rules = rules(&environment)?;
    policy::may_approve(&rules, &request(wait, &run), &who.name)
        .map_err(|reason| AppError::new(StatusCode::FORBIDDEN, reason))?;
    let approval = Approval {
        id: 0,
        project_id: project.id,
        environment: body.environment,
        machine: "run".to_owned(),
        machine_id: id,
        job_id: None,
        sha: run.sha,
        digest: String::new(),
        verdict: if body.approved { "approved" } else { "rejected" }.to_owned(),
        by_whom: who.name.clone(),
        reason: body.reason.chars().take(1000).collect(),
        at: app.now(),
    };
    let (actor, subject) = (who.actor(), format!("{} run {id}", project.path()));
    app.driver
        .turn(move |mut turn| {
            Box::pin(async move {
                turn.c.add_approval(&approval).await?;
                let detail = serde_json::json!({"environment": approval.environment, "sha": approval.sha, "reason": approval.reason});
                let action = format!("run.{}", approval.verdict);
                turn.c.add_audit(turn.now, &actor, &action, &subject, &detail.to_string()).await?;
                turn.decide_waits(approval.project_id, &approval.environment).await
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
