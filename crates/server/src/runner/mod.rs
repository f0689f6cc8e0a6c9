//! What runners and their jobs ask: `/api/runner/v1`.

mod deployment;
mod lease;
mod protocol;
mod report;
mod services;

use crate::app::App;
use axum::Router;
use std::sync::Arc;

pub(crate) fn routes() -> Router<Arc<App>> {
    protocol::routes()
        .merge(services::routes())
        .merge(deployment::routes())
}
