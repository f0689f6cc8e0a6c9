//! The embedded style sheet and scripts.

use super::page::WebResult;
use crate::app::App;
use crate::error::AppError;
use axum::Router;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pilotage_ui::asset;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/-/assets/{version}/{name}", get(file))
}

/// A page of an older version asks for older files: it gets the present ones, and they are not kept.
async fn file(Path((version, name)): Path<(String, String)>) -> WebResult<Response> {
    let asset = asset::find(&name).ok_or_else(|| AppError::not_found("such file"))?;
    let keep = if version == *asset::VERSION {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, keep),
    ];
    Ok((headers, asset.body).into_response())
}
