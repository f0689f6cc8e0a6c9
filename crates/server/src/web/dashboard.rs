//! The overview: what needs the reader, what runs now, the projects.

use super::page::{WebResult, show};
use super::viewer::Viewer;
use super::{away, run, runners};
use crate::app::App;
use crate::driver::environment::{request, rules};
use crate::error::AppResult;
use crate::rest;
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use pilotage_api::runner::Conclusion;
use pilotage_engine::policy::{self, Direction, Request};
use pilotage_engine::time::Timestamp;
use pilotage_store::{Bar as Row, Connection};
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::dashboard::{Bar, Dashboard, Need, Project, Queue, Running, Serves};
use pilotage_ui::page::log;
use pilotage_ui::shell::{Place, ServerTab, Shell};
use pilotage_ui::status::Status;
use pilotage_ui::words;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

const BARS: i64 = 30;
const FILTER_CHARS: usize = 200;
/// Waiting jobs that are looked at.
const WAITS_MAX: i64 = 100;
/// Runs whose failing line is remembered.
const SAID_MAX: usize = 512;
/// Green runs in each half of a trend, at least.
const TREND_MIN: usize = 5;
const ERROR_CHARS: usize = 120;
const PROJECTS_MAX: usize = 200;
const RUNNING_MAX: i64 = 20;
/// For how long a bad end of a deployment is shown, in milliseconds: a week.
const LATELY: i64 = 7 * 24 * 3600 * 1000;
/// Among how many of the newest deployments such ends are looked for.
const DEPLOYMENTS: i64 = 200;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/", get(page))
}

#[derive(serde::Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
}

async fn page(State(app): State<Arc<App>>, viewer: Viewer, Query(Asked { q }): Query<Asked>) -> WebResult {
    // Commas part the topics of a page.
    let filter: String = q.replace(',', " ").chars().take(FILTER_CHARS).collect();
    let dashboard = view(&app, &viewer, &filter).await?;
    let mut shell = Shell::new("Overview", Place::Server(ServerTab::Overview));
    shell.topics = vec![format!("dashboard:{filter}")];
    Ok(show(&viewer, shell, &dashboard.main()))
}

pub(super) async fn fragments(app: &Arc<App>, viewer: &Viewer, filter: &str) -> WebResult<Vec<Fragment>> {
    Ok(view(app, viewer, filter).await?.fragments())
}

async fn view(app: &Arc<App>, viewer: &Viewer, filter: &str) -> WebResult<Dashboard> {
    let now = app.now();
    let mut c = app.store.read().await?;
    let seen: Vec<_> = c
        .projects()
        .await?
        .into_iter()
        .filter(|project| viewer.may(Scope::Read, project))
        .take(PROJECTS_MAX)
        .collect();
    let ids: Vec<i64> = seen.iter().map(|project| project.id).collect();
    let ids = serde_json::to_string(&ids).unwrap_or_default();
    let mut bars: HashMap<i64, Vec<Row>> = HashMap::new();
    for bar in c.bars(&ids, BARS).await? {
        bars.entry(bar.project_id).or_default().push(bar);
    }
    let names: HashMap<i64, String> = seen.iter().map(|p| (p.id, p.path())).collect();
    let mut needs = bad_ends(&mut c, &names, now).await?;
    needs.extend(approvals(&mut c, viewer, &seen).await?);
    let mut serving = serving(&mut c, &names).await?;
    let running = running(&mut c, &names, viewer).await?;
    drop(c);
    let first = (viewer.who.project.is_none() && seen.is_empty()).then(|| app.url.clone());
    let mut projects = Vec::new();
    for project in seen {
        let rows = bars.remove(&project.id).unwrap_or_default();
        let branch = format!("refs/heads/{}", project.default_branch);
        let newest = rows
            .iter()
            .find(|bar| bar.r#ref == branch && bar.ended_at.is_some());
        let branch = newest.map(|bar| (state(bar), bar.ended_at.unwrap_or_default()));
        if let (Some((Status::Failed | Status::TimedOut, at)), Some(bar)) = (branch, newest) {
            needs.push(broken(app, viewer, &project, bar, at).await?);
        }
        if !fits(filter, &project, branch) {
            continue;
        }
        let [staging, production] = ["staging", "production"].map(|name| serving.remove(&(project.id, name)));
        let mut row = shown(project, branch, &rows);
        (row.staging, row.production) = (staging, production);
        projects.push(row);
    }
    needs.sort_by_key(|need| -need.at);
    let put_away = away::keys(app, viewer).await?;
    let (away, needs) = needs.into_iter().partition(|need| put_away.contains(&need.key));
    Ok(Dashboard {
        away,
        viewer: viewer.shown(),
        filter: filter.to_owned(),
        queue: queue(app, viewer).await?,
        first,
        now,
        needs,
        running,
        projects,
    })
}

/// Deployments that ended badly lately.
async fn bad_ends(c: &mut Connection, names: &HashMap<i64, String>, now: i64) -> WebResult<Vec<Need>> {
    let mut needs = Vec::new();
    for row in c.bad_deployments(now - LATELY, DEPLOYMENTS).await? {
        let Some(project) = names.get(&row.project_id) else {
            continue;
        };
        let (status, what) = match row.result.as_deref() {
            Some("rolled-back") => (Status::RolledBack, "was rolled back"),
            _ => (Status::NeedsAttention, "needs attention"),
        };
        needs.push(Need {
            key: format!("deployment {}", row.id),
            status,
            what: what.to_owned(),
            detail: format!("{project} deployment #{}: {}", row.id, row.reason),
            place: row.environment,
            at: row.ended_at.unwrap_or(row.created_at),
            open: (
                "Read verdict".to_owned(),
                format!("/{project}/deployments/{}", row.id),
            ),
            href: format!("/{project}/deployments/{}", row.id),
            rerun: None,
        });
    }
    Ok(needs)
}

async fn running(
    c: &mut Connection,
    names: &HashMap<i64, String>,
    viewer: &Viewer,
) -> WebResult<Vec<Running>> {
    let mut running = Vec::new();
    let waits = c.open_waits(WAITS_MAX).await?;
    for run in c.running_runs(viewer.who.project, RUNNING_MAX).await? {
        let Some(project) = names.get(&run.project_id) else {
            continue;
        };
        let asked = waits.iter().filter(|wait| wait.run_id == run.id);
        let mut waits_since = asked.map(|wait| wait.asked_at).min();
        if waits_since.is_some() {
            let jobs = c.jobs(run.id).await?;
            let works = |job: &pilotage_store::Job| matches!(job.status.as_str(), "queued" | "in_progress");
            waits_since = waits_since.filter(|_| !jobs.iter().any(works));
        }
        running.push(Running {
            project: project.clone(),
            waits_since,
            branch: words::branch(&run.r#ref).to_owned(),
            status: Status::of_run(&run.status, None),
            usual_ms: median(c.green_times(run.workflow_id).await?),
            title: run.title,
            run: run.id,
            started_at: run.started_at,
        });
    }
    Ok(running)
}

fn state(bar: &Row) -> Status {
    Status::of_run("in_progress", bar.conclusion.as_deref())
}

fn shown(project: pilotage_store::Project, branch: Option<(Status, i64)>, rows: &[Row]) -> Project {
    let duration = |bar: &Row| bar.ended_at.map(|ended| (ended - bar.started_at).max(0));
    let green = rows.iter().filter(|bar| state(bar) == Status::Passed);
    let times: Vec<i64> = green.filter_map(duration).collect();
    let times_of = times.clone();
    let failed = rows.iter().filter(|bar| state(bar) == Status::Failed).count();
    #[allow(clippy::cast_precision_loss, reason = "counts of at most thirty")]
    let success = (times.len() + failed > 0).then(|| times.len() as f64 / (times.len() + failed) as f64);
    let bar = |bar: &Row| {
        Some(Bar {
            run: bar.id,
            status: state(bar),
            duration_ms: duration(bar)?,
        })
    };
    Project {
        owner: project.owner,
        name: project.name,
        branch,
        bars: rows.iter().rev().filter_map(bar).collect(),
        median_ms: median(times),
        success,
        trend: trend(&times_of),
        staging: None,
        production: None,
    }
}

fn median(mut times: Vec<i64>) -> Option<i64> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// By how much the newer half takes longer than the older half; `times` has the newest first.
fn trend(times: &[i64]) -> Option<f64> {
    let (newer, older) = times.split_at(times.len() / 2);
    if newer.len() < TREND_MIN {
        return None;
    }
    let (newer, older) = (median(newer.to_vec())?, median(older.to_vec())?);
    #[allow(clippy::cast_precision_loss, reason = "durations in milliseconds")]
    (older > 0).then(|| newer as f64 / older as f64 - 1.0)
}

/// Words of the filter: parts of the name, or `status:failed` of the default branch.
fn fits(filter: &str, project: &pilotage_store::Project, branch: Option<(Status, i64)>) -> bool {
    let path = project.path().to_lowercase();
    filter
        .to_lowercase()
        .split_whitespace()
        .all(|word| match word.strip_prefix("status:") {
            Some(status) => branch.is_some_and(|(state, _)| state.word() == status),
            None => path.contains(word),
        })
}

/// Where a failed run says what failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    job: i64,
    name: String,
    error: String,
    step: u32,
    line: Option<u64>,
}

/// A default branch whose newest finished run failed.
async fn broken(
    app: &Arc<App>,
    viewer: &Viewer,
    project: &pilotage_store::Project,
    bar: &Row,
    at: i64,
) -> WebResult<Need> {
    let said = said(app, bar).await?;
    let href = format!("/{}/runs/{}", project.path(), bar.id);
    let job = format!("{href}/jobs/{}", said.job);
    let open = match said.line {
        Some(line) => (
            format!("Open line {}", line + 1),
            log::link(&job, said.step, line),
        ),
        None => ("Open run".to_owned(), href.clone()),
    };
    let what = if said.error.is_empty() {
        "is broken".to_owned()
    } else {
        format!("is broken: {}", said.error)
    };
    Ok(Need {
        key: format!("run {} {}", bar.id, bar.attempt),
        status: Status::Failed,
        place: project.default_branch.clone(),
        what,
        detail: format!("{} #{} › {}", project.path(), bar.id, said.name),
        at,
        open,
        rerun: viewer.may(Scope::Write, project).then(|| href.clone()),
        href,
    })
}

/// Remembered: the overview is drawn again at each change, and the log of a run that is over stays as it is.
async fn said(app: &App, bar: &Row) -> AppResult<Said> {
    let key = (bar.id, bar.attempt);
    let known = {
        let failures = app.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(&key).cloned()
    };
    if let Some(known) = known {
        return Ok(known);
    }
    let detail = rest::run::detail(app, bar.id, None).await?;
    let failed = detail
        .jobs
        .iter()
        .find(|job| job.conclusion == Some(Conclusion::Failure));
    let mut said = Said::default();
    if let Some(job) = failed {
        let failure = run::failure(app, job).await?;
        let first = failure.error.lines().next().unwrap_or_default();
        said = Said {
            job: failure.job,
            name: failure.name,
            error: first.chars().take(ERROR_CHARS).collect(),
            step: failure.step,
            line: failure.marked,
        };
    }
    let mut failures = app.failures.lock().unwrap_or_else(PoisonError::into_inner);
    if failures.len() >= SAID_MAX {
        failures.clear();
    }
    failures.insert(key, said.clone());
    Ok(said)
}

/// What waits for the viewer's own word.
async fn approvals(
    c: &mut Connection,
    viewer: &Viewer,
    seen: &[pilotage_store::Project],
) -> WebResult<Vec<Need>> {
    let mut needs: Vec<Need> = Vec::new();
    for wait in c.open_waits(WAITS_MAX).await? {
        let Some(run) = c.run(wait.run_id).await? else {
            continue;
        };
        let asked = request(&wait, &run);
        let Some(project) = may_give(c, viewer, seen, wait.project_id, &asked).await? else {
            continue;
        };
        let href = format!("/{project}/runs/{}", run.id);
        if needs
            .iter()
            .any(|need| need.href == href && need.place == wait.environment)
        {
            continue;
        }
        let detail = format!("{project} #{} {}", run.id, run.title);
        needs.push(waits(wait.environment, detail, wait.asked_at, href));
    }
    for row in c.waiting_deployments(DEPLOYMENTS).await? {
        let Some(release) = c.release(row.release_id).await? else {
            continue;
        };
        let asked = Request {
            environment: row.environment.clone(),
            git_ref: release.r#ref,
            subject: release.digest,
            actor: row.actor,
            asked_at: Timestamp(row.created_at),
            direction: Direction::Forward,
        };
        if let Some(project) = may_give(c, viewer, seen, row.project_id, &asked).await? {
            let href = format!("/{project}/deployments/{}", row.id);
            let detail = format!("{project} deployment #{}: {}", row.id, row.reason);
            needs.push(waits(row.environment, detail, row.created_at, href));
        }
    }
    Ok(needs)
}

fn waits(place: String, detail: String, at: i64, href: String) -> Need {
    Need {
        key: format!("approval {at} {place} {href}"),
        status: Status::Waiting,
        place,
        what: "waits for your approval".to_owned(),
        detail,
        at,
        open: ("Review".to_owned(), href.clone()),
        href,
        rerun: None,
    }
}

/// The project's path, where the viewer may approve what is asked there.
async fn may_give(
    c: &mut Connection,
    viewer: &Viewer,
    seen: &[pilotage_store::Project],
    project: i64,
    asked: &Request,
) -> WebResult<Option<String>> {
    let Some(project) = seen.iter().find(|seen| seen.id == project) else {
        return Ok(None);
    };
    let Some(environment) = c.environment(project.id, &asked.environment).await? else {
        return Ok(None);
    };
    let rules = rules(&environment)?;
    let may =
        viewer.may(Scope::Deploy, project) && policy::may_approve(&rules, asked, &viewer.who.name).is_ok();
    Ok(may.then(|| project.path()))
}

/// What serves in staging and production of the projects.
async fn serving(
    c: &mut Connection,
    names: &HashMap<i64, String>,
) -> WebResult<HashMap<(i64, &'static str), Serves>> {
    let mut serving = HashMap::new();
    for row in c.standings().await? {
        let name = match row.environment.as_str() {
            "staging" => "staging",
            "production" => "production",
            _ => continue,
        };
        if !names.contains_key(&row.project_id) {
            continue;
        }
        let Some(deployment) = c.deployment(row.deployment_id).await? else {
            continue;
        };
        let proven = row.proven != 0 || deployment.kind == "rollback";
        let status = Status::of_deployment("live", proven);
        serving.insert(
            (row.project_id, name),
            Serves {
                status,
                revision: deployment.revision,
                at: row.at,
                deployment: row.deployment_id,
            },
        );
    }
    Ok(serving)
}

/// How busy the runners are, for those who may see it.
async fn queue(app: &Arc<App>, viewer: &Viewer) -> WebResult<Option<Queue>> {
    if viewer.who.demand_server(Scope::Read).is_err() {
        return Ok(None);
    }
    let (rows, engines): (Vec<_>, Vec<_>) = rest::runner::all(app).await?.into_iter().unzip();
    let waiting = app.store.read().await?.waiting_jobs(WAITS_MAX).await?;
    let open = rows.iter().filter(|runner| runner.online);
    let (slots, busy) = open.fold((0, 0), |(slots, busy), runner| {
        (slots + runner.slots, busy + runner.busy)
    });
    let next = waiting
        .first()
        .map(|job| (job.queued_at, runners::why(job, &engines)));
    Ok(Some(Queue {
        slots,
        busy,
        queued: u32::try_from(waiting.len()).unwrap_or_default(),
        next,
    }))
}
