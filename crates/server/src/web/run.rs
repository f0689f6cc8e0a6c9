//! One run: its view model, and the forms that run it again or cancel it.

mod approval;
mod attempts;
mod made;
mod more;

pub(super) use approval::decision;
pub(super) use attempts::fragments as attempts_fragments;

use super::form::Form;
use super::page::{WebResult, see_other, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::{AppError, AppResult};
use crate::rest::run as rest_run;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use pilotage_api::rest;
use pilotage_api::runner::{Annotation, AnnotationLevel, Conclusion};
use pilotage_store::LogPiece;
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::run::{Failure, Job, Run, Step};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use pilotage_ui::status::Status;
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many failures a page shows, and how many lines of each.
const FAILURES_MAX: usize = 3;
const LINES: usize = 10;
/// How many of them stand before the one that says it, where as many follow it.
const BEFORE_LINES: usize = LINES - 4;
/// How far before a log's end a failure is looked for at first, and at most.
const TAIL_LINES: u64 = 2000;
const BACK_LINES_MAX: u64 = 128_000;
/// How many of the last lines are held at once.
const KEPT_LINES: usize = 2000;
const ERROR_CHARS_MAX: usize = 500;
const LINE_CHARS_MAX: usize = 4096;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/{owner}/{name}/runs/{id}", get(page))
        .route("/{owner}/{name}/runs/{id}/rerun", post(rerun))
        .route("/{owner}/{name}/runs/{id}/cancel", post(cancel))
        .route("/{owner}/{name}/runs/{id}/approval", post(approval::decide))
        .route("/{owner}/{name}/runs/{id}/config", get(more::config))
        .route(
            "/{owner}/{name}/runs/{id}/delete",
            get(more::ask).post(more::delete),
        )
        .route(
            "/{owner}/{name}/runs/{id}/artifacts/{artifact}",
            get(made::download),
        )
}

type Of = Path<(String, String, i64)>;

#[derive(Default, Deserialize)]
struct Shown {
    attempt: Option<u32>,
    /// Another attempt, to be put beside this one.
    compare: Option<u32>,
    /// The matrix whose jobs are shown apart.
    unfold: Option<String>,
}

async fn page(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, id)): Of,
    Query(shown): Query<Shown>,
) -> WebResult {
    if let Some(with) = shown.compare {
        let path = Path((owner, name, id));
        return attempts::page(&app, &viewer, path, (shown.attempt, with)).await;
    }
    belongs(&app, &viewer, &owner, &name, id).await?;
    let run = view(&app, &viewer, id, shown).await?;
    Ok(drawn(&viewer, owner, name, &run))
}

fn drawn(viewer: &Viewer, owner: String, name: String, run: &Run) -> Response {
    let id = run.id;
    let place = Place::Project {
        owner,
        name,
        tab: ProjectTab::Runs,
    };
    let mut shell = Shell::new(format!("Run {id} {}", run.status.word()), place);
    if run.attempt == run.attempts {
        let unfold = run.unfold.as_ref().map_or(String::new(), |key| format!(":{key}"));
        shell.topics = vec![format!("run:{id}{unfold}")];
    }
    show(viewer, shell, &run.main())
}

/// `what` is the run's id, with the matrix that is unfolded: `12`, `12:test`.
pub(super) async fn fragments(app: &Arc<App>, viewer: &Viewer, what: &str) -> WebResult<Vec<Fragment>> {
    let (id, unfold) = match what.split_once(':') {
        Some((id, key)) => (id, Some(key.to_owned())),
        None => (what, None),
    };
    let id = id.parse().map_err(|_| AppError::not_found("such run"))?;
    let shown = Shown {
        unfold,
        ..Shown::default()
    };
    Ok(view(app, viewer, id, shown).await?.fragments())
}

/// A run of another project is not there.
async fn belongs(app: &App, viewer: &Viewer, owner: &str, name: &str, id: i64) -> AppResult<()> {
    let (_, project) = rest_run::find(app, &viewer.who, id, Scope::Read).await?;
    let same = project.owner.eq_ignore_ascii_case(owner) && project.name.eq_ignore_ascii_case(name);
    if same {
        Ok(())
    } else {
        Err(AppError::not_found(format!("run {id}")))
    }
}

async fn view(app: &App, viewer: &Viewer, id: i64, shown: Shown) -> AppResult<Run> {
    let (row, project) = rest_run::find(app, &viewer.who, id, Scope::Read).await?;
    let detail = rest_run::detail(app, id, shown.attempt).await?;
    let (failures, failures_more) = failures(app, &detail.jobs).await?;
    // A key goes back into the page's topics, which commas part.
    let known = |key: &String| !key.contains(',') && detail.jobs.iter().any(|job| job.key == *key);
    let approvals = approval::waited_for(app, viewer, &row, &project, &detail.jobs).await?;
    let (status, started_at, ended_at) = attempts::how(&detail);
    let run = detail.run;
    Ok(Run {
        unfold: shown.unfold.filter(known),
        approvals,
        problem: None,
        viewer: viewer.shown(),
        project: format!("/{}", project.path()),
        id,
        title: run.title,
        status,
        why: run.why,
        event: run.event,
        git_ref: run.r#ref,
        sha: run.sha,
        actor: run.actor,
        workflow: run.workflow_path,
        attempt: detail.attempt,
        attempts: run.attempt,
        created_at: run.created_at,
        started_at,
        ended_at,
        now: app.now(),
        failures_more,
        failures,
        jobs: detail.jobs.iter().map(|one| job(one, &detail.jobs)).collect(),
        may_write: viewer.may(Scope::Write, &project),
        facts: made::facts(app, &row).await?,
        artifacts: made::artifacts(app, id).await?,
        annotations: made::annotations(&detail.jobs),
        summaries: made::summaries(&detail.jobs),
    })
}

/// The first failures that differ, each with the other jobs that say the same, and how many jobs beyond them failed.
async fn failures(app: &App, jobs: &[rest::Job]) -> AppResult<(Vec<Failure>, usize)> {
    let failed = jobs
        .iter()
        .filter(|job| job.conclusion == Some(Conclusion::Failure));
    let mut kinds: Vec<(&str, Vec<&rest::Job>)> = Vec::new();
    for job in failed {
        let said = told(job).unwrap_or_default();
        match kinds
            .iter_mut()
            .find(|(other, _)| *other == said && !said.is_empty())
        {
            Some((_, same)) => same.push(job),
            None => kinds.push((said, vec![job])),
        }
    }
    let more = kinds.iter().skip(FAILURES_MAX).map(|(_, same)| same.len()).sum();
    let mut failures = Vec::new();
    for (_, same) in kinds.iter().take(FAILURES_MAX) {
        if let Some((first, others)) = same.split_first() {
            let mut shown = failure(app, first).await?;
            shown.also = others.iter().map(|job| (job.id, job.name.clone())).collect();
            failures.push(shown);
        }
    }
    Ok((failures, more))
}

/// The first error that was told of: by the step that failed, or by any.
fn first_told(job: &rest::Job) -> Option<&Annotation> {
    let told = job.annotations.iter();
    let mut errors = told.filter(|told| told.level == AnnotationLevel::Error);
    let step = failed_step(job).map(|step| step.step);
    let of_step = errors.clone().find(|told| Some(told.step) == step);
    of_step.or_else(|| errors.next())
}

fn failed_step(job: &rest::Job) -> Option<&rest::Step> {
    let mut steps = job.steps.iter();
    steps.find(|step| step.conclusion == Some(Conclusion::Failure))
}

/// What a failed job said first.
fn first_error(job: &rest::Job) -> &str {
    first_told(job).map_or(&job.error, |told| &told.message)
}

/// The line by which two jobs failed in the same way; none where a program only ended with a number.
fn told(job: &rest::Job) -> Option<&str> {
    let line = first_error(job).lines().next()?.trim();
    (first_told(job).is_some() && !line.is_empty() && !line.contains("exit code")).then_some(line)
}

fn job(job: &rest::Job, all: &[rest::Job]) -> Job {
    Job {
        id: job.id,
        key: job.key.clone(),
        attempt: job.attempt,
        created_at: job.created_at,
        steps: job.steps.iter().map(step).collect(),
        needs: job.needs.clone(),
        name: job.name.clone(),
        status: status_among(job, all),
        why: job.why.clone(),
        started_at: job.started_at,
        ended_at: job.ended_at,
    }
}

/// What waits for other jobs waits for no person.
pub(super) fn status_among(job: &rest::Job, all: &[rest::Job]) -> Status {
    let is_open = |need: &rest::Job| need.ended_at.is_none() && job.needs.contains(&need.id);
    match status(job) {
        Status::Waiting if all.iter().any(is_open) => Status::Queued,
        status => status,
    }
}

fn status(job: &rest::Job) -> Status {
    Status::of_run(&job.status, job.conclusion.map(Conclusion::word))
}

fn step(step: &rest::Step) -> Step {
    Step {
        name: step.name.clone(),
        started_at: step.started_at,
        duration_ms: step.duration_ms.and_then(|ms| i64::try_from(ms).ok()),
    }
}

/// The first error that the job told of, with the lines around it; or the last lines of the step that failed.
pub(super) async fn failure(app: &App, job: &rest::Job) -> AppResult<Failure> {
    let step = failed_step(job);
    let error = first_error(job);
    if let Some((told, number)) = first_told(job).and_then(|told| Some((told, told.log_line?))) {
        let step = job.steps.iter().find(|step| step.step == told.step);
        let lines = lines_around(app, job, told.step, number).await?;
        if let Some(at) = lines.iter().position(|line| line.number == number) {
            return Ok(shown(job, step, error, &lines, Some(at)));
        }
    }
    let lines = last_lines(app, job, step.map(|step| step.step)).await?;
    let first = error.lines().next().unwrap_or_default().trim();
    // A script that is shown before it runs has the words of its errors too: the mark goes first, then what is last.
    let marked = |line: &Line| line.text.contains("##[error]");
    let told = |line: &Line| !first.is_empty() && line.text.contains(first);
    let at = (lines.iter().position(|line| marked(line) && told(line)))
        .or_else(|| lines.iter().rposition(told))
        .or_else(|| lines.iter().position(marked));
    Ok(shown(job, step, error, &lines, at))
}

fn shown(
    job: &rest::Job,
    step: Option<&rest::Step>,
    error: &str,
    lines: &VecDeque<Line>,
    at: Option<usize>,
) -> Failure {
    let last = lines.len().saturating_sub(LINES);
    let start = at.map_or(last, |at| at.saturating_sub(BEFORE_LINES).min(last));
    // Of a job whose runner was lost nobody said which step it was in; its lines know.
    let logged = at.and_then(|at| lines.get(at)).or(lines.back());
    let number = step.map(|step| step.step).or(logged.map(|line| line.step));
    Failure {
        job: job.id,
        name: job.name.clone(),
        step: number.unwrap_or_default(),
        step_name: step.map(|step| step.name.clone()).unwrap_or_default(),
        after_ms: step.and_then(|step| i64::try_from(step.duration_ms?).ok()),
        also: Vec::new(),
        error: error.chars().take(ERROR_CHARS_MAX).collect(),
        marked: at.and_then(|at| lines.get(at)).map(|line| line.number),
        lines: lines
            .iter()
            .skip(start)
            .take(LINES)
            .map(|line| (line.number, line.text.chars().take(LINE_CHARS_MAX).collect()))
            .collect(),
    }
}

struct Line {
    step: u32,
    number: u64,
    text: String,
}

/// The lines of a step near one of them.
async fn lines_around(app: &App, job: &rest::Job, step: u32, number: u64) -> AppResult<VecDeque<Line>> {
    let mut lines = VecDeque::new();
    let mut from = number.saturating_sub(LINES as u64);
    let until = job.log_lines.min(number.saturating_add(LINES as u64));
    while from < until {
        let (pieces, next) = app.store.logs.read(job.id, Some(step), from).await?;
        take_lines(&pieces, until, &mut lines);
        if next <= from {
            break;
        }
        from = next;
    }
    Ok(lines)
}

fn take_lines(pieces: &[LogPiece], until: u64, lines: &mut VecDeque<Line>) {
    for piece in pieces {
        for (number, text) in (piece.first_line..until).zip(piece.text.lines()) {
            let (step, text) = (piece.step, text.to_owned());
            lines.push_back(Line { step, number, text });
        }
    }
}

/// The end of a log, or of one step of it. A failed step is rarely far from the end: only the steps that clean up
/// follow it. Where it is, more is read.
async fn last_lines(app: &App, job: &rest::Job, step: Option<u32>) -> AppResult<VecDeque<Line>> {
    let mut back = TAIL_LINES;
    loop {
        let mut from = job.log_lines.saturating_sub(back);
        let whole = from == 0;
        let mut lines = VecDeque::new();
        while from < job.log_lines {
            let (pieces, next) = app.store.logs.read(job.id, step, from).await?;
            take_lines(&pieces, u64::MAX, &mut lines);
            let over = lines.len().saturating_sub(KEPT_LINES);
            lines.drain(..over);
            if next <= from {
                break;
            }
            from = next;
        }
        if whole || back >= BACK_LINES_MAX || lines.len() >= LINES {
            return Ok(lines);
        }
        back = back.saturating_mul(8);
    }
}

#[derive(Deserialize)]
struct Which {
    which: String,
}

async fn rerun(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, id)): Of,
    Form(Which { which }): Form<Which>,
) -> WebResult {
    belongs(&app, &viewer, &owner, &name, id).await?;
    let which = match which.as_str() {
        "all" => rest::Rerun::All,
        "failed" => rest::Rerun::Failed,
        _ => return Err(AppError::bad_request("which jobs to run again is not said").into()),
    };
    let _now = rest_run::rerun(State(app), viewer.who, Path(id), Json(which)).await?;
    Ok(see_other(&format!("/{owner}/{name}/runs/{id}")))
}

async fn cancel(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, id)): Of,
    _form: Form<super::session::Nothing>,
) -> WebResult {
    belongs(&app, &viewer, &owner, &name, id).await?;
    let _now = rest_run::cancel(State(app), viewer.who, Path(id), Json(rest::Cancel::default())).await?;
    Ok(see_other(&format!("/{owner}/{name}/runs/{id}")))
}
