//! Environments: the server's rules for them, their locks, and what waits for a person.

use super::project::find;
use crate::app::App;
use crate::auth::Principal;
use crate::error::{AppError, AppResult};
use crate::name::EnvironmentName;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use pilotage_api::rest;
use pilotage_store::{Environment, Project};
use pilotage_trust::token::Scope;
use pilotage_workflow::glob::Patterns;
use std::sync::Arc;

const LIST_MAX: usize = 100;
const LOCK_MINUTES_MAX: u32 = 366 * 24 * 60;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/projects/{owner}/{name}/environments", get(list))
        .route("/projects/{owner}/{name}/environments/{environment}", get(view))
        .route(
            "/projects/{owner}/{name}/environments/{environment}/rules",
            put(set_rules),
        )
        .route(
            "/projects/{owner}/{name}/environments/{environment}/lock",
            put(lock).delete(unlock),
        )
}

async fn json(app: &App, project: &Project, row: Environment) -> AppResult<rest::Environment> {
    let mut c = app.store.read().await?;
    let mut waiting = Vec::new();
    for wait in c.waits(project.id, &row.name).await? {
        let (job, run) = (c.job(wait.job_id).await?, c.run(wait.run_id).await?);
        waiting.push(rest::Waiting {
            run: wait.run_id,
            job: wait.job_id,
            job_name: job.map(|job| job.name).unwrap_or_default(),
            sha: run.map(|run| run.sha).unwrap_or_default(),
            why: wait.reason,
        });
    }
    Ok(rest::Environment {
        rules: serde_json::from_str(&row.rules).unwrap_or_default(),
        name: row.name,
        rules_at: if row.rules_by.is_empty() { 0 } else { row.rules_at },
        rules_by: row.rules_by,
        locked_by: row.locked_by,
        lock_reason: row.lock_reason,
        locked_until: row.locked_until,
        waiting,
    })
}

async fn list(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name)): Path<(String, String)>,
) -> AppResult<Json<Vec<rest::Environment>>> {
    let project = find(&app, &who, &owner, &name, Scope::Read).await?;
    let rows = app.store.read().await?.environments(project.id).await?;
    let mut out = Vec::new();
    for row in rows {
        out.push(json(&app, &project, row).await?);
    }
    Ok(Json(out))
}

async fn view(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, environment)): Path<(String, String, String)>,
) -> AppResult<Json<rest::Environment>> {
    let project = find(&app, &who, &owner, &name, Scope::Read).await?;
    show(&app, &project, &environment).await
}

async fn show(app: &App, project: &Project, name: &str) -> AppResult<Json<rest::Environment>> {
    let row = app.store.read().await?.environment(project.id, name).await?;
    let row = row.ok_or_else(|| AppError::not_found(format!("environment {}", crate::name::shown(name))))?;
    Ok(Json(json(app, project, row).await?))
}

pub(crate) async fn set_rules(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, environment)): Path<(String, String, String)>,
    Json(rules): Json<rest::Rules>,
) -> AppResult<Json<rest::Environment>> {
    let project = find(&app, &who, &owner, &name, Scope::Secrets).await?;
    let environment = parse(&environment)?;
    let many = [&rules.branches, &rules.tags, &rules.reviewers]
        .iter()
        .any(|list| list.len() > LIST_MAX);
    if many {
        return Err(AppError::bad_request(format!(
            "a list of rules has {LIST_MAX} entries at most"
        )));
    }
    for list in [&rules.branches, &rules.tags] {
        // Patterns that cannot be read would let nothing in.
        Patterns::parse(list.iter().map(String::as_str))
            .map_err(|error| AppError::bad_request(error.to_string()))?;
    }
    let text = serde_json::to_string(&rules).map_err(|error| AppError::internal(&error))?;
    let (actor, by, id, path) = (who.actor(), who.name.clone(), project.id, project.path());
    let set = environment.clone();
    app.driver
        .turn(move |mut turn| {
            Box::pin(async move {
                let name = set.as_str();
                turn.c.set_rules(id, name, &text, &by, turn.now).await?;
                turn.c
                    .add_audit(
                        turn.now,
                        &actor,
                        "environment.rules",
                        &format!("{path}/{name}"),
                        &text,
                    )
                    .await?;
                turn.decide_waits(id, name).await
            })
        })
        .await?;
    show(&app, &project, environment.as_str()).await
}

fn parse(name: &str) -> AppResult<EnvironmentName> {
    EnvironmentName::parse(name).map_err(|error| AppError::bad_request(error.to_string()))
}

pub(crate) async fn lock(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, environment)): Path<(String, String, String)>,
    Json(body): Json<rest::Lock>,
) -> AppResult<StatusCode> {
    let project = find(&app, &who, &owner, &name, Scope::Deploy).await?;
    if body.minutes > LOCK_MINUTES_MAX {
        return Err(AppError::bad_request(
            "a lock that goes by itself does so within a year",
        ));
    }
    let until = (body.minutes > 0).then(|| app.now() + i64::from(body.minutes) * 60_000);
    let held = Held {
        by: who.name.clone(),
        reason: body.reason.chars().take(1000).collect(),
        until,
    };
    set_lock(&app, &who, &project, &environment, held).await
}

pub(crate) async fn unlock(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, environment)): Path<(String, String, String)>,
) -> AppResult<StatusCode> {
    let project = find(&app, &who, &owner, &name, Scope::Deploy).await?;
    set_lock(&app, &who, &project, &environment, Held::default()).await
}

/// Who holds an environment, why and how long; nobody, with an empty name.
#[derive(Default)]
struct Held {
    by: String,
    reason: String,
    until: Option<i64>,
}

async fn set_lock(
    app: &App,
    who: &Principal,
    project: &Project,
    name: &str,
    Held { by, reason, until }: Held,
) -> AppResult<StatusCode> {
    let (environment, actor, id, path) = (parse(name)?, who.actor(), project.id, project.path());
    app.driver
        .turn(move |mut turn| {
            Box::pin(async move {
                let name = environment.as_str();
                turn.c.touch_environment(id, name, turn.now).await?;
                turn.c.set_lock(id, name, &by, &reason, until).await?;
                let action = if by.is_empty() {
                    "environment.unlock"
                } else {
                    "environment.lock"
                };
                let detail = serde_json::json!({"reason": reason, "until": until}).to_string();
                turn.c
                    .add_audit(turn.now, &actor, action, &format!("{path}/{name}"), &detail)
                    .await?;
                turn.decide_waits(id, name).await
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
