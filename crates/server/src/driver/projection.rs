//! What people list and look at, worked out from a run after each of its steps.

use pilotage_engine::run::{JobView, Run};
use pilotage_store::{Connection, Job, Result};
use std::collections::HashMap;

/// The rows of a run's jobs, so that only what a step changes is written.
#[derive(Clone, Default)]
pub(super) struct Shape {
    jobs: HashMap<i64, Job>,
}

impl Shape {
    pub(super) fn of(run: &Run) -> Self {
        Self {
            jobs: jobs(run).map(|job| (job.id, job)).collect(),
        }
    }
}

/// Writes what a step changed; gives the rows as they are then.
pub(super) async fn store(c: &mut Connection, run: &Run, before: Shape) -> Result<Shape> {
    let mut shape = before;
    for job in jobs(run) {
        if shape.jobs.get(&job.id) != Some(&job) {
            c.put_job(&job).await?;
            shape.jobs.insert(job.id, job);
        }
    }
    let Some(mut row) = c.run(run.id().0).await? else {
        return Ok(shape);
    };
    row.attempt = i64::from(run.attempt());
    row.status = word(&run.status());
    row.conclusion = run.conclusion().map(|conclusion| conclusion.word().to_owned());
    row.reason = run.why().unwrap_or_default();
    row.started_at = run.started_at().0;
    row.ended_at = run.finished_at().map(|at| at.0);
    run.name().clone_into(&mut row.title);
    c.update_run(&row).await?;
    Ok(shape)
}

fn jobs(run: &Run) -> impl Iterator<Item = Job> {
    run.jobs().map(|view| job(run, &view))
}

fn job(run: &Run, view: &JobView<'_>) -> Job {
    let needs: Vec<i64> = view.needs.iter().map(|id| id.0).collect();
    Job {
        id: view.id.0,
        run_id: run.id().0,
        attempt: i64::from(view.attempt),
        key: view.key.to_owned(),
        name: view.name.to_owned(),
        needs: serde_json::to_string(&needs).unwrap_or_default(),
        status: word(&view.status),
        conclusion: view.conclusion.map(|conclusion| conclusion.word().to_owned()),
        reason: view.why.clone().unwrap_or_default(),
        error: view.error.unwrap_or_default().to_owned(),
        environment: view.environment.unwrap_or_default().to_owned(),
        environment_url: String::new(),
        runner: view.runner.unwrap_or_default().to_owned(),
        outputs: serde_json::to_string(view.outputs).unwrap_or_default(),
        created_at: view.queued_at.unwrap_or_else(|| run.started_at()).0,
        started_at: view.started_at.map(|at| at.0),
        ended_at: view.finished_at.map(|at| at.0),
        log_lines: None,
        log_missing_from: None,
        log_missing_to: None,
        log_archived: 0,
        result_fence: None,
    }
}

/// The word that serde gives an enum's case.
fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default()
}
