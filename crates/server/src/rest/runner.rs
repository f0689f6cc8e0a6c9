//! Runners: listed, and drained.

use crate::app::App;
use crate::auth::Principal;
use crate::driver::engine_runner;
use crate::error::{AppError, AppResult};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use pilotage_api::rest;
use pilotage_engine::queue;
use pilotage_trust::token::Scope;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

/// A runner that was not heard of for so long is shown as offline: it asks for work twice as often.
const ONLINE_MS: i64 = 60_000;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/runners", get(list))
        .route("/runners/{name}/drain", put(drain))
}

/// All runners with what they have to do, in the API's words and in the engine's.
pub(crate) async fn all(app: &App) -> AppResult<Vec<(rest::Runner, queue::Runner)>> {
    let (rows, leased) = {
        let mut c = app.store.read().await?;
        (c.runners().await?, c.leased_jobs().await?)
    };
    let mut busy: HashMap<String, u32> = HashMap::new();
    for job in leased {
        *busy.entry(job.runner).or_default() += 1;
    }
    let seen = app.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let now = app.now();
    rows.into_iter()
        .map(|row| {
            let busy = busy.get(&row.name).copied().unwrap_or_default();
            let slots = u32::try_from(row.slots).unwrap_or_default();
            let mut runner = engine_runner(&row, slots, busy)?;
            runner.online = busy > 0 || seen.get(&row.id).is_some_and(|at| now - at < ONLINE_MS);
            let json = rest::Runner {
                id: row.id,
                name: row.name,
                labels: runner.labels.clone(),
                slots,
                busy,
                online: runner.online,
                drain: row.drain != 0,
                version: row.version,
                registered_at: row.registered_at,
            };
            Ok((json, runner))
        })
        .collect()
}

async fn list(State(app): State<Arc<App>>, who: Principal) -> AppResult<Json<Vec<rest::Runner>>> {
    who.demand_server(Scope::Read)?;
    Ok(Json(all(&app).await?.into_iter().map(|(json, _)| json).collect()))
}

pub(crate) async fn drain(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(name): Path<String>,
    Json(body): Json<rest::Drain>,
) -> AppResult<StatusCode> {
    who.demand_server(Scope::Admin)?;
    let (actor, runner) = (who.actor(), name.clone());
    let found = app
        .driver
        .turn(move |turn| {
            Box::pin(async move {
                let found = turn.c.set_drain(&runner, body.drain).await?;
                turn.touch_queue();
                if found {
                    let action = if body.drain {
                        "runner.drain"
                    } else {
                        "runner.undrain"
                    };
                    turn.c.add_audit(turn.now, &actor, action, &runner, "{}").await?;
                }
                Ok(found)
            })
        })
        .await?;
    if found {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(AppError::not_found(format!(
            "runner {}",
            crate::name::shown(&name)
        )))
    }
}
