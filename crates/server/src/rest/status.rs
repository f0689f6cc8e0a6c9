//! How things stand: for `pilotage status` and `pilotage doctor`.

use super::run;
use super::runner;
use super::token::by_path;
use crate::app::App;
use crate::auth::Principal;
use crate::error::AppResult;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use pilotage_api::deployment::StandingService;
use pilotage_api::rest::{self, Fact, ProjectStatus, Status};
use pilotage_engine::ids::{JobId, ProjectId};
use pilotage_engine::queue::{self, WaitingJob};
use pilotage_engine::time::Timestamp;
use pilotage_store::{Project, RunFilter};
use pilotage_trust::token::Scope;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

/// How many waiting jobs are explained.
const WAITING_MAX: i64 = 1000;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/status", get(status))
        .route("/doctor", get(doctor))
}

#[derive(serde::Deserialize)]
struct Only {
    project: Option<String>,
}

async fn status(
    State(app): State<Arc<App>>,
    who: Principal,
    Query(only): Query<Only>,
) -> AppResult<Json<Status>> {
    let projects = match only.project {
        Some(path) => {
            let project = by_path(&app, &path).await?;
            who.demand(Scope::Read, &project)?;
            vec![project]
        }
        None => app.store.read().await?.projects().await?,
    };
    let runners: Vec<queue::Runner> = runner::all(&app)
        .await?
        .into_iter()
        .map(|(_, runner)| runner)
        .collect();
    let mut out = Vec::new();
    for project in projects
        .iter()
        .filter(|project| who.demand(Scope::Read, project).is_ok())
    {
        out.push(project_status(&app, project, &runners).await?);
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(Json(Status {
        version,
        started_at: app.started_at,
        projects: out,
    }))
}

async fn project_status(app: &App, project: &Project, runners: &[queue::Runner]) -> AppResult<ProjectStatus> {
    let mut c = app.store.read().await?;
    let (mut running, mut queued, mut waiting_for) = (0, 0, Vec::new());
    for (status, count) in c.open_run_counts(project.id).await? {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if status == "in_progress" {
            running += count;
        } else {
            queued += count;
        }
    }
    for job in c
        .waiting_jobs(WAITING_MAX)
        .await?
        .into_iter()
        .filter(|job| job.project_id == project.id)
    {
        let waiting = WaitingJob {
            job: JobId(job.job_id),
            project: ProjectId(job.project_id),
            queued_at: Timestamp(job.queued_at),
            labels: serde_json::from_str(&job.labels).unwrap_or_default(),
            group: None,
        };
        let why = queue::why(&waiting, runners);
        if !waiting_for.contains(&why) {
            waiting_for.push(why);
        }
    }
    let push = RunFilter {
        project: Some(project.id),
        event: "push".to_owned(),
        limit: 1,
        ..RunFilter::default()
    };
    let (mut last_push, mut last_push_failed) = (None, String::new());
    if let Some(row) = c.runs(&push).await?.into_iter().next() {
        let failed = c
            .jobs(row.id)
            .await?
            .into_iter()
            .find(|job| job.conclusion.as_deref() == Some("failure"));
        last_push_failed = failed.map(|job| job.name).unwrap_or_default();
        last_push = Some(run::json(app, &mut c, row, project).await?);
    }
    let rows = c.environments(project.id).await?;
    drop(c);
    let mut environments = Vec::with_capacity(rows.len());
    for row in rows {
        environments.push(environment_status(app, project, row).await?);
    }
    Ok(ProjectStatus {
        project: project.path(),
        running,
        queued,
        waiting_for,
        last_push,
        last_push_failed,
        environments,
    })
}

/// An environment in a line: what is live there, or on its way.
async fn environment_status(
    app: &App,
    project: &Project,
    row: pilotage_store::Environment,
) -> AppResult<rest::EnvironmentStatus> {
    let mut notes = Vec::new();
    if !row.locked_by.is_empty() {
        notes.push(format!("locked by {}", row.locked_by));
    }
    let mut status = rest::EnvironmentStatus {
        name: row.name.clone(),
        ..rest::EnvironmentStatus::default()
    };
    let mut c = app.store.read().await?;
    let standing = c.standing(project.id, &row.name).await?;
    let open = c.open_deployments(project.id, &row.name).await?;
    drop(c);
    if let Some(standing) = standing {
        let stands = super::release::stands(app, project, standing).await?;
        status.state = "live".to_owned();
        status.sha = stands.sha;
        status.since = stands.since;
        let line = |s: &StandingService| format!("{} {}/{}", s.name, s.running, s.replicas);
        status.services = stands.services.iter().map(line).collect();
        notes.extend(stands.services.iter().filter_map(figures));
    }
    if let Some(open) = open.first() {
        notes.push(format!("deployment {} is {}", open.id, open.status));
        if status.state.is_empty() {
            open.status.clone_into(&mut status.state);
        }
    }
    status.note = notes.join("   ");
    Ok(status)
}

/// Errors and response time of a service, once it has answered.
fn figures(service: &StandingService) -> Option<String> {
    let counts = service.counts.as_ref().filter(|counts| counts.requests > 0)?;
    let share = counts.errors.saturating_mul(1000) / counts.requests;
    let (whole, tenths) = (share / 10, share % 10);
    Some(format!(
        "{whole}.{tenths} % errors   p95 {} ms",
        counts.p95_us / 1000
    ))
}

/// With less room, soon nothing can be changed.
const ROOM_MIN: u64 = 256 << 20;

/// How much is free on the disk of a folder, for whoever is not root.
fn disk(folder: &Path) -> Fact {
    let disk = nix::sys::statvfs::statvfs(folder).ok();
    let bytes = disk.map(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()));
    let ok = bytes.is_none_or(|bytes| bytes >= ROOM_MIN);
    let advice = "free some: where there is none, changes are refused until there is";
    Fact {
        name: "disk".to_owned(),
        ok,
        detail: bytes.map_or("its room is not known".to_owned(), |bytes| {
            format!("{} MiB free where the data lies", bytes >> 20)
        }),
        advice: (!ok).then(|| advice.to_owned()),
    }
}

async fn doctor(State(app): State<Arc<App>>, who: Principal) -> AppResult<Json<Vec<Fact>>> {
    who.demand_server(Scope::Read)?;
    let runners = runner::all(&app).await?;
    let online = runners
        .iter()
        .filter(|(r, _)| r.online)
        .map(|(r, _)| r.name.as_str());
    let online: Vec<&str> = online.collect();
    let audit = app.store.read().await?.verify_audit().await;
    let git = git_version().await;
    let (mode, key_mode) = (mode(&app.data), mode(&app.data.join("master.key")));
    let words = |mode: &std::io::Result<u32>| match mode {
        Ok(mode) => format!("mode {mode:o}"),
        Err(error) => error.to_string(),
    };
    let fact = |name: &str, ok: bool, detail: String, advice: &str| Fact {
        name: name.to_owned(),
        ok,
        detail,
        advice: (!ok).then(|| advice.to_owned()),
    };
    Ok(Json(vec![
        fact(
            "server",
            true,
            format!("version {} at {}", env!("CARGO_PKG_VERSION"), app.url),
            "",
        ),
        fact(
            "git",
            git.is_some(),
            git.unwrap_or_else(|| "not found".to_owned()),
            "install git on the server",
        ),
        fact(
            "data directory",
            matches!(mode, Ok(0o700)),
            format!("{} {}", app.data.display(), words(&mode)),
            "chmod 700 it: only the server reads it",
        ),
        disk(&app.data),
        fact(
            "master.key",
            matches!(key_mode, Ok(0o600 | 0o400)),
            words(&key_mode),
            "chmod 600 it, and keep a copy apart from the backups",
        ),
        fact(
            "runners",
            !online.is_empty(),
            if online.is_empty() {
                "none is online".to_owned()
            } else {
                online.join(", ")
            },
            "pilotage runner start",
        ),
        fact(
            "audit log",
            audit.is_ok(),
            audit.map_or_else(
                |e| e.to_string(),
                |(entries, _)| format!("{entries} entries, the chain holds"),
            ),
            "compare with an exported copy: somebody changed the database",
        ),
    ]))
}

fn mode(path: &Path) -> std::io::Result<u32> {
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o777)
}

async fn git_version() -> Option<String> {
    let output = tokio::process::Command::new("git")
        .arg("--version")
        .output()
        .await;
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
