//! The overview: what needs the reader, what runs now, the projects.

use super::page::{WebResult, show};
use super::viewer::Viewer;
use crate::app::App;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use pilotage_store::{Bar as Row, Connection};
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::dashboard::{Bar, Dashboard, Need, Project, Running};
use pilotage_ui::shell::{Place, ServerTab, Shell};
use pilotage_ui::status::Status;
use pilotage_ui::words;
use std::collections::HashMap;
use std::sync::Arc;

const BARS: i64 = 30;
const PROJECTS_MAX: usize = 200;
const RUNNING_MAX: i64 = 20;
/// For how long a bad end of a deployment is shown, in milliseconds: a week.
const LATELY: i64 = 7 * 24 * 3600 * 1000;
/// Among how many of the newest deployments such ends are looked for.
const DEPLOYMENTS: i64 = 200;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/", get(page))
}

async fn page(State(app): State<Arc<App>>, viewer: Viewer) -> WebResult {
    let dashboard = view(&app, &viewer).await?;
    let mut shell = Shell::new("Overview", Place::Server(ServerTab::Overview));
    shell.topics = vec!["dashboard".to_owned()];
    Ok(show(&viewer, shell, &dashboard.main()))
}

pub(super) async fn fragments(app: &Arc<App>, viewer: &Viewer) -> WebResult<Vec<Fragment>> {
    Ok(view(app, viewer).await?.fragments())
}

async fn view(app: &Arc<App>, viewer: &Viewer) -> WebResult<Dashboard> {
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
    let running = running(&mut c, &names, viewer).await?;
    drop(c);
    let mut projects = Vec::new();
    for project in seen {
        let rows = bars.remove(&project.id).unwrap_or_default();
        let branch = format!("refs/heads/{}", project.default_branch);
        let newest = rows
            .iter()
            .find(|bar| bar.r#ref == branch && bar.ended_at.is_some());
        let branch = newest.map(|bar| (state(bar), bar.ended_at.unwrap_or_default()));
        if let (Some((Status::Failed | Status::TimedOut, at)), Some(bar)) = (branch, newest) {
            needs.push(Need {
                status: Status::Failed,
                place: project.default_branch.clone(),
                what: "is broken".to_owned(),
                detail: format!("{} run #{}", project.path(), bar.id),
                at,
            });
        }
        projects.push(shown(project, branch, &rows));
    }
    needs.sort_by_key(|need| -need.at);
    Ok(Dashboard {
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
            status,
            what: what.to_owned(),
            detail: format!("{project} deployment #{}: {}", row.id, row.reason),
            place: row.environment,
            at: row.ended_at.unwrap_or(row.created_at),
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
    for run in c.running_runs(viewer.who.project, RUNNING_MAX).await? {
        let Some(project) = names.get(&run.project_id) else {
            continue;
        };
        running.push(Running {
            project: project.clone(),
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
    }
}

fn median(mut times: Vec<i64>) -> Option<i64> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}
