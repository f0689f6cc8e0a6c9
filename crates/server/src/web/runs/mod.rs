//! Lists of runs: of the server, and of one project, filtered by a query that stays in the address.

mod query;

use super::page::{WebResult, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::{AppError, AppResult};
use crate::rest;
use axum::Router;
use axum::extract::{Path, Query as Asked, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use pilotage_store::{Connection, Project, Run, RunFilter};
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::runs::{Row, Runs};
use pilotage_ui::shell::{Place, ProjectTab, ServerTab, Shell};
use pilotage_ui::status::Status;
use query::Query;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

const PAGE: usize = 50;
/// Read at once, and looked at for one page, where not all that is asked for stands in an index.
const BATCH: i64 = 200;
const LOOKED_AT_MAX: usize = 2_000;
const SHA_CHARS: usize = 40;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/runs", get(all))
        .route("/{owner}/{name}/runs", get(of_project))
}

#[derive(serde::Deserialize)]
struct Wanted {
    #[serde(default)]
    q: String,
    before: Option<i64>,
}

impl Wanted {
    /// Topics of pages are parted by ends of lines.
    fn text(&self) -> String {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        self.q.chars().take(query::CHARS_MAX).map(plain).collect()
    }
}

async fn all(State(app): State<Arc<App>>, viewer: Viewer, Asked(wanted): Asked<Wanted>) -> WebResult {
    let text = wanted.text();
    let runs = list(&app, &viewer, None, &text, wanted.before).await?;
    let mut shell = Shell::new("Runs", Place::Server(ServerTab::Runs));
    if wanted.before.is_none() {
        shell.topics = vec![format!("runs:?{text}")];
    }
    Ok(answer(&viewer, shell, &runs))
}

async fn of_project(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name)): Path<(String, String)>,
    Asked(wanted): Asked<Wanted>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Read).await?;
    let text = wanted.text();
    let runs = list(&app, &viewer, Some(&project), &text, wanted.before).await?;
    let tab = ProjectTab::Runs;
    let mut shell = Shell::new(format!("Runs of {name}"), Place::Project { owner, name, tab });
    if wanted.before.is_none() {
        shell.topics = vec![format!("runs:{}?{text}", project.path())];
    }
    Ok(answer(&viewer, shell, &runs))
}

fn answer(viewer: &Viewer, shell: Shell, runs: &Runs) -> Response {
    let mut response = show(viewer, shell, &runs.main());
    if runs.problem.is_some() {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    response
}

/// `what` is the project's path or nothing, a question mark, and the query.
pub(super) async fn fragments(app: &Arc<App>, viewer: &Viewer, what: &str) -> WebResult<Vec<Fragment>> {
    let (path, text) = what.split_once('?').unwrap_or((what, ""));
    let project = match path.split_once('/') {
        Some((owner, name)) => Some(rest::project::find(app, &viewer.who, owner, name, Scope::Read).await?),
        None => None,
    };
    Ok(list(app, viewer, project.as_ref(), text, None).await?.fragments())
}

async fn list(
    app: &App,
    viewer: &Viewer,
    project: Option<&Project>,
    text: &str,
    before: Option<i64>,
) -> AppResult<Runs> {
    let mut runs = Runs {
        path: project.map_or_else(
            || "/runs".to_owned(),
            |project| format!("/{}/runs", project.path()),
        ),
        query: text.trim().to_owned(),
        me: viewer.who.name.clone(),
        problem: None,
        rows: Vec::new(),
        older: None,
        begins_later: before.is_some(),
        first: project.map(|project| format!("git push {} {}", app.git_url(project), project.default_branch)),
        now: app.now(),
    };
    let projects = app.store.read().await?.projects().await?;
    let seen: HashMap<i64, Project> = projects
        .into_iter()
        .filter(|project| viewer.may(Scope::Read, project))
        .map(|project| (project.id, project))
        .collect();
    match wanted(app, viewer, &seen, project, text).await? {
        Err(problem) => runs.problem = Some(problem),
        // Nothing can fit.
        Ok(None) => {}
        Ok(Some((query, filter))) => {
            let mut c = app.store.read().await?;
            let (found, older) = look(&mut c, &seen, &query, filter, before).await?;
            runs.older = older;
            runs.rows = rows(&mut c, found, |id| seen.get(&id)).await?;
        }
    }
    Ok(runs)
}

/// The query as the store is asked it; what is not understood; or nothing, where nothing can fit it.
async fn wanted(
    app: &App,
    viewer: &Viewer,
    seen: &HashMap<i64, Project>,
    project: Option<&Project>,
    text: &str,
) -> AppResult<Result<Option<(Query, RunFilter)>, String>> {
    let query = match Query::parse(text) {
        Ok(query) => query,
        Err(problem) => return Ok(Err(problem)),
    };
    let mut project = project;
    if !query.project.is_empty() {
        let named = seen
            .values()
            .find(|seen| seen.path().eq_ignore_ascii_case(&query.project));
        // What may not be seen is not there.
        let Some(named) = named.filter(|named| project.is_none_or(|project| project.id == named.id)) else {
            return Ok(Ok(None));
        };
        project = Some(named);
    }
    let mut filter = RunFilter {
        project: project.map(|project| project.id).or(viewer.who.project),
        r#ref: query.git_ref.clone(),
        event: query.event.clone(),
        actor: query.actor.clone(),
        status: query.status.clone(),
        ..RunFilter::default()
    };
    if query.sha.len() == SHA_CHARS {
        filter.sha.clone_from(&query.sha);
    }
    if !query.workflow.is_empty() {
        let Some(project) = project else {
            return Ok(Err(
                "`workflow:` needs `project:` beside it, where all projects are listed.".to_owned(),
            ));
        };
        match rest::workflow::row(app, project, &query.workflow).await {
            Ok(row) => filter.workflow = Some(row.id),
            Err(AppError {
                status: StatusCode::NOT_FOUND,
                ..
            }) => return Ok(Ok(None)),
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(Some((query, filter))))
}

/// A page of runs, and before which one the next page begins. It does not look at more than it may for one page.
async fn look(
    c: &mut Connection,
    seen: &HashMap<i64, Project>,
    query: &Query,
    mut filter: RunFilter,
    before: Option<i64>,
) -> AppResult<(Vec<Run>, Option<i64>)> {
    let whole = query.words.is_empty() && (query.sha.is_empty() || !filter.sha.is_empty());
    filter.limit = if whole && filter.project.is_some() {
        PAGE as i64
    } else {
        BATCH
    };
    filter.before = before;
    let (mut found, mut looked) = (Vec::new(), 0);
    loop {
        let batch = c.runs(&filter).await?;
        let last = i64::try_from(batch.len()).unwrap_or_default() < filter.limit;
        for run in batch {
            looked += 1;
            filter.before = Some(run.id);
            if seen.contains_key(&run.project_id) && fits(query, &run) {
                found.push(run);
            }
            if found.len() == PAGE {
                return Ok((found, filter.before));
            }
        }
        if last {
            return Ok((found, None));
        }
        if looked >= LOOKED_AT_MAX {
            return Ok((found, filter.before));
        }
    }
}

/// What no index knows.
fn fits(query: &Query, run: &Run) -> bool {
    let title = if query.words.is_empty() {
        String::new()
    } else {
        run.title.to_lowercase()
    };
    run.sha.starts_with(&query.sha) && query.words.iter().all(|word| title.contains(word))
}

/// Runs as rows; those whose project is not known are left out.
pub(super) async fn rows<'a>(
    c: &mut Connection,
    found: Vec<Run>,
    project: impl Fn(i64) -> Option<&'a Project>,
) -> AppResult<Vec<Row>> {
    let mut files: HashMap<i64, String> = HashMap::new();
    let mut rows = Vec::new();
    for run in found {
        let Some(project) = project(run.project_id) else {
            continue;
        };
        let workflow = match files.entry(run.workflow_id) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(fresh) => {
                let row = c.workflow(run.workflow_id).await?;
                let path = row.map(|row| row.path).unwrap_or_default();
                let file = path.rsplit('/').next().unwrap_or(&path).to_owned();
                fresh.insert(file).clone()
            }
        };
        rows.push(Row {
            project: project.path(),
            id: run.id,
            status: Status::of_run(&run.status, run.conclusion.as_deref()),
            title: run.title,
            workflow,
            event: run.event,
            git_ref: run.r#ref,
            sha: run.sha,
            actor: run.actor,
            created_at: run.created_at,
            started_at: run.started_at,
            ended_at: run.ended_at,
        });
    }
    Ok(rows)
}
