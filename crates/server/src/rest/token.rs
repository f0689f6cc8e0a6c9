//! Tokens of people and runners.

use crate::app::App;
use crate::auth::Principal;
use crate::error::{AppError, AppResult};
use crate::name::Label;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use pilotage_api::rest;
use pilotage_store::NewToken;
use pilotage_trust::token::{self, Scope, TokenKind};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/tokens", get(list).post(create))
        .route("/tokens/{id}", delete(revoke))
}

pub(crate) async fn list(State(app): State<Arc<App>>, who: Principal) -> AppResult<Json<Vec<rest::Token>>> {
    who.demand_server(Scope::Admin)?;
    let mut c = app.store.read().await?;
    let projects: HashMap<i64, String> = c
        .projects()
        .await?
        .into_iter()
        .map(|p| (p.id, p.path()))
        .collect();
    let tokens = c.tokens().await?.into_iter().map(|row| rest::Token {
        id: row.id,
        name: row.name,
        kind: row.kind,
        scopes: row.scopes.split_whitespace().map(str::to_owned).collect(),
        project: row.project_id.and_then(|id| projects.get(&id).cloned()),
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked: row.revoked_at.is_some(),
    });
    Ok(Json(tokens.collect()))
}

async fn create(
    State(app): State<Arc<App>>,
    who: Principal,
    Json(body): Json<rest::NewToken>,
) -> AppResult<Response> {
    let created = make(&app, &who, body).await?;
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

/// Makes a token; its text is told here and never again.
pub(crate) async fn make(app: &App, who: &Principal, body: rest::NewToken) -> AppResult<rest::CreatedToken> {
    who.demand_server(Scope::Admin)?;
    let name = Label::parse(&body.name).map_err(|error| AppError::bad_request(error.to_string()))?;
    let (kind, scopes) = (kind(&body.kind)?, scopes(&body.scopes)?);
    if kind == TokenKind::Runner && !(scopes.is_empty() && body.project.is_none()) {
        return Err(AppError::bad_request(
            "a runner's token has neither scopes nor a project",
        ));
    }
    let project_id = match &body.project {
        Some(path) => Some(by_path(app, path).await?.id),
        None => None,
    };
    let expires_at = body.expires_in_s.map(|s| {
        app.now()
            .saturating_add(i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1000))
    });
    let text = token::generate(kind).map_err(|error| AppError::internal(&error))?;
    let (hash, scopes, actor) = (token::hash(&text), scopes.join(" "), who.actor());
    let id = app
        .driver
        .turn(move |turn| {
            Box::pin(async move {
                let (name, kind, scopes) = (name.as_str(), kind.word(), scopes.as_str());
                let new = NewToken {
                    name,
                    hash: &hash,
                    kind,
                    scopes,
                    project_id,
                    job_id: None,
                    expires_at,
                };
                let id = turn.c.add_token(new, turn.now).await?;
                let detail = serde_json::json!({"id": id, "kind": kind, "scopes": scopes}).to_string();
                turn.c
                    .add_audit(turn.now, &actor, "token.create", name, &detail)
                    .await?;
                Ok(id)
            })
        })
        .await?;
    Ok(rest::CreatedToken {
        id,
        token: text.to_string(),
    })
}

fn kind(word: &str) -> AppResult<TokenKind> {
    match word {
        "person" => Ok(TokenKind::Person),
        "runner" => Ok(TokenKind::Runner),
        _ => Err(AppError::bad_request(
            "a token is of the kind `person` or `runner`",
        )),
    }
}

fn scopes(words: &[String]) -> AppResult<Vec<&'static str>> {
    let scope = |word: &String| {
        let known: Vec<&str> = Scope::ALL.iter().map(|scope| scope.word()).collect();
        Scope::parse(word).map(Scope::word).ok_or_else(|| {
            AppError::bad_request(format!("there is no scope {}", crate::name::shown(word)))
                .advice(format!("scopes are {}", known.join(", ")))
        })
    };
    words.iter().map(scope).collect()
}

/// The project of `owner/name`.
pub(super) async fn by_path(app: &App, path: &str) -> AppResult<pilotage_store::Project> {
    let (owner, name) = path
        .split_once('/')
        .ok_or_else(|| AppError::bad_request("a project is named `owner/name`"))?;
    app.project(owner, name).await
}

pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(id): Path<i64>,
) -> AppResult<StatusCode> {
    who.demand_server(Scope::Admin)?;
    let actor = who.actor();
    let revoked = app
        .driver
        .turn(move |turn| {
            Box::pin(async move {
                let revoked = turn.c.revoke_token(id, turn.now).await?;
                if revoked {
                    turn.c
                        .add_audit(turn.now, &actor, "token.revoke", &id.to_string(), "{}")
                        .await?;
                }
                Ok(revoked)
            })
        })
        .await?;
    if revoked {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(AppError::not_found("such token, or it is revoked already"))
    }
}
