//! `/api/v1`, as `pilotage_api::rest` describes it: one file for each noun.
//!
//! Each handler begins by asking what this token may; each change is written to the audit log with it.

mod artifact;
pub(crate) mod audit;
pub(crate) mod deployment;
pub(crate) mod environment;
mod event;
pub(crate) mod log;
pub(crate) mod project;
pub(crate) mod release;
pub(crate) mod run;
pub(crate) mod runner;
pub(crate) mod secret;
mod status;
pub(crate) mod token;
pub(crate) mod workflow;

use crate::app::App;
use axum::Router;
use std::sync::Arc;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .merge(artifact::routes())
        .merge(audit::routes())
        .merge(deployment::routes())
        .merge(environment::routes())
        .merge(event::routes())
        .merge(log::routes())
        .merge(project::routes())
        .merge(release::routes())
        .merge(run::routes())
        .merge(runner::routes())
        .merge(secret::routes())
        .merge(status::routes())
        .merge(token::routes())
        .merge(workflow::routes())
}
