//! Projects.

use crate::app::App;
use crate::auth::Principal;
use crate::error::{AppError, AppResult};
use crate::name::{RefName, Slug};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use pilotage_api::rest;
use pilotage_store::{Project, StoreError};
use pilotage_trust::token::Scope;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/projects", get(list).post(create))
        .route("/projects/{owner}/{name}", get(view))
}

/// The project of a path, if this token may do this with it.
pub(crate) async fn find(
    app: &App,
    who: &Principal,
    owner: &str,
    name: &str,
    scope: Scope,
) -> AppResult<Project> {
    let project = app.project(owner, name).await?;
    who.demand(scope, &project)?;
    Ok(project)
}

async fn list(State(app): State<Arc<App>>, who: Principal) -> AppResult<Json<Vec<rest::Project>>> {
    let projects = app.store.read().await?.projects().await?;
    let seen = projects
        .into_iter()
        .filter(|project| who.demand(Scope::Read, project).is_ok());
    Ok(Json(seen.map(|project| json(&app, project)).collect()))
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    who: Principal,
    Json(body): Json<rest::NewProject>,
) -> AppResult<Response> {
    who.demand_server(Scope::Admin)?;
    let bad = |error: crate::name::BadName| AppError::bad_request(error.to_string());
    let (owner, name) = (
        Slug::parse(&body.owner).map_err(bad)?,
        Slug::parse(&body.name).map_err(bad)?,
    );
    if crate::web::RESERVED.contains(&owner.as_str().to_ascii_lowercase().as_str()) {
        let detail = format!("the owner `{owner}` is kept for the pages of the server");
        return Err(AppError::bad_request(detail).advice("take another name"));
    }
    let branch = body.default_branch.unwrap_or_else(|| "main".to_owned());
    RefName::parse(&format!("refs/heads/{branch}")).map_err(bad)?;
    let (default_branch, actor) = (branch.clone(), who.actor());
    let created = app
        .driver
        .turn(move |turn| {
            Box::pin(async move {
                let (owner, name) = (owner.as_str(), name.as_str());
                let project = turn
                    .c
                    .create_project(owner, name, &default_branch, turn.now)
                    .await?;
                turn.c
                    .add_audit(turn.now, &actor, "project.create", &project.path(), "{}")
                    .await?;
                Ok(project)
            })
        })
        .await;
    let project = match created {
        Err(StoreError::Exists) => return Err(AppError::conflict("a project of that name exists already")),
        other => other?,
    };
    app.repositories
        .of(&project)
        .create(&branch)
        .await
        .map_err(|error| AppError::internal(&error))?;
    Ok((StatusCode::CREATED, Json(json(&app, project))).into_response())
}

async fn view(
    State(app): State<Arc<App>>,
    who: Principal,
    Path((owner, name)): Path<(String, String)>,
) -> AppResult<Json<rest::Project>> {
    let project = find(&app, &who, &owner, &name, Scope::Read).await?;
    Ok(Json(json(&app, project)))
}

fn json(app: &App, project: Project) -> rest::Project {
    rest::Project {
        git_url: app.git_url(&project),
        id: project.id,
        owner: project.owner,
        name: project.name,
        default_branch: project.default_branch,
        created_at: project.created_at,
    }
}
