//! What a job says, on its way to the server: its log by the spool, its reports from memory, each in order and
//! again until the server has them.

use super::client::{CallError, Client, Pause};
use super::spool::Spool;
use crate::event::JobEvent;
use pilotage_api::lease::{Lease, Next, Reports, read_frame};
use pilotage_api::runner::Report;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tracing::warn;

/// How long a runner keeps what a server that is away does not take.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Reports that may wait in memory; they are few, but may hold summaries of a megabyte.
const REPORTS_WAITING_MAX: usize = 2000;
const REPORT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why the server will take no more of this job.
#[derive(Debug)]
pub(super) enum Over {
    /// The lease belongs to another, or to nobody.
    Fenced(String),
    /// The server was away for a day.
    Abandoned,
}

/// Takes all that a job says until its channel ends, and brings it to the server.
pub(super) async fn deliver(
    client: &Client,
    lease: &Lease,
    mut events: mpsc::Receiver<JobEvent>,
    spool: &Spool,
) -> Result<(), Over> {
    let waiting = Waiting::default();
    let take = async {
        while let Some(event) = events.recv().await {
            match event {
                JobEvent::Log(chunk) => spool.push(&chunk).await,
                JobEvent::Report(report) => waiting.push(report).await,
            }
        }
        spool.close();
        waiting.close();
        Ok(())
    };
    let (log, reports) = (
        send_log(client, lease, spool),
        send_reports(client, lease, &waiting),
    );
    tokio::try_join!(take, log, reports).map(|_| ())
}

/// One call, until it is answered for good.
pub(super) async fn call<B: Serialize, A: DeserializeOwned>(
    client: &Client,
    path: &str,
    body: &B,
) -> Result<Result<A, CallError>, Over> {
    until_answered(|| client.post(path, body)).await
}

/// Repeats a call while the server is away; the inner error is one that stays.
async fn until_answered<A, F: Future<Output = Result<A, CallError>>>(
    call: impl Fn() -> F,
) -> Result<Result<A, CallError>, Over> {
    let (mut pause, end) = (Pause::new(), Instant::now() + KEPT);
    loop {
        match call().await {
            Err(error) if error.is_passing() => pause.log_once("the server", &error),
            Err(CallError::Conflict(message)) => return Err(Over::Fenced(message)),
            Err(CallError::Unauthorized) => {
                return Err(Over::Fenced("the runner's token is no longer valid".to_owned()));
            }
            answer => return Ok(answer),
        }
        if Instant::now() > end {
            return Err(Over::Abandoned);
        }
        pause.wait().await;
    }
}

async fn send_log(client: &Client, lease: &Lease, spool: &Spool) -> Result<(), Over> {
    let path = lease.path("log");
    let mut refused = false;
    loop {
        let body = match spool.next().await {
            Ok(Some(body)) => body,
            Ok(None) => return Ok(()),
            Err(error) => {
                warn!(
                    job = lease.job,
                    "the rest of a log is lost: cannot read its spool: {error}"
                );
                return Ok(());
            }
        };
        let length = body.len();
        if !refused {
            let send = || async {
                let answer = client
                    .send(&path, "application/octet-stream", body.clone())
                    .await?;
                serde_json::from_slice::<Next>(&answer).map_err(|e| CallError::Answer(e.to_string()))
            };
            match until_answered(send).await? {
                Ok(Next { next }) if next < first_line(&body) => {
                    warn!(
                        job = lease.job,
                        next, "the server asks for lines of a log that it had acknowledged"
                    );
                }
                Ok(_) => {}
                Err(error) => {
                    // The limit of a log, most likely. The job goes on, its result says how many lines there were.
                    warn!(job = lease.job, "the server takes no more of a log: {error}");
                    refused = true;
                }
            }
        }
        spool.acknowledge(length);
    }
}

fn first_line(mut body: &[u8]) -> u64 {
    read_frame(&mut body).map_or(0, |(head, _)| head.first_line)
}

async fn send_reports(client: &Client, lease: &Lease, waiting: &Waiting) -> Result<(), Over> {
    let path = lease.path("reports");
    let mut first = 0;
    while let Some(reports) = waiting.next().await {
        let count = reports.len();
        let body = Reports { first, reports };
        match call::<_, Next>(client, &path, &body).await? {
            Ok(_) => {}
            Err(error) => warn!(
                job = lease.job,
                first, "the server refuses reports of a job: {error}"
            ),
        }
        first += count as u64;
        waiting.sent(count);
    }
    Ok(())
}

/// Reports that the server does not have yet.
#[derive(Default)]
struct Waiting {
    state: Mutex<WaitingState>,
    filled: Notify,
    freed: Notify,
}

#[derive(Default)]
struct WaitingState {
    reports: VecDeque<Report>,
    closed: bool,
}

impl Waiting {
    async fn push(&self, report: Report) {
        loop {
            let freed = self.freed.notified();
            if self.lock().reports.len() < REPORTS_WAITING_MAX {
                break;
            }
            freed.await;
        }
        self.lock().reports.push_back(report);
        self.filled.notify_one();
    }

    fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// The first of them, as many as fit in a call; waits for one. `None` at the end.
    async fn next(&self) -> Option<Vec<Report>> {
        loop {
            let filled = self.filled.notified();
            {
                let state = self.lock();
                let mut bytes = 0;
                let fits = |report: &&Report| {
                    let first = bytes == 0;
                    bytes += size(report);
                    first || bytes <= REPORT_BYTES_MAX
                };
                let batch: Vec<Report> = state.reports.iter().take_while(fits).cloned().collect();
                if !batch.is_empty() {
                    return Some(batch);
                }
                if state.closed {
                    return None;
                }
            }
            filled.await;
        }
    }

    fn sent(&self, count: usize) {
        self.lock().reports.drain(..count);
        self.freed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, WaitingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About, in bytes.
fn size(report: &Report) -> usize {
    const OTHERS: usize = 1024;
    match report {
        Report::Summary { markdown, .. } => OTHERS + markdown.len(),
        Report::Annotation(annotation) => OTHERS + annotation.message.len(),
        Report::Steps { steps, evaluated } => {
            let values = evaluated.iter().flat_map(|of| of.env.iter().chain(&of.with));
            let bytes: usize = values.map(|(name, value)| name.len() + value.len()).sum();
            OTHERS * (steps.len() + evaluated.len() + 1) + bytes
        }
        _ => OTHERS,
    }
}
