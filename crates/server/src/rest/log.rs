//! Logs: read from any line, followed while they grow.

use super::run;
use crate::app::App;
use crate::auth::Principal;
use crate::error::{AppError, AppResult};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pilotage_api::rest::{LogQuery, NEXT_LINE};
use pilotage_store::{LogPiece, LogState};
use pilotage_trust::token::Scope;
use std::sync::Arc;
use tokio::sync::watch;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/jobs/{id}/log", get(read))
}

/// Where a reader is.
struct Reading {
    app: Arc<App>,
    job: i64,
    step: Option<u32>,
    times: bool,
    next: u64,
    /// The first line that is not given; none to go on until the log has ended.
    end: Option<u64>,
    state: watch::Receiver<LogState>,
    stopping: watch::Receiver<bool>,
}

pub(crate) async fn read(
    State(app): State<Arc<App>>,
    who: Principal,
    Path(id): Path<i64>,
    Query(query): Query<LogQuery>,
) -> AppResult<Response> {
    let missing = || AppError::not_found(format!("job {id}"));
    let job = app.store.read().await?.job(id).await?.ok_or_else(missing)?;
    run::find(&app, &who, job.run_id, Scope::Read)
        .await
        .map_err(|error| if error.status == 404 { missing() } else { error })?;
    let over = job.conclusion.is_some();
    // A log that has not begun yet may be followed: it begins when its first line comes.
    let state = if query.follow && !over {
        app.store.logs.watch_new(id)?
    } else {
        app.store.logs.watch(id).await?
    };
    let lines = state.borrow().lines;
    let reading = Reading {
        stopping: app.stopping.clone(),
        app,
        job: id,
        step: query.step,
        times: query.times,
        next: query.from,
        end: (!query.follow).then_some(lines),
        state,
    };
    let body = Body::from_stream(futures_util::stream::try_unfold(reading, next));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if !query.follow {
        headers.insert(NEXT_LINE, HeaderValue::from(lines.max(query.from)));
    }
    Ok(response)
}

/// The next bytes of a log, or none when there will be no more.
async fn next(mut reading: Reading) -> Result<Option<(Bytes, Reading)>, AppError> {
    loop {
        let seen = *reading.state.borrow_and_update();
        let end = reading.end.unwrap_or(seen.lines);
        while reading.next < end {
            let (pieces, next) = reading
                .app
                .store
                .logs
                .read(reading.job, reading.step, reading.next)
                .await?;
            if next <= reading.next {
                return Ok(None);
            }
            reading.next = next;
            let mut text = String::new();
            pieces
                .iter()
                .for_each(|piece| write(piece, reading.times, end, &mut text));
            if !text.is_empty() {
                return Ok(Some((Bytes::from(text), reading)));
            }
        }
        if reading.end.is_some() || seen.ended {
            return Ok(None);
        }
        tokio::select! {
            changed = reading.state.changed() => if changed.is_err() { return Ok(None) },
            _ = reading.stopping.wait_for(|stop| *stop) => return Ok(None),
        }
    }
}

fn write(piece: &LogPiece, times: bool, end: u64, out: &mut String) {
    for (number, line) in (piece.first_line..end).zip(piece.text.split_inclusive('\n')) {
        debug_assert!(number < end);
        if times {
            out.push_str(&format!("{}\t{}\t", piece.at_ms, piece.step));
        }
        out.push_str(line);
    }
}
