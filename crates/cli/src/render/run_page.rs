//! A run as `run view` shows it: its jobs with their steps, the first errors, what it left, and what to do next.

use super::page::Page;
use super::style::{Sign, duration, fit};
use super::text::{age, branch, short, size};
use pilotage_api::rest::{Artifact, Job, Run, RunDetail, Step};
use pilotage_api::runner::{AnnotationLevel, Conclusion};
use std::time::Duration;

/// Annotations that are shown of one job.
const ANNOTATIONS_MAX: usize = 10;

pub(crate) fn run(detail: &RunDetail, artifacts: &[Artifact], page: &Page) -> String {
    let run = &detail.run;
    let mut text = head(detail, page);
    for job in &detail.jobs {
        text.push_str(&job_line(job, detail, page));
        let shown = job.conclusion == Some(Conclusion::Failure) || job.status == "in_progress";
        for step in job.steps.iter().filter(|_| shown) {
            text.push_str(&step_line(step, page));
        }
    }
    for job in &detail.jobs {
        text.push_str(&errors(job, page));
    }
    if !artifacts.is_empty() {
        text.push_str("\nartifacts\n");
        for artifact in artifacts {
            text.push_str(&format!(
                "  {}  {}\n",
                fit(&artifact.name, 80),
                size(artifact.size_bytes)
            ));
        }
    }
    let waiting = detail
        .jobs
        .iter()
        .find(|job| job.status == "waiting" && !job.environment.is_empty());
    let next = match (run.status.as_str(), run.conclusion) {
        (_, Some(Conclusion::Failure | Conclusion::Cancelled)) => format!(
            "pilotage run view {0} --log-failed\npilotage run rerun {0} --failed\n",
            run.id
        ),
        ("completed", _) => String::new(),
        _ => match waiting {
            Some(job) => format!(
                "pilotage run approve {} -e {}\n",
                run.id,
                fit(&job.environment, 100)
            ),
            None => format!("pilotage run watch {}\n", run.id),
        },
    };
    if !next.is_empty() {
        text.push_str(&format!("\n{next}"));
    }
    text
}

fn head(detail: &RunDetail, page: &Page) -> String {
    let run = &detail.run;
    let (sign, word) = state(run);
    let attempt = if run.attempt > 1 {
        format!("  attempt {}", detail.attempt)
    } else {
        String::new()
    };
    let took = duration(Duration::from_millis(
        u64::try_from(run.ended_at.unwrap_or(page.now) - run.started_at).unwrap_or(0),
    ));
    let line = format!(
        "#{}  {}  {}  {}  {}  {}{attempt}",
        run.id,
        run.workflow_path.rsplit('/').next().unwrap_or_default(),
        run.event,
        branch(&run.r#ref),
        short(&run.sha),
        run.title
    );
    let why = if run.why.is_empty() {
        String::new()
    } else {
        format!("  {}", run.why)
    };
    let state = format!(
        "{word}  {took}  {} ago by {}{why}",
        age(page.now, run.created_at),
        run.actor
    );
    format!(
        "{}\n{} {}\n{}\n\n",
        fit(&line, page.width),
        page.style.sign(sign),
        fit(&state, page.width.saturating_sub(3)),
        fit(&run.url, 400)
    )
}

fn job_line(job: &Job, detail: &RunDetail, page: &Page) -> String {
    let (sign, word) = job_state(job);
    let names = detail
        .jobs
        .iter()
        .map(|j| j.name.chars().count())
        .max()
        .unwrap_or(0)
        .min(40);
    let took = match (job.started_at, job.ended_at) {
        (Some(start), end) => duration(Duration::from_millis(
            u64::try_from(end.unwrap_or(page.now) - start).unwrap_or(0),
        )),
        _ => String::new(),
    };
    let why = if job.error.is_empty() {
        &job.why
    } else {
        &job.error
    };
    let attempt = if job.attempt != detail.attempt && job.conclusion.is_some() && took.len() > 1 {
        format!("  (attempt {})", job.attempt)
    } else {
        String::new()
    };
    let line = format!(
        "{:<names$}  {word:<9}  {took:>9}  {why}{attempt}",
        fit(&job.name, names)
    );
    format!(
        "{} {}\n",
        page.style.sign(sign),
        fit(line.trim_end(), page.width.saturating_sub(3))
    )
}

fn step_line(step: &Step, page: &Page) -> String {
    let sign = match (step.status.as_str(), step.conclusion) {
        (_, Some(Conclusion::Success)) => Sign::Success,
        (_, Some(Conclusion::Failure)) => Sign::Failed,
        (_, Some(Conclusion::Cancelled)) => Sign::Cancelled,
        (_, Some(Conclusion::Skipped)) => Sign::Skipped,
        ("in_progress", None) => Sign::Running,
        _ => Sign::Waiting,
    };
    let took = step
        .duration_ms
        .map(|ms| duration(Duration::from_millis(ms)))
        .unwrap_or_default();
    let why = if step.error.is_empty() {
        &step.why
    } else {
        &step.error
    };
    let line = format!("{:>2}  {}  {took}  {why}", step.step, fit(&step.name, 60));
    format!(
        "    {} {}\n",
        page.style.sign(sign),
        fit(line.trim_end(), page.width.saturating_sub(7))
    )
}

/// What a failed job said was wrong.
fn errors(job: &Job, page: &Page) -> String {
    let errors: Vec<_> = job
        .annotations
        .iter()
        .filter(|a| a.level == AnnotationLevel::Error)
        .collect();
    if errors.is_empty() || job.conclusion != Some(Conclusion::Failure) {
        return String::new();
    }
    let mut text = format!("\n{} {}\n", page.style.sign(Sign::Failed), fit(&job.name, 80));
    for error in errors.iter().take(ANNOTATIONS_MAX) {
        let place = match (&error.file, error.line) {
            (Some(file), Some(line)) => format!("{file}:{line}: "),
            (Some(file), None) => format!("{file}: "),
            _ => String::new(),
        };
        let first = error.message.lines().next().unwrap_or_default();
        text.push_str(&format!(
            "  {}\n",
            fit(&format!("{place}{first}"), page.width.saturating_sub(2))
        ));
    }
    if errors.len() > ANNOTATIONS_MAX {
        text.push_str(&format!("  and {} more\n", errors.len() - ANNOTATIONS_MAX));
    }
    text
}

/// The sign and the word of a run.
pub(crate) fn state(run: &Run) -> (Sign, &'static str) {
    match (run.status.as_str(), run.conclusion) {
        (_, Some(Conclusion::Success)) => (Sign::Success, "success"),
        (_, Some(Conclusion::Failure)) => (Sign::Failed, "failed"),
        (_, Some(Conclusion::Cancelled)) => (Sign::Cancelled, "cancelled"),
        (_, Some(Conclusion::Skipped)) => (Sign::Skipped, "skipped"),
        ("in_progress", None) => (Sign::Running, "running"),
        ("queued", None) => (Sign::Waiting, "queued"),
        _ => (Sign::Waiting, "waiting"),
    }
}

pub(crate) fn job_state(job: &Job) -> (Sign, &'static str) {
    match (job.status.as_str(), job.conclusion) {
        (_, Some(Conclusion::Success)) => (Sign::Success, "success"),
        (_, Some(Conclusion::Failure)) if job.error.contains("runner lost") => (Sign::Fault, "failed"),
        (_, Some(Conclusion::Failure)) => (Sign::Failed, "failed"),
        (_, Some(Conclusion::Cancelled)) => (Sign::Cancelled, "cancelled"),
        (_, Some(Conclusion::Skipped)) => (Sign::Skipped, "skipped"),
        ("in_progress", None) => (Sign::Running, "running"),
        ("queued", None) => (Sign::Waiting, "queued"),
        ("waiting", None) if !job.environment.is_empty() && job.why.contains("approv") => {
            (Sign::Person, "waiting")
        }
        _ => (Sign::Waiting, "waiting"),
    }
}
