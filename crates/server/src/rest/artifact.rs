//! Artifacts and caches, for people.

use super::project::find;
use super::run;
use crate::app::App;
use crate::auth::Principal;
use crate::blob;
use crate::error::{AppError, AppResult};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get};
use axum::{Json, Router};
use pilotage_api::rest;
use pilotage_trust::token::Scope;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/runs/{id}/artifacts", get(list))
        .route("/artifacts/{id}/content", get(download))
        .route("/projects/{owner}/{name}/caches", get(list_caches))
        .route("/projects/{owner}/{name}/caches/{id}", delete(delete_cache))
}

fn size(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or_default()
}

async fn list(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(id): Path<i64>,
) -> AppResult<Json<Vec<rest::Artifact>>> {
    run::find(&app, &who, id, Scope::Read).await?;
    let rows = app.store.read().await?.artifacts(id).await?;
    let artifacts = rows.into_iter().map(|row| rest::Artifact {
        id: row.id,
        run: row.run_id,
        name: row.name,
        size_bytes: size(row.size_bytes),
        digest: row.digest,
        created_at: row.created_at,
        expires_at: row.expires_at,
    });
    Ok(Json(artifacts.collect()))
}

async fn download(State(app): State<Arc<App>>, who: Principal, Path(id): Path<i64>) -> AppResult<Response> {
    let missing = || AppError::not_found(format!("artifact {id}"));
    let artifact = app.store.read().await?.artifact(id).await?.ok_or_else(missing)?;
    let seen = run::find(&app, &who, artifact.run_id, Scope::Read).await;
    seen.map_err(|error| {
        if error.status == StatusCode::NOT_FOUND {
            missing()
        } else {
            error
        }
    })?;
    blob::give(&app, &artifact.digest, artifact.size_bytes, "application/zip").await
}

async fn list_caches(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name)): Path<(String, String)>,
) -> AppResult<Json<Vec<rest::Cache>>> {
    let project = find(&app, &who, &owner, &name, Scope::Read).await?;
    let rows = app.store.read().await?.caches(project.id).await?;
    let caches = rows.into_iter().map(|row| rest::Cache {
        id: row.id,
        r#ref: row.scope,
        key: row.key,
        version: row.version,
        size_bytes: size(row.size_bytes),
        created_at: row.created_at,
        used_at: row.used_at,
    });
    Ok(Json(caches.collect()))
}

async fn delete_cache(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, id)): Path<(String, String, i64)>,
) -> AppResult<StatusCode> {
    let project = find(&app, &who, &owner, &name, Scope::Write).await?;
    let found = app
        .store
        .read()
        .await?
        .cache(id)
        .await?
        .filter(|cache| cache.project_id == project.id);
    let cache = found.ok_or_else(|| AppError::not_found(format!("cache {id} in this project")))?;
    let actor = who.actor();
    app.driver
        .turn(move |turn| {
            Box::pin(async move {
                turn.c.delete_cache(id).await?;
                let detail = serde_json::json!({"key": cache.key, "ref": cache.scope}).to_string();
                turn.c
                    .add_audit(turn.now, &actor, "cache.delete", &project.path(), &detail)
                    .await
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
