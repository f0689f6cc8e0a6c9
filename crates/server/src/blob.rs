//! Blobs over HTTP: streamed in with their length and digest checked, streamed out.

use crate::app::App;
use crate::error::{AppError, AppResult};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use pilotage_api::services::DIGEST_HEADER;
use pilotage_store::{BlobName, StoreError};
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

/// As on GitHub for a cache; artifacts are given the same.
const BYTES_MAX: u64 = 10 * 1024 * 1024 * 1024;
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Takes a request's body as a blob. It must have the digest that its header announces.
pub(crate) async fn take(app: &App, request: Request) -> AppResult<(BlobName, u64)> {
    let announced = request
        .headers()
        .get(DIGEST_HEADER)
        .and_then(|value| value.to_str().ok());
    let announced = announced.and_then(BlobName::parse).ok_or_else(|| {
        AppError::bad_request(format!(
            "the header {DIGEST_HEADER} is missing or is no `sha256:…`"
        ))
    })?;
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let too_large = || {
        AppError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("more than {BYTES_MAX} bytes are not taken"),
        )
    };
    if length.is_some_and(|length| length > BYTES_MAX) {
        return Err(too_large());
    }
    let mut writer = app.store.blobs.writer(BYTES_MAX).await?;
    let mut stream = request.into_body().into_data_stream();
    loop {
        let next = timeout(SILENCE_MAX, stream.next()).await;
        let next = next.map_err(|_| AppError::new(StatusCode::REQUEST_TIMEOUT, "the upload fell silent"))?;
        let Some(bytes) = next else { break };
        let bytes = bytes.map_err(|error| AppError::bad_request(format!("the upload broke off: {error}")))?;
        match writer.write(&bytes).await {
            Err(StoreError::BlobTooLarge { .. }) => return Err(too_large()),
            other => other?,
        }
    }
    match writer.finish(Some(&announced)).await {
        Err(error @ StoreError::Digest { .. }) => {
            Err(AppError::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
        }
        other => Ok(other?),
    }
}

/// Gives a blob as the answer's body.
pub(crate) async fn give(app: &App, digest: &str, size: i64, kind: &'static str) -> AppResult<Response> {
    let name = BlobName::parse(digest).ok_or_else(|| AppError::not_found("such blob"))?;
    let file = app
        .store
        .blobs
        .read(&name)
        .await?
        .ok_or_else(|| AppError::not_found("such blob any more"))?;
    let mut response = Body::from_stream(ReaderStream::with_capacity(file, 128 * 1024)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Ok(value) = HeaderValue::from_str(name.as_str()) {
        headers.insert(DIGEST_HEADER, value);
    }
    Ok(response)
}
