//! The runner protocol, as `pilotage_api::lease` describes it.

use super::{lease, report};
use crate::app::App;
use crate::auth::RunnerPrincipal;
use crate::error::{AppError, AppResult};
use crate::name::Label;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use pilotage_api::lease::{
    LOG_BODY_BYTES_MAX, LeaseAnswer, LeaseRequest, Next, PROTOCOL, Register, Registered, Renew, Renewed,
    Reports, ResultAnswer, read_frame,
};
use pilotage_api::runner::JobResult;
use pilotage_engine::lease::{ACK, LEASE};
use pilotage_store::{LogPiece, QueuedJob, Runner, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a call may be held.
const WAIT_MAX: Duration = Duration::from_secs(30);
const SLOTS_MAX: u32 = 1000;
const LABELS_MAX: usize = 100;

pub(super) fn routes() -> Router<Arc<App>> {
    let log = post(append_log).layer(DefaultBodyLimit::max(LOG_BODY_BYTES_MAX + 1024));
    let reports = post(take_reports).layer(DefaultBodyLimit::max(LOG_BODY_BYTES_MAX));
    Router::new()
        .route("/register", post(register))
        .route("/lease", post(ask_lease))
        .route("/leases/{job}/{fence}/ack", post(acknowledge))
        .route("/leases/{job}/{fence}/renew", post(renew))
        .route("/leases/{job}/{fence}/reports", reports)
        .route("/leases/{job}/{fence}/log", log)
        .route("/leases/{job}/{fence}/result", post(finish))
}

async fn register(
    State(app): State<Arc<App>>,
    RunnerPrincipal(who): RunnerPrincipal,
    Json(body): Json<Register>,
) -> AppResult<Json<Registered>> {
    if body.protocol != PROTOCOL {
        return Err(AppError::bad_request(format!(
            "this server speaks version {PROTOCOL} of the runner protocol"
        ))
        .advice("use a runner of the server's version"));
    }
    let bad = |error: crate::name::BadName| AppError::bad_request(error.to_string());
    let name = Label::parse(&body.name).map_err(bad)?;
    let instance = Label::parse(&body.instance).map_err(bad)?;
    for label in &body.labels {
        Label::parse(label).map_err(bad)?;
    }
    if body.labels.len() > LABELS_MAX || !(1..=SLOTS_MAX).contains(&body.slots) {
        return Err(AppError::bad_request(
            "too many labels, or not between 1 and 1000 slots",
        ));
    }
    let runner = Runner {
        id: 0,
        name: name.as_str().to_owned(),
        token_id: who.token,
        instance: instance.as_str().to_owned(),
        labels: serde_json::to_string(&body.labels).unwrap_or_default(),
        slots: i64::from(body.slots),
        version: body.version.chars().take(100).collect(),
        drain: 0,
        registered_at: app.now(),
    };
    let registered = app
        .driver
        .turn(move |mut turn| {
            Box::pin(async move {
                let known = turn.c.runner_named(&runner.name).await?;
                if let Some(known) = known {
                    // A name belongs to the token that took it, for as long as that token is good.
                    if known.token_id != runner.token_id
                        && turn.c.token_is_good(known.token_id, turn.now).await?
                    {
                        return Ok(None);
                    }
                    if known.instance != runner.instance {
                        turn.lose_instance(&runner.name).await?;
                    }
                }
                turn.touch_queue();
                Ok(Some(turn.c.register_runner(&runner).await?))
            })
        })
        .await?;
    let runner = registered.ok_or_else(|| {
        AppError::conflict(format!("the runner name `{name}` belongs to another token"))
            .advice("give it another name")
    })?;
    app.seen(runner);
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(Registered {
        runner,
        lease_ms: ms(LEASE),
        renew_ms: ms(LEASE / 3),
        ack_ms: ms(ACK),
    }))
}

async fn ask_lease(
    State(app): State<Arc<App>>,
    RunnerPrincipal(who): RunnerPrincipal,
    Json(body): Json<LeaseRequest>,
) -> AppResult<Json<LeaseAnswer>> {
    let end = Instant::now() + Duration::from_millis(body.wait_ms).min(WAIT_MAX);
    let mut changes = app.driver.queue_changes();
    let mut stopping = app.stopping.clone();
    loop {
        changes.borrow_and_update();
        let (runner, waiting) = {
            let mut c = app.store.read().await?;
            (c.runner(body.runner).await?, !c.waiting_jobs(1).await?.is_empty())
        };
        let runner = runner
            .filter(|runner| runner.token_id == who.token && runner.instance == body.instance)
            .ok_or_else(|| AppError::not_found("such runner").advice("register first"))?;
        app.seen(runner.id);
        if i64::from(body.slot) >= runner.slots {
            return Err(AppError::bad_request(format!(
                "this runner has only {} slots",
                runner.slots
            )));
        }
        if runner.drain != 0 || *stopping.borrow() {
            return Ok(Json(LeaseAnswer {
                lease: None,
                drain: runner.drain != 0,
            }));
        }
        if waiting && let Some(lease) = lease::offer(&app, runner, body.slot).await? {
            return Ok(Json(LeaseAnswer {
                lease: Some(Box::new(lease)),
                drain: false,
            }));
        }
        let woken = async {
            tokio::select! {
                _ = changes.changed() => {}
                _ = stopping.changed() => {}
            }
        };
        if timeout_at(end, woken).await.is_err() {
            return Ok(Json(LeaseAnswer::default()));
        }
    }
}

/// The job of a lease, if the lease is this runner's and still stands.
pub(super) async fn leased(
    app: &App,
    who: &crate::auth::Principal,
    job: i64,
    fence: i64,
) -> AppResult<QueuedJob> {
    let mut c = app.store.read().await?;
    let ended = || AppError::conflict("this lease has ended").advice("end the job's processes and forget it");
    let row = c
        .queued_job(job)
        .await?
        .filter(|row| row.fence == fence && row.status != "waiting")
        .ok_or_else(ended)?;
    let runner = c
        .runner_named(&row.runner)
        .await?
        .filter(|runner| runner.token_id == who.token);
    app.seen(runner.ok_or_else(ended)?.id);
    Ok(row)
}

async fn acknowledge(
    State(app): State<Arc<App>>,
    RunnerPrincipal(who): RunnerPrincipal,
    Path((job, fence)): Path<(i64, i64)>,
) -> AppResult<StatusCode> {
    leased(&app, &who, job, fence).await?;
    hear_of(&app, job, fence, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn hear_of(app: &App, job: i64, fence: i64, acknowledge: bool) -> AppResult<()> {
    let heard = app
        .driver
        .turn(move |mut turn| Box::pin(async move { turn.hear_of(job, fence, acknowledge).await }))
        .await?;
    if heard {
        Ok(())
    } else {
        Err(AppError::conflict("this lease has ended"))
    }
}

async fn renew(
    State(app): State<Arc<App>>,
    RunnerPrincipal(who): RunnerPrincipal,
    Path((job, fence)): Path<(i64, i64)>,
    Json(body): Json<Renew>,
) -> AppResult<Json<Renewed>> {
    let end = Instant::now() + Duration::from_millis(body.wait_ms).min(WAIT_MAX.min(LEASE / 3));
    let mut changes = app.driver.queue_changes();
    let mut stopping = app.stopping.clone();
    leased(&app, &who, job, fence).await?;
    hear_of(&app, job, fence, false).await?;
    loop {
        changes.borrow_and_update();
        let row = match leased(&app, &who, job, fence).await {
            Ok(row) => row,
            // The result came meanwhile: that is how a lease is to end.
            Err(_) if has_result(&app, job, fence).await? => return Ok(Json(renewed(None))),
            Err(error) => return Err(error),
        };
        let cancel = row.cancel != 0;
        let woken = async {
            tokio::select! {
                _ = changes.changed() => {}
                _ = stopping.changed() => {}
            }
        };
        if cancel || *app.stopping.borrow() || timeout_at(end, woken).await.is_err() {
            return Ok(Json(renewed(cancel.then_some(row.cancel_reason))));
        }
    }
}

fn renewed(cancel: Option<String>) -> Renewed {
    let lease_ms = u64::try_from(LEASE.as_millis()).unwrap_or_default();
    Renewed {
        lease_ms,
        cancel: cancel.is_some(),
        reason: cancel,
    }
}

async fn has_result(app: &App, job: i64, fence: i64) -> AppResult<bool> {
    let job = app.store.read().await?.job(job).await?;
    Ok(job.is_some_and(|job| job.result_fence == Some(fence)))
}

async fn take_reports(
    State(app): State<Arc<App>>,
    RunnerPrincipal(who): RunnerPrincipal,
    Path((job, fence)): Path<(i64, i64)>,
    Json(body): Json<Reports>,
) -> AppResult<Json<Next>> {
    leased(&app, &who, job, fence).await?;
    let next = app
        .driver
        .turn(move |mut turn| Box::pin(async move { report::take(&mut turn, job, fence, body).await }))
        .await?;
    match next {
        Some(Ok(next)) => Ok(Json(Next { next })),
        Some(Err(next)) => Err(AppError::bad_request(format!(
            "reports are missing: the next one is {next}"
        ))),
        None => Err(AppError::conflict("this lease has ended")),
    }
}

async fn append_log(
    State(app): State<Arc<App>>,
    RunnerPrincipal(who): RunnerPrincipal,
    Path((job, fence)): Path<(i64, i64)>,
    body: Bytes,
) -> AppResult<Json<Next>> {
    leased(&app, &who, job, fence).await?;
    let mut pieces = Vec::new();
    let mut rest = &body[..];
    while !rest.is_empty() {
        let (head, text) = read_frame(&mut rest).map_err(|error| AppError::bad_request(error.to_string()))?;
        let (step, first_line, at_ms) = (head.step, head.first_line, head.at_ms);
        pieces.push(LogPiece {
            step,
            first_line,
            at_ms,
            text: text.to_owned(),
        });
    }
    match app.store.logs.append_all(job, pieces).await {
        Ok(next) | Err(StoreError::Gap { next, .. }) => Ok(Json(Next { next })),
        Err(StoreError::Closed) => Err(AppError::conflict("this lease has ended")),
        Err(StoreError::LogFull { bytes_max, .. }) => Err(AppError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the log is over its limit of {bytes_max} bytes"),
        )),
        Err(error) => Err(error.into()),
    }
}

async fn finish(
    State(app): State<Arc<App>>,
    RunnerPrincipal(who): RunnerPrincipal,
    Path((job, fence)): Path<(i64, i64)>,
    Json(result): Json<JobResult>,
) -> AppResult<Json<ResultAnswer>> {
    if let Err(error) = leased(&app, &who, job, fence).await {
        // Said again, because our answer was lost on its way.
        let row = app
            .store
            .read()
            .await?
            .job(job)
            .await?
            .filter(|row| row.result_fence == Some(fence));
        let row = row.ok_or(error)?;
        return Ok(Json(ResultAnswer {
            missing: report::missing(row.log_missing_from, row.log_missing_to),
        }));
    }
    let stored = app.store.logs.state(job).await?.lines;
    let missing = (stored < result.log_lines).then_some((stored, result.log_lines));
    let taken = app
        .driver
        .turn(move |mut turn| {
            Box::pin(async move { report::finish(&mut turn, job, fence, result, stored, missing).await })
        })
        .await?;
    if taken {
        Ok(Json(ResultAnswer { missing }))
    } else {
        Err(AppError::conflict("this lease has ended"))
    }
}
