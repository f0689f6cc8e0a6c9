//! The runner's calls to the server: one HTTP client, and what its answers mean.
//!
//! Owns the difference between what passes (the server restarts, the network is away) and what does not.

use reqwest::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longer than any call is held by the server.
const ANSWER_MAX: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// An answer without a job that comes sooner than this is followed by a rest.
const ANSWERS_APART_MIN: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// 5xx and 429.
    #[error("it answers {0}")]
    Unable(StatusCode),
    #[error("the runner's token is not valid there")]
    Unauthorized,
    #[error("it does not know this runner")]
    NotFound,
    /// 409: the lease is over.
    #[error("the lease is over: {0}")]
    Conflict(String),
    #[error("it answers {status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("its answer is not understood: {0}")]
    Answer(String),
}

impl CallError {
    /// Whether the same call may succeed later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, CallError::Unreachable(_) | CallError::Unable(_))
    }
}

pub(super) struct Client {
    http: reqwest::Client,
    server: String,
    token: String,
}

impl Client {
    pub(super) fn new(server: &str, token: &str) -> Result<Self, CallError> {
        // Installing fails where another part of this process did it before, which is just as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .timeout(ANSWER_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .build()
            .map_err(|e| CallError::Unreachable(chain(&e)))?;
        Ok(Self {
            http,
            server: server.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
        })
    }

    /// A JSON body and a JSON answer.
    pub(super) async fn post<B: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<A, CallError> {
        let body = serde_json::to_vec(body).map_err(|e| CallError::Answer(e.to_string()))?;
        let answer = self.send(path, "application/json", body).await?;
        serde_json::from_slice(&answer).map_err(|e| CallError::Answer(e.to_string()))
    }

    /// Neither a body nor an answer.
    pub(super) async fn post_empty(&self, path: &str) -> Result<(), CallError> {
        self.send(path, "application/json", Vec::new()).await.map(drop)
    }

    pub(super) async fn send(&self, path: &str, kind: &str, body: Vec<u8>) -> Result<Vec<u8>, CallError> {
        let url = format!("{}{path}", self.server);
        let request = self
            .http
            .post(url)
            .bearer_auth(&self.token)
            .header("content-type", kind)
            .body(body);
        let response = request
            .send()
            .await
            .map_err(|e| CallError::Unreachable(chain(&e.without_url())))?;
        let status = response.status();
        let body = response
            .bytes()
            .await
            .map_err(|e| CallError::Unreachable(chain(&e.without_url())))?;
        if status.is_success() {
            return Ok(body.into());
        }
        let message = || {
            String::from_utf8_lossy(&body)
                .chars()
                .take(300)
                .collect::<String>()
        };
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => CallError::Unauthorized,
            StatusCode::NOT_FOUND => CallError::NotFound,
            StatusCode::CONFLICT => CallError::Conflict(message()),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => CallError::Unable(status),
            _ if status.is_server_error() => CallError::Unable(status),
            _ => CallError::Refused {
                status,
                message: message(),
            },
        })
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The time between two tries: longer each time, up to two seconds.
pub(super) struct Pause {
    next: Duration,
    said: bool,
    last_answer: Instant,
}

impl Pause {
    pub(super) fn new() -> Self {
        Self {
            next: FIRST_PAUSE,
            said: false,
            last_answer: Instant::now(),
        }
    }

    pub(super) async fn wait(&mut self) {
        let pause = self.next;
        self.next = (pause * 2).min(LAST_PAUSE);
        tokio::time::sleep(pause).await;
    }

    /// After an answer that was no failure: at once, unless such answers come too fast.
    pub(super) async fn short(&mut self) {
        let rest = ANSWERS_APART_MIN.saturating_sub(self.last_answer.elapsed());
        tokio::time::sleep(rest).await;
        *self = Self::new();
    }

    /// A failure is said once, not at each try.
    pub(super) fn log_once(&mut self, what: &str, error: &CallError) {
        if !std::mem::replace(&mut self.said, true) {
            warn!("{what} does not answer; trying again until it does: {error}");
        }
    }
}
