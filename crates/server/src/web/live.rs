//! Live pages: one stream of server-sent events a tab, for the topics that its page names.
//!
//! The stream is level-triggered: on each change of what stands behind a topic, the page's own fragments are drawn
//! again, with the viewer's present rights, and those whose text changed are sent. A stream that begins again sends
//! them all; so nothing is missed whatever was lost, and no history has to be kept. Each patch has a revision that
//! only rises, over restarts as well, so that a browser never goes back in time.

use super::page::{WebError, WebResult};
use super::run;
use super::viewer::Viewer;
use super::workflow;
use super::{dashboard, deployment, environment};
use crate::app::App;
use crate::error::AppError;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pilotage_ui::Fragment;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A comment is sent after so long a silence, so that a lost client is noticed.
const SILENCE: Duration = Duration::from_secs(15);
/// Less than the eye minds, and enough that a busy server does not draw a page for each line of a log.
const TOGETHER: Duration = Duration::from_millis(100);
/// What a guard sees is drawn again at most this often.
const FIGURES: Duration = Duration::from_secs(1);
const TOPICS_MAX: usize = 8;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/-/events", get(stream))
}

/// What a page can follow: the word before the first colon says which page, the rest which thing.
#[derive(Clone, Debug)]
enum Topic {
    /// With what the reader filters by.
    Dashboard(String),
    Deployment(i64),
    Environment(String),
    /// Of one project by its path, or of all.
    Environments(String),
    Log(i64),
    Project(String),
    Run(String),
    Runners,
    /// Of a project's path or none, and a query.
    Runs(String),
    /// Of a project and its file: `owner/name/ci.yml`.
    Workflow(String),
    Workflows(String),
}

impl Topic {
    fn parse(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once(':').unwrap_or((text, ""));
        match word {
            "dashboard" => Some(Topic::Dashboard(rest.to_owned())),
            "deployment" => rest.parse().ok().map(Topic::Deployment),
            "environment" => Some(Topic::Environment(rest.to_owned())),
            "environments" => Some(Topic::Environments(rest.to_owned())),
            "log" => rest.parse().ok().map(Topic::Log),
            "runners" => Some(Topic::Runners),
            "project" => Some(Topic::Project(rest.to_owned())),
            "run" => Some(Topic::Run(rest.to_owned())),
            "runs" => Some(Topic::Runs(rest.to_owned())),
            "workflow" => Some(Topic::Workflow(rest.to_owned())),
            "workflows" => Some(Topic::Workflows(rest.to_owned())),
            _ => None,
        }
    }

    /// The page's fragments as they are now, for this viewer.
    async fn fragments(&self, app: &Arc<App>, viewer: &Viewer) -> WebResult<Vec<Fragment>> {
        match self {
            Topic::Dashboard(filter) => dashboard::fragments(app, viewer, filter).await,
            Topic::Deployment(id) => deployment::fragments(app, viewer, *id).await,
            Topic::Environment(path) => environment::fragments(app, viewer, path).await,
            Topic::Environments(path) => super::environments::fragments(app, viewer, path).await,
            Topic::Log(job) => super::log::fragments(app, viewer, *job).await,
            Topic::Runners => super::runners::fragments(app, viewer).await,
            Topic::Project(path) => super::overview::fragments(app, viewer, path).await,
            Topic::Run(what) => run::fragments(app, viewer, what).await,
            Topic::Runs(what) => super::runs::fragments(app, viewer, what).await,
            Topic::Workflow(what) => workflow::fragments(app, viewer, what).await,
            Topic::Workflows(path) => workflow::list::fragments(app, viewer, path).await,
        }
    }
}

#[derive(Deserialize)]
struct Topics {
    /// A line each: names have commas in them.
    topics: String,
}

async fn stream(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    headers: HeaderMap,
    Query(Topics { topics }): Query<Topics>,
) -> WebResult<Response> {
    let topics: Option<Vec<Topic>> = topics
        .split('\n')
        .take(TOPICS_MAX + 1)
        .map(Topic::parse)
        .collect();
    let Some(topics) = topics.filter(|topics| topics.len() <= TOPICS_MAX) else {
        return Err(AppError::bad_request("a topic is not known").into());
    };
    let follower = Follower {
        changes: app.driver.changes(),
        figures: Figures::new(&app),
        stopping: app.stopping.clone(),
        not_before: Instant::now(),
        sent: HashMap::new(),
        first: true,
        viewer,
        headers,
        topics,
        app,
    };
    let mut response = Body::from_stream(futures_util::stream::try_unfold(follower, next)).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

struct Follower {
    app: Arc<App>,
    viewer: Viewer,
    /// With the cookie, which may be worth nothing any more.
    headers: HeaderMap,
    topics: Vec<Topic>,
    changes: watch::Receiver<u64>,
    figures: Figures,
    stopping: watch::Receiver<bool>,
    not_before: Instant,
    /// The last text of each element.
    sent: HashMap<String, String>,
    first: bool,
}

async fn next(mut follower: Follower) -> Result<Option<(Bytes, Follower)>, std::io::Error> {
    loop {
        if *follower.stopping.borrow() {
            return Ok(None);
        }
        // What comes close together is drawn together.
        tokio::time::sleep_until(follower.not_before).await;
        follower.not_before = Instant::now() + TOGETHER;
        follower.changes.borrow_and_update();
        // Signed out, or what it followed is gone: the browser asks for the page again and is told there.
        let Ok(text) = follower.look().await else {
            return Ok(None);
        };
        if !text.is_empty() {
            return Ok(Some((Bytes::from(text), follower)));
        }
        let Follower {
            app,
            changes,
            figures,
            stopping,
            topics,
            ..
        } = &mut follower;
        tokio::select! {
            _ = changes.changed() => {}
            () = figures.changed(app, topics) => {}
            _ = stopping.changed() => {}
            () = tokio::time::sleep(SILENCE) => return Ok(Some((Bytes::from_static(b":\n\n"), follower))),
        }
    }
}

/// Figures that pages show and no event tells of: what a guard sees, what was measured.
struct Figures {
    live: watch::Receiver<u64>,
    measured: watch::Receiver<u64>,
    not_before: Instant,
}

impl Figures {
    fn new(app: &App) -> Self {
        Self {
            live: app.live.changes(),
            measured: app.metrics.changes(),
            not_before: Instant::now(),
        }
    }

    /// Comes back when one of these pages would show new figures.
    async fn changed(&mut self, app: &App, topics: &[Topic]) {
        let measures = topics.iter().any(|topic| matches!(topic, Topic::Environment(_)));
        let judged = |topic: &Topic| matches!(topic, Topic::Deployment(id) if app.live.is_judging(*id));
        loop {
            tokio::select! {
                Ok(()) = self.live.changed() => {
                    if topics.iter().any(judged) {
                        tokio::time::sleep_until(self.not_before).await;
                        self.not_before = Instant::now() + FIGURES;
                        return;
                    }
                }
                Ok(()) = self.measured.changed(), if measures => return,
                else => return std::future::pending().await,
            }
        }
    }
}

impl Follower {
    async fn look(&mut self) -> WebResult<String> {
        let Some(viewer) = Viewer::of(&self.headers, &self.app).await? else {
            return Err(WebError::SignIn("/".to_owned()));
        };
        self.viewer = viewer;
        let mut text = String::new();
        if std::mem::take(&mut self.first) {
            // Says at once that the line stands.
            text.push_str(":\n\n");
        }
        for topic in &self.topics {
            for fragment in topic.fragments(&self.app, &self.viewer).await? {
                if self.sent.get(&fragment.id) != Some(&fragment.html) {
                    text.push_str(&patch(&fragment, revision(self.app.now())));
                    self.sent.insert(fragment.id, fragment.html);
                }
            }
        }
        Ok(text)
    }
}

fn patch(fragment: &Fragment, rev: i64) -> String {
    let data = serde_json::json!({"id": fragment.id, "rev": rev, "html": fragment.html});
    format!("event: patch\ndata: {data}\n\n")
}

/// Above every one before it, on this server and on the one before it: milliseconds, or one more than the last.
fn revision(now: i64) -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let next = |last: i64| Some(now.max(last + 1));
    LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .map_or(now, |last| now.max(last + 1))
}
