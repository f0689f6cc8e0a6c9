//! What can be found and done, for this viewer: as a page, and as the list that `palette.js` searches.

use super::page::{WebResult, show};
use super::viewer::Viewer;
use crate::app::App;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use pilotage_store::RunFilter;
use pilotage_trust::token::Scope;
use pilotage_ui::page::search::{Entry, Search};
use pilotage_ui::shell::{Place, ServerTab, Shell};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The newest runs that are offered.
const RUNS: i64 = 100;
const SHOWN_MAX: usize = 100;
/// All that is offered is held by the browser: less than about 100 KB.
const ENTRIES_MAX: usize = 500;
const TITLE_CHARS_MAX: usize = 80;
const QUERY_CHARS_MAX: usize = 200;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/search", get(page))
        .route("/-/palette", get(palette))
}

#[derive(Deserialize)]
struct Words {
    #[serde(default)]
    q: String,
}

async fn page(State(app): State<Arc<App>>, viewer: Viewer, Query(words): Query<Words>) -> WebResult {
    let query: String = words.q.chars().take(QUERY_CHARS_MAX).collect();
    let mut found = entries(&app, &viewer).await?;
    found.retain(|entry| entry.fits(&query));
    let more = found.len().saturating_sub(SHOWN_MAX);
    found.truncate(SHOWN_MAX);
    let search = Search {
        viewer: viewer.shown(),
        query,
        found,
        more,
    };
    let shell = Shell::new("Find or do", Place::Server(ServerTab::Other));
    Ok(show(&viewer, shell, &search.main()))
}

async fn palette(State(app): State<Arc<App>>, viewer: Viewer, headers: HeaderMap) -> WebResult<Response> {
    let mut found = entries(&app, &viewer).await?;
    found.truncate(ENTRIES_MAX);
    let list = found.iter().map(|entry| match &entry.form {
        None => json!({"kind": entry.kind, "title": entry.title, "href": entry.href}),
        Some(form) => json!({"kind": entry.kind, "title": entry.title, "href": entry.href, "form": form}),
    });
    let list = Value::Array(list.collect());
    let tag = format!("W/\"{}\"", hex::encode(Sha256::digest(list.to_string())));
    let same = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let etag = [(header::ETAG, tag)];
    Ok(if same {
        (StatusCode::NOT_MODIFIED, etag).into_response()
    } else {
        (etag, Json(list)).into_response()
    })
}

/// All of it: what may be needed at once first.
async fn entries(app: &App, viewer: &Viewer) -> WebResult<Vec<Entry>> {
    let mut projects = app.store.read().await?.projects().await?;
    projects.retain(|project| viewer.may(Scope::Read, project));
    let standings = app.store.read().await?.standings().await?;
    let live = |project: i64, name: &str| {
        standings
            .iter()
            .any(|row| row.project_id == project && row.environment == name)
    };
    let mut found = places(viewer.shown().admin);
    for project in &projects {
        let path = project.path();
        found.push(entry("Project", path.clone(), format!("/{path}")));
        if viewer.may(Scope::Admin, project) {
            found.push(entry(
                "Settings",
                format!("Settings of {path}"),
                format!("/{path}/settings"),
            ));
        }
        for environment in app.store.read().await?.environments(project.id).await? {
            let name = environment.name;
            let href = format!("/{path}/environments/{}", pilotage_ui::words::segment(&name));
            if viewer.may(Scope::Deploy, project) && live(project.id, &name) {
                let title = format!("Roll back {name} of {path}…");
                found.push(entry("Roll back", title, format!("{href}/rollback")));
            }
            if viewer.may(Scope::Deploy, project) {
                let title = format!("Deploy to {name} of {path}…");
                found.push(entry("Deploy", title, format!("{href}#deploy")));
            }
            found.push(entry("Environment", format!("{name} of {path}"), href));
        }
        if found.len() > ENTRIES_MAX {
            break;
        }
    }
    let filter = RunFilter {
        project: viewer.who.project,
        limit: RUNS,
        ..RunFilter::default()
    };
    for run in app.store.read().await?.runs(&filter).await? {
        if let Some(project) = projects.iter().find(|project| project.id == run.project_id) {
            let path = project.path();
            let href = format!("/{path}/runs/{}", run.id);
            let failed = matches!(
                run.conclusion.as_deref(),
                Some("failure" | "timed_out" | "cancelled")
            );
            if failed && viewer.may(Scope::Write, project) {
                let title = format!("Rerun failed jobs of #{} {}", run.id, run.title);
                found.push(form(
                    "Rerun",
                    title,
                    format!("{href}/rerun"),
                    &[("which", "failed")],
                ));
            }
            found.push(entry("Run", format!("#{} {} of {path}", run.id, run.title), href));
        }
    }
    Ok(found)
}

fn places(admin: bool) -> Vec<Entry> {
    let all = [
        ("Overview", "/", false),
        ("Runs", "/runs", false),
        ("Runners", "/runners", false),
        ("Audit log", "/audit", true),
        ("Settings", "/settings", true),
        ("Your account, sign out", "/me", false),
        ("Keys", "/help/keys", false),
    ];
    let look = |theme: &'static str| {
        form(
            "Look",
            format!("Theme {theme}"),
            "/me/theme".to_owned(),
            &[("theme", theme)],
        )
    };
    all.into_iter()
        .filter(|(_, _, for_admin)| admin || !for_admin)
        .map(|(title, href, _)| entry("Page", title.to_owned(), href.to_owned()))
        .chain(["dark", "light", "system"].map(look))
        .collect()
}

fn entry(kind: &'static str, title: String, href: String) -> Entry {
    let title = title.chars().take(TITLE_CHARS_MAX).collect();
    Entry {
        kind,
        title,
        href,
        form: None,
    }
}

/// What is done by a form instead of a page.
fn form(kind: &'static str, title: String, action: String, fields: &[(&'static str, &'static str)]) -> Entry {
    Entry {
        form: Some(fields.to_vec()),
        ..entry(kind, title, action)
    }
}
