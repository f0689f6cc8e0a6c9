//! The log of a job: a window of its lines as a page, and the whole of it raw.

use super::page::{WebError, WebResult, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::AppError;
use crate::rest::run;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use pilotage_api::rest::{Job, LogQuery, RunDetail};
use pilotage_api::runner::Conclusion;
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::log::{Line, Log, Step, WINDOW};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use pilotage_ui::status::Status;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/{owner}/{name}/runs/{id}/jobs/{job}", get(page))
        .route("/{owner}/{name}/runs/{id}/jobs/{job}/lines", get(follow))
        .route("/{owner}/{name}/runs/{id}/jobs/{job}/log.txt", get(raw))
}

/// How long lines are waited for, so that a lost client is noticed.
const PATIENCE: Duration = Duration::from_secs(25);
/// How many lines stand above the first error.
const BEFORE_ERROR: u64 = 12;

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
) -> WebResult<(RunDetail, Job)> {
    let (owner, name, id, job) = path;
    let missing = || AppError::not_found(format!("job {job}"));
    let (_, project) = run::find(app, &viewer.who, id, Scope::Read)
        .await
        .map_err(|error| if error.status == 404 { missing() } else { error })?;
    let row = app.store.read().await?.job(job).await?;
    let of_run = row.as_ref().is_some_and(|row| row.run_id == id);
    // A job's log stays where it was when the run is run again.
    let attempt = attempt.or_else(|| row.and_then(|row| u32::try_from(row.attempt).ok()));
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
    let error = match job.conclusion {
        Some(Conclusion::Failure) => super::run::failure(&app, &job).await?.marked,
        _ => None,
    };
    let from = begin(&app, &job, &window, error, total).await?;
    let mut log = view(&(owner.clone(), name.clone()), &detail, &job);
    log.error = error;
    log.total = total;
    log.from = from;
    log.until = (from + WINDOW).min(total);
    log.lines = lines(&app, job.id, log.from, log.until).await?;
    let place = Place::Project {
        owner,
        name,
        tab: ProjectTab::Runs,
    };
    let mut shell = Shell::new(format!("Log of {}", log.name), place);
    shell.wide = true;
    if log.live {
        shell.topics = vec![format!("log:{}", job.id)];
    }
    Ok(show(&viewer, shell, &log.main()))
}

/// All but the lines.
fn view(of: &(String, String), detail: &RunDetail, job: &Job) -> Log {
    let run = format!("/{}/{}/runs/{}", of.0, of.1, detail.run.id);
    Log {
        path: format!("{run}/jobs/{}", job.id),
        run,
        run_title: format!("#{} {}", detail.run.number, detail.run.title),
        status: Status::of_run(&job.status, job.conclusion.map(Conclusion::word)),
        steps: job.steps.iter().map(step).collect(),
        missing: job.log_missing,
        name: job.name.clone(),
        why: job.why.clone(),
        runner: job.runner.clone(),
        live: job.conclusion.is_none(),
        error: None,
        lines: Vec::new(),
        total: 0,
        from: 0,
        until: 0,
    }
}

/// The header and the steps of a job that runs.
pub(super) async fn fragments(app: &Arc<App>, viewer: &Viewer, id: i64) -> WebResult<Vec<Fragment>> {
    let missing = || AppError::not_found(format!("job {id}"));
    let row = app.store.read().await?.job(id).await?.ok_or_else(missing)?;
    let (_, project) = run::find(app, &viewer.who, row.run_id, Scope::Read).await?;
    let path = (project.owner.clone(), project.name.clone(), row.run_id, id);
    let (detail, job) = find(app, viewer, path, u32::try_from(row.attempt).ok()).await?;
    Ok(view(&(project.owner, project.name), &detail, &job).fragments())
}

#[derive(Deserialize)]
struct From {
    /// The line to go on with, from 0.
    #[serde(default)]
    from: u64,
    /// Whose head was shown last.
    step: Option<u32>,
    attempt: Option<u32>,
}

/// The lines that come next, as rows: waits for them while the job runs. No list at all when there will be no more.
async fn follow(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    headers: HeaderMap,
    Path(path): Place4,
    Query(asked): Query<From>,
) -> WebResult {
    let of = (path.0.clone(), path.1.clone());
    let (detail, job) = find(&app, &viewer, path, asked.attempt).await?;
    let mut state = if job.conclusion.is_none() {
        app.store.logs.watch_new(job.id)?
    } else {
        app.store.logs.watch(job.id).await?
    };
    let mut stopping = app.stopping.clone();
    let gone = tokio::select! {
        state = state.wait_for(|state| state.ended || state.lines > asked.from) => state.is_err(),
        _ = stopping.wait_for(|stop| *stop) => false,
        () = tokio::time::sleep(PATIENCE) => false,
    };
    // Who signed out while they waited gets nothing more.
    if Viewer::of(&headers, &app).await?.is_none() {
        return Err(WebError::SignIn("/".to_owned()));
    }
    let now = *state.borrow();
    let mut log = view(&of, &detail, &job);
    log.total = now.lines;
    log.from = asked.from.min(now.lines);
    log.until = log.from.saturating_add(WINDOW).min(now.lines);
    log.live = !(now.ended || gone) || log.until < now.lines;
    log.lines = lines(&app, job.id, log.from, log.until).await?;
    let rows = log.more(asked.step).into_string();
    Ok(Html(pilotage_ui::words::straight(rows)).into_response())
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
async fn begin(app: &App, job: &Job, window: &Window, error: Option<u64>, total: u64) -> WebResult<u64> {
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
    // A few lines before the error, so that what led to it is read first; a log that fits is shown whole.
    Ok(match error {
        Some(error) if last > 0 => error.saturating_sub(BEFORE_ERROR),
        _ => last,
    })
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
