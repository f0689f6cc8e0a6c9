//! The log of a job: a window of its lines as a page, and the whole of it raw.

use super::page::{WebResult, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::AppError;
use crate::rest::run;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pilotage_api::rest::{Job, LogQuery};
use pilotage_trust::token::Scope;
use pilotage_ui::page::log::{Line, Log, Step, WINDOW};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use pilotage_ui::status::Status;
use serde::Deserialize;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/{owner}/{name}/runs/{id}/jobs/{job}", get(page))
        .route("/{owner}/{name}/runs/{id}/jobs/{job}/log.txt", get(raw))
}

type Place4 = Path<(String, String, i64, i64)>;

#[derive(Deserialize)]
struct Window {
    attempt: Option<u32>,
    step: Option<u32>,
    /// From 0.
    from: Option<u64>,
    /// From 1.
    line: Option<u64>,
}

/// The job, if it is there and may be seen: each part of the path has to be right.
async fn find(
    app: &App,
    viewer: &Viewer,
    path: (String, String, i64, i64),
    attempt: Option<u32>,
) -> WebResult<(pilotage_api::rest::RunDetail, Job)> {
    let (owner, name, id, job) = path;
    let missing = || AppError::not_found(format!("job {job}"));
    let (_, project) = run::find(app, &viewer.who, id, Scope::Read)
        .await
        .map_err(|error| if error.status == 404 { missing() } else { error })?;
    let row = app.store.read().await?.job(job).await?;
    let of_run = row.is_some_and(|row| row.run_id == id);
    if project.owner != owner || project.name != name || !of_run {
        return Err(missing().into());
    }
    let detail = run::detail(app, id, attempt).await?;
    let found = detail.jobs.iter().find(|found| found.id == job).cloned();
    Ok((detail, found.ok_or_else(missing)?))
}

async fn page(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path(path): Place4,
    Query(window): Query<Window>,
) -> WebResult {
    let (owner, name) = (path.0.clone(), path.1.clone());
    let (detail, job) = find(&app, &viewer, path, window.attempt).await?;
    let total = app.store.logs.state(job.id).await?.lines;
    let from = begin(&app, &job, &window, total).await?;
    let until = (from + WINDOW).min(total);
    let run = format!("/{owner}/{name}/runs/{}", detail.run.id);
    let log = Log {
        path: format!("{run}/jobs/{}", job.id),
        run,
        run_title: format!("#{} {}", detail.run.number, detail.run.title),
        status: Status::of_run(&job.status, job.conclusion.map(|end| end.word())),
        steps: job.steps.iter().map(step).collect(),
        lines: lines(&app, job.id, from, until).await?,
        missing: job.log_missing,
        name: job.name,
        why: job.why,
        runner: job.runner,
        total,
        from,
        until,
    };
    let place = Place::Project {
        owner,
        name,
        tab: ProjectTab::Runs,
    };
    let mut shell = Shell::new(format!("Log of {}", log.name), place);
    shell.wide = true;
    Ok(show(&viewer, shell, &log.main()))
}

fn step(step: &pilotage_api::rest::Step) -> Step {
    Step {
        number: step.step,
        name: step.name.clone(),
        status: Status::of_run(&step.status, step.conclusion.map(|end| end.word())),
        duration_ms: step.duration_ms.and_then(|ms| i64::try_from(ms).ok()),
    }
}

/// Where the window begins: what was asked for, otherwise so that the failing step's end is in it, or the newest.
async fn begin(app: &App, job: &Job, window: &Window, total: u64) -> WebResult<u64> {
    let last = total.saturating_sub(WINDOW);
    if let Some(from) = window.from {
        return Ok(from.min(total.saturating_sub(1)));
    }
    if let Some(line) = window.line {
        return Ok(line.saturating_sub(WINDOW / 2).min(last));
    }
    if let Some(step) = window.step {
        let (pieces, _) = app.store.logs.read(job.id, Some(step), 0).await?;
        return Ok(pieces.first().map_or(last, |piece| piece.first_line).min(total));
    }
    Ok(last)
}

async fn lines(app: &App, job: i64, from: u64, until: u64) -> WebResult<Vec<Line>> {
    let mut lines = Vec::new();
    let mut next = from;
    while next < until {
        let (pieces, after) = app.store.logs.read(job, None, next).await?;
        if after <= next {
            break;
        }
        next = after;
        for piece in pieces {
            for (number, text) in (piece.first_line..until).zip(piece.text.split_terminator('\n')) {
                lines.push(Line {
                    step: piece.step,
                    number,
                    at_ms: piece.at_ms,
                    text: text.to_owned(),
                });
            }
        }
    }
    Ok(lines)
}

/// All of it, as it was written.
async fn raw(State(app): State<Arc<App>>, viewer: Viewer, Path(path): Place4) -> WebResult {
    let (_, job) = find(&app, &viewer, path, None).await?;
    let query: LogQuery = serde_json::from_str("{}").map_err(|_| AppError::bad_request("no log"))?;
    let response = crate::rest::log::read(State(app), viewer.who, Path(job.id), Query(query)).await?;
    let name = format!("attachment; filename=\"job-{}.log.txt\"", job.id);
    let mut response: Response = response.into_response();
    if let Ok(value) = name.parse() {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}
