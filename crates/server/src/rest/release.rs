//! Releases, what stands in each environment, what its services write, and the quarantine.

use super::deployment::release_named;
use super::project::find as find_project;
use crate::app::App;
use crate::app::deployments;
use crate::auth::Principal;
use crate::driver::deployment::url_of;
use crate::error::{AppError, AppResult};
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use pilotage_api::deployment::{
    DeploymentQuery, Quarantined, Release, ReleaseDetail, ServiceLogQuery, Standing, StandingService,
};
use pilotage_deploy::logs::{Line, Logs, Query as LogQuery};
use pilotage_deploy::replica::Environment;
use pilotage_keep::State as ReplicaState;
use pilotage_store::{BlobName, Connection, Project, Release as Row, Standing as StandingRow};
use pilotage_trust::token::Scope;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const LIMIT: u32 = 20;
const LIMIT_MAX: u32 = 100;
const PAST_BYTES: u64 = 64 << 10;
const PAST_BYTES_MAX: u64 = 16 << 20;
/// How long a follower waits for a line before it looks whether the server goes down.
const FOLLOW: Duration = Duration::from_secs(1);

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/projects/{owner}/{name}/releases", get(list))
        .route("/projects/{owner}/{name}/releases/{release}", get(view))
        .route("/projects/{owner}/{name}/standings", get(standings))
        .route("/projects/{owner}/{name}/standings/{environment}", get(standing))
        .route("/projects/{owner}/{name}/logs/{environment}/{service}", get(logs))
        .route("/projects/{owner}/{name}/quarantine", get(quarantine))
        .route(
            "/projects/{owner}/{name}/quarantine/{digest}",
            delete(release_quarantine),
        )
}

async fn json(c: &mut Connection, row: &Row) -> AppResult<Release> {
    let standings = c.standings().await?;
    let held = c.quarantined(row.project_id).await?;
    Ok(Release {
        digest: row.digest.clone(),
        sha: row.sha.clone(),
        title: row.title.clone(),
        r#ref: row.r#ref.clone(),
        run: (row.run_id != 0).then_some(row.run_id),
        created_at: row.created_at,
        live_in: standings
            .into_iter()
            .filter(|s| s.release_id == row.id)
            .map(|s| s.environment)
            .collect(),
        quarantine: held
            .into_iter()
            .find(|held| held.digest == row.digest)
            .map(|h| h.reason)
            .unwrap_or_default(),
    })
}

async fn list(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name)): Path<(String, String)>,
    Query(query): Query<DeploymentQuery>,
) -> AppResult<Json<Vec<Release>>> {
    let project = find_project(&app, &who, &owner, &name, Scope::Read).await?;
    let mut c = app.store.read().await?;
    let limit = query.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let mut out = Vec::new();
    for row in c.releases(project.id, i64::from(limit)).await? {
        out.push(json(&mut c, &row).await?);
    }
    Ok(Json(out))
}

async fn view(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, release)): Path<(String, String, String)>,
) -> AppResult<Json<ReleaseDetail>> {
    let project = find_project(&app, &who, &owner, &name, Scope::Read).await?;
    let row = release_named(&app, &project, &release).await?;
    let mut c = app.store.read().await?;
    let mut size_bytes = 0;
    for blob in c
        .release_blobs(row.id)
        .await?
        .iter()
        .filter_map(|blob| BlobName::parse(blob))
    {
        size_bytes += tokio::fs::metadata(app.store.blobs.path(&blob))
            .await
            .map_or(0, |metadata| metadata.len());
    }
    let mut of_it = Vec::new();
    for deployment in c
        .deployments(project.id, "", i64::MAX, i64::from(LIMIT_MAX))
        .await?
    {
        if deployment.release_id == row.id {
            of_it.push(deployments::line(&mut c, deployment).await?);
        }
    }
    Ok(Json(ReleaseDetail {
        release: json(&mut c, &row).await?,
        manifest: serde_json::from_str(&row.manifest).unwrap_or_default(),
        size_bytes,
        deployments: of_it,
    }))
}

async fn standings(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name)): Path<(String, String)>,
) -> AppResult<Json<Vec<Standing>>> {
    let project = find_project(&app, &who, &owner, &name, Scope::Read).await?;
    let rows = app.store.read().await?.standings().await?;
    let mut out = Vec::new();
    for row in rows.into_iter().filter(|row| row.project_id == project.id) {
        out.push(stands(&app, &project, row).await?);
    }
    Ok(Json(out))
}

async fn standing(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, environment)): Path<(String, String, String)>,
) -> AppResult<Json<Standing>> {
    let project = find_project(&app, &who, &owner, &name, Scope::Read).await?;
    let row = app.store.read().await?.standing(project.id, &environment).await?;
    let row = row.ok_or_else(|| {
        AppError::not_found(format!("live release in {}", crate::name::shown(&environment)))
    })?;
    Ok(Json(stands(&app, &project, row).await?))
}

pub(super) async fn stands(app: &App, project: &Project, row: StandingRow) -> AppResult<Standing> {
    let mut c = app.store.read().await?;
    let release = c
        .release(row.release_id)
        .await?
        .ok_or_else(|| AppError::not_found("such release"))?;
    let open = c.open_deployments(project.id, &row.environment).await?;
    let active = match open.into_iter().next() {
        Some(open) => Some(deployments::line(&mut c, open).await?),
        None => None,
    };
    drop(c);
    let standing: pilotage_engine::deployment::Standing =
        serde_json::from_str(&row.standing).map_err(|error| AppError::internal(&error))?;
    let environment = Environment {
        owner: project.owner.clone(),
        project: project.name.clone(),
        environment: row.environment.clone(),
    };
    let states = app
        .local
        .observe(&environment)
        .await
        .map_err(|error| AppError::internal(&error))?;
    let mut services: BTreeMap<String, StandingService> = BTreeMap::new();
    for replica in &standing.replicas {
        let running = states
            .iter()
            .any(|state| state.placed.id.to_string() == replica.id && state.state == ReplicaState::Running);
        let id = format!("{}/{}/{}", project.path(), row.environment, replica.service);
        let counts = || {
            app.live
                .service(&id)
                .and_then(|status| deployments::counts(&status, &standing.release.revision))
        };
        let service = services
            .entry(replica.service.clone())
            .or_insert_with(|| StandingService {
                name: replica.service.clone(),
                replicas: 0,
                running: 0,
                counts: counts(),
            });
        service.replicas += 1;
        service.running += u32::from(running);
    }
    Ok(Standing {
        url: url_of(&release, &row.environment),
        environment: row.environment,
        deployment: row.deployment_id,
        release: release.digest,
        revision: standing.release.revision,
        sha: release.sha,
        title: release.title,
        since: row.at,
        proven: row.proven != 0,
        services: services.into_values().collect(),
        active,
    })
}

struct Follower {
    logs: Logs,
    follow: bool,
    stopping: watch::Receiver<bool>,
}

async fn logs(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, environment, service)): Path<(String, String, String, String)>,
    Query(query): Query<ServiceLogQuery>,
) -> AppResult<Response> {
    let project = find_project(&app, &who, &owner, &name, Scope::Read).await?;
    let logs = app.local.logs(LogQuery {
        environment: Environment {
            owner: project.owner,
            project: project.name,
            environment,
        },
        service,
        revision: query.revision,
        past_bytes: query.past_bytes.unwrap_or(PAST_BYTES).min(PAST_BYTES_MAX),
    });
    let follower = Follower {
        logs,
        follow: query.follow,
        stopping: app.stopping.clone(),
    };
    let mut response = Body::from_stream(futures_util::stream::try_unfold(follower, next)).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    Ok(response)
}

async fn next(mut follower: Follower) -> Result<Option<(Bytes, Follower)>, AppError> {
    loop {
        let lines = if follower.follow {
            follower.logs.follow(FOLLOW).await
        } else {
            follower.logs.read().await
        };
        let lines = lines.map_err(|error| AppError::internal(&error))?;
        if !lines.is_empty() {
            return Ok(Some((text(&lines), follower)));
        }
        if !follower.follow || *follower.stopping.borrow() {
            return Ok(None);
        }
    }
}

/// Each line behind the revision and number of the replica that wrote it.
fn text(lines: &[Line]) -> Bytes {
    let mut text = String::new();
    for line in lines {
        let mut parts = line.replica.rsplit("--");
        let (ordinal, revision) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        text.push_str(&format!("{revision} {ordinal}  {}\n", line.text));
    }
    Bytes::from(text)
}

async fn quarantine(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name)): Path<(String, String)>,
) -> AppResult<Json<Vec<Quarantined>>> {
    let project = find_project(&app, &who, &owner, &name, Scope::Read).await?;
    let rows = app.store.read().await?.quarantined(project.id).await?;
    let json = |row: pilotage_store::Quarantined| Quarantined {
        digest: row.digest,
        revision: row.revision,
        environment: row.environment,
        deployment: row.deployment_id,
        reason: row.reason,
        at: row.at,
    };
    Ok(Json(rows.into_iter().map(json).collect()))
}

pub(crate) async fn release_quarantine(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name, digest)): Path<(String, String, String)>,
) -> AppResult<StatusCode> {
    let project = find_project(&app, &who, &owner, &name, Scope::Deploy).await?;
    let release = release_named(&app, &project, &digest).await?;
    let (actor, subject) = (
        who.actor(),
        format!("{} release {}", project.path(), release.digest),
    );
    let found = app.driver.turn(move |turn| {
        Box::pin(async move {
            let found = turn.c.release_quarantine(project.id, &release.digest).await?;
            if found {
                turn.c
                    .add_audit(turn.now, &actor, "release.let-go", &subject, "{}")
                    .await?;
            }
            Ok(found)
        })
    });
    if found.await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(AppError::not_found("such release in quarantine"))
    }
}
