//! The settings of the server: projects and tokens are made here, by the REST handlers.

use super::confirm::Confirmed;
use super::form::Form;
use super::page::{WebResult, see_other, sentence, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::error::{AppError, AppResult};
use crate::rest;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use pilotage_api::rest as wire;
use pilotage_trust::token::Scope;
use pilotage_ui::page::server::{Server, Token, TokenForm};
use pilotage_ui::shell::{Place, ServerTab, Shell};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/settings", get(page))
        .route("/settings/projects", post(create_project))
        .route("/settings/tokens", post(create_token))
        .route("/settings/tokens/{id}/revoke", post(revoke))
}

async fn page(State(app): State<Arc<App>>, viewer: Viewer) -> WebResult {
    let server = view(&app, &viewer).await?;
    Ok(draw(&viewer, &server))
}

fn draw(viewer: &Viewer, server: &Server) -> Response {
    let shell = Shell::new("Settings", Place::Server(ServerTab::Settings));
    show(viewer, shell, &server.main())
}

async fn view(app: &Arc<App>, viewer: &Viewer) -> AppResult<Server> {
    let Json(tokens) = rest::token::list(State(Arc::clone(app)), viewer.who.clone()).await?;
    let token = |token: wire::Token| Token {
        id: token.id,
        name: token.name,
        kind: token.kind,
        scopes: token.scopes,
        project: token.project,
        created_at: token.created_at,
        expires_at: token.expires_at,
        revoked: token.revoked,
    };
    let projects = app.store.read().await?.projects().await?;
    Ok(Server {
        viewer: viewer.shown(),
        confirmed: viewer.confirmed(app.now()),
        now: app.now(),
        tokens: tokens.into_iter().map(token).collect(),
        projects: projects.iter().map(pilotage_store::Project::path).collect(),
        scopes: Scope::ALL.into_iter().map(Scope::word).collect(),
        problem: None,
        form: TokenForm::default(),
        project_form: (String::new(), String::new()),
        made: None,
    })
}

/// The page again, with what was refused above the fields that were sent.
async fn again(
    app: &Arc<App>,
    viewer: &Viewer,
    error: AppError,
    fill: impl FnOnce(&mut Server),
) -> WebResult {
    let mut server = view(app, viewer).await?;
    server.problem = Some(sentence(&error.detail));
    fill(&mut server);
    let mut response = draw(viewer, &server);
    *response.status_mut() = error.status;
    Ok(response)
}

#[derive(serde::Deserialize)]
struct NewProject {
    owner: String,
    name: String,
    branch: String,
}

async fn create_project(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Form(new): Form<NewProject>,
) -> WebResult {
    let body = wire::NewProject {
        owner: new.owner.clone(),
        name: new.name.clone(),
        default_branch: Some(new.branch),
    };
    match rest::project::create(State(Arc::clone(&app)), viewer.who.clone(), Json(body)).await {
        Ok(_) => Ok(see_other(&format!("/{}/{}/runs", new.owner, new.name))),
        Err(error) => {
            again(&app, &viewer, error, |server| {
                server.project_form = (new.owner, new.name);
            })
            .await
        }
    }
}

#[derive(serde::Deserialize)]
struct NewToken {
    name: String,
    kind: String,
    #[serde(default)]
    project: String,
    /// Empty for a token without an end.
    #[serde(default)]
    days: String,
    /// `scope_read` and the like, where ticked.
    #[serde(flatten)]
    ticked: HashMap<String, String>,
}

/// Shows the token on the answer itself: it stands in no address and can be had only once.
async fn create_token(
    State(app): State<Arc<App>>,
    Confirmed(viewer): Confirmed,
    Form(new): Form<NewToken>,
) -> WebResult {
    viewer.who.demand_server(Scope::Admin)?;
    let scopes: Vec<String> = Scope::ALL
        .into_iter()
        .map(Scope::word)
        .filter(|word| new.ticked.contains_key(&format!("scope_{word}")))
        .map(str::to_owned)
        .collect();
    let form = TokenForm {
        name: new.name.clone(),
        scopes: scopes.clone(),
        project: new.project.clone(),
    };
    let made = match parse(new, scopes) {
        Ok(body) => rest::token::make(&app, &viewer.who, body).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(created) => {
            let mut server = view(&app, &viewer).await?;
            server.made = Some((form.name, created.token));
            let mut response = draw(&viewer, &server);
            let never = axum::http::HeaderValue::from_static("no-store");
            response
                .headers_mut()
                .insert(axum::http::header::CACHE_CONTROL, never);
            Ok(response)
        }
        Err(error) => again(&app, &viewer, error, |server| server.form = form).await,
    }
}

fn parse(new: NewToken, scopes: Vec<String>) -> AppResult<wire::NewToken> {
    if new.kind == "person" && scopes.is_empty() {
        return Err(AppError::bad_request(
            "a token without a scope may do nothing: tick one",
        ));
    }
    let expires_in_s = match new.days.as_str() {
        "" => None,
        days => {
            let days: u64 = days
                .parse()
                .map_err(|_| AppError::bad_request("days are a number"))?;
            Some(days.saturating_mul(24 * 3600))
        }
    };
    Ok(wire::NewToken {
        name: new.name,
        kind: new.kind,
        scopes,
        project: (!new.project.is_empty()).then_some(new.project),
        expires_in_s,
    })
}

async fn revoke(
    State(app): State<Arc<App>>,
    Confirmed(viewer): Confirmed,
    Path(id): Path<i64>,
    Form(_): Form<super::session::Nothing>,
) -> WebResult {
    rest::token::revoke(State(app), viewer.who, Path(id)).await?;
    Ok(see_other("/settings#to"))
}
