//! Runners, and the queue of the jobs that the viewer may see.

use super::form::Form;
use super::page::{WebResult, see_other, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::AppResult;
use crate::rest;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use pilotage_api::rest as wire;
use pilotage_engine::ids::{JobId, ProjectId};
use pilotage_engine::queue::{self, WaitingJob};
use pilotage_engine::time::Timestamp;
use pilotage_store::QueuedJob;
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::runners::{Queued, Runner, Runners};
use pilotage_ui::shell::{Place, ServerTab, Shell};
use std::collections::HashMap;
use std::sync::Arc;

const QUEUE_MAX: i64 = 100;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/runners", get(page))
        .route("/runners/drain", post(drain))
}

async fn page(State(app): State<Arc<App>>, viewer: Viewer) -> WebResult {
    let runners = view(&app, &viewer).await?;
    let mut shell = Shell::new("Runners", Place::Server(ServerTab::Runners));
    shell.topics = vec!["runners".to_owned()];
    Ok(show(&viewer, shell, &runners.main()))
}

pub(super) async fn fragments(app: &Arc<App>, viewer: &Viewer) -> WebResult<Vec<Fragment>> {
    Ok(view(app, viewer).await?.fragments())
}

async fn view(app: &Arc<App>, viewer: &Viewer) -> AppResult<Runners> {
    viewer.who.demand_server(Scope::Read)?;
    let (runners, engines): (Vec<_>, Vec<_>) = rest::runner::all(app).await?.into_iter().unzip();
    let mut c = app.store.read().await?;
    let waiting = c.waiting_jobs(QUEUE_MAX + 1).await?;
    let more = waiting.len() > usize::try_from(QUEUE_MAX).unwrap_or_default();
    let projects = c.projects().await?;
    let seen = projects
        .into_iter()
        .filter(|project| viewer.may(Scope::Read, project));
    let seen: HashMap<i64, String> = seen.map(|project| (project.id, project.path())).collect();
    let mut queue = Vec::new();
    for job in waiting
        .into_iter()
        .take(usize::try_from(QUEUE_MAX).unwrap_or_default())
    {
        let Some(project) = seen.get(&job.project_id) else {
            continue;
        };
        let name = c.job(job.job_id).await?.map(|job| job.name).unwrap_or_default();
        queue.push(Queued {
            project: project.clone(),
            run: job.run_id,
            job: job.job_id,
            name,
            queued_at: job.queued_at,
            why: why(&job, &engines),
        });
    }
    Ok(Runners {
        viewer: viewer.shown(),
        now: app.now(),
        runners: runners.into_iter().map(runner).collect(),
        queue,
        more,
        url: app.url.clone(),
    })
}

fn runner(row: wire::Runner) -> Runner {
    Runner {
        name: row.name,
        labels: row.labels,
        slots: row.slots,
        busy: row.busy,
        online: row.online,
        drain: row.drain,
        version: row.version,
    }
}

/// Why a job waits, in the engine's words.
pub(super) fn why(job: &QueuedJob, runners: &[queue::Runner]) -> String {
    let waiting = WaitingJob {
        job: JobId(job.job_id),
        project: ProjectId(job.project_id),
        queued_at: Timestamp(job.queued_at),
        labels: serde_json::from_str(&job.labels).unwrap_or_default(),
        group: None,
    };
    queue::why(&waiting, runners)
}

#[derive(serde::Deserialize)]
struct Drain {
    runner: String,
    drain: String,
}

async fn drain(State(app): State<Arc<App>>, viewer: Viewer, Form(form): Form<Drain>) -> WebResult {
    let body = Json(wire::Drain {
        drain: form.drain == "yes",
    });
    rest::runner::drain(State(app), viewer.who, Path(form.runner), body).await?;
    Ok(see_other("/runners"))
}
