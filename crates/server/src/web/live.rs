//! Live pages: one stream of server-sent events a tab, for the topics that its page names.
//!
//! The stream is level-triggered: on each change of what stands behind a topic, the page's own fragments are drawn
//! again, with the viewer's present rights, and those whose text changed are sent. A stream that begins again sends
//! them all; so nothing is missed whatever was lost, and no history has to be kept. Each patch has a revision that
//! only rises, over restarts as well, so that a browser never goes back in time.
//!
//! One stream can serve all tabs of a browser, so each event names its topic. Of a log it says how far it is; its
//! lines are asked for by those who show them.

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
use pilotage_store::LogState;
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
/// How far a log is, is said at most so often.
const GROWING: Duration = Duration::from_millis(25);
/// All tabs of a browser together.
const TOPICS_MAX: usize = 32;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/-/events", get(stream))
}

/// What a page can follow: the word before the first colon says which page, the rest which thing.
#[derive(Clone, Debug)]
enum Topic {
    /// Two of a run: `12:2:1`.
    Attempts(String),
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
            "attempts" => Some(Topic::Attempts(rest.to_owned())),
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
            Topic::Attempts(what) => run::attempts_fragments(app, viewer, what).await,
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
    let parsed = |text: &str| Some((text.to_owned(), Topic::parse(text)?));
    let topics: Option<Vec<(String, Topic)>> = topics.split('\n').take(TOPICS_MAX + 1).map(parsed).collect();
    let Some(topics) = topics.filter(|topics| topics.len() <= TOPICS_MAX) else {
        return Err(AppError::bad_request("a topic is not known").into());
    };
    let follower = Follower {
        changes: app.driver.changes(),
        figures: Figures::new(&app),
        stopping: app.stopping.clone(),
        not_before: Instant::now(),
        grown_not_before: Instant::now(),
        sent: HashMap::new(),
        logs: Vec::new(),
        changed: true,
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
    /// As the browser names them.
    topics: Vec<(String, Topic)>,
    changes: watch::Receiver<u64>,
    figures: Figures,
    stopping: watch::Receiver<bool>,
    not_before: Instant,
    grown_not_before: Instant,
    /// The last text of each element, by its topic and its id.
    sent: HashMap<(String, String), String>,
    /// How far the logs among the topics are.
    logs: Vec<Growing>,
    /// Something changed since it was looked at.
    changed: bool,
    first: bool,
}

struct Growing {
    topic: String,
    /// None once it is over; that it was heard of stays known.
    state: Option<watch::Receiver<LogState>>,
    said: Option<LogState>,
}

async fn next(mut follower: Follower) -> Result<Option<(Bytes, Follower)>, std::io::Error> {
    loop {
        if *follower.stopping.borrow() {
            return Ok(None);
        }
        let mut text = String::new();
        // What comes close together is drawn together.
        if follower.changed && follower.not_before <= Instant::now() {
            follower.not_before = Instant::now() + TOGETHER;
            follower.changed = false;
            follower.changes.borrow_and_update();
            // Signed out: the browser asks again and is told there.
            match follower.look().await {
                Ok(seen) => text = seen,
                Err(_) => return Ok(None),
            }
        }
        follower.say_growth(&mut text);
        if !text.is_empty() {
            return Ok(Some((Bytes::from(text), follower)));
        }
        let (not_before, grown_not_before) = (follower.not_before, follower.grown_not_before);
        let Follower {
            app,
            changes,
            changed,
            figures,
            stopping,
            topics,
            logs,
            ..
        } = &mut follower;
        tokio::select! {
            _ = changes.changed(), if !*changed => *changed = true,
            () = figures.changed(app, topics), if !*changed => *changed = true,
            () = tokio::time::sleep_until(not_before), if *changed => {}
            _ = stopping.changed() => {}
            () = grown(logs, grown_not_before) => {}
            () = tokio::time::sleep(SILENCE) => return Ok(Some((Bytes::from_static(b":\n\n"), follower))),
        }
    }
}

/// Figures that pages show and no event tells of: what a guard sees, what was measured.
struct Figures {
    live: watch::Receiver<u64>,
    measured: watch::Receiver<u64>,
    not_before: Instant,
    /// A guard saw more, and that was not shown yet.
    due: bool,
}

impl Figures {
    fn new(app: &App) -> Self {
        Self {
            live: app.live.changes(),
            measured: app.metrics.changes(),
            not_before: Instant::now(),
            due: false,
        }
    }

    /// Comes back when one of these pages would show new figures. Dropped before, it forgets nothing.
    async fn changed(&mut self, app: &App, topics: &[(String, Topic)]) {
        let measures = topics
            .iter()
            .any(|(_, topic)| matches!(topic, Topic::Environment(_)));
        let judged =
            |(_, topic): &(String, Topic)| matches!(topic, Topic::Deployment(id) if app.live.is_judging(*id));
        loop {
            if self.due {
                tokio::time::sleep_until(self.not_before).await;
                self.not_before = Instant::now() + FIGURES;
                self.due = false;
                return;
            }
            tokio::select! {
                Ok(()) = self.live.changed() => self.due = topics.iter().any(judged),
                Ok(()) = self.measured.changed(), if measures => return,
                else => return std::future::pending().await,
            }
        }
    }
}

/// When one of the logs has grown or ended.
async fn grown(logs: &mut [Growing], not_before: Instant) {
    tokio::time::sleep_until(not_before).await;
    let states = logs.iter_mut().filter_map(|log| log.state.as_mut());
    let changes: Vec<_> = states.map(|state| Box::pin(state.changed())).collect();
    if changes.is_empty() {
        std::future::pending::<()>().await;
    }
    futures_util::future::select_all(changes).await.0.ok();
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
        for (name, topic) in std::mem::take(&mut self.topics) {
            let fragments = match topic.fragments(&self.app, &self.viewer).await {
                Ok(fragments) => fragments,
                // Gone, or not theirs any more: the others go on.
                Err(WebError::Refused(error)) if error.status.is_client_error() => {
                    self.logs.retain(|log| log.topic != name);
                    text.push_str(&event("gone", &serde_json::json!({"topic": name})));
                    continue;
                }
                Err(error) => return Err(error),
            };
            for fragment in fragments {
                let key = (name.clone(), fragment.id);
                if self.sent.get(&key) != Some(&fragment.html) {
                    let rev = revision(self.app.now());
                    let patch =
                        serde_json::json!({"topic": name, "id": key.1, "rev": rev, "html": fragment.html});
                    text.push_str(&event("patch", &patch));
                    self.sent.insert(key, fragment.html);
                }
            }
            if let (Topic::Log(job), false) = (&topic, self.logs.iter().any(|log| log.topic == name)) {
                let state = super::log::growth(&self.app, *job).await?;
                self.logs.push(Growing {
                    topic: name.clone(),
                    state: Some(state),
                    said: None,
                });
            }
            self.topics.push((name, topic));
        }
        Ok(text)
    }

    fn say_growth(&mut self, text: &mut String) {
        for log in &mut self.logs {
            let Some(state) = &mut log.state else { continue };
            let now = *state.borrow_and_update();
            if log.said != Some(now) {
                let said = serde_json::json!({"topic": log.topic, "lines": now.lines, "ended": now.ended});
                text.push_str(&event("log", &said));
                log.said = Some(now);
                self.grown_not_before = Instant::now() + GROWING;
            }
            if now.ended || state.has_changed().is_err() {
                log.state = None;
            }
        }
    }
}

fn event(name: &str, data: &serde_json::Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// Above every one before it, on this server and on the one before it: milliseconds, or one more than the last.
fn revision(now: i64) -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let next = |last: i64| Some(now.max(last + 1));
    LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .map_or(now, |last| now.max(last + 1))
}
