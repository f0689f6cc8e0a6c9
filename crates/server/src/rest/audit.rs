//! The audit log: listed, proved, exported.

use crate::app::App;
use crate::audit_reads::{self, Reading};
use crate::auth::Principal;
use crate::error::{AppError, AppResult};
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use pilotage_api::rest;
use pilotage_store::{AuditRow, StoreError};
use pilotage_trust::token::Scope;
use std::sync::Arc;

const LIMIT_MAX: i64 = 1000;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/audit", get(list))
        .route("/audit/verify", get(verify))
        .route("/audit/export", get(export))
}

#[derive(serde::Deserialize)]
struct Page {
    #[serde(default)]
    after: i64,
    limit: Option<i64>,
}

fn json(row: AuditRow) -> rest::AuditEntry {
    let AuditRow {
        seq,
        at,
        actor,
        action,
        subject,
        detail,
        hash,
    } = row;
    let detail = serde_json::from_str(&detail).unwrap_or_default();
    rest::AuditEntry {
        seq,
        at,
        actor,
        action,
        subject,
        detail,
        hash,
    }
}

async fn list(
    State(app): State<Arc<App>>,
    who: Principal,
    Query(page): Query<Page>,
) -> AppResult<Json<Vec<rest::AuditEntry>>> {
    let filter = format!("after:{}", page.after);
    audit_reads::allow(&app, &who, "", Reading::List, &filter).await?;
    let limit = page.limit.unwrap_or(100).clamp(1, LIMIT_MAX);
    let rows = app.store.read().await?.audit_after(page.after, limit).await?;
    Ok(Json(rows.into_iter().map(json).collect()))
}

async fn verify(State(app): State<Arc<App>>, who: Principal) -> AppResult<Json<rest::AuditProof>> {
    who.demand_server(Scope::Admin)?;
    match app.store.read().await?.verify_audit().await {
        Ok((entries, head)) => Ok(Json(rest::AuditProof {
            holds: true,
            entries,
            head,
            broken: None,
        })),
        Err(StoreError::Audit { source }) => {
            let entries = source.seq - 1;
            Ok(Json(rest::AuditProof {
                holds: false,
                entries,
                head: String::new(),
                broken: Some(source.to_string()),
            }))
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn export(State(app): State<Arc<App>>, who: Principal) -> AppResult<Response> {
    audit_reads::allow(&app, &who, "", Reading::Export, "").await?;
    let pages = futures_util::stream::try_unfold((app, 0), |(app, after)| async move {
        let rows = app.store.read().await?.audit_after(after, LIMIT_MAX).await?;
        let Some(last) = rows.last().map(|row| row.seq) else {
            return Ok::<_, AppError>(None);
        };
        let mut text = String::new();
        for row in rows {
            text.push_str(&serde_json::to_string(&json(row)).unwrap_or_default());
            text.push('\n');
        }
        Ok(Some((Bytes::from(text), (app, last))))
    });
    let mut response = Body::from_stream(pages).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    Ok(response)
}
