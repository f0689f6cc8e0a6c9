//! What a person has put away of what needs them. It is kept per token, as a setting; what was put away longest ago is
//! forgotten first, and is shown again if it still stands then.

use super::form::Form;
use super::page::{WebResult, see_other};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::AppError;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde::Deserialize;
use std::sync::Arc;

const KEYS_MAX: usize = 200;
const KEY_CHARS_MAX: usize = 400;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/needs/away", post(put))
        .route("/needs/back", post(bring))
}

fn setting(viewer: &Viewer) -> String {
    format!("away {}", viewer.who.token)
}

fn parse(text: Option<&str>) -> Vec<String> {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// Oldest first.
pub(super) async fn keys(app: &App, viewer: &Viewer) -> WebResult<Vec<String>> {
    let kept = app.store.read().await?.setting(&setting(viewer)).await?;
    Ok(parse(kept.as_deref()))
}

#[derive(Deserialize)]
struct Put {
    key: String,
}

async fn put(State(app): State<Arc<App>>, viewer: Viewer, Form(Put { key }): Form<Put>) -> WebResult {
    if key.chars().count() > KEY_CHARS_MAX {
        return Err(AppError::bad_request("this is nothing that can be put away").into());
    }
    change(&app, &viewer, move |keys| {
        keys.retain(|kept| *kept != key);
        keys.push(key);
        let over = keys.len().saturating_sub(KEYS_MAX);
        keys.drain(..over);
    })
    .await
}

async fn bring(State(app): State<Arc<App>>, viewer: Viewer, Form(Put { key }): Form<Put>) -> WebResult {
    change(&app, &viewer, move |keys| keys.retain(|kept| *kept != key)).await
}

async fn change(
    app: &App,
    viewer: &Viewer,
    change: impl FnOnce(&mut Vec<String>) + Send + 'static,
) -> WebResult {
    let name = setting(viewer);
    // In a turn, so that it is seen at once wherever the overview is open.
    app.driver
        .turn(move |turn| {
            Box::pin(async move {
                let mut keys = parse(turn.c.setting(&name).await?.as_deref());
                change(&mut keys);
                let text = serde_json::Value::from(keys).to_string();
                turn.c.set_setting(&name, &text).await
            })
        })
        .await?;
    Ok(see_other("/"))
}
