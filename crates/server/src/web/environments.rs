//! What runs where: the services and environments of one project, or of all.

use super::page::{WebResult, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::app::releases::Manifest;
use crate::error::{AppError, AppResult};
use crate::git::{Drift as Distance, Repository};
use crate::rest;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use pilotage_store::{Deployment as Row, Environment, Project, Release, Standing};
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::environments::{
    Column, Commit, Drift, Environments, Matrix, Promote, Serves, Service,
};
use pilotage_ui::shell::{Place, ProjectTab, ServerTab, Shell};
use pilotage_ui::status::Status;
use pilotage_workflow::delivery::{EnvironmentPlan, Strategy};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Projects on one page, and commits of one list.
const PROJECTS_MAX: usize = 30;
const COMMITS: usize = 10;
/// Environments of one project that are shown beside each other.
const COLUMNS_MAX: usize = 12;
/// Differences that are remembered.
const DISTANCES_MAX: usize = 500;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/environments", get(all))
        .route("/{owner}/{name}/environments", get(one))
}

async fn all(State(app): State<Arc<App>>, viewer: Viewer) -> WebResult {
    let view = view_of_all(&app, &viewer).await?;
    let mut shell = Shell::new("Environments", Place::Server(ServerTab::Environments));
    shell.topics = vec!["environments".to_owned()];
    Ok(show(&viewer, shell, &view.main()))
}

async fn one(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name)): Path<(String, String)>,
) -> WebResult {
    let project = rest::project::find(&app, &viewer.who, &owner, &name, Scope::Read).await?;
    let view = view_of_one(&app, &viewer, &project).await?;
    let place = Place::Project {
        owner: project.owner.clone(),
        name: project.name.clone(),
        tab: ProjectTab::Environments,
    };
    let mut shell = Shell::new("Environments", place);
    shell.topics = vec![format!("environments:{}", project.path())];
    Ok(show(&viewer, shell, &view.main()))
}

/// `path` is `owner/name`, or empty for all projects.
pub(super) async fn fragments(app: &Arc<App>, viewer: &Viewer, path: &str) -> WebResult<Vec<Fragment>> {
    if path.is_empty() {
        return Ok(view_of_all(app, viewer).await?.fragments());
    }
    let (owner, name) = path
        .split_once('/')
        .ok_or_else(|| AppError::not_found("such project"))?;
    let project = rest::project::find(app, &viewer.who, owner, name, Scope::Read).await?;
    Ok(view_of_one(app, viewer, &project).await?.fragments())
}

async fn view_of_one(app: &Arc<App>, viewer: &Viewer, project: &Project) -> AppResult<Environments> {
    let matrix = matrix(app, viewer, project).await?;
    Ok(Environments {
        viewer: viewer.shown(),
        now: app.now(),
        one: true,
        projects: matrix.into_iter().collect(),
        more: 0,
    })
}

async fn view_of_all(app: &Arc<App>, viewer: &Viewer) -> AppResult<Environments> {
    let projects = app.store.read().await?.projects().await?;
    let (mut shown, mut more) = (Vec::new(), 0);
    for project in projects.iter().filter(|project| viewer.may(Scope::Read, project)) {
        if shown.len() < PROJECTS_MAX {
            shown.extend(matrix(app, viewer, project).await?);
        } else if !app.store.read().await?.environments(project.id).await?.is_empty() {
            more += 1;
        }
    }
    Ok(Environments {
        viewer: viewer.shown(),
        now: app.now(),
        one: false,
        projects: shown,
        more,
    })
}

/// An environment with what the store knows of it.
struct Known {
    row: Environment,
    waiting: usize,
    active: Option<i64>,
    stands: Option<Stands>,
}

struct Stands {
    standing: Standing,
    deployment: Row,
    release: Release,
    manifest: Manifest,
}

impl Stands {
    fn plan(&self) -> Option<&EnvironmentPlan> {
        self.manifest.environments.get(&self.standing.environment)
    }
}

/// None where the project has no environments.
async fn matrix(app: &Arc<App>, viewer: &Viewer, project: &Project) -> AppResult<Option<Matrix>> {
    let known = known(app, project).await?;
    if known.is_empty() {
        return Ok(None);
    }
    let held = app.store.read().await?.quarantined(project.id).await?;
    let mut services: Vec<(String, String)> = Vec::new();
    for plan in known.iter().filter_map(|known| known.stands.as_ref()?.plan()) {
        for service in &plan.services {
            if services.iter().all(|(name, _)| *name != service.name) {
                services.push((service.name.clone(), service.path.clone()));
            }
        }
    }
    let mut drifts = Vec::new();
    for pair in known.windows(2) {
        if let [from, to] = pair {
            let stops = stops(viewer, project, from, to, &held);
            drifts.push(drift(app, project, from, to, stops).await?);
        }
    }
    Ok(Some(Matrix {
        id: project.id,
        owner: project.owner.clone(),
        name: project.name.clone(),
        columns: known.iter().map(|known| column(app, project, known)).collect(),
        drifts,
        services,
    }))
}

async fn known(app: &App, project: &Project) -> AppResult<Vec<Known>> {
    let mut c = app.store.read().await?;
    let mut rows = c.environments(project.id).await?;
    // Releases end in production; before it, names say nothing of the order.
    rows.sort_by_key(|row| (row.name == "production", row.name.clone()));
    // The last ones are the ones that matter.
    rows.drain(..rows.len().saturating_sub(COLUMNS_MAX));
    let mut known = Vec::new();
    for row in rows {
        let open = c.open_deployments(project.id, &row.name).await?;
        let stands = match c.standing(project.id, &row.name).await? {
            Some(standing) => {
                let deployment = c.deployment(standing.deployment_id).await?;
                let release = c.release(standing.release_id).await?;
                match (deployment, release) {
                    (Some(deployment), Some(release)) => Some(Stands {
                        manifest: Manifest::parse(&release.manifest)?,
                        standing,
                        deployment,
                        release,
                    }),
                    _ => None,
                }
            }
            None => None,
        };
        known.push(Known {
            waiting: c.waits(project.id, &row.name).await?.len(),
            active: open.first().map(|row| row.id),
            row,
            stands,
        });
    }
    Ok(known)
}

fn column(app: &App, project: &Project, known: &Known) -> Column {
    let (status, word) = match (&known.stands, known.active) {
        (_, Some(_)) => (Status::Running, "changing"),
        (None, None) => (Status::Queued, "nothing is live"),
        (Some(stands), None) if stands.standing.proven != 0 || stands.deployment.kind == "rollback" => {
            (Status::Live, "live")
        }
        (Some(_), None) => (Status::Unproven, "live, not proven"),
    };
    let plan = known.stands.as_ref().and_then(Stands::plan);
    Column {
        environment: known.row.name.clone(),
        status,
        word: word.to_owned(),
        strategy: plan.map(|plan| strategy(&plan.strategy)).unwrap_or_default(),
        url: plan.map(|plan| plan.url.clone()).unwrap_or_default(),
        locked_by: known.row.locked_by.clone(),
        waiting: known.waiting,
        active: known.active,
        serves: known.stands.as_ref().map(|stands| serves(app, project, stands)),
    }
}

fn strategy(strategy: &Strategy) -> String {
    match strategy {
        Strategy::Rolling => "rolling".to_owned(),
        Strategy::BlueGreen => "blue-green".to_owned(),
        Strategy::Canary { steps } => {
            let share = |share: u32| pilotage_ui::words::percent(f64::from(share) / 10_000.0);
            let shares: Vec<String> = steps.iter().map(|step| share(step.share)).collect();
            format!("canary {}", shares.join(", "))
        }
    }
}

fn serves(app: &App, project: &Project, stands: &Stands) -> Serves {
    let (row, environment) = (&stands.deployment, &stands.standing.environment);
    let rollback = row.kind == "rollback";
    let service = |plan: &pilotage_workflow::delivery::ServicePlan| {
        let live = app
            .live
            .service(&format!("{}/{environment}/{}", project.path(), plan.name));
        let counted = live.and_then(|status| {
            let mut revisions = status.revisions.into_iter();
            revisions.find(|known| known.revision == row.revision)
        });
        let counted = counted.unwrap_or_default();
        Service {
            name: plan.name.clone(),
            replicas: plan.replicas,
            answers: counted.requests,
            failed: counted.errors,
            p95_us: counted.p95_us,
        }
    };
    Serves {
        status: Status::of_deployment("live", stands.standing.proven != 0 || rollback),
        deployment: row.id,
        revision: row.revision.clone(),
        title: stands.release.title.clone(),
        at: stands.standing.at,
        actor: row.actor.clone(),
        rollback,
        services: stands
            .plan()
            .map(|plan| plan.services.iter().map(service).collect())
            .unwrap_or_default(),
    }
}

/// Why what stands in the one cannot be brought to the other from here.
fn stops(
    viewer: &Viewer,
    project: &Project,
    from: &Known,
    to: &Known,
    held: &[pilotage_store::Quarantined],
) -> Option<String> {
    if let Some(refusal) = viewer.refusal(Scope::Deploy, project) {
        return Some(refusal);
    }
    let release = &from.stands.as_ref()?.release;
    let environments = &from.stands.as_ref()?.manifest.environments;
    if let Some(active) = to.active {
        return Some(format!("deployment #{active} is under way"));
    }
    if held.iter().any(|held| held.digest == release.digest) {
        return Some("the release is quarantined".to_owned());
    }
    if !environments.contains_key(&to.row.name) {
        return Some(format!("its pilotage.yml has no {}", to.row.name));
    }
    None
}

async fn drift(
    app: &App,
    project: &Project,
    from: &Known,
    to: &Known,
    stops: Option<String>,
) -> AppResult<Drift> {
    let (Some(from), Some(to)) = (&from.stands, &to.stands) else {
        return Ok(Drift::Unknown);
    };
    let (of, to) = (&from.release, &to.release);
    if of.sha == to.sha {
        return Ok(Drift::Same);
    }
    let repository = app.repositories.of(project);
    let Some(distance) = distance(&repository, project.id, &of.sha, &to.sha).await? else {
        return Ok(Drift::Unknown);
    };
    let promote = match stops {
        Some(why) => Promote::Not(why),
        // Nothing new would come: going back is a rollback, with its reason.
        None if distance.ahead == 0 => Promote::Not(String::new()),
        None => Promote::To(of.digest.clone()),
    };
    let commit = |commit: crate::git::DriftCommit| Commit {
        sha: commit.sha,
        title: commit.title,
        author: commit.author,
        at: commit.at,
    };
    Ok(Drift::Differs {
        ahead: distance.ahead,
        behind: distance.behind,
        commits: distance.commits.into_iter().map(commit).collect(),
        promote,
    })
}

/// Commits never change, so git is asked once about two of them.
async fn distance(repository: &Repository, project: i64, of: &str, to: &str) -> AppResult<Option<Distance>> {
    type Distances = HashMap<(i64, String, String), Distance>;
    static KNOWN: LazyLock<Mutex<Distances>> = LazyLock::new(Mutex::default);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (project, of.to_owned(), to.to_owned());
    if let Some(distance) = known().get(&key) {
        return Ok(Some(distance.clone()));
    }
    let found = repository.drift(of, to, COMMITS).await;
    let found = found.map_err(|error| AppError::internal(&error))?;
    if let Some(distance) = &found {
        let mut known = known();
        if known.len() >= DISTANCES_MAX {
            known.clear();
        }
        known.insert(key, distance.clone());
    }
    Ok(found)
}
