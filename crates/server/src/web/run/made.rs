//! What a run made and said, and what the event brought that started it.

use crate::app::App;
use crate::blob;
use crate::error::{AppError, AppResult};
use crate::web::page::WebResult;
use crate::web::viewer::Viewer;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use pilotage_api::rest;
use pilotage_api::runner::AnnotationLevel;
use pilotage_store::Run;
use pilotage_ui::page::run::{Annotation, Artifact, Facts, Level, Summary};
use serde_json::Value as Json;
use std::sync::Arc;

/// What an artifact holds was chosen by a job: no browser shows it, and whatever opens it has no rights of ours.
const POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";
/// Artifacts that one page lists.
const ARTIFACTS_MAX: usize = 100;
/// Inputs that one page lists, and characters of each.
const INPUTS_MAX: usize = 25;
const INPUT_CHARS: usize = 400;

pub(super) async fn artifacts(app: &App, run: i64) -> AppResult<Vec<Artifact>> {
    let rows = app.store.read().await?.artifacts(run).await?;
    let artifacts = rows.into_iter().take(ARTIFACTS_MAX).map(|row| Artifact {
        id: row.id,
        name: row.name,
        size_bytes: u64::try_from(row.size_bytes).unwrap_or_default(),
        digest: row.digest,
        expires_at: row.expires_at,
    });
    Ok(artifacts.collect())
}

/// Errors first, then as they came.
pub(super) fn annotations(jobs: &[rest::Job]) -> Vec<Annotation> {
    let of = |job: &rest::Job| {
        let (id, name) = (job.id, job.name.clone());
        job.annotations.clone().into_iter().map(move |told| Annotation {
            level: match told.level {
                AnnotationLevel::Error => Level::Error,
                AnnotationLevel::Warning => Level::Warning,
                AnnotationLevel::Notice => Level::Notice,
            },
            message: told.message,
            title: told.title.unwrap_or_default(),
            place: match (told.file, told.line) {
                (Some(file), Some(line)) => format!("{file}:{line}"),
                (file, _) => file.unwrap_or_default(),
            },
            job: id,
            job_name: name.clone(),
            step: told.step,
            line: told.log_line,
        })
    };
    let mut all: Vec<Annotation> = jobs.iter().flat_map(of).collect();
    all.sort_by_key(|annotation| annotation.level);
    all
}

pub(super) fn summaries(jobs: &[rest::Job]) -> Vec<Summary> {
    let of = |job: &rest::Job| {
        let (id, name) = (job.id, job.name.clone());
        job.summaries.clone().into_iter().map(move |summary| Summary {
            job: id,
            job_name: name.clone(),
            step: summary.step,
            markdown: summary.markdown,
        })
    };
    jobs.iter().flat_map(of).collect()
}

pub(super) async fn facts(app: &App, run: &Run) -> AppResult<Facts> {
    let event = app.store.read().await?.event(run.event_id).await?;
    let payload: Json = event
        .and_then(|event| serde_json::from_str(&event.payload).ok())
        .unwrap_or_default();
    let inputs = payload.get("inputs").and_then(Json::as_object);
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let inputs = inputs
        .into_iter()
        .flatten()
        .take(INPUTS_MAX)
        .map(|(name, value)| {
            let value = text(value).chars().take(INPUT_CHARS).collect();
            (name.clone(), value)
        });
    let sha = |key: &str| payload.get(key).and_then(Json::as_str).map(str::to_owned);
    let commits = payload.get("commits").and_then(Json::as_array).map(Vec::len);
    let known = |sha: &String| sha.bytes().any(|byte| byte != b'0');
    let commits = match (commits, sha("before").filter(known), sha("after")) {
        (Some(count), Some(before), Some(after)) => Some((count as u64, before, after)),
        _ => None,
    };
    Ok(Facts {
        inputs: inputs.collect(),
        commits,
    })
}

/// An artifact of this run, for those who may see the run.
pub(super) async fn download(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, id, artifact)): Path<(String, String, i64, i64)>,
) -> WebResult {
    super::belongs(&app, &viewer, &owner, &name, id).await?;
    let found = app.store.read().await?.artifact(artifact).await?;
    let artifact = found
        .filter(|artifact| artifact.run_id == id)
        .ok_or_else(|| AppError::not_found("such artifact of this run"))?;
    let mut response = blob::give(&app, &artifact.digest, artifact.size_bytes, "application/zip").await?;
    let headers = response.headers_mut();
    let file = pilotage_ui::words::segment(&artifact.name);
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename*=UTF-8''{file}.zip")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}
