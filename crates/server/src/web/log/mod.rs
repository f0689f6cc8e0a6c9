//! The log of a job: a window of its lines as a page or alone, one line whole, and the whole of it raw.

mod find;
mod index;
mod window;

use super::page::{WebResult, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::AppError;
use crate::rest::run;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use find::Matcher;
use index::Index;
pub(crate) use index::Indexes;
use maud::Markup;
use pilotage_api::rest::{Job, LogQuery, RunDetail};
use pilotage_api::runner::Conclusion;
use pilotage_store::{LogPiece, LogState};
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::log::{Find, Group, Line, Log, Map, SHOWN_BYTES_MAX, Sibling, Step, WINDOW};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use pilotage_ui::status::Status;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use window::{Layout, Window};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/{owner}/{name}/runs/{id}/jobs/{job}", get(page))
        .route("/{owner}/{name}/runs/{id}/jobs/{job}/lines", get(window_alone))
        .route("/{owner}/{name}/runs/{id}/jobs/{job}/lines/{line}", get(line))
        .route("/{owner}/{name}/runs/{id}/jobs/{job}/map", get(map_alone))
        .route("/{owner}/{name}/runs/{id}/jobs/{job}/log.txt", get(raw))
}

/// How long a page waits for the index of its log; what is missing then, `log.js` asks for.
const PATIENCE: Duration = Duration::from_millis(30);
/// How long the strip waits for it.
const MAP_PATIENCE: Duration = Duration::from_secs(20);
/// How many lines stand above the first error.
const BEFORE_ERROR: u64 = 12;
/// Lines whose look is followed up to a window, where the index does not reach.
const LOOK_BACK: u64 = 200;
/// Of the text of one window, in bytes.
const TEXT_MAX: usize = 1 << 20;

type Place4 = Path<(String, String, i64, i64)>;

/// What a reader wants to see: lines `before`, lines `from`, or the window around a `line`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    attempt: Option<u32>,
    step: Option<u32>,
    /// From 0.
    from: Option<u64>,
    before: Option<u64>,
    /// From 1: `4182` or `4182-4190`.
    line: Option<String>,
    q: String,
    /// Where a search goes on, from 0.
    after: u64,
}

impl Asked {
    /// The lines that were asked for, from 0.
    fn lines(&self) -> Option<(u64, u64)> {
        let text = self.line.as_deref()?;
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        let (first, last) = (first.min(last), first.max(last));
        Some((first.saturating_sub(1), last.saturating_sub(1)))
    }
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
    Query(asked): Query<Asked>,
) -> WebResult {
    let (owner, name) = (path.0.clone(), path.1.clone());
    let (detail, job) = find(&app, &viewer, path, asked.attempt).await?;
    let mut log = view(&app, &(owner.clone(), name.clone()), &detail, &job);
    fill(&app, &job, &asked, true, &mut log).await?;
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

/// The window without the page around it.
async fn window_alone(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path(path): Place4,
    Query(asked): Query<Asked>,
) -> WebResult<Html<String>> {
    let of = (path.0.clone(), path.1.clone());
    let (detail, job) = find(&app, &viewer, path, asked.attempt).await?;
    let mut log = view(&app, &of, &detail, &job);
    fill(&app, &job, &asked, false, &mut log).await?;
    Ok(alone(&log.window()))
}

/// The strip of the whole log.
async fn map_alone(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path(path): Place4,
    Query(asked): Query<Asked>,
) -> WebResult<Html<String>> {
    let of = (path.0.clone(), path.1.clone());
    let (detail, job) = find(&app, &viewer, path, asked.attempt).await?;
    let log = view(&app, &of, &detail, &job);
    let total = app.store.logs.state(job.id).await?.lines;
    let index = index::index(&app, job.id, total, MAP_PATIENCE).await?;
    let map = map(&index::lock(&index), total, Vec::new());
    Ok(alone(&map.svg(&log.path, (0, 0))))
}

fn alone(markup: &Markup) -> Html<String> {
    Html(pilotage_ui::words::straight(markup.0.clone()))
}

/// One line as it was written, however long.
async fn line(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, id, job, line)): Path<(String, String, i64, i64, String)>,
) -> WebResult {
    let missing = || AppError::not_found("such line");
    let number: Option<u64> = line.strip_suffix(".txt").and_then(|line| line.parse().ok());
    let number = number.and_then(|line| line.checked_sub(1)).ok_or_else(missing)?;
    let (_, job) = find(&app, &viewer, (owner, name, id, job), None).await?;
    let (pieces, _) = app.store.logs.read(job.id, None, number).await?;
    let piece = pieces
        .first()
        .filter(|piece| piece.first_line == number)
        .ok_or_else(missing)?;
    let text = piece
        .text
        .split_terminator('\n')
        .next()
        .ok_or_else(missing)?
        .to_owned();
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// All but what comes from the log itself.
fn view(app: &App, of: &(String, String), detail: &RunDetail, job: &Job) -> Log {
    let run = format!("/{}/{}/runs/{}", of.0, of.1, detail.run.id);
    let status = |job: &Job| super::run::status_among(job, &detail.jobs);
    let lasted = |job: &Job| Some(job.ended_at? - job.started_at?);
    let sibling = |other: &Job| Sibling {
        name: other.name.clone(),
        status: status(other),
        duration_ms: lasted(other),
        href: format!("{run}/jobs/{}", other.id),
        current: other.id == job.id,
    };
    Log {
        path: format!("{run}/jobs/{}", job.id),
        job: job.id,
        run_title: format!("#{} {}", detail.run.number, detail.run.title),
        status: status(job),
        now: app.now(),
        started_at: job.started_at,
        duration_ms: lasted(job),
        steps: job.steps.iter().map(step).collect(),
        siblings: detail.jobs.iter().map(sibling).collect(),
        run,
        missing: job.log_missing,
        name: job.name.clone(),
        why: job.why.clone(),
        runner: job.runner.clone(),
        live: job.conclusion.is_none(),
        error: None,
        asked: None,
        lines: Vec::new(),
        looks: Vec::new(),
        groups: Vec::new(),
        began: Vec::new(),
        total: 0,
        from: 0,
        until: 0,
        find: Find::default(),
        map: Map::default(),
    }
}

fn step(step: &pilotage_api::rest::Step) -> Step {
    Step {
        number: step.step,
        name: step.name.clone(),
        status: Status::of_run(&step.status, step.conclusion.map(|end| end.word())),
        started_at: step.started_at,
        duration_ms: step.duration_ms.and_then(|ms| i64::try_from(ms).ok()),
        exit: None,
    }
}

/// The lines that were asked for, and what is known of the log around them; `whole` is what a page shows of all of it.
async fn fill(app: &App, job: &Job, asked: &Asked, whole: bool, log: &mut Log) -> WebResult<()> {
    log.total = app.store.logs.state(job.id).await?.lines;
    log.asked = asked.lines();
    if job.conclusion == Some(Conclusion::Failure) {
        log.error = super::run::failure(app, job).await?.marked;
    }
    let matcher = match Matcher::parse(&asked.q) {
        _ if asked.q.is_empty() => None,
        Ok(matcher) => Some(matcher),
        Err(fault) => {
            log.find.fault = Some(fault);
            None
        }
    };
    if let (Some(matcher), true) = (&matcher, whole) {
        log.find = find::find(app, job.id, matcher, asked.after, log.total).await?;
        let from = log.asked.map_or(0, |(first, _)| first);
        let at = log.find.hits.partition_point(|(_, line)| *line < from);
        log.find.at = (!log.find.hits.is_empty()).then_some(if at == log.find.hits.len() { 0 } else { at });
        log.find.open = log.asked.is_none();
        if let (None, Some((_, line))) = (log.asked, log.find.at.and_then(|at| log.find.hits.get(at))) {
            log.asked = Some((*line, *line));
        }
    }
    log.find.query.clone_from(&asked.q);
    let index = index::index(app, job.id, log.total, PATIENCE).await?;
    let seen = [log.error, log.asked.map(|(first, _)| first)];
    let seen: Vec<u64> = seen.into_iter().flatten().collect();
    let window = {
        let index = index::lock(&index);
        let layout = Layout::new(&index.groups, log.total, seen.clone());
        begin(&index, &layout, asked, log)
    };
    let pieces = lines(app, job.id, &window, matcher.as_ref(), log).await?;
    let index = index::lock(&index);
    learn(&index, log);
    if whole {
        log.map = map(&index, log.total, log.find.hits.clone());
    }
    if index.lines >= log.until {
        surround(&index, &window, seen, log);
    } else {
        // What is around is not known yet: what stands in the lines themselves has to do.
        let mut near = Index::from(log.from.saturating_sub(LOOK_BACK).max(index.lines));
        pieces.iter().for_each(|piece| near.take(piece));
        surround(&near, &window, seen, log);
    }
    Ok(())
}

/// Where the window lies: what was asked for, otherwise so that the error is in it, or the newest lines.
fn begin(index: &Index, layout: &Layout<'_>, asked: &Asked, log: &Log) -> Window {
    if let Some(from) = asked.from {
        return layout.forward(from, WINDOW);
    }
    if let Some(before) = asked.before {
        return layout.backward(before, WINDOW);
    }
    if let Some((line, _)) = log.asked {
        return layout.around(line, WINDOW);
    }
    if let Some(step) = asked.step {
        let first = index.steps.iter().find(|part| part.step >= step);
        if let Some(part) = first {
            return layout.forward(part.first, WINDOW);
        }
    }
    let last = layout.backward(log.total, WINDOW);
    match log.error {
        // A few lines before the error, so that what led to it is read first; a log that fits is shown whole.
        Some(error) if last.from > 0 => layout.forward(error.saturating_sub(BEFORE_ERROR), WINDOW),
        _ => last,
    }
}

/// Reads the window's lines into the page, and gives what was read, with some lines before it.
async fn lines(
    app: &App,
    job: i64,
    window: &Window,
    matcher: Option<&Matcher>,
    log: &mut Log,
) -> WebResult<Vec<LogPiece>> {
    (log.from, log.until) = (window.from, window.until);
    let (mut read, mut bytes) = (Vec::new(), 0);
    for (from, until) in &window.ranges {
        let mut next = from.saturating_sub(if read.is_empty() { LOOK_BACK } else { 0 });
        while next < *until && bytes <= TEXT_MAX {
            let (pieces, after) = app.store.logs.read(job, None, next).await?;
            if after <= next {
                break;
            }
            next = after;
            for piece in &pieces {
                for (number, text) in (piece.first_line..*until).zip(piece.text.split_terminator('\n')) {
                    if number < *from {
                        continue;
                    }
                    if bytes > TEXT_MAX {
                        log.until = number;
                        break;
                    }
                    bytes += text.len().min(SHOWN_BYTES_MAX);
                    log.lines.push(shown(piece, number, text, matcher));
                }
            }
            read.extend(pieces);
        }
    }
    Ok(read)
}

fn shown(piece: &LogPiece, number: u64, text: &str, matcher: Option<&Matcher>) -> Line {
    // A little more than is shown, for the mark in front.
    let end = text.floor_char_boundary(SHOWN_BYTES_MAX + 32);
    Line {
        step: piece.step,
        number,
        at_ms: piece.at_ms,
        text: text.get(..end).unwrap_or(text).to_owned(),
        bytes: text.len() as u64,
        hits: matcher.map(|matcher| matcher.ranges(text)).unwrap_or_default(),
    }
}

/// What the log itself says of the steps.
fn learn(index: &Index, log: &mut Log) {
    for part in &index.steps {
        if let Some(step) = log.steps.iter_mut().find(|step| step.number == part.step) {
            step.exit = part.exit.or(step.exit);
        }
        log.began.push((part.step, part.at_ms));
    }
}

/// The groups that reach into the window, and how its lines begin to look.
fn surround(index: &Index, window: &Window, seen: Vec<u64>, log: &mut Log) {
    let layout = Layout::new(&index.groups, log.total, seen);
    log.looks = (window.ranges.iter())
        .map(|(from, _)| (*from, index.look(*from)))
        .collect();
    log.groups = (layout.within(log.from, log.until))
        .map(|group| Group {
            start: group.start,
            until: group.until.unwrap_or(log.total),
            lines: (group.until.unwrap_or(log.total))
                .saturating_sub(group.start + 1 + u64::from(group.ended)),
            title: group.title.clone(),
            duration_ms: group.until_ms - group.at_ms,
            open: layout.is_open(group),
            left_out: layout.is_left_out(group),
        })
        .collect();
}

fn map(index: &Index, total: u64, hits: Vec<(u32, u64)>) -> Map {
    Map {
        looked: index.lines,
        total,
        errors: index.errors.clone(),
        warnings: index.warnings.clone(),
        hits,
    }
}

/// How far a job's log is, now and later.
pub(super) async fn growth(app: &App, id: i64) -> WebResult<watch::Receiver<LogState>> {
    let job = app.store.read().await?.job(id).await?;
    let over = job.is_none_or(|job| job.conclusion.is_some());
    // A log that has not begun yet begins when its first line comes.
    if !over && let Ok(state) = app.store.logs.watch_new(id) {
        return Ok(state);
    }
    Ok(app.store.logs.watch(id).await?)
}

/// The header and the steps of a job that runs.
pub(super) async fn fragments(app: &Arc<App>, viewer: &Viewer, id: i64) -> WebResult<Vec<Fragment>> {
    let missing = || AppError::not_found(format!("job {id}"));
    let row = app.store.read().await?.job(id).await?.ok_or_else(missing)?;
    let (_, project) = run::find(app, &viewer.who, row.run_id, Scope::Read).await?;
    let path = (project.owner.clone(), project.name.clone(), row.run_id, id);
    let (detail, job) = find(app, viewer, path, u32::try_from(row.attempt).ok()).await?;
    let mut log = view(app, &(project.owner, project.name), &detail, &job);
    let total = app.store.logs.state(job.id).await?.lines;
    let index = index::index(app, job.id, total, PATIENCE).await?;
    learn(&index::lock(&index), &mut log);
    Ok(log.fragments())
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
