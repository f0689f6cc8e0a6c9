//! The pages: who looks, what they may see, and the view models that `pilotage-ui` draws.
//!
//! One file a page. A handler asks the same use cases as the REST interface, and hands on to the same handlers what
//! changes something; nothing is decided here. No page changes anything on GET; each form carries the session's token.

mod asset;
mod audit;
mod away;
mod confirm;
mod dashboard;
mod deployment;
mod environment;
mod environments;
mod form;
mod help;
mod live;
mod log;
mod overview;
mod page;
mod rollback;
mod run;
mod runners;
mod runs;
mod search;
mod server;
mod session;
mod settings;
mod streams;
mod viewer;
mod workflow;

pub(crate) use audit::Walked;
pub(crate) use dashboard::Said;
pub(crate) use environment::Known;
pub(crate) use log::Indexes;
pub(crate) use streams::Streams;

use crate::app::App;
use crate::error::AppError;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use page::WebError;
use std::sync::Arc;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use viewer::Viewer;

/// Owners that cannot be: their paths are pages.
pub(crate) const RESERVED: &[&str] = &[
    "-",
    "api",
    "audit",
    "environments",
    "help",
    "login",
    "logout",
    "me",
    "needs",
    "queue",
    "runners",
    "runs",
    "search",
    "settings",
];

pub(crate) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .merge(dashboard::routes())
        .merge(deployment::routes())
        .merge(environment::routes())
        .merge(environments::routes())
        .merge(overview::routes())
        .merge(help::routes())
        .merge(rollback::routes())
        .merge(run::routes())
        .merge(runs::routes())
        .merge(search::routes())
        .merge(session::routes())
        .merge(settings::routes())
        .merge(live::routes().layer(axum::middleware::from_fn_with_state(
            Arc::clone(app),
            streams::few,
        )))
        .merge(log::routes())
        .merge(asset::routes())
        .merge(audit::routes())
        .merge(away::routes())
        .merge(confirm::routes())
        .merge(runners::routes())
        .merge(server::routes())
        .merge(workflow::routes())
        .fallback(nowhere)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(app), guarded))
        .layer(
            CompressionLayer::new()
                .gzip(true)
                .compress_when(DefaultPredicate::new().and(ARCHIVE)),
        )
}

/// Archives are compressed already, and keep their length.
const ARCHIVE: NotForContentType = NotForContentType::const_new("application/zip");

/// What is downloaded runs nothing, whoever wrote it, wherever it is opened.
const DOWNLOAD: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";
/// What `form.js` sends with a form, to be told where it leads instead of being led there.
const SCRIPTED: &str = "x-form";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
    trusted-types pilotage; require-trusted-types-for 'script'";

/// What holds for each page: nothing changes for a request that another site made, and the browser is told to load
/// and run nothing but ours.
async fn guarded(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let asked = request.headers().clone();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = match of_another_site(&request) {
        // What the framework refuses (a number that is none) is a page like other refusals.
        None => match crate::error::refusal(next.run(request).await).await {
            Ok(error) => WebError::from(error).into_response(),
            Err(response) => response,
        },
        Some(error) => WebError::from(error).into_response(),
    };
    if asked.contains_key(SCRIPTED) {
        response = page::for_script(response);
    } else if response.status().is_client_error() || response.status().is_server_error() {
        let viewer = Viewer::of(&asked, &app).await.ok().flatten();
        response = page::for_reader(response, viewer.as_ref(), session::theme(&asked));
    }
    let download = response.headers().contains_key(header::CONTENT_DISPOSITION);
    secured(&mut response, if download { DOWNLOAD } else { POLICY });
    let ahead = reads
        && asked
            .get("sec-purpose")
            .is_some_and(|purpose| purpose.as_bytes().starts_with(b"prefetch"));
    let headers = response.headers_mut();
    // What one person may see is kept by nobody else; the way back through the history stays quick.
    headers
        .entry(header::CACHE_CONTROL)
        // What was asked for ahead is there when it is wanted, if that is soon.
        .or_insert(HeaderValue::from_static(if ahead {
            "private, max-age=5"
        } else {
            "private, no-cache"
        }));
    response
}

/// The same for what programs ask: browsers remember passwords that were given to them, and send them along.
pub(crate) async fn for_programs(request: Request, next: Next) -> Response {
    let mut response = match of_another_site(&request) {
        None => next.run(request).await,
        Some(error) => error.into_response(),
    };
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// What holds for an answer that is no page, whoever gives it.
pub(crate) async fn for_all(mut response: Response) -> Response {
    secured(&mut response, DOWNLOAD);
    response
}

fn secured(response: &mut Response, policy: &'static str) {
    for (name, value) in [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        // An answer may be stricter by itself.
        let header = response.headers_mut().entry(HeaderName::from_static(name));
        header.or_insert(HeaderValue::from_static(value));
    }
}

/// Another site may lead people here, and no more.
fn of_another_site(request: &Request) -> Option<AppError> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let header = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
    let ours = if reads {
        let another = matches!(header("sec-fetch-site"), Some(b"cross-site" | b"same-site"));
        !another || header("sec-fetch-mode") == Some(b"navigate")
    } else {
        same_origin(request)
    };
    let refused = || AppError::new(StatusCode::FORBIDDEN, "this request came from another site");
    (!ours).then(refused)
}

/// What is no page: said as a page to browsers, as a problem to programs.
async fn nowhere(headers: HeaderMap) -> Response {
    let error = AppError::not_found("such page");
    let accepts = headers.get(header::ACCEPT).map(HeaderValue::as_bytes);
    if accepts.is_some_and(|accepts| accepts.starts_with(b"text/html")) {
        WebError::from(error).into_response()
    } else {
        error.into_response()
    }
}

/// By `Sec-Fetch-Site`, which browsers set and pages cannot; by `Origin` where a browser is too old for it. A program
/// that sends neither is no browser, and has to know the session's token like everybody.
fn same_origin(request: &Request) -> bool {
    let text = |name: &str| {
        request
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap_or("?"))
    };
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = text("host").unwrap_or_default();
            origin.split_once("://").is_some_and(|(_, rest)| rest == host)
        }
        (None, None) => true,
    }
}
