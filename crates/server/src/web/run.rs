//! One run: its view model, and the forms that run it again or cancel it.

mod approval;

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
use pilotage_api::runner::{AnnotationLevel, Conclusion};
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::run::{Failure, Job, Run};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use pilotage_ui::status::Status;
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many failures a page shows, and how many lines of each.
const FAILURES_MAX: usize = 3;
const LINES: usize = 10;
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
}

type Of = Path<(String, String, i64)>;

#[derive(Deserialize)]
struct Shown {
    attempt: Option<u32>,
    /// The matrix whose jobs are shown apart.
    unfold: Option<String>,
}

async fn page(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, id)): Of,
    Query(shown): Query<Shown>,
) -> WebResult {
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
    let attempt = None;
    Ok(view(app, viewer, id, Shown { attempt, unfold })
        .await?
        .fragments())
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
    let failed: Vec<&rest::Job> = detail
        .jobs
        .iter()
        .filter(|job| job.conclusion == Some(Conclusion::Failure))
        .collect();
    let mut failures = Vec::new();
    for job in failed.iter().take(FAILURES_MAX) {
        failures.push(failure(app, job).await?);
    }
    // A key goes back into the page's topics, which commas part.
    let known = |key: &String| !key.contains(',') && detail.jobs.iter().any(|job| job.key == *key);
    let approvals = approval::waited_for(app, viewer, &row, &project, &detail.jobs).await?;
    let run = detail.run;
    Ok(Run {
        unfold: shown.unfold.filter(known),
        approvals,
        problem: None,
        viewer: viewer.shown(),
        project: format!("/{}", project.path()),
        id,
        title: run.title,
        status: Status::of_run(&run.status, run.conclusion.map(Conclusion::word)),
        why: run.why,
        event: run.event,
        git_ref: run.r#ref,
        sha: run.sha,
        actor: run.actor,
        workflow: run.workflow_path,
        attempt: detail.attempt,
        attempts: run.attempt,
        created_at: run.created_at,
        started_at: run.started_at,
        ended_at: run.ended_at,
        now: app.now(),
        failures_more: failed.len().saturating_sub(FAILURES_MAX),
        failures,
        jobs: detail.jobs.iter().map(job).collect(),
        may_write: viewer.may(Scope::Write, &project),
    })
}

fn job(job: &rest::Job) -> Job {
    Job {
        id: job.id,
        key: job.key.clone(),
        needs: job.needs.clone(),
        name: job.name.clone(),
        status: Status::of_run(&job.status, job.conclusion.map(Conclusion::word)),
        why: job.why.clone(),
        started_at: job.started_at,
        ended_at: job.ended_at,
    }
}

/// The first error that the job told of, with the lines around it; or the last lines of the step that failed.
pub(super) async fn failure(app: &App, job: &rest::Job) -> AppResult<Failure> {
    let step = job
        .steps
        .iter()
        .find(|step| step.conclusion == Some(Conclusion::Failure));
    let annotation = job
        .annotations
        .iter()
        .find(|annotation| annotation.level == AnnotationLevel::Error);
    let error = annotation.map_or(&job.error, |annotation| &annotation.message);
    let lines = last_lines(app, job, step.map(|step| step.step)).await?;
    let first = error.lines().next().unwrap_or_default().trim();
    // A script that is shown before it runs has the words of its errors too: the mark goes first, then what is last.
    let marked = |line: &Line| line.text.contains("##[error]");
    let told = |line: &Line| !first.is_empty() && line.text.contains(first);
    let at = (lines.iter().position(|line| marked(line) && told(line)))
        .or_else(|| lines.iter().rposition(told))
        .or_else(|| lines.iter().position(marked));
    let last = lines.len().saturating_sub(LINES);
    let start = at.map_or(last, |at| at.saturating_sub(LINES - 4).min(last));
    // Of a job whose runner was lost nobody said which step it was in; its lines know.
    let logged = at.and_then(|at| lines.get(at)).or(lines.back());
    let number = step.map(|step| step.step).or(logged.map(|line| line.step));
    Ok(Failure {
        job: job.id,
        name: job.name.clone(),
        step: number.unwrap_or_default(),
        step_name: step.map(|step| step.name.clone()).unwrap_or_default(),
        error: error.chars().take(ERROR_CHARS_MAX).collect(),
        marked: at.and_then(|at| lines.get(at)).map(|line| line.number),
        lines: lines
            .iter()
            .skip(start)
            .take(LINES)
            .map(|line| (line.number, line.text.chars().take(LINE_CHARS_MAX).collect()))
            .collect(),
    })
}

struct Line {
    step: u32,
    number: u64,
    text: String,
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
            for piece in &pieces {
                for (number, text) in (piece.first_line..).zip(piece.text.lines()) {
                    let (step, text) = (piece.step, text.to_owned());
                    lines.push_back(Line { step, number, text });
                }
            }
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
