//! What a running job asks: artifacts and caches, as `pilotage_api::services` describes it. The job's token says
//! which project, run, attempt and ref it is for; nothing in a request can widen that.

use crate::app::App;
use crate::auth::Principal;
use crate::blob;
use crate::error::{AppError, AppResult};
use crate::name::{ArtifactName, CacheKey, Label};
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Query, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use pilotage_api::services::{ArtifactInfo, ArtifactList, ArtifactUpload, CacheInfo};
use pilotage_store::{Artifact, Cache, Job, Project, Run, StoreError};
use pilotage_trust::token::TokenKind;
use std::sync::Arc;

const DAY_MS: i64 = 24 * 3600 * 1000;
const RETENTION_DAYS: i64 = 90;
/// As on GitHub.
const RESTORE_KEYS_MAX: usize = 10;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/artifacts",
            put(upload).get(list).layer(DefaultBodyLimit::disable()),
        )
        .route("/artifacts/{id}/content", get(download))
        .route("/caches", put(save).get(find).layer(DefaultBodyLimit::disable()))
        .route("/caches/{id}/content", get(restore))
}

/// The job that asks.
pub(crate) struct Asker {
    pub project: Project,
    pub run: Run,
    pub job: Job,
}

impl FromRequestParts<Arc<App>> for Asker {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> AppResult<Self> {
        let who = Principal::from_request_parts(parts, app).await?;
        let job = who
            .job
            .filter(|_| who.kind == TokenKind::Job)
            .ok_or_else(AppError::unauthorized)?;
        let mut c = app.store.read().await?;
        let job = c.job(job).await?.ok_or_else(AppError::unauthorized)?;
        let run = c.run(job.run_id).await?.ok_or_else(AppError::unauthorized)?;
        let project = c
            .project_by_id(run.project_id)
            .await?
            .ok_or_else(AppError::unauthorized)?;
        Ok(Self { project, run, job })
    }
}

fn taken(name: &str) -> AppError {
    AppError::conflict(format!("an artifact named `{name}` is there already"))
        .advice("give it another name, or set `overwrite: true`")
}

async fn upload(
    State(app): State<Arc<App>>,
    asker: Asker,
    Query(query): Query<ArtifactUpload>,
    request: Request,
) -> AppResult<Response> {
    let name = ArtifactName::parse(&query.name).map_err(|error| AppError::bad_request(error.to_string()))?;
    let (run, attempt) = (asker.run.id, asker.job.attempt);
    let there = app
        .store
        .read()
        .await?
        .artifact_named(run, attempt, name.as_str())
        .await?;
    if there.is_some() && !query.overwrite {
        return Err(taken(name.as_str()));
    }
    let (blob, size) = blob::take(&app, request).await?;
    let days = query
        .retention_days
        .map_or(RETENTION_DAYS, |days| i64::from(days).clamp(1, RETENTION_DAYS));
    let now = app.now();
    let mut artifact = Artifact {
        id: 0,
        project_id: asker.project.id,
        run_id: run,
        job_id: asker.job.id,
        attempt,
        name: name.as_str().to_owned(),
        size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
        digest: blob.as_str().to_owned(),
        created_at: now,
        expires_at: now + days * DAY_MS,
    };
    let stored = artifact.clone();
    let id = app
        .driver
        .turn(move |turn| {
            Box::pin(async move {
                if query.overwrite
                    && let Some(old) = turn.c.artifact_named(run, attempt, &stored.name).await?
                {
                    turn.c.delete_artifact(old.id).await?;
                }
                turn.c.add_artifact(&stored).await
            })
        })
        .await;
    artifact.id = match id {
        Err(StoreError::Exists) => return Err(taken(name.as_str())),
        other => other?,
    };
    Ok((StatusCode::CREATED, Json(info(artifact))).into_response())
}

fn info(artifact: Artifact) -> ArtifactInfo {
    ArtifactInfo {
        id: artifact.id,
        name: artifact.name,
        size_bytes: u64::try_from(artifact.size_bytes).unwrap_or_default(),
        digest: artifact.digest,
        url: String::new(),
        created_at_ms: artifact.created_at,
    }
}

async fn list(State(app): State<Arc<App>>, asker: Asker) -> AppResult<Json<ArtifactList>> {
    let rows = app.store.read().await?.artifacts(asker.run.id).await?;
    Ok(Json(ArtifactList {
        artifacts: rows.into_iter().map(info).collect(),
    }))
}

async fn download(State(app): State<Arc<App>>, asker: Asker, Path(id): Path<i64>) -> AppResult<Response> {
    let found = app
        .store
        .read()
        .await?
        .artifact(id)
        .await?
        .filter(|artifact| artifact.run_id == asker.run.id);
    let artifact = found.ok_or_else(|| AppError::not_found("such artifact in this run"))?;
    blob::give(&app, &artifact.digest, artifact.size_bytes, "application/zip").await
}

/// A cache's name in a query: `restore_key` may be there many times.
struct CacheName {
    key: String,
    version: String,
    restore_keys: Vec<String>,
}

impl CacheName {
    fn read(query: Option<String>) -> AppResult<Self> {
        let pairs = url_pairs(&query.unwrap_or_default());
        let one = |name: &str| {
            pairs
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
                .unwrap_or_default()
        };
        let bad = |error: crate::name::BadName| AppError::bad_request(error.to_string());
        let (key, version) = (one("key"), one("version"));
        CacheKey::parse(&key).map_err(bad)?;
        Label::parse(&version).map_err(bad)?;
        let restore = pairs
            .iter()
            .filter(|(name, _)| name == "restore_key")
            .map(|(_, value)| value.clone());
        let restore_keys: Vec<String> = restore.filter(|key| !key.is_empty()).collect();
        if restore_keys.len() > RESTORE_KEYS_MAX {
            return Err(AppError::bad_request(format!(
                "there may be {RESTORE_KEYS_MAX} restore keys at most"
            )));
        }
        for key in &restore_keys {
            CacheKey::parse(key).map_err(bad)?;
        }
        Ok(Self {
            key,
            version,
            restore_keys,
        })
    }
}

/// The pairs of a query, decoded.
fn url_pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let mut out = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let hex = |b: Option<u8>| {
                b.and_then(|b| char::from(b).to_digit(16))
                    .and_then(|d| u8::try_from(d).ok())
            };
            match byte {
                b'%' => match (hex(bytes.next()), hex(bytes.next())) {
                    (Some(high), Some(low)) => out.push(high * 16 + low),
                    _ => out.push(b'%'),
                },
                byte => out.push(byte),
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(n, v)| (decode(n), decode(v)))
        .collect()
}

async fn find(State(app): State<Arc<App>>, asker: Asker, RawQuery(query): RawQuery) -> AppResult<Response> {
    let name = CacheName::read(query)?;
    let default = format!("refs/heads/{}", asker.project.default_branch);
    // What a ref may read: its own caches, then those of the default branch. Nobody reads another branch's.
    let mut scopes = vec![asker.run.r#ref.as_str()];
    if asker.run.r#ref != default {
        scopes.push(&default);
    }
    let mut found = None;
    {
        let mut c = app.store.read().await?;
        let project = asker.project.id;
        for scope in scopes {
            found = c.cache_exact(project, scope, &name.key, &name.version).await?;
            for prefix in &name.restore_keys {
                if found.is_none() {
                    found = c.cache_prefix(project, scope, prefix, &name.version).await?;
                }
            }
            if found.is_some() {
                break;
            }
        }
    }
    let Some(cache) = found else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let id = cache.id;
    app.driver
        .turn(move |turn| Box::pin(async move { turn.c.cache_used(id, turn.now).await }))
        .await?;
    Ok(Json(cache_info(cache)).into_response())
}

fn cache_info(cache: Cache) -> CacheInfo {
    let size_bytes = u64::try_from(cache.size_bytes).unwrap_or_default();
    CacheInfo {
        id: cache.id,
        key: cache.key,
        size_bytes,
        digest: cache.digest,
    }
}

async fn restore(State(app): State<Arc<App>>, asker: Asker, Path(id): Path<i64>) -> AppResult<Response> {
    let default = format!("refs/heads/{}", asker.project.default_branch);
    let may_read = |cache: &Cache| {
        cache.project_id == asker.project.id && (cache.scope == asker.run.r#ref || cache.scope == default)
    };
    let found = app.store.read().await?.cache(id).await?.filter(may_read);
    let cache = found.ok_or_else(|| AppError::not_found("such cache for this ref"))?;
    blob::give(&app, &cache.digest, cache.size_bytes, "application/octet-stream").await
}

async fn save(
    State(app): State<Arc<App>>,
    asker: Asker,
    RawQuery(query): RawQuery,
    request: Request,
) -> AppResult<Response> {
    let name = CacheName::read(query)?;
    let taken = || {
        AppError::conflict(format!(
            "the cache key {} is taken on this ref",
            crate::name::shown(&name.key)
        ))
    };
    let (project, scope) = (asker.project.id, asker.run.r#ref);
    let there = app
        .store
        .read()
        .await?
        .cache_exact(project, &scope, &name.key, &name.version)
        .await?;
    if there.is_some() {
        return Err(taken());
    }
    let (blob, size) = blob::take(&app, request).await?;
    let now = app.now();
    let mut cache = Cache {
        id: 0,
        project_id: project,
        scope,
        key: name.key.clone(),
        version: name.version.clone(),
        size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
        digest: blob.as_str().to_owned(),
        created_at: now,
        used_at: now,
    };
    let stored = cache.clone();
    let id = app
        .driver
        .turn(move |turn| Box::pin(async move { turn.c.add_cache(&stored).await }))
        .await;
    cache.id = match id {
        Err(StoreError::Exists) => return Err(taken()),
        other => other?,
    };
    Ok((StatusCode::CREATED, Json(cache_info(cache))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_and_checked() {
        let read = |query: &str| CacheName::read(Some(query.to_owned()));
        let name = read("key=a%2Fb+c&version=v&restore_key=a%25&restore_key=a&restore_key=").unwrap();
        assert_eq!((name.key.as_str(), name.version.as_str()), ("a/b c", "v"));
        assert_eq!(name.restore_keys, ["a%", "a"]);
        for bad in [
            "",
            "key=a",
            "key=&version=v",
            "key=a,b&version=v",
            "key=a%0Ab&version=v",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
