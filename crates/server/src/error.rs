//! What a request is refused with: a status, what is wrong, and what to do next.

use crate::attempts::Reason;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pilotage_api::rest::{Diagnostic, Problem};
use pilotage_store::StoreError;

/// A refusal, on its way to being a [`Problem`].
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct AppError {
    pub status: StatusCode,
    pub detail: String,
    pub advice: Option<String>,
    pub diagnostics: Vec<Diagnostic>,
    /// After how many seconds it may be tried again.
    pub retry_after_s: Option<u64>,
}

pub(crate) type AppResult<T> = Result<T, AppError>;

impl AppError {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            advice: None,
            diagnostics: Vec::new(),
            retry_after_s: None,
        }
    }

    #[must_use]
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// It is not there, or not yours to see: both look the same.
    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what}"))
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub(crate) fn forbidden(scope: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            format!("this token lacks the scope `{scope}`"),
        )
        .advice("ask an administrator for a token that has it")
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "no valid token was given")
            .advice("set PILOTAGE_TOKEN, or give the token as the password to git")
    }

    /// Too many wrong tokens came from there.
    pub(crate) fn too_many(seconds: u64) -> Self {
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many wrong tokens came from there",
        );
        error.retry_after_s = Some(seconds);
        error.advice(format!("try again in {seconds} s"))
    }

    /// A fault of ours: logged here once, told without its insides.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        log("a request failed by a fault of the server", error);
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server failed; its log says why",
        )
    }
}

/// Logs what failed with all its causes, once, where it is handled.
pub(crate) fn log(what: &str, error: &dyn std::error::Error) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(" / caused by: ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    tracing::error!(error = %text, "{what}: {text}");
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server is going down"),
            full if full.is_full() => {
                log("the disk of the data folder is full", full);
                let detail = "no space left on the disk of the server's data";
                Self::new(StatusCode::INSUFFICIENT_STORAGE, detail).advice(
                    "free some there and try again: nothing that was accepted is lost, and nothing has to be restarted",
                )
            }
            _ => Self::internal(&error),
        }
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let reason = Reason(self.detail.clone());
        let title = self.status.canonical_reason().unwrap_or("refused").to_owned();
        let problem = Problem {
            status: self.status.as_u16(),
            title,
            detail: self.detail,
            advice: self.advice,
            diagnostics: self.diagnostics,
        };
        let mut response = (self.status, Json(problem)).into_response();
        response.extensions_mut().insert(reason);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"pilotage\""),
            );
        }
        response
    }
}

/// Gives a refusal that the framework made (a body that is no JSON, a number that is none) the form of all others.
pub(crate) async fn as_problem(response: Response) -> Response {
    match refusal(response).await {
        Ok(error) => error.into_response(),
        Err(response) => response,
    }
}

/// A refusal that the framework made; any other answer as it is.
pub(crate) async fn refusal(response: Response) -> Result<AppError, Response> {
    let status = response.status();
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .map(HeaderValue::as_bytes);
    if !status.is_client_error() || kind != Some(b"text/plain; charset=utf-8") {
        return Err(response);
    }
    const DETAIL_BYTES_MAX: usize = 4096;
    let body = axum::body::to_bytes(response.into_body(), DETAIL_BYTES_MAX)
        .await
        .unwrap_or_default();
    Ok(AppError::new(status, String::from_utf8_lossy(&body).into_owned()))
}
