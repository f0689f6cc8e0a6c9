//! What a runner says of a job, written down. Nothing of a job that has ended is changed.

use crate::driver::Turn;
use indexmap::IndexMap;
use pilotage_api::lease::Reports;
use pilotage_api::runner::{Evaluated, JobResult, Report, StepName};
use pilotage_engine::ids::{Fence, JobId};
use pilotage_engine::run::RunEvent;
use pilotage_store::{Result, Step};
use std::collections::BTreeMap;

const TEXT_BYTES_MAX: usize = 64 * 1024;
const NAME_BYTES_MAX: usize = 1024;
const SUMMARY_BYTES_MAX: usize = 1024 * 1024;
const STEPS_MAX: usize = 10_000;
/// GitHub keeps ten of each level and step; this is only against floods.
const ANNOTATIONS_MAX: i64 = 10_000;
/// Of a job's steps, those of which it is kept what their expressions came to; values of each, and their length.
const EVALUATED_MAX: usize = 1000;
const VALUES_MAX: usize = 100;
const VALUE_BYTES_MAX: usize = 4096;
/// No log is so long: a number beyond it is no line.
const LINE_MAX: u64 = 1 << 40;

/// Takes reports from the first that is new. None where the lease has ended; the number wanted where some are missing.
pub(super) async fn take(
    turn: &mut Turn<'_>,
    job: i64,
    fence: i64,
    reports: Reports,
) -> Result<Option<Result<u64, u64>>> {
    let Some(row) = turn.c.queued_job(job).await?.filter(|row| row.fence == fence) else {
        return Ok(None);
    };
    let mut next = u64::try_from(row.next_report).unwrap_or_default();
    if reports.first > next {
        return Ok(Some(Err(next)));
    }
    let known = usize::try_from(next - reports.first).unwrap_or(usize::MAX);
    let steps = turn.c.steps(job).await?;
    let mut steps: BTreeMap<i64, Step> = steps.into_iter().map(|step| (step.step, step)).collect();
    for report in reports.reports.into_iter().skip(known) {
        let seq = i64::try_from(next).unwrap_or(i64::MAX);
        one(turn, job, seq, &mut steps, report).await?;
        next += 1;
    }
    turn.c
        .set_next_report(job, i64::try_from(next).unwrap_or(i64::MAX))
        .await?;
    Ok(Some(Ok(next)))
}

async fn one(
    turn: &mut Turn<'_>,
    job: i64,
    seq: i64,
    steps: &mut BTreeMap<i64, Step>,
    report: Report,
) -> Result<()> {
    match report {
        Report::Steps {
            steps: names,
            evaluated,
        } => {
            put_evaluations(turn, job, evaluated).await?;
            put_names(turn, job, steps, names).await?;
        }
        Report::StepStarted { step, .. } => {
            let now = turn.now;
            let step = steps
                .entry(i64::from(step))
                .or_insert_with(|| new_step(job, i64::from(step)));
            if step.status == "queued" {
                "in_progress".clone_into(&mut step.status);
                // Times are ours: a runner's clock may be wrong by a day.
                step.started_at = Some(now);
                turn.c.put_step(step).await?;
            }
        }
        Report::StepFinished {
            step,
            outcome,
            conclusion,
            duration_ms,
            reason,
            error,
        } => {
            let step = steps
                .entry(i64::from(step))
                .or_insert_with(|| new_step(job, i64::from(step)));
            if step.status != "completed" {
                "completed".clone_into(&mut step.status);
                step.outcome = Some(outcome.word().to_owned());
                step.conclusion = Some(conclusion.word().to_owned());
                step.duration_ms = Some(i64::try_from(duration_ms).unwrap_or(i64::MAX));
                step.reason = cut(reason.unwrap_or_default(), TEXT_BYTES_MAX);
                step.error = cut(error.unwrap_or_default(), TEXT_BYTES_MAX);
                turn.c.put_step(step).await?;
            }
        }
        Report::Annotation(mut annotation) => {
            annotation.message = cut(annotation.message, TEXT_BYTES_MAX);
            annotation.log_line = annotation.log_line.filter(|line| *line < LINE_MAX);
            if seq < ANNOTATIONS_MAX {
                let text = serde_json::to_string(&annotation).unwrap_or_default();
                turn.c.add_annotation(job, seq, &text).await?;
            }
        }
        Report::Summary { step, markdown } => {
            turn.c
                .put_summary(job, i64::from(step), &cut(markdown, SUMMARY_BYTES_MAX))
                .await?;
        }
        Report::EnvironmentUrl { url } => turn.c.set_environment_url(job, &cut(url, TEXT_BYTES_MAX)).await?,
    }
    Ok(())
}

async fn put_names(
    turn: &mut Turn<'_>,
    job: i64,
    steps: &mut BTreeMap<i64, Step>,
    names: Vec<StepName>,
) -> Result<()> {
    for name in names.into_iter().take(STEPS_MAX) {
        let step = steps
            .entry(i64::from(name.step))
            .or_insert_with(|| new_step(job, i64::from(name.step)));
        step.key = cut(name.id, NAME_BYTES_MAX);
        step.name = cut(name.name, NAME_BYTES_MAX);
        turn.c.put_step(step).await?;
    }
    Ok(())
}

async fn put_evaluations(turn: &mut Turn<'_>, job: i64, evaluated: Vec<Evaluated>) -> Result<()> {
    let few = |values: IndexMap<String, String>| {
        let values = values.into_iter().take(VALUES_MAX);
        let cut = |(name, value)| (cut(name, NAME_BYTES_MAX), cut(value, VALUE_BYTES_MAX));
        values.map(cut).collect()
    };
    for of in evaluated.into_iter().take(EVALUATED_MAX) {
        let of = Evaluated {
            step: of.step,
            condition: cut(of.condition, VALUE_BYTES_MAX),
            env: few(of.env),
            with: few(of.with),
        };
        if usize::try_from(of.step).is_ok_and(|step| step < EVALUATED_MAX) {
            let text = serde_json::to_string(&of).unwrap_or_default();
            turn.c.put_evaluation(job, i64::from(of.step), &text).await?;
        }
    }
    Ok(())
}

fn new_step(job: i64, step: i64) -> Step {
    Step {
        job_id: job,
        step,
        key: String::new(),
        name: String::new(),
        status: "queued".to_owned(),
        outcome: None,
        conclusion: None,
        started_at: None,
        duration_ms: None,
        reason: String::new(),
        error: String::new(),
    }
}

/// Not more than so many bytes of a text, and no half character.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let mut end = bytes_max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

/// Takes a job's result: the run hears of it, the lease is over. False where the lease had ended before.
pub(super) async fn finish(
    turn: &mut Turn<'_>,
    job: i64,
    fence: i64,
    mut result: JobResult,
    lines: u64,
    missing: Option<(u64, u64)>,
) -> Result<bool> {
    let Some(row) = turn.c.queued_job(job).await?.filter(|row| row.fence == fence) else {
        return Ok(false);
    };
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let missing = missing.map(|(from, to)| (number(from), number(to)));
    turn.c.set_log_end(job, fence, number(lines), missing).await?;
    result.error = result.error.map(|error| cut(error, TEXT_BYTES_MAX));
    let fence = Fence(u64::try_from(fence).unwrap_or_default());
    let event = RunEvent::Finished {
        job: JobId(job),
        fence,
        result,
    };
    if let Err(refused) = turn.run_event(row.run_id, event).await? {
        tracing::warn!(job.id = job, "a result is of no use: {refused}");
    }
    turn.end_job(job).await?;
    Ok(true)
}

/// The missing range, as it is stored.
pub(super) fn missing(from: Option<i64>, to: Option<i64>) -> Option<(u64, u64)> {
    let number = |n: i64| u64::try_from(n).unwrap_or_default();
    Some((number(from?), number(to?)))
}
