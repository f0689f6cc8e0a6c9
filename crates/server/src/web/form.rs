//! A form's fields, once the session's token in it is right.

use super::page::WebError;
use super::session;
use super::viewer::csrf_of;
use crate::app::App;
use crate::error::AppError;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The fields of a form that changes something. What does not carry the session's token never gets here.
pub(super) struct Form<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Form<T> {
    type Rejection = WebError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, WebError> {
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().unwrap_or_default());
        if kind.is_none_or(|kind| !kind.starts_with("application/x-www-form-urlencoded")) {
            return Err(AppError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a form was expected").into());
        }
        let expected = session::cookie(request.headers(), session::SESSION).map(csrf_of);
        let bytes = Bytes::from_request(request, app)
            .await
            .map_err(|error| AppError::new(error.status(), error.body_text()))?;
        let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(&bytes)
            .map_err(|_| AppError::bad_request("the form cannot be read"))?;
        let given = fields
            .iter()
            .find(|(name, _)| name == "csrf")
            .map(|(_, value)| value.as_bytes());
        let right = match (&expected, given) {
            (Some(expected), Some(given)) => bool::from(expected.as_bytes().ct_eq(given)),
            _ => false,
        };
        if !right {
            let error = AppError::new(StatusCode::FORBIDDEN, "this form is not of your present session");
            return Err(error.advice("go back, reload the page and send it again").into());
        }
        let form = serde_urlencoded::from_bytes(&bytes)
            .map_err(|error| AppError::bad_request(format!("the form cannot be read: {error}")))?;
        Ok(Self(form))
    }
}

/// Which of an approval's two buttons was pressed. Nothing else is a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pressed {
    Approved,
    Rejected,
}
