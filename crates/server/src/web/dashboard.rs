//! The overview: what needs the reader, what runs now, the projects.

use super::page::{WebResult, show};
use super::viewer::Viewer;
use crate::app::App;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::dashboard::{Dashboard, Project};
use pilotage_ui::shell::{Place, ServerTab, Shell};
use std::sync::Arc;

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
    let projects = app.store.read().await?.projects().await?;
    let projects = projects
        .into_iter()
        .filter(|project| viewer.may(Scope::Read, project))
        .map(|project| Project {
            owner: project.owner,
            name: project.name,
        });
    Ok(Dashboard {
        projects: projects.collect(),
    })
}
