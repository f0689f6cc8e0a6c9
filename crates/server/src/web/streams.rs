//! How many live streams one session may hold: more than a person has tabs, fewer than would keep others out.

use super::session;
use crate::app::App;
use crate::error::AppError;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

const OF_ONE: usize = 64;

/// How many each session holds, by the hash of its cookie.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<String, usize>>>);

struct Place {
    streams: Streams,
    session: String,
}

impl Streams {
    fn enter(&self, session: String) -> Option<Place> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(session.clone()).or_default();
        if *count >= OF_ONE {
            return None;
        }
        *count += 1;
        let streams = self.clone();
        Some(Place { streams, session })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.session);
            }
        }
    }
}

/// Around an answer that may be long: it holds its place until it has ended.
pub(super) async fn few(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let cookie = session::cookie(request.headers(), session::SESSION).unwrap_or_default();
    let Some(place) = app.streams.enter(pilotage_trust::token::hash(cookie)) else {
        let error = AppError::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("this session holds {OF_ONE} live streams already"),
        );
        return error.advice("close some of its pages").into_response();
    };
    next.run(request).await.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |bytes| {
            let _held = &place;
            bytes
        }))
    })
}
