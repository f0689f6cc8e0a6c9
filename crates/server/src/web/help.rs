//! What the pages say of themselves.

use super::page::{WebResult, show};
use super::viewer::Viewer;
use crate::app::App;
use axum::Router;
use axum::routing::get;
use pilotage_ui::page::help;
use pilotage_ui::shell::{Place, ServerTab, Shell};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/help/keys", get(keys))
}

async fn keys(viewer: Viewer) -> WebResult {
    let shell = Shell::new("Keys", Place::Server(ServerTab::Other));
    Ok(show(&viewer, shell, &help::keys()))
}
