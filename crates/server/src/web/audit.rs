//! The audit log as a page.

use super::page::{WebResult, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::audit_reads::{self, Reading};
use crate::error::AppResult;
use crate::rest;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pilotage_store::{AuditFilter, AuditRow};
use pilotage_trust::audit::Verifier;
use pilotage_ui::page::audit::{Audit, Chain, Row};
use pilotage_ui::shell::{Place, ServerTab, Shell};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Semaphore};

const PAGE: i64 = 50;
const QUERY_CHARS: usize = 300;
/// For how long a look at the page verifies rows; a long chain is walked on behind it.
const LOOK: Duration = Duration::from_millis(5);
/// How many rows are verified between two looks at the time.
const WALK: i64 = 500;

/// How many rows a filter looks through at a time.
const AMONG: i64 = 20_000;

/// How far the chain was verified since the server started.
#[derive(Debug)]
pub(crate) struct Walked {
    to: Mutex<Verifier>,
    /// Held by the one who walks on behind the pages.
    on: Semaphore,
}

impl Default for Walked {
    fn default() -> Self {
        Self {
            to: Mutex::default(),
            on: Semaphore::new(1),
        }
    }
}

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/audit", get(page))
        .route("/audit/export", get(export))
}

#[derive(serde::Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
    before: Option<i64>,
    /// `all`: from the first row on.
    #[serde(default)]
    verify: String,
}

async fn page(State(app): State<Arc<App>>, viewer: Viewer, Query(asked): Query<Asked>) -> WebResult {
    let query: String = asked.q.chars().take(QUERY_CHARS).collect();
    audit_reads::allow(&app, &viewer.who, &viewer.csrf, Reading::Page, &query).await?;
    let chain = chain(&app, asked.verify == "all").await?;
    let mut filter = filter(&query);
    filter.before = asked.before;
    filter.limit = PAGE + 1;
    filter.among = AMONG;
    let mut rows = app.store.read().await?.audit_newest(&filter).await?;
    let page = usize::try_from(PAGE).unwrap_or_default();
    let more = rows.len() > page;
    rows.truncate(page);
    let start = match (asked.before, &chain) {
        (Some(before), _) => before - AMONG,
        (None, Chain::Verified { of, .. }) => of + 1 - AMONG,
        (None, Chain::Broken { .. }) => 0,
    };
    // Either more fit among those that were looked through, or more are to be looked through.
    let last = rows
        .last()
        .map(|row| row.seq)
        .filter(|_| more)
        .or((start > 1).then_some(start));
    let older = last.and_then(|seq| {
        let seq = seq.to_string();
        serde_urlencoded::to_string([("q", query.as_str()), ("before", &seq)]).ok()
    });
    let audit = Audit {
        chain,
        query,
        rows: rows.into_iter().map(row).collect(),
        older: older.map(|query| format!("/audit?{query}")),
    };
    let shell = Shell::new("Audit", Place::Server(ServerTab::Audit));
    Ok(show(&viewer, shell, &audit.main()))
}

/// Goes on from where the chain was verified to, so that a look costs what is new.
async fn chain(app: &Arc<App>, whole: bool) -> AppResult<Chain> {
    if whole {
        *app.audit_walked.to.lock().await = Verifier::default();
    }
    let began = Instant::now();
    loop {
        let chain = walk(app).await?;
        match chain {
            Chain::Verified { to, of, .. } if to < of && began.elapsed() < LOOK => {}
            Chain::Verified { to, of, .. } if to < of => {
                walk_on(app);
                return Ok(chain);
            }
            _ => return Ok(chain),
        }
    }
}

/// A step along the chain.
async fn walk(app: &App) -> AppResult<Chain> {
    let mut walked = app.audit_walked.to.lock().await;
    let mut c = app.store.read().await?;
    let broken = c.walk_audit(&mut walked, WALK).await?;
    let of = c.last_audit().await?;
    Ok(match broken {
        Some(broken) => Chain::Broken {
            seq: broken.seq,
            reason: broken.reason.to_owned(),
        },
        None => Chain::Verified {
            to: walked.entries,
            of: of.max(walked.entries),
            at: app.now(),
        },
    })
}

/// Walks the rest behind the pages, one at a time, unless somebody does already.
fn walk_on(app: &Arc<App>) {
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let Ok(_alone) = app.audit_walked.on.try_acquire() else {
            return;
        };
        while !*app.stopping.borrow() {
            match walk(&app).await {
                Ok(Chain::Verified { to, of, .. }) if to < of => tokio::task::yield_now().await,
                _ => return,
            }
        }
    });
}

/// `actor:ana action:secret object:production words`
fn filter(query: &str) -> AuditFilter {
    let mut filter = AuditFilter::default();
    let mut text = Vec::new();
    for word in query.split_whitespace() {
        match word.split_once(':') {
            Some(("actor", value)) => value.clone_into(&mut filter.actor),
            Some(("action", value)) => value.clone_into(&mut filter.action),
            Some(("object", value)) => value.clone_into(&mut filter.object),
            _ => text.push(word),
        }
    }
    filter.text = text.join(" ");
    filter
}

fn row(row: AuditRow) -> Row {
    let (who, by) = match row.actor.split_once(" (") {
        Some((who, by)) => (who.to_owned(), by.trim_end_matches(')').to_owned()),
        None => (row.actor, String::new()),
    };
    let detail: serde_json::Value = serde_json::from_str(&row.detail).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let name = detail.get("name").and_then(serde_json::Value::as_str);
    let object = name.map_or_else(|| row.subject.clone(), |name| format!("{} {name}", row.subject));
    let object = match detail.get("reason").and_then(serde_json::Value::as_str) {
        Some(reason) if !reason.is_empty() => format!("{object}: {reason}"),
        _ => object,
    };
    let detail = detail.as_object().map(|fields| {
        let fields = fields.iter().map(|(name, value)| (name.clone(), text(value)));
        fields.filter(|(_, value)| !value.is_empty()).collect()
    });
    Row {
        seq: row.seq,
        at: row.at,
        who,
        by,
        denied: row.action.starts_with("denied"),
        action: row.action,
        object,
        detail: detail.unwrap_or_default(),
        hash: row.hash,
    }
}

async fn export(State(app): State<Arc<App>>, viewer: Viewer) -> WebResult<Response> {
    Ok(rest::audit::export(State(app), viewer.who).await?.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_fields_and_the_rest_is_text() {
        let found = filter("actor:ana  action:secret. object:o/p x y:z");
        assert_eq!(
            (found.actor.as_str(), found.action.as_str(), found.object.as_str()),
            ("ana", "secret.", "o/p")
        );
        assert_eq!(found.text, "x y:z");
        assert_eq!(filter("").text, "");
    }
}
