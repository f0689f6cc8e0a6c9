//! Two attempts of one run, put beside one another.

use super::{Of, belongs, failed_step, first_told, status};
use crate::app::App;
use crate::error::{AppError, AppResult};
use crate::rest::run as rest_run;
use crate::web::page::{WebResult, show};
use crate::web::viewer::Viewer;
use axum::extract::Path;
use axum::response::Response;
use pilotage_api::rest;
use pilotage_api::rest::RunDetail;
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::run::attempts::{Attempt, Attempts, Pair, Said, Side};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use pilotage_ui::status::Status;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

const SAID_CHARS: usize = 200;

/// `?attempt=2&compare=1`: what became otherwise in attempt 2 than it was in 1.
pub(super) async fn page(
    app: &Arc<App>,
    viewer: &Viewer,
    Path((owner, name, id)): Of,
    (attempt, with): (Option<u32>, u32),
) -> WebResult<Response> {
    belongs(app, viewer, &owner, &name, id).await?;
    let attempts = view(app, viewer, id, attempt, with).await?;
    let title = format!(
        "Attempts {} and {} of run {id}",
        attempts.before.number, attempts.after.number
    );
    let tab = ProjectTab::Runs;
    let mut shell = Shell::new(title, Place::Project { owner, name, tab });
    if attempts.after.ended_at.is_none() {
        let (after, before) = (attempts.after.number, attempts.before.number);
        shell.topics = vec![format!("attempts:{id}:{after}:{before}")];
    }
    Ok(show(viewer, shell, &attempts.main()))
}

/// `what` is the run's id and two attempts: `12:2:1`.
pub(in crate::web) async fn fragments(
    app: &Arc<App>,
    viewer: &Viewer,
    what: &str,
) -> WebResult<Vec<Fragment>> {
    let mut numbers = what.splitn(3, ':');
    let mut next = || numbers.next()?.parse::<i64>().ok();
    let missing = || AppError::not_found("such attempts");
    let (id, after, before) = (|| Some((next()?, next()?, next()?)))().ok_or_else(missing)?;
    let number = |n: i64| u32::try_from(n).map_err(|_| missing());
    let attempts = view(app, viewer, id, Some(number(after)?), number(before)?).await?;
    Ok(attempts.fragments())
}

async fn view(app: &App, viewer: &Viewer, id: i64, attempt: Option<u32>, with: u32) -> AppResult<Attempts> {
    let (_, project) = rest_run::find(app, &viewer.who, id, Scope::Read).await?;
    let one = rest_run::detail(app, id, attempt).await?;
    let other = rest_run::detail(app, id, Some(with)).await?;
    if one.attempt == other.attempt {
        return Err(AppError::bad_request("an attempt is compared with another one"));
    }
    let (before, after) = if one.attempt < other.attempt {
        (one, other)
    } else {
        (other, one)
    };
    Ok(Attempts {
        run: format!("/{}/runs/{id}", project.path()),
        id,
        title: after.run.title.clone(),
        attempts: after.run.attempt,
        now: app.now(),
        before: side(&before),
        after: side(&after),
        pairs: pairs(&before.jobs, &after.jobs),
    })
}

fn side(detail: &RunDetail) -> Attempt {
    let (status, started_at, ended_at) = how(detail);
    Attempt {
        number: detail.attempt,
        status,
        started_at,
        ended_at,
    }
}

/// How an attempt went: the latest as the run says, an older one as its own jobs say.
pub(super) fn how(detail: &RunDetail) -> (Status, i64, Option<i64>) {
    let run = &detail.run;
    if detail.attempt == run.attempt {
        let status = Status::of_run(&run.status, run.conclusion.map(|end| end.word()));
        return (status, run.started_at, run.ended_at);
    }
    let own = || detail.jobs.iter().filter(|job| job.attempt == detail.attempt);
    let started_at = own().map(|job| job.created_at).min();
    let ended_at = own().filter_map(|job| job.ended_at).max();
    let status = Status::of_run("completed", detail.conclusion.map(|end| end.word()));
    let started_at = started_at.unwrap_or(run.created_at);
    (status, started_at, Some(ended_at.unwrap_or(started_at)))
}

/// The same job is the one with the same place in the file and the same name.
fn pairs(before: &[rest::Job], after: &[rest::Job]) -> Vec<Pair> {
    let mut left: HashMap<(&str, &str), VecDeque<&rest::Job>> = HashMap::new();
    for job in before {
        left.entry((&job.key, &job.name)).or_default().push_back(job);
    }
    let mut pairs: Vec<Pair> = Vec::new();
    for job in after {
        let was = left.get_mut(&(job.key.as_str(), job.name.as_str()));
        pairs.push(Pair {
            name: job.name.clone(),
            before: was.and_then(VecDeque::pop_front).map(of),
            after: Some(of(job)),
        });
    }
    let gone = |job: &&rest::Job| {
        let left = left.get(&(job.key.as_str(), job.name.as_str()));
        left.is_some_and(|left| left.iter().any(|other| other.id == job.id))
    };
    pairs.extend(before.iter().filter(gone).map(|job| Pair {
        name: job.name.clone(),
        before: Some(of(job)),
        after: None,
    }));
    pairs
}

fn of(job: &rest::Job) -> Side {
    Side {
        job: job.id,
        status: status(job),
        why: cut(&job.why),
        started_at: job.started_at,
        ended_at: job.ended_at,
        said: said(job),
    }
}

fn said(job: &rest::Job) -> Option<Said> {
    if status(job) != Status::Failed {
        return None;
    }
    if let Some(told) = first_told(job) {
        return Some(Said {
            text: cut(&told.message),
            step: told.step,
            line: told.log_line,
        });
    }
    let step = failed_step(job).map(|step| step.step).unwrap_or_default();
    let said = Said {
        text: cut(&job.error),
        step,
        line: None,
    };
    Some(said).filter(|said| !said.text.is_empty())
}

/// The first line of a text.
fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(SAID_CHARS).collect()
}
