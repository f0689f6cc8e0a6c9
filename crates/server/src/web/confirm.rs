//! Secrets, tokens and the rules of environments are changed by somebody who showed the token a short while ago.
//!
//! Owns what "a short while" is, and the page that asks. Nothing that a refused form held is kept or sent back.

use super::form::Form;
use super::page::{WebError, WebResult, see_other, show};
use super::session::{Fresh, SESSION, cookie, local_path, set_cookie};
use super::viewer::Viewer;
use crate::app::App;
use crate::attempts::{self, Peer, Reason};
use crate::auth::GUESS_TIME;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use pilotage_trust::token;
use pilotage_ui::page::confirm::Confirm;
use pilotage_ui::shell::{Place, ServerTab, Shell};
use serde::Deserialize;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// For so long nobody is asked again, in milliseconds.
const CONFIRMED_FOR: i64 = 10 * 60 * 1000;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/me/confirm", get(ask).post(confirm))
}

impl Viewer {
    /// Whether the token was shown a short while ago: until then forms that need it are not shown.
    pub(super) fn confirmed(&self, now: i64) -> bool {
        now - self.signed_in_at <= CONFIRMED_FOR
    }
}

/// Somebody whose token was shown a short while ago. A handler that takes this one is never called for others.
pub(super) struct Confirmed(pub Viewer);

impl FromRequestParts<Arc<App>> for Confirmed {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, WebError> {
        let viewer = Viewer::from_request_parts(parts, app).await?;
        if viewer.confirmed(app.now()) {
            return Ok(Self(viewer));
        }
        let to = page_of(parts.uri.path()).to_owned();
        Err(WebError::Confirm(Box::new((viewer, to))))
    }
}

/// The page that a form stands on: its path up to `settings`.
fn page_of(path: &str) -> &str {
    const PAGE: &str = "/settings";
    path.rfind(PAGE)
        .and_then(|at| path.get(..at + PAGE.len()))
        .unwrap_or("/")
}

/// The answer to a form of somebody who is to confirm first.
pub(super) fn refused(viewer: &Viewer, to: String) -> Response {
    let problem = "Nothing was changed, and nothing of what you sent was kept.".to_owned();
    let mut response = page(StatusCode::FORBIDDEN, viewer, to, Some(problem));
    let reason = "the session did not show its token in the last 10 minutes";
    response.extensions_mut().insert(Reason(reason.to_owned()));
    response
}

fn page(status: StatusCode, viewer: &Viewer, to: String, problem: Option<String>) -> Response {
    let confirm = Confirm {
        viewer: viewer.shown(),
        to,
        problem,
    };
    let shell = Shell::new("Confirm that it is you", Place::Server(ServerTab::Other));
    let mut response = show(viewer, shell, &confirm.main());
    *response.status_mut() = status;
    response
}

#[derive(Deserialize)]
struct To {
    #[serde(default)]
    to: String,
}

async fn ask(viewer: Viewer, Query(To { to }): Query<To>) -> Response {
    page(StatusCode::OK, &viewer, local_path(&to).to_owned(), None)
}

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    to: String,
    token: String,
}

/// Takes the token that the session began with, and no other. The session is replaced by a new one, as by signing in;
/// wrong tokens count as they do there.
async fn confirm(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    viewer: Viewer,
    Form(Shown { to, token }): Form<Shown>,
) -> WebResult {
    let to = local_path(&to).to_owned();
    let peer = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |Extension(peer)| peer.0);
    if let Some(seconds) = app.attempts.sign_in.wait(peer, app.now()) {
        let refused = format!("Too many wrong tokens came from there. Try again in {seconds} s.");
        let mut response = page(StatusCode::TOO_MANY_REQUESTS, &viewer, to, Some(refused));
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        return Ok(response);
    }
    let hash = token::hash(token.trim());
    let found = app.store.read().await?.token(&hash, app.now()).await?;
    if found.is_none_or(|found| found.id != viewer.who.token) {
        app.attempts.sign_in.count(peer, app.now());
        let detail = serde_json::json!({"reason": "not the session's token", "from": peer.to_string()});
        attempts::denied(&app, &viewer.who.actor(), "/me/confirm", detail).await;
        tokio::time::sleep(GUESS_TIME).await;
        let refused = "This is not the token that you signed in with.".to_owned();
        return Ok(page(StatusCode::UNAUTHORIZED, &viewer, to, Some(refused)));
    }
    let before = cookie(&headers, SESSION).map(token::hash).unwrap_or_default();
    let fresh = Fresh::new(&app, viewer.who.token, &headers, peer)?;
    let (session, actor) = (fresh.session, viewer.who.actor());
    // In a turn, so that what the session before still follows ends at once.
    let replaced = app
        .driver
        .turn(move |turn| {
            Box::pin(async move {
                // One that was ended meanwhile gets no successor.
                if !turn.c.delete_session(&before).await? {
                    return Ok(false);
                }
                let detail = serde_json::json!({"from": session.address}).to_string();
                turn.c.add_session(&session).await?;
                turn.c
                    .add_audit(turn.now, &actor, "session.confirm", "", &detail)
                    .await?;
                Ok(true)
            })
        })
        .await?;
    if !replaced {
        return Err(WebError::SignIn(to));
    }
    let mut response = see_other(&to);
    set_cookie(
        &mut response,
        &app,
        SESSION,
        &fresh.cookie,
        super::session::SESSION_TIME / 1000,
    )?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::page_of;

    #[test]
    fn a_refused_form_leads_back_to_its_page() {
        for (path, page) in [
            ("/o/p/settings/secrets/delete", "/o/p/settings"),
            ("/settings/tokens/7/revoke", "/settings"),
            ("/settings/p/settings/secrets", "/settings/p/settings"),
            ("/o/p", "/"),
        ] {
            assert_eq!(page_of(path), page);
        }
    }
}
