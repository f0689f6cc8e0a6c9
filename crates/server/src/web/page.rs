//! Pages as answers, and refusals as pages.

use super::viewer::Viewer;
use crate::attempts::Reason;
use crate::error::AppError;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::Markup;
use pilotage_store::StoreError;
use pilotage_ui::page::problem::Problem;
use pilotage_ui::shell::{Place, ServerTab, Shell, Theme, document};

/// Why there is no page.
#[derive(Debug)]
pub(super) enum WebError {
    /// Nobody is signed in; the way back, a path of ours.
    SignIn(String),
    /// Who looks is to show the token again first; the page of the form that was refused.
    Confirm(Box<(Viewer, String)>),
    Refused(AppError),
}

pub(super) type WebResult<T = Response> = Result<T, WebError>;

impl From<AppError> for WebError {
    fn from(error: AppError) -> Self {
        WebError::Refused(error)
    }
}

impl From<StoreError> for WebError {
    fn from(error: StoreError) -> Self {
        WebError::Refused(error.into())
    }
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        match self {
            WebError::SignIn(to) if to == "/" => Redirect::to("/login").into_response(),
            WebError::SignIn(to) => {
                let query = serde_urlencoded::to_string([("to", to)]).unwrap_or_default();
                Redirect::to(&format!("/login?{query}")).into_response()
            }
            WebError::Confirm(confirm) => {
                let (viewer, to) = *confirm;
                super::confirm::refused(&viewer, to)
            }
            WebError::Refused(error) => {
                let title = match error.status {
                    StatusCode::NOT_FOUND => "Page not found",
                    StatusCode::FORBIDDEN => "Not allowed",
                    StatusCode::CONFLICT => "Not possible now",
                    status if status.is_server_error() => "The server failed",
                    _ => "Refused",
                };
                let problem = Problem {
                    title: title.to_owned(),
                    detail: sentence(&error.detail),
                    advice: error.advice.as_deref().map(sentence),
                    name: None,
                };
                let mut response = (error.status, Html(drawn(&problem, None, Theme::System))).into_response();
                if let Some(seconds) = error.retry_after_s {
                    let headers = response.headers_mut();
                    headers.insert(header::RETRY_AFTER, seconds.into());
                }
                // Drawn again for who looks, where that is known.
                response.extensions_mut().insert(Reason(error.detail));
                response.extensions_mut().insert(problem);
                response
            }
        }
    }
}

fn drawn(problem: &Problem, viewer: Option<&Viewer>, theme: Theme) -> String {
    let place = Place::Server(ServerTab::Other);
    let mut shell = Shell::new(problem.title.clone(), place);
    shell.viewer = viewer.map(Viewer::shown);
    shell.theme = theme;
    document(&shell, &problem.main())
}

/// A refusal as its reader sees pages: with the navigation, their name and their colours.
pub(super) fn for_reader(mut response: Response, viewer: Option<&Viewer>, theme: Theme) -> Response {
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    problem.name = viewer.map(|viewer| viewer.who.name.clone());
    let html = drawn(&problem, viewer, theme);
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, html.into())
}

/// The answer to a form for a script: where it leads, or why it was refused, in words.
pub(super) fn for_script(mut response: Response) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let advice = problem.advice.map(|advice| format!(" {advice}"));
        let detail = problem.detail + &advice.unwrap_or_default();
        return (response.status(), Json(serde_json::json!({"detail": detail}))).into_response();
    }
    if response.status().is_redirection()
        && let Some(to) = response.headers_mut().remove(header::LOCATION)
    {
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert("x-location", to);
    }
    response
}

/// A lowercase fragment as a sentence.
pub(super) fn sentence(fragment: &str) -> String {
    let mut chars = fragment.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    let end = if fragment.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{}{}{end}", first.to_uppercase(), chars.as_str())
}

/// A page for somebody who signed in.
pub(super) fn show(viewer: &Viewer, mut shell: Shell, main: &Markup) -> Response {
    shell.viewer = Some(viewer.shown());
    shell.theme = viewer.theme;
    Html(document(&shell, main)).into_response()
}

/// Where a form leads that did what it should.
pub(super) fn see_other(path: &str) -> Response {
    // A path of ours, in characters that a header may hold.
    match axum::http::HeaderValue::try_from(path) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => Redirect::to("/").into_response(),
    }
}
