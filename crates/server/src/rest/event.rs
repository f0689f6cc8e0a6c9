//! What happens in a run, as a stream of server-sent events in the words of `exec --json`.

use super::run::{self, AttemptQuery};
use crate::app::App;
use crate::auth::Principal;
use crate::error::AppResult;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pilotage_api::rest::{Job, RunDetail, RunEvent};
use pilotage_api::runner::Conclusion;
use pilotage_trust::token::Scope;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A comment is sent after so long a silence, so that a lost client is noticed.
const SILENCE: Duration = Duration::from_secs(15);
/// Less than what the eye sees, and enough that a hundred jobs are not read a hundred times.
const TOGETHER: Duration = Duration::from_millis(40);

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/runs/{id}/events", get(stream))
}

async fn stream(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(id): Path<i64>,
    Query(query): Query<AttemptQuery>,
) -> AppResult<Response> {
    run::find(&app, &who, id, Scope::Read).await?;
    let first = run::detail(&app, id, query.attempt).await?;
    let follower = Follower {
        not_before: Instant::now(),
        changes: app.driver.changes(),
        appended: app.store.logs.appended(),
        stopping: app.stopping.clone(),
        attempt: first.attempt,
        state: String::new(),
        jobs: HashMap::new(),
        ended: false,
        app,
        id,
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
    id: i64,
    attempt: u32,
    not_before: Instant,
    changes: watch::Receiver<u64>,
    appended: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    /// The last state that was sent.
    state: String,
    jobs: HashMap<i64, Sent>,
    ended: bool,
}

/// What was sent of a job.
#[derive(Default)]
struct Sent {
    started: Vec<u32>,
    finished: Vec<u32>,
    lines: u64,
    annotations: usize,
    summaries: usize,
    ended: bool,
}

async fn next(mut follower: Follower) -> Result<Option<(Bytes, Follower)>, crate::error::AppError> {
    loop {
        if follower.ended || *follower.stopping.borrow() {
            return Ok(None);
        }
        // What comes close together is looked at together.
        tokio::time::sleep_until(follower.not_before).await;
        follower.not_before = Instant::now() + TOGETHER;
        follower.changes.borrow_and_update();
        follower.appended.borrow_and_update();
        let text = follower.look().await?;
        if !text.is_empty() {
            return Ok(Some((Bytes::from(text), follower)));
        }
        let Follower {
            changes,
            appended,
            stopping,
            ..
        } = &mut follower;
        tokio::select! {
            _ = changes.changed() => {}
            _ = appended.changed() => {}
            _ = stopping.changed() => {}
            () = tokio::time::sleep(SILENCE) => return Ok(Some((Bytes::from_static(b":\n\n"), follower))),
        }
    }
}

impl Follower {
    /// All that is new, as text of the stream.
    async fn look(&mut self) -> AppResult<String> {
        let detail = run::detail(&self.app, self.id, Some(self.attempt)).await?;
        let mut text = String::new();
        let state = RunEvent::State {
            run: Box::new(detail.run.clone()),
            jobs: detail.jobs.iter().map(bare).collect(),
        };
        let state = data(&state);
        if state != self.state {
            text.push_str(&state);
            self.state = state;
        }
        for job in &detail.jobs {
            self.look_at(job, &mut text).await?;
        }
        self.end(&detail, &mut text);
        Ok(text)
    }

    async fn look_at(&mut self, job: &Job, text: &mut String) -> AppResult<()> {
        let sent = self.jobs.entry(job.id).or_default();
        if sent.ended {
            return Ok(());
        }
        sent.begun(job, text);
        if !sent.log(&self.app, job, text).await? {
            // The rest comes with the next look; what follows the lines must not overtake them.
            self.appended.mark_changed();
            return Ok(());
        }
        sent.notes(job, text);
        sent.finished(job, text);
        if let Some(conclusion) = job.conclusion {
            sent.ended = true;
            text.push_str(&data(&ended(job, conclusion)));
        }
        Ok(())
    }

    /// The run's own end, when everything before it was sent.
    fn end(&mut self, detail: &RunDetail, text: &mut String) {
        let past = detail.run.attempt != self.attempt;
        let all_sent = detail
            .jobs
            .iter()
            .all(|job| self.jobs.get(&job.id).is_some_and(|sent| sent.ended));
        let worst = |conclusion| detail.jobs.iter().any(|job| job.conclusion == Some(conclusion));
        let conclusion = if past {
            let failed = worst(Conclusion::Failure);
            Some(if failed {
                Conclusion::Failure
            } else {
                Conclusion::Success
            })
        } else {
            detail.run.conclusion
        };
        if let (Some(conclusion), true) = (conclusion, all_sent) {
            let duration = detail.run.ended_at.unwrap_or_default() - detail.run.started_at;
            let duration_ms = u64::try_from(duration).unwrap_or_default();
            text.push_str(&data(&RunEvent::Run {
                conclusion,
                duration_ms,
            }));
            self.ended = true;
        }
    }
}

fn ended(job: &Job, conclusion: Conclusion) -> RunEvent {
    let duration = job
        .ended_at
        .zip(job.started_at)
        .map_or(0, |(end, start)| end - start);
    RunEvent::Job {
        job: job.name.clone(),
        job_id: job.id,
        id: job.key.clone(),
        name: job.name.clone(),
        conclusion,
        outputs: job.outputs.clone(),
        duration_ms: u64::try_from(duration).unwrap_or_default(),
        reason: job.why.clone(),
        error: job.error.clone(),
    }
}

/// A job without what travels apart.
fn bare(job: &Job) -> Job {
    Job {
        steps: Vec::new(),
        annotations: Vec::new(),
        summaries: Vec::new(),
        log_lines: 0,
        ..job.clone()
    }
}

/// One event of the stream. JSON holds no line ends of its own.
fn data(event: &RunEvent) -> String {
    format!("data: {}\n\n", serde_json::to_string(event).unwrap_or_default())
}

impl Sent {
    fn begun(&mut self, job: &Job, text: &mut String) {
        for step in job.steps.iter().filter(|step| step.status != "queued") {
            if !self.started.contains(&step.step) {
                self.started.push(step.step);
                text.push_str(&data(&RunEvent::StepStarted {
                    job: job.name.clone(),
                    job_id: job.id,
                    step: step.step,
                    name: step.name.clone(),
                    at: step.started_at.unwrap_or_default(),
                }));
            }
        }
    }

    /// Lines that are new; false where more are left than one look takes.
    async fn log(&mut self, app: &App, job: &Job, text: &mut String) -> AppResult<bool> {
        let lines = app.store.logs.state(job.id).await?.lines;
        while self.lines < lines {
            if text.len() >= pilotage_store::READ_BYTES_MAX {
                return Ok(false);
            }
            let (pieces, next) = app.store.logs.read(job.id, None, self.lines).await?;
            if next <= self.lines {
                break;
            }
            for piece in pieces {
                let step = job.steps.iter().find(|s| s.step == piece.step);
                let name = step.map(|s| s.name.clone()).unwrap_or_default();
                for (line, content) in (piece.first_line..).zip(piece.text.lines()) {
                    text.push_str(&data(&RunEvent::Log {
                        job: job.name.clone(),
                        job_id: job.id,
                        step: piece.step,
                        name: name.clone(),
                        text: content.to_owned(),
                        line,
                    }));
                }
            }
            self.lines = next;
        }
        Ok(true)
    }

    fn notes(&mut self, job: &Job, text: &mut String) {
        for annotation in job.annotations.iter().skip(self.annotations) {
            let a = annotation.clone();
            text.push_str(&data(&RunEvent::Annotation {
                job: job.name.clone(),
                job_id: job.id,
                step: a.step,
                level: a.level,
                message: a.message,
                title: a.title,
                file: a.file,
                line: a.line,
                column: a.column,
                end_line: a.end_line,
                end_column: a.end_column,
                log_line: a.log_line,
            }));
        }
        self.annotations = job.annotations.len();
        for summary in job.summaries.iter().skip(self.summaries) {
            text.push_str(&data(&RunEvent::Summary {
                job: job.name.clone(),
                job_id: job.id,
                step: summary.step,
                markdown: summary.markdown.clone(),
            }));
        }
        self.summaries = job.summaries.len();
    }

    fn finished(&mut self, job: &Job, text: &mut String) {
        for step in job.steps.iter().filter(|step| step.status == "completed") {
            if !self.finished.contains(&step.step) {
                self.finished.push(step.step);
                let s = step.clone();
                text.push_str(&data(&RunEvent::Step {
                    job: job.name.clone(),
                    job_id: job.id,
                    step: s.step,
                    id: s.id,
                    name: s.name,
                    outcome: s.outcome,
                    conclusion: s.conclusion,
                    duration_ms: s.duration_ms.unwrap_or_default(),
                    reason: s.why,
                    error: s.error,
                }));
            }
        }
    }
}
