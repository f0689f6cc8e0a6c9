//! Secrets (written, never read) and variables, of a project or of one of its environments.

use super::project::find;
use crate::app::App;
use crate::auth::Principal;
use crate::error::{AppError, AppResult};
use crate::name::{BadName, EnvironmentName, VariableName};
use crate::secrets;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use pilotage_api::rest;
use pilotage_store::Variable;
use pilotage_trust::token::Scope;
use std::sync::Arc;

/// As on GitHub.
const VALUE_BYTES_MAX: usize = 48 * 1024;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/projects/{owner}/{name}/secrets", get(list_secrets))
        .route(
            "/projects/{owner}/{name}/secrets/{secret}",
            put(set_secret).delete(delete_secret),
        )
        .route("/projects/{owner}/{name}/variables", get(list_variables))
        .route(
            "/projects/{owner}/{name}/variables/{variable}",
            put(set_variable).delete(delete_variable),
        )
}

#[derive(serde::Deserialize)]
pub(crate) struct Level {
    pub environment: Option<String>,
}

fn bad(error: BadName) -> AppError {
    AppError::bad_request(error.to_string())
}

/// The environment's name; empty for the whole project.
fn environment(name: Option<&str>) -> AppResult<String> {
    match name {
        None | Some("") => Ok(String::new()),
        Some(name) => Ok(EnvironmentName::parse(name).map_err(bad)?.as_str().to_owned()),
    }
}

fn value(body: rest::SetValue) -> AppResult<String> {
    if body.value.len() > VALUE_BYTES_MAX {
        return Err(AppError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a value has {VALUE_BYTES_MAX} bytes at most"),
        ));
    }
    Ok(body.value)
}

async fn list_secrets(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name)): Path<(String, String)>,
    Query(level): Query<Level>,
) -> AppResult<Json<Vec<rest::Secret>>> {
    let project = find(&app, &who, &owner, &name, Scope::Read).await?;
    let environment = environment(level.environment.as_deref())?;
    let rows = app.store.read().await?.secrets(project.id, &environment).await?;
    let json = |row: pilotage_store::Secret| rest::Secret {
        used: used(&row),
        name: row.name,
        environment: row.environment,
        updated_at: row.updated_at,
    };
    Ok(Json(rows.into_iter().map(json).collect()))
}

fn used(row: &pilotage_store::Secret) -> Option<rest::SecretUse> {
    Some(rest::SecretUse {
        at: row.used_at?,
        run: row.used_run,
        job: row.used_job,
        deployment: row.used_deployment,
    })
}

pub(crate) async fn set_secret(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, secret)): Path<(String, String, String)>,
    Json(body): Json<rest::SetValue>,
) -> AppResult<StatusCode> {
    let project = find(&app, &who, &owner, &name, Scope::Secrets).await?;
    // GitHub's names of secrets are upper case, however they are written.
    let secret = VariableName::parse(&secret.to_ascii_uppercase()).map_err(bad)?;
    let environment = environment(body.environment.as_deref())?;
    let sealed = secrets::seal(&app, &project, &environment, secret.as_str(), &value(body)?)?;
    let actor = who.actor();
    app.driver
        .turn(move |turn| {
            Box::pin(async move {
                if !environment.is_empty() {
                    turn.c
                        .touch_environment(project.id, &environment, turn.now)
                        .await?;
                }
                turn.c.set_secret(project.id, &sealed).await?;
                let detail = detail(secret.as_str(), &environment);
                turn.c
                    .add_audit(turn.now, &actor, "secret.set", &project.path(), &detail)
                    .await
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn detail(name: &str, environment: &str) -> String {
    serde_json::json!({"name": name, "environment": environment}).to_string()
}

pub(crate) async fn delete_secret(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, secret)): Path<(String, String, String)>,
    Query(level): Query<Level>,
) -> AppResult<StatusCode> {
    let project = find(&app, &who, &owner, &name, Scope::Secrets).await?;
    let (environment, secret) = (
        environment(level.environment.as_deref())?,
        secret.to_ascii_uppercase(),
    );
    let actor = who.actor();
    let deleted = app
        .driver
        .turn(move |turn| {
            Box::pin(async move {
                let deleted = turn.c.delete_secret(project.id, &environment, &secret).await?;
                if deleted {
                    let detail = detail(&secret, &environment);
                    turn.c
                        .add_audit(turn.now, &actor, "secret.delete", &project.path(), &detail)
                        .await?;
                }
                Ok(deleted)
            })
        })
        .await?;
    if deleted {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(AppError::not_found("such secret"))
    }
}

async fn list_variables(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name)): Path<(String, String)>,
    Query(level): Query<Level>,
) -> AppResult<Json<Vec<rest::Variable>>> {
    let project = find(&app, &who, &owner, &name, Scope::Read).await?;
    let environment = environment(level.environment.as_deref())?;
    let rows = app
        .store
        .read()
        .await?
        .variables(project.id, &environment)
        .await?;
    let json = |row: Variable| rest::Variable {
        name: row.name,
        value: row.value,
        environment: row.environment,
        updated_at: row.updated_at,
    };
    Ok(Json(rows.into_iter().map(json).collect()))
}

pub(crate) async fn set_variable(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, variable)): Path<(String, String, String)>,
    Json(body): Json<rest::SetValue>,
) -> AppResult<StatusCode> {
    let project = find(&app, &who, &owner, &name, Scope::Secrets).await?;
    let variable = VariableName::parse(&variable.to_ascii_uppercase()).map_err(bad)?;
    let environment = environment(body.environment.as_deref())?;
    let (value, actor) = (value(body)?, who.actor());
    app.driver
        .turn(move |turn| {
            Box::pin(async move {
                if !environment.is_empty() {
                    turn.c
                        .touch_environment(project.id, &environment, turn.now)
                        .await?;
                }
                let detail = detail(variable.as_str(), &environment);
                let name = variable.as_str().to_owned();
                let row = Variable {
                    environment,
                    name,
                    value,
                    updated_at: turn.now,
                };
                turn.c.set_variable(project.id, &row).await?;
                turn.c
                    .add_audit(turn.now, &actor, "variable.set", &project.path(), &detail)
                    .await
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn delete_variable(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, variable)): Path<(String, String, String)>,
    Query(level): Query<Level>,
) -> AppResult<StatusCode> {
    let project = find(&app, &who, &owner, &name, Scope::Secrets).await?;
    let (environment, variable) = (
        environment(level.environment.as_deref())?,
        variable.to_ascii_uppercase(),
    );
    let actor = who.actor();
    let deleted = app
        .driver
        .turn(move |turn| {
            Box::pin(async move {
                let deleted = turn
                    .c
                    .delete_variable(project.id, &environment, &variable)
                    .await?;
                if deleted {
                    let detail = detail(&variable, &environment);
                    turn.c
                        .add_audit(turn.now, &actor, "variable.delete", &project.path(), &detail)
                        .await?;
                }
                Ok(deleted)
            })
        })
        .await?;
    if deleted {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(AppError::not_found("such variable"))
    }
}
