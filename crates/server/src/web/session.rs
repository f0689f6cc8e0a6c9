//! Signing in by a token, signing out, and the reader's own page.

use super::form::Form;
use super::page::{WebResult, see_other, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::attempts::{self, Peer};
use crate::auth::GUESS_TIME;
use crate::error::{AppError, AppResult};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use pilotage_store::Session;
use pilotage_trust::token::{self, TokenKind};
use pilotage_ui::page::login::Login;
use pilotage_ui::page::me::{self, Me};
use pilotage_ui::shell::{Place, ServerTab, Shell, Theme, document};
use serde::Deserialize;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// The cookies.
pub(super) const SESSION: &str = "pilotage_session";
pub(super) const THEME: &str = "pilotage_theme";
/// How long a session lasts, in milliseconds: two weeks.
pub(super) const SESSION_TIME: i64 = 14 * 24 * 3600 * 1000;
const AGENT_BYTES_MAX: usize = 200;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/login", get(form).post(sign_in))
        .route("/logout", post(sign_out))
        .route("/me", get(me))
        .route("/me/sessions/end", post(end_sessions))
        .route("/me/theme", post(set_theme))
}

/// The value of a cookie.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .find_map(|pair| pair.trim().split_once('=').filter(|(key, _)| *key == name))
        .map(|(_, value)| value)
}

#[derive(Deserialize)]
struct To {
    #[serde(default)]
    to: String,
}

async fn form(Query(To { to }): Query<To>) -> Response {
    page(StatusCode::OK, to, None)
}

fn page(status: StatusCode, to: String, refused: Option<String>) -> Response {
    let login = Login { to, refused };
    let shell = Shell::new("Sign in", Place::Outside);
    (status, Html(document(&shell, &login.main()))).into_response()
}

#[derive(Deserialize)]
struct SignIn {
    #[serde(default)]
    to: String,
    token: String,
}

/// No session's token stands in this form: there is no session yet. `Sec-Fetch-Site` and `Origin` were looked at.
///
/// All wrong tokens get the same answer, in the same time; too many of them from one place, or in all, get 429, and
/// then no token is looked at.
async fn sign_in(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    axum::Form(SignIn { to, token }): axum::Form<SignIn>,
) -> WebResult {
    let peer = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |Extension(peer)| peer.0);
    if let Some(seconds) = app.attempts.sign_in.wait(peer, app.now()) {
        let refused = format!("Too many wrong tokens came from there. Try again in {seconds} s.");
        let mut response = page(StatusCode::TOO_MANY_REQUESTS, to, Some(refused));
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        return Ok(response);
    }
    let found = app
        .store
        .read()
        .await?
        .token(&token::hash(token.trim()), app.now())
        .await?;
    let Some(found) = found.filter(|token| token.kind == TokenKind::Person.word()) else {
        app.attempts.sign_in.count(peer, app.now());
        let detail = serde_json::json!({"reason": "the token is not known", "from": peer.to_string()});
        attempts::denied(&app, "nobody", "/login", detail).await;
        tokio::time::sleep(GUESS_TIME).await;
        let refused = "This token is not known here, or it is over.".to_owned();
        return Ok(page(StatusCode::UNAUTHORIZED, to, Some(refused)));
    };
    // A session that came with the request ends: nobody goes on in one that somebody else may know.
    let before = cookie(&headers, SESSION).map(token::hash);
    let fresh = Fresh::new(&app, found.id, &headers, peer)?;
    let session = fresh.session;
    let actor = format!("{} (token {})", found.name, found.id);
    let now = app.now();
    app.store
        .write(move |c| {
            Box::pin(async move {
                if let Some(before) = before {
                    c.delete_session(&before).await?;
                }
                let detail = serde_json::json!({"from": session.address}).to_string();
                c.add_session(&session).await?;
                c.add_audit(now, &actor, "session.begin", "", &detail).await
            })
        })
        .await?;
    let mut response = see_other(local_path(&to));
    set_cookie(&mut response, &app, SESSION, &fresh.cookie, SESSION_TIME / 1000)?;
    Ok(response)
}

/// A session that begins, and its cookie.
pub(super) struct Fresh {
    pub session: Session,
    pub cookie: String,
}

impl Fresh {
    pub(super) fn new(app: &App, token_id: i64, headers: &HeaderMap, peer: IpAddr) -> AppResult<Self> {
        let cookie = token::generate(TokenKind::Person).map_err(|error| AppError::internal(&error))?;
        let agent = headers
            .get(header::USER_AGENT)
            .map_or("", |value| value.to_str().unwrap_or_default());
        let session = Session {
            hash: token::hash(&cookie),
            token_id,
            agent: agent.chars().take(AGENT_BYTES_MAX).collect(),
            address: peer.to_string(),
            created_at: app.now(),
            seen_at: app.now(),
            expires_at: app.now() + SESSION_TIME,
        };
        let cookie = cookie.to_string();
        Ok(Self { session, cookie })
    }
}

async fn sign_out(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    viewer: Viewer,
    _form: Form<Nothing>,
) -> WebResult {
    if let Some(cookie) = cookie(&headers, SESSION) {
        end(&app, &viewer, vec![token::hash(cookie)]).await?;
    }
    let mut response = see_other("/login");
    set_cookie(&mut response, &app, SESSION, "", 0)?;
    Ok(response)
}

/// A form without fields of its own.
#[derive(Deserialize)]
pub(super) struct Nothing {}

/// Ends sessions, and tells the audit log.
async fn end(app: &App, viewer: &Viewer, hashes: Vec<String>) -> AppResult<()> {
    let (now, actor) = (app.now(), viewer.who.actor());
    // In a turn, so that what these sessions still follow ends at once.
    app.driver
        .turn(move |turn| {
            Box::pin(async move {
                for hash in hashes {
                    if turn.c.delete_session(&hash).await? {
                        let detail = serde_json::json!({"session": name(&hash)}).to_string();
                        turn.c.add_audit(now, &actor, "session.end", "", &detail).await?;
                    }
                }
                Ok(())
            })
        })
        .await?;
    Ok(())
}

/// What a session is called on pages: enough of its hash to be found by.
fn name(hash: &str) -> String {
    hash.chars().take(12).collect()
}

async fn me(State(app): State<Arc<App>>, headers: HeaderMap, viewer: Viewer) -> WebResult {
    let own = cookie(&headers, SESSION).map(token::hash).unwrap_or_default();
    let now = app.now();
    let rows = app.store.read().await?.sessions(viewer.who.token, now).await?;
    let sessions = rows.into_iter().map(|row| me::Session {
        present: row.hash == own,
        name: name(&row.hash),
        agent: row.agent,
        address: row.address,
        created_at: row.created_at,
        expires_at: row.expires_at,
    });
    let me = Me {
        viewer: viewer.shown(),
        theme: viewer.theme,
        sessions: sessions.collect(),
        now,
        scopes: viewer
            .who
            .scopes
            .iter()
            .map(|scope| scope.word().to_owned())
            .collect(),
    };
    let shell = Shell::new("You", Place::Server(ServerTab::Other));
    Ok(show(&viewer, shell, &me.main()))
}

#[derive(Deserialize)]
struct End {
    /// Which one; none for all but this one.
    #[serde(default)]
    session: String,
}

/// Only sessions of the viewer's own token are looked at.
async fn end_sessions(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    viewer: Viewer,
    Form(wanted): Form<End>,
) -> WebResult {
    let own = cookie(&headers, SESSION).map(token::hash).unwrap_or_default();
    let rows = app
        .store
        .read()
        .await?
        .sessions(viewer.who.token, app.now())
        .await?;
    let hashes = rows.into_iter().map(|row| row.hash);
    let hashes: Vec<String> = if wanted.session.is_empty() {
        hashes.filter(|hash| *hash != own).collect()
    } else {
        hashes.filter(|hash| name(hash) == wanted.session).collect()
    };
    end(&app, &viewer, hashes).await?;
    Ok(see_other("/me"))
}

/// The colours that the reader chose.
pub(super) fn theme(headers: &HeaderMap) -> Theme {
    Theme::parse(cookie(headers, THEME).unwrap_or_default())
}

#[derive(Deserialize)]
struct SetTheme {
    theme: String,
}

async fn set_theme(State(app): State<Arc<App>>, _viewer: Viewer, Form(set): Form<SetTheme>) -> WebResult {
    let mut response = see_other("/me");
    set_cookie(
        &mut response,
        &app,
        THEME,
        Theme::parse(&set.theme).word(),
        365 * 24 * 3600,
    )?;
    Ok(response)
}

/// `seconds` 0 takes the cookie away.
pub(super) fn set_cookie(
    response: &mut Response,
    app: &App,
    name: &str,
    value: &str,
    seconds: i64,
) -> AppResult<()> {
    let secure = if app.url.starts_with("https:") {
        "; Secure"
    } else {
        ""
    };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    let text = HeaderValue::try_from(text).map_err(|error| AppError::internal(&error))?;
    response.headers_mut().append(header::SET_COOKIE, text);
    Ok(())
}

/// The path to go on to: of this server, or the overview. A browser reads `/\\` and `//` as the start of a host.
pub(super) fn local_path(to: &str) -> &str {
    let second = to.chars().nth(1);
    let ours = to.starts_with('/') && !matches!(second, Some('/' | '\\')) && !to.contains(['\\']);
    if ours && to.chars().all(|c| c.is_ascii_graphic()) {
        to
    } else {
        "/"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_a_path_of_ours_or_to_the_overview() {
        for (to, expected) in [
            ("/runs?q=a%20b", "/runs?q=a%20b"),
            ("/o/n/runs/5#s3:4", "/o/n/runs/5#s3:4"),
            ("", "/"),
            ("//evil", "/"),
            ("/\\evil", "/"),
            ("/a\\b", "/"),
            ("/\t/evil", "/"),
            ("/%09/evil", "/%09/evil"),
            ("https://evil", "/"),
            ("javascript:alert(1)", "/"),
            ("/\r\nset-cookie: a", "/"),
            ("evil", "/"),
        ] {
            assert_eq!(local_path(to), expected, "{to:?}");
        }
    }

    #[test]
    fn cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=1; pilotage_session=abc"),
        );
        headers.append(header::COOKIE, HeaderValue::from_static("b=2"));
        assert_eq!(cookie(&headers, SESSION), Some("abc"));
        assert_eq!(cookie(&headers, "b"), Some("2"));
        assert_eq!(cookie(&headers, "session"), None);
    }
}
